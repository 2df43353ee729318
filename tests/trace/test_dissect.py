import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some
from trace_frames import START_NS, Word, address, ethernet, ipv4, tcp, udp, words

from testbed.protocols.wire import Endpoint
from testbed.trace.decoders import Decoders
from testbed.trace.packets import Arp, Icmp
from testbed.trace.record import Frame
from testbed.trace.trace import Trace

ONE, OTHER = "02:00:00:00:00:00", "02:00:00:00:01:00"
SOURCE, DESTINATION = ("192.168.1.100", 40000), ("203.0.113.50", 7000)


def record_of(data, link_type=1, trace=None):
    trace = trace or Trace(words())
    frame = Frame(START_NS, "home", "hnb", "eth0", data, link_type)
    return trace.add_frame(frame)[-1]


def word_packet(payload=b"hello"):
    return ipv4("192.168.1.100", "203.0.113.50", 17, udp(SOURCE, DESTINATION, payload))


def ipv6(protocol, payload, extensions=b""):
    head = struct.pack("!IHBB", 6 << 28, len(extensions) + len(payload), protocol, 64)
    one = bytes.fromhex("20010db8000000000000000000000001")
    other = bytes.fromhex("20010db8000000000000000000000002")
    return head + one + other + extensions + payload


def test_a_datagram_is_decoded_by_its_destination_port():
    record = record_of(ethernet(ONE, OTHER, word_packet()))

    assert record.transport == "udp"
    assert record.source == Endpoint("192.168.1.100", 40000)
    assert record.destination == Endpoint("203.0.113.50", 7000)
    assert record.message == Word("hello", tuple("hello"))
    assert record.payload == b"hello"


def test_an_answer_is_decoded_by_its_source_port():
    packet = ipv4("203.0.113.50", "192.168.1.100", 17, udp(DESTINATION, SOURCE, b"yes"))

    assert record_of(ethernet(ONE, OTHER, packet)).message == Word("yes", tuple("yes"))


def test_padding_of_a_short_ethernet_frame_is_no_payload():
    record = record_of(ethernet(ONE, OTHER, word_packet() + bytes(20)))

    assert record.payload == b"hello"


def test_padding_of_a_pure_acknowledgement_is_no_payload():
    packet = ipv4("10.0.0.1", "10.0.0.2", 6, tcp(("10.0.0.1", 1), ("10.0.0.2", 2), 5, 16))

    record = record_of(ethernet(ONE, OTHER, packet + bytes(6)))

    assert record.payload == b""


def test_octets_behind_the_length_of_a_datagram_are_no_payload():
    packet = ipv4("10.0.0.1", "10.0.0.2", 17, udp(SOURCE, DESTINATION, b"hello") + b"more")

    assert record_of(ethernet(ONE, OTHER, packet)).payload == b"hello"


def test_a_payload_that_its_port_does_not_explain_is_an_error_with_its_octets():
    record = record_of(ethernet(ONE, OTHER, word_packet(b"no1")))

    assert str(record.error) == "word: octet at offset 2 is 0x31, no letter"
    assert record.message is None
    assert record.payload == b"no1"


def test_vlan_tags_are_stepped_over():
    tagged = ethernet(ONE, OTHER, struct.pack("!HH", 5, 0x0800) + word_packet(), 0x8100)

    assert record_of(tagged).message.text == "hello"


@pytest.mark.parametrize("link_type", [101, 228, 12])
def test_raw_ip_needs_no_link_layer(link_type):
    assert record_of(word_packet(), link_type).message.text == "hello"


@pytest.mark.parametrize(
    ("link_type", "header"),
    [
        pytest.param(113, bytes(14) + b"\x08\x00", id="version 1"),
        pytest.param(276, b"\x08\x00" + bytes(18), id="version 2"),
    ],
)
def test_frames_of_any_interface_are_read(link_type, header):
    assert record_of(header + word_packet(), link_type).message.text == "hello"


def test_a_link_type_that_is_not_read_is_named_and_no_error():
    record = record_of(b"octets", 147)

    assert record.transport == "link 147"
    assert record.error is None


def test_arp_is_a_message():
    arp = Arp(1, ONE, "192.168.1.100", "00:00:00:00:00:00", "192.168.1.1")

    record = record_of(ethernet(ONE, "ff:ff:ff:ff:ff:ff", arp.encode(), 0x0806))

    assert record.message == arp
    assert record.message.summary() == "ARP who has 192.168.1.1, tell 192.168.1.100"
    assert record.source is None
    assert record.receiver is None


