"""`testbed grid`: a matrix of verdicts that goes on where it stood."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from testbed import batch
from testbed.engines.emulation import forwarding
from testbed.grid import wanted_kinds
from testbed.probing import truth
from testbed.report.grid import REFUSED
from testbed.report.result import Outcome
from testbed.topology import KINDS, Dependence

WORDS = ("grid", "nat_binding_discovery/", "--engine", "simulation", "--seed", "1", "--out", "out")


def verdicts(said) -> dict[tuple[str, str, str], str]:
    return {
        (each["nat"], each["scenario"], each["engine"]): each["verdict"]
        for each in json.loads(said.out)
    }


def test_each_kind_has_its_verdict_and_what_failed_its_reason(testbed, tmp_path: Path) -> None:
    said = testbed(*WORDS, "--nat", "full-cone,udp-dropped", "--json")
    cells = json.loads(said.out)

    assert [(each["nat"], each["verdict"]) for each in cells] == [
        ("full-cone", "PASS"),
        ("udp-dropped", "FAIL"),
    ]
    assert cells[0]["reasons"] == []
    assert "did not happen within 10 s; expected" in cells[1]["reasons"][0]
    assert said.status == 1
    page = (tmp_path / "out" / "grid.html").read_text()
    for each in cells:
        assert (tmp_path / "out" / each["folder"] / "report.html").exists()
        assert f'href="{each["folder"]}/report.html">{each["verdict"]}' in page


def test_the_terminal_has_the_matrix(testbed) -> None:
    said = testbed(*WORDS, "--nat", "full-cone,symmetric")
    rows = [line.split() for line in said.out.splitlines()]

    assert ["full-cone", "PASS"] in rows
    assert ["symmetric", "PASS"] in rows
    assert said.status == 0


def test_what_has_been_run_is_not_run_again(testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    testbed(*WORDS, "--nat", "full-cone")
    played = []
    launch = batch.Batch._launch
    monkeypatch.setattr(
        *(batch.Batch, "_launch"),
        lambda self, plan: played.append(plan.nat) or launch(self, plan),
    )
    said = testbed(*WORDS, "--nat", "full-cone,symmetric", "--json")

    assert played == ["symmetric"]
    assert list(verdicts(said).values()) == ["PASS", "PASS"]


def test_a_grid_that_is_killed_half_way_goes_on_where_it_stood(tmp_path: Path) -> None:
    """Each kind that was whole stays as it is, octet for octet."""
    kinds = "full-cone,address-restricted,port-restricted,symmetric"
    command = [sys.executable, "-m", "testbed", *WORDS, "--nat", kinds]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    with first:
        lines = iter(first.stdout)
        while "full-cone: nat_binding_discovery" not in next(lines):
            pass
        first.kill()
    whole = {each: each.stat().st_mtime_ns for each in tmp_path.rglob("cell.json")}
    again = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )

    assert 1 <= len(whole) < 4
    assert again.returncode == 0
    assert {each: each.stat().st_mtime_ns for each in whole} == whole
    assert len(list(tmp_path.rglob("cell.json"))) == 4
    page = (tmp_path / "out" / "grid.html").read_text()
    assert page.count('class="PASS"') == 4


def test_jobs_are_runs_of_different_kinds_side_by_side(
    testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = []
    running: set[str] = set()
    launch, end = batch.Batch._launch, batch.Batch._end

    def launched(self, plan):
        running.add(plan.nat)
        most.append(len(running))
        return launch(self, plan)

    def ended(self, one):
        running.discard(one.plan.nat)
        end(self, one)

    monkeypatch.setattr(batch.Batch, "_launch", launched)
    monkeypatch.setattr(batch.Batch, "_end", ended)
    said = testbed(*WORDS, "--nat", "full-cone,symmetric,port-restricted", "--jobs", "3", "--json")

    assert max(most) == 3
    assert list(verdicts(said)) == [
        (kind, "nat_binding_discovery", "simulation")
        for kind in ("full-cone", "symmetric", "port-restricted")
    ]


def test_an_interrupted_grid_keeps_what_is_whole_and_goes_on(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = batch.Batch._end

    def interrupted(self, one):
        if one.plan.nat == "symmetric":
            one.outcome = Outcome("interrupted", "interrupted")
        end(self, one)

    play = batch.Batch.play

    def played(self):
        seconds = play(self)
        self.interrupted = True
        return seconds

    monkeypatch.setattr(batch.Batch, "_end", interrupted)
    monkeypatch.setattr(batch.Batch, "play", played)
    said = testbed(*WORDS, "--nat", "full-cone,symmetric", "--json")

    assert said.status == 130
    assert [nat for nat, _, _ in verdicts(said)] == ["full-cone"]
    assert not (tmp_path / "out" / "simulation" / "symmetric" / "cell.json").exists()

    monkeypatch.setattr(batch.Batch, "_end", end)
    monkeypatch.setattr(batch.Batch, "play", play)
    again = testbed(*WORDS, "--nat", "full-cone,symmetric", "--json")

    assert again.status == 0
    assert [nat for nat, _, _ in verdicts(again)] == ["full-cone", "symmetric"]


def test_another_grid_in_the_same_folder_is_refused(testbed) -> None:
    testbed(*WORDS, "--nat", "full-cone")
    said = testbed(*WORDS, "--nat", "full-cone", "--set", "homes=2")

    assert said.status == 2
    assert "choose another --out" in said.err


def test_a_half_written_cell_is_run_again(testbed, tmp_path: Path) -> None:
    testbed(*WORDS, "--nat", "full-cone")
    (tmp_path / "out" / "simulation" / "full-cone" / "cell.json").write_text("[{")
    said = testbed(*WORDS, "--nat", "full-cone", "--json")

    assert list(verdicts(said).values()) == ["PASS"]


def test_a_topology_that_cannot_have_a_kind_is_told_in_its_cell(testbed) -> None:
    said = testbed(*WORDS, "--nat", "masquerade,full-cone", "--set", "nat.addresses=2", "--json")
    cells = {each["nat"]: each for each in json.loads(said.out)}

    assert cells["masquerade"]["verdict"] == REFUSED
    assert "ports=overloading goes with addresses=1 only" in cells["masquerade"]["reasons"][0]
    assert cells["full-cone"]["verdict"] == "PASS"


def test_all_is_every_kind() -> None:
    assert wanted_kinds("all") == list(KINDS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--nat", "symetric"], "did you mean symmetric"),
        (["--nat", "full-cone,full-cone"], "--nat names full-cone twice"),
        (["--nat", "all", "--engine", "simulatoin"], "did you mean simulation"),
        (["--nat", "all", "--engine", "simulation,simulation"], "names an engine twice"),
        ([], "Missing option '--nat'"),
    ],
)
def test_bad_usage_of_the_grid_is_one_sentence_and_leaves_nothing(
    testbed, words: list[str], sentence: str, tmp_path: Path
) -> None:
    said = testbed("grid", "lan_connectivity/", *words)

    assert said.status == 2
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.emulation
def test_both_engines_come_to_the_same_verdicts(testbed) -> None:
    kinds = ("masquerade", "symmetric", "firewall", "udp-rejected")
    said = testbed(
        *("grid", "nat_binding_discovery/", "lan_connectivity/", "--nat", ",".join(kinds)),
        *("--engine", "emulation,simulation", "--seed", "1", "--json", "--jobs", "2", "--no-probe"),
    )
    found = verdicts(said)

    for kind in kinds:
        for scenario in ("nat_binding_discovery", "lan_connectivity"):
            emulated = found[kind, scenario, "emulation"]
            assert emulated == found[kind, scenario, "simulation"], (kind, scenario)


BRIEF = ("--set", "nat.lifetime_s=1", "--seed", "1", "--out", "out")


@pytest.mark.emulation
@pytest.mark.parametrize("at_once_s", [10.0, 0.0], ids=["before its runs", "beside its runs"])
def test_a_grid_probes_in_full_what_was_never_and_marks_what_differs(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once_s: float
) -> None:
    """The kernel has wrong rules for one kind: its lifetime shows only in the full probe."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(truth, "AT_ONCE_S", at_once_s)
    true = forwarding.rules

    def rules(nat, *rest):
        is_wrong = nat.filtering is Dependence.ADDRESS
        return true(replace(nat, lifetime_s=1.5) if is_wrong else nat, *rest)

    monkeypatch.setattr(forwarding, "rules", rules)
    words = ("grid", "lan_connectivity/", "--nat", "full-cone,address-restricted", *BRIEF)
    said = testbed(*words)

    assert said.status == 1
    assert "full-cone+lifetime_s=1.0: probed in full: as declared" in said.out
    assert "address-restricted+lifetime_s=1.0: probed in full: differs: a binding lives" in said.out
    rows = [line.split() for line in said.out.splitlines()]
    assert ["full-cone", "PASS"] in rows
    assert ["address-restricted", "FAIL"] in rows
    assert len(list((tmp_path / "cache" / "testbed" / "nat").iterdir())) == 2
    assert "does not do in this kernel" in (tmp_path / "out" / "grid.html").read_text()
    again = testbed(*words)
    assert ["address-restricted", "FAIL"] in [line.split() for line in again.out.splitlines()]


@pytest.mark.emulation
def test_ctrl_c_leaves_out_the_probes_that_are_under_way_and_no_verdict(tmp_path: Path) -> None:
    words = ("grid", "lan_connectivity/", "--nat", "full-cone", "--seed", "1", "--out", "out")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "testbed", *words]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as grid:
        while "Ctrl-C leaves out the rest" not in (line := next(grid.stdout)):
            assert "FAIL" not in line
        grid.send_signal(signal.SIGINT)
        rest = grid.stdout.read()

    assert grid.returncode == 130
    assert ["full-cone", "PASS"] in [line.split() for line in rest.splitlines()]
    assert (tmp_path / "out" / "emulation" / "full-cone" / "cell.json").exists()
