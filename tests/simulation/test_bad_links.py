"""Links that misbehave make nobody guilty: no good peer fails a requirement over them."""

from __future__ import annotations

import pytest

from testbed.conformance import Verdict, examine, judge
from testbed.registry import find_scenario, load_scenarios
from testbed.simulate import simulate

LINKS = {
    "slow": {"link.delay_ms": "80", "link.jitter_ms": "40"},
    "lossy": {"link.loss": "0.03"},
    "duplicating": {"link.duplication": "0.1"},
    "reordering": {"link.reordering": "0.1", "link.delay_ms": "20"},
    "narrow": {"link.rate_kbps": "128", "link.delay_ms": "30"},
}
PATIENCE = 30
"""How many times as long a step may take: what is asked is who is accused, not what is missed."""
SAMPLE = ("association_lease_expiry", "stun_server_conformance", "udp_connection_request_replay")
"""Scenarios of which each variant is played on each change."""


def accused(name: str, seed: str) -> list[str]:
    """Every FAIL, crash and standstill of a scenario's good runs over each kind of link."""
    scenario = find_scenario(name)
    judged_as, found = scenario.judged_as or scenario.name, []
    for link, settings in LINKS.items():
        for variant in scenario.variants:
            if variant == "hostile":
                continue  # its peers are not in order
            run = f"{name}/{variant} over a {link} link, seed {seed}"
            step_s = PATIENCE * scenario.step_s
            played = simulate(scenario, variant, seed=seed, settings=settings, step_s=step_s)
            found += [f"{run}: {each}" for each in (*played.crashes, played.stuck) if each]
            for each in judge(judged_as, {variant: examine(judged_as, played.trace, variant)}):
                if each.verdict is Verdict.FAIL:
                    found.append(f"{run}: {each.requirement.id}: {each.reason}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_no_link_makes_a_good_peer_guilty(name: str) -> None:
    assert accused(name, "5") == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", ["5", "6", "7", "8", "9"])
@pytest.mark.parametrize("name", load_scenarios())
def test_no_link_makes_any_good_peer_guilty(name: str, seed: str) -> None:
    assert accused(name, seed) == []
