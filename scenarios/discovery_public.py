"""Discovery with HMS (initial) on the public Internet (TS 32.583, 5.1.2), line by line."""

from __future__ import annotations

import asyncio

from testbed.protocols import dns, tls
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOT, BOOTSTRAP
from testbed.protocols.http import Request, Response
from testbed.roles.hnb import REGISTRATION_EVENT
from testbed.scenario import Player, Stage, scenario
from testbed.topology import Certificate
from topologies.public import hms_on_internet

STEP_S = 10


def is_empty(body: bytes) -> bool:
    """an empty body"""
    return not body.strip()


def told(event: str) -> object:
    """What fits an Inform's events that hold this one."""

    def holds(events: tuple[rpc.Event, ...]) -> bool:
        return any(each.code == event for each in events)

    holds.__doc__ = event
    return holds


def sets(path: str, value: str) -> object:
    """What fits a list of parameters that sets this one to this value."""

    def holds(parameters: tuple[rpc.ParameterValue, ...]) -> bool:
        return any(each.name == path and each.value == value for each in parameters)

    holds.__doc__ = f"{path} = {value}"
    return holds


def has_address(hnb: Player) -> str:
    """What an HNB tells when it is on its LAN: it has a lease, or its fixed address is known."""
    return "CONNECTED" if hnb.node.address is None else "INFORMED"


async def secured(at: Stage, hnb: Player, hms: Player) -> None:
    """Steps 1 to 3: connectivity, the name at the outer DNS, TLS."""
    name = hms.node.names[0]
    await at.tells(hnb, has_address(hnb))  # 1
    await at.sees(hnb, "->", at.outer_dns, dns.Query, name=name)  # 2
    await at.sees(hnb, "<-", at.outer_dns, dns.Answer, address=hms.node.address)  # 2
    await at.sees(hnb, "->", hms, tls.ClientHello, server_name=name)  # 3
    await at.sees(hnb, "<-", hms, tls.ServerHello)  # 3


async def informed(at: Stage, hnb: Player, hms: Player) -> None:
    """Steps 4 and 5: who and where the HNB is, and that this is welcome."""
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(BOOTSTRAP))  # 4
    await at.sees(hnb, "<-", hms, rpc.InformResponse)  # 5


async def provisioned(at: Stage, hnb: Player, hms: Player, segw: str) -> None:
    """Steps 6 to 8: the serving set, and the release of the session."""
    await at.sees(hnb, "->", hms, Request, body=is_empty)  # 6, the empty POST before it
    await at.sees(
        *(hnb, "<-", hms, rpc.SetParameterValues), parameters=sets(hnb.paths.segw, segw)
    )  # 6
    await at.sees(hnb, "->", hms, rpc.SetParameterValuesResponse, status=0)  # 7
    await at.sees(hnb, "<-", hms, Response, status=204)  # 8


async def discovered(at: Stage, hnb: Player, hms: Player, segw: str) -> None:
    """Steps 1 to 9."""
    await secured(at, hnb, hms)
    await informed(at, hnb, hms)
    await provisioned(at, hnb, hms, segw)
    await at.tells(hnb, "REGISTRATION_START", segw=segw)  # 9


@scenario(hms_on_internet, step_s=STEP_S)
async def discovery_public(at: Stage) -> None:
    """The HNB finds its HMS by the outer DNS, tells where it is, and is given who serves it."""
    hnb = at.hnb
    reading = reads_back(at.serving_hms, hnb)
    hnb.power_on()
    await discovered(at, hnb, at.initial_hms, at.serving_segw.node.names[0])
    await at.sees(hnb, "->", at.serving_hms, rpc.Inform, events=told(BOOTSTRAP))  # 9
    await at.sees(hnb, "->", at.serving_hms, rpc.GetParameterValuesResponse)  # what 6 has set
    await at.tells(hnb, "SERVED")
    await at.answered(reading)


def reads_back(hms: Player, hnb: Player) -> asyncio.Future[rpc.Rpc]:
    """The HMS reads back what the HNB was told, in its next session."""
    paths = hnb.paths
    names = (paths.segw, paths.hms_url, paths.hnb_gw)
    answer: asyncio.Future[rpc.Rpc] = hms.call(
        hnb.label.serial_number, rpc.GetParameterValues(names)
    )
    return answer


@discovery_public.variant("managed_gateway", managed_gateway=True)
async def managed_gateway(at: Stage) -> None:
    """The HNB's gateway is a CPE too: it is told from the HNB behind its address."""
    hnb, gateway, serving = at.hnb, at.gateway, at.serving_hms
    await at.sees(gateway, "->", serving, rpc.Inform, events=told(BOOTSTRAP))
    await at.sees(gateway, "<-", serving, rpc.InformResponse)
    hnb.power_on()
    await discovered(at, hnb, at.initial_hms, at.serving_segw.node.names[0])
    await at.sees(hnb, "->", serving, rpc.Inform)  # 9
    await at.tells(hnb, "SERVED")


