"""The discovery scenarios as a user runs them: by the command line, in a lab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.emulation

SCENARIOS = (
    *("discovery_public", "discovery_dns_failure"),
    *("discovery_provisioning_fault", "discovery_cert_mismatch"),
)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testbed", "run", *words, "--quiet", "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_variant_is_completed(name: str, tmp_path: Path) -> None:
    ended = run(tmp_path, name)
    outcomes = {
        str(path.parent.relative_to(tmp_path)): json.loads(path.read_text())["outcome"]
        for path in tmp_path.rglob("run.json")
    }

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(outcomes.values()) == {"completed"}
    assert len(outcomes) > 4, "all variants of the scenario were meant to run"


def test_the_same_seed_gives_the_same_certificates(tmp_path: Path) -> None:
    from testbed.credentials import equip
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
    ended = run(tmp_path, "discovery_public/", "--set", "scheme=http")
    events = (tmp_path / "discovery_public" / "events.jsonl").read_text()

    assert ended.returncode == 1
    assert "and TLS is required" in events
    assert "CWMP Inform" not in ended.stdout
