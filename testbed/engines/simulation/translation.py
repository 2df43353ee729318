"""A gateway's translation: `NatTable` at work on packets, its events told in their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Protocol

from testbed.engines.simulation.clock import MICROSECONDS, SimulationLoop
from testbed.engines.simulation.interfaces import NetworkInterface
from testbed.engines.simulation.packets import (
    ICMP,
    NAMES,
    PROHIBITED,
    TIME_EXCEEDED,
    UDP,
    UDP_HEADER_OCTETS,
    Packet,
    quoted_packet,
    requoted,
)
from testbed.errors import BadInput
from testbed.nat import Forwarded, NatTable, Refused
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat

OWN_FLOW_S = 120.0
"""As long as a kernel remembers a flow of its own that was answered."""
MOST_OWN_FLOWS = 4096


class Ways(Protocol):
    """The node's IP stack, as far as a translation asks it; `Stack` is one."""

    @property
    def interfaces(self) -> Mapping[str, NetworkInterface]:
        """By name."""
        ...

    def is_own(self, address: str) -> bool:
        """Whether the address is the node's."""
        ...

    def route(self, destination: str) -> tuple[NetworkInterface, str] | None:
        """By which interface and neighbour a destination is reached; None: it is not."""
        ...

    def pass_on(self, packet: Packet, received: Packet | None = None) -> None:
        """Send a packet of somebody else's, which was `received` as that, to its next hop."""

    def refuse(self, packet: Packet, code: int) -> None:
        """Tell the sender of a packet that it goes no further."""


