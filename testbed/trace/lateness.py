"""When the machine of a run was late: it had no time for the testbed, so nothing in it was on time.

An emulation shares a real machine.  Where others keep it busy, a timer of a role fires late, and a
check that measures seconds would blame the role for it.  So the emulation measures by how much it
is late itself, and checks allow for that much.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

SECOND_NS = 1_000_000_000


class Lateness:
    """Times at which the testbed should have run and did not; they come in order.

    Attributes:
        listeners: called with each, as `add` is.
    """

    def __init__(self) -> None:
        self.listeners: list[Callable[[int, float], None]] = []
        self._ends_ns: list[int] = []
        self._lengths_s: list[float] = []

    def add(self, time_ns: int, late_s: float) -> None:
        """It ran again at a time, so much later than it should have."""
        for listener in tuple(self.listeners):
            listener(time_ns, late_s)
        self._ends_ns.append(time_ns)
        self._lengths_s.append(late_s)

    def between(self, since_ns: int, until_ns: int) -> float:
        """Seconds in all that were lost between two times, one that goes on at the end included."""
        begin = bisect_left(self._ends_ns, since_ns)
        lost = 0.0
        for end_ns, length_s in zip(self._ends_ns[begin:], self._lengths_s[begin:], strict=True):
            if end_ns - length_s * SECOND_NS >= until_ns:
                break
            lost += length_s
        return lost

    @property
    def longest_s(self) -> float:
        """The longest at one time."""
        return max(self._lengths_s, default=0.0)

    @property
    def total_s(self) -> float:
        """All together."""
        return sum(self._lengths_s)
