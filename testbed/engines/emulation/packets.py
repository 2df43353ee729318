"""The few packets that a node sends or reads past its kernel's IP stack: UDP in IPv4, and ARP.

DHCP needs them while an address is not yet in place.  Knows no socket.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from testbed.protocols.wire import Endpoint

_UDP = 17
_TIME_TO_LIVE = 64
_DO_NOT_FRAGMENT = 0x4000
_FRAGMENT = 0x3FFF
"""More fragments, or an offset."""
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806


def checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071; 0 over octets that hold their own right checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    return ~total & 0xFFFF


def _pseudo_header(source: bytes, destination: bytes, udp_octets: int) -> bytes:
    return struct.pack("!4s4sBBH", source, destination, 0, _UDP, udp_octets)


def udp_packet(source: Endpoint, destination: Endpoint, payload: bytes) -> bytes:
    """A whole IPv4 packet with one UDP datagram, both checksums right.

    RFC 6864 clause 4.1: a packet that may not be fragmented needs no identification.
    """
    from_address = IPv4Address(source.address).packed
    to_address = IPv4Address(destination.address).packed
    octets = 8 + len(payload)
    udp = struct.pack("!HHHH", source.port, destination.port, octets, 0) + payload
    # RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
    udp_sum = checksum(_pseudo_header(from_address, to_address, octets) + udp) or 0xFFFF
    udp = udp[:6] + udp_sum.to_bytes(2, "big") + udp[8:]
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45, 0, 20 + octets, 0, _DO_NOT_FRAGMENT, _TIME_TO_LIVE, _UDP, 0, from_address, to_address,
    )  # fmt: skip
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + udp


def read_udp(packet: bytes) -> tuple[Endpoint, Endpoint, bytes] | None:
    """Source, destination and payload of a whole IPv4 UDP packet.

    None for what a kernel would not give to a UDP socket either: a fragment, a wrong length or a
    wrong checksum.
    """
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    header_octets = (packet[0] & 15) * 4
    total, flags = struct.unpack_from("!2xH2xH", packet)
    if header_octets < 20 or total < header_octets + 8 or total > len(packet):
        return None
    if flags & _FRAGMENT or packet[9] != _UDP or checksum(packet[:header_octets]):
        return None
    source, destination = packet[12:16], packet[16:20]
    udp = packet[header_octets:total]
    source_port, destination_port, octets, udp_sum = struct.unpack_from("!HHHH", udp)
    if not 8 <= octets <= len(udp):
        return None
    udp = udp[:octets]
    if udp_sum and checksum(_pseudo_header(source, destination, octets) + udp):
        return None
    return (
        Endpoint(str(IPv4Address(source)), source_port),
        Endpoint(str(IPv4Address(destination)), destination_port),
        udp[8:],
    )


def arp_announcement(hardware_address: str, address: str) -> bytes:
    """RFC 5227 clause 2.3: the ARP request that tells a link who holds `address` from now on.

    From the ARP header on; it is to be sent to the link's broadcast address.
    """
    return arp_request(hardware_address, address, address)


def arp_request(hardware_address: str, address: str, wanted: str) -> bytes:
    """The ARP request of the holder of `address` for the hardware address of `wanted` (RFC 826)."""
    ethernet, protocol = 1, ETHERTYPE_IPV4
    mine = bytes.fromhex(hardware_address.replace(":", ""))
    held, asked = IPv4Address(address).packed, IPv4Address(wanted).packed
    return struct.pack("!HHBBH6s4s6s4s", ethernet, protocol, 6, 4, 1, mine, held, bytes(6), asked)


def answers_arp(packet: bytes, wanted: str) -> bool:
    """Whether an ARP packet is the answer of the holder of `wanted`."""
    reply = packet[6:8] == b"\x00\x02"
    return len(packet) >= 28 and reply and packet[14:18] == IPv4Address(wanted).packed
