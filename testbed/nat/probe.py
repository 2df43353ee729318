"""What a NAT does, found out by packets alone: a table of ours and a kernel's rules alike.

A probe knows a NAT as a `Ground`: two insides, and remotes of two addresses with two ports each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from random import Random
from typing import Any, Protocol

from testbed.nat.outcomes import Forwarded, Refused
from testbed.nat.table import NatTable
from testbed.protocols.wire import Endpoint
from testbed.topology import Dependence, Hairpinning, Nat, Ports, Refresh, Udp

OUTSIDE = "203.0.113.7"
"""The outside address of the NAT under probe; the others of a pool follow it."""
INSIDE, NEIGHBOUR = "192.168.1.10", "192.168.2.10"
ONE = Endpoint("203.0.113.50", 3478)
OTHER_PORT = Endpoint("203.0.113.50", 3479)
OTHER_ADDRESS = Endpoint("203.0.113.51", 3478)
FIRST_PORT = 5000
"""Insides of the probe have this port and those after it."""

PROBED_FRACTIONS = (0.25, 0.5, 0.75, 0.9, 0.945, 0.955, 1.045, 1.055, 1.1, 1.25)
"""At what fractions of the declared lifetime bindings are tried, each a fresh one."""
LIFETIME_TOLERANCE = 0.05
REFRESHED_AT = 0.6
"""At what fraction of the lifetime a binding is refreshed."""
_TRIED_AT, _TRIED_UNTIL, _FORGOTTEN_S = 1.3, 1.5, 1.05


@dataclass(frozen=True, slots=True)
class Places:
    """The endpoints of a ground.

    Attributes:
        inside: an address behind the NAT.
        neighbour: another one; the same where there is no other.
        first_port: insides have this port and those after it.
        one: the remote that bindings are made to.
        other_port: another port of its address.
        other_address: another address; None: the remote has none.
    """

    inside: str = INSIDE
    neighbour: str = NEIGHBOUR
    first_port: int = FIRST_PORT
    one: Endpoint = ONE
    other_port: Endpoint = OTHER_PORT
    other_address: Endpoint | None = OTHER_ADDRESS

    def at(self, number: int) -> Endpoint:
        """An inside endpoint."""
        return Endpoint(self.inside, self.first_port + number)

    @property
    def others(self) -> list[Endpoint]:
        """The remotes that no binding is made to."""
        return [self.other_port, *([self.other_address] if self.other_address else [])]


def outside_addresses(nat: Nat) -> tuple[str, ...]:
    """The outside addresses of the NAT under probe."""
    network, _, host = OUTSIDE.rpartition(".")
    return tuple(f"{network}.{int(host) + number}" for number in range(nat.addresses))


class Ground(Protocol):
    """Where a NAT is probed."""

    places: Places

    def outbound(self, inside: Endpoint, remote: Endpoint, payload: bytes = b"") -> Endpoint | None:
        """Send from inside; the source that the remote sees, None: it sees nothing."""

    def was_rejected(self) -> bool:
        """Whether a packet that the remote did not see was refused by ICMP."""

    def inbound(self, remote: Endpoint, outside: Endpoint, insides: Sequence[Endpoint]) -> bool:
        """Send from outside; whether one of the insides gets it."""

    def hairpin(self, inside: Endpoint, outside: Endpoint, target: Endpoint) -> Endpoint | None:
        """Send from inside to an outside endpoint; the source that the target sees."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def wait_until(self, when: float) -> None:
        """Let time pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What is declared of a NAT, or was measured, in words; None: it was not looked at, or there is
    nothing to see.

    Attributes:
        udp: "passed" or "blocked".
        translation: whether sources are rewritten.
        mapping: RFC 4787's word.
        filtering: likewise; "none" lets everybody in.
        ports: a value of `Ports`.
        hairpinning: a value of `Hairpinning`.
        refresh: a value of `Refresh`.
        lifetime_s: from when to when a binding that nothing refreshes ends: between the last trial
            that found one alive and the first that did not (None: all did).  Of a description: the
            same number twice.
    """

    udp: str | None = None
    translation: str | None = None
    mapping: str | None = None
    filtering: str | None = None
    ports: str | None = None
    hairpinning: str | None = None
    refresh: str | None = None
    lifetime_s: tuple[float, float | None] | None = None

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Behaviour:
        """From plain data.

        Raises:
            TypeError: it says something else than a behaviour.
        """
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in told.items()
        }
        return cls(**values)

    def told(self) -> dict[str, Any]:
        """What is known, as plain data."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }


def declared(nat: Nat) -> Behaviour:
    """What the description promises."""
    if nat.udp is not Udp.PASSED:
        return Behaviour(udp="blocked")
    if nat.filtering is None:
        return Behaviour(udp="passed", translation="no", filtering="none")
    if not nat.translates:
        return Behaviour(
            udp="passed",
            translation="no",
            filtering=nat.filtering.value,
            refresh=nat.refresh.value,
            lifetime_s=(nat.lifetime_s, nat.lifetime_s),
        )
    return Behaviour(
        udp="passed",
        translation="yes",
        mapping=nat.mapping.value,
        filtering=nat.filtering.value,
        ports=nat.ports.value,
        hairpinning=nat.hairpinning.value,
        refresh=nat.refresh.value,
        lifetime_s=(nat.lifetime_s, nat.lifetime_s),
    )


def differences(promised: Behaviour, measured: Behaviour) -> list[str]:
    """Where what was measured is not what was promised, in half-sentences."""
    told = []
    for each in fields(Behaviour):
        want, found = getattr(promised, each.name), getattr(measured, each.name)
        if want is None or found is None or want == found:
            continue
        if each.name != "lifetime_s":
            told.append(f"{each.name} is {found}, declared {want}")
        elif not _agree(want[0], *found):
            low, high = found
            span = f"more than {low:g}" if high is None else f"{low:g} to {high:g}"
            told.append(f"a binding lives {span} s, declared {want[0]:g} s")
    return told


def _agree(lifetime_s: float, alive_s: float, dead_s: float | None) -> bool:
    """Whether no trial contradicts the lifetime; one that came late contradicts nothing."""
    lives_longer = alive_s > lifetime_s * (1 + LIFETIME_TOLERANCE)
    ends_sooner = dead_s is not None and dead_s < lifetime_s * (1 - LIFETIME_TOLERANCE)
    return not (lives_longer or ends_sooner)


def tried_at_s(lifetime_s: float) -> float | None:
    """At what age a refreshed binding is tried; None: there is no such age.

    It is dead by then if the refreshing packet did not count, alive if it did, and that packet is
    longer ago than flows are remembered beside their bindings (see `mappings.RECENT_S`).
    """
    at_s = max(_TRIED_AT * lifetime_s, REFRESHED_AT * lifetime_s + _FORGOTTEN_S)
    return at_s if at_s <= _TRIED_UNTIL * lifetime_s else None


def probe_quickly(ground: Ground) -> Behaviour:
    """Mapping and filtering alone: some packets, no waiting."""
    places = ground.places
    asker = places.at(0)
    outside = ground.outbound(asker, places.one)
    if outside is None:
        return Behaviour(udp="blocked")
    lets_in = [ground.inbound(each, outside, [asker]) for each in places.others]
    filtering = _dependence(lets_in)
    if outside == asker:
        silent = places.at(1)
        if ground.inbound(places.one, silent, [silent]):
            filtering = "none"
        return Behaviour(udp="passed", translation="no", filtering=filtering)
    mapped = places.at(1)
    first = ground.outbound(mapped, places.one)
    same = [ground.outbound(mapped, each) == first for each in places.others]
    return Behaviour(
        udp="passed", translation="yes", mapping=_dependence(same), filtering=filtering
    )


def _dependence(for_others: Sequence[bool]) -> str:
    """Of what something depends that is the same, or not, for another port and another address.

    Where there is no other address the other port speaks for it.
    """
    for_others = [for_others[0], for_others[-1]]
    words: Mapping[tuple[bool, ...], str] = {
        (True, True): Dependence.ENDPOINT_INDEPENDENT.value,
        (True, False): Dependence.ADDRESS.value,
        (False, False): Dependence.ADDRESS_AND_PORT.value,
    }
    return words.get(tuple(for_others), "port-dependent")


def probe_fully(ground: Ground, lifetime_s: float) -> Behaviour:
    """Everything; takes 1.3 times the lifetime.

    Args:
        ground: of a NAT that has not been probed yet.
        lifetime_s: the declared one, around which bindings are tried.
    """
    quick = probe_quickly(ground)
    if quick.udp != "passed" or quick.filtering == "none":
        return quick
    found = quick.told()
    if quick.translation == "yes":
        found["ports"] = probe_ports(ground)
        found["hairpinning"] = probe_hairpinning(ground)
    found["lifetime_s"], found["refresh"] = _lifetime(ground, lifetime_s)
    return Behaviour(**found)


def _word(value: Enum) -> str:
    return str(value.value)


def probe_ports(ground: Ground) -> str:
    """How outside ports are given: a word of `Ports`, or "none free"."""
    places = ground.places
    asked = [places.at(10 + number) for number in range(4)]
    given = [ground.outbound(each, places.one) for each in asked]
    if None in given:
        return "none free"
    outsides = [each for each in given if each is not None]
    if all(out.port == each.port for out, each in zip(outsides, asked, strict=True)):
        rival = Endpoint(places.neighbour, asked[0].port)
        if rival == asked[0]:
            return _word(Ports.PRESERVING)
        shared = ground.outbound(rival, places.others[-1])
        return _word(Ports.OVERLOADING if shared == outsides[0] else Ports.PRESERVING)
    last: dict[str, int] = {}
    steps = []
    for each in outsides:
        if each.address in last:
            steps.append(each.port - last[each.address])
        last[each.address] = each.port
    return _word(Ports.CONTIGUOUS if set(steps) == {1} else Ports.RANDOM)


def probe_hairpinning(ground: Ground) -> str:
    """What becomes of a packet from inside to a mapping: a word of `Hairpinning`."""
    places = ground.places
    target, asker = places.at(20), Endpoint(places.neighbour, places.first_port + 21)
    outside = ground.outbound(target, places.one)
    seen = None if outside is None else ground.hairpin(asker, outside, target)
    if seen is None:
        return _word(Hairpinning.OFF)
    return _word(Hairpinning.INTERNAL if seen == asker else Hairpinning.EXTERNAL)


@dataclass(slots=True)
class _Born:
    """A binding of the probe: made between two moments, tried once."""

    inside: Endpoint
    outside: Endpoint
    begun: float
    ended: float
    alive: bool = False
    age_s: float = 0.0


def _lifetime(ground: Ground, lifetime_s: float) -> tuple[tuple[float, float | None], str | None]:
    """Fresh bindings side by side, each tried once; two more are refreshed in between."""
    born = [
        _bear(ground, ground.places.at(30 + number)) for number in range(len(PROBED_FRACTIONS) + 2)
    ]

    def refresh(one: _Born) -> None:
        ground.outbound(one.inside, ground.places.one)

    def attempt(one: _Born) -> None:
        # An age that contradicts nothing wrongly, however long a packet took.
        before = ground.now() - one.ended
        one.alive = ground.inbound(ground.places.one, one.outside, [one.inside])
        one.age_s = before if one.alive else ground.now() - one.begun

    by_outbound, by_inbound = born[-2:]
    agenda: list[tuple[float, _Born, Callable[[_Born], None]]] = [
        (fraction * lifetime_s, one, attempt)
        for fraction, one in zip(PROBED_FRACTIONS, born, strict=False)
    ]
    tried_s = tried_at_s(lifetime_s)
    if tried_s is not None:
        agenda += [
            (REFRESHED_AT * lifetime_s, by_outbound, refresh),
            (REFRESHED_AT * lifetime_s, by_inbound, attempt),
            (tried_s, by_outbound, attempt),
            (tried_s, by_inbound, attempt),
        ]
    for age_s, one, act in sorted(agenda, key=lambda each: each[0]):
        ground.wait_until(one.ended + age_s)
        act(one)
    alive_s, dead_s = 0.0, None
    for one in born[:-2]:
        if not one.alive:
            dead_s = one.age_s
            break
        alive_s = one.age_s
    refreshes = {
        (True, True): Refresh.BOTH.value,
        (True, False): Refresh.OUTBOUND.value,
        (False, True): Refresh.INBOUND.value,
    }
    found = None
    if tried_s is not None:
        found = refreshes.get((by_outbound.alive, by_inbound.alive), "by nothing")
    return (round(alive_s, 3), None if dead_s is None else round(dead_s, 3)), found


def _bear(ground: Ground, inside: Endpoint) -> _Born:
    begun = ground.now()
    outside = ground.outbound(inside, ground.places.one)
    # A packet that did not come out: its binding is tried, and found dead, at an address of nobody.
    return _Born(inside, outside or Endpoint(OUTSIDE, 0xFFFF), begun, ground.now())


class TableGround:
    """A `NatTable` under probe; its time passes when it is waited for.

    Args:
        nat: the behaviour.
    """

    def __init__(self, nat: Nat) -> None:
        self._table = NatTable(nat, outside_addresses(nat), Random(0))
        self._now = 0.0
        self._rejected = False
        self.places = Places()

    def was_rejected(self) -> bool:
        """Whether a packet that the remote did not see was refused by ICMP."""
        return self._rejected

    def outbound(self, inside: Endpoint, remote: Endpoint, payload: bytes = b"") -> Endpoint | None:
        """Send from inside; the source that the remote sees, None: it sees nothing."""
        passed = self._table.outbound(inside, remote, "udp", self._now, payload)
        self._rejected |= isinstance(passed, Refused) and passed.told
        return passed.source if isinstance(passed, Forwarded) else None

    def inbound(self, remote: Endpoint, outside: Endpoint, insides: Sequence[Endpoint]) -> bool:
        """Send from outside; whether one of the insides gets it."""
        passed = self._table.inbound(remote, outside, "udp", self._now)
        return isinstance(passed, Forwarded) and passed.destination in insides

    def hairpin(self, inside: Endpoint, outside: Endpoint, target: Endpoint) -> Endpoint | None:
        """Send from inside to an outside endpoint; the source that the target sees."""
        passed = self._table.outbound(inside, outside, "udp", self._now)
        if isinstance(passed, Forwarded) and passed.destination == target:
            return passed.source
        return None

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return self._now

    def wait_until(self, when: float) -> None:
        """Let time pass."""
        self._now = max(self._now, when)
