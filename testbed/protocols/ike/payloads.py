"""The payloads of IKEv2 messages, cut into their fields (RFC 7296, 3.2 to 3.16).

Each `body` gives the octets behind the generic header as they were cut: reserved fields, unknown
numbers and claims that do not fit are kept, not judged.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar

from testbed.protocols.ike import names
from testbed.protocols.ike.parts import ConfigurationAttribute, Proposal, Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Any payload.

    Attributes:
        flags: the second octet of the generic header: the critical bit and seven reserved ones.
    """

    TYPE: ClassVar[int] = 0
    flags: int = 0

    @property
    def type(self) -> int:
        """Its number (RFC 7296, 3.2)."""
        return self.TYPE

    def body(self) -> bytes:
        """The octets behind the generic header."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """Its notation, as in RFC 7296, 1.2."""
        return names.PAYLOADS.get(self.type) or f"payload {self.type}"


@dataclass(frozen=True, slots=True)
class Opaque(Payload):
    """A payload of a type that is not cut any further."""

    number: int
    data: bytes

    @property
    def type(self) -> int:
        """Its number."""
        return self.number

    def body(self) -> bytes:
        """The octets."""
        return self.data


@dataclass(frozen=True, slots=True)
class SecurityAssociation(Payload):
    """SA: what is offered, or what of it is chosen."""

    TYPE: ClassVar[int] = names.SA
    proposals: tuple[Proposal, ...]

    def body(self) -> bytes:
        """The proposals."""
        last = len(self.proposals) - 1
        return b"".join(each.encode(place == last) for place, each in enumerate(self.proposals))


@dataclass(frozen=True, slots=True)
class KeyExchange(Payload):
    """KE: a public value of a group."""

    TYPE: ClassVar[int] = names.KE
    group: int
    data: bytes
    reserved: int = 0

    def body(self) -> bytes:
        """Group, two reserved octets, the value."""
        return struct.pack("!HH", self.group, self.reserved) + self.data


@dataclass(frozen=True, slots=True)
class Identification(Payload):
    """IDi or IDr: who somebody says he is.

    Attributes:
        is_initiator: IDi.
        kind: ID_FQDN, ID_IPV4, ...
        data: its octets.
        reserved: three octets.
    """

    is_initiator: bool
    kind: int
    data: bytes
    reserved: bytes = bytes(3)

    @property
    def type(self) -> int:
        """35 or 36."""
        return names.IDI if self.is_initiator else names.IDR

    def body(self) -> bytes:
        """What AUTH signs a prf of."""
        return bytes([self.kind]) + self.reserved + self.data

    @property
    def text(self) -> str:
        """As a person reads it; a distinguished name as its octets in hexadecimal digits."""
        if self.kind in (names.ID_FQDN, names.ID_RFC822):
            return self.data.decode("utf-8", "backslashreplace")
        if (self.kind, len(self.data)) in ((names.ID_IPV4, 4), (names.ID_IPV6, 16)):
            return str(ip_address(self.data))
        return f"{names.name(names.IDENTITIES, self.kind)} {self.data.hex()}"


@dataclass(frozen=True, slots=True)
class Certificate(Payload):
    """CERT: a certificate, or what leads to one."""

    TYPE: ClassVar[int] = names.CERT
    encoding: int
    data: bytes

    def body(self) -> bytes:
        """Encoding and octets."""
        return bytes([self.encoding]) + self.data


@dataclass(frozen=True, slots=True)
class CertificateRequest(Payload):
    """CERTREQ: whom the sender trusts, SHA-1 of each one's public key."""

    TYPE: ClassVar[int] = names.CERTREQ
    encoding: int
    data: bytes

    def body(self) -> bytes:
        """Encoding and hashes."""
        return bytes([self.encoding]) + self.data

    @property
    def authorities(self) -> tuple[bytes, ...]:
        """The hashes, 20 octets each."""
        return tuple(self.data[at : at + 20] for at in range(0, len(self.data), 20))


@dataclass(frozen=True, slots=True)
class Authentication(Payload):
    """AUTH: a signature, or a code of a shared key."""

    TYPE: ClassVar[int] = names.AUTH
    method: int
    data: bytes
    reserved: bytes = bytes(3)

    def body(self) -> bytes:
        """Method, three reserved octets, the signature."""
        return bytes([self.method]) + self.reserved + self.data


@dataclass(frozen=True, slots=True)
class Nonce(Payload):
    """Ni or Nr."""

    TYPE: ClassVar[int] = names.NONCE
    data: bytes

    def body(self) -> bytes:
        """The nonce."""
        return self.data


@dataclass(frozen=True, slots=True)
class Notify(Payload):
    """N: an error or a status.

    Attributes:
        number: which one.
        data: what belongs to it: a cookie, a hash, a group.
        protocol: of the SA that it is about; 0: none.
        spi: of that SA.
    """

    TYPE: ClassVar[int] = names.NOTIFY
    number: int
    data: bytes = b""
    protocol: int = 0
    spi: bytes = b""

    @property
    def name(self) -> str:
        """Its name, or its number."""
        return names.name(names.NOTIFIES, self.number)

    @property
    def is_error(self) -> bool:
        """Whether it tells an error (RFC 7296, 3.10.1)."""
        return self.number < names.FIRST_STATUS_NOTIFY

    @property
    def label(self) -> str:
        """N(its name)."""
        return f"N({self.name})"

    def body(self) -> bytes:
        """Protocol, size of the SPI, number, SPI, data."""
        head = struct.pack("!BBH", self.protocol, len(self.spi), self.number)
        return head + self.spi + self.data


