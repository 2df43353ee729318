"""Client-initiated bootstrap with automatic server discovery (OMA DM 1.3, 5.4.7.1)."""

from __future__ import annotations

from testbed.protocols import dns, tls
from testbed.protocols.dm import syncml
from testbed.protocols.dm.account import TREE_WBXML
from testbed.protocols.dm.proofs import HMAC_HEADER
from testbed.protocols.http import Request, Response
from testbed.scenario import Player, Stage, scenario
from topologies.bootstrap import (
    BOOTSTRAP_HOST,
    BOOTSTRAP_PORT,
    DM_HOST,
    DM_URL,
    DOMAIN,
    OLD_DOMAIN,
    SECOND_HOST,
    SECOND_PORT,
    bootstrap_by_dns,
)

STEP_S = 10


def names(command: str) -> object:
    """What fits the commands of a DM message that hold this one."""

    def holds(commands: tuple[syncml.Command, ...]) -> bool:
        return any(each.name == command for each in commands)

    holds.__doc__ = command
    return holds


def has_status(data: str) -> object:
    """What fits the commands of a DM message that answers the header so."""

    def holds(commands: tuple[syncml.Command, ...]) -> bool:
        headers = (each for each in commands if each.command_reference == "0")
        return any(each.name == "Status" and each.data == data for each in headers)

    holds.__doc__ = f"Status {data} of the header"
    return holds


async def found(at: Stage, service: str = "_dm-bootstrap", domain: str = DOMAIN) -> None:
    """Steps 3 and 4: the service at the DNS server, and the address of its host."""
    name = f"{service}._tcp.{domain}"
    await at.sees(at.device, "->", at.outer_dns, dns.Query, name=name, kind="SRV")  # 3
    await at.sees(at.device, "<-", at.outer_dns, dns.Answer, name=name, kind="SRV")  # 4
    await at.sees(at.device, "->", at.outer_dns, dns.Query, name=BOOTSTRAP_HOST, kind="A")  # 4


async def fetched(at: Stage, server: Player, host: str = BOOTSTRAP_HOST) -> None:
    """Steps 5 to 7: HTTPS to the server that was named, and the package."""
    device = at.device
    await at.sees(device, "->", server, tls.ClientHello, server_name=host)  # 5
    await at.sees(device, "->", server, Request, method="GET")  # 6
    await at.sees(device, "<-", server, Response, status=200)  # 7


async def managed(at: Stage) -> None:
    """Steps 8 and 9: installed after it was verified; then the session with the DM server."""
    device, server = at.device, at.dm_server
    await at.tells(device, "PACKAGE_VERIFIED")  # 8
    await at.tells(device, "INSTALLED", url=DM_URL)  # 8
    await at.sees(device, "->", server, tls.ClientHello, server_name=DM_HOST)  # 9
    await at.sees(device, "->", server, syncml.Message, commands=names("Alert"))  # 9
    await at.sees(device, "<-", server, syncml.Message, commands=names("Get"))  # 9
    await at.sees(device, "->", server, syncml.Message, commands=names("Results"))  # 9
    await at.sees(device, "<-", server, syncml.Message)  # 9
    await at.tells(device, "DM_SESSION_COMPLETE")  # 9


@scenario(bootstrap_by_dns, step_s=STEP_S)
async def dm_bootstrap_srv(at: Stage) -> None:
    """The device finds the bootstrap server by DNS SRV, gets its package, and is managed."""
    at.device.power_on()
    await at.tells(at.device, "CONNECTED")
    await found(at)
    await fetched(at, at.bootstrap_server)
    await managed(at)


@dm_bootstrap_srv.variant("alias", service="dmbs")
async def alias(at: Stage) -> None:
    """The document's example: the service is called dmbs."""
    at.device.power_on()
    await found(at, "_dmbs")
    await fetched(at, at.bootstrap_server)
    await managed(at)


@dm_bootstrap_srv.variant("falls_back", domain=OLD_DOMAIN, falls_back=True)
async def falls_back(at: Stage) -> None:
    """The normative name does not exist, that of the document's example does (AMB-OMA-01)."""
    at.device.power_on()
    normative = f"_dm-bootstrap._tcp.{OLD_DOMAIN}"
    await at.sees(at.device, "->", at.outer_dns, dns.Query, name=normative, kind="SRV")  # 3
    await at.sees(at.device, "<-", at.outer_dns, dns.Answer, name=normative, code="NXDOMAIN")  # 4
    await found(at, "_dmbs", OLD_DOMAIN)
    await fetched(at, at.bootstrap_server)
    await managed(at)


