"""The relay: carries the frames of links whose quality is not that of a wire, where the kernel
cannot.

It stands where a bridge stands otherwise: it reads whole Ethernet frames from the link's ports,
asks the sender's `Lane` what becomes of them, and writes them to the port of whoever they are for
when their time has come.  Nodes' interfaces are what they always are, so that the capture sees each
frame where its sender put it on the link, and again where it arrived.

`Relay` is the loop, of sockets and one clock; it knows neither processes nor namespaces.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from testbed.engines.conveyance import Lane, is_refused
from testbed.topology import Quality

_LONGEST_FRAME = 9216
_AT_A_TIME = 64
"""Frames that are read from a port before others have their turn."""
_NO_ROOM = frozenset({errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM})
_ADDRESS_OCTETS = 6


@dataclass(slots=True)
class Counts:
    """What has become of the frames of a link.

    Attributes:
        frames: that nodes have sent.
        lost: of these, by chance.
        doubled: likewise.
        overtaken: likewise.
        refused: fragments and ICMP that the link drops.
        overflowed: that found the queue before a bounded rate full.
        spoilt: that the machine was too slow for; no quality asks for that.
    """

    frames: int = 0
    lost: int = 0
    doubled: int = 0
    overtaken: int = 0
    refused: int = 0
    overflowed: int = 0
    spoilt: int = 0


@dataclass(eq=False, slots=True)
class RelayedLink:
    """A link that the relay carries.

    Attributes:
        name: in the topology.
        quality: how it carries.
        counts: of all its frames.
    """

    name: str
    quality: Quality
    counts: Counts = field(default_factory=Counts)
    ports: list[RelayPort] = field(default_factory=list)
    holders: dict[bytes, RelayPort] = field(default_factory=dict)
    """Who was last heard behind which port, by link-layer address."""


class RelayPort:
    """Where a node is on a relayed link.

    Args:
        link: which; the port joins it.
        station: "node/interface", which tells its randomness from that of others.
        wire: gives and takes whole frames, without blocking.
        seed: of all randomness.
    """

    __slots__ = ("lane", "link", "station", "wire")

    def __init__(self, link: RelayedLink, station: str, wire: socket.socket, seed: str) -> None:
        self.link = link
        self.station = station
        self.wire = wire
        self.lane = Lane(link.quality, Random(f"{seed}/link/{link.name}/{station}"))
        link.ports.append(self)


class Relay:
    """Carries frames until it is told to end.

    Args:
        links: with their ports.
        control: readable when it is to end, or nobody is left who could say so.
        now_us: the clock.
    """

    def __init__(
        self,
        links: Sequence[RelayedLink],
        control: socket.socket,
        now_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._now_us = now_us
        self._control = control.fileno()
        self._ports = {port.wire.fileno(): port for link in links for port in link.ports}
        self._on_way: list[tuple[int, int, RelayPort, bytes]] = []
        self._count = 0

    def run(self) -> None:
        """Carry frames until the control socket has something to read, or has ended."""
        with select.epoll() as ready:
            for descriptor in (self._control, *self._ports):
                ready.register(descriptor, select.EPOLLIN)
            while True:
                # An epoll counts milliseconds, a select microseconds; so one waits for the other.
                if select.select([ready], [], [], self.deliver())[0]:
                    for descriptor, _ in ready.poll(0):
                        if descriptor == self._control:
                            return
                        self.read(self._ports[descriptor])

    def deliver(self) -> float | None:
        """Write what is due; gives the seconds until more is, None: nothing is on its way."""
        on_way = self._on_way
        while on_way:
            left_us = on_way[0][0] - self._now_us()
            if left_us > 0:
                return left_us / 1e6
            _, _, port, data = heappop(on_way)
            self._write(port, data)
        return None

    def read(self, port: RelayPort) -> None:
        """Take what has come in at a port."""
        receive, accept = port.wire.recv, self._accept
        try:
            for _ in range(_AT_A_TIME):
                accept(port, receive(_LONGEST_FRAME))
        except OSError:
            return  # nothing more; or its cable was pulled, which the socket says once

    def _accept(self, port: RelayPort, data: bytes) -> None:
        """A node has put a frame on the link."""
        link, lane = port.link, port.lane
        counts, quality = link.counts, link.quality
        counts.frames += 1
        link.holders[data[_ADDRESS_OCTETS : 2 * _ADDRESS_OCTETS]] = port
        now_us = self._now_us()
        begins_us = lane.begins_us(now_us, len(data))
        if begins_us is None:
            counts.overflowed += 1
            return
        fate, takes_us = lane.drawn(data), lane.takes_us(len(data))
        if quality.is_selective and is_refused(quality, data):
            counts.refused += 1
            return
        if not fate.copies:
            counts.lost += 1
            return
        if len(fate.copies) > 1:
            counts.doubled += 1
        elif fate.copies[0]:
            counts.overtaken += 1
        for due_us in lane.arrivals_us(begins_us, takes_us, fate):
            if due_us <= now_us and not self._on_way:
                self._write(port, data)
            else:
                self._count += 1
                heappush(self._on_way, (due_us, self._count, port, data))

    def _write(self, sender: RelayPort, data: bytes) -> None:
        """A frame arrives: at whoever was heard with that address, else at all others."""
        holder = sender.link.holders.get(data[:_ADDRESS_OCTETS])
        if holder is not None:
            if holder is not sender:
                self._send(holder, data)
            return
        for port in sender.link.ports:
            if port is not sender:
                self._send(port, data)

    @staticmethod
    def _send(port: RelayPort, data: bytes) -> None:
        try:
            port.wire.send(data)
        except OSError as error:  # else its cable is out, or it is gone
            if error.errno in _NO_ROOM:
                port.link.counts.spoilt += 1
