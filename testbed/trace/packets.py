"""ARP and ICMP as messages of the trace: read only, never part of a role.

Roles leave both to the stack of their node; the trace shows them because they explain why something
did not arrive.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

from testbed.errors import DecodeError
from testbed.protocols.wire import Endpoint

UDP = 17
TCP = 6
ICMP = 1
ICMPV6 = 58
_WITH_PORTS = (TCP, UDP, 132, 136)  # 132 SCTP and 136 UDP-Lite begin with two ports as well

_ICMP_NAMES = {
    (4, 0): "echo reply",
    (4, 3): "destination unreachable",
    (4, 5): "redirect",
    (4, 8): "echo request",
    (4, 11): "time exceeded",
    (4, 12): "parameter problem",
    (6, 1): "destination unreachable",
    (6, 2): "packet too big",
    (6, 3): "time exceeded",
    (6, 4): "parameter problem",
    (6, 128): "echo request",
    (6, 129): "echo reply",
    (6, 133): "router solicitation",
    (6, 134): "router advertisement",
    (6, 135): "neighbour solicitation",
    (6, 136): "neighbour advertisement",
    (6, 137): "redirect",
    (6, 143): "multicast listener report",
}
_UNREACHABLE = {
    (4, 0): "network unreachable",
    (4, 1): "host unreachable",
    (4, 2): "protocol unreachable",
    (4, 3): "port unreachable",
    (4, 4): "fragmentation needed",
    (4, 9): "network prohibited",
    (4, 10): "host prohibited",
    (4, 13): "communication prohibited",
    (6, 0): "no route to destination",
    (6, 1): "communication prohibited",
    (6, 3): "address unreachable",
    (6, 4): "port unreachable",
}


@lru_cache(maxsize=4096)
def ip_text(octets: bytes) -> str:
    """The canonical text of an address of 4 or 16 octets."""
    if len(octets) == 4:
        return ".".join(map(str, octets))
    return str(IPv6Address(octets))


@lru_cache(maxsize=4096)
def hardware_text(octets: bytes) -> str:
    """A link-layer address as text ("02:00:00:00:00:01")."""
    return octets.hex(":")


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP packet for IPv4 over Ethernet (RFC 826).

    Attributes:
        operation: 1 request, 2 reply.
        sender_hardware_address: "02:00:00:00:00:01".
        sender_address: "0.0.0.0" in a probe (RFC 5227 section 1.1).
        target_hardware_address: all zero in a request.
        target_address: whose hardware address is wanted, or told.
    """

    operation: int
    sender_hardware_address: str
    sender_address: str
    target_hardware_address: str
    target_address: str

    def encode(self) -> bytes:
        """The octets after the Ethernet header."""
        return b"".join(
            (
                struct.pack("!HHBBH", 1, 0x0800, 6, 4, self.operation),
                bytes.fromhex(self.sender_hardware_address.replace(":", "")),
                bytes(map(int, self.sender_address.split("."))),
                bytes.fromhex(self.target_hardware_address.replace(":", "")),
                bytes(map(int, self.target_address.split("."))),
            )
        )

    def summary(self) -> str:
        """One line for a ladder."""
        if self.operation == 1:
            if self.sender_address == "0.0.0.0":
                return f"ARP probe {self.target_address}"
            return f"ARP who has {self.target_address}, tell {self.sender_address}"
        if self.operation == 2:
            return f"ARP {self.sender_address} is at {self.sender_hardware_address}"
        return f"ARP operation {self.operation}"


def decode_arp(data: bytes) -> Arp | None:
    """Cut an ARP packet; None where it is not for IPv4 over Ethernet.

    Raises:
        DecodeError: shorter than its own lengths say.
    """
    if len(data) < 8:
        raise DecodeError(f"ARP packet: header needs 8 octets, {len(data)} are there")
    hardware, protocol, hardware_length, length, operation = struct.unpack_from("!HHBBH", data)
    need = 8 + 2 * (hardware_length + length)
    if len(data) < need:
        raise DecodeError(f"ARP packet: its address lengths need {need} octets, {len(data)} remain")
    if (hardware, protocol, hardware_length, length) != (1, 0x0800, 6, 4):
        return None
    return Arp(
        operation,
        hardware_text(data[8:14]),
        ip_text(data[14:18]),
        hardware_text(data[18:24]),
        ip_text(data[24:28]),
    )


