"""What a TCP end keeps count of: how long answers take, how much is under way, what has come."""

from __future__ import annotations

from enum import Enum

from testbed.engines.simulation.clock import MICROSECONDS

FIRST_TIMEOUT_S, LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 1.0, 0.2, 120.0
FIRST_SEGMENTS = 10
_UNBOUNDED = 1 << 30
_FEWEST_SEGMENTS = 2


class State(Enum):
    """How far the handshake is; what follows is told by the two streams' own ends."""

    SYN_SENT = "SYN sent"
    SYN_RECEIVED = "SYN received"
    OPEN = "open"
    TIME_WAIT = "time wait"
    CLOSED = "closed"


class RoundTrip:
    """RFC 6298: the time-out, from how long answers took."""

    def __init__(self) -> None:
        self._smoothed_s: float | None = None
        self._deviation_s = 0.0
        self._backoff = 1
        self._timed: tuple[int, int] | None = None

    @property
    def timeout_s(self) -> float:
        """How long to wait for an answer now."""
        timeout_s = FIRST_TIMEOUT_S
        if self._smoothed_s is not None:
            timeout_s = max(self._smoothed_s + 4 * self._deviation_s, LEAST_TIMEOUT_S)
        return min(timeout_s * self._backoff, MOST_TIMEOUT_S)

    def sent(self, position: int, now_us: int) -> None:
        """Octets from that position on have been sent, for the first time."""
        if self._timed is None:
            self._timed = (position, now_us)

    def repeated(self) -> None:
        """Something was sent again: whose answer comes then cannot be told (Karn)."""
        self._timed = None

    def timed_out(self) -> None:
        """No answer came: the next wait is twice as long."""
        self._timed = None
        self._backoff *= 2

    def answered(self, position: int, now_us: int) -> None:
        """All before that position has arrived."""
        self._backoff = 1
        if self._timed is None or position <= self._timed[0]:
            return
        took_s = (now_us - self._timed[1]) / MICROSECONDS
        self._timed = None
        if self._smoothed_s is None:
            self._smoothed_s, self._deviation_s = took_s, took_s / 2
        else:
            self._deviation_s += (abs(self._smoothed_s - took_s) - self._deviation_s) / 4
            self._smoothed_s += (took_s - self._smoothed_s) / 8


class Congestion:
    """RFC 5681: how much may be under way, in octets.

    Attributes:
        window: that much.
        recovers_to: while lost segments are sent again: up to where; None: nothing is.
    """

    def __init__(self, most_segment: int) -> None:
        self.most_segment = most_segment
        self.window = FIRST_SEGMENTS * most_segment
        self.recovers_to: int | None = None
        self._threshold = _UNBOUNDED

    def answered(self, octets: int, position: int) -> bool:
        """So many have arrived, up to that position; whether the next one is missing still."""
        if self.recovers_to is not None:
            if position < self.recovers_to:
                return True
            self.recovers_to = None
            self.window = self._threshold
        elif self.window < self._threshold:
            self.window += min(octets, self.most_segment)
        else:
            self.window += self.most_segment**2 // self.window
        return False

    def lost_one(self, under_way: int, furthest: int) -> None:
        """A segment was lost, and others behind it have arrived."""
        self._halve(under_way)
        self.window = self._threshold
        self.recovers_to = furthest

    def lost_all(self, under_way: int) -> None:
        """Nothing is answered any more."""
        self._halve(under_way)
        self.window = self.most_segment
        self.recovers_to = None

    def _halve(self, under_way: int) -> None:
        self._threshold = max(under_way // 2, _FEWEST_SEGMENTS * self.most_segment)


class Incoming:
    """The other side's stream: put in order.

    Args:
        room: how many octets are held for a reader.

    Attributes:
        ready: octets in order that nobody has read.
        expected: position of the next one.
        has_ended: all has come that ever will.
        discards: nobody reads any more.
    """

    def __init__(self, room: int) -> None:
        self.ready = bytearray()
        self.expected = 0
        self.has_ended = False
        self.discards = False
        self._room = room
        self._early: dict[int, bytes] = {}
        self._end: int | None = None

    @property
    def window(self) -> int:
        """How many more octets are taken now."""
        return self._room - len(self.ready)

    @property
    def has_holes(self) -> bool:
        """Whether octets came before others that precede them."""
        return bool(self._early)

    def end_at(self, position: int) -> None:
        """The other side sends nothing from there on."""
        self._end = position
        self._look_for_end()

    def take(self, position: int, payload: bytes) -> int:
        """Take octets from there on; how many more are in order now."""
        before = self.expected
        payload = payload[: max(0, self.expected + self.window - position)]
        if position + len(payload) > self.expected:
            if len(self._early.get(position, b"")) < len(payload):
                self._early[position] = payload
            self._gather()
            self._look_for_end()
        return self.expected - before

    def _gather(self) -> None:
        while ready := [each for each in self._early if each <= self.expected]:
            for position in sorted(ready):
                new = self._early.pop(position)[self.expected - position :]
                self.expected += len(new)
                if not self.discards:
                    self.ready += new

    def _look_for_end(self) -> None:
        if self._end is not None and self.expected >= self._end:
            self.has_ended = True

    def discard(self) -> None:
        """Nobody reads any more."""
        self.discards = True
        self.ready.clear()


def signed(difference: int) -> int:
    """The difference of two sequence numbers, which wrap around: half the numbers lie ahead."""
    return ((difference + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
