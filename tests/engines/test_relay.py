"""The relay's loop, between sockets that stand for ports."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from testbed.engines.emulation.relay import Relay, RelayedLink, RelayPort
from testbed.topology import Passage, Quality

HARDWARE = {name: bytes([2, 0, 0, 0, 0, number]) for number, name in enumerate("abc")}
ALL = b"\xff" * 6


class Wire:
    """A link of three nodes, the relay's clock, and the nodes' ends of their cables."""

    def __init__(self, **quality: object) -> None:
        self.now_us = 0
        self.link = RelayedLink("wire", Quality(delay_ms=0, jitter_ms=0).changed(quality))
        self.ends: dict[str, socket.socket] = {}
        self.ports: dict[str, RelayPort] = {}
        self.sockets: list[socket.socket] = []
        for name in HARDWARE:
            ours, theirs = self.pair()
            self.ends[name] = ours
            self.ports[name] = RelayPort(self.link, f"{name}/eth0", theirs, "1")
        self.control, theirs = self.pair()
        self.relay = Relay([self.link], theirs, lambda: self.now_us)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        both = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in both:
            each.setblocking(False)
        self.sockets += both
        return both

    def send(self, sender: str, receiver: bytes, text: bytes, at_us: int = 0) -> None:
        self.now_us = at_us
        self.relay.deliver()
        self.ends[sender].send(receiver + HARDWARE[sender] + b"\x08\x00" + text)
        self.relay.read(self.ports[sender])

    def received(self, name: str, at_us: int | None = None) -> list[bytes]:
        """The texts that have come to a node by then."""
        if at_us is not None:
            self.now_us = at_us
            self.relay.deliver()
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.ends[name].recv(2000)[14:])
        return found


@pytest.fixture
def wires() -> Iterator[type[Wire]]:
    made: list[Wire] = []

    class Kept(Wire):
        def __init__(self, **quality: object) -> None:
            super().__init__(**quality)
            made.append(self)

    yield Kept
    for wire in made:
        for each in wire.sockets:
            each.close()


def test_a_broadcast_reaches_all_but_its_sender(wires: type[Wire]) -> None:
    wire = wires()
    wire.send("a", ALL, b"who is there")

    assert [wire.received(name) for name in "abc"] == [[], [b"who is there"], [b"who is there"]]


def test_who_was_heard_gets_its_frames_alone(wires: type[Wire]) -> None:
    wire = wires()
    wire.send("a", HARDWARE["b"], b"to all, as nobody has heard of b")
    wire.send("b", HARDWARE["a"], b"to a alone")
    wire.send("a", HARDWARE["b"], b"to b alone")

    assert wire.received("a") == [b"to a alone"]
    assert wire.received("b") == [b"to all, as nobody has heard of b", b"to b alone"]
    assert wire.received("c") == [b"to all, as nobody has heard of b"]


def test_who_moves_to_another_port_is_found_there(wires: type[Wire]) -> None:
    wire = wires()
    wire.send("b", ALL, b"here")
    wire.ends["c"].send(ALL + HARDWARE["b"] + b"\x08\x00" + b"now here")
    wire.relay.read(wire.ports["c"])
    for name in "abc":
        wire.received(name)
    wire.send("a", HARDWARE["b"], b"to b")

    assert [wire.received(name) for name in "bc"] == [[], [b"to b"]]


def test_a_frame_arrives_when_its_time_has_come(wires: type[Wire]) -> None:
    wire = wires(delay_ms=20)
    wire.send("a", ALL, b"first", at_us=0)
    wire.send("a", ALL, b"second", at_us=15_000)

    assert wire.relay.deliver() == pytest.approx(0.005)
    assert wire.received("b", at_us=19_999) == []
    assert wire.received("b", at_us=20_000) == [b"first"]
    assert wire.received("b", at_us=35_000) == [b"second"]
    assert wire.relay.deliver() is None


def test_each_sender_meets_its_own_fate_whatever_others_send(wires: type[Wire]) -> None:
    def lost(others: int) -> list[int]:
        wire = wires(loss=0.3)
        for number in range(100):
            for _ in range(others):
                wire.send("c", ALL, b"c")
            wire.send("a", ALL, bytes([number]))
        return [text[0] for text in wire.received("b") if text != b"c"]

    assert lost(0) == lost(1)
    assert 50 < len(lost(0)) < 90


def test_what_became_of_frames_is_counted(wires: type[Wire]) -> None:
    wire = wires(loss=0.2, duplication=0.2, reordering=0.2)
    for _ in range(200):
        wire.send("a", HARDWARE["b"], b"")
    came = len(wire.received("b", at_us=100_000))
    counts = wire.link.counts

    assert counts.frames == 200
    assert came == 200 - counts.lost + counts.doubled
    assert min(counts.lost, counts.doubled, counts.overtaken) > 10


def test_what_the_link_drops_by_its_contents_is_counted(wires: type[Wire]) -> None:
    wire = wires(icmp=Passage.DROPPED)
    wire.send("a", ALL, bytes(9) + b"\x01" + bytes(20))
    wire.send("a", ALL, bytes(9) + b"\x11" + bytes(20))

    assert len(wire.received("b")) == 1
    assert wire.link.counts.refused == 1


def test_a_full_queue_before_a_rate_is_counted(wires: type[Wire]) -> None:
    wire = wires(rate_kbps=8)
    for _ in range(300):
        wire.send("a", ALL, bytes(986))

    assert wire.link.counts.overflowed == 37


def test_a_receiver_that_is_not_read_is_no_quality_of_the_link(wires: type[Wire]) -> None:
    wire = wires()
    for _ in range(2000):
        wire.send("a", HARDWARE["b"], bytes(1400))
    held = len(wire.received("b"))

    assert wire.link.counts.spoilt == 2 * 2000 - held - len(wire.received("c"))
    assert wire.link.counts.lost == 0


def test_it_ends_when_it_is_told_to(wires: type[Wire]) -> None:
    wire = wires(delay_ms=1)
    wire.ends["a"].send(ALL + HARDWARE["a"] + b"\x08\x00")
    wire.control.send(b"end")
    wire.relay.run()


def test_it_ends_when_nobody_is_left(wires: type[Wire]) -> None:
    wire = wires()
    wire.control.close()
    wire.relay.run()
