"""Bootstraps that fail, and fail cleanly: nothing later than the failing step appears on the wire
(OMA DM bootstrap 1.3, 5.4.7 and 5.4.7.1; AMB-OMA-05 to AMB-OMA-07)."""

from __future__ import annotations

from collections.abc import Callable

from scenarios.dm_bootstrap_srv import STEP_S
from testbed.protocols import dns, tls
from testbed.protocols.http import Request, Response
from testbed.scenario import Player, Stage, scenario
from testbed.topology import Certificate
from topologies.bootstrap import DOMAIN, bootstrap_by_dns

Change = Callable[[Response], Response]


def stage_response(server: Player, what: str, change: Change) -> None:
    """Have the bootstrap server break its duty, to see what the device does; judged is the
    device."""
    server.staged(what, change)


def nothing_follows(at: Stage) -> None:
    """From here on the device must not turn to the DM server."""
    at.never(at.device, "->", at.dm_server, tls.ClientHello)


async def refused(at: Stage, status: int) -> None:
    """The server's answer, and the device's failure."""
    nothing_follows(at)
    at.device.power_on()
    await at.sees(at.device, "->", at.bootstrap_server, Request, method="GET")  # 6
    await at.sees(at.device, "<-", at.bootstrap_server, Response, status=status)  # 7
    await at.tells(at.device, "FAILED", step="7")


@scenario(bootstrap_by_dns, step_s=STEP_S, known=False)
async def dm_bootstrap_failure(at: Stage) -> None:
    """The server has no package for the device: 404, and the device gives up."""
    await refused(at, 404)


@dm_bootstrap_failure.variant("not_understood", hardware_address="not-a-MAC")
async def not_understood(at: Stage) -> None:
    """The device names itself by what is no MAC address: 400."""
    await refused(at, 400)


@dm_bootstrap_failure.variant("unsupported_version", version="9.9")
async def unsupported_version(at: Stage) -> None:
    """The device speaks a revision of DM that the server does not: 400."""
    await refused(at, 400)


@dm_bootstrap_failure.variant("server_error")
async def server_error(at: Stage) -> None:
    """500 is none of the three answers: failure, no further try."""
    stage_response(at.bootstrap_server, "status", lambda response: Response(status=500))
    await refused(at, 500)


@dm_bootstrap_failure.variant("redirect")
async def redirect(at: Stage) -> None:
    """A redirect is not followed (AMB-OMA-05)."""
    there = (("Location", "https://dm.mobilecarrier.example:8443/dm"),)
    stage_response(at.bootstrap_server, "status", lambda response: Response(there, status=302))
    await refused(at, 302)


@dm_bootstrap_failure.variant("bad_certificate", certificate=Certificate.WRONG_ROOT)
async def bad_certificate(at: Stage) -> None:
    """The server's certificate is of a root that nobody trusts: no request is sent."""
    nothing_follows(at)
    at.never(at.device, "->", at.bootstrap_server, Request)
    at.device.power_on()
    await at.sees(at.device, "->", at.bootstrap_server, tls.ClientHello)  # 5
    await at.tells(at.device, "FAILED", step="5")


async def not_installed(at: Stage) -> None:
    """A package has come, and the device does not install it."""
    nothing_follows(at)
    at.device.power_on()
    await at.sees(at.device, "<-", at.bootstrap_server, Response, status=200)  # 7
    await at.tells(at.device, "PACKAGE_RECEIVED")  # 8
    await at.tells(at.device, "FAILED", step="8")


@dm_bootstrap_failure.variant("bad_mac")
async def bad_mac(at: Stage) -> None:
    """One octet of the package was changed on its way: its MAC does not fit, it never installs."""

    def tamper(response: Response) -> Response:
        body = bytearray(response.body)
        body[len(body) // 2] ^= 1
        return Response(response.headers, bytes(body), status=200)

    stage_response(at.bootstrap_server, "package", tamper)
    await not_installed(at)


@dm_bootstrap_failure.variant("no_mac")
async def no_mac(at: Stage) -> None:
    """The package comes without a MAC."""

    def strip(response: Response) -> Response:
        content_type = (response.header("Content-Type") or "").partition(";")[0]
        return Response((("Content-Type", content_type),), response.body, status=200)

    stage_response(at.bootstrap_server, "package", strip)
    await not_installed(at)


@dm_bootstrap_failure.variant("malformed")
async def malformed(at: Stage) -> None:
    """The MAC fits, and the package cannot be decoded."""
    at.bootstrap_server.stage_package(b"\x03\x0b\x6a\x00\xc5\x46")
    await not_installed(at)


@dm_bootstrap_failure.variant("no_such_service", domain=f"nobody.{DOMAIN}")
async def no_such_service(at: Stage) -> None:
    """NXDOMAIN: no connection is tried."""
    at.never(at.device, "->", at.bootstrap_server, tls.ClientHello)
    at.device.power_on()
    await at.sees(at.device, "<-", at.outer_dns, dns.Answer, kind="SRV", code="NXDOMAIN")  # 4
    await at.tells(at.device, "FAILED", step="3")


@dm_bootstrap_failure.variant("decidedly_not_there", domain=f"gone.{DOMAIN}")
async def decidedly_not_there(at: Stage) -> None:
    """The record's target is ".": the service is not there (RFC 2782)."""
    at.never(at.device, "->", at.bootstrap_server, tls.ClientHello)
    at.device.power_on()
    await at.sees(at.device, "<-", at.outer_dns, dns.Answer, kind="SRV", code="NOERROR")  # 4
    await at.tells(at.device, "FAILED", step="3")


@dm_bootstrap_failure.variant("all_dead")
async def all_dead(at: Stage) -> None:
    """Both servers are dead: the second one is tried after the first, and then the device gives
    up."""
    at.device.set_bootstrap(connect_within_s=0.3)
    at.bootstrap_server.power_off()
    at.second_bootstrap_server.power_off()
    at.device.power_on()
    await at.tells(at.device, "FAILED", step="5")


@dm_bootstrap_failure.variant("dm_server_dead")
async def dm_server_dead(at: Stage) -> None:
    """The package is installed, and the DM server that it names is dead: failure is reported, the
    account stays."""
    at.dm_server.power_off()
    at.device.set_bootstrap(connect_within_s=2.0)  # its bootstrap server is to be reached
    at.device.power_on()
    await at.sees(at.device, "<-", at.bootstrap_server, Response, status=200)  # 7
    await at.tells(at.device, "INSTALLED")  # 8
    await at.tells(at.device, "FAILED", step="9")
