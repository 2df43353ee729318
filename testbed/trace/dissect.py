"""From a frame to its messages: Ethernet, ARP, IP with its fragments, ICMP, UDP, TCP.

Nothing here raises: what cannot be cut, or decoded though its port says what it is, becomes an
error beside the octets.  Decoding does not judge.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

from testbed.errors import DecodeError
from testbed.protocols.wire import Endpoint
from testbed.trace.decoders import ESP, Decoders
from testbed.trace.fragments import Fragments
from testbed.trace.packets import (
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    Icmp,
    decode_arp,
    decode_icmp,
    hardware_text,
    ip_text,
)
from testbed.trace.record import Frame
from testbed.trace.tcp import Connections, decode_segment

ETHERNET, RAW_IP, LINUX_COOKED, LINUX_COOKED_2, RAW_IPV4, RAW_IPV6 = 1, 101, 113, 276, 228, 229
_OLD_RAW_IP = (12, 14)
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
_TAGS = (0x8100, 0x88A8)
_NAMES = {UDP: "udp", TCP: "tcp", ICMP: "icmp", ICMPV6: "icmp", ESP: "esp"}
_IPV6_EXTENSIONS = (0, 43, 60, 135)  # hop-by-hop, routing, destination options, mobility
_IPV6_FRAGMENT = 44
_NO_MARKS: frozenset[str] = frozenset()


class Link(NamedTuple):
    """A frame's link layer: who and to whom; None where it has no addresses."""

    source: str | None
    destination: str | None
    is_group: bool
    ethertype: int
    payload: bytes


class Packet(NamedTuple):
    """An IP packet; `fragment` is (identification, offset in octets, whether more follow)."""

    version: int
    source: str
    destination: str
    protocol: int
    payload: bytes
    fragment: tuple[int, int, bool] | None


@dataclass(slots=True)
class Content:
    """One message of a frame, on its way to become a record.

    Attributes:
        key: equal for the same message on every link that it crosses; None: crosses none.
    """

    transport: str
    source: Endpoint | None = None
    destination: Endpoint | None = None
    message: Any = None
    error: DecodeError | None = None
    payload: bytes = b""
    marks: frozenset[str] = _NO_MARKS
    stream: int | None = None
    key: Hashable = None
    carried: tuple[Any, ...] = ()


class Dissection(NamedTuple):
    """All that a frame holds: at least one content."""

    link: Link | None
    contents: list[Content]


def cut_link(frame: Frame) -> Link | None:
    """The link layer of a frame; None: of a kind that is not read here.

    Raises:
        DecodeError: shorter than its header.
    """
    data, kind = frame.data, frame.link_type
    if kind == ETHERNET:
        if len(data) < 14:
            raise DecodeError(f"Ethernet frame: header needs 14 octets, {len(data)} are there")
        offset = 14
        ethertype = data[12] << 8 | data[13]
        while ethertype in _TAGS:
            if len(data) < offset + 4:
                raise DecodeError(
                    f"Ethernet frame: VLAN tag at offset {offset} needs 4 octets, "
                    f"{len(data) - offset} remain"
                )
            ethertype = data[offset + 2] << 8 | data[offset + 3]
            offset += 4
        return Link(
            hardware_text(data[6:12]),
            hardware_text(data[:6]),
            bool(data[0] & 1),
            ethertype,
            data[offset:],
        )
    if kind in (RAW_IP, RAW_IPV4, RAW_IPV6, *_OLD_RAW_IP):
        if not data:
            raise DecodeError("IP packet: nothing is there")
        return Link(None, None, False, IPV6 if data[0] >> 4 == 6 else IPV4, data)
    if kind in (LINUX_COOKED, LINUX_COOKED_2):
        header, place = (16, 14) if kind == LINUX_COOKED else (20, 0)
        if len(data) < header:
            raise DecodeError(
                f"Linux cooked frame: header needs {header} octets, {len(data)} are there"
            )
        ethertype = int.from_bytes(data[place : place + 2], "big")
        return Link(None, None, False, ethertype, data[header:])
    return None


