"""How long a NAT keeps an idle binding: the search for it, and what is to be done next for it.

TR-111 Part 2, 2.2.1.2 leaves the procedure to the vendor.  Here it gallops (each period twice the
last) until the binding has expired once, then halves the steps that are left; or it is told by a
ladder of other bindings (`ladder`) and holds that against its own.  `LifetimeSearch` only counts;
`LifetimeTester` says when to send what.  Neither sends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum


class Search(Enum):
    """How periods are chosen."""

    GALLOP = "gallop"
    """Each twice the last, until one is too long; then halves of the steps that are left."""
    BISECTION = "bisection"
    """Halves of what is left from the start on, as RFC 3489 10.2 sketches it."""
    LADDER = "ladder"
    """All at once, by a fresh binding each; what is found is held against the primary one."""


@dataclass(frozen=True, slots=True)
class LifetimePolicy:
    """How the lifetime is looked for.

    Attributes:
        search: how periods are chosen.
        rung_s: steps of a ladder.
        rungs: how many a ladder has at most; its steps are longer where it would need more.
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

    search: Search = Search.GALLOP
    rung_s: float = 5.0
    rungs: int = 180
    first_s: float = 20.0
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
        is_over: whether nothing more is tested, however much is left.
    """

    def __init__(self, shortest_s: float, longest_s: float, policy: LifetimePolicy) -> None:
        self.shortest_s = shortest_s
        self.longest_s = max(shortest_s, longest_s)
        self.alive_s = 0.0
        self.dead_s = math.inf
        self.is_over = False
        self._policy = policy

    def next_s(self) -> float | None:
        """The next period to test; None: the search has ended."""
        policy = self._policy
        if self.is_over or self.dead_s <= self.shortest_s:
            return None
        if policy.search is Search.BISECTION:
            shortest_s = max(self.alive_s, self.shortest_s)
            longest_s = min(self.dead_s, self.longest_s)
            if longest_s - shortest_s <= max(policy.resolution_s, policy.tolerance * self.alive_s):
                return None
            wanted = (shortest_s + longest_s) / 2
        elif self.dead_s == math.inf:
            if self.alive_s >= self.longest_s:
                return None
            wanted = self.alive_s * policy.factor or policy.first_s
        elif self.alive_s == 0:
            wanted = self.dead_s / policy.factor
        else:
            longest_alive_s = max(self.alive_s, self.shortest_s)
            left_s = self.dead_s - longest_alive_s
            step_s = max(policy.resolution_s, policy.tolerance * self.alive_s)
            if left_s <= step_s:
                return None
            # Whole steps, and the lesser half of them: nothing finer than is asked for is tested,
            # and what is tested takes less time.
            wanted = longest_alive_s + step_s * (math.ceil(left_s / step_s) // 2)
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


LADDER_SLACK_S = 0.5
"""By how much the primary binding is younger than it may be when a rung is found dead."""


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
    LADDER = 8
    CONFIRMING = 9


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
        self._has_climbed = policy.search is not Search.LADDER
        self._ladder_began: float | None = None
        self._refreshes = 0
        self._found_s = 0.0
        self._ladder_dead_s = math.inf

    def _new_search(self) -> LifetimeSearch:
        return LifetimeSearch(self._shortest_s, self._longest_s, self._policy)

    @property
    def phase(self) -> Phase:
        """What is going on."""
        if self._state is _State.CAUTIOUS:
            return Phase.UNTESTABLE
        is_found = self._period() is None and self._state is not _State.CONFIRMING
        return Phase.MONITORING if is_found else Phase.DISCOVERY

    @property
    def wants_ladder(self) -> bool:
        """Whether other bindings are to tell how long one lives."""
        return self._state is _State.LADDER

    def rungs(self) -> tuple[float, ...]:
        """The idle periods that a ladder tests, each by a binding of its own."""
        step_s = self._step_s()
        count = max(1, round((self._longest_s - self._shortest_s) / step_s))
        return tuple(self._shortest_s + number * step_s for number in range(count + 1))

    def _step_s(self) -> float:
        return max(self._policy.rung_s, (self._longest_s - self._shortest_s) / self._policy.rungs)

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
        if self._state is _State.CONFIRMING:
            return self._found_s
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
            case _State.LADDER:
                return Step.KEEP_ALIVE, self._next_refresh(last_traffic)
            case _State.IDLE | _State.TESTING | _State.CONFIRMING:
                return Step.PROBE, last_traffic + self.period_s
            case _State.ASSURING:
                wait_s = max(self._minimum_s, self._policy.assure_s)
                return Step.KEEP_ALIVE, last_keep_alive + wait_s
            case _State.REFRESHING:
                return Step.KEEP_ALIVE, last_keep_alive + self._minimum_s
            case _:
                return Step.KEEP_ALIVE, last_keep_alive + self.interval_s

    def _next_refresh(self, last_traffic: float) -> float:
        """When the primary binding is used while a ladder is climbed: twice, so that when a rung is
        found dead it has been idle for the one before, and can be asked at once whether it lives.
        """
        if self._ladder_began is None:
            self._ladder_began = last_traffic
        policy = self._policy
        use_s = max(self._minimum_s, policy.assure_s)
        last_s = policy.assure_s + policy.window_s + self._step_s() + LADDER_SLACK_S
        if self._refreshes > 1:
            return math.inf
        before_s = 0.0 if self._refreshes else use_s
        return self._ladder_began + max(last_s, use_s) - before_s

    def climbed(self, alive_s: float, dead_s: float) -> None:
        """The ladder has ended.

        Args:
            alive_s: the longest period that one of its bindings has survived; 0: none has, or it
                could not be set up.
            dead_s: the shortest one that none has.
        """
        if self._state is not _State.LADDER:
            return
        self._has_climbed = True
        if alive_s < self._shortest_s:
            self._state = _State.ASSURING
            return
        self._found_s = alive_s
        self._ladder_dead_s = dead_s
        self._state = _State.CONFIRMING

    def probed(self, outcome: Outcome) -> None:
        """A probe (or its repetition) has ended."""
        if outcome is Outcome.IMPOSSIBLE:
            self._state = _State.CAUTIOUS
        elif self._state is _State.CALIBRATING:
            # A binding that was used a moment ago is there: no answer means no help.
            alive = outcome is Outcome.ALIVE
            self._state = self._searching() if alive else _State.CAUTIOUS
        elif self._state is _State.CONFIRMING and outcome is Outcome.ALIVE:
            self.search.lived(self._found_s)
            self.search.dead_s = self._ladder_dead_s
            self.search.is_over = True
            self._state = _State.REFRESHING
        else:
            self._measured(outcome is Outcome.ALIVE)

    def _searching(self) -> _State:
        """How a search begins."""
        if self._has_climbed:
            return _State.ASSURING
        self._ladder_began, self._refreshes = None, 0
        return _State.LADDER

    def _measured(self, alive: bool) -> None:
        period_s = self.period_s
        if alive:
            self.search.lived(period_s)
        else:
            if self._state is _State.TESTING:
                self.search = self._new_search()
                self._has_climbed = self._policy.search is not Search.LADDER
            self.search.died(period_s)
        self._expired = not alive
        self._state = _State.REFRESHING

    def refreshed(self, is_new: bool) -> None:
        """A keep-alive was answered; `is_new`: by way of another binding than before."""
        if self._state is _State.LADDER:
            self._refreshes += 1
            return
        if self._state in (_State.CALIBRATING, _State.CAUTIOUS, _State.CONFIRMING):
            return
        if is_new or (self._state is _State.REFRESHING and self._expired):
            self._expired = False
            self._until_test = 0  # whether it had expired is to be tested soon
            self._state = _State.ASSURING
        elif self._period() is not None:
            self._state = _State.IDLE if self._has_climbed else self._searching()
        else:
            self._keep()

    def _keep(self) -> None:
        hopeless = self.search.dead_s <= self._shortest_s and self._until_test <= 0
        if self._state is _State.REFRESHING or hopeless:
            self._until_test = self._policy.monitor_every
        self._until_test -= 1
        self._state = _State.KEEPING if self._until_test > 0 else _State.TESTING
