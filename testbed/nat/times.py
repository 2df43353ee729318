"""What of a NAT shows only when time passes: lifetimes, what refreshes, rebinding.

A probe here is a generator of the times at which it wants to go on, so that many of them, each on a
ground of its own, wait side by side.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from testbed.nat.behaviour import Behaviour, Interval
from testbed.nat.ground import OUTSIDE, Ground
from testbed.nat.probe import probe_at_once
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat, Rebinding, Refresh, Udp

PROBED_FRACTIONS = (0.25, 0.5, 0.75, 0.9, 0.945, 0.955, 1.045, 1.055, 1.1, 1.25)
"""At what fractions of the declared time bindings are tried, each a fresh one."""
REFRESHED_AT = 0.6
"""At what fraction of the lifetime a binding is refreshed."""
CONFIRMED_S = 2.5
"""For how long a binding is spoken through: more than `flows.CONFIRMED_AFTER_S`."""
CLOSE_S = 0.45
"""How often a binding is spoken through that lives too short for one pause of `CONFIRMED_S`."""
BINDING_REQUEST = (
    b"\x00\x01\x00\x1chnb-testbed-nat "
    + b"\xc0\x01\x00\x14dslforum.org/TR-111 "
    + b"\xc0\x02\x00\x00"
)
"""A STUN Binding Request with TR-111's CONNECTION-REQUEST-BINDING, and the probe's number last."""
FORGOTTEN_S = 1.05
"""A flow that has been silent for so long goes on only where its binding lives."""
_TRIED_AT, _TRIED_UNTIL = 1.3, 1.5
_LATE_AT = 0.95
"""A binding that nothing refreshed for this fraction of its lifetime, because this machine was
late, tells nothing of what came after."""
_OFTEN_AT = 0.4
_AGAIN = 5
"""How often that is tried again which this machine was late with."""

Steps = Generator[float, None, Behaviour]
"""Yields when it wants to go on, by its ground's clock; returns what it found."""


def tried_at_s(lifetime_s: float) -> float | None:
    """At what age a refreshed binding is tried; None: there is no such age.

    It is dead by then if the refreshing packet did not count, alive if it did, and that packet is
    longer ago than flows are remembered beside their bindings (see `mappings.RECENT_S`).
    """
    at_s = max(_TRIED_AT * lifetime_s, REFRESHED_AT * lifetime_s + FORGOTTEN_S)
    return at_s if at_s <= _TRIED_UNTIL * lifetime_s else None


def steady(nat: Nat) -> Nat:
    """The same without rebinding, which would end bindings before their time."""
    if nat.rebinding is Rebinding.NEVER:
        return nat
    addresses = 1 if nat.rebinding is Rebinding.ADDRESS else nat.addresses
    return dataclasses.replace(nat, rebinding=Rebinding.NEVER, addresses=addresses)


def wait_s(nat: Nat) -> float:
    """How long a full probe of that kind takes, about."""
    if nat.udp is not Udp.PASSED or nat.filtering is None:
        return 0.0
    longest = PROBED_FRACTIONS[-1]
    waits = [
        tried_at_s(nat.lifetime_s) or 0.0,
        CONFIRMED_S + longest * (nat.confirmed_lifetime_s or nat.lifetime_s),
        longest * (nat.binding_request_lifetime_s or nat.lifetime_s),
    ]
    if nat.rebinding is not Rebinding.NEVER:
        waits.append(longest * nat.rebinds_after_s)
    return max(waits)


def probe_fully(ground: Ground, nat: Nat) -> Steps:
    """Everything but rebinding, by fresh bindings side by side, each tried once.

    Args:
        ground: of a NAT that has not been probed yet, and does not rebind.
        nat: as it is declared: around its lifetimes bindings are tried.
    """
    found = probe_at_once(ground)
    if found.has_times:
        return found
    times = yield from _Watch(ground, nat).watch()
    return Behaviour(**{**found.told(), **times})