def cut_ipv4(data: bytes) -> Packet:
    """Cut an IPv4 packet (RFC 791 section 3.1).

    Raises:
        DecodeError: its lengths do not fit what is there.
    """
    if len(data) < 20:
        raise DecodeError(f"IPv4 packet: header needs 20 octets, {len(data)} are there")
    first, _, total, identification, flags, _, protocol = struct.unpack_from("!BBHHHBB", data)
    if first >> 4 != 4:
        raise DecodeError(f"IPv4 packet: version at offset 0 says {first >> 4}, 4 is expected")
    header = (first & 15) * 4
    if not total:
        total = len(data)  # segmentation offload leaves the length to the interface
    if header < 20 or header > total:
        raise DecodeError(
            f"IPv4 packet: header length at offset 0 says {header} octets, "
            f"20 to {total} are possible"
        )
    if total > len(data):
        raise DecodeError(
            f"IPv4 packet: total length at offset 2 says {total} octets, {len(data)} are there"
        )
    fragment = None
    if flags & 0x3FFF:
        fragment = (identification, (flags & 0x1FFF) * 8, bool(flags & 0x2000))
    return Packet(
        4, ip_text(data[12:16]), ip_text(data[16:20]), protocol, data[header:total], fragment
    )


def cut_ipv6(data: bytes) -> Packet:
    """Cut an IPv6 packet and its extension headers (RFC 8200 sections 3 and 4).

    Raises:
        DecodeError: its lengths do not fit what is there.
    """
    if len(data) < 40:
        raise DecodeError(f"IPv6 packet: header needs 40 octets, {len(data)} are there")
    if data[0] >> 4 != 6:
        raise DecodeError(f"IPv6 packet: version at offset 0 says {data[0] >> 4}, 6 is expected")
    length, protocol = struct.unpack_from("!HB", data, 4)
    end = 40 + length if length else len(data)
    if end > len(data):
        raise DecodeError(
            f"IPv6 packet: payload length at offset 4 says {length} octets, "
            f"{len(data) - 40} are there"
        )
    offset, fragment = 40, None
    while fragment is None and (protocol in _IPV6_EXTENSIONS or protocol == _IPV6_FRAGMENT):
        if end < offset + 8:
            raise DecodeError(
                f"IPv6 packet: extension header {protocol} at offset {offset} needs 8 octets, "
                f"{end - offset} remain"
            )
        octets = 8
        if protocol == _IPV6_FRAGMENT:
            place, identification = struct.unpack_from("!HI", data, offset + 2)
            if place & 0xFFF9:  # neither offset nor more: an atomic fragment (RFC 6946)
                fragment = (identification, place & 0xFFF8, bool(place & 1))
        else:
            octets = 8 * (data[offset + 1] + 1)
            if offset + octets > end:
                raise DecodeError(
                    f"IPv6 packet: extension header {protocol} at offset {offset} says {octets} "
                    f"octets, {end - offset} remain"
                )
        protocol = data[offset]
        offset += octets
    return Packet(
        6, ip_text(data[8:24]), ip_text(data[24:40]), protocol, data[offset:end], fragment
    )


