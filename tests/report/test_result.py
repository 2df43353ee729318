from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from testbed.conformance import Judgement, Note, Verdict, register
from testbed.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISSING, EXIT_OK
from testbed.report.result import Outcome, Result

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
ONE, OTHER = "32583-5.1.1-1", "32583-5.1.2-1"


def judgement(name: str, verdict: Verdict, level: str = "MUST") -> Judgement:
    requirement = dataclasses.replace(register()[name], level=level)
    return Judgement(requirement, verdict, (), "why")


def result(judgements, *kinds: str, **more) -> Result:
    outcomes = {str(number): Outcome(kind) for number, kind in enumerate(kinds or ["completed"])}
    return Result("lan_connectivity", outcomes, list(judgements), 1.0, Path("out"), **more)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("completed", EXIT_OK),
        ("missed", EXIT_FAILED),
        ("violated", EXIT_FAILED),
        ("crashed", EXIT_FAILED),
        ("killed", EXIT_FAILED),
        ("unable", EXIT_MISSING),
        ("interrupted", EXIT_INTERRUPTED),
    ],
)
def test_an_outcome_has_an_exit_status_of_its_own(kind: str, status: int) -> None:
    assert Outcome(kind).status == status


def test_an_outcome_survives_its_way_out_of_the_lab() -> None:
    outcome = Outcome("missed", "step 1", {ONE: [Note(False, "nak", 3, "late")]}, 2, 30, 1.5, 12)

    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


@pytest.mark.parametrize(
    ("verdicts", "kinds", "failed", "verdict"),
    [
        ([PASS, PASS], ["completed"], False, PASS),
        ([PASS, INCONCLUSIVE], ["completed"], False, PASS),
        ([INCONCLUSIVE, INCONCLUSIVE], ["completed"], False, INCONCLUSIVE),
        ([PASS, FAIL], ["completed"], True, FAIL),
        ([PASS, PASS], ["completed", "missed"], True, FAIL),
        ([PASS, PASS], ["completed", "crashed"], True, FAIL),
        ([PASS, PASS], ["completed", "unable"], False, INCONCLUSIVE),
        ([PASS, PASS], ["completed", "interrupted"], False, INCONCLUSIVE),
        ([], ["completed"], False, INCONCLUSIVE),
    ],
)
def test_a_scenario_fails_by_a_fail_a_missed_step_or_a_crash(
    verdicts, kinds, failed, verdict
) -> None:
    judgements = [judgement(name, each) for name, each in zip((ONE, OTHER), verdicts, strict=False)]
    summed = result(judgements, *kinds)

    assert (summed.failed, summed.verdict) == (failed, verdict)


@pytest.mark.parametrize(
    ("level", "strict", "failed"),
    [
        ("MUST", False, True),
        ("PROCEDURE", False, True),
        ("TABLE", False, True),
        ("SHOULD", False, False),
        ("SHOULD", True, True),
        ("MAY", False, False),
        ("MAY", True, False),
    ],
)
def test_what_nobody_is_obliged_to_is_a_warning_unless_strict(
    level: str, strict: bool, failed: bool
) -> None:
    summed = result([judgement(ONE, FAIL, level), judgement(OTHER, PASS)], strict=strict)

    assert summed.failed is failed
    assert summed.verdict is (FAIL if failed else PASS)
    assert [each.requirement.id for each in summed.failures] == ([ONE] if failed else [])
    assert [each.requirement.id for each in summed.warnings] == ([] if failed else [ONE])


def test_strict_leaves_inconclusive_as_it_is() -> None:
    summed = result([judgement(ONE, INCONCLUSIVE), judgement(OTHER, PASS)], strict=True)

    assert not summed.failed


@pytest.mark.parametrize(
    ("declared", "verdicts", "kinds", "failed"),
    [
        ([ONE, OTHER], [FAIL, FAIL], ["completed"], False),
        ([ONE, OTHER], [FAIL, FAIL], ["completed", "missed"], False),
        ([ONE, "elsewhere"], [FAIL, PASS], ["completed"], False),
        ([ONE], [FAIL, FAIL], ["completed"], True),
        ([ONE, OTHER], [FAIL, PASS], ["completed"], True),
        ([ONE], [PASS, PASS], ["completed"], True),
        (["elsewhere"], [PASS, PASS], ["completed"], True),
        ([ONE, OTHER], [FAIL, FAIL], ["crashed"], True),
    ],
    ids=[
        "as-declared",
        "steps-may-be-missed",
        "declared-for-other-scenarios-too",
        "more-than-declared",
        "less-than-declared",
        "trips-nothing",
        "declares-nothing-here",
        "a-crash-is-no-fault",
    ],
)
def test_under_a_fault_exactly_the_declared_fails_are_expected(
    declared, verdicts, kinds, failed
) -> None:
    judgements = [judgement(name, each) for name, each in zip((ONE, OTHER), verdicts, strict=True)]
    summed = result(judgements, *kinds, declared=frozenset(declared))

    assert summed.failed is failed
    assert (summed.verdict is FAIL) == (failed or FAIL in verdicts)


def test_a_fault_may_break_a_recommendation() -> None:
    judgements = [judgement(ONE, FAIL, "SHOULD"), judgement(OTHER, PASS)]

    assert not result(judgements, declared=frozenset([ONE])).failed
    assert result(judgements, declared=frozenset([OTHER])).failed