def test_an_icmp_error_tells_the_endpoints_of_the_packet_that_it_quotes():
    quoted = word_packet()[:28]
    message = b"\x03\x03\x00\x00" + bytes(4) + quoted
    packet = ipv4("203.0.113.50", "192.168.1.100", 1, message)

    record = record_of(ethernet(ONE, OTHER, packet))

    assert record.message.summary() == "ICMP port unreachable, 203.0.113.50:7000"
    assert record.message.embedded.source == Endpoint("192.168.1.100", 40000)
    assert record.message.encode() == message


def test_a_quoted_packet_without_ports_has_port_zero():
    packet = ipv4("203.0.113.50", "192.168.1.100", 1, b"\x0b" + bytes(7) + word_packet()[:20])

    message = record_of(ethernet(ONE, OTHER, packet)).message

    assert message.embedded.destination == Endpoint("203.0.113.50", 0)


def test_ipv6_extension_headers_are_stepped_over():
    hop_by_hop = bytes([17, 0]) + bytes(6)
    packet = ipv6(0, udp(("0.0.0.0", 1), ("0.0.0.0", 7000), b"six"), hop_by_hop)

    record = record_of(ethernet(ONE, OTHER, packet, 0x86DD))

    assert record.message.text == "six"
    assert record.destination == Endpoint("2001:db8::2", 7000)


def test_icmpv6_is_a_message():
    packet = ipv6(58, b"\x80\x00\x00\x00\x00\x01\x00\x07")

    message = record_of(ethernet(ONE, OTHER, packet, 0x86DD)).message

    assert isinstance(message, Icmp)
    assert message.summary() == "ICMPv6 echo request 7"


@pytest.mark.parametrize(
    ("data", "transport", "sentence"),
    [
        pytest.param(
            b"12345", "ethernet", "Ethernet frame: header needs 14 octets, 5 are there", id="frame"
        ),
        pytest.param(
            ethernet(ONE, OTHER, b"\x45" + bytes(9)),
            "ipv4",
            "IPv4 packet: header needs 20 octets, 10 are there",
            id="IPv4 header",
        ),
        pytest.param(
            ethernet(ONE, OTHER, word_packet()[:-3]),
            "ipv4",
            "IPv4 packet: total length at offset 2 says 33 octets, 30 are there",
            id="IPv4 length",
        ),
        pytest.param(
            ethernet(ONE, OTHER, b"\x42" + word_packet()[1:]),
            "ipv4",
            "IPv4 packet: header length at offset 0 says 8 octets, 20 to 33 are possible",
            id="IPv4 header length",
        ),
        pytest.param(
            ethernet(ONE, OTHER, ipv4("1.2.3.4", "5.6.7.8", 17, b"\0\1\0\2\0\x63\0\0")),
            "udp",
            "UDP datagram: length at offset 4 says 99 octets, 8 to 8 are possible",
            id="UDP length",
        ),
        pytest.param(
            ethernet(ONE, OTHER, ipv4("1.2.3.4", "5.6.7.8", 6, bytes(12) + b"\xf0" + bytes(7))),
            "tcp",
            "TCP segment: data offset at offset 12 says 60 octets, 20 to 20 are possible",
            id="TCP header",
        ),
        pytest.param(
            ethernet(ONE, OTHER, ipv4("1.2.3.4", "5.6.7.8", 1, b"\x08\0")),
            "icmp",
            "ICMP message: header needs 8 octets, 2 are there",
            id="ICMP",
        ),
        pytest.param(
            ethernet(ONE, OTHER, b"\0\1\x08\0\6\4\0\1" + bytes(9), 0x0806),
            "arp",
            "ARP packet: its address lengths need 28 octets, 17 remain",
            id="ARP",
        ),
        pytest.param(
            ethernet(ONE, OTHER, ipv6(43, b"", bytes([17, 3]) + bytes(6)), 0x86DD),
            "ipv6",
            "IPv6 packet: extension header 43 at offset 40 says 32 octets, 8 remain",
            id="IPv6 extension",
        ),
    ],
)
def test_what_cannot_be_cut_is_an_error_that_names_place_and_measure(data, transport, sentence):
    record = record_of(data)

    assert (record.transport, str(record.error)) == (transport, sentence)


def fragments(payload, size=16, identification=77):
    whole = udp(SOURCE, DESTINATION, payload)
    for offset in range(0, len(whole), size):
        part = whole[offset : offset + size]
        more = offset + size < len(whole)
        packet = ipv4("192.168.1.100", "203.0.113.50", 17, part, identification, offset, more)
        yield ethernet(ONE, OTHER, packet)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 0, 1, 2)])
