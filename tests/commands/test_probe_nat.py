"""What a NAT does, told by `testbed probe-nat` and beside every run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.engines.emulation import forwarding
from testbed.nat_file import read_nat
from testbed.settings import chosen_nat, parse_settings
from testbed.topology import KNOBS, Dependence, Hairpinning, Ports, Refresh, find_nat

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
        ([], "give one of --nat KIND, --serve ADDRESS, or --interface NAME"),
        (["--nat", "symmetric", "--serve", "127.0.0.1"], "give one of --nat KIND"),
        (["--interface", "lo"], "--interface needs --server ADDRESS"),
        (["--interface", "nobody0", "--server", "192.0.2.1"], "cannot find interface nobody0"),
        (["--serve", "192.0.2.1"], "cannot serve at 192.0.2.1, port 3478"),
        (["--serve", "home"], "'home' is no IPv4 address"),
        (["--serve", "127.0.0.1,127.0.0.2,127.0.0.3"], "one or two addresses, not 3"),
        (["--nat", "symmetric", "--out", "home.json"], "a NAT file ends in .toml"),
        (["--nat", "nobody.toml"], "the NAT file nobody.toml cannot be read"),
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


PLANTED = {
    "mapping": {"mapping": Dependence.ADDRESS},
    "filtering": {"filtering": Dependence.ENDPOINT_INDEPENDENT},
    "ports": {"ports": Ports.CONTIGUOUS},
    "hairpinning": {"hairpinning": Hairpinning.EXTERNAL},
    "a binding lives": {"lifetime_s": 1.8},
    "refresh": {"refresh": Refresh.OUTBOUND},
}


@emulation
@pytest.mark.parametrize("word", PLANTED)
def test_a_planted_wrong_rule_set_is_found_in_full_once_and_stops_every_run(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """One behaviour of the loaded rules is another's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    true = forwarding.rules
    monkeypatch.setattr(
        *(forwarding, "rules"), lambda nat, *rest: true(replace(nat, **PLANTED[word]), *rest)
    )
    words = ("--nat", "port-restricted", "--set", "nat.lifetime_s=1.5")
    said = testbed("probe-nat", *words, "--json")
    (difference,) = json.loads(said.out)["differences"]

    assert said.status == 1
    assert difference.startswith(word)
    run = testbed("run", "lan_connectivity/", *words, "--out", "out")
    assert run.status == 1
    assert "does not do in this kernel" in run.out
    assert difference in run.out


@emulation
def test_a_run_tells_what_is_kept_beside_what_was_measured_before_it(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ("--nat", "full-cone", "--set", "nat.lifetime_s=1.5")
    testbed("probe-nat", *words)
    testbed("run", "lan_connectivity/", *words, "--out", "out")
    folder = tmp_path / "out" / "lan_connectivity"
    (told,) = json.loads((folder / "run.json").read_text())["nats"]

    assert told["measured"].keys() == told["declared"].keys()
    assert (
        told["probed"] == "mapping and filtering before this run, the rest kept from a full probe"
    )
    assert "hairpinning off (declared off)" in (folder / "report.html").read_text()


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


@emulation
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "knobs"),
    [
        ("adm-eif", ("lifetime_s=2", "refresh=outbound")),
        ("symmetric-contiguous", ("lifetime_s=2", "refresh=inbound")),
        ("pool-arbitrary", ("lifetime_s=2",)),
        ("tr111-aware", ("lifetime_s=2", "binding_request_lifetime_s=4")),
        ("udp-dropped", ()),
        ("none", ()),
    ],
)
def test_what_is_written_of_a_kernels_nat_plays_the_same_nat(
    testbed, tmp_path: Path, kind: str, knobs: tuple[str, ...]
) -> None:
    """The file, and the files of its replays on both engines, are the same."""
    settings = [word for each in knobs for word in ("--set", f"nat.{each}")]
    files = [tmp_path / each / "home.toml" for each in ("first", "emulation", "simulation")]
    for file in files:
        file.parent.mkdir()
    words = ("--longest", "10")
    first = testbed("probe-nat", "--nat", kind, *settings, *words, "--out", str(files[0]))

    assert first.status == 0, first.err
    described = read_nat(files[0])
    declared = chosen_nat(kind, parse_settings(f"nat.{each}" for each in knobs))
    for knob in KNOBS:
        assert getattr(described, knob) == getattr(declared, knob), knob
    for file in files[1:]:
        engine = ("--engine", file.parent.name)
        said = testbed("probe-nat", "--nat", str(files[0]), *engine, *words, "--out", str(file))
        assert said.status == 0, said.err
        assert file.read_text() == files[0].read_text()


@emulation
def test_a_nat_file_is_played_by_both_engines(testbed, tmp_path: Path) -> None:
    file = tmp_path / "home.toml"
    file.write_text('name = "home"\nfiltering = "address-dependent"\nlifetime_s = 20\n')
    for engine in ("emulation", "simulation"):
        words = ("--nat", "home.toml", "--engine", engine, "--out", engine)
        said = testbed("run", "lan_connectivity/", *words)
        (told,) = json.loads((tmp_path / engine / "lan_connectivity/run.json").read_text())["nats"]

        assert said.status == 0, said.out
        assert told["nat"] == "home"
        assert told["measured"]["filtering"] == "address-dependent"
