"""What TLS shows in clear: the hellos and the alerts of a connection (RFC 5246, RFC 8446).

Everything else is stepped over, record by record.  Knows no key: what is encrypted stays so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from testbed.errors import DecodeError
from testbed.protocols.wire import Reader

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, FINISHED, KEY_UPDATE = 1, 2, 20, 24
SERVER_NAME, SUPPORTED_VERSIONS = 0, 43
WARNING, FATAL = 1, 2
MOST_RECORD_OCTETS = (1 << 14) + 2048
"""RFC 5246 clause 6.2.3; TLS 1.3 allows less."""
MOST_HANDSHAKE_OCTETS = 1 << 16
# RFC 8446 clause 4.1.3: a ServerHello with this random is a HelloRetryRequest.
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
"""The descriptions of alerts, by number (RFC 8446 clause 6)."""
_NUMBERS = {name: number for number, name in ALERTS.items()}


def version_name(number: int) -> str:
    """ "1.2" for 0x0303; what is no version of TLS as hexadecimal digits."""
    return f"1.{(number & 255) - 1}" if 0x0301 <= number <= 0x0304 else f"0x{number:04x}"


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The first message of a client.

    Attributes:
        server_name: the DNS name that it asks for (RFC 6066); None: none.
        versions: of TLS that it offers, as it orders them ("1.3", "1.2").
        random: by which key logs name the connection.
        raw: the handshake message as it came.
    """

    server_name: str | None
    versions: tuple[str, ...]
    random: bytes = field(repr=False)
    raw: bytes = field(repr=False, compare=False, default=b"")

    def encode(self) -> bytes:
        """The octets as they came."""
        return self.raw

    def summary(self) -> str:
        """One line for a ladder."""
        known = [each for each in self.versions if not each.startswith("0x")]
        asked = f" for {self.server_name}" if self.server_name else ""
        return f"TLS ClientHello{asked}, {' '.join(known) or 'no version that is known'}"


@dataclass(frozen=True, slots=True)
class ServerHello:
    """The first message of a server.

    Attributes:
        version: of TLS that it has chosen ("1.3").
        cipher_suite: its number.
        retry: whether it asks for another ClientHello.
        raw: the handshake message as it came.
    """

    version: str
    cipher_suite: int
    retry: bool
    raw: bytes = field(repr=False, compare=False, default=b"")

    def encode(self) -> bytes:
        """The octets as they came."""
        return self.raw

    def summary(self) -> str:
        """One line for a ladder."""
        kind = "HelloRetryRequest" if self.retry else "ServerHello"
        return f"TLS {kind} {self.version}"


@dataclass(frozen=True, slots=True)
class Alert:
    """Why one side ends the connection, said in clear.

    Attributes:
        level: 1 warning, 2 fatal.
        number: of the description.
    """

    level: int
    number: int

    @classmethod
    def fatal(cls, description: str) -> Alert:
        """The fatal alert of that description."""
        return cls(FATAL, _NUMBERS[description])

    @property
    def description(self) -> str:
        """Its name in the RFC; the number, if it has none."""
        return ALERTS.get(self.number, str(self.number))

    def encode(self) -> bytes:
        """The two octets of the alert."""
        return bytes([self.level, self.number])

    def record(self) -> bytes:
        """The alert in a record of its own, in clear."""
        return bytes([ALERT, 3, 3, 0, 2]) + self.encode()

    def summary(self) -> str:
        """One line for a ladder."""
        return f"TLS alert {self.description}"


TlsMessage = ClientHello | ServerHello | Alert


