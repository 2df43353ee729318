"""A home in octets: frames cut by hand, and the trace that they make."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from testbed.errors import DecodeError
from testbed.trace.decoders import Decoders
from testbed.trace.pieces import LengthPrefixed
from testbed.trace.record import Frame
from testbed.trace.trace import Trace

START_NS = 1_700_000_000_000_000_000
MILLISECOND = 1_000_000

NODES = {
    "02:00:00:00:00:00": ("hnb", "eth0", "home"),
    "02:00:00:00:01:00": ("gateway", "eth0", "home"),
    "02:00:00:00:01:01": ("gateway", "eth1", "internet"),
    "02:00:00:00:02:00": ("outer_dns", "eth0", "internet"),
    "02:00:00:00:03:00": ("segw", "eth0", "internet"),
}
MAC = {(node, link): mac for mac, (node, _, link) in NODES.items()}
STATIC = {
    ("gateway", "eth0"): "192.168.1.1",
    ("gateway", "eth1"): "203.0.113.100",
    ("outer_dns", "eth0"): "203.0.113.53",
    ("segw", "eth0"): "203.0.113.50",
}


def address(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, destination, protocol, payload, identification=1, offset=0, more=False):
    def header(check):
        return struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0,
            20 + len(payload),
            identification,
            (0x2000 if more else 0) | offset // 8,
            64,
            protocol,
            check,
            address(source),
            address(destination),
        )

    return header(checksum(header(0))) + payload


def _pseudo(source, destination, protocol, length):
    return address(source) + address(destination) + struct.pack("!BBH", 0, protocol, length)


def udp(source, destination, payload):
    """A UDP datagram between ("address", port) pairs, with its checksum."""
    length = 8 + len(payload)
    ports = struct.pack("!HHH", source[1], destination[1], length)
    pseudo = _pseudo(source[0], destination[0], 17, length)
    check = checksum(pseudo + ports + bytes(2) + payload) or 0xFFFF
    return ports + struct.pack("!H", check) + payload


def tcp(source, destination, sequence, flags, payload=b"", acknowledgement=0):
    def segment(check):
        return (
            struct.pack(
                "!HHIIBBHHH",
                source[1],
                destination[1],
                sequence & 0xFFFFFFFF,
                acknowledgement & 0xFFFFFFFF,
                5 << 4,
                flags,
                65535,
                check,
                0,
            )
            + payload
        )

    pseudo = _pseudo(source[0], destination[0], 6, 20 + len(payload))
    return segment(checksum(pseudo + segment(0)))


def ethernet(source, destination, payload, ethertype=0x0800):
    def octets(text):
        return bytes.fromhex(text.replace(":", ""))

    return octets(destination) + octets(source) + struct.pack("!H", ethertype) + payload


@dataclass(frozen=True, slots=True)
class Word:
    """A message of the tests' own protocol: letters only."""

    text: str
    letters: tuple[str, ...] = ()

    def encode(self) -> bytes:
        return self.text.encode()

    def summary(self) -> str:
        return f"WORD {self.text}"


def decode_word(data: bytes) -> Word:
    for offset, octet in enumerate(data):
        if not chr(octet).isalpha():
            raise DecodeError(f"word: octet at offset {offset} is 0x{octet:02x}, no letter")
    text = data.decode("ascii", "replace")
    return Word(text, tuple(text))


def words() -> Decoders:
    """Words over UDP 7000 and, each after its length, over TCP 7000."""
    decoders = Decoders(usual=False)
    decoders.register_datagram(7000, decode_word)
    decoders.register_stream(7000, lambda _: LengthPrefixed(decode_word, "word"))
    return decoders


class Home:
    """hnb - home - gateway (NAT) - internet - outer_dns, segw: puts frames into a trace."""

    lan = ("192.168.1.100", 40000)
    wan = ("203.0.113.100", 40000)
    server = ("203.0.113.50", 7000)

    def __init__(self, arrivals: bool = True) -> None:
        self.trace = Trace(words(), arrivals)
        self.trace.set_nodes(NODES, STATIC)
        self.trace.add_event(
            "hnb", "ADDRESS", {"interface": "eth0", "address": "192.168.1.100"}, START_NS
        )
        self.now_ms = 0
        self.sent: list[Frame] = []

    def frame(self, node, link, to, packet, ethertype=0x0800):
        mac = MAC[node, link]
        target = "ff:ff:ff:ff:ff:ff" if to is None else MAC[to, link]
        interface = NODES[mac][1]
        time_ns = START_NS + self.now_ms * MILLISECOND
        return Frame(time_ns, link, node, interface, ethernet(mac, target, packet, ethertype))

    def put(self, node, link, to, packet, copies=1, ethertype=0x0800):
        """One frame on its link, and its copies at whom it is for."""
        self.now_ms += 1
        frame = self.frame(node, link, to, packet, ethertype)
        self.sent.append(frame)
        records = self.trace.add_frame(frame)
        receivers = [to] if to else [n for n, on in MAC if on == link and n != node]
        for receiver in receivers * copies:
            arrival = Frame(frame.time_ns + 1000, link, receiver, "eth0", frame.data)
            self.trace.arrived(arrival)
        return records[0]

    def out(self, payload=b"hello", first=1, second=1, source=None):
        """A datagram of the hnb to the segw through the NAT, with copies that arrive a link."""
        source = source or self.lan
        lan = ipv4(source[0], self.server[0], 17, udp(source, self.server, payload))
        wan = ipv4(self.wan[0], self.server[0], 17, udp(self.wan, self.server, payload))
        records = [self.put("hnb", "home", "gateway", lan, first)]
        forwarded = [self.put("gateway", "internet", "segw", wan, second) for _ in range(first)]
        return records + forwarded

    def segment(self, from_hnb, sequence, flags, payload=b"", ack=0, copies=1, links=2):
        """A TCP segment between hnb and segw, on both links."""
        records = []
        hops = (
            (("hnb", "home", "gateway", self.lan), ("gateway", "internet", "segw", self.wan))
            if from_hnb
            else (("segw", "internet", "gateway", self.wan), ("gateway", "home", "hnb", self.lan))
        )
        for node, link, to, ours in hops[:links]:
            source, destination = (ours, self.server) if from_hnb else (self.server, ours)
            data = tcp(source, destination, sequence, flags, payload, ack)
            packet = ipv4(source[0], destination[0], 6, data)
            records.append(self.put(node, link, to, packet, copies))
        return records

    def connect(self, sequence=1000, other=5000):
        self.segment(True, sequence, 2)
        self.segment(False, other, 18, ack=sequence + 1)
        self.segment(True, sequence + 1, 16, ack=other + 1)
