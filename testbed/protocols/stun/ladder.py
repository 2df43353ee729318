"""A ladder of bindings, each left idle for another time, that tells how long a NAT keeps one.

Every rung is a port of its own, which opens a binding, uses it twice and is then left alone until
its period is over; then a request from yet another port asks the server to answer there (TR-111
Part 2, 2.2.1.2).  So all periods are tested at once, and the answer is there one step after the
lifetime.  The primary port has no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from testbed.errors import DecodeError
from testbed.protocols.stun.attributes import Attribute, Kind, address_value
from testbed.protocols.stun.lifetime import LifetimePolicy
from testbed.protocols.stun.message import BindingRequest, BindingResponse, Message, decode
from testbed.protocols.stun.transaction import Transaction, new_transaction_id, send_times
from testbed.protocols.wire import Endpoint, Outgoing

PROBER = -1
"""The side from which rungs are asked for; rungs are the sides 0, 1, 2, ..."""


@dataclass(frozen=True, slots=True)
class LadderEnded:
    """What a ladder has found.

    Attributes:
        alive_s: the longest period that a binding has survived; 0: none has.
        dead_s: the shortest one that a binding has not; infinite: none has died.
    """

    alive_s: float
    dead_s: float


class _State(Enum):
    OPENING = 1
    ASSURING = 2
    IDLE = 3
    ASKED = 4
    ASKED_AGAIN = 5
    ALIVE = 6
    DEAD = 7
    UNKNOWN = 8


_OPEN = (_State.OPENING, _State.ASSURING)
_ASKED = (_State.ASKED, _State.ASKED_AGAIN)
_DECIDED = (_State.ALIVE, _State.DEAD, _State.UNKNOWN)


@dataclass(slots=True)
class _Rung:
    """One binding, and the request that waits for an answer there."""

    number: int
    period_s: float
    state: _State = _State.OPENING
    due: float = math.inf
    mapped: Endpoint | None = None
    waits: Transaction[None] | None = None

    def deadline(self) -> float:
        if self.state in _DECIDED:
            return math.inf
        return self.due if self.waits is None else self.waits.deadline()


class Ladder:
    """The machine; see `wire.SidedMachine` for the verbs.  Its sides are numbers.

    Args:
        random: for transaction IDs.
        server: who is asked.
        periods_s: of the rungs, the shortest first.
        policy: how long a binding is used, and how long an answer is waited for.

    Attributes:
        sides: all of them.
    """

    def __init__(
        self,
        random: Random,
        server: Endpoint,
        periods_s: Sequence[float],
        policy: LifetimePolicy,
    ) -> None:
        self.sides = (PROBER, *range(len(periods_s)))
        self._random = random
        self._server = server
        self._policy = policy
        self._rungs = [_Rung(number, period_s) for number, period_s in enumerate(periods_s)]
        self._of_request: dict[bytes, _Rung] = {}
        self._is_over = False
        self._outgoing: list[Outgoing[Message]] = []
        self._events: list[LadderEnded] = []

    def begin(self, now: float) -> None:
        """Open every rung's binding."""
        for rung in self._rungs:
            self._ask(rung, now, rung.number)

    # The verbs

    def receive(self, data: bytes, source: Endpoint, now: float, side: int) -> None:
        """Take a datagram that came to a rung, or to the port that asks."""
        try:
            message = decode(data)
        except DecodeError:
            return
        rung = self._of_request.get(message.transaction_id)
        if rung is None or rung.waits is None or not isinstance(message, BindingResponse):
            return
        if side == rung.number and message.transaction_id == rung.waits.request.transaction_id:
            self._answered(rung, message, now)
        # What is due is for `tick`: the answers of other rungs may have come, and are heard first.
        self._decide()

    def tick(self, now: float) -> None:
        """Let time pass."""
        for rung in self._rungs:
            if self._is_over:
                return
            if rung.deadline() <= now:
                self._due(rung, now)
        self._decide()

    def deadline(self) -> float | None:
        """When something is to be done next."""
        if self._is_over:
            return None
        first = min(rung.deadline() for rung in self._rungs)
        return None if first == math.inf else first

    def to_send(self) -> Sequence[Outgoing[Message]]:
        """Take the requests, each with its side."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> Sequence[LadderEnded]:
        """Take what was found."""
        events, self._events = self._events, []
        return events

    # One rung

    def _ask(self, rung: _Rung, now: float, side: int, *attributes: Attribute) -> None:
        request = BindingRequest(new_transaction_id(self._random), attributes)
        waits: Transaction[None] = Transaction(request, None, now)
        if side == PROBER:
            waits.fails_after_s = self._policy.probe_wait_s
            times_s = send_times(self._policy.probe_sends)
            waits.times_s = tuple(each for each in times_s if each < waits.fails_after_s)
        rung.waits = waits
        self._of_request[request.transaction_id] = rung
        waits.due(now)
        self._outgoing.append(Outgoing(request, self._server, side=side))

    def _probe(self, rung: _Rung, now: float) -> None:
        assert rung.mapped is not None
        value = address_value(rung.mapped)
        self._ask(rung, now, PROBER, Attribute(Kind.RESPONSE_ADDRESS, value))

    def _answered(self, rung: _Rung, response: Message, now: float) -> None:
        assert rung.waits is not None
        del self._of_request[rung.waits.request.transaction_id]
        rung.waits = None
        if rung.state in _ASKED:
            rung.state = _State.ALIVE
        elif response.mapped_address is None:
            rung.state = _State.UNKNOWN
        else:
            rung.mapped = response.mapped_address
            is_open = rung.state is _State.OPENING
            rung.state = _State.ASSURING if is_open else _State.IDLE
            rung.due = now + (self._policy.assure_s if is_open else rung.period_s)

    def _due(self, rung: _Rung, now: float) -> None:
        waits = rung.waits
        if waits is not None and waits.due(now):
            side = PROBER if rung.state in _ASKED else rung.number
            self._outgoing.append(Outgoing(waits.request, self._server, side=side))
        elif waits is not None and waits.has_failed(now):
            del self._of_request[waits.request.transaction_id]
            rung.waits = None
            self._failed(rung, now)
        elif waits is None and rung.state is _State.ASSURING:
            self._ask(rung, now, rung.number)
        elif waits is None and rung.state is _State.IDLE:
            rung.state = _State.ASKED
            self._probe(rung, now)

    def _failed(self, rung: _Rung, now: float) -> None:
        if rung.state is _State.ASKED:
            rung.state = _State.ASKED_AGAIN
            self._probe(rung, now)
        else:
            rung.state = _State.UNKNOWN if rung.state in _OPEN else _State.DEAD

    # All of them

    def _decide(self) -> None:
        """The first dead rung ends it, unless a longer one lives: then an answer was lost."""
        alive_s = max((r.period_s for r in self._rungs if r.state is _State.ALIVE), default=0.0)
        dead_s = min(
            (r.period_s for r in self._rungs if r.state is _State.DEAD and r.period_s > alive_s),
            default=math.inf,
        )
        if dead_s < math.inf:
            # Whoever stands between must have been heard: a rung that opened late may still live.
            waiting = [r for r in self._rungs if r.period_s < dead_s and r.state not in _DECIDED]
        else:
            waiting = [r for r in self._rungs if r.state not in _DECIDED]
        if not waiting:
            self._is_over = True
            self._events.append(LadderEnded(alive_s, dead_s))
