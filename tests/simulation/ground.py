"""Nodes in virtual time for tests: worlds of a few hosts, without roles."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from testbed.engines.simulation.clock import SimulationLoop, run
from testbed.engines.simulation.host import SimulatedHost
from testbed.engines.simulation.links import Judge
from testbed.engines.simulation.segments import Segment, decode
from testbed.engines.simulation.world import SimulationWorld
from testbed.host import Stream
from testbed.protocols.wire import Endpoint
from testbed.topology import Quality, Topology, places, static_addresses
from testbed.trace.record import Event
from testbed.trace.trace import Trace

P = ParamSpec("P")
HMS = Endpoint("10.0.0.2", 7547)
ANY = Endpoint("0.0.0.0", 0)


_made: list[Ground] = []
"""The worlds of the test that runs: they are finished with it."""


class Ground:
    """A world and its trace."""

    def __init__(
        self,
        topology: Topology,
        seed: str = "1",
        judge: Judge | None = None,
        real_tls: bool = False,
    ) -> None:
        self.trace = Trace(arrivals=True)
        self.trace.set_nodes(places(topology), static_addresses(topology))
        self.world = SimulationWorld(topology, self.trace, seed, real_tls, judge=judge)
        _made.append(self)

    def host(self, name: str) -> SimulatedHost:
        return self.world.hosts[name]

    def told(self, name: str) -> list[Event]:
        return [
            each.message
            for each in self.trace.records
            if each.is_event and each.message.name == name
        ]

    def segments(self, sender: str) -> list[Segment]:
        """The TCP segments that a node has put on its links."""
        found = []
        for record in self.trace.records:
            if record.sender == sender and record.transport == "tcp" and record.frame is not None:
                assert record.source is not None
                assert record.destination is not None
                found.append(
                    decode(
                        record.source.address, record.destination.address, record.frame.data[34:]
                    )
                )
        return found


def two_hosts(**quality: float) -> Topology:
    """hnb at 10.0.0.1 and hms at 10.0.0.2 on one link."""
    net = Topology("two hosts")
    wire = net.link("wire", "10.0.0.0/24")
    wire.quality = Quality().changed(quality)
    net.node("hnb", wire.at(1))
    net.node("hms", wire.at(2))
    return net


def pair(
    seed: str = "1", judge: Judge | None = None, real_tls: bool = False, **quality: float
) -> tuple[Ground, SimulatedHost, SimulatedHost]:
    """The ground with two hosts on one link."""
    ground = Ground(two_hosts(**quality), seed, judge, real_tls)
    return ground, ground.host("hnb"), ground.host("hms")


def in_virtual_time(
    test: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Run an async test in virtual time."""

    @functools.wraps(test)
    def play(*args: P.args, **kwargs: P.kwargs) -> None:
        def begin(loop: SimulationLoop) -> Coroutine[Any, Any, None]:
            return test(*args, **kwargs)

        try:
            run(begin)
        finally:
            while _made:
                _made.pop().world.finish()

    return play


async def echo(stream: Stream) -> None:
    """Send back what comes, until its end."""
    while data := await stream.receive():
        await stream.send(data)
