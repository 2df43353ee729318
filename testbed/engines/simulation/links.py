"""Links: bridges that carry frames between the nodes on them, as well as their quality says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from testbed.engines.simulation.clock import SimulationLoop
from testbed.engines.simulation.packets import ASKS, ETHERNET_BROADCAST, Arp, Packet, frame
from testbed.topology.quality import Quality

Content = Packet | Arp
QUEUE_OCTETS = 256 * 1024
"""What waits at most before a link whose rate is bounded; what does not fit is lost."""


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


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one frame; the first copy that arrives is none where `copies` is empty.

    Attributes:
        copies: how much later than the link's delay each copy arrives, in microseconds.
        overtaken: whether it arrives only after the next frame of the same station.
    """

    copies: tuple[int, ...] = (0,)
    overtaken: bool = False


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
        random: of delays and losses.
        sent: called with each frame as its sender put it on the link.
        received: called with each copy that a station receives.
    """

    def __init__(
        self,
        name: str,
        quality: Quality,
        loop: SimulationLoop,
        random: Random,
        sent: Sent,
        received: Sent,
    ) -> None:
        self.name = name
        self.judge: Judge | None = None
        self._loop = loop
        self._random = random
        self._sent = sent
        self._received = received
        self._stations: dict[str, Station] = {}
        self._holders: dict[str, dict[str, Station]] = {}
        self.set_quality(quality)
        self._free_at_us: dict[str, float] = {}
        self._last_us: dict[str, int] = {}
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
        self._delay_us = round(quality.delay_ms * 1000)
        self._jitter_us = round(quality.jitter_ms * 1000)
        self._octet_us = 8000 / quality.rate_kbps if quality.rate_kbps else 0.0

    @property
    def mtu(self) -> int:
        """Octets of the longest IP packet."""
        return self.quality.mtu

    def send(self, station: Station, destination: str, content: Content) -> None:
        """A station puts a frame on the link; without carrier there is none."""
        if not station.has_carrier:
            return
        data = frame(destination, station.hardware_address, content)
        if not self._octet_us:
            self._put(station, destination, content, data)
            return
        now_us = self._loop.now_us
        begins_us = max(float(now_us), self._free_at_us.get(station.hardware_address, 0.0))
        if (begins_us - now_us) > QUEUE_OCTETS * self._octet_us:
            return
        self._free_at_us[station.hardware_address] = begins_us + len(data) * self._octet_us
        if begins_us <= now_us:
            self._put(station, destination, content, data)
        else:
            self._loop.call_at_us(round(begins_us), self._put, station, destination, content, data)

    def _put(self, station: Station, destination: str, content: Content, data: bytes) -> None:
        """The frame is on the wire now."""
        if not station.has_carrier:
            return
        self._sent(self.name, station, data)
        fate = self.judge(self.name, content) if self.judge is not None else None
        if fate is None:
            fate = self._draw()
        if fate.overtaken:
            self._hold(station, destination, content, data)
            return
        jitter_us = self._random.randrange(self._jitter_us) if self._jitter_us else 0
        taken_us = self._delay_us + jitter_us + round(len(data) * self._octet_us)
        for more_us in fate.copies:
            arrives_us = self._loop.now_us + taken_us + more_us
            if not more_us:
                # A link keeps order: a frame arrives after the one before it.
                arrives_us = max(arrives_us, self._last_us.get(station.hardware_address, 0))
                self._last_us[station.hardware_address] = arrives_us
            self._deliver_at(arrives_us, station, destination, content, data)
        self._release(station.hardware_address, taken_us + 1)

    def _draw(self) -> Fate:
        """What the quality makes of a frame."""
        quality, random = self.quality, self._random
        if not (quality.loss or quality.duplication or quality.reordering):
            return _CARRIED
        if random.random() < quality.loss:
            return _LOST
        if random.random() < quality.duplication:
            return _DOUBLED
        if random.random() < quality.reordering:
            return Fate((max(1, self._delay_us + self._jitter_us),))
        return _CARRIED

    def _hold(self, station: Station, destination: str, content: Content, data: bytes) -> None:
        self._release(station.hardware_address, self._delay_us)
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
            when_us = max(self._loop.now_us + after_us, self._last_us.get(hardware_address, 0) + 1)
            self._last_us[hardware_address] = when_us
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


_CARRIED, _LOST, _DOUBLED = Fate(), Fate(()), Fate((0, 0))
