"""A NAT that nobody has described, found out by packets alone, and described so that it can be
played.

Lifetimes are found by ladders: fresh bindings side by side, each tried once, at ages that stand
between two neighbouring numbers of a list.  So a NAT that lives a number of the list is found to
live exactly that, and a portrait of a portrait is the same.

A machine may be late with a trial.  A binding found alive is then only older than it need be; one
found dead may have lived until just before, so that its rung, and those above, are tried again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from testbed.errors import BadInput
from testbed.nat.ground import Ground
from testbed.nat.probe import probe_hairpinning, probe_ports, probe_quickly
from testbed.nat.times import (
    BINDING_REQUEST,
    CLOSE_S,
    CONFIRMED_S,
    FORGOTTEN_S,
    REFRESHED_AT,
    tried_at_s,
)
from testbed.protocols.wire import Endpoint
from testbed.topology import Dependence, Hairpinning, Nat, Pooling, Ports, Refresh, Udp

_MANTISSAS = (
    *(10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 45),
    *(48, 50, 53, 56, 60, 64, 68, 72, 75, 80, 85, 90, 95),
)
LIFETIMES_S = tuple(
    round(mantissa * 10.0**power, 1) for power in (-1, 0, 1, 2) for mantissa in _MANTISSAS
)
"""What a lifetime is told as: a tenth apart at most, so none is off by more than a twentieth."""
LONGEST_S = 600.0
_DEAD_IN_A_ROW = 2
"""A packet may be lost: so many rungs one after the other end a ladder."""
_ATTEMPTS = 8
"""How often that is tried which this machine is late with."""
_IN_TIME = 0.95
"""A binding that nothing refreshed for this fraction of its lifetime may have died."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Portrait:
    """What was found.

    Attributes:
        nat: it, as far as it could be seen; the rest is as `Nat` has it by default.
        notes: what could not be seen or not be said, in sentences.
    """

    nat: Nat
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Rung:
    """One binding of a ladder.

    Attributes:
        age_s: when it is tried, counted from `since`.
        inside, outside: its ends.
        begun, since: between them it was made, or last refreshed.
    """

    age_s: float
    inside: Endpoint
    outside: Endpoint | None
    begun: float
    since: float


