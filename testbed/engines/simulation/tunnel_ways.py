"""Where packets of a node's tunnels go: into which tunnel, and back out of it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

from testbed.engines.simulation.packets import Packet

MTU = 1400
"""Of a tunnel's inside, as charon's own interface has it."""
Way = Callable[[Packet], None]
"""Takes a packet into a tunnel."""


class TunnelWays:
    """The tunnels of one node, as its stack sees them.

    Attributes:
        own: by the inner address that this node has: what comes from it goes through that tunnel.
        others: by the inner address that this node has given: what is for it goes through that one.
        forwards: whether the node passes on what comes out of tunnels.
        pool: of the inner addresses that it gives: what is for one that nobody has is lost.
    """

    def __init__(self) -> None:
        self.own: dict[str, Way] = {}
        self.others: dict[str, Way] = {}
        self.forwards = False
        self.pool: IPv4Network | None = None

    def divert(self, packet: Packet) -> bool:
        """Send a packet through the tunnel that it is for; whether there is one."""
        way = self.own.get(packet.source) or self.others.get(packet.destination)
        if way is None:
            return self.pool is not None and IPv4Address(packet.destination) in self.pool
        for part in [packet] if packet.octets <= MTU else packet.fragments(MTU):
            way(part)
        return True
