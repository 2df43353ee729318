"""TLS opened with the secrets of a key log: one connection's records, back to clear octets.

For TLS 1.2 and 1.3 with the AEAD suites (GCM, ChaCha20-Poly1305), which is what today's stacks
agree on.  A connection whose secrets are not there, or that uses another suite, stays closed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from testbed.errors import DecodeError
from testbed.protocols import tls

TLS_1_2_SECRET = "CLIENT_RANDOM"
HANDSHAKE_SECRETS = ("SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
TRAFFIC_SECRETS = ("SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0")
"""The server's, then the client's."""


class _Aead(Protocol):
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite: how records are sealed, and which hash makes keys.

    Attributes:
        aead: makes the cipher of a key.
        key_octets: of that key.
        digest: of the key derivation.
        explicit: under TLS 1.2 each record carries eight octets of its nonce (RFC 5288).
    """

    aead: Callable[[bytes], _Aead]
    key_octets: int
    digest: str
    explicit: bool = True


_AES_128 = Suite(AESGCM, 16, "sha256")
_AES_256 = Suite(AESGCM, 32, "sha384")
_CHACHA = Suite(ChaCha20Poly1305, 32, "sha256", explicit=False)
SUITES = {
    **dict.fromkeys((0x1301, 0x009C, 0x009E, 0xC02B, 0xC02F), _AES_128),
    **dict.fromkeys((0x1302, 0x009D, 0x009F, 0xC02C, 0xC030), _AES_256),
    **dict.fromkeys((0x1303, 0xCCA8, 0xCCA9, 0xCCAA), _CHACHA),
}
"""By number (IANA's registry of TLS cipher suites)."""

Secrets = dict[bytes, dict[str, bytes]]
"""By client random: label to secret."""


def read_key_log(text: bytes) -> Secrets:
    """The secrets of a key log as browsers and OpenSSL write it; other lines are passed over."""
    secrets: Secrets = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) != 3 or line.startswith(b"#"):
            continue
        try:
            random, secret = bytes.fromhex(words[1].decode()), bytes.fromhex(words[2].decode())
        except ValueError:
            continue
        if len(random) == 32:
            secrets.setdefault(random, {})[words[0].decode("ascii", "replace")] = secret
    return secrets


def merged(logs: Iterable[Secrets]) -> Secrets:
    """The secrets of several logs together."""
    together: Secrets = {}
    for log in logs:
        for random, told in log.items():
            together.setdefault(random, {}).update(told)
    return together


class _Sealed:
    """One direction's record protection under one key."""

    def __init__(self, suite: Suite, key: bytes, iv: bytes, is_1_3: bool) -> None:
        self._aead = suite.aead(key)
        self._iv = iv
        self._explicit = suite.explicit and not is_1_3
        self._is_1_3 = is_1_3
        self._number = 0

    def open(self, kind: int, fragment: bytes) -> tuple[int, bytes]:
        """The type and the clear content of a record.

        Raises:
            InvalidTag: this is not its key.
        """
        number = self._number.to_bytes(8, "big")
        self._number += 1
        if self._explicit:
            nonce, fragment = self._iv + fragment[:8], fragment[8:]
        else:
            nonce = bytes(a ^ b for a, b in zip(self._iv, bytes(4) + number, strict=True))
        if len(fragment) < 16:
            raise InvalidTag
        if self._is_1_3:
            header = bytes([kind, 3, 3]) + len(fragment).to_bytes(2, "big")
            inner = self._aead.decrypt(nonce, fragment, header).rstrip(b"\0")
            return (inner[-1], inner[:-1]) if inner else (tls.APPLICATION_DATA, b"")
        size = (len(fragment) - 16).to_bytes(2, "big")
        return kind, self._aead.decrypt(nonce, fragment, number + bytes([kind, 3, 3]) + size)