@discovery_public.variant("two_locations", homes=2)
async def two_locations(at: Stage) -> None:
    """Two HNBs in two places are given two serving sets, by one HMS in one run."""
    for hnb, segw, serving in (
        (at.hnb, at.serving_segw, at.serving_hms),
        (at.hnb2, at.north_segw, at.north_hms),
    ):
        hnb.power_on()
        await discovered(at, hnb, at.initial_hms, segw.node.names[0])
        await at.sees(hnb, "->", serving, rpc.Inform)  # 9
        await at.tells(hnb, "SERVED", hms_url=serving.url)


@discovery_public.variant("at_once", homes=4)
async def at_once(at: Stage) -> None:
    """Four HNBs get power at the same moment, and each is served."""
    hnbs = at.all("hnb")
    for hnb in hnbs:
        hnb.power_on()
    start = at.cursor
    for hnb in hnbs:
        at.cursor = start
        await at.tells(hnb, "SERVED")


@discovery_public.variant("no_match", place="sea")
async def no_match(at: Stage) -> None:
    """Nobody serves the place: the HMS refuses the Inform by fault 8001, and nothing follows."""
    hnb, hms = at.hnb, at.initial_hms
    hnb.power_on()
    await secured(at, hnb, hms)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    at.never(hnb, "<-", hms, rpc.SetParameterValues)
    at.never(hnb, "->", at.serving_hms, tls.ClientHello)
    await at.sees(hnb, "<-", hms, rpc.Fault, code=8001)  # 5
    await at.tells(hnb, "FAILED", step="5")


@discovery_public.variant("hnbgw_by_serving", hnb_gw=False)
async def hnbgw_by_serving(at: Stage) -> None:
    """HMS (initial) names no HNB-GW: HMS (serving) does, in the registration's first contact."""
    hnb = at.hnb
    hnb.power_on()
    await discovered(at, hnb, at.initial_hms, at.serving_segw.node.names[0])
    await at.sees(hnb, "->", at.serving_hms, rpc.Inform)  # 9
    given = sets(hnb.paths.hnb_gw, "hnbgw.south.operator.example")
    await at.sees(hnb, "<-", at.serving_hms, rpc.SetParameterValues, parameters=given)  # 9, note
    await at.sees(hnb, "->", at.serving_hms, rpc.SetParameterValuesResponse, status=0)
    await at.tells(hnb, "SERVED", hnb_gw="hnbgw.south.operator.example")


@discovery_public.variant("shared_hms", shared_hms=True)
async def shared_hms(at: Stage) -> None:
    """HMS (initial) serves too: the session is released all the same, a new one registers."""
    hnb, hms = at.hnb, at.initial_hms
    hnb.power_on()
    await discovered(at, hnb, hms, at.serving_segw.node.names[0])
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(REGISTRATION_EVENT))  # 9
    await at.tells(hnb, "SERVED", hms_url=hms.url)


@discovery_public.variant("reboot_keeps")
async def reboot_keeps(at: Stage) -> None:
    """Power is cut after discovery: the HNB goes straight to its serving HMS."""
    hnb = at.hnb
    hnb.power_on()
    await at.tells(hnb, "SERVED")
    hnb.power_off()
    at.never(hnb, "->", at.initial_hms, tls.ClientHello)
    at.never(hnb, "->", at.outer_dns, dns.Query, name=at.initial_hms.node.names[0])
    hnb.power_on()
    await at.tells(hnb, "REGISTRATION_START")
    await at.sees(hnb, "->", at.serving_hms, rpc.Inform, events=told(BOOT))
    await at.tells(hnb, "SERVED")


@discovery_public.variant("reboot_by_acs")
async def reboot_by_acs(at: Stage) -> None:
    """The serving HMS has the HNB reboot: it comes back and says so."""
    hnb, serving = at.hnb, at.serving_hms
    answer = serving.call(hnb.label.serial_number, rpc.Reboot("night"))
    hnb.power_on()
    await at.sees(hnb, "->", serving, rpc.RebootResponse)
    at.never(hnb, "->", at.initial_hms, tls.ClientHello)
    await at.tells(hnb, "REBOOT")
    await at.sees(hnb, "->", serving, rpc.Inform, events=told("M Reboot"))
    await at.tells(hnb, "SERVED")
    await at.answered(answer)


@discovery_public.variant("factory_reset")
async def factory_reset(at: Stage) -> None:
    """The serving HMS resets the HNB: it discovers again, from the beginning."""
    hnb, serving = at.hnb, at.serving_hms
    answer = serving.call(hnb.label.serial_number, rpc.FactoryReset())
    hnb.power_on()
    await at.sees(hnb, "->", serving, rpc.FactoryResetResponse)
    await at.tells(hnb, "FACTORY_RESET")
    await discovered(at, hnb, at.initial_hms, at.serving_segw.node.names[0])
    await at.tells(hnb, "SERVED")
    await at.answered(answer)


@discovery_public.variant("wrong_root", certificate=Certificate.WRONG_ROOT)
async def wrong_root(at: Stage) -> None:
    """The HMS's certificate is by a root that the operator does not know: no request is sent."""
    hnb, hms = at.hnb, at.initial_hms
    at.never(hnb, "->", hms, Request)
    hnb.power_on()
    await at.sees(hnb, "->", hms, tls.ClientHello)  # 3
    await at.tells(hnb, "FAILED", step="3")