class Decoder:
    """One direction of one connection: gives the hellos and the alerts that are in clear."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._handshake = bytearray()
        self._encrypted = False

    def feed(self, octets: bytes) -> Sequence[TlsMessage]:
        """What these octets complete.

        Raises:
            DecodeError: they are no TLS; the direction cannot be followed any further.
        """
        self._held += octets
        found: list[TlsMessage] = []
        while len(self._held) >= 5:
            kind, length = self._held[0], int.from_bytes(self._held[3:5], "big")
            if not CHANGE_CIPHER_SPEC <= kind <= APPLICATION_DATA or self._held[1] != 3:
                start = bytes(self._held[:5]).hex(" ")
                raise DecodeError(f"TLS record: begins with {start}, which is no record's header")
            if length > MOST_RECORD_OCTETS:
                raise DecodeError(
                    f"TLS record: length at offset 3 says {length} octets, at most "
                    f"{MOST_RECORD_OCTETS} are allowed"
                )
            if len(self._held) < 5 + length:
                break
            fragment = bytes(self._held[5 : 5 + length])
            del self._held[: 5 + length]
            found += self._record(kind, fragment)
        return found

    def _record(self, kind: int, fragment: bytes) -> list[TlsMessage]:
        if kind == ALERT and len(fragment) == 2:  # an encrypted one is longer
            return [Alert(fragment[0], fragment[1])]
        if kind in (CHANGE_CIPHER_SPEC, APPLICATION_DATA):
            self._encrypted = True
        elif kind == HANDSHAKE and (not self._encrypted or _is_second_hello(fragment)):
            return self._messages(fragment)
        return []

    def _messages(self, fragment: bytes) -> list[TlsMessage]:
        self._handshake += fragment
        found: list[TlsMessage] = []
        while len(self._handshake) >= 4:
            kind = self._handshake[0]
            length = int.from_bytes(self._handshake[1:4], "big")
            if length > MOST_HANDSHAKE_OCTETS:
                raise DecodeError(
                    f"TLS handshake message {kind}: length at offset 1 says {length} octets, at "
                    f"most {MOST_HANDSHAKE_OCTETS} are read"
                )
            if len(self._handshake) < 4 + length:
                break
            message = bytes(self._handshake[: 4 + length])
            del self._handshake[: 4 + length]
            if kind == CLIENT_HELLO:
                found.append(decode_client_hello(message))
            elif kind == SERVER_HELLO:
                found.append(decode_server_hello(message))
        return found


def _is_second_hello(fragment: bytes) -> bool:
    """Whether this is a hello after a HelloRetryRequest, which is in clear though a
    ChangeCipherSpec came before it (RFC 8446 annex D.4)."""
    is_hello = fragment[:1] in (b"\1", b"\2")
    return is_hello and int.from_bytes(fragment[1:4], "big") == len(fragment) - 4


def decode_client_hello(message: bytes) -> ClientHello:
    """Cut a ClientHello with its handshake header (RFC 8446 clause 4.1.2).

    Raises:
        DecodeError: its lengths do not fit what is there.
    """
    reader = Reader(message, "TLS ClientHello")
    reader.take(4, "header")
    version = reader.uint16("version")
    random = reader.take(32, "random")
    reader.take(reader.uint8("length of session identifier"), "session identifier")
    reader.take(reader.uint16("length of cipher suites"), "cipher suites")
    reader.take(reader.uint8("length of compression methods"), "compression methods")
    server_name = None
    versions: tuple[str, ...] = (version_name(version),)
    for kind, content in _extensions(reader):
        if kind == SERVER_NAME:
            server_name = _server_name(content)
        elif kind == SUPPORTED_VERSIONS:
            content.uint8("length of versions")
            numbers = [content.uint16("version") for _ in range(content.remaining // 2)]
            versions = tuple(version_name(each) for each in numbers)
    return ClientHello(server_name, versions, random, message)


def decode_server_hello(message: bytes) -> ServerHello:
    """Cut a ServerHello with its handshake header (RFC 8446 clause 4.1.3).

    Raises:
        DecodeError: its lengths do not fit what is there.
    """
    reader = Reader(message, "TLS ServerHello")
    reader.take(4, "header")
    version = reader.uint16("version")
    random = reader.take(32, "random")
    reader.take(reader.uint8("length of session identifier"), "session identifier")
    cipher_suite = reader.uint16("cipher suite")
    reader.uint8("compression method")
    for kind, content in _extensions(reader):
        if kind == SUPPORTED_VERSIONS:
            version = content.uint16("version")
    return ServerHello(version_name(version), cipher_suite, random == _RETRY, message)


def _extensions(reader: Reader) -> list[tuple[int, Reader]]:
    """Type and content of each extension; a hello may end before them."""
    if not reader.remaining:
        return []
    size = reader.uint16("length of extensions")
    offset = reader.position
    inner = Reader(reader.take(size, "extensions"), reader.subject, offset)
    found = []
    while inner.remaining:
        kind = inner.uint16("type of extension")
        length = inner.uint16(f"length of extension {kind}")
        offset = inner.offset + inner.position
        content = inner.take(length, f"extension {kind}")
        found.append((kind, Reader(content, reader.subject, offset)))
    return found


def _server_name(content: Reader) -> str | None:
    """The first host name of the list (RFC 6066 clause 3)."""
    if not content.remaining:
        return None
    content.uint16("length of server names")
    kind = content.uint8("type of server name")
    name = content.take(content.uint16("length of server name"), "server name")
    return name.decode("ascii", "backslashreplace") if kind == 0 else None
