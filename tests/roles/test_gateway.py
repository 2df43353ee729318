from __future__ import annotations

import asyncio

import pytest

from testbed.errors import BadInput
from testbed.protocols.wire import Endpoint
from testbed.roles import make_role
from testbed.topology import Link, Nat, Node
from tests.fake_host import FakeNetwork
from tests.roles.home_scene import HomeScene, told
from tests.virtual_time import virtual_time


@virtual_time
async def test_it_translates_from_its_home_to_the_outside() -> None:
    home = await HomeScene().start()

    assert home.gateway.host.translations == [(Nat.MASQUERADE, ("eth0",), "eth1")]


@virtual_time
async def test_two_boxes_get_two_addresses_and_none_is_the_gateways_own() -> None:
    home = await HomeScene(home="192.168.1.0/29").start()
    await home.hnb.start()
    await home.device.start()
    await asyncio.sleep(5)

    leased = {host.address_of("eth0") for host in (home.hnb_host, home.device_host)}
    assert leased == {"192.168.1.2", "192.168.1.3"}


@virtual_time
async def test_as_a_proxy_it_names_itself_and_forwards() -> None:
    home = await HomeScene(dns_proxy=True).start()
    await home.hnb.start()
    await asyncio.sleep(5)

    assert told(home.hnb_host, "CONNECTED")[0]["dns_servers"] == ["192.168.1.1"]
    assert set(home.queries()) == {Endpoint("192.168.1.1", 53)}
    assert told(home.hnb_host, "RESOLVED")[0]["addresses"] == ["203.0.113.50"]


@virtual_time
async def test_it_forgets_its_leases_with_its_power_and_serves_again() -> None:
    home = await HomeScene().start()
    await home.hnb.start()
    await asyncio.sleep(5)
    home.gateway.stop()
    assert home.gateway.host.ports == []

    await home.gateway.start()
    await home.device.start()
    await asyncio.sleep(5)

    assert home.device_host.address_of("eth0") == "192.168.1.100"


@virtual_time
async def test_a_node_of_a_role_that_nobody_wrote_is_refused_with_the_nearest() -> None:
    node = Node("x", "gatway", (Link("home", "192.168.1.0/24").at(1),))
    host = FakeNetwork().host(node)

    with pytest.raises(BadInput, match=r"no role is called 'gatway'; did you mean gateway\?"):
        make_role(node, host)
