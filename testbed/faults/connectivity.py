"""Faults of step 1: LAN connectivity."""

from __future__ import annotations

import dataclasses

from testbed.faults.fault import fault
from testbed.protocols import dhcp
from testbed.roles.hnb import Hnb

CONNECTIVITY = ("32583-5.1.1-1", "32583-5.1.2-1")
STALE_ADDRESS, ROUTER, DNS_SERVER = "192.168.1.77", "192.168.1.1", "203.0.113.53"


@fault("connectivity.asks-before-lease", role="hnb", breaks=CONNECTIVITY)
def asks_before_lease(hnb: Hnb) -> None:
    """The HNB trusts an address of yesterday and asks its first name before it has a lease."""
    start = hnb.start

    async def start_at_once() -> None:
        hnb.host.set_address("eth0", STALE_ADDRESS, 24)
        hnb.host.set_default_route(ROUTER)
        await hnb.ask_first_name((DNS_SERVER,))
        await start()

    hnb.start = start_at_once  # type: ignore[method-assign]  # that is the fault


@fault("connectivity.asks-another-server", role="hnb", breaks=CONNECTIVITY)
def asks_another_server(hnb: Hnb) -> None:
    """The HNB asks a name server of its own choice and not the one of its lease."""
    first_contact = hnb.first_contact

    async def contact(lease: dhcp.Lease) -> None:
        await first_contact(dataclasses.replace(lease, dns_servers=(DNS_SERVER_OF_ITS_OWN,)))

    hnb.first_contact = contact  # type: ignore[method-assign]  # that is the fault


DNS_SERVER_OF_ITS_OWN = "203.0.113.100"
"""The gateway's own outside address: nobody answers names there."""