class OpenedConnection:
    """One TLS connection, opened.

    Attributes:
        random: of its ClientHello; None: not seen yet.
        is_closed: it cannot be opened, or not any further.

    Args:
        secrets: of the key logs.
    """

    def __init__(self, secrets: Secrets) -> None:
        self.random: bytes | None = None
        self.is_closed = False
        self._all = secrets
        self._suite: Suite | None = None
        self._is_1_3 = False
        self._server_random = b""
        self._held = {True: bytearray(), False: bytearray()}
        self._handshake = {True: bytearray(), False: bytearray()}
        self._sealed: dict[bool, _Sealed] = {}
        self._traffic: dict[bool, bytes] = {}

    def feed(self, from_client: bool, octets: bytes) -> bytes:
        """Take the next octets of one side; the clear octets of the application in them."""
        held, clear = self._held[from_client], b""
        held += octets
        while len(held) >= 5 and not self.is_closed:
            kind, length = held[0], int.from_bytes(held[3:5], "big")
            if len(held) < 5 + length:
                break
            fragment = bytes(held[5 : 5 + length])
            del held[: 5 + length]
            try:
                clear += self._record(from_client, kind, fragment)
            except (InvalidTag, DecodeError, KeyError):
                self.is_closed = True  # not its secret, a suite that is not known, early data
        return clear

    def _record(self, from_client: bool, kind: int, fragment: bytes) -> bytes:
        if kind == tls.CHANGE_CIPHER_SPEC:
            if not self._is_1_3 and self._suite is not None:
                self._sealed[from_client] = self._sealed_1_2(from_client)
            return b""
        sealed = self._sealed.get(from_client)
        if sealed is not None and (kind == tls.APPLICATION_DATA or not self._is_1_3):
            kind, fragment = sealed.open(kind, fragment)
        elif kind == tls.APPLICATION_DATA:
            raise KeyError("data before any key")
        if kind == tls.HANDSHAKE:
            self._messages(from_client, fragment)
        return fragment if kind == tls.APPLICATION_DATA else b""

    def _messages(self, from_client: bool, fragment: bytes) -> None:
        held = self._handshake[from_client]
        held += fragment
        while len(held) >= 4:
            end = 4 + int.from_bytes(held[1:4], "big")
            if len(held) < end:
                return
            message = bytes(held[:end])
            del held[:end]
            self._message(from_client, message)

    def _message(self, from_client: bool, message: bytes) -> None:
        match message[0]:
            case tls.CLIENT_HELLO if from_client:
                self.random = tls.decode_client_hello(message).random
            case tls.SERVER_HELLO if not from_client:
                hello = tls.decode_server_hello(message)
                if not hello.retry:
                    self._agreed(hello, message[6:38])
            case tls.FINISHED if self._is_1_3:  # what follows is under the traffic secret
                secret = self._secret(TRAFFIC_SECRETS[from_client])
                self._traffic[from_client] = secret
                self._sealed[from_client] = self._sealed_1_3(secret)
            case tls.KEY_UPDATE if self._is_1_3:  # RFC 8446 clause 7.2
                secret = self._expand(self._traffic[from_client], "traffic upd", self._hash_octets)
                self._traffic[from_client] = secret
                self._sealed[from_client] = self._sealed_1_3(secret)
            case _:
                pass

    def _agreed(self, hello: tls.ServerHello, server_random: bytes) -> None:
        self._suite = SUITES[hello.cipher_suite]
        self._server_random = server_random
        self._is_1_3 = hello.version == "1.3"
        if self._is_1_3:
            for from_client in (False, True):
                secret = self._secret(HANDSHAKE_SECRETS[from_client])
                self._sealed[from_client] = self._sealed_1_3(secret)
        else:
            self._secret(TLS_1_2_SECRET)  # or there is no use in going on

    def _secret(self, label: str) -> bytes:
        """A secret of this connection; KeyError: the logs do not hold it."""
        return self._all[self.random or b""][label]

    @property
    def _digest(self) -> str:
        assert self._suite is not None
        return self._suite.digest

    @property
    def _hash_octets(self) -> int:
        return hashlib.new(self._digest).digest_size

    def _sealed_1_3(self, secret: bytes) -> _Sealed:
        assert self._suite is not None
        key = self._expand(secret, "key", self._suite.key_octets)
        return _Sealed(self._suite, key, self._expand(secret, "iv", 12), True)

    def _expand(self, secret: bytes, label: str, octets: int) -> bytes:
        """HKDF-Expand-Label (RFC 8446 clause 7.1) with an empty context; one block is enough."""
        name = b"tls13 " + label.encode()
        info = octets.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
        return hmac.digest(secret, info + b"\1", self._digest)[:octets]

    def _sealed_1_2(self, from_client: bool) -> _Sealed:
        """The key block of RFC 5246 clause 6.3; AEAD suites have no MAC keys in it."""
        assert self._suite is not None
        suite, master = self._suite, self._secret(TLS_1_2_SECRET)
        key_octets, iv_octets = suite.key_octets, 4 if suite.explicit else 12
        seed = b"key expansion" + self._server_random + (self.random or b"")
        block, chain = b"", seed
        while len(block) < 2 * (key_octets + iv_octets):
            chain = hmac.digest(master, chain, suite.digest)
            block += hmac.digest(master, chain + seed, suite.digest)
        key = block[:key_octets] if from_client else block[key_octets : 2 * key_octets]
        ivs = block[2 * key_octets :]
        iv = ivs[:iv_octets] if from_client else ivs[iv_octets : 2 * iv_octets]
        return _Sealed(suite, key, iv, False)
