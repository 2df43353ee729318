"""The probe of a NAT finds what is there, and says where that is not what is declared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testbed.nat.behaviour import Behaviour, declared, differences
from testbed.nat.ground import TableGround
from testbed.nat.probe import probe_quickly
from testbed.nat.times import drive, probe_fully, probe_rebinding, steady
from testbed.probing import truth
from testbed.probing.measuring import measure_table
from testbed.topology import (
    KINDS,
    Dependence,
    Hairpinning,
    Nat,
    Pooling,
    Ports,
    Rebinding,
    Refresh,
    Topology,
    Udp,
    find_nat,
)

PLAIN = Nat(name="plain")
OTHERS = {
    "mapping": replace(PLAIN, mapping=Dependence.ADDRESS),
    "filtering": replace(PLAIN, filtering=Dependence.ENDPOINT_INDEPENDENT),
    "ports": replace(PLAIN, ports=Ports.RANDOM),
    "hairpinning": replace(PLAIN, hairpinning=Hairpinning.INTERNAL),
    "refresh": replace(PLAIN, refresh=Refresh.OUTBOUND),
    "pooling": replace(PLAIN, addresses=2),
    "a binding that was spoken through": replace(PLAIN, confirmed_lifetime_s=240.0),
    "a binding that TR-111's attribute has made": replace(PLAIN, binding_request_lifetime_s=240.0),
    "udp": replace(PLAIN, udp=Udp.DROPPED),
}


def full_probe(ground: TableGround, promised: Nat) -> Behaviour:
    return drive(ground, probe_fully(ground, promised))


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_every_kind_is_found_to_do_what_it_declares(kind: Nat) -> None:
    full = measure_table(kind)

    assert differences(declared(kind), full) == []
    assert differences(declared(kind), probe_quickly(TableGround(kind))) == []
    assert full.told().keys() == declared(kind).told().keys()


@pytest.mark.parametrize("word", OTHERS)
def test_every_difference_is_told(word: str) -> None:
    full = full_probe(TableGround(OTHERS[word]), PLAIN)
    told = differences(declared(PLAIN), full)

    assert len(told) == 1
    assert told[0].startswith(word)


@pytest.mark.parametrize("lifetime_s", [113.0, 127.0])
@pytest.mark.parametrize(
    "name", ["lifetime_s", "confirmed_lifetime_s", "binding_request_lifetime_s"]
)
def test_a_lifetime_that_is_off_by_more_than_a_twentieth_is_told(
    name: str, lifetime_s: float
) -> None:
    first = {"lifetime_s": 30.0} if name != "lifetime_s" else {}
    promised = replace(PLAIN, **{**first, name: 120.0})
    other = replace(PLAIN, **{**first, name: lifetime_s})
    (told,) = differences(
        Behaviour(**{name: getattr(declared(promised), name)}),
        full_probe(TableGround(other), promised),
    )

    assert "declared 120 s" in told


@pytest.mark.parametrize("word", ["confirmed_lifetime_s", "binding_request_lifetime_s"])
def test_a_second_lifetime_that_is_not_there_is_told(word: str) -> None:
    promised = replace(PLAIN, lifetime_s=30.0, **{word: 120.0})
    other = replace(PLAIN, lifetime_s=30.0)
    (told,) = differences(declared(promised), full_probe(TableGround(other), promised))

    assert told.endswith("lives 0 to 30 s, declared 120 s")


@pytest.mark.parametrize("pooling", Pooling)
def test_which_address_an_inside_gets_is_told_apart(pooling: Pooling) -> None:
    others = [each for each in Pooling if each is not pooling]
    promised = replace(PLAIN, pooling=pooling, addresses=2)

    assert measure_table(promised).pooling == pooling.value
    for other in others:
        measured = measure_table(replace(promised, pooling=other))
        assert differences(declared(promised), measured) == [
            f"pooling is {other.value}, declared {pooling.value}"
        ]


MOVING = replace(PLAIN, rebinding=Rebinding.ADDRESS, addresses=2)


@pytest.mark.parametrize("addresses", [2, 3, 16])
def test_how_many_addresses_mappings_get_in_turn_is_told(addresses: int) -> None:
    pool = find_nat("pool-arbitrary")
    found = measure_table(replace(pool, addresses=addresses))

    assert found.addresses == addresses
    assert differences(declared(replace(pool, addresses=4)), found) == [
        f"addresses is {addresses}, declared 4"
    ]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (steady(MOVING), ["rebinding is never, declared address"]),
        (replace(MOVING, rebinding=Rebinding.PORT), ["rebinding is port, declared address"]),
        (replace(MOVING, rebinds_after_s=50.0), ["flows are rebound after 48 to 54 s"]),
        (replace(MOVING, rebinds_after_s=70.0), ["flows are rebound after 66 to 75 s"]),
        (replace(MOVING, rebinds_after_s=999.0), ["rebinding is never", "flows are rebound after"]),
    ],
    ids=["never", "port", "sooner", "later", "much later"],
)
def test_a_rebinding_that_is_not_the_declared_one_is_told(other: Nat, told: list[str]) -> None:
    ground = TableGround(other)
    found = differences(declared(MOVING), drive(ground, probe_rebinding(ground, MOVING, 0.0)))

    assert all(each.startswith(want) for each, want in zip(found, told, strict=False)), found
    assert found


def test_a_flow_is_watched_for_rebinding_although_bindings_are_short() -> None:
    promised = replace(MOVING, lifetime_s=2.0, refresh=Refresh.INBOUND)

    assert differences(declared(promised), measure_table(promised)) == []


def test_a_trial_that_came_late_contradicts_nothing() -> None:
    measured = Behaviour(udp="passed", lifetime_s=(90.0, 150.0))

    assert differences(declared(PLAIN), measured) == []


def test_a_binding_that_never_dies_is_told() -> None:
    other = replace(PLAIN, lifetime_s=99_999.0)
    full = full_probe(TableGround(other), PLAIN)

    assert differences(declared(PLAIN), full) == ["a binding lives more than 150 s, declared 120 s"]


@pytest.mark.parametrize("refresh", Refresh)
def test_each_way_of_refreshing_is_told_apart(refresh: Refresh) -> None:
    kind = replace(PLAIN, refresh=refresh)

    assert full_probe(TableGround(kind), kind).refresh == refresh.value


def test_a_run_with_an_untrue_nat_is_refused_in_one_sentence() -> None:
    measured = Behaviour(udp="passed", mapping="address-dependent")
    with pytest.raises(truth.Untrue) as refusal:
        truth.require(PLAIN, declared(PLAIN), measured, "simulation")

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
    told = [each.told() for each in truth.examine_nats(topology, "simulation", asked=True)]

    assert [(each["nat"], each["nodes"]) for each in told] == [("symmetric", 2), ("full-cone", 1)]
    assert told[0]["measured"].keys() == told[0]["declared"].keys()
    assert told[0]["measured"]["mapping"] == "address-and-port-dependent"
    assert {each["probed"] for each in told} == {"before this run"}


def test_a_full_probe_is_kept_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    full = full_probe(TableGround(PLAIN), PLAIN)
    truth.keep("abc", full)

    assert truth.recall("abc") == full
    assert truth.recall("other") is None


@pytest.mark.parametrize("text", ["", "[]", '{"colour": "blue"}', "{"])
def test_a_kept_probe_that_cannot_be_read_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    truth.keep("abc", Behaviour()).write_text(text)

    assert truth.recall("abc") is None
