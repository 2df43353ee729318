"""A home on fake hosts: the stage of the tests of connectivity."""

from __future__ import annotations

from typing import Any

from testbed.protocols import dhcp, dns
from testbed.protocols.wire import Endpoint
from testbed.roles.device import Device
from testbed.roles.dns_server import DnsServer
from testbed.roles.gateway import Gateway
from testbed.roles.hnb import Hnb
from testbed.topology import Link, Nat, Node
from tests.fake_host import FakeHost, FakeNetwork

SEGW = "segw.operator.example"
ZONE = f"{SEGW}. 300 IN A 203.0.113.50\n"
IMPATIENT: dict[str, Any] = {"first_timeout_s": 1.0, "longest_timeout_s": 2.0, "jitter_s": 0.0}


class HomeScene:
    """`hnb` and `device` behind `gateway`, which leases; `outer_dns` in the Internet."""

    def __init__(self, **gateway: Any) -> None:
        self.network = FakeNetwork()
        home = Link("home", gateway.pop("home", "192.168.1.0/24"))
        internet = Link("internet", "203.0.113.0/24")
        zone = {"zone": ZONE, "origin": "operator.example"}
        dns_node = Node("outer_dns", "dns_server", (internet.at(53),), settings=zone)
        self.outer_dns = DnsServer(self.network.host(dns_node), dns_node)
        settings = {"dns_servers": ("203.0.113.53",), "lease_s": 600, **gateway}
        attachments = (home.at(1), internet.at(100))
        node = Node("gateway", "gateway", attachments, Nat.MASQUERADE, settings=settings)
        self.gateway = Gateway(self.network.host(node), node)
        node = Node("hnb", "hnb", (home.by_dhcp(),), settings={"segw": SEGW})
        self.hnb_host = self.network.host(node)
        self.hnb = Hnb(self.hnb_host, node)
        self.hnb.set_dhcp(**IMPATIENT)
        node = Node("device", "device", (home.by_dhcp(),))
        self.device_host = self.network.host(node)
        self.device = Device(self.device_host, node)

    async def start(self) -> HomeScene:
        await self.outer_dns.start()
        await self.gateway.start()
        return self

    async def gateway_restarts(self) -> None:
        """It forgets its leases."""
        self.gateway.stop()
        await self.gateway.start()

    def dhcp_words(self) -> list[str]:
        """What went over the home: DISCOVER, OFFER, ..."""
        ports = {67, 68}
        sent = [each.data for each in self.network.sent if each.destination.port in ports]
        return [dhcp.decode(data).WORD for data in sent]

    def queries(self) -> list[Endpoint]:
        """Where the HNB's queries went."""
        return [
            each.destination
            for each in self.network.sent
            if each.destination.port == dns.PORT and each.source.address == "192.168.1.100"
        ]


def told(host: FakeHost, name: str) -> list[dict[str, Any]]:
    """The fields of its events of that name."""
    return [dict(each.fields) for each in host.told if each.name == name]
