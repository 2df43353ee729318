"""TLS messages as octets, as OpenSSL writes them: what a modelled handshake puts on the wire.

Real are hellos, certificates, alerts and the order of all; keys, signatures and what is encrypted
are octets that mean nothing.  Knows no stream.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256, shake_256
from ipaddress import ip_address

from testbed.errors import DecodeError
from testbed.protocols.tls import (
    CLIENT_HELLO,
    SERVER_HELLO,
    SERVER_NAME,
    SUPPORTED_VERSIONS,
)
from testbed.protocols.wire import Reader

ENCRYPTED_EXTENSIONS, CERTIFICATE, SERVER_KEY, CERTIFICATE_REQUEST = 8, 11, 12, 13
HELLO_DONE, CERTIFICATE_VERIFY, CLIENT_KEY, FINISHED = 14, 15, 16, 20
VERSIONS = ("1.0", "1.1", "1.2", "1.3")
CIPHER_SUITES = {"1.0": 0xC00A, "1.1": 0xC00A, "1.2": 0xC02C, "1.3": 0x1302}
"""What OpenSSL chooses for an ECDSA certificate."""
MOST_PLAIN_OCTETS = 1 << 14
FINISHED_OCTETS = 12
_TAG_OCTETS, _NONCE_OCTETS = 16, 8
_RENEGOTIATION_INFO, _EXTENDED_SECRET, _KEY_SHARE = 0xFF01, 23, 51
_GROUPS, _POINTS, _SIGNATURES, _PSK_MODES = 10, 11, 13, 45
_X25519 = 29
_ECDSA_P256 = b"\x04\x03"


def version_number(version: str) -> int:
    """0x0303 for "1.2"."""
    return 0x0301 + VERSIONS.index(version)


def handshake(kind: int, body: bytes) -> bytes:
    """A handshake message with its header."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def record(kind: int, fragment: bytes, version: int = 0x0303) -> bytes:
    """A record."""
    return struct.pack("!BHH", kind, version, len(fragment)) + fragment


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!HH", kind, len(body)) + body


def _lengthened(octets: bytes, size: int) -> bytes:
    return len(octets).to_bytes(size, "big") + octets


def client_hello(
    random: bytes, session: bytes, share: bytes, name: str | None, versions: Sequence[str]
) -> bytes:
    """A ClientHello that offers these versions, the newest first."""
    newest = versions[0]
    suites = [CIPHER_SUITES["1.3"], 0x1303, 0x1301] if newest == "1.3" else []
    if versions[-1] != "1.3":
        suites += [0xC02C, 0xC02B, 0xCCA9, 0xC00A, 0xC009]
    suites.append(0x00FF)
    extensions = b""
    if name is not None and not _is_address(name):
        entry = b"\0" + _lengthened(name.encode("ascii"), 2)
        extensions += _extension(SERVER_NAME, _lengthened(entry, 2))
    extensions += _extension(_POINTS, b"\x01\x00")
    extensions += _extension(_GROUPS, _lengthened(struct.pack("!HH", _X25519, 23), 2))
    extensions += _extension(_EXTENDED_SECRET, b"")
    extensions += _extension(_SIGNATURES, _lengthened(_ECDSA_P256 + b"\x08\x04\x04\x01", 2))
    if newest == "1.3":
        numbers = b"".join(version_number(each).to_bytes(2, "big") for each in versions)
        extensions += _extension(SUPPORTED_VERSIONS, _lengthened(numbers, 1))
        extensions += _extension(_PSK_MODES, b"\x01\x01")
        entry = struct.pack("!H", _X25519) + _lengthened(share, 2)
        extensions += _extension(_KEY_SHARE, _lengthened(entry, 2))
    legacy = min(version_number(newest), 0x0303)
    body = struct.pack("!H", legacy) + random
    body += _lengthened(session if newest == "1.3" else b"", 1)
    body += _lengthened(b"".join(each.to_bytes(2, "big") for each in suites), 2)
    body += b"\x01\x00" + _lengthened(extensions, 2)
    return handshake(CLIENT_HELLO, body)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def server_hello(random: bytes, session: bytes, share: bytes, version: str) -> bytes:
    """A ServerHello that chooses this version."""
    if version == "1.3":
        extensions = _extension(SUPPORTED_VERSIONS, version_number(version).to_bytes(2, "big"))
        entry = struct.pack("!H", _X25519) + _lengthened(share, 2)
        extensions += _extension(_KEY_SHARE, entry)
    else:
        extensions = _extension(_RENEGOTIATION_INFO, b"\0") + _extension(_EXTENDED_SECRET, b"")
    body = struct.pack("!H", min(version_number(version), 0x0303)) + random
    body += _lengthened(session if version == "1.3" else b"", 1)
    body += CIPHER_SUITES[version].to_bytes(2, "big") + b"\0" + _lengthened(extensions, 2)
    return handshake(SERVER_HELLO, body)


