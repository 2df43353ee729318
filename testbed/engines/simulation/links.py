"""Links: bridges that carry frames between the nodes on them, as well as their quality says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Protocol

from testbed.engines.conveyance import LOST, Fate, Lane, is_refused
from testbed.engines.simulation.clock import SimulationLoop
from testbed.engines.simulation.packets import ASKS, ETHERNET_BROADCAST, Arp, Packet, frame
from testbed.topology.quality import Quality

__all__ = ["Content", "Fate", "Judge", "Link", "Station"]

Content = Packet | Arp


class Station(Protocol):
    """One interface of a node on a link."""

    node: str
    name: str
    hardware_address: str

    @property
    def has_carrier(self) -> bool:
        """Whether frames pass."""
        ...

    def arrived(self, content: Content, data: bytes, to_all: bool) -> None:
        """A frame came in."""


Sent = Callable[[str, Station, bytes], None]
"""Called with link, station and frame: what a station put on a link, and what one received."""


Judge = Callable[[str, Content], Fate | None]
"""Says of each frame, by link and content, what becomes of it; None: as the quality says."""
OVERTAKEN_AFTER_US = 50_000
"""When a frame that was to be overtaken arrives, if nothing follows it."""


class Link:
    """One broadcast domain.

    A bridge knows who holds which address, as bridges with ARP suppression do: a question goes to
    the holder alone, so that a thousand nodes can share a link.

    Args:
        name: in the topology.
        quality: how it carries.
        loop: the clock.
        seed: of delays and losses.
        sent: called with each frame as its sender put it on the link.
        received: called with each copy that a station receives.
    """

    def __init__(
        self,
        name: str,
        quality: Quality,
        loop: SimulationLoop,
        seed: str,
        sent: Sent,
        received: Sent,
    ) -> None:
        self.name = name
        self.judge: Judge | None = None
        self._loop = loop
        self._seed = seed
        self._common = Random(seed)
        self._sent = sent
        self._received = received
        self._stations: dict[str, Station] = {}
        self._holders: dict[str, dict[str, Station]] = {}
        self.quality = quality
        self._lanes: dict[str, Lane] = {}
        self._held: dict[str, tuple[Station, Content, bytes, str]] = {}
        # What is on its way: number to when it arrives, and what; as a list at the world's end.
        self._on_way: dict[int, tuple[int, Station, str, Content, bytes]] = {}
        self._count = 0

    def attach(self, station: Station) -> None:
        """Another interface is on the link."""
        self._stations[station.hardware_address] = station

    def hold(self, station: Station, address: str) -> None:
        """The station answers for that address from now on."""
        self._holders.setdefault(address, {})[station.hardware_address] = station

    def let_go(self, station: Station, address: str) -> None:
        """It does so no longer."""
        self._holders.get(address, {}).pop(station.hardware_address, None)

    def set_quality(self, quality: Quality) -> None:
        """Carry as that says, from the next frame on."""
        self.quality = quality
        for lane in self._lanes.values():
            lane.set_quality(quality)

    def _lane(self, station: Station) -> Lane:
        """The station's way over the link.

        Where chance decides about frames each station has its own, so that what becomes of its
        n-th frame does not depend on others; elsewhere all share one, which a crowd can afford.
        """
        lane = self._lanes.get(station.hardware_address)
        if lane is None:
            own = Random(f"{self._seed}/{station.node}/{station.name}")
            lane = Lane(self.quality, own if self.quality.is_drawn else self._common)
            self._lanes[station.hardware_address] = lane
        return lane

    @property
    def mtu(self) -> int:
        """Octets of the longest IP packet."""
        return self.quality.mtu

    def send(self, station: Station, destination: str, content: Content) -> None:
        """A station puts a frame on the link; without carrier there is none."""
        if not station.has_carrier:
            return
        data = frame(destination, station.hardware_address, content)
        now_us = self._loop.now_us
        begins_us = self._lane(station).begins_us(now_us, len(data))
        if begins_us is None:
            return
        if begins_us <= now_us:
            self._put(station, destination, content, data)
        else:
            self._loop.call_at_us(begins_us, self._put, station, destination, content, data)

    def _put(self, station: Station, destination: str, content: Content, data: bytes) -> None:
        """The frame is on the wire now."""
        if not station.has_carrier:
            return
        self._sent(self.name, station, data)
        lane = self._lane(station)
        fate = self.judge(self.name, content) if self.judge is not None else None
        if fate is None:
            fate = lane.drawn(data)
        if self.quality.is_selective and is_refused(self.quality, data):
            fate = LOST
        if fate.overtaken:
            self._hold(station, destination, content, data)
            return
        takes_us = lane.takes_us(len(data))
        for arrives_us in lane.arrivals_us(self._loop.now_us, takes_us, fate):
            self._deliver_at(arrives_us, station, destination, content, data)
        self._release(station.hardware_address, takes_us + 1)

    def _hold(self, station: Station, destination: str, content: Content, data: bytes) -> None:
        self._release(station.hardware_address, round(self.quality.delay_ms * 1000))
        held = (station, content, data, destination)
        self._held[station.hardware_address] = held
        late_us = self._loop.now_us + OVERTAKEN_AFTER_US
        self._loop.call_at_us(late_us, self._give_up, station.hardware_address, held)

    def _give_up(self, hardware_address: str, held: object) -> None:
        if self._held.get(hardware_address) is held:
            self._release(hardware_address, 0)

    def _release(self, hardware_address: str, after_us: int) -> None:
        """What was to be overtaken has been."""
        held = self._held.pop(hardware_address, None)
        if held is not None:
            station, content, data, destination = held
            when_us = self._lane(station).arrives_late_us(self._loop.now_us + after_us)
            self._deliver_at(when_us, station, destination, content, data)

    def _deliver_at(
        self, when_us: int, sender: Station, destination: str, content: Content, data: bytes
    ) -> None:
        self._count += 1
        self._on_way[self._count] = (when_us, sender, destination, content, data)
        self._loop.call_at_us(when_us, self._arrive, self._count)

    @property
    def last_arrival_us(self) -> int:
        """When the last of the frames arrives that are on their way."""
        return max((each[0] for each in self._on_way.values()), default=0)

    def land(self) -> None:
        """The world ends: what is on its way counts as received, and nobody takes it."""
        for _, sender, destination, content, data in sorted(
            self._on_way.values(), key=lambda each: each[0]
        ):
            for station in self._receivers(sender, destination, content):
                if station.has_carrier:
                    self._received(self.name, station, data)
        self._on_way.clear()

    def _arrive(self, number: int) -> None:
        if number not in self._on_way:
            return  # the world has ended
        _, sender, destination, content, data = self._on_way.pop(number)
        to_all = destination == ETHERNET_BROADCAST
        for station in self._receivers(sender, destination, content):
            if station.has_carrier:
                self._received(self.name, station, data)
                station.arrived(content, data, to_all)

    def _receivers(self, sender: Station, destination: str, content: Content) -> Sequence[Station]:
        if destination != ETHERNET_BROADCAST:
            found = self._stations.get(destination)
            return () if found is None or found is sender else (found,)
        among: Mapping[str, Station] = self._stations
        if isinstance(content, Arp) and content.operation == ASKS:
            is_announcement = content.sender == content.target
            among = among if is_announcement else self._holders.get(content.target, {})
        return [each for each in among.values() if each is not sender]
