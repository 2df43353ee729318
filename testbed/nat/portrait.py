"""A NAT that nobody has described, found out by packets alone, and described so that it can be
played.

Lifetimes are found by ladders: fresh bindings side by side, each tried once, at ages that stand
between two neighbouring numbers of a list.  So a NAT that lives a number of the list is found to
live exactly that, and a portrait of a portrait is the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
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
        since: when it was last refreshed.
    """

    age_s: float
    inside: Endpoint
    outside: Endpoint | None
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
    """

    rungs: Sequence[_Rung]
    first: int
    dead: int = 0
    alive: int = 0
    tried: int = 0

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to find out by it."""
        return self.dead >= _DEAD_IN_A_ROW or self.tried == len(self.rungs)

    @property
    def lifetime_s(self) -> float | None:
        """The number between the last rung alive and the first one dead; None: all were alive."""
        if self.alive == len(self.rungs):
            return None
        return LIFETIMES_S[self.first + self.alive]


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
        (plain,) = self._climb([self._ladder(0, self._bear)])
        lifetime_s = plain.lifetime_s
        if lifetime_s is None:
            longest_s = LIFETIMES_S[len(self._ages)]
            self._notes.append(f"bindings were still alive after {self._ages[-1]:.0f} s")
            return {"lifetime_s": longest_s}
        self._tell(f"lifetime_s: {lifetime_s:g}")
        found: dict[str, Any] = {"lifetime_s": lifetime_s, "refresh": self._refresh(lifetime_s)}
        self._tell(f"refresh: {found['refresh'].value}")
        first = plain.alive
        confirmed = self._ladder(first, self._bear)
        self._confirm(confirmed, lifetime_s)
        asked = self._ladder(first, lambda: self._bear(BINDING_REQUEST))
        self._climb([confirmed, asked])
        for name, ladder in (
            ("confirmed_lifetime_s", confirmed),
            ("binding_request_lifetime_s", asked),
        ):
            if ladder.alive < _DEAD_IN_A_ROW:  # a late trial is no second lifetime
                continue
            longer = ladder.lifetime_s or LIFETIMES_S[len(self._ages)]
            found[name] = longer
            self._tell(f"{name}: {longer:g}")
        return found

    def _ladder(self, first: int, bear: Callable[[], _Rung]) -> _Ladder:
        """Fresh bindings for the ages from that place in the list on."""
        rungs = []
        for age_s in reversed(self._ages[first:]):  # who is tried first is born last
            rung = bear()
            rung.age_s = age_s
            rungs.append(rung)
        return _Ladder(rungs[::-1], first)

    def _bear(self, payload: bytes = b"") -> _Rung:
        inside = self._ground.places.at(next(self._next))
        outside = self._ground.outbound(inside, self._ground.places.one, payload)
        if outside is not None:
            self._outsides.add(outside.address)
        return _Rung(0.0, inside, outside, self._ground.now())

    def _confirm(self, ladder: _Ladder, lifetime_s: float) -> None:
        """Speak to and fro through its bindings, for more than two seconds."""
        begun = self._ground.now()
        pause_s = CONFIRMED_S if lifetime_s > CONFIRMED_S + CLOSE_S else CLOSE_S
        passed_s = 0.0
        for rung in ladder.rungs:
            self._is_alive(rung)
        while passed_s < CONFIRMED_S:
            passed_s += pause_s
            self._ground.wait_until(begun + passed_s)
            for rung in ladder.rungs[::-1]:
                self._ground.outbound(rung.inside, self._ground.places.one)
                self._is_alive(rung)
                rung.since = self._ground.now()

    def _climb(self, ladders: Sequence[_Ladder]) -> Sequence[_Ladder]:
        """Try all rungs at their times."""
        while open_ones := [each for each in ladders if not each.is_over]:
            ladder = min(open_ones, key=lambda each: _due(each.rungs[each.tried]))
            rung = ladder.rungs[ladder.tried]
            self._ground.wait_until(_due(rung))
            ladder.tried += 1
            if self._is_alive(rung):
                ladder.alive, ladder.dead = ladder.tried, 0
            else:
                ladder.dead += 1
        return ladders

    def _is_alive(self, rung: _Rung) -> bool:
        ground = self._ground
        if rung.outside is None:
            return False
        return ground.inbound(ground.places.one, rung.outside, [rung.inside])

    def _refresh(self, lifetime_s: float) -> Refresh:
        """Two bindings, refreshed once each in between."""
        ground = self._ground
        tried_s = tried_at_s(lifetime_s)
        if tried_s is None:
            self._notes.append("bindings live too short to tell what refreshes them")
            return Refresh.BOTH
        by_outbound, by_inbound = self._bear(), self._bear()
        ground.wait_until(by_outbound.since + REFRESHED_AT * lifetime_s)
        ground.outbound(by_outbound.inside, ground.places.one)
        self._is_alive(by_inbound)
        ground.wait_until(by_inbound.since + tried_s)
        alive = self._is_alive(by_outbound), self._is_alive(by_inbound)
        words = {
            (True, True): Refresh.BOTH,
            (True, False): Refresh.OUTBOUND,
            (False, True): Refresh.INBOUND,
        }
        if alive not in words:
            self._notes.append("no packet kept a binding alive; that cannot be said of a kind")
        return words.get(alive, Refresh.OUTBOUND)

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
