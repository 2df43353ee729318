from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed.conformance import (
    CHECKS,
    Check,
    Finding,
    Note,
    Verdict,
    check,
    examine,
    fault,
    judge,
    load_checks,
    ok,
    worst,
)
from testbed.errors import BadInput
from testbed.trace.trace import Trace
from tests.conformance.made_up import MadeUp

CHECKED, UNCHECKED = "32583-5.1.1-1", "32583-5.1-P1"
GOOD, BAD = Note(True, "", 3, "all is well"), Note(False, "", 7, "holds 1, 2 is due")


def judged(found, drops=0, not_run=(), scenario="lan_connectivity"):
    return next(
        each
        for each in judge(scenario, found, drops, not_run)
        if each.requirement.id in (CHECKED, UNCHECKED)
    )


@pytest.mark.parametrize(
    ("notes", "verdict", "reason"),
    [
        ([], Verdict.INCONCLUSIVE, "never exercised in this run"),
        ([GOOD], Verdict.PASS, "observed once"),
        ([GOOD, GOOD], Verdict.PASS, "observed 2 times"),
        ([GOOD, BAD], Verdict.FAIL, "record 7: holds 1, 2 is due"),
        ([BAD, GOOD, BAD], Verdict.FAIL, "record 7: holds 1, 2 is due (and 1 more)"),
    ],
    ids=["nothing", "once", "twice", "one-fault-among-good", "several-faults"],
)
def test_a_verdict_is_the_sum_of_the_findings(notes, verdict, reason) -> None:
    judgement = judged({"": {CHECKED: notes}})

    assert (judgement.verdict, judgement.reason) == (verdict, reason)
    assert judgement.notes == tuple(notes)


def test_findings_of_all_variants_are_summed_and_a_fault_names_its_own() -> None:
    bad = Note(False, "nak", 7, "too early")
    judgement = judged({"": {CHECKED: [GOOD]}, "nak": {CHECKED: [bad]}})

    assert judgement.verdict is Verdict.FAIL
    assert judgement.reason == "nak, record 7: too early"


@pytest.mark.parametrize("notes", [[], [GOOD]], ids=["nothing", "good"])
def test_lost_frames_leave_no_pass(notes) -> None:
    judgement = judged({"": {CHECKED: notes}}, drops=3)

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "3 frames were lost by the capture" in judgement.reason


def test_lost_frames_excuse_no_fault() -> None:
    assert judged({"": {CHECKED: [BAD]}}, drops=3).verdict is Verdict.FAIL


def test_an_entry_without_a_check_is_inconclusive_and_says_so(monkeypatch) -> None:
    load_checks()
    monkeypatch.delitem(CHECKS, CHECKED)
    judgement = judged({"": {}})

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reason == "no check exists for it yet"


@pytest.mark.parametrize(
    ("seen", "not_run", "reason"),
    [
        (["", "nak"], (), None),
        ([""], ("nak",), "needs the variants nak: not run"),
        ([""], (), "needs the variants nak: nothing observed there"),
        (["", "renewal"], ("nak",), "needs the variants nak: not run"),
    ],
    ids=["both", "not-run", "run-and-unseen", "another-one"],
)
def test_a_check_that_needs_variants_passes_with_all_of_them_only(
    seen, not_run, reason, monkeypatch
) -> None:
    entry = load_checks()[CHECKED]
    needing = Check(entry.requirements, entry.function, ("", "nak"), entry.observed)
    monkeypatch.setitem(CHECKS, CHECKED, needing)
    found = {variant: {CHECKED: [Note(True, variant, 1, "")]} for variant in seen}
    judgement = judged(found, not_run=not_run)

    assert judgement.verdict is (Verdict.PASS if reason is None else Verdict.INCONCLUSIVE)
    assert reason is None or judgement.reason == reason


def test_without_a_scenario_all_that_have_a_check_are_judged() -> None:
    made = MadeUp()
    made.ack()
    made.query()
    judgements = judge(None, {"": examine(None, made.trace)})

    assert {each.requirement.id for each in judgements} == set(load_checks())
    assert {each.requirement.id for each in judgements if each.verdict is Verdict.PASS} >= {CHECKED}


def test_a_check_of_several_entries_runs_once(monkeypatch) -> None:
    runs = []

    def counting(trace: Trace) -> Iterator[Finding]:
        runs.append(trace)
        yield ok(trace.records[0], "seen")

    entry = Check(("32583-5.1.1-1", "32583-5.1.2-1"), counting, (), "wire")
    load_checks()
    for name in entry.requirements:
        monkeypatch.setitem(CHECKS, name, entry)
    made = MadeUp()
    made.query()
    found = examine("lan_connectivity", made.trace, "nak")

    assert len(runs) == 1
    assert list(found) == list(entry.requirements)
    assert found["32583-5.1.1-1"] == [Note(True, "nak", 0, "seen")]


@pytest.mark.parametrize("name", ["no-such-entry", CHECKED], ids=["unknown", "twice"])
def test_a_check_of_an_unknown_or_a_checked_entry_is_a_defect(name) -> None:
    load_checks()

    with pytest.raises(BadInput, match=name):
        check(name)(lambda trace: iter(()))


def test_findings_hold_their_record() -> None:
    made = MadeUp()
    made.query()
    record = made.trace.records[0]

    assert ok(record) == Finding(True, record, "")
    assert fault(record, "wrong") == Finding(False, record, "wrong")


@pytest.mark.parametrize(
    ("verdicts", "sum_of_them"),
    [
        ([], Verdict.INCONCLUSIVE),
        ([Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.PASS], Verdict.FAIL),
    ],
)
def test_the_worst_of_verdicts(verdicts, sum_of_them) -> None:
    assert worst(verdicts) is sum_of_them
