"""What IKEv2 payloads are made of: proposals, selectors, attributes (RFC 7296, 3.3, 3.13, 3.15).

Reserved fields, unknown numbers and claims that do not fit are kept, not judged.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

from testbed.protocols.ike import names

MORE_PROPOSALS, MORE_TRANSFORMS = 2, 3
"""The first octet of a proposal or transform that another one follows."""
KEY_LENGTH = 14
"""The only transform attribute there is (RFC 7296, 3.3.5)."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a transform (RFC 7296, 3.3.5).

    Attributes:
        number: 15 bits.
        value: two octets where `is_short`.
        is_short: type and value, else type, length and value.
    """

    number: int
    value: bytes
    is_short: bool = True

    def encode(self) -> bytes:
        """Its octets."""
        if self.is_short:
            return struct.pack("!H", 0x8000 | self.number) + self.value
        return struct.pack("!HH", self.number, len(self.value)) + self.value


@dataclass(frozen=True, slots=True)
class Transform:
    """One algorithm of a proposal.

    Attributes:
        kind: ENCRYPTION, PRF, ...
        number: which one of that kind.
        attributes: its key length, where it has one.
        more: the first octet as it came; None: what fits the place.
        reserved: the octets that mean nothing: behind `more`, and behind the kind.
    """

    kind: int
    number: int
    attributes: tuple[Attribute, ...] = ()
    more: int | None = None
    reserved: tuple[int, int] = (0, 0)

    @property
    def key_length(self) -> int | None:
        """In bits; None: the algorithm has but one, or does not say."""
        for each in self.attributes:
            if each.number == KEY_LENGTH:
                return int.from_bytes(each.value, "big")
        return None

    @property
    def name(self) -> str:
        """Its name in IANA's registry, without the prefix of its kind."""
        return names.name(names.TRANSFORMS.get(self.kind, {}), self.number)

    def __str__(self) -> str:
        return f"{self.name}_{self.key_length}" if self.key_length else self.name

    def encode(self, is_last: bool) -> bytes:
        """Its octets."""
        attributes = b"".join(each.encode() for each in self.attributes)
        more = (0 if is_last else MORE_TRANSFORMS) if self.more is None else self.more
        head = (more, self.reserved[0], 8 + len(attributes), self.kind, self.reserved[1])
        return struct.pack("!BBHBBH", *head, self.number) + attributes


@dataclass(frozen=True, slots=True)
class Proposal:
    """Algorithms of which one of each kind is chosen (RFC 7296, 3.3.1).

    Attributes:
        number: the first is 1.
        protocol: IKE, AH or ESP, by number.
        spi: the sender's, b"" in the first exchange.
        transforms: in their order.
        more: the first octet as it came; None: what fits the place.
        reserved: the octet behind it.
        claimed: how many transforms it says it has; None: as many as there are.
    """

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]
    more: int | None = None
    reserved: int = 0
    claimed: int | None = None

    def of(self, kind: int) -> tuple[Transform, ...]:
        """The transforms of a kind."""
        return tuple(each for each in self.transforms if each.kind == kind)

    def __str__(self) -> str:
        told = "/".join(str(each) for each in self.transforms)
        return f"{names.name(names.PROTOCOLS, self.protocol)}:{told}"

    def encode(self, is_last: bool) -> bytes:
        """Its octets."""
        last = len(self.transforms) - 1
        transforms = b"".join(
            each.encode(place == last) for place, each in enumerate(self.transforms)
        )
        more = (0 if is_last else MORE_PROPOSALS) if self.more is None else self.more
        count = len(self.transforms) if self.claimed is None else self.claimed
        length = 8 + len(self.spi) + len(transforms)
        head = (more, self.reserved, length, self.number, self.protocol, len(self.spi), count)
        return struct.pack("!BBHBBBB", *head) + self.spi + transforms


@dataclass(frozen=True, slots=True)
class Selector:
    """A range of addresses and ports of one IP protocol (RFC 7296, 3.13.1).

    Attributes:
        kind: TS_IPV4_RANGE, TS_IPV6_RANGE, or another, of which `data` has all behind its length.
        protocol: of IP; 0: any.
        ports: first and last.
        first: the first address, as octets.
        last: the last one.
        data: of another kind: its octets behind protocol and length.
    """

    kind: int
    protocol: int = 0
    ports: tuple[int, int] = (0, 65535)
    first: bytes = b""
    last: bytes = b""
    data: bytes = b""

    def __str__(self) -> str:
        if not self.first:
            return f"selector of type {self.kind}"
        first, last = ip_address(self.first), ip_address(self.last)
        told = str(first) if first == last else f"{first}-{last}"
        if self.protocol:
            told += f" protocol {self.protocol}"
        low, high = self.ports
        if (low, high) != (0, 65535):
            told += f" port {low}" if low == high else f" ports {low}-{high}"
        return told

    def encode(self) -> bytes:
        """Its octets."""
        rest = self.data
        if self.first:
            rest = struct.pack("!HH", *self.ports) + self.first + self.last
        return struct.pack("!BBH", self.kind, self.protocol, 4 + len(rest)) + rest


@dataclass(frozen=True, slots=True)
class ConfigurationAttribute:
    """One value of a CP payload; b"": it is asked for.

    Attributes:
        reserved_bit: the bit before the type.
    """

    number: int
    value: bytes = b""
    reserved_bit: bool = False

    @property
    def name(self) -> str:
        """Its name, or its number."""
        return names.name(names.ATTRIBUTES, self.number)

    @property
    def text(self) -> str:
        """Its value, an address where it is one."""
        if self.name.startswith("INTERNAL_IP4") and len(self.value) == 4:
            return str(ip_address(self.value))
        if self.name.startswith("INTERNAL_IP6") and len(self.value) in (16, 17):
            return str(ip_address(self.value[:16]))
        return self.value.hex()

    def encode(self) -> bytes:
        """Its octets."""
        number = self.number | (0x8000 if self.reserved_bit else 0)
        return struct.pack("!HH", number, len(self.value)) + self.value


ALL_IPV4 = Selector(names.TS_IPV4_RANGE, first=bytes(4), last=bytes([255] * 4))
"""Every IPv4 address, protocol and port."""
