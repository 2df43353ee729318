"""The discovery scenarios as a user runs them: by the command line, in a lab."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.batch import Batch
from testbed.protocols import http
from testbed.registry import load_scenarios
from testbed.run import Plan
from testbed.trace.folder import load

pytestmark = pytest.mark.emulation

STEP_S = 5.0


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testbed", "run", *words, "--quiet", "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_every_variant_is_completed(tmp_path: Path) -> None:
    ended = run(tmp_path, "discovery_public", "--jobs", "2")
    outcomes = {
        str(path.parent.relative_to(tmp_path)): json.loads(path.read_text())["outcome"]
        for path in tmp_path.rglob("run.json")
    }

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(outcomes.values()) == {"completed"}
    assert len(outcomes) > 4, "all variants of the scenario were meant to run"


def test_the_same_seed_gives_the_same_certificates(tmp_path: Path) -> None:
    from testbed.run.credentials import equip
    from testbed.topology import Topology
    from topologies.public import hms_on_internet

    def equipped(seed: str) -> Topology:
        topology = hms_on_internet()
        equip(topology, seed, 1_700_000_000.0)
        return topology

    def keys(seed: str) -> list[object]:
        return [node.settings.get("identity") for node in equipped(seed).nodes.values()]

    assert keys("1") == keys("1")
    assert keys("1") != keys("2")


def test_an_hms_in_clear_is_refused_by_an_hnb_that_wants_tls(tmp_path: Path) -> None:
    known = load_scenarios()["discovery_public"]
    told = (known.name, "", "emulation", "7", {"scheme": "http"}, None, tmp_path)
    batch = Batch({known.name: replace(known, step_s=STEP_S)}, [Plan(*told)])
    batch.run()
    events = (tmp_path / "events.jsonl").read_text()

    assert batch.outcomes[known.name, ""].kind == "missed"
    assert "and TLS is required" in events
    assert not any(isinstance(each.message, http.Request) for each in load(tmp_path))