def probe_rebinding(ground: Ground, nat: Nat, began: float) -> Steps:
    """Whether a flow under way gets other outside ends, which, and when.

    Args:
        ground: of a NAT that nobody has spoken through yet.
        nat: as it is declared.
        began: when it began to translate.
    """
    places = ground.places
    inside = places.at(0)
    first = ground.outbound(inside, places.one)
    if first is None:
        return Behaviour()
    spoken = ground.now()
    kept_s = 0.0
    for age_s in _moments(nat):
        yield began + age_s
        before = ground.now()
        if before - spoken > _LATE_AT * nat.lifetime_s:
            return Behaviour()
        seen = ground.outbound(inside, places.one)
        after = ground.now()
        if seen is not None and seen != first:
            is_moved = seen.address != first.address
            lives_on = ground.inbound(places.one, first, [inside])
            word = (Rebinding.ADDRESS if is_moved else Rebinding.PORT).value
            return Behaviour(
                rebinding=f"{word}, and the old one goes on" if lives_on else word,
                rebinds_after_s=_rounded(kept_s, after - began),
            )
        if seen is not None:
            ground.inbound(places.one, seen, [inside])
            kept_s, spoken = before - began, after
    return Behaviour(rebinding=Rebinding.NEVER.value, rebinds_after_s=_rounded(kept_s, None))


def _moments(nat: Nat) -> Sequence[float]:
    """At what ages a flow is looked at, so that its binding never dies of silence."""
    told = {fraction * nat.rebinds_after_s for fraction in PROBED_FRACTIONS}
    often_s = _OFTEN_AT * nat.lifetime_s
    last_s = max(told)
    told |= {number * often_s for number in range(1, int(last_s / often_s) + 1)}
    return sorted(told)


def drive(ground: Ground, steps: Steps) -> Behaviour:
    """One probe to its end."""
    try:
        while True:
            ground.wait_until(next(steps))
    except StopIteration as end:
        found: Behaviour = end.value
        return found


@dataclass(slots=True)
class _Born:
    """A binding of the probe: made, or last refreshed, between two moments; tried once.

    Attributes:
        inside, outside: its ends.
        begun, ended: the moments.
        alive: whether it was, when it was tried.
        age_s: its age then, counted so that it contradicts nothing wrongly.
        is_spoilt: it was not refreshed in time: nothing is to be learnt of it.
    """

    inside: Endpoint
    outside: Endpoint
    begun: float
    ended: float
    alive: bool = False
    age_s: float = 0.0
    is_spoilt: bool = False