@dataclass(slots=True)
class _Ladder:
    """Bindings of one kind, tried one after the other until several in a row are dead.

    Attributes:
        rungs: in the order of their ages.
        first: the place in `LIFETIMES_S` that ends at the first rung.
        dead: rungs in a row that were dead.
        alive: how many were alive, up to the last of them.
        tried: how many have been tried.
        dead_by_s: how old a binding was at most that has been found dead since.
    """

    rungs: Sequence[_Rung]
    first: int
    dead: int = 0
    alive: int = 0
    tried: int = 0
    dead_by_s: float = math.inf

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to find out by it."""
        return self.dead >= _DEAD_IN_A_ROW or self.tried == len(self.rungs)

    @property
    def place(self) -> int:
        """In `LIFETIMES_S`, of the number between the last rung alive and the first one dead."""
        return self.first + self.alive

    @property
    def is_late(self) -> bool:
        """Whether it may as well be a number above: the first dead one was tried after that."""
        has_died = self.alive < len(self.rungs)
        return has_died and self.dead_by_s >= LIFETIMES_S[self.place + 1]

    def found(self, rung: _Rung, is_alive: bool, sent: float) -> None:
        """What became of the next rung, tried by a packet that was on its way by then."""
        self.tried += 1
        if is_alive:
            self.alive, self.dead, self.dead_by_s = self.tried, 0, math.inf
        else:
            self.dead += 1
            self.dead_by_s = min(self.dead_by_s, sent - rung.begun)


def portray(
    ground: Ground, name: str, longest_s: float = LONGEST_S, tell: Tell = lambda line: None
) -> Portrait:
    """Find out what the NAT of that ground does; takes up to 2.5 times its bindings' lifetime.

    Args:
        ground: where it is.
        name: of what is found.
        longest_s: for how long its bindings are watched at most.
        tell: called with a line about each thing found.
    """
    return _Painter(ground, name, longest_s, tell).portray()


class _Painter:
    def __init__(self, ground: Ground, name: str, longest_s: float, tell: Tell) -> None:
        self._ground = ground
        self._name = name
        self._ages = _ages(longest_s)
        self._tell = tell
        self._next = itertools.count(30)
        self._outsides: set[str] = set()
        self._notes: list[str] = []

    def portray(self) -> Portrait:
        quick = probe_quickly(self._ground)
        found: dict[str, Any] = {}
        if quick.udp != "passed":
            found["udp"] = Udp.REJECTED if self._ground.was_rejected() else Udp.DROPPED
            return self._portrait(found)
        found["translates"] = quick.translation == "yes"
        if quick.filtering == "none":
            return self._portrait({"translates": False, "filtering": None})
        found["filtering"] = self._word(Dependence, "filtering", quick.filtering)
        if found["translates"]:
            found["mapping"] = self._word(Dependence, "mapping", quick.mapping)
            found["ports"] = self._word(Ports, "ports", probe_ports(self._ground))
            hairpinning = probe_hairpinning(self._ground)
            found["hairpinning"] = self._word(Hairpinning, "hairpinning", hairpinning)
        if self._ground.places.other_address is None:
            self._notes.append(
                "the server had one address: what depends on the address is taken for what depends "
                "on nothing"
            )
        for each, value in found.items():
            self._tell(f"{each}: {value.value if isinstance(value, Enum) else value}")
        found |= self._lifetimes()
        if found["translates"]:
            found |= self._pool()
        return self._portrait(found)

    def _word(self, kind: type[_Word], what: str, word: str | None) -> _Word:
        """Raises: BadInput: it is none that a `Nat` can have."""
        try:
            return kind(word)
        except ValueError:
            raise BadInput(
                f"the NAT's {what} is {word}, which no kind of NAT here can be; no file is written"
            ) from None

    def _portrait(self, found: dict[str, Any]) -> Portrait:
        """What goes together; what does not is left out, the least certain first."""
        dropped = ("ports", "confirmed_lifetime_s", "binding_request_lifetime_s", "addresses")
        for number in range(len(dropped) + 1):
            kept = {name: value for name, value in found.items() if name not in dropped[:number]}
            try:
                nat = Nat(name=self._name, **kept)
            except BadInput as error:
                self._notes.append(f"seen, but not to be said: {error}")
                continue
            return Portrait(nat, tuple(self._notes))
        raise BadInput(f"what was found does not go together: {self._notes[-1]}")

    # Lifetimes

    def _lifetimes(self) -> dict[str, Any]:
        (place,) = self._places(0, [self._fresh])
        if place == len(self._ages):
            self._notes.append(f"bindings were still alive after {self._ages[-1]:.0f} s")
            return {"lifetime_s": LIFETIMES_S[place]}
        lifetime_s = LIFETIMES_S[place]
        self._tell(f"lifetime_s: {lifetime_s:g}")
        found: dict[str, Any] = {"lifetime_s": lifetime_s, "refresh": self._refresh(lifetime_s)}
        self._tell(f"refresh: {found['refresh'].value}")

        def confirmed(first: int) -> _Ladder:
            ladder = self._fresh(first)
            self._confirm(ladder, lifetime_s)
            return ladder

        def asked(first: int) -> _Ladder:
            return self._ladder(first, BINDING_REQUEST)

        places = self._places(place, [confirmed, asked])
        names = ("confirmed_lifetime_s", "binding_request_lifetime_s")
        for name, longer in zip(names, places, strict=True):
            if longer >= place + _DEAD_IN_A_ROW:  # the next number may be the same lifetime
                found[name] = LIFETIMES_S[longer]
                self._tell(f"{name}: {found[name]:g}")
        return found

    def _places(self, first: int, makers: Sequence[Callable[[int], _Ladder]]) -> list[int]:
        """Where in `LIFETIMES_S` the lifetimes are that ladders tell, climbed side by side.

        Args:
            first: where the ladders begin.
            makers: of a fresh ladder from a place on, each of its own kind.
        """
        places = [first] * len(makers)
        late: Iterable[int] = range(len(makers))
        for _ in range(_ATTEMPTS):
            ladders = {number: makers[number](places[number]) for number in late}
            self._climb(list(ladders.values()))
            for number, ladder in ladders.items():
                places[number] = ladder.place
            late = [number for number, each in ladders.items() if each.is_late]
            if not late:
                return places
            self._tell("this machine was late; what it was late with is tried again")
        for number in late:
            self._notes.append(
                f"this machine was late with each of {_ATTEMPTS} trials: the lifetime told as "
                f"{LIFETIMES_S[places[number]]:g} s may be longer"
            )
        return places

    def _fresh(self, first: int) -> _Ladder:
        return self._ladder(first)

    def _ladder(self, first: int, payload: bytes = b"") -> _Ladder:
        """Fresh bindings for the ages from that place in the list on."""
        rungs = []
        for age_s in reversed(self._ages[first:]):  # who is tried first is born last
            rung = self._bear(payload)
            rung.age_s = age_s
            rungs.append(rung)
        return _Ladder(rungs[::-1], first)

    def _bear(self, payload: bytes = b"") -> _Rung:
        inside = self._ground.places.at(next(self._next))
        begun = self._ground.now()
        outside = self._ground.outbound(inside, self._ground.places.one, payload)
        if outside is None:  # it is dead at every age, which tells nothing
            begun = -math.inf
        else:
            self._outsides.add(outside.address)
        return _Rung(0.0, inside, outside, begun, self._ground.now())

    def _confirm(self, ladder: _Ladder, lifetime_s: float) -> None:
        """Speak to and fro through its bindings, for more than two seconds."""
        ground = self._ground
        begun = ground.now()
        pause_s = CONFIRMED_S if lifetime_s > CONFIRMED_S + CLOSE_S else CLOSE_S
        passed_s = 0.0
        for rung in ladder.rungs:
            self._is_alive(rung)
        while passed_s < CONFIRMED_S:
            passed_s += pause_s
            ground.wait_until(begun + passed_s)
            for rung in ladder.rungs[::-1]:
                spoken = ground.now()
                ground.outbound(rung.inside, ground.places.one)
                # One that may have died in between is dead at no age that would tell something.
                has_died = ground.now() - rung.begun > _IN_TIME * lifetime_s
                rung.begun = -math.inf if has_died else spoken
                self._is_alive(rung)
                rung.since = ground.now()

    def _climb(self, ladders: Sequence[_Ladder]) -> None:
        """Try all rungs at their times."""
        while open_ones := [each for each in ladders if not each.is_over]:
            ladder = min(open_ones, key=lambda each: _due(each.rungs[each.tried]))
            rung = ladder.rungs[ladder.tried]
            self._ground.wait_until(_due(rung))
            is_alive = self._is_alive(rung)
            ladder.found(rung, is_alive, self._ground.sent())

    def _is_alive(self, rung: _Rung) -> bool:
        ground = self._ground
        if rung.outside is None:
            return False
        return ground.inbound(ground.places.one, rung.outside, [rung.inside])

    def _refresh(self, lifetime_s: float) -> Refresh:
        """Two bindings, refreshed once each in between."""
        tried_s = tried_at_s(lifetime_s)
        if tried_s is None:
            self._notes.append("bindings live too short to tell what refreshes them")
            return Refresh.BOTH
        words = {
            (True, True): Refresh.BOTH,
            (True, False): Refresh.OUTBOUND,
            (False, True): Refresh.INBOUND,
        }
        for _ in range(_ATTEMPTS):
            alive = self._refreshed(lifetime_s, tried_s)
            if alive is None:
                continue
            if alive not in words:
                self._notes.append("no packet kept a binding alive; that cannot be said of a kind")
            return words.get(alive, Refresh.OUTBOUND)
        self._notes.append("this machine was too late to tell what refreshes a binding")
        return Refresh.BOTH

    def _refreshed(self, lifetime_s: float, tried_s: float) -> tuple[bool, bool] | None:
        """Whether a packet that leaves, and one that comes in, keeps a binding alive; None: this
        machine was so late that they may have died before or after it."""
        ground = self._ground
        rungs = by_outbound, by_inbound = self._bear(), self._bear()
        ground.wait_until(by_outbound.since + REFRESHED_AT * lifetime_s)
        refreshed_from = ground.now()
        ground.outbound(by_outbound.inside, ground.places.one)
        self._is_alive(by_inbound)
        refreshed_by = ground.now()
        was_late = refreshed_by - by_outbound.begun > _IN_TIME * lifetime_s
        ground.wait_until(max(by_inbound.since + tried_s, refreshed_by + FORGOTTEN_S))
        alive = []
        for rung in rungs:
            alive.append(self._is_alive(rung))
            is_old = ground.sent() - refreshed_from > _IN_TIME * lifetime_s
            was_late |= is_old and not alive[-1]
        return None if was_late else (alive[0], alive[1])

    # Addresses

    def _pool(self) -> dict[str, Any]:
        """Outside addresses: several for one inside, or one for each."""
        places = self._ground.places
        neighbour = Endpoint(places.neighbour, places.first_port + 22)
        other = self._ground.outbound(neighbour, places.one)
        if len(self._outsides) > 1:
            found = {"pooling": Pooling.ARBITRARY, "addresses": len(self._outsides)}
        elif other is not None and other.address not in self._outsides:
            found = {"pooling": Pooling.PAIRED, "addresses": 2}
        else:
            return {}
        self._tell(f"addresses: {found['addresses']}, {found['pooling']}")
        return found


_Word = TypeVar("_Word", bound=Enum)


def _due(rung: _Rung) -> float:
    return rung.since + rung.age_s


def _ages(longest_s: float) -> list[float]:
    """At what ages bindings are tried: between the numbers of the list."""
    return [
        math.sqrt(low * high)
        for low, high in itertools.pairwise(LIFETIMES_S)
        if low < longest_s * 1.01
    ]
