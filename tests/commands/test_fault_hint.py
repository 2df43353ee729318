"""A fault that tripped nothing says where it would have."""

from __future__ import annotations

from pathlib import Path

from testbed.commands.fault_hint import hints
from testbed.conformance import Judgement, Verdict, register
from testbed.registry import find_scenario
from testbed.report.result import Outcome, Result

PLACE = "hms:hms.same-set-for-all"
TRUST = "hnb:hnb.trusts-anybody"


def run(*variants: str, scenario: str = "discovery_public", failed: str = "") -> Result:
    outcomes = {each: Outcome("completed", "") for each in variants}
    judgements = [Judgement(register()[failed], Verdict.FAIL, (), "why")] if failed else []
    return Result(scenario, outcomes, judgements, 0.0, Path(), frozenset())


def test_the_runs_that_show_it_are_named_as_they_can_be_typed() -> None:
    (hint,) = hints([PLACE], [run("")])

    assert hint.endswith(f"testbed run discovery_public/two_locations --fault {PLACE}")
    assert "32583-5.1-P2" in hint


def test_one_failure_of_what_it_breaks_is_enough() -> None:
    assert hints([PLACE], [run("two_locations", failed="32583-5.1-P2")]) == []


def test_what_was_run_already_is_not_advised() -> None:
    (hint,) = hints([PLACE], [run("two_locations")])

    assert hint.endswith("nothing of it failed in what shows it")


def test_a_whole_scenario_was_run_when_all_its_variants_were() -> None:
    name = "discovery_cert_mismatch"
    (some,) = hints([TRUST], [run("", scenario=name)])
    (whole,) = hints([TRUST], [run(*find_scenario(name).variants, scenario=name)])

    assert f"testbed run {name} --fault {TRUST}" in some
    assert "testbed run" not in whole


def test_a_fault_that_breaks_nothing_needs_no_advice() -> None:
    assert hints(["hnb:http.chunked"], [run("")]) == []
