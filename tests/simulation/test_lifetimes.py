"""The search for a binding's lifetime with true lifetimes, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.stun_steps import quick, sets
from testbed.conformance import Verdict, examine, judge
from testbed.protocols import dhcp, stun
from testbed.protocols.wire import Endpoint
from testbed.registry import find_scenario
from testbed.scenario import Scenario, Stage
from testbed.simulate import Simulated, simulate
from testbed.topology import KINDS, Udp, find_nat
from topologies.stun import STUN, acs_with_stun_in_time

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


@pytest.mark.parametrize("kind", ["none", "firewall"])
def test_without_translation_nothing_is_looked_for(kind: str) -> None:
    result = simulate(find_scenario(NAME), settings=TRUE, nat=kind)

    assert result.is_completed, result.missed or result.broken
    assert phases(result) == []


# The ladder


def told(result: Simulated, event: str) -> list[dict[str, Any]]:
    return [
        dict(record.message.fields)
        for record in result.trace.records
        if record.is_event and record.message.name == event
    ]


def played(script: Any, **more: str) -> Simulated:
    scenario = Scenario("ladder", acs_with_stun_in_time, 10, NAME)
    scenario.variant("")(script)
    return simulate(scenario, settings={"search": "ladder", **more})


@pytest.mark.parametrize(("kind", "lifetime_s"), [("short-lived", 30), ("masquerade", 120)])
def test_a_ladder_needs_little_more_than_the_lifetime(kind: str, lifetime_s: float) -> None:
    result = simulate(find_scenario(NAME), "ladder", settings=TRUE, nat=kind)
    began, *_, ended = [
        record.time_ns / 1e9
        for record in result.trace.records
        if record.is_event and record.message.name == "STUN_PHASE"
    ]

    assert phases(result)[-1] == ("monitoring", lifetime_s - 3)
    assert ended - began < lifetime_s + 15


def test_a_ladder_measures_what_unmarked_bindings_have() -> None:
    """2.2.1.3 forbids the mark elsewhere than on the primary port."""
    result = simulate(find_scenario(NAME), "ladder", settings=TRUE, nat="tr111-aware")

    assert phases(result)[-1][1] < find_nat("tr111-aware").lifetime_s


async def stun_is_on(at: Stage) -> None:
    quick(at.device)
    at.stun_server.set_policy(challenge="none")
    informs = {"PeriodicInformEnable": 1, "PeriodicInformInterval": 1}
    sets(at, at.device, STUNEnable=1, STUNServerAddress=STUN, **informs)
    at.device.power_on()


def test_a_ladder_is_taken_down_with_stun() -> None:
    async def switched_off(at: Stage) -> None:
        await stun_is_on(at)
        await at.sees(at.device, "->", at.stun_server, stun.BindingRequest, is_marked=False)
        await sets(at, at.device, STUNEnable=0)
        await sets(at, at.device, PeriodicInformEnable=0)
        at.never(at.device, "->", at.stun_server, stun.BindingRequest)
        for _ in range(10):
            await at.sees(at.gateway, "->", at.device, dhcp.Ack, within_s=4000)

    result = played(switched_off)

    assert result.is_completed, result.missed or result.broken
    assert told(result, "STUN_LADDER") == []


def test_a_box_without_ports_for_a_ladder_gallops() -> None:
    async def short_of_ports(at: Stage) -> None:
        host = at.device.host
        datagrams = host.datagrams
        bound: list[int] = []

        async def few(local: Endpoint, *more: Any) -> Any:
            bound.append(local.port)
            if len(bound) > 12:
                raise OSError(24, "Too many open files")
            return await datagrams(local, *more)

        host.datagrams = few  # type: ignore[method-assign]
        await stun_is_on(at)
        await at.tells(at.device, "STUN_PHASE", phase="monitoring", within_s=100)

    result = played(short_of_ports)

    assert result.is_completed, result.missed
    assert told(result, "STUN_LADDER") == [{"rungs": 0, "cause": "[Errno 24] Too many open files"}]
    assert phases(result)[-1][1] > 2
