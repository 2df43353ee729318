"""Topologies are plain data, and say at once what is wrong with them."""

import pytest

from testbed.errors import BadInput
from testbed.settings import build_topology, parse_settings
from testbed.settings.convert import convert
from testbed.topology import By, Esp, Nat, Topology, hardware_address
from topologies.homes import home_behind_nat, home_on_internet


@pytest.fixture
def net():
    return Topology("a net")


def test_the_first_repetition_has_plain_names_and_the_next_are_numbered():
    topology = home_on_internet(homes=3)

    assert [name for name in topology.nodes if name.startswith("hnb")] == ["hnb", "hnb2", "hnb3"]
    assert [name for name in topology.links if name.startswith("home")] == [
        "home",
        "home2",
        "home3",
    ]


def test_repeated_gateways_have_addresses_of_their_own_outside():
    topology = home_on_internet(homes=3)

    outside = [
        topology.nodes[n].attachments[1].address for n in ("gateway", "gateway2", "gateway3")
    ]

    assert outside == ["203.0.113.100", "203.0.113.101", "203.0.113.102"]


def test_an_address_given_twice_is_refused(net):
    link = net.link("home", "192.168.1.0/24")
    link.at(1)

    with pytest.raises(BadInput, match=r"192\.168\.1\.1 is given twice"):
        link.at(1)


@pytest.mark.parametrize("number", [0, 255, 256, -1])
def test_an_address_outside_the_subnet_is_refused(net, number):
    link = net.link("home", "192.168.1.0/24")

    with pytest.raises(BadInput, match="host numbers 1 to 254"):
        link.at(number)


@pytest.mark.parametrize("subnet", ["300.1.1.0/24", "192.168.1.5/24", "fe80::/64", "home"])
def test_what_is_no_subnet_is_refused(net, subnet):
    with pytest.raises(BadInput, match=f"link home: '{subnet}' is no IPv4 subnet"):
        net.link("home", subnet)


def test_next_free_passes_over_what_is_taken(net):
    link = net.link("internet", "203.0.113.0/24")
    link.at(100)

    assert link.next_free().address == "203.0.113.101"


def test_two_nodes_of_one_name_are_refused(net):
    net.node("hnb")

    with pytest.raises(BadInput, match="two nodes are called 'hnb'"):
        net.node("hnb")


def test_no_homes_at_all_are_refused():
    with pytest.raises(BadInput, match="at least 1"):
        home_on_internet(homes=0)


def test_an_unknown_node_names_the_nearest(net):
    net.node("gateway")

    with pytest.raises(BadInput, match="did you mean gateway"):
        net.find("gatway")


def test_hardware_addresses_differ_between_all_interfaces():
    topology = home_behind_nat(homes=40, device=True)

    found = [
        hardware_address(topology, name, number)
        for name, node in topology.nodes.items()
        for number in range(len(node.attachments))
    ]

    assert len(set(found)) == len(found)


def test_an_hnb_comes_by_its_address_by_dhcp():
    assert home_on_internet().nodes["hnb"].attachments[0].by is By.DHCP


def test_a_setting_is_converted_as_the_topology_annotates_it():
    topology = build_topology(home_on_internet, {}, {"homes": "2", "device": "yes"})

    assert {"hnb2", "device2"} <= set(topology.nodes)


def test_the_users_setting_wins_over_the_scenarios_own():
    topology = build_topology(home_on_internet, {"lease_s": 2}, {"lease_s": "60"})

    assert topology.nodes["gateway"].settings["lease_s"] == 60


def test_nat_changes_only_nodes_that_translate():
    topology = build_topology(home_on_internet, {}, {}, "none")

    assert topology.nodes["gateway"].nat is Nat.NONE
    assert topology.nodes["hnb"].nat is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"home": "2"}, "did you mean homes"),
        ({"homes": "two"}, "takes a whole number, not 'two'"),
        ({"device": "perhaps"}, "takes yes or no"),
        ({"nat": "fullcone"}, "no value for --set nat"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_in_a_sentence(given, told):
    with pytest.raises(BadInput, match=told):
        build_topology(home_on_internet, {}, given)


def test_who_does_esp_is_a_setting_of_every_topology():
    assert build_topology(home_behind_nat, {}, {}).esp is Esp.USER
    assert build_topology(home_behind_nat, {}, {"esp": "kernel"}).esp is Esp.KERNEL
    with pytest.raises(BadInput, match="did you mean kernel"):
        build_topology(home_behind_nat, {}, {"esp": "kernal"})


@pytest.mark.parametrize("words", [["homes"], ["=2"], ["homes=1", "homes=2"]])
def test_words_that_are_no_settings_are_refused(words):
    with pytest.raises(BadInput):
        parse_settings(words)


def test_a_value_may_hold_an_equals_sign():
    assert parse_settings(["zone=a=b"]) == {"zone": "a=b"}


def test_text_stays_text():
    assert convert("--set name", "7", str) == "7"
