"""Packets as octets: Ethernet, ARP, IPv4, ICMP, UDP, with right lengths and checksums.

Knows no clock and no node.  TCP segments are in `segments`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address

from testbed.protocols.wire import Endpoint

ICMP, TCP, UDP = 1, 6, 17
IP_HEADER_OCTETS, UDP_HEADER_OCTETS = 20, 8
TIME_TO_LIVE = 64
ETHERNET_BROADCAST = "ff:ff:ff:ff:ff:ff"
ANY_ADDRESS = "0.0.0.0"
ANSWERS, ASKS = 2, 1

_IPV4, _ARP, _IPV6 = b"\x08\x00", b"\x08\x06", b"\x86\xdd"
_DO_NOT_FRAGMENT, _MORE_FRAGMENTS = 0x4000, 0x2000
NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp"}

ECHO_REPLY, UNREACHABLE, ECHO_REQUEST, TIME_EXCEEDED = 0, 3, 8, 11
HOST_UNREACHABLE, PORT_UNREACHABLE, FRAGMENTATION_NEEDED, PROHIBITED = 1, 3, 4, 13
NETWORK_UNREACHABLE = 0


@lru_cache(maxsize=65536)
def address_octets(address: str) -> bytes:
    """An address as its four or sixteen octets."""
    return ip_address(address).packed


def address_of(octets: bytes) -> str:
    """The address that four or sixteen octets are."""
    return str(ip_address(octets))


@lru_cache(maxsize=65536)
def hardware_octets(address: str) -> bytes:
    """A link-layer address as its six octets."""
    return bytes.fromhex(address.replace(":", ""))


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of octets that are not all zero.

    A sum of 16-bit words in ones' complement is the number that they spell, modulo 65535.
    """
    if len(data) % 2:
        data += b"\0"
    rest = int.from_bytes(data, "big") % 0xFFFF
    return 0xFFFF - rest if rest else 0


@dataclass(slots=True)
class Packet:
    """An IP packet, or a fragment of one; IPv6 is spoken on loopbacks only.

    Attributes:
        source: address.
        destination: address.
        protocol: number of what it carries.
        payload: the transport's header and what follows it.
        identification: for fragments.
        time_to_live: hops that it may still make.
        may_be_fragmented: else a router that would have to says so.
        offset: of a fragment, in octets.
        more: whether fragments follow.
    """

    source: str
    destination: str
    protocol: int
    payload: bytes
    identification: int = 0
    time_to_live: int = TIME_TO_LIVE
    may_be_fragmented: bool = True
    offset: int = 0
    more: bool = False

    @property
    def octets(self) -> int:
        """Its length."""
        return IP_HEADER_OCTETS + len(self.payload)

    @property
    def is_fragment(self) -> bool:
        """Whether it is not a whole packet."""
        return self.more or self.offset > 0

    def encode(self) -> bytes:
        """The octets from the IP header on (RFC 791, 3.1; RFC 8200, 3)."""
        if ":" in self.source:
            return (
                struct.pack(
                    "!IHBB16s16s",
                    6 << 28,
                    len(self.payload),
                    self.protocol,
                    self.time_to_live,
                    address_octets(self.source),
                    address_octets(self.destination),
                )
                + self.payload
            )
        flags = 0 if self.may_be_fragmented else _DO_NOT_FRAGMENT
        flags |= _MORE_FRAGMENTS if self.more else 0
        header = struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0,
            IP_HEADER_OCTETS + len(self.payload),
            self.identification,
            flags | self.offset >> 3,
            self.time_to_live,
            self.protocol,
            0,
            address_octets(self.source),
            address_octets(self.destination),
        )
        return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + self.payload

    def endpoints(self) -> tuple[Endpoint, Endpoint]:
        """Source and destination, with ports; an ICMP echo's identifier is both its ports."""
        if self.protocol in (UDP, TCP):
            source, destination = struct.unpack_from("!HH", self.payload)
        elif self.protocol == ICMP and self.payload[0] in (ECHO_REQUEST, ECHO_REPLY):
            source = destination = int.from_bytes(self.payload[4:6], "big")
        else:
            source = destination = 0
        return Endpoint(self.source, source), Endpoint(self.destination, destination)

    def readdressed(self, source: Endpoint, destination: Endpoint) -> Packet:
        """The same between other endpoints, its checksum right again."""
        payload = self.payload
        if self.protocol == ICMP:
            if payload[0] in (ECHO_REQUEST, ECHO_REPLY):
                port = source.port if payload[0] == ECHO_REQUEST else destination.port
                payload = _icmp_octets(
                    payload[0], payload[1], _uint16(port) + payload[6:8], payload
                )
        elif self.protocol in (UDP, TCP):
            ports = _uint16(source.port) + _uint16(destination.port)
            payload = with_checksum(
                self.protocol, source.address, destination.address, ports + payload[4:]
            )
        return replace(
            self, source=source.address, destination=destination.address, payload=payload
        )

    def fragments(self, most_octets: int) -> list[Packet]:
        """Itself in pieces that fit an MTU (RFC 791, 2.3)."""
        room = (most_octets - IP_HEADER_OCTETS) & ~7
        payload = self.payload
        return [
            replace(
                self,
                payload=payload[start : start + room],
                offset=self.offset + start,
                more=self.more or start + room < len(payload),
            )
            for start in range(0, len(payload), room)
        ]


