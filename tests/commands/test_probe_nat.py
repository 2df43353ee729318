"""What a NAT does, told by `testbed probe-nat` and beside every run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.engines.emulation import forwarding
from testbed.settings import chosen_nat, parse_settings
from testbed.settings.nat_file import read_nat
from testbed.topology import (
    KINDS,
    KNOBS,
    Dependence,
    Hairpinning,
    Pooling,
    Ports,
    Rebinding,
    Refresh,
    find_nat,
)

emulation = pytest.mark.emulation


def test_a_nat_of_the_simulation_is_probed_without_waiting(testbed) -> None:
    said = testbed("probe-nat", "--nat", "rfc4787", "--engine", "simulation")

    assert said.status == 0
    assert "286.5 to 313.5" in said.out


def test_all_kinds_of_the_simulation_are_told_in_one_table(testbed) -> None:
    said = testbed("probe-nat", "--nat", "all", "--engine", "simulation")

    assert said.status == 0
    rows = {line.split()[0]: line for line in said.out.splitlines()}
    assert rows.keys() >= KINDS.keys()
    assert all(rows[each].endswith("as declared") for each in KINDS)
    assert "28.6-31.4" in rows["tr111-aware"]
    assert "573-627" in rows["tr111-aware"]


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
        (
            ["--nat", "symmetric,firewall", "--out", "home.toml"],
            "holds one kind, and --nat names 2",
        ),
        (["--nat", "symmetric,symmetric"], "--nat names symmetric twice"),
        (["--nat", "nobody.toml"], "the NAT file nobody.toml cannot be read"),
    ],
)
def test_bad_usage_of_the_probe_is_one_sentence(testbed, words: list[str], sentence: str) -> None:
    said = testbed("probe-nat", *words)

    assert said.status == 2
    assert said.err.count("\n") == 1
    assert sentence in said.err


@emulation
def test_run_json_and_report_tell_measured_beside_declared(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    testbed("run", "lan_connectivity/", "--nat", "address-restricted", "--out", "out")
    folder = tmp_path / "out" / "lan_connectivity"
    (told,) = json.loads((folder / "run.json").read_text())["nats"]

    assert told["measured"]["filtering"] == told["declared"]["filtering"] == "address-dependent"
    assert told["measured"].keys() == without_times(told["declared"]).keys()
    assert told["probed"] == (
        "before this run; lifetimes and refresh are not measured in this kernel yet: "
        "testbed probe-nat --nat address-restricted"
    )
    report = (folder / "report.html").read_text()
    assert "filtering address-dependent (declared address-dependent)" in report


def without_times(declared: dict[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in declared.items()
        if name != "refresh" and not name.endswith("lifetime_s")
    }


@emulation
def test_rules_of_short_lifetimes_are_probed_in_full_before_their_first_run(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ("--nat", "address-restricted", "--set", "nat.lifetime_s=1")
    first = testbed("run", "lan_connectivity/", *words, "--out", "first")
    second = testbed("run", "lan_connectivity/", *words, "--out", "second")
    told = [
        json.loads((tmp_path / each / "lan_connectivity" / "run.json").read_text())["nats"][0]
        for each in ("first", "second")
    ]

    assert "NAT address-restricted+lifetime_s=1.0: probed in full, this once" in first.out
    assert "probed in full" not in second.out
    assert [each["probed"] for each in told] == [
        "before this run",
        "without waiting before this run, the rest kept from a full probe",
    ]
    for each in told:
        assert each["measured"]["lifetime_s"]


@emulation
def test_a_run_of_the_topologys_own_nat_looks_once_and_says_how_the_rest_is_found(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for out in ("first", "second"):
        testbed("run", "lan_connectivity/", "--out", out)
    told = [
        json.loads((tmp_path / each / "lan_connectivity" / "run.json").read_text())["nats"][0]
        for each in ("first", "second")
    ]

    assert told[0]["measured"] == told[1]["measured"]
    assert told[0]["probed"].startswith("before this run; lifetimes and refresh are not measured")
    assert told[1]["probed"].startswith("without waiting before an earlier run; lifetimes and")


@emulation
def test_several_kinds_are_probed_at_once_and_each_rule_set_once(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ("--set", "nat.lifetime_s=1")
    first = testbed("probe-nat", "--nat", "symmetric,full-cone,eim-eif,firewall", *words)
    kept = sorted((tmp_path / "cache" / "testbed" / "nat").iterdir())
    times = [each.stat().st_mtime_ns for each in kept]
    second = testbed("probe-nat", "--nat", "symmetric,firewall", *words)

    assert first.status == second.status == 0
    assert len(kept) == 3  # a full cone is what eim-eif is
    rows = [line.split()[0] for line in first.out.splitlines() if line.endswith("as declared")]
    assert {"symmetric", "full-cone", "eim-eif", "firewall"} <= set(rows)
    assert second.out.count("as declared") == 2
    assert [each.stat().st_mtime_ns for each in kept] == times
    again = testbed("probe-nat", "--nat", "symmetric,firewall", *words, "--again", "--json")
    assert [each["nat"] for each in json.loads(again.out)] == [
        "symmetric+lifetime_s=1.0",
        "firewall+lifetime_s=1.0",
    ]
    assert sum(each.stat().st_mtime_ns != time for each, time in zip(kept, times, strict=True)) == 2


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
    "a binding that was spoken through": {"confirmed_lifetime_s": 3.0},
    "a binding that TR-111's attribute has made": {"binding_request_lifetime_s": 3.0},
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


MISPLANTED = {
    "pooling is one address": ("pool-paired", {}, {"addresses": 1}),
    "pooling is arbitrary": ("pool-paired", {}, {"pooling": Pooling.ARBITRARY}),
    "pooling is paired": ("pool-arbitrary", {}, {"pooling": Pooling.PAIRED}),
    "rebinding is never": (
        "rebinding-port",
        {"rebinds_after_s": 2},
        {"rebinding": Rebinding.NEVER},
    ),
    "rebinding is port": (
        "rebinding-address",
        {"rebinds_after_s": 2},
        {"rebinding": Rebinding.PORT},
    ),
    "a binding that was spoken through for some seconds lives": (
        "masquerade",
        {"confirmed_lifetime_s": 4},
        {},
    ),
    "a binding that TR-111's attribute has made lives": (
        "tr111-aware",
        {"binding_request_lifetime_s": 4},
        {"binding_request_lifetime_s": 3.0},
    ),
}


@emulation
@pytest.mark.parametrize("words", MISPLANTED)
def test_what_shows_only_in_some_kinds_is_found_wrong_too(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """Second lifetimes, pools and rebinding of other rules than the declared ones."""
    kind, knobs, planted = MISPLANTED[words]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rules, timers = forwarding.rules, forwarding.timers
    monkeypatch.setattr(
        *(forwarding, "rules"), lambda nat, *rest: rules(replace(nat, **planted), *rest)
    )
    if kind == "masquerade":
        monkeypatch.setattr(
            *(forwarding, "timers"), lambda nat: timers(replace(nat, confirmed_lifetime_s=None))
        )
    given = {"lifetime_s": 2, **knobs}
    settings = [word for name in given for word in ("--set", f"nat.{name}={given[name]}")]
    said = testbed("probe-nat", "--nat", kind, *settings, "--json")
    found = json.loads(said.out)["differences"]

    assert said.status == 1
    assert [each for each in found if each.startswith(words)], found


@emulation
def test_a_gateway_that_rebinds_too_late_is_found_out(
    testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    apply = forwarding.Forwarding.apply
    monkeypatch.setattr(
        *(forwarding.Forwarding, "apply"),
        lambda self, nat, *rest: apply(self, replace(nat, rebinds_after_s=2.3), *rest),
    )
    settings = ("--set", "nat.lifetime_s=2", "--set", "nat.rebinds_after_s=2")
    said = testbed("probe-nat", "--nat", "rebinding-port", *settings, "--json")
    found = json.loads(said.out)["differences"]

    assert said.status == 1
    assert [each for each in found if each.startswith("flows are rebound after")], said.out


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
    assert told["probed"] == "without waiting before this run, the rest kept from a full probe"
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
        ("adm-eif", ("lifetime_s=1.5", "refresh=outbound")),
        ("symmetric-contiguous", ("lifetime_s=1.5", "refresh=inbound")),
        ("pool-arbitrary", ("lifetime_s=1.5",)),
        ("tr111-aware", ("lifetime_s=1.5", "binding_request_lifetime_s=3")),
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