class Translator:
    """Forwards between the interfaces of one node, as a NAT does.

    Args:
        nat: the behaviour.
        stack: the node's.
        inside: interfaces whose packets are translated.
        outside: the interface by which they leave.
        pool: outside addresses beside the interface's own.
        loop: the clock.
        random: of random ports.
        tell: called with each event, and its fields.

    Raises:
        BadInput: there is no inside, or outside is part of it.
    """

    def __init__(
        self,
        nat: Nat,
        stack: Ways,
        inside: Sequence[str],
        outside: str,
        pool: Sequence[str],
        loop: SimulationLoop,
        random: Random,
        tell: Callable[..., Any],
    ) -> None:
        if not inside or outside in inside:
            raise BadInput(
                f"translation needs inside interfaces other than the outside one: "
                f"inside is {', '.join(inside) or 'none'}, outside is {outside}"
            )
        self.nat = nat
        self._stack = stack
        self._inside = {stack.interfaces[name].name for name in inside}
        self._outside = stack.interfaces[outside]
        self._pool = tuple(pool)
        self._loop = loop
        self._random = random
        self._tell = tell
        self._table: NatTable | None = None
        self._address: str | None = None
        self._begun_s = loop.time()
        self._wakes_at_us: int | None = None
        self._own_flows: dict[tuple[Endpoint, Endpoint], float] = {}
        self._ended = False
        self._outside.answer_for(self._pool)
        if self.translates:
            self._current()

    @property
    def translates(self) -> bool:
        """Whether packets are looked at at all; a plain router passes all on."""
        return self.nat.filtering is not None

    def _current(self) -> NatTable | None:
        """The bindings of the outside address that there is now."""
        address = self._outside.address
        if address != self._address:
            self._address = address
            self._table = None
            if address is not None:
                self._table = NatTable(
                    self.nat, (address, *self._pool), self._random, self._begun_s
                )
                self._wake_later(self._table)
        return self._table

    def note_own(self, packet: Packet) -> None:
        """The node itself sends a datagram: what answers it is the node's, as in a kernel."""
        now = self._loop.time()
        if len(self._own_flows) >= MOST_OWN_FLOWS:
            self._own_flows = {f: t for f, t in self._own_flows.items() if now - t < OWN_FLOW_S}
        self._own_flows[packet.endpoints()] = now

    def is_for_inside(self, packet: Packet, interface: NetworkInterface) -> bool:
        """Whether a datagram that came to an own address is for an inside, by its binding.

        A binding goes before a port on which the node itself listens; who was spoken to from that
        port goes before the binding.
        """
        table = self._current()
        if packet.protocol != UDP or interface is not self._outside or table is None:
            return False
        source, destination = packet.endpoints()
        now = self._loop.time()
        spoken = self._own_flows.get((destination, source))
        if spoken is not None and now - spoken < OWN_FLOW_S:
            return False
        return table.admits(source, destination, "udp", now)

    def take(self, packet: Packet, interface: NetworkInterface) -> bool:
        """Translate a packet that is not this node's own, and send it on; whether it was its
        business."""
        table = self._current()
        if table is None:
            return False
        comes_in = interface is self._outside
        if not comes_in and interface.name not in self._inside:
            return False
        if packet.protocol == ICMP and (about := quoted_packet(packet.payload)) is not None:
            return self._take_error(table, packet, about, comes_in)
        way = self._stack.route(packet.destination)
        hairpin = self._outside.holds(packet.destination)
        if not comes_in and not hairpin:
            if self._stack.is_own(packet.destination):
                return False  # the gateway's own inside address
            if way is None or way[0] is not self._outside:
                return False  # from one inside to another
        verdict = self._ask(table, packet, comes_in)
        self._happened(table)
        if isinstance(verdict, Forwarded):
            translated = packet.readdressed(verdict.source, verdict.destination)
            self._stack.pass_on(translated, packet)
            return True
        if verdict.told:
            self._stack.refuse(packet, PROHIBITED)
        # Whoever comes in to a port that is nobody's gets the gateway's own answer.
        return not (comes_in and hairpin)

    def _ask(self, table: NatTable, packet: Packet, comes_in: bool) -> Forwarded | Refused:
        source, destination = packet.endpoints()
        protocol = NAMES.get(packet.protocol, str(packet.protocol))
        now = self._loop.time()
        if comes_in:
            return table.inbound(source, destination, protocol, now)
        payload = packet.payload[UDP_HEADER_OCTETS:] if packet.protocol == UDP else b""
        return table.outbound(source, destination, protocol, now, payload)

    def _take_error(self, table: NatTable, error: Packet, about: Packet, comes_in: bool) -> bool:
        """An ICMP error goes where the packet came from that it is about (RFC 5508, 4)."""
        back = replace(about, source=about.destination, destination=about.source)
        source, destination = about.endpoints()
        source, destination = destination, source
        protocol = NAMES.get(about.protocol, str(about.protocol))
        now = self._loop.time()
        if comes_in:
            verdict = table.inbound(source, destination, protocol, now)
        else:
            verdict = table.outbound(source, destination, protocol, now)
        self._happened(table)
        if not isinstance(verdict, Forwarded):
            return error.payload[0] != TIME_EXCEEDED and not self._stack.is_own(back.destination)
        inner = about.readdressed(verdict.destination, verdict.source)
        target = verdict.destination.address
        sender = error.source if comes_in else verdict.source.address
        self._stack.pass_on(replace(requoted(error, inner, target), source=sender))
        return True

    # Events and time

    def rebind(self) -> None:
        """Forget every binding."""
        table = self._current()
        if table is not None:
            table.rebind(self._loop.time())
            self._happened(table)

    def end(self) -> None:
        """The node loses power: bindings are gone without a word."""
        self._ended = True
        self._outside.answer_for(())

    def _happened(self, table: NatTable) -> None:
        happened = table.events()
        for event in happened:
            self._tell(event.happening.value, **event.fields())
        if happened:
            self._wake_later(table)

    def _wake_later(self, table: NatTable) -> None:
        """What ends by itself is told when it ends."""
        deadline = table.deadline()
        if deadline is None:
            return
        when_us = max(self._loop.now_us, round(deadline * MICROSECONDS) + 1)
        if self._wakes_at_us is None or when_us < self._wakes_at_us:
            self._wakes_at_us = when_us
            self._loop.call_at_us(when_us, self._wake, table, when_us)

    def _wake(self, table: NatTable, when_us: int) -> None:
        if self._wakes_at_us != when_us or self._ended or table is not self._table:
            return
        self._wakes_at_us = None
        table.tick(self._loop.time())
        happened = table.events()
        for event in happened:
            self._tell(event.happening.value, **event.fields())
        self._wake_later(table)
