"""How long a NAT keeps an idle binding: the search for it, and what is to be done next for it.

TR-111 Part 2, 2.2.1.2 leaves the procedure to the vendor.  Here it gallops (each period twice the
last) until the binding has expired once, then halves what is left.  `LifetimeSearch` only counts;
`LifetimeTester` says when to send what.  Neither sends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class LifetimePolicy:
    """How the lifetime is looked for.

    Attributes:
        first_s: the idle period that is tested first.
        factor: by which periods grow while the binding survives, and shrink while none has.
        longest_s: nothing longer is tested where the ACS has set no maximum.
        tolerance: the search ends when what is left is this part of what is proven ...
        resolution_s: ... or so few seconds.
        assure_s: a new binding is used twice, so far apart, before it is left idle: the kernel's
            NAT among others gives less time to one that has carried a single exchange.
        monitor_every: how many keep-alives there are to one that tests the binding first.
        probe_sends: copies of a probe (1 to 9) by RFC 3489's schedule.
        probe_wait_s: how long a probe waits for its answer in all; one that has failed is repeated
            once.
    """

    first_s: float = 15.0
    factor: float = 2.0
    longest_s: float = 900.0
    tolerance: float = 0.1
    resolution_s: float = 1.0
    assure_s: float = 3.0
    monitor_every: int = 4
    probe_sends: int = 5
    probe_wait_s: float = 3.1

    @property
    def window_s(self) -> float:
        """How long it takes to find that a binding has expired."""
        return 2 * self.probe_wait_s


class LifetimeSearch:
    """Which idle period to test next.

    Args:
        shortest_s: nothing shorter is of use.
        longest_s: nothing longer is of use.
        policy: how to look.

    Attributes:
        alive_s: the longest period that a binding has survived; 0: none yet.
        dead_s: the shortest one that it has not.
    """

    def __init__(self, shortest_s: float, longest_s: float, policy: LifetimePolicy) -> None:
        self.shortest_s = shortest_s
        self.longest_s = max(shortest_s, longest_s)
        self.alive_s = 0.0
        self.dead_s = math.inf
        self._policy = policy

    def next_s(self) -> float | None:
        """The next period to test; None: the search has ended."""
        policy = self._policy
        if self.dead_s <= self.shortest_s:
            return None
        if self.dead_s == math.inf:
            if self.alive_s >= self.longest_s:
                return None
            wanted = self.alive_s * policy.factor or policy.first_s
        elif self.alive_s == 0:
            wanted = self.dead_s / policy.factor
        else:
            left = self.dead_s - max(self.alive_s, self.shortest_s)
            if left <= max(policy.resolution_s, policy.tolerance * self.alive_s):
                return None
            wanted = (self.alive_s + self.dead_s) / 2
        period = min(max(wanted, self.shortest_s), self.longest_s)
        return None if period >= self.dead_s else period

    def lived(self, period_s: float) -> None:
        """A binding has survived so long."""
        self.alive_s = max(self.alive_s, period_s)
        if self.dead_s <= self.alive_s:
            self.dead_s = math.inf  # what was found dead was a loss, or the NAT has changed

    def died(self, period_s: float) -> None:
        """A binding has not survived so long."""
        self.dead_s = min(self.dead_s, period_s)
        if self.alive_s >= self.dead_s:
            self.alive_s = 0.0


class Outcome(Enum):
    """What a probe has shown."""

    ALIVE = "alive"
    EXPIRED = "expired"
    IMPOSSIBLE = "impossible"
    """The server does not answer to where RESPONSE-ADDRESS says."""


class Phase(Enum):
    """What a client does about the lifetime."""

    DISCOVERY = "discovery"
    MONITORING = "monitoring"
    UNTESTABLE = "untestable"
    """The server does not help to find it: a cautious interval is kept."""


class Step(Enum):
    """What is to be done next."""

    PROBE = "probe"
    KEEP_ALIVE = "keep-alive"


class _State(Enum):
    CALIBRATING = 1
    ASSURING = 2
    IDLE = 3
    REFRESHING = 4
    KEEPING = 5
    TESTING = 6
    CAUTIOUS = 7


class LifetimeTester:
    """When to probe and when to refresh, through discovery and monitoring.

    Args:
        minimum_s: least time between two keep-alives.
        longest_s: longest idle period that may be tested.
        cautious_s: interval where nothing can be found out.
        policy: how to look.
        shortest_s: shortest idle period that is worth testing.

    Attributes:
        search: what is known.
    """

    def __init__(
        self,
        minimum_s: float,
        longest_s: float,
        cautious_s: float,
        policy: LifetimePolicy,
        shortest_s: float = 1.0,
    ) -> None:
        self._minimum_s = minimum_s
        self._shortest_s = max(minimum_s, shortest_s)
        self._longest_s = longest_s
        self._cautious_s = cautious_s
        self._policy = policy
        self.search = self._new_search()
        self._state = _State.CALIBRATING
        self._expired = False
        self._until_test = policy.monitor_every

    def _new_search(self) -> LifetimeSearch:
        return LifetimeSearch(self._shortest_s, self._longest_s, self._policy)

    @property
    def phase(self) -> Phase:
        """What is going on."""
        if self._state is _State.CAUTIOUS:
            return Phase.UNTESTABLE
        return Phase.DISCOVERY if self._period() is not None else Phase.MONITORING

    @property
    def interval_s(self) -> float:
        """Of keep-alives, once the search has ended."""
        if self._state is _State.CAUTIOUS:
            return self._cautious_s
        return max(self.search.alive_s, self._shortest_s)

    def _period(self) -> float | None:
        """What is tested in discovery; None: discovery has ended."""
        return self.search.next_s()

    @property
    def period_s(self) -> float:
        """The idle period that the next probe tests."""
        if self._state is _State.CALIBRATING:
            return 0.0
        return self._period() or self.interval_s

    def plan(self, last_keep_alive: float, last_traffic: float) -> tuple[Step, float]:
        """What to do next, and when.

        Args:
            last_keep_alive: when the last one was sent first.
            last_traffic: when the primary port last sent or received.
        """
        match self._state:
            case _State.CALIBRATING:
                return Step.PROBE, last_traffic
            case _State.IDLE | _State.TESTING:
                return Step.PROBE, last_traffic + self.period_s
            case _State.ASSURING:
                wait_s = max(self._minimum_s, self._policy.assure_s)
                return Step.KEEP_ALIVE, last_keep_alive + wait_s
            case _State.REFRESHING:
                return Step.KEEP_ALIVE, last_keep_alive + self._minimum_s
            case _:
                return Step.KEEP_ALIVE, last_keep_alive + self.interval_s

    def probed(self, outcome: Outcome) -> None:
        """A probe (or its repetition) has ended."""
        if outcome is Outcome.IMPOSSIBLE:
            self._state = _State.CAUTIOUS
        elif self._state is _State.CALIBRATING:
            # A binding that was used a moment ago is there: no answer means no help.
            alive = outcome is Outcome.ALIVE
            self._state = _State.ASSURING if alive else _State.CAUTIOUS
        else:
            self._measured(outcome is Outcome.ALIVE)

    def _measured(self, alive: bool) -> None:
        period_s = self.period_s
        if alive:
            self.search.lived(period_s)
        else:
            if self._state is _State.TESTING:
                self.search = self._new_search()
            self.search.died(period_s)
        self._expired = not alive
        self._state = _State.REFRESHING

    def refreshed(self, is_new: bool) -> None:
        """A keep-alive was answered; `is_new`: by way of another binding than before."""
        if self._state in (_State.CALIBRATING, _State.CAUTIOUS):
            return
        if is_new or (self._state is _State.REFRESHING and self._expired):
            self._expired = False
            self._until_test = 0  # whether it had expired is to be tested soon
            self._state = _State.ASSURING
        elif self._period() is not None:
            self._state = _State.IDLE
        else:
            self._keep()

    def _keep(self) -> None:
        hopeless = self.search.dead_s <= self._shortest_s and self._until_test <= 0
        if self._state is _State.REFRESHING or hopeless:
            self._until_test = self._policy.monitor_every
        self._until_test -= 1
        self._state = _State.KEEPING if self._until_test > 0 else _State.TESTING
