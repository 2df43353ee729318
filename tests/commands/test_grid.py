"""`testbed grid`: a matrix of verdicts that goes on where it stood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed import batch
from testbed.commands import grid as command
from testbed.grid import wanted_kinds
from testbed.report.grid import REFUSED
from testbed.topology import KINDS

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
    play = command._play
    monkeypatch.setattr(
        command, "_play", lambda plan, nat, *rest: played.append(nat) or play(plan, nat, *rest)
    )
    said = testbed(*WORDS, "--nat", "full-cone,symmetric", "--json")

    assert played == ["symmetric"]
    assert list(verdicts(said).values()) == ["PASS", "PASS"]


def test_an_interrupted_grid_keeps_what_is_whole_and_goes_on(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = batch.Batch.run

    def interrupted(self):
        results = run(self)
        self.interrupted = self.plans[0].nat == "symmetric"
        return results

    monkeypatch.setattr(batch.Batch, "run", interrupted)
    said = testbed(*WORDS, "--nat", "full-cone,symmetric", "--json")

    assert said.status == 130
    assert [nat for nat, _, _ in verdicts(said)] == ["full-cone"]
    assert not (tmp_path / "out" / "simulation" / "symmetric" / "cell.json").exists()

    monkeypatch.setattr(batch.Batch, "run", run)
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
        *("--engine", "emulation,simulation", "--seed", "1", "--json", "--jobs", "2"),
    )
    found = verdicts(said)

    for kind in kinds:
        for scenario in ("nat_binding_discovery", "lan_connectivity"):
            emulated = found[kind, scenario, "emulation"]
            assert emulated == found[kind, scenario, "simulation"], (kind, scenario)