class _Watch:
    """Ladders of bindings, and what is to be done to them when."""

    def __init__(self, ground: Ground, nat: Nat) -> None:
        self._ground = ground
        self._nat = nat
        self._numbers = itertools.count(30)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def watch(self) -> Generator[float, None, dict[str, Any]]:
        """What is found, by the names of `Behaviour`."""
        nat = self._nat
        asked_s = nat.binding_request_lifetime_s or nat.lifetime_s
        confirmed_s = nat.confirmed_lifetime_s or nat.lifetime_s
        plain = self._ladder(nat.lifetime_s)
        asked = self._ladder(asked_s, BINDING_REQUEST)
        confirmed = [self._bear() for _ in PROBED_FRACTIONS]
        for one, fraction in zip(confirmed, PROBED_FRACTIONS, strict=True):
            self._speak(one)
            self._confirm(one, fraction * confirmed_s)
        refreshed = self._refreshed()
        yield from self._act()
        for _ in range(_AGAIN):
            if refreshed is None or not any(each.is_spoilt for each in refreshed):
                break
            refreshed = self._refreshed()
            yield from self._act()
        found: dict[str, Any] = {
            "lifetime_s": _interval(plain),
            "confirmed_lifetime_s": _interval(confirmed),
            "binding_request_lifetime_s": _interval(asked),
        }
        if refreshed and not any(each.is_spoilt for each in refreshed):
            words = {
                (True, True): Refresh.BOTH.value,
                (True, False): Refresh.OUTBOUND.value,
                (False, True): Refresh.INBOUND.value,
            }
            by_outbound, by_inbound = refreshed
            found["refresh"] = words.get((by_outbound.alive, by_inbound.alive), "by nothing")
        return found

    def _act(self) -> Generator[float, None, None]:
        """Do all that is to be done, at its time."""
        while self._agenda:
            when, _, act = heapq.heappop(self._agenda)
            yield when
            act()

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), act))

    def _bear(self, payload: bytes = b"") -> _Born:
        ground = self._ground
        inside = ground.places.at(next(self._numbers))
        begun = ground.now()
        outside = ground.outbound(inside, ground.places.one, payload)
        # A packet that did not come out: its binding is tried, and found dead, at nobody's address.
        return _Born(inside, outside or Endpoint(OUTSIDE, 0xFFFF), begun, ground.now())

    def _ladder(self, lifetime_s: float, payload: bytes = b"") -> list[_Born]:
        """Fresh bindings, one for each fraction."""
        born = [self._bear(payload) for _ in PROBED_FRACTIONS]
        for one, fraction in zip(born, PROBED_FRACTIONS, strict=True):
            self._try_at(one.ended + fraction * lifetime_s, one)
        return born

    def _try_at(self, when: float, one: _Born) -> None:
        self._at(when, lambda: self._attempt(one))

    def _attempt(self, one: _Born) -> None:
        ground = self._ground
        before = ground.now() - one.ended
        one.alive = ground.inbound(ground.places.one, one.outside, [one.inside])
        one.age_s = before if one.alive else ground.now() - one.begun

    def _speak(self, one: _Born) -> None:
        """Through it to and fro."""
        ground = self._ground
        begun = ground.now()
        outside = ground.outbound(one.inside, ground.places.one)
        one.is_spoilt |= ground.now() - one.begun > _LATE_AT * self._nat.lifetime_s
        one.outside = outside or one.outside
        ground.inbound(ground.places.one, one.outside, [one.inside])
        one.begun, one.ended = begun, ground.now()

    def _confirm(self, one: _Born, tried_s: float) -> None:
        """Speak through a binding for more than two seconds, and try it later than that."""
        pause_s = CONFIRMED_S if self._nat.lifetime_s > CONFIRMED_S + CLOSE_S else CLOSE_S
        until = one.begun + CONFIRMED_S

        def go_on() -> None:
            self._speak(one)
            if one.begun >= until:
                self._try_at(one.ended + tried_s, one)
            else:
                self._at(one.begun + pause_s, go_on)

        self._at(one.begun + pause_s, go_on)

    def _refreshed(self) -> tuple[_Born, _Born] | None:
        """Two bindings that are refreshed in between, by a packet of either direction."""
        lifetime_s = self._nat.lifetime_s
        tried_s = tried_at_s(lifetime_s)
        if tried_s is None:
            return None
        ground = self._ground
        by_outbound, by_inbound = self._bear(), self._bear()

        def out() -> None:
            ground.outbound(by_outbound.inside, ground.places.one)

        def refresh(one: _Born, act: Callable[[], None]) -> None:
            tried_at = one.ended + tried_s
            self._in_time(one, act)
            when = max(tried_at, one.ended + FORGOTTEN_S)  # it may have been late
            self._at(when, lambda: self._in_time(one, partial(self._attempt, one)))

        for one, act in ((by_outbound, out), (by_inbound, partial(self._attempt, by_inbound))):
            self._at(one.ended + REFRESHED_AT * lifetime_s, partial(refresh, one, act))
        return by_outbound, by_inbound

    def _in_time(self, one: _Born, act: Callable[[], None]) -> None:
        """Do that, and spoil the binding if it was so late that it may have died before."""
        begun = self._ground.now()
        act()
        ended = self._ground.now()
        one.is_spoilt |= ended - one.begun > _LATE_AT * self._nat.lifetime_s
        one.begun, one.ended = begun, ended


def _interval(born: Sequence[_Born]) -> Interval:
    alive_s = 0.0
    for one in born:
        if one.is_spoilt:
            continue
        if not one.alive:
            return _rounded(alive_s, one.age_s)
        alive_s = one.age_s
    return _rounded(alive_s, None)


def _rounded(low_s: float, high_s: float | None) -> Interval:
    return round(low_s, 3), None if high_s is None else round(high_s, 3)