def session_of(hello: bytes) -> bytes:
    """The session identifier of a hello, with its handshake header."""
    return hello[39 : 39 + hello[38]]


def certificate(chain: Sequence[bytes], version: str) -> bytes:
    """A Certificate message; an empty chain says that there is none."""
    ends = b"\0\0" if version == "1.3" else b""
    entries = b"".join(_lengthened(each, 3) + ends for each in chain)
    context = b"\0" if version == "1.3" else b""
    return handshake(CERTIFICATE, context + _lengthened(entries, 3))


def read_certificate_message(body: bytes, version: str) -> tuple[bytes, ...]:
    """The chain of a Certificate message.

    Raises:
        DecodeError: its lengths do not fit what is there.
    """
    reader = Reader(body, "TLS Certificate")
    if version == "1.3":
        reader.take(reader.uint8("length of context"), "context")
    size = int.from_bytes(reader.take(3, "length of certificates"), "big")
    inner = Reader(reader.take(size, "certificates"), reader.subject)
    chain = []
    while inner.remaining:
        length = int.from_bytes(inner.take(3, "length of certificate"), "big")
        chain.append(inner.take(length, "certificate"))
        if version == "1.3":
            inner.take(inner.uint16("length of extensions"), "extensions")
    return tuple(chain)


def certificate_request(version: str) -> bytes:
    """A CertificateRequest for any issuer."""
    if version == "1.3":
        extensions = _extension(_SIGNATURES, _lengthened(_ECDSA_P256, 2))
        return handshake(CERTIFICATE_REQUEST, b"\0" + _lengthened(extensions, 2))
    algorithms = _lengthened(_ECDSA_P256, 2) if version == "1.2" else b""
    return handshake(CERTIFICATE_REQUEST, b"\x01\x40" + algorithms + b"\0\0")


def server_key(share: bytes, signature: bytes, version: str) -> bytes:
    """A ServerKeyExchange (RFC 8422, 5.4) whose signature means nothing."""
    algorithm = _ECDSA_P256 if version == "1.2" else b""
    body = struct.pack("!BH", 3, _X25519) + _lengthened(share, 1)
    return handshake(SERVER_KEY, body + algorithm + _lengthened(signature, 2))


def certificate_verify(signature: bytes, version: str) -> bytes:
    """A CertificateVerify whose signature means nothing."""
    algorithm = _ECDSA_P256 if version in ("1.2", "1.3") else b""
    return handshake(CERTIFICATE_VERIFY, algorithm + _lengthened(signature, 2))


class Seal:
    """One direction's octets made unreadable and readable again; a model of a cipher.

    Args:
        secret: of the connection.
        direction: names the sender.
        version: of TLS.
    """

    def __init__(self, secret: bytes, direction: bytes, version: str) -> None:
        self._secret = secret + direction
        self._hides_kind = version == "1.3"
        self._version = min(version_number(version), 0x0303)
        self._count = 0

    def _stream(self, octets: int) -> bytes:
        self._count += 1
        secret = self._secret + self._count.to_bytes(8, "big")
        return shake_256(secret).digest(octets + _TAG_OCTETS)

    def seal(self, kind: int, octets: bytes) -> bytes:
        """A record of that kind that holds these octets."""
        inner = octets + bytes([kind])
        stream = self._stream(len(inner))
        hidden = _mixed(inner, stream)
        fragment = hidden + _tag(stream, hidden)
        if self._hides_kind:
            return record(23, fragment)
        numbered = self._count.to_bytes(_NONCE_OCTETS, "big") + fragment
        return record(kind, numbered, self._version)

    def open(self, fragment: bytes) -> tuple[int, bytes]:
        """Kind and octets of a record's fragment.

        Raises:
            DecodeError: it was not sealed so.
        """
        if not self._hides_kind:
            fragment = fragment[_NONCE_OCTETS:]
        hidden, tag = fragment[:-_TAG_OCTETS], fragment[-_TAG_OCTETS:]
        stream = self._stream(len(hidden))
        if not hidden or tag != _tag(stream, hidden):
            raise DecodeError("TLS record: decryption failed or bad record mac")
        inner = _mixed(hidden, stream)
        return inner[-1], inner[:-1]


def _mixed(octets: bytes, stream: bytes) -> bytes:
    size = len(octets)
    mixed = int.from_bytes(octets, "big") ^ int.from_bytes(stream[:size], "big")
    return mixed.to_bytes(size, "big")


def _tag(stream: bytes, hidden: bytes) -> bytes:
    return sha256(stream[-_TAG_OCTETS:] + hidden).digest()[:_TAG_OCTETS]


def finished(secret: bytes, direction: bytes, transcript: bytes) -> bytes:
    """A Finished message: a digest of all that was said before."""
    digest = sha256(secret + direction + transcript).digest()[:FINISHED_OCTETS]
    return handshake(FINISHED, digest)