def test_fragments_are_put_together_in_any_order(order):
    trace = Trace(words())
    parts = list(fragments(b"a" * 35))

    records = [record_of(parts[place], trace=trace) for place in order]

    assert [record.message for record in records[:-1]] == [None] * (len(order) - 1)
    assert records[0].marks == {"fragment"}
    assert records[-1].message.text == "a" * 35
    assert records[-1].marks == {"reassembled"}


def test_fragments_of_different_packets_are_kept_apart():
    trace = Trace(words())
    one, other = list(fragments(b"a" * 20)), list(fragments(b"b" * 20, identification=78))

    record_of(one[0], trace=trace)
    record = record_of(other[1], trace=trace)

    assert record.message is None


def test_fragments_that_wait_too_long_are_forgotten():
    trace = Trace(words())
    first, second = fragments(b"a" * 20)
    trace.add_frame(Frame(START_NS, "home", "hnb", "eth0", first))

    (record,) = trace.add_frame(Frame(START_NS + 31 * 10**9, "home", "hnb", "eth0", second))

    assert record.message is None


def test_a_fragment_beyond_the_longest_packet_is_an_error():
    packet = ipv4("1.2.3.4", "5.6.7.8", 17, bytes(100), 9, 65528, False)

    record = record_of(ethernet(ONE, OTHER, packet))

    assert str(record.error) == (
        "IP fragment: offset 65528 and 100 octets end at 65628, a packet holds at most 65535"
    )


def test_the_usual_decoders_are_imported_when_their_port_is_seen():
    usual = Decoders()

    assert usual.datagram(40000, 53) is not None
    assert usual.datagram(67, 68) is not None
    assert usual.stream(40000, 53) is not None
    assert usual.datagram(1, 2) is None


@given(some.binary(max_size=200), some.sampled_from([1, 101, 113, 276, 228, 7]))
def test_no_octets_raise(data, link_type):
    assert record_of(data, link_type).number == 0


@given(
    some.binary(max_size=80),
    some.sampled_from([1, 6, 17, 44, 50, 58]),
    some.integers(0, 65535),
    some.booleans(),
)
def test_no_packet_raises(payload, protocol, place, is_ipv6):
    packet = (
        ipv6(protocol, payload)
        if is_ipv6
        else ipv4("1.2.3.4", "5.6.7.8", protocol, payload, 1, place & 0xFFF8, bool(place & 1))
    )

    assert record_of(ethernet(ONE, OTHER, packet, 0x86DD if is_ipv6 else 0x0800)).number == 0


@given(some.binary(max_size=120), some.integers(0, 119), some.integers(0, 255))
def test_no_damage_raises(payload, place, octet):
    data = bytearray(
        ethernet(
            ONE, OTHER, ipv4("1.2.3.4", "5.6.7.8", 6, tcp(SOURCE, DESTINATION, 1, 24, payload))
        )
    )
    data[place % len(data)] = octet

    assert record_of(bytes(data)).number == 0


@pytest.mark.slow
def test_scapy_reads_the_same(scapy):
    layers = scapy.Ether(src=ONE, dst=OTHER) / scapy.IP(src="10.0.0.1", dst="10.0.0.2")
    made = layers / scapy.UDP(sport=1234, dport=7000) / b"hello"

    record = record_of(bytes(made))

    assert record.message.text == "hello"
    assert record.source == Endpoint("10.0.0.1", 1234)


@pytest.mark.slow
def test_fragments_cut_by_scapy_are_put_together(scapy):
    packet = scapy.IP(src="10.0.0.1", dst="10.0.0.2", id=5) / scapy.UDP(sport=1, dport=7000)
    trace = Trace(words())

    records = [
        record_of(bytes(scapy.Ether(src=ONE, dst=OTHER) / part), trace=trace)
        for part in scapy.fragment(packet / (b"x" * 3000), fragsize=1480)
    ]

    assert len(records) == 3
    assert records[-1].message.text == "x" * 3000


@pytest.mark.slow
def test_icmp_made_by_scapy_is_read(scapy):
    quoted = scapy.IP(src="10.0.0.2", dst="10.0.0.1") / scapy.UDP(sport=5, dport=6)
    made = scapy.Ether() / scapy.IP() / scapy.ICMP(type=3, code=3) / quoted

    message = record_of(bytes(made)).message

    assert message.embedded.destination == Endpoint("10.0.0.1", 6)
    assert address("10.0.0.1") in message.data
