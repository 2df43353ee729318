"""What becomes of each frame on a link whose quality is not that of a wire.

A `Lane` is one sender's way over a link: a machine without clock, that is asked with each frame and
draws its decisions from the randomness it was given.  The simulation's links and the emulation's
relay ask the same machine, so the same words mean the same on both, and the n-th frame of a sender
meets the same fate in every run with the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from testbed.topology.quality import Passage, Quality

QUEUE_OCTETS = 256 * 1024
"""What waits at most before a link whose rate is bounded; what does not fit is lost."""

_ETHERNET_OCTETS = 14
_IPV4 = b"\x08\x00"
_ICMP = 1
_MORE_FRAGMENTS_AND_OFFSET = 0x3FFF


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one frame; the first copy that arrives is none where `copies` is empty.

    Attributes:
        copies: how much later than the link's delay each copy arrives, in microseconds.
        overtaken: whether it arrives only after the next frame of the same station.
    """

    copies: tuple[int, ...] = (0,)
    overtaken: bool = False


CARRIED, LOST, DOUBLED = Fate(), Fate(()), Fate((0, 0))


class Lane:
    """One sender's way over a link.

    Args:
        quality: how the link carries.
        random: of delays; fates have randomness of their own that is drawn from it, one for IPv4
            packets and one for all else: when a kernel asks for addresses is its own affair, and
            must not decide about packets.
    """

    __slots__ = (
        "_aside",
        "_delay_us",
        "_free_at_us",
        "_jitter_us",
        "_last_us",
        "_octet_us",
        "_packets",
        "_random",
        "quality",
    )

    def __init__(self, quality: Quality, random: Random) -> None:
        self._random = random
        self._packets = self._aside = random
        if quality.is_drawn:
            self._packets, self._aside = (Random(random.getrandbits(64)) for _ in range(2))
        self._free_at_us = 0.0
        self._last_us = 0
        self.set_quality(quality)

    def set_quality(self, quality: Quality) -> None:
        """Carry as that says, from the next frame on."""
        self.quality = quality
        self._delay_us = round(quality.delay_ms * 1000)
        self._jitter_us = round(quality.jitter_ms * 1000)
        self._octet_us = 8000 / quality.rate_kbps if quality.rate_kbps else 0.0

    def begins_us(self, now_us: int, octets: int) -> int | None:
        """When the first octet of a frame is on the wire; None: the queue before it is full.

        A sender has the wire when its frames before have left it.
        """
        if not self._octet_us:
            return now_us
        begins_us = max(float(now_us), self._free_at_us)
        if begins_us - now_us > QUEUE_OCTETS * self._octet_us:
            return None
        self._free_at_us = begins_us + octets * self._octet_us
        return round(begins_us)

    def drawn(self, frame: bytes) -> Fate:
        """What chance makes of the next frame: three numbers, whatever they come to."""
        if not self.quality.is_drawn:
            return CARRIED
        random = (self._packets if frame[12:14] == _IPV4 else self._aside).random
        quality = self.quality
        lost, doubled, overtaken = random(), random(), random()
        if lost < quality.loss:
            return LOST
        if doubled < quality.duplication:
            return DOUBLED
        if overtaken < quality.reordering:
            return Fate((max(1, self._delay_us + self._jitter_us),))
        return CARRIED

    def takes_us(self, octets: int) -> int:
        """How long the next frame is on its way."""
        jitter_us = self._random.randrange(self._jitter_us) if self._jitter_us else 0
        return self._delay_us + jitter_us + round(octets * self._octet_us)

    def arrivals_us(self, begun_us: int, takes_us: int, fate: Fate) -> list[int]:
        """When each copy arrives of a frame that was put on the wire at that time.

        A link keeps order: what is not overtaken arrives after the frames before it.
        """
        arrivals = []
        for more_us in fate.copies:
            arrives_us = begun_us + takes_us + more_us
            if not more_us:
                arrives_us = self._last_us = max(arrives_us, self._last_us)
            arrivals.append(arrives_us)
        return arrivals

    def arrives_late_us(self, not_before_us: int) -> int:
        """When a frame arrives that waits for others to overtake it."""
        self._last_us = max(not_before_us, self._last_us + 1)
        return self._last_us


def is_refused(quality: Quality, frame: bytes) -> bool:
    """Whether the link drops an Ethernet frame for what is in it: a fragment, or ICMP."""
    if frame[12:14] != _IPV4 or len(frame) < _ETHERNET_OCTETS + 20:
        return False
    if quality.icmp is Passage.DROPPED and frame[23] == _ICMP:
        return True
    place = int.from_bytes(frame[20:22], "big") & _MORE_FRAGMENTS_AND_OFFSET
    return quality.fragments is Passage.DROPPED and bool(place)
