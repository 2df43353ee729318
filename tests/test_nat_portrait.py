"""A NAT that nobody described is found out, and what is written of it plays the same NAT."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from testbed.errors import BadInput
from testbed.nat.ground import TableGround
from testbed.nat.portrait import LIFETIMES_S, portray
from testbed.nat.times import drive, probe_fully
from testbed.protocols.wire import Endpoint
from testbed.settings import named_nat
from testbed.settings.nat_file import nat_text, read_nat, write_nat
from testbed.topology import KINDS, KNOBS, Nat, Rebinding, Refresh, find_nat

STEADY = [
    each for each in KINDS.values() if each.rebinding is Rebinding.NEVER and each.carrier is None
]


def painted(nat: Nat) -> Nat:
    return portray(TableGround(nat), "found", tell=lambda line: None).nat


@pytest.mark.parametrize("kind", STEADY, ids=str)
def test_a_portrait_has_every_trait_of_its_kind(kind: Nat) -> None:
    found = painted(kind)

    assert {each: getattr(found, each) for each in KNOBS} == {
        each: getattr(kind, each) for each in KNOBS
    }
    assert found.translates == kind.translates


@pytest.mark.parametrize("kind", STEADY, ids=str)
def test_the_portrait_of_a_portrait_is_the_same_file(kind: Nat, tmp_path: Path) -> None:
    one, two = tmp_path / "found.toml", tmp_path / "again.toml"
    write_nat(one, nat_text(painted(kind)))
    write_nat(two, nat_text(painted(read_nat(one))))

    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("lifetime_s", [1.0, 1.6, 7.3, 34.0, 65.0, 191.0, 600.0])
def test_a_lifetime_is_found_within_a_twentieth(lifetime_s: float) -> None:
    found = painted(Nat(name="n", lifetime_s=lifetime_s))

    assert found.lifetime_s == pytest.approx(lifetime_s, rel=0.05)


@pytest.mark.parametrize("refresh", Refresh)
def test_each_way_of_refreshing_is_found(refresh: Refresh) -> None:
    assert painted(Nat(name="n", refresh=refresh)).refresh is refresh


@pytest.mark.parametrize(("first_s", "second_s"), [(2.0, 5.0), (30.0, 120.0), (60.0, 180.0)])
def test_a_second_lifetime_is_found(first_s: float, second_s: float) -> None:
    kind = replace(find_nat("masquerade"), lifetime_s=first_s, confirmed_lifetime_s=second_s)
    found = painted(kind)

    assert (found.lifetime_s, found.confirmed_lifetime_s) == (first_s, second_s)


class LateGround(TableGround):
    """A machine that now and then comes late to what it waits for.

    Args:
        nat: what is there.
        chance: of being late.
        late_s: by how much at most.
    """

    def __init__(self, nat: Nat, chance: float, late_s: float, seed: int = 0) -> None:
        super().__init__(nat)
        self._chance, self._late_s = chance, late_s
        self._random = Random(seed)

    def wait_until(self, when: float) -> None:
        super().wait_until(when + self._late_by(self._chance))

    def outbound(self, *given: Any) -> Endpoint | None:
        self._now += self._late_by(self._chance / 10)
        seen = super().outbound(*given)
        self._now += self._late_by(self._chance / 10)
        return seen

    def _late_by(self, chance: float) -> float:
        return self._random.uniform(0, self._late_s) if self._random.random() < chance else 0.0


TWO_STAGES = replace(find_nat("masquerade"), lifetime_s=2.0, confirmed_lifetime_s=4.0)
OUTBOUND = Nat(name="outbound", lifetime_s=2.0, refresh=Refresh.OUTBOUND)
INBOUND = replace(
    find_nat("symmetric-contiguous"), name="inbound", lifetime_s=1.5, refresh=Refresh.INBOUND
)


@pytest.mark.parametrize("kind", [TWO_STAGES, OUTBOUND, INBOUND], ids=str)
@pytest.mark.parametrize("seed", range(10))
def test_a_machine_that_is_late_now_and_then_finds_the_same(kind: Nat, seed: int) -> None:
    portrait = portray(LateGround(kind, 0.15, 0.3, seed), "found", longest_s=8.0)

    assert {each: getattr(portrait.nat, each) for each in KNOBS} == {
        each: getattr(kind, each) for each in KNOBS
    }
    assert portrait.notes == ()


@pytest.mark.parametrize("seed", range(10))
def test_a_late_machine_finds_what_refreshes_where_the_rest_is_declared(seed: int) -> None:
    ground = LateGround(INBOUND, 0.3, 0.5, seed)
    found = drive(ground, probe_fully(ground, INBOUND))

    assert found.refresh == "inbound"


def test_a_machine_that_is_always_late_says_so() -> None:
    notes = portray(LateGround(TWO_STAGES, 1.0, 3.0), "found", longest_s=8.0).notes

    assert any(each.startswith("this machine was late with each of 8 trials") for each in notes)


def test_bindings_that_outlive_the_probe_are_noted() -> None:
    nat = Nat(name="n", lifetime_s=99_999.0)
    portrait = portray(TableGround(nat), "found", longest_s=60.0, tell=lambda line: None)

    assert portrait.notes == ("bindings were still alive after 62 s",)
    assert portrait.nat.lifetime_s > 60.0


def test_no_number_for_a_lifetime_is_more_than_a_tenth_from_the_next() -> None:
    steps = [high / low for low, high in itertools.pairwise(LIFETIMES_S)]

    assert LIFETIMES_S[0] == 1.0
    assert max(steps) <= 1.1 + 1e-9


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mapping = 5", "value for .*mapping"),
        ("maping = 'none'", "did you mean mapping"),
        ("lifetime_s = 'long'", "lifetime_s takes a number"),
        ("lifetime_s = 0.1", "lifetime_s is 0.1"),
        ("=", "is not TOML"),
    ],
)
def test_a_file_that_describes_no_nat_is_refused_in_a_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    file = tmp_path / "home.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=sentence):
        named_nat(str(file), "value for --nat")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the NAT file .*home.toml cannot be read"):
        named_nat(str(tmp_path / "home.toml"), "value for --nat")
