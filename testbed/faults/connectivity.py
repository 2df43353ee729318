"""Faults of step 1: LAN connectivity."""

from __future__ import annotations

import dataclasses

from testbed.faults.fault import fault
from testbed.protocols import dhcp
from testbed.protocols.http import Url
from testbed.roles.hnb import Hnb
from testbed.roles.resolve import resolve

CONNECTIVITY = ("32583-5.1.1-1", "32583-5.1.2-1")
SHOWN_IN = ("lan_connectivity/", "discovery_public/")
STALE_ADDRESS, ROUTER, DNS_SERVER = "192.168.1.77", "192.168.1.1", "203.0.113.53"


@fault(
    "connectivity.asks-before-lease",
    role="hnb",
    breaks=(*CONNECTIVITY, "32583-5.1.2-F1"),
    shown_in=SHOWN_IN,
)
def asks_before_lease(hnb: Hnb) -> None:
    """The HNB trusts an address of yesterday and asks its first name before it has a lease."""
    start = hnb.start

    async def start_at_once() -> None:
        hnb.host.set_address("eth0", STALE_ADDRESS, 24)
        hnb.host.set_default_route(ROUTER)
        factory = hnb.factory
        name = factory.segw or Url.parse(factory.hms_url or "").host
        await resolve(hnb.host, (DNS_SERVER,), name, policy=hnb.resolver_policy)
        await start()

    hnb.start = start_at_once  # type: ignore[method-assign]  # that is the fault


@fault("connectivity.asks-another-server", role="hnb", breaks=CONNECTIVITY, shown_in=SHOWN_IN)
def asks_another_server(hnb: Hnb) -> None:
    """The HNB asks a name server of its own choice and not the one of its lease."""
    first_contact = hnb.first_contact

    async def contact(lease: dhcp.Lease) -> None:
        await first_contact(dataclasses.replace(lease, dns_servers=(DNS_SERVER_OF_ITS_OWN,)))

    hnb.first_contact = contact  # type: ignore[method-assign]  # that is the fault


DNS_SERVER_OF_ITS_OWN = "203.0.113.100"
"""The gateway's own outside address: nobody answers names there."""
