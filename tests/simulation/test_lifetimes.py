"""The search for a binding's lifetime with true lifetimes, in virtual time."""

from __future__ import annotations

import pytest

from testbed.conformance import Verdict, examine, judge
from testbed.registry import find_scenario
from testbed.simulate import Simulated, simulate
from testbed.topology import KINDS, Udp, find_nat

NAME = "nat_timeout_discovery"
TRUE = {"pace": "true"}
TRANSLATING = [name for name, nat in KINDS.items() if nat.translates and nat.udp is Udp.PASSED]


def phases(result: Simulated) -> list[tuple[str, float]]:
    return [
        (record.message.fields["phase"], record.message.fields["lifetime_s"])
        for record in result.trace.records
        if record.is_event and record.message.name == "STUN_PHASE"
    ]


@pytest.mark.parametrize("variant", find_scenario(NAME).variants, ids=lambda each: each or "main")
def test_true_lifetimes_are_found(variant: str) -> None:
    result = simulate(find_scenario(NAME), variant, settings=TRUE)

    assert result.is_completed, result.missed
    assert phases(result)[-1][0] == "monitoring"


@pytest.mark.parametrize(
    ("kind", "lifetime_s"),
    [("short-lived", 30), ("port-restricted", 120), ("masquerade", 120), ("tr111-aware", 600)],
)
def test_what_is_found_is_the_lifetime_of_the_kind(kind: str, lifetime_s: float) -> None:
    result = simulate(find_scenario(NAME), settings=TRUE, nat=kind)
    found_s = phases(result)[-1][1]

    assert lifetime_s / 1.1 - 1 <= found_s <= lifetime_s


def test_without_the_attribute_a_gateway_that_knows_it_gives_what_all_others_give() -> None:
    """Footnote 10: "without the option nothing changes"."""
    aware, other = find_nat("tr111-aware"), find_nat("short-lived")

    assert aware.lifetime_s == other.lifetime_s


@pytest.mark.parametrize("kind", TRANSLATING)
def test_no_kind_of_nat_fails_a_good_cpe(kind: str) -> None:
    result = simulate(find_scenario(NAME), settings=TRUE, nat=kind)
    found = {"": examine(NAME, result.trace)}
    failed = [each for each in judge(NAME, found) if each.verdict is Verdict.FAIL]

    assert result.is_completed, result.missed
    assert [each.reason for each in failed] == []
