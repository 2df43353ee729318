"""A gateway that is a CPE itself: it serves its home, and its ACS serves it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from testbed.protocols.cwmp import rpc
from testbed.roles import make_role
from testbed.roles.device import Device
from testbed.roles.gateway import Gateway
from testbed.roles.hms import Hms
from testbed.roles.managed_gateway import CONNECTION, ManagedGateway
from testbed.topology import Link, Nat, Node
from tests.fake_host import FakeNetwork
from tests.virtual_time import virtual_time

ROOT = "InternetGatewayDevice."
OUTSIDE = "203.0.113.100"
ZONE = "acs.operator.example. 300 IN A 203.0.113.20\n"
SERIAL = "GATEWAY"


class ManagedHome:
    """`gateway`, managed by `acs`; `device` behind it; `outer_dns` and `acs` in the Internet."""

    def __init__(self, hms_url: str | None = "http://acs.operator.example/acs") -> None:
        self.network = FakeNetwork()
        home, internet = Link("home", "192.168.1.0/24"), Link("internet", "203.0.113.0/24")
        zone = {"zone": ZONE, "origin": "operator.example"}
        url = {"url": "http://acs.operator.example/acs"}
        at = (internet.at(53),), (internet.at(20),)
        self.outer_dns = self.role(Node("outer_dns", "dns_server", at[0], settings=zone))
        self.acs: Hms = self.role(Node("acs", "hms", at[1], settings=url))
        told = {"dns_servers": ("203.0.113.53",), "hms_url": hms_url}
        ends = (home.at(1), internet.at(100))
        self.gateway = self.role(Node("gateway", "gateway", ends, Nat.MASQUERADE, settings=told))
        node = Node("device", "device", (home.by_dhcp(),))
        self.device = Device(self.network.host(node), node)

    def role(self, node: Node) -> Any:
        return make_role(node, self.network.host(node))

    async def start(self) -> ManagedHome:
        for each in (self.outer_dns, self.acs, self.gateway):
            await each.start()
        await asyncio.sleep(1)
        return self


@virtual_time
async def test_it_tells_its_acs_who_it_is_and_where_it_can_be_asked() -> None:
    home = await ManagedHome().start()
    told = home.acs.devices[SERIAL]

    assert isinstance(home.gateway, ManagedGateway)
    assert told.device_id.product_class == "Gateway"
    assert [each.code for each in told.inform.events] == ["0 BOOTSTRAP", "1 BOOT"]
    assert told.inform.value(f"{ROOT}{CONNECTION}ExternalIPAddress") == OUTSIDE
    assert f"http://{OUTSIDE}:7547/" in str(told.connection_request_url)
    assert told.line_address == OUTSIDE


@virtual_time
async def test_its_acs_reads_and_sets_its_parameters_at_a_connection_request() -> None:
    home = await ManagedHome().start()
    name = f"{ROOT}DeviceInfo.ProvisioningCode"
    setting = home.acs.call(
        SERIAL, rpc.SetParameterValues((rpc.ParameterValue(name, "home.7", "string"),), "k")
    )
    reading = home.acs.call(SERIAL, rpc.GetParameterValues((name,)))
    status = await home.acs.request_connection(SERIAL, *home.gateway._credentials())
    await setting
    read = await reading

    assert status == 200
    assert read.parameters == (rpc.ParameterValue(name, "home.7", "string"),)


@virtual_time
async def test_it_serves_its_home_beside_and_again_after_its_acs_has_rebooted_it() -> None:
    home = await ManagedHome().start()
    home.acs.call(SERIAL, rpc.Reboot("night"))
    await home.acs.request_connection(SERIAL, *home.gateway._credentials())
    await asyncio.sleep(5)
    await home.device.start()
    await asyncio.sleep(5)
    events = [each.code for each in home.acs.devices[SERIAL].inform.events]

    assert set(events) == {"1 BOOT", "M Reboot"}
    assert home.network.hosts["device"].address_of("eth0") == "192.168.1.100"


@pytest.mark.parametrize("hms_url", [None, ""])
@virtual_time
async def test_without_an_acs_it_is_a_gateway_and_nothing_more(hms_url: str | None) -> None:
    home = await ManagedHome(hms_url).start()

    assert type(home.gateway) is Gateway
    assert home.acs.devices == {}
    assert home.network.hosts["gateway"].listeners == []
