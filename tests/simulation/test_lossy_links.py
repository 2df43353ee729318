"""Scenarios over links that delay and lose: nobody is blamed for what a link did, on both engines
the same ladder is played, and the variants that show what links do end as they should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.conformance import examine
from testbed.registry import find_scenario
from testbed.simulate import simulate

SCENARIOS = (
    *("discovery_public", "discovery_intranet"),
    *("nat_binding_discovery", "association_discover"),
)
LOSSY = {"link.delay_ms": "20", "link.loss": "0.03"}
VARIANTS = (
    *("discovery_public/slow_link", "discovery_intranet/lossy"),
    *("discovery_intranet/fragments_dropped", "discovery_public/black_hole"),
)
SEEDS = {
    "discovery_public": "2",
    "discovery_intranet": "1",
    "nat_binding_discovery": "5",
    "association_discover": "2",
}
"""Under which each ladder comes to its end, something having been lost on the way."""


def blamed(name: str, variant: str, seed: int, settings: dict[str, str]) -> dict[str, str]:
    """Requirement to what is held against somebody, in a run that came to its end or did not."""
    scenario = find_scenario(name)
    played = simulate(scenario, variant, str(seed), settings)
    assert not played.crashes
    found = examine(scenario.judged_as, played.trace, variant)
    return {id: note.text for id, notes in found.items() for note in notes if not note.ok}


@pytest.mark.parametrize("name", SCENARIOS)
def test_nobody_is_blamed_for_what_a_link_has_lost(name: str) -> None:
    for seed in (3, 4, 14, 16, 18, 31, 32):  # each of which had somebody blamed once
        assert blamed(name, "", seed, LOSSY) == {}, f"seed {seed}"


@pytest.mark.soak
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("quality", ["loss", "duplication", "reordering"])
def test_nobody_is_blamed_for_what_a_link_does(name: str, quality: str) -> None:
    for seed in range(100, 160):
        settings = {"link.delay_ms": "20", f"link.{quality}": "0.05"}
        assert blamed(name, "", seed, settings) == {}, f"seed {seed}"


def run(folder: Path, engine: str, title: str, seed: str, *settings: str) -> dict[str, Any]:
    """run.json of a run by the command line, with the requirements' verdicts."""
    command = [sys.executable, "-m", "testbed", "run", title, "--engine", engine, "--seed", seed]
    command += [word for each in settings for word in ("--set", each)]
    command += ["--quiet", "--out", str(folder / engine)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (file,) = (folder / engine).rglob("run.json")
    told: dict[str, Any] = json.loads(file.read_text())
    (verdicts,) = (folder / engine).rglob("verdicts.json")
    told["verdicts"] = json.loads(verdicts.read_text())
    told["report"] = next((folder / engine).rglob("report.html")).read_text()
    return told


def failed(told: dict[str, Any]) -> list[str]:
    verdicts = told["verdicts"]["verdicts"]
    return [each["requirement"] for each in verdicts if each["verdict"] == "FAIL"]


@pytest.mark.emulation
@pytest.mark.parametrize("name", SCENARIOS)
def test_both_engines_play_the_ladder_over_links_that_delay_and_lose(
    name: str, tmp_path: Path
) -> None:
    settings = [f"{what}={value}" for what, value in LOSSY.items()]
    runs = [
        run(tmp_path, engine, f"{name}/", SEEDS[name], *settings, *more)
        for engine, more in (("emulation", ["engine.links=relay"]), ("simulation", []))
    ]

    for told, back_end in zip(runs, ("relay", "model"), strict=True):
        assert told["outcome"] == "completed"
        assert failed(told) == []
        for link in told["links"].values():
            assert link["quality"] == {"delay_ms": 20, "loss": 0.03}
            assert link["back_end"] == back_end
        assert f"delay_ms 20.0, loss 0.03, carried by {back_end}" in told["report"]
    assert sum(link["counts"]["lost"] for link in runs[0]["links"].values()) > 0
    assert sum(link["counts"]["spoilt"] for link in runs[0]["links"].values()) == 0


@pytest.mark.emulation
@pytest.mark.parametrize("title", VARIANTS)
@pytest.mark.parametrize("engine", ["emulation", "simulation"])
def test_a_variant_with_a_link_that_misbehaves_ends_as_it_should(
    engine: str, title: str, tmp_path: Path
) -> None:
    told = run(tmp_path, engine, title, "3")

    assert told["outcome"] == "completed"
    assert failed(told) == []
    assert any(link["quality"] for link in told["links"].values())