def _uint16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def with_checksum(protocol: int, source: str, destination: str, octets: bytes) -> bytes:
    """A UDP datagram or TCP segment with its checksum set, over the pseudo header."""
    place = 6 if protocol == UDP else 16
    blank = octets[:place] + b"\0\0" + octets[place + 2 :]
    ends = address_octets(source) + address_octets(destination)
    if len(ends) == 8:
        pseudo = ends + struct.pack("!BBH", 0, protocol, len(octets))
    else:  # RFC 8200, 8.1
        pseudo = ends + struct.pack("!I3xB", len(octets), protocol)
    total = checksum(pseudo + blank)
    if protocol == UDP:
        total = total or 0xFFFF  # RFC 768: zero is transmitted as all ones
    return octets[:place] + total.to_bytes(2, "big") + octets[place + 2 :]


def udp(source: Endpoint, destination: Endpoint, data: bytes) -> bytes:
    """A UDP datagram with its header."""
    header = struct.pack("!HHHH", source.port, destination.port, UDP_HEADER_OCTETS + len(data), 0)
    return with_checksum(UDP, source.address, destination.address, header + data)


def _icmp_octets(kind: int, code: int, rest: bytes, whole: bytes) -> bytes:
    octets = struct.pack("!BBH", kind, code, 0) + rest + whole[8:]
    return octets[:2] + checksum(octets).to_bytes(2, "big") + octets[4:]


def icmp(kind: int, code: int, rest: bytes, data: bytes) -> bytes:
    """An ICMP message (RFC 792); `rest` are the four octets after its checksum."""
    return _icmp_octets(kind, code, rest, bytes(8) + data)


def icmp_error(about: Packet, source: str, kind: int, code: int, mtu: int = 0) -> Packet | None:
    """The error that `source` sends about a packet; None: none is sent about such a one.

    Not about errors, later fragments and what was sent to all (RFC 1122, 3.2.2).
    """
    is_error = about.protocol == ICMP and about.payload[0] not in (ECHO_REPLY, ECHO_REQUEST)
    if is_error or about.offset or about.source == ANY_ADDRESS:
        return None
    quoted = about.encode()[:548]  # RFC 1812, 4.3.2.3: at most 576 octets in all
    rest = b"\0\0" + _uint16(mtu)
    return Packet(source, about.source, ICMP, icmp(kind, code, rest, quoted))


def quoted_packet(error: bytes) -> Packet | None:
    """The packet that an ICMP error is about, as far as it is quoted; None: it is no error."""
    if error[0] not in (UNREACHABLE, TIME_EXCEEDED) or len(error) < 8 + IP_HEADER_OCTETS + 8:
        return None
    quoted = error[8:]
    return Packet(
        ".".join(map(str, quoted[12:16])),
        ".".join(map(str, quoted[16:20])),
        quoted[9],
        quoted[IP_HEADER_OCTETS:],
        int.from_bytes(quoted[4:6], "big"),
        quoted[8],
    )


def requoted(error: Packet, about: Packet, destination: str) -> Packet:
    """An ICMP error that a translator passes on: about the packet as its sender knows it."""
    payload = error.payload
    quoted = payload[8:]
    ports = b"".join(_uint16(each.port) for each in about.endpoints())
    header = quoted[:12] + address_octets(about.source) + address_octets(about.destination)
    header = header[:10] + b"\0\0" + header[12:]
    header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
    inner = header + ports + quoted[IP_HEADER_OCTETS + 4 :]
    octets = icmp(payload[0], payload[1], payload[4:8], inner)
    return replace(error, destination=destination, payload=octets)


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP packet (RFC 826).

    Attributes:
        operation: 1 asks, 2 answers.
        sender_hardware: link-layer address of who says it.
        sender: its address.
        target_hardware: whom an answer is for.
        target: the address that is asked for.
    """

    operation: int
    sender_hardware: str
    sender: str
    target_hardware: str
    target: str

    def encode(self) -> bytes:
        """The octets after the Ethernet header."""
        return struct.pack(
            "!HHBBH6s4s6s4s",
            1,
            0x0800,
            6,
            4,
            self.operation,
            hardware_octets(self.sender_hardware),
            address_octets(self.sender),
            hardware_octets(self.target_hardware),
            address_octets(self.target),
        )


def frame(destination: str, source: str, content: Packet | Arp) -> bytes:
    """An Ethernet frame."""
    kind = _ARP
    if isinstance(content, Packet):
        kind = _IPV6 if ":" in content.source else _IPV4
    return hardware_octets(destination) + hardware_octets(source) + kind + content.encode()
