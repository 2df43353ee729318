"""Packets built and read past the kernel, against a foreign decoder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP
from scapy.packet import Raw

from testbed.engines.emulation.packets import arp_announcement, checksum, read_udp, udp_packet
from testbed.protocols.wire import Endpoint

SOURCE = Endpoint("192.168.1.1", 67)
DESTINATION = Endpoint("192.168.1.100", 68)

addresses = st.ip_addresses(v=4).map(str)
ports = st.integers(0, 65535)
endpoints = st.builds(Endpoint, addresses, ports)


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001 f203 f4f5 f6f7")) == ~0xDDF2 & 0xFFFF


@pytest.mark.parametrize("payload", [b"", b"odd", bytes(1472)], ids=["empty", "odd", "longest"])
def test_a_packet_is_the_one_that_scapy_builds(payload: bytes) -> None:
    theirs = IP(src=SOURCE.address, dst=DESTINATION.address, id=0, flags="DF", ttl=64)
    theirs /= UDP(sport=67, dport=68) / Raw(payload)

    assert udp_packet(SOURCE, DESTINATION, payload) == bytes(theirs)


def test_a_checksum_of_zero_is_sent_as_all_ones() -> None:
    zero = next(
        packet
        for number in range(65536)
        if (packet := udp_packet(SOURCE, DESTINATION, number.to_bytes(2, "big")))[26:28]
        == b"\xff\xff"
    )

    assert read_udp(zero) == (SOURCE, DESTINATION, zero[28:])


@given(endpoints, endpoints, st.binary(max_size=100))
def test_what_is_built_is_read(source: Endpoint, destination: Endpoint, payload: bytes) -> None:
    packet = udp_packet(source, destination, payload)

    assert read_udp(packet + b"padding") == (source, destination, payload)


@given(st.binary(max_size=80))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    read = read_udp(data)

    assert read is None or len(read) == 3


@pytest.mark.parametrize("offset", range(28))
def test_a_changed_header_octet_is_noticed(offset: int) -> None:
    packet = bytearray(udp_packet(SOURCE, DESTINATION, b"OFFER"))
    packet[offset] ^= 0x10

    assert read_udp(bytes(packet)) is None


def test_a_fragment_is_no_datagram() -> None:
    whole = IP(src=SOURCE.address, dst=DESTINATION.address) / UDP(sport=67, dport=68) / Raw(b"?")
    whole.flags = "MF"

    assert read_udp(bytes(whole)) is None


def test_an_announcement_names_the_holder_twice() -> None:
    theirs = ARP(
        op="who-has",
        hwsrc="02:00:00:00:00:01",
        psrc="10.0.0.1",
        hwdst="00:00:00:00:00:00",
        pdst="10.0.0.1",
    )

    assert arp_announcement("02:00:00:00:00:01", "10.0.0.1") == bytes(theirs)
