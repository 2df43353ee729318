"""An HNB's first day in virtual time: with the lifetimes of real NATs, judged by every check."""

from __future__ import annotations

import pytest

from testbed.conformance import Verdict, examine, judge
from testbed.protocols import dhcp
from testbed.protocols.stun import BindingRequest
from testbed.registry import find_scenario, load_scenarios
from testbed.simulate import Simulated, simulate
from testbed.trace.record import Event

VARIANTS = ("", "binding_lost", "intranet")


def played(variant: str, **settings: str) -> Simulated:
    wanted = {"lifetime_s": "120", **settings}
    return simulate(find_scenario("hnb_first_day"), variant, settings=wanted)


def told(result: Simulated, node: str, name: str) -> list[Event]:
    records = result.trace.records
    return [
        r.message
        for r in records
        if r.sender == node and isinstance(r.message, Event) and r.message.name == name
    ]


def test_it_is_the_first_scenario_and_all_checks_judge_it() -> None:
    first = next(iter(load_scenarios().values()))

    assert (first.name, first.judged_as) == ("hnb_first_day", None)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: each or "main")
def test_a_real_lifetime_is_outlasted_and_no_check_fails(variant: str) -> None:
    result = played(variant)
    assert result.is_completed, result.missed or result.stuck or result.crashes or result.broken
    found = {variant: examine(None, result.trace, variant)}
    judged = judge(None, found)

    assert [each.reason for each in judged if each.verdict is Verdict.FAIL] == []
    assert sum(each.verdict is Verdict.PASS for each in judged) > 80
    assert result.seconds > 120


def test_an_hnb_with_a_fixed_address_is_associated_by_its_inform() -> None:
    result = played("", static="yes")
    judged = judge(None, {"": examine(None, result.trace)})
    passed = {each.requirement.id for each in judged if each.verdict is Verdict.PASS}

    assert result.is_completed, result.missed or result.stuck or result.crashes or result.broken
    assert [each.reason for each in judged if each.verdict is Verdict.FAIL] == []
    assert {"TR111-1.2.4-1", "TR111-1.2.4-F2", "TR111-1.2.3-A2", "TR111-2.1-1"} <= passed
    assert not any(isinstance(each.message, dhcp.Discover) for each in result.trace.records)


def test_each_document_is_judged() -> None:
    result = played("")
    judged = judge(None, {"": examine(None, result.trace)})
    passed = {each.requirement.id for each in judged if each.verdict is Verdict.PASS}

    assert {"32583-5.1.2-6", "TR111-1.2.4-F1", "TR111-2.1-1"} <= passed


def test_behind_ipsec_no_nat_is_seen_and_the_association_is_of_two_coupled_acss() -> None:
    result = played("intranet")
    detected = {each.fields["nat_detected"] for each in told(result, "hnb", "STUN_BINDING")}

    assert detected == {False}
    assert [each.fields["acs"] for each in told(result, "serving_hms", "COUPLED")] == [["home_acs"]]
    assert len(told(result, "serving_hms", "ASSOCIATED")) == 1
    assert told(result, "home_acs", "ASSOCIATED") == []


def test_binding_requests_inside_the_tunnel_are_on_no_wire_outside() -> None:
    result = played("intranet")
    links = {r.link for r in result.trace.records if isinstance(r.message, BindingRequest)}

    assert "south" in links
    assert not links & {"home", "internet"}
