"""The interfaces of a node: their address, their link, and ARP on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache

from testbed.engines.simulation.clock import MICROSECONDS, SimulationLoop
from testbed.engines.simulation.links import Content, Link
from testbed.engines.simulation.packets import (
    ANSWERS,
    ANY_ADDRESS,
    ASKS,
    ETHERNET_BROADCAST,
    Arp,
    Packet,
    address_octets,
)

KNOWN_FOR_S = 60.0
"""After that the holder of an address is asked for again (RFC 1122, 2.3.2.1)."""
ARP_TRIES = 3
ARP_WITHIN_S = 1.0
MOST_WAITING = 100
"""Packets that wait for one answer."""
NOBODY = "00:00:00:00:00:00"


@lru_cache(maxsize=65536)
def address_number(address: str) -> int:
    """An IPv4 address as a number."""
    return int.from_bytes(address_octets(address), "big")


class _Waiting:
    """Packets that wait until the holder of an address is known."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.tries = 0


class NetworkInterface:
    """One interface of a node, a station on its link.

    Args:
        node: the node's name.
        name: "eth0".
        hardware_address: of the interface.
        link: what it is on.
        loop: the clock.
        take: called with each packet that comes in, this interface, and whether it was for all.
        unreachable: called with each packet whose next hop does not answer.
    """

    def __init__(
        self,
        node: str,
        name: str,
        hardware_address: str,
        link: Link,
        loop: SimulationLoop,
        take: Callable[[Packet, NetworkInterface, bool], None],
        unreachable: Callable[[Packet], None],
    ) -> None:
        self.node = node
        self.name = name
        self.hardware_address = hardware_address
        self.link = link
        self.is_plugged = True
        self.has_power = True
        self.address: str | None = None
        self.prefix_length = 0
        self.more_addresses: tuple[str, ...] = ()
        self._network = -1
        self._mask = 0
        self._broadcast = ""
        self._loop = loop
        self._take = take
        self._unreachable = unreachable
        self._known: dict[str, tuple[str, int]] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._asking: dict[str, asyncio.Future[None]] = {}
        link.attach(self)

    @property
    def has_carrier(self) -> bool:
        """Whether frames pass."""
        return self.is_plugged and self.has_power

    # Addresses

    def set_address(self, address: str | None, prefix_length: int = 32) -> None:
        """Have this address, or none, in place of the one before."""
        if self.address is not None:
            self.link.let_go(self, self.address)
        self.address = address
        if address is None:
            self._network, self._broadcast = -1, ""
            return
        self.prefix_length = prefix_length
        self._mask = (0xFFFFFFFF << (32 - prefix_length)) & 0xFFFFFFFF
        self._network = address_number(address) & self._mask
        last = self._network | (~self._mask & 0xFFFFFFFF)
        self._broadcast = ".".join(map(str, last.to_bytes(4, "big"))) if prefix_length < 31 else ""
        self.link.hold(self, address)

    def answer_for(self, addresses: tuple[str, ...]) -> None:
        """Answer for these addresses too."""
        for each in self.more_addresses:
            self.link.let_go(self, each)
        self.more_addresses = addresses
        for each in addresses:
            self.link.hold(self, each)

    def holds(self, address: str) -> bool:
        """Whether it is its own."""
        return address == self.address or address in self.more_addresses

    def reaches(self, address: str) -> bool:
        """Whether the address is in its subnet."""
        return (address_number(address) & self._mask) == self._network

    def is_broadcast(self, address: str) -> bool:
        """Whether the address is everybody's on its link."""
        return address == "255.255.255.255" or address == self._broadcast

    def announce(self) -> None:
        """Tell the link who holds the address now (RFC 5227, 2.3)."""
        if self.address is not None:
            told = Arp(ASKS, self.hardware_address, self.address, NOBODY, self.address)
            self.link.send(self, ETHERNET_BROADCAST, told)

    def forget(self) -> None:
        """Whom it knew on its link, and what waited for an answer."""
        self._known.clear()
        self._waiting.clear()

    # Packets

    def send(self, packet: Packet, next_hop: str) -> None:
        """Send a packet that fits the link to a neighbour, or to all of them."""
        if self.is_broadcast(next_hop):
            self.link.send(self, ETHERNET_BROADCAST, packet)
            return
        known = self._known.get(next_hop)
        if known is not None and self._loop.now_us < known[1]:
            self.link.send(self, known[0], packet)
            return
        waiting = self._waiting.get(next_hop)
        if waiting is None:
            waiting = self._waiting[next_hop] = _Waiting()
            waiting.packets.append(packet)
            self._ask(next_hop, waiting)
        elif len(waiting.packets) < MOST_WAITING:
            waiting.packets.append(packet)

    def send_to(self, packet: Packet, hardware_address: str) -> None:
        """Send it to that link-layer address."""
        self.link.send(self, hardware_address, packet)

    def arrived(self, content: Content, data: bytes, to_all: bool) -> None:
        """A frame came in."""
        if isinstance(content, Arp):
            self._take_arp(content)
        else:
            self._take(content, self, to_all)

    # ARP

    def _ask(self, address: str, waiting: _Waiting) -> None:
        if self._waiting.get(address) is not waiting:
            return
        if waiting.tries == ARP_TRIES:
            del self._waiting[address]
            for packet in waiting.packets:
                self._unreachable(packet)
            return
        waiting.tries += 1
        asked = Arp(ASKS, self.hardware_address, self.address or ANY_ADDRESS, NOBODY, address)
        self.link.send(self, ETHERNET_BROADCAST, asked)
        later_us = self._loop.now_us + round(ARP_WITHIN_S * MICROSECONDS)
        self._loop.call_at_us(later_us, self._ask, address, waiting)

    async def has_neighbour(self, address: str, within_s: float) -> bool:
        """Whether somebody on the link answers for the address now, whatever is known of it."""
        answered = self._asking.setdefault(address, asyncio.get_running_loop().create_future())
        # RFC 5227: who has no address yet asks without one, and is answered.
        asked = Arp(ASKS, self.hardware_address, self.address or ANY_ADDRESS, NOBODY, address)
        self.link.send(self, ETHERNET_BROADCAST, asked)
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(answered)
        except TimeoutError:
            return False
        finally:
            self._asking.pop(address, None)
        return True

    def _take_arp(self, arp: Arp) -> None:
        answered = self._asking.get(arp.sender)
        if arp.operation == ANSWERS and answered is not None and not answered.done():
            answered.set_result(None)
        is_for_us = self.holds(arp.target)
        if arp.sender in self._known or arp.sender in self._waiting or is_for_us:
            self._learn(arp.sender, arp.sender_hardware)
        if arp.operation == ASKS and is_for_us and arp.sender != arp.target:
            answer = Arp(
                ANSWERS, self.hardware_address, arp.target, arp.sender_hardware, arp.sender
            )
            self.link.send(self, arp.sender_hardware, answer)

    def _learn(self, address: str, hardware_address: str) -> None:
        if address == ANY_ADDRESS:
            return
        until_us = self._loop.now_us + round(KNOWN_FOR_S * MICROSECONDS)
        self._known[address] = (hardware_address, until_us)
        waiting = self._waiting.pop(address, None)
        if waiting is not None:
            for packet in waiting.packets:
                self.link.send(self, hardware_address, packet)
