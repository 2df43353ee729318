"""What a NAT's description asks of the wiring."""

from __future__ import annotations

import pytest

from testbed.topology import Nat, Topology, find_nat, furnish

GATEWAY, SERVER = "203.0.113.1", "203.0.113.53"


def street(nat: Nat, homes: int = 1) -> Topology:
    net = Topology("homes, and a server without a router")
    internet = net.link("internet", "203.0.113.0/24")
    for number in range(1, homes + 1):
        home = net.link(f"home{number}", "192.168.1.0/24")
        net.node(f"gateway{number}", home.at(1), internet.at(number), nat=nat, role="gateway")
    net.node("outer_dns", internet.at(53))
    return net


@pytest.mark.parametrize("kind", ["none", "firewall"])
def test_beside_a_gateway_that_does_not_translate_others_have_it_as_router(kind: str) -> None:
    net = furnish(street(find_nat(kind)))

    assert net.nodes["outer_dns"].router == GATEWAY
    assert net.nodes["gateway1"].router is None


def test_a_gateway_that_translates_is_nobodys_router() -> None:
    assert furnish(street(Nat.MASQUERADE)).nodes["outer_dns"].router is None


def test_two_gateways_with_the_same_inside_give_no_way_back() -> None:
    assert furnish(street(find_nat("firewall"), homes=2)).nodes["outer_dns"].router is None
