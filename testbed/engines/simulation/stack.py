"""The IP stack of a node: routes, forwarding, fragments, ICMP; who gets what comes in."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from testbed.engines.simulation.clock import MICROSECONDS, SimulationLoop
from testbed.engines.simulation.interfaces import NetworkInterface
from testbed.engines.simulation.packets import (
    ECHO_REPLY,
    ECHO_REQUEST,
    FRAGMENTATION_NEEDED,
    HOST_UNREACHABLE,
    ICMP,
    NETWORK_UNREACHABLE,
    PORT_UNREACHABLE,
    TCP,
    TIME_EXCEEDED,
    UDP,
    UNREACHABLE,
    Packet,
    icmp,
    icmp_error,
    quoted_packet,
)
from testbed.engines.simulation.translation import Translator
from testbed.engines.simulation.tunnel_ways import MTU, TunnelWays
from testbed.topology import LOOPBACK_ADDRESSES

LOOPBACK_MTU = 32768
"""Octets; less than Linux has, so that lengths of either IP fit in their fields."""

LOOPBACK_DELAY_S = 10e-6
"""What a node sends to itself takes this long, so that cause and effect have different times."""
_LEAST_MTU = 552
"""No way is believed to take less (Linux, `min_pmtu`)."""
REASSEMBLED_WITHIN_S = 30.0
"""RFC 791, 3.2 and Linux: what has not come whole by then is dropped."""
_ERRORS = {
    NETWORK_UNREACHABLE: errno.ENETUNREACH,
    HOST_UNREACHABLE: errno.EHOSTUNREACH,
    PORT_UNREACHABLE: errno.ECONNREFUSED,
}
Deliver = Callable[[Packet, NetworkInterface | None, bool], bool]
"""Called with a packet for this node, where it came in (None: by a tunnel) and whether it was for
all on the link; gives whether anybody took it."""


class Stack:
    """IPv4 of one node.

    Args:
        loop: the clock.
        random: of identifications.
        interfaces: made by `attach`.

    Attributes:
        interfaces: by name.
        router: of the default route; None: there is none.
        translator: what forwards; None: the node forwards nothing but what tunnels carry.
        tunnels: where packets of its tunnels go.
        raw: its ports below UDP and TCP, by protocol's number.
        deliver: who takes packets for this node, by protocol's number.
        reset: called with each TCP segment that nobody takes.
        looped: called with each packet that the node sends to itself.
        heard: called with the quoted packet and the errno of an ICMP error about a packet of ours.
        shortened: called with a quoted packet that was too long, and how long one may be.
    """

    def __init__(self, loop: SimulationLoop, random: Random) -> None:
        self.interfaces: dict[str, NetworkInterface] = {}
        self.router: str | None = None
        self.translator: Translator | None = None
        self.tunnels = TunnelWays()
        self.raw: dict[int, list[Any]] = {}
        self.deliver: dict[int, Deliver] = {}
        self.heard: Callable[[Packet, int], None] = lambda packet, number: None
        self.shortened: Callable[[Packet, int], None] = lambda packet, mtu: None
        self.looped: Callable[[Packet], None] = lambda packet: None
        self.reset: Callable[[Packet], None] = lambda packet: None
        self.has_power = True
        self._loop = loop
        self._random = random
        self._way_mtu: dict[str, int] = {}
        self._partial: dict[tuple[str, str, int, int], dict[int, Packet]] = {}

    # What the node is asked

    def is_own(self, address: str) -> bool:
        """Whether its loopback, one of its interfaces, or a tunnel gives it the address."""
        return (
            address in LOOPBACK_ADDRESSES
            or address in self.tunnels.own
            or any(each.holds(address) for each in self.interfaces.values())
        )

    def route(self, destination: str) -> tuple[NetworkInterface, str] | None:
        """By which interface and neighbour a destination is reached; None: it is not."""
        found = None
        for interface in self.interfaces.values():
            near = interface.address is not None and interface.reaches(destination)
            if near and (found is None or interface.prefix_length > found.prefix_length):
                found = interface
        if found is not None:
            return found, destination
        if self.router is None:
            return None
        for interface in self.interfaces.values():
            if interface.address is not None and interface.reaches(self.router):
                everybody = destination == "255.255.255.255"
                return interface, destination if everybody else self.router
        return None

    def source_for(self, destination: str) -> str:
        """The address from which a destination is reached.

        Raises:
            OSError: it is not reached.
        """
        if self.is_own(destination):
            return destination
        way = self.route(destination)
        if way is None or way[0].address is None:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        return way[0].address

    def most_octets(self, destination: str) -> int:
        """The MTU of the first link towards a destination; where there are tunnels, theirs."""
        if destination in LOOPBACK_ADDRESSES:
            return LOOPBACK_MTU
        if self.tunnels.own or self.tunnels.others:
            return MTU
        way = self.route(destination)
        return way[0].link.mtu if way is not None else 1500

    # Packets that go

    def send(self, packet: Packet, interface: NetworkInterface | None = None) -> bool:
        """Send a packet of this node; whether there was a way."""
        if not self.has_power:
            return False
        packet.identification = self._random.getrandbits(16)
        if self.translator is not None and packet.protocol == UDP:
            self.translator.note_own(packet)
        if interface is None and self.is_own(packet.destination):
            self.looped(packet)
            self._loop.call_later(LOOPBACK_DELAY_S, self._returned, packet)
            return True
        if interface is None and self.tunnels.divert(packet):
            return True
        if interface is None or not interface.is_broadcast(packet.destination):
            way = self.route(packet.destination)
            if way is None or (interface is not None and way[0] is not interface):
                return False
            interface, next_hop = way
        else:
            next_hop = packet.destination
        mtu = interface.link.mtu
        if packet.protocol == UDP:
            # As Linux has it (ip(7), IP_PMTUDISC_WANT): no router may cut what is no longer than
            # the way is known to take; this node cuts what is.
            mtu = min(mtu, self._way_mtu.get(packet.destination, mtu))
            packet.may_be_fragmented = packet.octets > mtu
        self._put(packet, interface, next_hop, mtu)
        return True

    def _returned(self, packet: Packet) -> None:
        """A packet to itself comes in without having been on any link."""
        for interface in self.interfaces.values():
            if interface.holds(packet.destination):
                self._take_own(packet, interface, False)
                return
        self._take_own(packet, None, False)

    def _put(self, packet: Packet, interface: NetworkInterface, next_hop: str, mtu: int) -> None:
        if packet.octets <= mtu:
            interface.send(packet, next_hop)
            return
        for fragment in packet.fragments(mtu):
            interface.send(fragment, next_hop)

    def unreachable(self, packet: Packet) -> None:
        """Nobody answers for the next hop of a packet: whoever sent it hears of it."""
        if self.is_own(packet.source):
            self.heard(packet, errno.EHOSTUNREACH)
        else:
            self._complain(packet, UNREACHABLE, HOST_UNREACHABLE)

    def _complain(self, about: Packet, kind: int, code: int, mtu: int = 0) -> None:
        way = self.route(about.source)
        if way is None or way[0].address is None:
            return
        error = icmp_error(about, way[0].address, kind, code, mtu)
        if error is not None:
            self.send(error)

    # Packets that come

    def take(self, packet: Packet, interface: NetworkInterface, to_all: bool) -> None:
        """A packet came in by an interface."""
        if not self.has_power:
            return
        own = self.is_own(packet.destination)
        if packet.is_fragment and (own or self.translator is not None):
            whole = self._reassembled(packet)
            if whole is None:
                return
            packet = whole
        if to_all or interface.is_broadcast(packet.destination):
            self._take_own(packet, interface, True)
        elif own:
            self._take_for_own_address(packet, interface)
        elif not self._took_bare(packet, interface):
            self._forward(packet, interface)

    def take_inner(self, packet: Packet) -> None:
        """A packet came out of a tunnel."""
        if not self.has_power:
            return
        if not self.is_own(packet.destination):
            self._forward(packet, None)
            return
        whole = self._reassembled(packet) if packet.is_fragment else packet
        if whole is not None:
            self._take_own(whole, None, False)

    def _took_bare(self, packet: Packet, interface: NetworkInterface) -> bool:
        """Whether a port takes what came to its interface for an address that nobody holds."""
        take = self.deliver.get(UDP)
        return packet.protocol == UDP and take is not None and take(packet, interface, False)

    def _take_for_own_address(self, packet: Packet, interface: NetworkInterface) -> None:
        translator = self.translator
        take = self.deliver.get(packet.protocol)
        if translator is not None and translator.translates:
            is_own = packet.protocol != ICMP and not translator.is_for_inside(packet, interface)
            if is_own and take is not None and take(packet, interface, False):
                return
            if translator.take(packet, interface):
                return
        self._take_own(packet, interface, False)

    def _take_own(self, packet: Packet, interface: NetworkInterface | None, to_all: bool) -> None:
        if packet.protocol == ICMP:
            self._take_icmp(packet)
            return
        take = self.deliver.get(packet.protocol)
        if (take is not None and take(packet, interface, to_all)) or to_all:
            return
        if packet.protocol == UDP:
            self._complain(packet, UNREACHABLE, PORT_UNREACHABLE)
        elif packet.protocol == TCP:
            self.reset(packet)

    def _take_icmp(self, packet: Packet) -> None:
        kind, code = packet.payload[0], packet.payload[1]
        if kind == ECHO_REQUEST:
            reply = icmp(ECHO_REPLY, 0, packet.payload[4:8], packet.payload[8:])
            self.send(Packet(packet.destination, packet.source, ICMP, reply))
            return
        about = quoted_packet(packet.payload)
        if about is not None and (kind, code) == (UNREACHABLE, FRAGMENTATION_NEEDED):
            mtu = int.from_bytes(packet.payload[6:8], "big")
            if about.protocol == UDP:
                self._way_mtu[about.destination] = max(mtu, _LEAST_MTU)
            self.shortened(about, mtu)
        elif about is not None and kind == UNREACHABLE:
            self.heard(about, _ERRORS.get(code, errno.EHOSTUNREACH))

    def _forward(self, packet: Packet, interface: NetworkInterface | None) -> None:
        """Pass on what is for somebody else."""
        translator = self.translator
        if translator is None and not self.tunnels.forwards:
            return
        if packet.time_to_live <= 1:
            self._complain(packet, TIME_EXCEEDED, 0)
            return
        translates = translator is not None and translator.translates
        if translates and interface is not None and translator is not None:
            if not translator.take(packet, interface):
                self.pass_on(packet)
        else:
            self.pass_on(packet)

    def pass_on(self, packet: Packet, received: Packet | None = None) -> None:
        """Send a packet of somebody else's to its next hop.

        Args:
            packet: what goes on.
            received: what it was before it was translated, which its sender is told of.
        """
        received = received or packet
        packet = replace(packet, time_to_live=packet.time_to_live - 1)
        if self.tunnels.divert(packet):
            return
        way = self.route(packet.destination)
        if way is None:
            self._complain(received, UNREACHABLE, NETWORK_UNREACHABLE)
            return
        outgoing, next_hop = way
        if packet.octets > outgoing.link.mtu and not packet.may_be_fragmented:
            self._complain(received, UNREACHABLE, FRAGMENTATION_NEEDED, outgoing.link.mtu)
            return
        self._put(packet, outgoing, next_hop, outgoing.link.mtu)

    def refuse(self, packet: Packet, code: int) -> None:
        """Tell the sender of a packet that it goes no further."""
        self._complain(packet, UNREACHABLE, code)

    # Fragments

    def _reassembled(self, packet: Packet) -> Packet | None:
        """The packet that this fragment makes whole; None: others are still missing."""
        key = (packet.source, packet.destination, packet.protocol, packet.identification)
        if key not in self._partial:
            until_us = self._loop.now_us + round(REASSEMBLED_WITHIN_S * MICROSECONDS)
            self._loop.call_at_us(until_us, self._partial.pop, key, None)
        parts = self._partial.setdefault(key, {})
        parts[packet.offset] = packet
        payload = bytearray()
        while len(payload) in parts:
            part = parts[len(payload)]
            payload += part.payload
            if not part.more:
                del self._partial[key]
                return Packet(
                    packet.source,
                    packet.destination,
                    packet.protocol,
                    bytes(payload),
                    packet.identification,
                    packet.time_to_live,
                )
        return None

    # Power

    def forget(self) -> None:
        """All that a node without power does not know any more."""
        self._partial.clear()
        self._way_mtu.clear()
        for interface in self.interfaces.values():
            interface.forget()
