"""Qualities of links: one table of words for topologies, variants and `--set`."""

import pytest

from testbed.errors import BadInput
from testbed.registry import find_scenario
from testbed.scenario import Scenario, Stage
from testbed.settings import build_topology
from testbed.topology import QUALITIES, Passage, Quality, Topology, link_settings, measure
from topologies.homes import home_on_internet


def set_link(name: str, value: str) -> Topology:
    return build_topology(home_on_internet, {}, {name: value})


def test_a_quality_is_every_links_or_that_of_one_which_outweighs() -> None:
    given = {"link.home.loss": "0.5", "link.loss": "0.1", "link.home.icmp": "dropped"}
    links = build_topology(home_on_internet, {}, given).links

    assert {name: link.quality.loss for name, link in links.items()} == {
        "internet": 0.1,
        "home": 0.5,
    }
    assert links["home"].quality.icmp is Passage.DROPPED
    assert links["internet"].quality.icmp is Passage.PASSED


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "link.hom.loss",
            "0.1",
            r"no link is called 'hom'; did you mean home\?",
        ),
        ("link.home.los", "0.1", r"no quality of a link is called 'los'; did you mean loss\?"),
        ("link.los", "0.1", r"no quality of a link is called 'los'"),
        (
            "link.home",
            "bad",
            r"--set link.home: say which quality of link home, as link.home",
        ),
        ("link.home.loss", "5%", r"--set link.home.loss takes a number, not '5%'"),
        ("link.loss", "5", r"--set link.loss=5: loss is 5; it may be 0 to 1: 0.05 is 5 %"),
        ("link.delay_ms", "-1", r"--set link.delay_ms=-1: delay_ms is -1; it may be 0 to 60000"),
        ("link.delay_ms", "nan", r"delay_ms is nan; it may be 0 to 60000"),
        ("link.mtu", "500", r"--set link.mtu=500: mtu is 500; it may be 576 to 9000"),
        ("link.mtu", "1e3", r"--set link.mtu takes a whole number, not '1e3'"),
        ("link.fragments", "lost", r"no value for --set link.fragments is called 'lost'"),
    ],
)
def test_what_cannot_be_set_is_told_in_a_sentence(name: str, value: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as error:
        set_link(name, value)

    assert "\n" not in str(error.value)


def test_a_topology_gives_its_links_qualities() -> None:
    net = Topology("here")

    assert net.link("slow", "10.0.0.0/24", delay_ms=150.0).quality.delay_ms == 150
    assert net.link("plain", "10.0.1.0/24").quality.is_plain
    with pytest.raises(BadInput, match="no quality of a link is called 'delay'"):
        net.link("wrong", "10.0.2.0/24", delay=1)


def test_a_variant_gives_links_qualities_and_the_user_others() -> None:
    async def play(_at: Stage) -> None:
        """Nothing."""

    made = Scenario("made up", home_on_internet, 1.0, "made up")
    made.variant("slow", links={"home": {"delay_ms": 150, "loss": 0.5}})(play)
    variant = made.find("slow")
    links = build_topology(variant.topology, variant.settings, {"link.loss": "0"}).links

    assert links["home"].quality == Quality(delay_ms=150)
    assert links["internet"].quality.is_plain


def test_links_of_a_variant_have_to_be_there() -> None:
    lan = find_scenario("lan_connectivity").topology

    with pytest.raises(BadInput, match="no link is called 'hme'"):
        build_topology(lan, link_settings({"hme": {"loss": 1}}), {})


def test_a_link_tells_what_is_not_usual() -> None:
    quality = Quality(delay_ms=20, fragments=Passage.DROPPED, mtu=1400)

    assert quality.told() == {"delay_ms": 20, "mtu": 1400, "fragments": "dropped"}
    assert Quality().told() == {}


def test_a_wire_is_what_nobody_asks_more_of_than_an_mtu() -> None:
    assert Quality(mtu=1400).is_a_wire
    assert not Quality(mtu=1400).is_plain
    assert not Quality(icmp=Passage.DROPPED).is_a_wire
    assert not Quality(jitter_ms=0).is_a_wire


def test_every_quality_has_a_measure() -> None:
    assert {name: measure(name) for name in QUALITIES}["loss"] == "PROBABILITY 0 to 1"
    assert measure("icmp") == "passed|dropped"
    assert all(measure(name) for name in QUALITIES)