@dataclass(frozen=True, slots=True)
class Delete(Payload):
    """D: associations that the sender has ended.

    Attributes:
        protocol: IKE (the one in whose message it is), AH or ESP.
        spi_size: of each.
        spis: as octets, one after the other.
        claimed: how many it says there are; None: as many as there are.
    """

    TYPE: ClassVar[int] = names.DELETE
    protocol: int
    spi_size: int
    spis: bytes = b""
    claimed: int | None = None

    @property
    def each(self) -> tuple[bytes, ...]:
        """The SPIs."""
        if not self.spi_size:
            return ()
        return tuple(
            self.spis[at : at + self.spi_size] for at in range(0, len(self.spis), self.spi_size)
        )

    @property
    def label(self) -> str:
        """D(what)."""
        protocol = names.name(names.PROTOCOLS, self.protocol)
        return " ".join([f"D({protocol}", *(f"0x{spi.hex()}" for spi in self.each)]) + ")"

    def body(self) -> bytes:
        """Protocol, size, count, SPIs."""
        count = len(self.each) if self.claimed is None else self.claimed
        return struct.pack("!BBH", self.protocol, self.spi_size, count) + self.spis


@dataclass(frozen=True, slots=True)
class Vendor(Payload):
    """V: who has made the sender."""

    TYPE: ClassVar[int] = names.VENDOR
    data: bytes

    def body(self) -> bytes:
        """The octets that mean him."""
        return self.data


@dataclass(frozen=True, slots=True)
class TrafficSelectors(Payload):
    """TSi or TSr: what goes through.

    Attributes:
        is_initiator: TSi.
        selectors: in their order.
        claimed: how many it says there are; None: as many as there are.
        reserved: three octets.
    """

    is_initiator: bool
    selectors: tuple[Selector, ...]
    claimed: int | None = None
    reserved: bytes = bytes(3)

    @property
    def type(self) -> int:
        """44 or 45."""
        return names.TSI if self.is_initiator else names.TSR

    def body(self) -> bytes:
        """Count, three reserved octets, selectors."""
        count = len(self.selectors) if self.claimed is None else self.claimed
        selectors = b"".join(each.encode() for each in self.selectors)
        return bytes([count]) + self.reserved + selectors


@dataclass(frozen=True, slots=True)
class Configuration(Payload):
    """CP: addresses that are asked for, or given.

    Attributes:
        kind: CFG_REQUEST, CFG_REPLY, ...
        attributes: in their order.
        reserved: three octets.
    """

    TYPE: ClassVar[int] = names.CP
    kind: int
    attributes: tuple[ConfigurationAttribute, ...]
    reserved: bytes = bytes(3)

    @property
    def label(self) -> str:
        """CP(CFG_REPLY) and the like."""
        return f"CP({names.name(names.CONFIGURATIONS, self.kind)})"

    def values(self, number: int) -> tuple[str, ...]:
        """The texts of the attributes of that number that have a value."""
        return tuple(each.text for each in self.attributes if each.number == number and each.value)

    def body(self) -> bytes:
        """Kind, three reserved octets, attributes."""
        attributes = b"".join(each.encode() for each in self.attributes)
        return bytes([self.kind]) + self.reserved + attributes


@dataclass(frozen=True, slots=True)
class Encrypted(Payload):
    """SK: what only the two ends can read.

    Attributes:
        inner: type of the first payload inside.
        data: initialization vector, ciphertext and integrity check value.
    """

    TYPE: ClassVar[int] = names.SK
    inner: int
    data: bytes

    def body(self) -> bytes:
        """The octets."""
        return self.data


@dataclass(frozen=True, slots=True)
class EncryptedFragment(Payload):
    """SKF: a piece of what only the two ends can read (RFC 7383, 2.5).

    Attributes:
        inner: type of the first payload inside, in the first fragment; else 0.
        fragment: its number, from 1.
        total: how many there are.
        data: as of `Encrypted`.
    """

    TYPE: ClassVar[int] = names.SKF
    inner: int
    fragment: int
    total: int
    data: bytes

    def body(self) -> bytes:
        """Number, total, octets."""
        return struct.pack("!HH", self.fragment, self.total) + self.data


def encode_chain(payloads: Sequence[Payload]) -> bytes:
    """Payloads one after the other, each with its generic header (RFC 7296, 3.2)."""
    parts = []
    for place, payload in enumerate(payloads):
        body = payload.body()
        if isinstance(payload, (Encrypted, EncryptedFragment)):
            following = payload.inner
        elif place + 1 < len(payloads):
            following = payloads[place + 1].type
        else:
            following = names.NO_NEXT
        parts.append(struct.pack("!BBH", following, payload.flags, 4 + len(body)) + body)
    return b"".join(parts)