@dataclass(frozen=True, slots=True)
class Embedded:
    """The packet that an ICMP error is about, as far as the error quotes it.

    Attributes:
        protocol: the number in its IP header (17 is UDP).
        source: port 0 where the protocol has none, or the quotation ends before it.
        destination: likewise.
        identification: of its IPv4 header; 0 for IPv6.
        length: octets of the whole packet, by its own header.
    """

    protocol: int
    source: Endpoint
    destination: Endpoint
    identification: int
    length: int


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP message (RFC 792), or an ICMPv6 one (RFC 4443).

    Attributes:
        version: 4 or 6.
        type: the first octet.
        code: the second octet.
        checksum: as it was on the wire; not verified.
        rest: the four octets after the checksum.
        data: all that follows.
        embedded: of an error: the packet that it is about; None where nothing usable is quoted.
    """

    version: int
    type: int
    code: int
    checksum: int
    rest: bytes
    data: bytes
    embedded: Embedded | None = None

    @property
    def identifier(self) -> int:
        """Of an echo."""
        return int.from_bytes(self.rest[:2], "big")

    @property
    def sequence(self) -> int:
        """Of an echo."""
        return int.from_bytes(self.rest[2:], "big")

    @property
    def is_error(self) -> bool:
        """Whether it quotes a packet."""
        return self.type < 128 if self.version == 6 else self.type in (3, 4, 5, 11, 12)

    @property
    def is_echo(self) -> bool:
        """Whether it is an echo request or reply."""
        return self.type in ((8, 0) if self.version == 4 else (128, 129))

    def encode(self) -> bytes:
        """The octets after the IP header, with the checksum as it was."""
        return struct.pack("!BBH", self.type, self.code, self.checksum) + self.rest + self.data

    def summary(self) -> str:
        """One line for a ladder."""
        name = _ICMP_NAMES.get((self.version, self.type), f"type {self.type} code {self.code}")
        if (self.version, self.type) in ((4, 3), (6, 1)):
            name = _UNREACHABLE.get((self.version, self.code), f"{name}, code {self.code}")
        if self.is_echo:
            name += f" {self.sequence}"
        word = "ICMP" if self.version == 4 else "ICMPv6"
        about = f", {self.embedded.destination}" if self.embedded else ""
        return f"{word} {name}{about}"


def _embedded(data: bytes, version: int) -> Embedded | None:
    """The quoted packet: its addresses, and its ports where they are still quoted."""
    if version == 4:
        if len(data) < 20 or data[0] >> 4 != 4:
            return None
        length, identification = struct.unpack_from("!HH", data, 2)
        protocol, header = data[9], (data[0] & 15) * 4
        source, destination = ip_text(data[12:16]), ip_text(data[16:20])
        first = not int.from_bytes(data[6:8], "big") & 0x1FFF
    else:
        if len(data) < 40 or data[0] >> 4 != 6:
            return None
        length, identification = 40 + int.from_bytes(data[4:6], "big"), 0
        protocol, header, first = data[6], 40, True
        source, destination = ip_text(data[8:24]), ip_text(data[24:40])
    ports = (0, 0)
    if first and protocol in _WITH_PORTS and len(data) >= header + 4:
        ports = struct.unpack_from("!HH", data, header)
    return Embedded(
        protocol,
        Endpoint(source, ports[0]),
        Endpoint(destination, ports[1]),
        identification,
        length,
    )


def decode_icmp(data: bytes, version: int) -> Icmp:
    """Cut an ICMP message.

    Raises:
        DecodeError: shorter than the eight octets that every one has.
    """
    if len(data) < 8:
        raise DecodeError(f"ICMP message: header needs 8 octets, {len(data)} are there")
    kind, code, checksum = struct.unpack_from("!BBH", data)
    message = Icmp(version, kind, code, checksum, data[4:8], data[8:])
    if not message.is_error:
        return message
    about = _embedded(message.data, version)
    return Icmp(version, kind, code, checksum, message.rest, message.data, about)
