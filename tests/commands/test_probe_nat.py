"""What a NAT does, told by `testbed probe-nat` and beside every run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.engines.emulation import forwarding
from testbed.topology import find_nat

emulation = pytest.mark.emulation


def test_a_nat_of_the_simulation_is_probed_without_waiting(testbed) -> None:
    said = testbed("probe-nat", "--nat", "rfc4787", "--engine", "simulation")

    assert said.status == 0
    assert "286.5 to 313.5" in said.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--nat", "symetric"], "did you mean symmetric"),
        (["--nat", "symmetric", "--set", "homes=2"], "only knobs of the NAT can be set here"),
        (["--nat", "symmetric", "--set", "nat.lifetime=2"], "did you mean lifetime_s"),
        (["--nat", "symmetric", "--engine", "simulatoin"], "did you mean simulation"),
        ([], "Missing option '--nat'"),
    ],
)
def test_bad_usage_of_the_probe_is_one_sentence(testbed, words: list[str], sentence: str) -> None:
    said = testbed("probe-nat", *words)

    assert said.status == 2
    assert said.err.count("\n") == 1
    assert sentence in said.err


@emulation
def test_run_json_and_report_tell_measured_beside_declared(testbed, tmp_path: Path) -> None:
    testbed("run", "lan_connectivity/", "--nat", "address-restricted", "--out", "out")
    folder = tmp_path / "out" / "lan_connectivity"
    (told,) = json.loads((folder / "run.json").read_text())["nats"]

    assert told["measured"]["filtering"] == told["declared"]["filtering"] == "address-dependent"
    assert told["probed"] == "before this run"
    report = (folder / "report.html").read_text()
    assert "filtering address-dependent (declared address-dependent)" in report


@emulation
def test_a_difference_stops_the_run_with_a_sentence(
    testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind's rules are another's, as a wrong kernel would have them."""
    true = forwarding.rules
    monkeypatch.setattr(forwarding, "rules", lambda nat, *rest: true(find_nat("full-cone"), *rest))
    said = testbed("run", "lan_connectivity/", "--nat", "port-restricted", "--out", "out")

    assert said.status == 1
    assert "NAT port-restricted does not do in this kernel" in said.out
    assert "filtering is endpoint-independent, declared address-and-port-dependent" in said.out


@emulation
def test_a_kernels_nat_is_probed_in_full_by_a_command(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ("--nat", "full-cone", "--set", "nat.lifetime_s=1")
    said = testbed("probe-nat", *words, "--json")
    told = json.loads(said.out)

    assert said.status == 0
    low, high = told["measured"]["lifetime_s"]
    assert low <= 1.05
    assert high >= 0.95
    assert told["differences"] == []
    (kept,) = (tmp_path / "cache" / "testbed" / "nat").iterdir()
    assert kept.stem == told["rules"]
