"""The probe of a NAT finds what is there, and says where that is not what is declared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testbed import nat_truth
from testbed.nat.probe import (
    Behaviour,
    TableGround,
    declared,
    differences,
    probe_fully,
    probe_quickly,
)
from testbed.topology import (
    KINDS,
    Dependence,
    Hairpinning,
    Nat,
    Ports,
    Rebinding,
    Refresh,
    Topology,
    Udp,
    find_nat,
)

STEADY = [replace(each, rebinding=Rebinding.NEVER) for each in KINDS.values()]
PLAIN = Nat(name="plain")
OTHERS = {
    "mapping": replace(PLAIN, mapping=Dependence.ADDRESS),
    "filtering": replace(PLAIN, filtering=Dependence.ENDPOINT_INDEPENDENT),
    "ports": replace(PLAIN, ports=Ports.RANDOM),
    "hairpinning": replace(PLAIN, hairpinning=Hairpinning.INTERNAL),
    "refresh": replace(PLAIN, refresh=Refresh.OUTBOUND),
    "a binding lives": replace(PLAIN, lifetime_s=131.0),
    "udp": replace(PLAIN, udp=Udp.DROPPED),
}


@pytest.mark.parametrize("kind", STEADY, ids=str)
def test_every_kind_is_found_to_do_what_it_declares(kind: Nat) -> None:
    full = probe_fully(TableGround(kind), kind.lifetime_s)

    assert differences(declared(kind), full) == []
    assert differences(declared(kind), probe_quickly(TableGround(kind))) == []
    assert full.told().keys() == declared(kind).told().keys()


@pytest.mark.parametrize("word", OTHERS)
def test_every_difference_is_told(word: str) -> None:
    full = probe_fully(TableGround(OTHERS[word]), PLAIN.lifetime_s)
    told = differences(declared(PLAIN), full)

    assert len(told) == 1
    assert told[0].startswith(word)


@pytest.mark.parametrize("lifetime_s", [113.0, 127.0])
def test_a_lifetime_that_is_off_by_more_than_a_twentieth_is_told(lifetime_s: float) -> None:
    other = replace(PLAIN, lifetime_s=lifetime_s)

    assert differences(declared(PLAIN), probe_fully(TableGround(other), PLAIN.lifetime_s))


def test_a_trial_that_came_late_contradicts_nothing() -> None:
    measured = Behaviour(udp="passed", lifetime_s=(90.0, 150.0))

    assert differences(declared(PLAIN), measured) == []


def test_a_binding_that_never_dies_is_told() -> None:
    other = replace(PLAIN, lifetime_s=99_999.0)
    full = probe_fully(TableGround(other), PLAIN.lifetime_s)

    assert differences(declared(PLAIN), full) == ["a binding lives more than 150 s, declared 120 s"]


@pytest.mark.parametrize("refresh", Refresh)
def test_each_way_of_refreshing_is_told_apart(refresh: Refresh) -> None:
    kind = replace(PLAIN, refresh=refresh)

    assert probe_fully(TableGround(kind), kind.lifetime_s).refresh == refresh.value


def test_a_run_with_an_untrue_nat_is_refused_in_one_sentence() -> None:
    measured = Behaviour(udp="passed", mapping="address-dependent")
    with pytest.raises(nat_truth.Untrue) as refusal:
        nat_truth.require(PLAIN, declared(PLAIN), measured, "simulation")

    assert str(refusal.value) == (
        "NAT plain does not do in the simulation what its kind says: mapping is "
        "address-dependent, declared endpoint-independent; verdicts about it would be about "
        "another NAT, so nothing is run"
    )


def test_measured_stands_beside_declared_for_each_kind_of_a_topology() -> None:
    topology = Topology("two homes")
    internet = topology.link("internet", "203.0.113.0/24")
    for name, kind in (("one", "symmetric"), ("two", "symmetric"), ("three", "full-cone")):
        home = topology.link(f"home_{name}", "192.168.1.0/24")
        topology.node(name, home.at(1), internet.next_free(), nat=find_nat(kind), role="gateway")
    told = [each.told() for each in nat_truth.examine_nats(topology, "simulation", asked=True)]

    assert [(each["nat"], each["nodes"]) for each in told] == [("symmetric", 2), ("full-cone", 1)]
    assert told[0]["measured"] == {
        "udp": "passed",
        "translation": "yes",
        "mapping": "address-and-port-dependent",
        "filtering": "address-and-port-dependent",
    }
    assert {each["probed"] for each in told} == {"before this run"}


def test_a_full_probe_is_kept_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    full = probe_fully(TableGround(PLAIN), PLAIN.lifetime_s)
    nat_truth.keep("abc", full)

    assert nat_truth.recall("abc") == full
    assert nat_truth.recall("other") is None


@pytest.mark.parametrize("text", ["", "[]", '{"colour": "blue"}', "{"])
def test_a_kept_probe_that_cannot_be_read_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    nat_truth.keep("abc", Behaviour()).write_text(text)

    assert nat_truth.recall("abc") is None