class Dissector:
    """Cuts frames; remembers fragments and connections between them.

    Args:
        decoders: payload decoders by port.
    """

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders
        self._fragments = Fragments()
        self._connections = Connections()

    def dissect(self, frame: Frame) -> Dissection:
        """All that the frame holds; never raises."""
        try:
            link = cut_link(frame)
        except DecodeError as error:
            transport = "ethernet" if frame.link_type == ETHERNET else f"link {frame.link_type}"
            return Dissection(None, [Content(transport, error=error, payload=frame.data)])
        if link is None:
            return Dissection(None, [Content(f"link {frame.link_type}", payload=frame.data)])
        hop = frame.node or link.source or ""
        if link.ethertype in (IPV4, IPV6):
            return Dissection(link, self._ip(frame, link, hop))
        if link.ethertype == ARP:
            content = Content("arp", payload=link.payload)
            try:
                content.message = decode_arp(link.payload)
            except DecodeError as error:
                content.error = error
            return Dissection(link, [content])
        content = Content(f"0x{link.ethertype:04x}", payload=link.payload)
        return Dissection(link, [content])

    def _ip(self, frame: Frame, link: Link, hop: str) -> list[Content]:
        try:
            packet = (cut_ipv4 if link.ethertype == IPV4 else cut_ipv6)(link.payload)
        except DecodeError as error:
            transport = "ipv4" if link.ethertype == IPV4 else "ipv6"
            same = (transport, link.payload)
            return [Content(transport, error=error, payload=link.payload, key=same)]
        if packet.fragment is None:
            return self._transport(packet, frame.link, hop)
        identification, offset, more = packet.fragment
        key = (frame.link, hop, packet.source, packet.destination, packet.protocol, identification)
        part = self._plain(packet, _NAMES.get(packet.protocol, str(packet.protocol)))
        part.marks = frozenset({"fragment"})
        part.key = ("fragment", packet.protocol, identification, offset, packet.payload)
        try:
            whole = self._fragments.add(key, offset, packet.payload, more, frame.time_ns)
        except DecodeError as error:
            part.error = error
            return [part]
        if whole is None:
            return [part]
        contents = self._transport(packet._replace(payload=whole), frame.link, hop)
        for content in contents:
            content.marks |= {"reassembled"}
        return contents

    def _transport(self, packet: Packet, link: str, hop: str) -> list[Content]:
        try:
            if packet.protocol == UDP:
                return [self._udp(packet)]
            if packet.protocol == TCP:
                return self._tcp(packet, link, hop)
            if packet.protocol == (ICMP if packet.version == 4 else ICMPV6):
                return [self._icmp(packet)]
        except DecodeError as error:
            content = self._plain(packet, _NAMES[packet.protocol])
            content.error = error
            return [content]
        return [self._other(packet)]

    def _other(self, packet: Packet) -> Content:
        """A protocol that is known by its number; ports, where its messages have some."""
        content = self._plain(packet, _NAMES.get(packet.protocol, str(packet.protocol)))
        decode = self._decoders.protocol(packet.protocol)
        if decode is None:
            return content
        try:
            content.message = decode(packet.payload)
        except DecodeError as error:
            content.error = error
            return content
        source, destination = (
            getattr(content.message, name, 0) for name in ("source_port", "destination_port")
        )
        content.source = Endpoint(packet.source, source)
        content.destination = Endpoint(packet.destination, destination)
        return content

    @staticmethod
    def _plain(packet: Packet, transport: str) -> Content:
        return Content(
            transport,
            Endpoint(packet.source, 0),
            Endpoint(packet.destination, 0),
            payload=packet.payload,
            key=(transport, packet.payload),
        )

    def _udp(self, packet: Packet) -> Content:
        data = packet.payload
        if len(data) < 8:
            raise DecodeError(f"UDP datagram: header needs 8 octets, {len(data)} are there")
        source, destination, length = struct.unpack_from("!HHH", data)
        if not 8 <= length <= len(data):
            raise DecodeError(
                f"UDP datagram: length at offset 4 says {length} octets, "
                f"8 to {len(data)} are possible"
            )
        payload = data[8:length]
        content = Content(
            "udp",
            Endpoint(packet.source, source),
            Endpoint(packet.destination, destination),
            payload=payload,
            key=("udp", payload),
        )
        decode = self._decoders.datagram(source, destination)
        if decode is not None:
            try:
                content.message = decode(payload)
            except DecodeError as error:
                content.error = error
        return content

    def _icmp(self, packet: Packet) -> Content:
        message = decode_icmp(packet.payload, packet.version)
        content = self._plain(packet, "icmp")
        content.message = message
        content.key = _icmp_key(message)
        return content

    def _tcp(self, packet: Packet, link: str, hop: str) -> list[Content]:
        segment = decode_segment(packet.payload)
        source = Endpoint(packet.source, segment.source_port)
        destination = Endpoint(packet.destination, segment.destination_port)
        connection = self._connections.find(link, source, destination, segment)
        pieces, marks = connection.take(hop, source, destination, segment, self._decoders)
        same = (segment.sequence, segment.acknowledgement, segment.flags, segment.payload)
        contents = []
        for number, piece in enumerate(pieces):
            content = Content("tcp", source, destination, payload=piece.octets, marks=marks)
            if isinstance(piece.message, DecodeError):
                content.error = piece.message
            else:
                content.message, content.error = piece.message, piece.error
                content.carried = piece.carried
            content.stream = connection.ordinal
            content.key = ("tcp", number, *same)
            contents.append(content)
        if not contents:
            content = Content("tcp", source, destination, payload=segment.payload, marks=marks)
            content.stream = connection.ordinal
            content.key = ("tcp", 0, *same)
            contents.append(content)
        return contents


def _icmp_key(message: Icmp) -> Hashable:
    """What a NAT leaves as it is: not an echo's identifier, not a quoted packet's endpoints."""
    kind = ("icmp", message.version, message.type, message.code)
    about = message.embedded
    if about is not None:
        return (*kind, about.protocol, about.identification, about.length)
    if message.is_echo:
        return (*kind, message.sequence, message.data)
    return (*kind, message.rest, message.data)
