"""What a NAT does, declared and measured side by side, in words and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from testbed.topology import Nat, Pooling, Rebinding, Udp

LIFETIME_TOLERANCE = 0.05
ONE_ADDRESS = "one address"
"""The pooling of a NAT that gives every inside the same outside address."""

Interval = tuple[float, float | None]
"""From when to when something happens: between the last trial that did not find it done and the
first that did (None: none did).  Of a description: the same number twice."""


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
        pooling: a value of `Pooling`, or `ONE_ADDRESS`.
        addresses: how many outside addresses mappings get that choose one arbitrarily.
        hairpinning: a value of `Hairpinning`.
        refresh: a value of `Refresh`.
        lifetime_s: when a binding ends that nothing refreshes.
        confirmed_lifetime_s: likewise once packets went to and fro for more than two seconds; the
            same as `lifetime_s` where there is one stage.
        binding_request_lifetime_s: likewise of a binding that a STUN Binding Request with TR-111's
            attribute has made; the same as `lifetime_s` where the gateway does not know it.
        rebinding: a value of `Rebinding`, of what is declared to rebind.
        rebinds_after_s: when a flow under way has other outside ends for the first time.
    """

    udp: str | None = None
    translation: str | None = None
    mapping: str | None = None
    filtering: str | None = None
    ports: str | None = None
    pooling: str | None = None
    addresses: int | None = None
    hairpinning: str | None = None
    refresh: str | None = None
    lifetime_s: Interval | None = None
    confirmed_lifetime_s: Interval | None = None
    binding_request_lifetime_s: Interval | None = None
    rebinding: str | None = None
    rebinds_after_s: Interval | None = None

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
        values = {each: getattr(self, each) for each in LOOKED_AT}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    @property
    def has_times(self) -> bool:
        """Whether all that needs waiting was looked at, or there is nothing to wait for."""
        return self.udp == "blocked" or self.filtering == "none" or self.lifetime_s is not None


LOOKED_AT = tuple(each.name for each in fields(Behaviour))
"""What a probe looks at."""
_TIMES = {
    "lifetime_s": "a binding lives",
    "confirmed_lifetime_s": "a binding that was spoken through for some seconds lives",
    "binding_request_lifetime_s": "a binding that TR-111's attribute has made lives",
    "rebinds_after_s": "flows are rebound after",
}
_SECOND = ("confirmed_lifetime_s", "binding_request_lifetime_s")


def declared(nat: Nat) -> Behaviour:
    """What the description promises."""
    if nat.udp is not Udp.PASSED:
        return Behaviour(udp="blocked")
    if nat.filtering is None:
        return Behaviour(udp="passed", translation="no", filtering="none")
    found: dict[str, Any] = {
        "udp": "passed",
        "translation": "yes" if nat.translates else "no",
        "filtering": nat.filtering.value,
        "refresh": nat.refresh.value,
    }
    if nat.translates:
        found |= {
            "mapping": nat.mapping.value,
            "ports": nat.ports.value,
            "pooling": nat.pooling.value if _chooses_addresses(nat) else ONE_ADDRESS,
            "hairpinning": nat.hairpinning.value,
        }
        if _chooses_addresses(nat) and nat.pooling is Pooling.ARBITRARY:
            found["addresses"] = nat.addresses
    for name, value_s in (
        ("lifetime_s", nat.lifetime_s),
        ("confirmed_lifetime_s", nat.confirmed_lifetime_s or nat.lifetime_s),
        ("binding_request_lifetime_s", nat.binding_request_lifetime_s or nat.lifetime_s),
    ):
        found[name] = (value_s, value_s)
    if nat.rebinding is not Rebinding.NEVER:
        found["rebinding"] = nat.rebinding.value
        found["rebinds_after_s"] = (nat.rebinds_after_s, nat.rebinds_after_s)
    return Behaviour(**found)


def _chooses_addresses(nat: Nat) -> bool:
    """Whether mappings have several addresses at a time."""
    return nat.addresses > 1 and nat.rebinding is not Rebinding.ADDRESS


def differences(promised: Behaviour, measured: Behaviour) -> list[str]:
    """Where what was measured is not what was promised, in half-sentences."""
    told: list[str] = []
    is_first_wrong = False
    for name in LOOKED_AT:
        want, found = getattr(promised, name), getattr(measured, name)
        if want is None or found is None or want == found:
            continue
        if name in _SECOND and want == promised.lifetime_s and is_first_wrong:
            continue  # there is no second lifetime, and the one is told
        if name not in _TIMES:
            told.append(f"{name} is {found}, declared {want}")
        elif not _agree(want[0], *found):
            low, high = found
            span = f"more than {low:g}" if high is None else f"{low:g} to {high:g}"
            told.append(f"{_TIMES[name]} {span} s, declared {want[0]:g} s")
            is_first_wrong |= name == "lifetime_s"
    return told


def _agree(time_s: float, undone_s: float, done_s: float | None) -> bool:
    """Whether no trial contradicts the time; one that came late contradicts nothing."""
    is_later = undone_s > time_s * (1 + LIFETIME_TOLERANCE)
    is_sooner = done_s is not None and done_s < time_s * (1 - LIFETIME_TOLERANCE)
    return not (is_later or is_sooner)
