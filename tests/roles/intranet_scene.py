"""An operator's intranet on fake hosts: two SeGWs, their DNS servers and HMSs, and an HNB-GW."""

from __future__ import annotations

import asyncio
from typing import Any

from testbed.host import TunnelLife
from testbed.protocols import dhcp
from testbed.protocols.pki import Identity
from testbed.roles.dns_server import DnsServer
from testbed.roles.hms import Hms
from testbed.roles.hms_policy import Assignment
from testbed.roles.hnb import Hnb, Place
from testbed.roles.hnb_gw import HnbGw
from testbed.roles.segw import Segw
from testbed.topology import Link, Node
from tests.fake_host import FakeHost, FakeNetwork

ROOT = b"the operator's root"
SEGW, SERVING_SEGW = "segw.example", "segw.south.example"
DEAD_SEGW = "segw.dead.example"
HMS_URL, SERVING_URL = "http://hms.core.example/acs", "http://hms.south.example/acs"
HNB_GW, DEAD_HNB_GW = "hnbgw.south.example", "hnbgw.dead.example"
OUTER_ZONE = f"""\
{SEGW}. 300 IN A 203.0.113.50
{SERVING_SEGW}. 300 IN A 203.0.113.51
{DEAD_SEGW}. 300 IN A 203.0.113.90
"""
CORE_ZONE = f"hms.core.example. 300 IN A 10.10.0.20\n{HNB_GW}. 300 IN A 10.20.0.60\n"
SOUTH_ZONE = f"""\
hms.south.example. 300 IN A 10.20.0.20
{HNB_GW}. 300 IN A 10.20.0.60
{DEAD_HNB_GW}. 300 IN A 10.20.0.90
"""
MUNICH = Place(48.137, 11.575)
SHORT = TunnelLife(retransmit_first_s=0.1)


def identity(name: str, root: bytes = ROOT) -> Identity:
    """One whose chain a fake tunnel compares."""
    return Identity(name, b"", b"", (root,))


class IntranetScene:
    """`hnb` at home; `segw` and `serving_segw`, each with what is behind it."""

    def __init__(self, assignment: Assignment | None = None, **hnb: Any) -> None:
        self.network = FakeNetwork()
        internet, core = Link("internet", "203.0.113.0/24"), Link("core", "10.10.0.0/16")
        south, home = Link("south", "10.20.0.0/16"), Link("home", "192.168.1.0/24")
        given = assignment or Assignment("south", segw=SERVING_SEGW, hms_url=SERVING_URL)
        self.home = home
        self.outer_dns = self._dns("outer_dns", internet.at(53), OUTER_ZONE)
        self.inner_dns = self._dns("inner_dns", core.at(53), CORE_ZONE)
        self.serving_dns = self._dns("serving_dns", south.at(53), SOUTH_ZONE)
        self.segw = self._segw("segw", SEGW, internet.at(50), "10.110.0.0/16", "10.10.0.53")
        self.serving_segw = self._segw(
            "serving_segw", SERVING_SEGW, internet.at(51), "10.120.0.0/16", "10.20.0.53"
        )
        self.hms = Hms(*self._node("hms", core.at(20), url=HMS_URL, assignments=(given,)))
        own = Assignment("south", hnb_gw=HNB_GW)
        self.serving_hms = Hms(
            *self._node("serving_hms", south.at(20), url=SERVING_URL, assignments=(own,))
        )
        self.hnb_gw = HnbGw(*self._node("hnb_gw", south.at(60)))
        told: dict[str, Any] = {
            "segw": SEGW,
            "hms_url": HMS_URL,
            "place": MUNICH,
            "life": SHORT,
            "identity": identity("hnb.example"),
            "roots": (ROOT,),
            **hnb,
        }
        self.hnb = Hnb(*self._node("hnb", home.at(10), **told))
        self.hnb.set_policy(retry_minimum_s=1.0, retry_multiplier=1000)

    def _node(self, name: str, *attachments: Any, **settings: Any) -> tuple[FakeHost, Node]:
        node = Node(name, name, attachments, settings=settings)
        return self.network.host(node), node

    def _dns(self, name: str, attachment: Any, zone: str) -> DnsServer:
        return DnsServer(*self._node(name, attachment, zone=zone, origin="example"))

    def _segw(self, name: str, known_as: str, at: Any, pool: str, dns_server: str) -> Segw:
        settings = {"identity": identity(known_as), "roots": (ROOT,), "pool": pool}
        host, node = self._node(name, at, dns_servers=(dns_server,), **settings)
        return Segw(host, node)

    async def start(self) -> IntranetScene:
        """Power for all but the HNB."""
        for role in (self.outer_dns, self.inner_dns, self.serving_dns, self.hms, self.serving_hms):
            await role.start()
        await self.hnb_gw.start()
        for segw in (self.segw, self.serving_segw):
            if segw.node.settings["identity"].certificate:
                await segw.start()
            else:  # without a certificate there is nothing to tell of it
                segw._listener = await segw.host.accept_tunnels(segw.policy, segw._changed)
        return self

    async def boot(self) -> None:
        """Power for the HNB, which has its lease already."""
        self.hnb._scan()
        self.hnb.cpe.booted()
        lease = dhcp.Lease(
            address="192.168.1.10",
            prefix_length=24,
            server="192.168.1.1",
            routers=("192.168.1.1",),
            dns_servers=("203.0.113.53",),
            lease_s=3600,
            domain_name=None,
            renewal_s=1800,
            rebinding_s=3150,
            obtained_at=0.0,
            ack=None,  # type: ignore[arg-type]  # nobody reads it here
        )
        self.hnb.lan.lease = lease
        self.hnb.go_on(self.hnb.first_contact(lease))

    def told(self, node: str, event: str) -> list[dict[str, Any]]:
        """The fields of each event of that name."""
        return [dict(e.fields) for e in self.network.hosts[node].told if e.name == event]

    def names(self, *wanted: str) -> list[str]:
        """Which of these events the HNB has told, in order."""
        return [e.name for e in self.network.hosts["hnb"].told if e.name in wanted]

    async def until(self, event: str, times: int = 1, within_s: float = 1000) -> dict[str, Any]:
        """Wait until the HNB has told an event so often; the fields of the last one."""
        async with asyncio.timeout(within_s):
            while len(found := self.told("hnb", event)) < times:  # noqa: ASYNC110 - no one tells us
                await asyncio.sleep(0.01)
        return found[times - 1]
