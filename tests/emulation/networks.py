"""The topology that the tests of the emulated network stand on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from testbed.engines.emulation.network import Network
from testbed.topology import Topology


def homes(count: int = 1) -> Topology:
    topology = Topology("homes at the internet")
    internet = topology.link("internet", "203.0.113.0/24")
    topology.node("outer_dns", internet.at(53))
    topology.node("serving_segw", internet.at(50))
    for home in topology.repeat("home", count):
        lan = home.link("home", "192.168.1.0/24")
        home.node("gateway", lan.at(1), internet.next_free(), router="203.0.113.53")
        home.node("hnb", lan.by_dhcp())
    return topology


@contextmanager
def running(topology: Topology) -> Iterator[Network]:
    network = Network(topology)
    try:
        network.start()
        yield network
    finally:
        network.stop()
