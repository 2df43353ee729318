from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from testbed.batch import Batch, keep_files, write_results, write_summary
from testbed.conformance import Judgement, Note, Verdict, register
from testbed.report.result import Outcome, Result
from testbed.run import Plan
from testbed.run.perform import tell_time
from testbed.trace.ladder import Line
from tests.virtual_time import virtual_time

ONE = "32583-5.1.1-1"
PASSED = Note(True, "", 1, "")


def result(*kinds: str, verdict: Verdict = Verdict.PASS, declared=None) -> Result:
    outcomes = {str(number): Outcome(kind) for number, kind in enumerate(kinds)}
    judgements = [Judgement(register()[ONE], verdict, (), "")]
    return Result("lan_connectivity", outcomes, judgements, 1.0, Path("out"), declared)


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([], 0),
        ([result("completed")], 0),
        ([result("completed", verdict=Verdict.INCONCLUSIVE)], 0),
        ([result("completed"), result("completed", verdict=Verdict.FAIL)], 1),
        ([result("completed"), result("missed")], 1),
        ([result("crashed")], 1),
        ([result("killed")], 1),
        ([result("unable")], 3),
        ([result("unable"), result("missed")], 1),
        ([result("missed", verdict=Verdict.FAIL, declared=frozenset([ONE]))], 0),
        ([result("completed", declared=frozenset([ONE]))], 1),
    ],
)
def test_the_exit_status_is_what_all_of_it_comes_to(results: list[Result], status: int) -> None:
    assert Batch({}, []).status(results) == status


def test_an_interrupt_outweighs_all_else() -> None:
    batch = Batch({}, [], interrupted=True)

    assert batch.status([result("missed")]) == 130


def test_an_interrupted_scenario_has_not_passed() -> None:
    from testbed.registry import find_scenario

    plans = [
        Plan("lan_connectivity", variant, "simulation", "1", {}, None, Path("out", variant))
        for variant in ("", "nak")
    ]
    batch = Batch({"lan_connectivity": find_scenario("lan_connectivity")}, plans, interrupted=True)
    batch.outcomes["lan_connectivity", ""] = Outcome("completed", found={ONE: [PASSED]})
    (one,) = batch.results({})

    assert {variant: each.kind for variant, each in one.outcomes.items()} == {
        "": "completed",
        "nak": "interrupted",
    }
    assert one.verdict is Verdict.INCONCLUSIVE


def test_reports_are_written_for_each_scenario_and_junit_for_all(tmp_path: Path) -> None:
    from testbed.registry import load_scenarios

    one = result("completed")
    one.folder = tmp_path / "lan_connectivity"
    write_results([one], tmp_path, load_scenarios())
    write_summary([one], tmp_path)

    assert sorted(path.name for path in one.folder.iterdir()) == [
        "junit.xml",
        "report.html",
        "verdicts.json",
    ]
    assert {"junit.xml", "results.json"} <= {path.name for path in tmp_path.iterdir()}


def test_a_labs_files_are_kept_and_its_sockets_are_not(tmp_path: Path, monkeypatch) -> None:
    source, target = tmp_path / "lab", tmp_path / "kept"
    (source / "named").mkdir(parents=True)
    (source / "named" / "named.conf").write_text("options {};")
    monkeypatch.chdir(source)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("control")
        os.mkfifo("pipe")
        os.symlink("/etc/passwd", "link")
        keep_files(source, target)

    assert [str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()] == [
        "named/named.conf"
    ]


class Printer:
    """Has a line ready at the third time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def passed(self, now_ns: int) -> list[Line]:
        assert now_ns > 1e18
        self.asked += 1
        return [Line("hnb -> all  DISCOVER")] if self.asked == 3 else []


@virtual_time
async def test_a_quiet_wires_lines_come_out_all_the_same() -> None:
    import asyncio

    told: list[object] = []
    clock = asyncio.ensure_future(tell_time(told.append, Printer()))  # type: ignore[arg-type]  # fake
    await asyncio.sleep(0.35)
    clock.cancel()

    assert told == [{"line": "hnb -> all  DISCOVER", "style": ""}]