@dm_bootstrap_srv.variant("letter_case", service="DM-Bootstrap")
async def letter_case(at: Stage) -> None:
    """The service's name in letters of another case gets the same servers."""

    def is_mixed(octets: bytes) -> bool:
        return b"\x0d_DM-Bootstrap" in octets

    is_mixed.__doc__ = "_DM-Bootstrap as it is written here"

    def are_both(services: tuple[dns.Service, ...]) -> bool:
        named = [(each.priority, each.target.rstrip("."), each.port) for each in services]
        return sorted(named) == [
            (10, BOOTSTRAP_HOST, BOOTSTRAP_PORT),
            (20, SECOND_HOST, SECOND_PORT),
        ]

    are_both.__doc__ = "both servers"
    at.device.power_on()
    await at.sees(at.device, "->", at.outer_dns, dns.Query, kind="SRV", octets=is_mixed)  # 3
    await at.sees(at.device, "<-", at.outer_dns, dns.Answer, kind="SRV", services=are_both)  # 4
    await fetched(at, at.bootstrap_server)
    await managed(at)


@dm_bootstrap_srv.variant(
    "static_url", url=f"https://{BOOTSTRAP_HOST}:{BOOTSTRAP_PORT}/OMA/DM/Bootstrap.xml"
)
async def static_url(at: Stage) -> None:
    """The device was told the URL by other means: nothing is asked of DNS SRV."""
    at.device.power_on()
    at.never(at.device, "->", at.outer_dns, dns.Query, kind="SRV")
    await fetched(at, at.bootstrap_server)
    await managed(at)


@dm_bootstrap_srv.variant("provider_wins", dhcp_domain="isp.example")
async def provider_wins(at: Stage) -> None:
    """DHCP option 15 names another domain; the provider's name counts."""
    at.device.power_on()
    await found(at)
    await fetched(at, at.bootstrap_server)
    await managed(at)


@dm_bootstrap_srv.variant("next_server")
async def next_server(at: Stage) -> None:
    """The server of the lowest priority number is dead: the next one is asked after it."""
    at.bootstrap_server.power_off()
    at.never(at.device, "->", at.bootstrap_server, tls.ClientHello)
    at.device.set_bootstrap(connect_within_s=2.0)  # the next one is to be reached, too
    at.device.power_on()
    await found(at)
    name = SECOND_HOST
    await at.sees(at.device, "->", at.outer_dns, dns.Query, name=name, kind="A")  # 4
    await fetched(at, at.second_bootstrap_server, SECOND_HOST)
    await managed(at)


@dm_bootstrap_srv.variant("hmac", proof="HMAC", messages="xml")
async def hmac(at: Stage) -> None:
    """Both sides prove themselves by HMAC, beside each message, in messages of XML."""

    def prove(headers: tuple[tuple[str, str], ...]) -> bool:
        return any(name.lower() == HMAC_HEADER for name, _ in headers)

    prove.__doc__ = HMAC_HEADER
    device, server = at.device, at.dm_server
    device.power_on()
    await fetched(at, at.bootstrap_server)
    await at.sees(device, "->", server, Request, method="POST", headers=prove)  # 9
    await at.sees(device, "->", server, syncml.Message, media_type=syncml.DM_XML, credential=None)
    await at.sees(device, "<-", server, Response, status=200, headers=prove)  # 9
    await at.tells(device, "DM_SESSION_COMPLETE")  # 9


@dm_bootstrap_srv.variant("stale_nonce")
async def stale_nonce(at: Stage) -> None:
    """The server has lost the nonces that were kept: the next session is challenged, once."""
    device, server = at.device, at.dm_server
    device.power_on()
    await fetched(at, at.bootstrap_server)
    await managed(at)
    device.power_off()
    server.lose_nonces()
    device.power_on()
    alerts = names("Alert")
    await at.sees(device, "->", server, syncml.Message, number="1", commands=alerts)  # 9
    await at.sees(device, "<-", server, syncml.Message, commands=has_status("401"))  # 9
    await at.sees(device, "->", server, syncml.Message, number="2", commands=alerts)  # 9
    await at.sees(device, "<-", server, syncml.Message, commands=has_status("212"))  # 9
    await at.tells(device, "DM_SESSION_COMPLETE")  # 9


@dm_bootstrap_srv.variant("dm_tree", package="application/vnd.syncml.dmtnds+wbxml")
async def dm_tree(at: Stage) -> None:
    """The package is a DM tree (TNDS)."""

    def is_tree(headers: tuple[tuple[str, str], ...]) -> bool:
        return any(value.startswith(TREE_WBXML) for _, value in headers)

    is_tree.__doc__ = TREE_WBXML
    at.device.power_on()
    await at.sees(at.device, "->", at.bootstrap_server, Request, method="GET")  # 6
    await at.sees(at.device, "<-", at.bootstrap_server, Response, status=200, headers=is_tree)  # 7
    await managed(at)


@dm_bootstrap_srv.variant("no_https", https=False)
async def no_https(at: Stage) -> None:
    """A device without HTTPS never opens a connection to the bootstrap server."""
    at.never(at.device, "->", at.outer_dns, dns.Query, kind="SRV")
    at.never(at.device, "->", at.bootstrap_server, tls.ClientHello)
    at.never(at.device, "->", at.bootstrap_server, Request)
    at.device.power_on()
    await at.tells(at.device, "CONNECTED")  # 2
    await at.tells(at.device, "FAILED", step="2")
