"""Bootstrap from the smart card's web server, in the device (OMA DM bootstrap 1.3, 5.4.7)."""

from __future__ import annotations

from scenarios.dm_bootstrap_srv import STEP_S, managed
from testbed.protocols import dns, tls
from testbed.protocols.http import Request, Response
from testbed.scenario import Stage, scenario
from topologies.bootstrap import bootstrap_by_dns


async def from_card(at: Stage, host: str, authority: str) -> None:
    """The URL of the table, on the loopback; then as with any package."""
    device = at.device
    at.never(device, "->", at.outer_dns, dns.Query, kind="SRV")
    at.never(device, "->", at.outer_dns, dns.Query, name=host)
    device.power_on()

    def says(headers: tuple[tuple[str, str], ...]) -> bool:
        return ("Host", authority) in headers

    says.__doc__ = f"Host: {authority}"
    await at.sees(device, "->", device, tls.ClientHello)
    path = "/OMA/DM/Bootstrap.xml"
    await at.sees(device, "->", device, Request, method="GET", target=path, headers=says)
    await at.sees(device, "->", device, Response, status=200)
    await managed(at)


@scenario(bootstrap_by_dns, step_s=STEP_S, scws="BIP_IPV4")
async def dm_bootstrap_scws(at: Stage) -> None:
    """BIP over IPv4: https://127.0.0.1:4116/OMA/DM/Bootstrap.xml."""
    await from_card(at, "127.0.0.1", "127.0.0.1:4116")


@dm_bootstrap_scws.variant("bip_ipv6", scws="BIP_IPV6")
async def bip_ipv6(at: Stage) -> None:
    """BIP over IPv6: what the table means by 0.0.0.0.0.0.0.1 is [::1] (AMB-OMA-04)."""
    await from_card(at, "::1", "[::1]:4116")


@dm_bootstrap_scws.variant("localhost", scws="BIP_LOCALHOST")
async def localhost(at: Stage) -> None:
    """BIP by the name localhost, which is as good as the address."""
    await from_card(at, "localhost", "localhost:4116")


@dm_bootstrap_scws.variant("tcp_ipv4", scws="TCP_IPV4")
async def tcp_ipv4(at: Stage) -> None:
    """TCP/IP over IPv4: localuicc, which the device's own hosts table knows, port 443."""
    await from_card(at, "localuicc", "localuicc")


@dm_bootstrap_scws.variant("tcp_ipv6", scws="TCP_IPV6")
async def tcp_ipv6(at: Stage) -> None:
    """TCP/IP over IPv6."""
    await from_card(at, "localuicc", "localuicc")
