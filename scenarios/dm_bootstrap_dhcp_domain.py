"""The domain of the bootstrap service comes from DHCP option 15 (OMA DM bootstrap 1.3, 5.4.7.1)."""

from __future__ import annotations

from scenarios.dm_bootstrap_srv import STEP_S, fetched, found, managed
from testbed.protocols import dhcp, dns
from testbed.scenario import Stage, scenario
from topologies.bootstrap import DOMAIN, bootstrap_by_dns


@scenario(bootstrap_by_dns, step_s=STEP_S, domain="", dhcp_domain=DOMAIN)
async def dm_bootstrap_dhcp_domain(at: Stage) -> None:
    """The provider has told the device no domain: DHCP does, and all goes on as before."""
    at.device.power_on()
    await at.sees(at.device, "<-", at.gateway, dhcp.Ack, domain_name=DOMAIN)  # 2
    await found(at)
    await fetched(at, at.bootstrap_server)
    await managed(at)


@dm_bootstrap_dhcp_domain.variant("ends_in_nul", domain="", dhcp_domain=f"{DOMAIN}.\0")
async def ends_in_nul(at: Stage) -> None:
    """Option 15 ends in a dot and a NUL, as some servers write it (AMB-OMA-06)."""
    at.device.power_on()
    await found(at)
    await fetched(at, at.bootstrap_server)
    await managed(at)


@dm_bootstrap_dhcp_domain.variant("no_domain", domain="", dhcp_domain="")
async def no_domain(at: Stage) -> None:
    """Neither the provider nor DHCP names a domain: no query, and failure is reported."""
    at.never(at.device, "->", at.outer_dns, dns.Query, kind="SRV")
    at.device.power_on()
    await at.tells(at.device, "FAILED", step="2")
