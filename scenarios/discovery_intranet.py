"""Discovery with HMS (initial) on the operator's intranet (TS 32.583, 5.1.1), line by line."""

from __future__ import annotations

from contextlib import suppress

from scenarios.discovery_public import (
    STEP_S,
    has_address,
    informed,
    provisioned,
    reads_back,
    sets,
    told,
)
from scenarios.discovery_public import discovered as discovered_in_public
from testbed.errors import PeerError
from testbed.protocols import dns, ike, sctp, tls
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOT, CONNECTION_REQUEST
from testbed.protocols.http import Response
from testbed.scenario import Player, Stage, scenario
from testbed.topology import Certificate
from topologies.intranet import DEAD_SEGW, hms_on_intranet
from topologies.public import SOUTH_HNB_GW

SOON = {"retry_minimum_s": 0.2, "retry_multiplier": 1000}
"""A CPE's patience, shortened."""
IMPATIENT = 0.1
"""Seconds until an IKE request is sent again, where nobody answers it."""


def deletes(message: ike.IkeMessage) -> bool:
    """Whether an opened INFORMATIONAL ends its own association."""
    return any(each.label == "D(IKE)" for each in message.inner or ())


async def connected(at: Stage, hnb: Player, segw: Player) -> None:
    """Steps 1 to 2.3: connectivity, the SeGW's name at the outer DNS, IKE."""
    name = segw.node.names[0]
    await at.tells(hnb, has_address(hnb))  # 1
    await at.sees(hnb, "->", at.outer_dns, dns.Query, name=name)  # 2.1
    await at.sees(hnb, "<-", at.outer_dns, dns.Answer, address=segw.node.address)  # 2.2
    await tunnelled(at, hnb, segw)


async def tunnelled(at: Stage, hnb: Player, segw: Player) -> None:
    """Step 2.3: IKE_SA_INIT, IKE_AUTH, and the tunnel is there."""
    await at.sees(hnb, "->", segw, ike.SaInit, port=500)  # 2.3
    await at.sees(hnb, "<-", segw, ike.SaInit, source_port=500)  # 2.3
    await at.sees(hnb, "->", segw, ike.Auth, port=4500)  # 2.3
    await at.sees(hnb, "<-", segw, ike.Auth, source_port=4500)  # 2.3
    await at.tells(hnb, "TUNNEL_UP", segw=segw.node.names[0])  # 2.3


async def resolved_inside(at: Stage, hnb: Player, server: Player, hms: Player) -> None:
    """Steps 2.4 and 2.5: the HMS's name at the inner DNS."""
    await at.sees(hnb, "->", server, dns.Query, name=hms.node.names[0])  # 2.4
    await at.sees(hnb, "<-", server, dns.Answer, address=hms.node.address)  # 2.5


async def discovered(at: Stage, hnb: Player, segw: str) -> None:
    """Steps 1 to 10, where HMS (initial) serves nobody."""
    hms = at.initial_hms
    await connected(at, hnb, at.segw)
    await resolved_inside(at, hnb, at.inner_dns, hms)
    await informed(at, hnb, hms)
    await provisioned(at, hnb, hms, segw)
    await at.sees(hnb, "->", at.segw, ike.Informational)  # 9
    await at.tells(hnb, "TUNNEL_DOWN", cause="closed")  # 9
    await at.tells(hnb, "REGISTRATION_START", segw=segw)  # 10


async def registered(
    at: Stage, hnb: Player, serving: tuple[Player, Player, Player], reads: bool = False
) -> None:
    """The first contacts of step 10: serving SeGW, serving HMS, HNB-GW.

    Args:
        at: the stage.
        hnb: who registers.
        serving: SeGW, HMS and HNB-GW.
        reads: whether the HMS reads back what step 6 has set.
    """
    segw, hms, gateway = serving
    await tunnelled(at, hnb, segw)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 10
    if reads:
        await at.sees(hnb, "->", hms, rpc.GetParameterValuesResponse)  # what 6 has set
    await at.tells(hnb, "SERVED", hms_url=hms.url)  # 10
    await at.sees(hnb, "->", gateway, sctp.Init, port=29169)  # 10
    await at.sees(hnb, "<-", gateway, sctp.InitAck)  # 10
    await at.tells(hnb, "HNB_GW_CONTACTED")  # 10


def in_the_south(at: Stage) -> tuple[Player, Player, Player]:
    """Who serves there: SeGW, HMS, HNB-GW."""
    return at.serving_segw, at.serving_hms, at.hnb_gw


def in_the_north(at: Stage) -> tuple[Player, Player, Player]:
    """Who serves there: SeGW, HMS, HNB-GW."""
    return at.north_segw, at.north_hms, at.north_hnb_gw


@scenario(hms_on_intranet, step_s=STEP_S)
async def discovery_intranet(at: Stage) -> None:
    """The HNB finds its HMS through a tunnel, tells where it is, and is given who serves it."""
    hnb = at.hnb
    reading = reads_back(at.serving_hms, hnb)
    hnb.power_on()
    await discovered(at, hnb, at.serving_segw.node.names[0])
    await registered(at, hnb, in_the_south(at), reads=True)
    await at.answered(reading)


@discovery_intranet.variant("two_locations", homes=2)
async def two_locations(at: Stage) -> None:
    """Two HNBs in two places are given two serving sets, and each turns to its own."""
    for hnb, serving in ((at.hnb, in_the_south(at)), (at.hnb2, in_the_north(at))):
        hnb.power_on()
        await discovered(at, hnb, serving[0].node.names[0])
        await registered(at, hnb, serving)


@discovery_intranet.variant("at_once", homes=4)
async def at_once(at: Stage) -> None:
    """Four HNBs get power at the same moment, and each reaches its HNB-GW."""
    hnbs = at.all("hnb")
    for hnb in hnbs:
        hnb.power_on()
    start = at.cursor
    for hnb in hnbs:
        at.cursor = start
        await at.tells(hnb, "HNB_GW_CONTACTED")


@discovery_intranet.variant("other_mode", mode="public")
async def other_mode(at: Stage) -> None:
    """The same HNB with factory data for the public Internet: no tunnel before registration."""
    hnb = at.hnb
    hnb.power_on()
    await discovered_in_public(at, hnb, at.initial_hms, at.serving_segw.node.names[0])
    await registered(at, hnb, in_the_south(at))


@discovery_intranet.variant("hnbgw_by_serving", hnb_gw=False)
async def hnbgw_by_serving(at: Stage) -> None:
    """HMS (initial) names no HNB-GW: HMS (serving) does, before the HNB turns to any."""
    hnb = at.hnb
    at.never(hnb, "->", at.segw, sctp.Init)
    hnb.power_on()
    await discovered(at, hnb, at.serving_segw.node.names[0])
    await tunnelled(at, hnb, at.serving_segw)
    await at.sees(hnb, "->", at.serving_hms, rpc.Inform)  # 10
    given = sets(hnb.paths.hnb_gw, SOUTH_HNB_GW)
    await at.sees(hnb, "<-", at.serving_hms, rpc.SetParameterValues, parameters=given)  # 6, note
    await at.sees(hnb, "->", at.serving_hms, rpc.SetParameterValuesResponse, status=0)
    await at.sees(hnb, "->", at.hnb_gw, sctp.Init)  # 10
    await at.tells(hnb, "HNB_GW_CONTACTED", hnb_gw=SOUTH_HNB_GW)


@discovery_intranet.variant("shared_hms", shared_hms=True)
async def shared_hms(at: Stage) -> None:
    """HMS (initial) serves too: the HNB goes on to step 10 in its session and its tunnel."""
    await stays(at)


async def stays(at: Stage) -> None:
    """The ladder where HMS (initial) is HMS (serving): steps 8 and 9 are skipped."""
    hnb, hms, segw = at.hnb, at.initial_hms, at.segw
    at.never(hnb, "->", segw, ike.Informational, inner=lambda inner: bool(inner))
    hnb.power_on()
    await connected(at, hnb, segw)
    await resolved_inside(at, hnb, at.inner_dns, hms)
    await informed(at, hnb, hms)
    await at.sees(hnb, "<-", hms, rpc.SetParameterValues)  # 6
    start = at.cursor
    await at.sees(hnb, "->", hms, rpc.SetParameterValuesResponse, status=0)  # 7
    at.cursor = start  # said while it is put on the wire
    await at.tells(hnb, "REGISTRATION_START", hms_url=hms.url)  # 10
    await at.sees(hnb, "<-", hms, Response, status=204)
    await at.tells(hnb, "SERVED", hms_url=hms.url)  # 10
    await at.sees(hnb, "->", at.hnb_gw, sctp.Init)  # 10
    await at.tells(hnb, "HNB_GW_CONTACTED")


@discovery_intranet.variant("tunnel_kept", leaves_tunnel=False)
async def tunnel_kept(at: Stage) -> None:
    """The HNB leaves its first tunnel up, as step 9 allows, and opens the second beside it."""
    hnb = at.hnb
    hnb.power_on()
    at.never(hnb, "->", at.segw, ike.Informational, inner=lambda inner: bool(inner))
    await connected(at, hnb, at.segw)
    await resolved_inside(at, hnb, at.inner_dns, at.initial_hms)
    await informed(at, hnb, at.initial_hms)
    await provisioned(at, hnb, at.initial_hms, at.serving_segw.node.names[0])
    await at.tells(hnb, "REGISTRATION_START")  # 10
    await registered(at, hnb, in_the_south(at))


@discovery_intranet.variant("tls", scheme="https")
async def tls_inside(at: Stage) -> None:
    """The HMS's URLs are https: TLS inside the tunnel, certificates checked as on the Internet."""
    hnb = at.hnb
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await resolved_inside(at, hnb, at.inner_dns, at.initial_hms)
    await at.sees(hnb, "->", at.initial_hms, tls.ClientHello)  # 3
    await informed(at, hnb, at.initial_hms)
    await provisioned(at, hnb, at.initial_hms, at.serving_segw.node.names[0])
    await at.sees(hnb, "->", at.serving_hms, tls.ClientHello)  # 10
    await at.tells(hnb, "HNB_GW_CONTACTED")  # 10


@discovery_intranet.variant("no_match", place="sea")
async def no_match(at: Stage) -> None:
    """Nobody serves the place: the HMS refuses the Inform by fault 8001, and nothing follows."""
    hnb, hms = at.hnb, at.initial_hms
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    at.never(hnb, "<-", hms, rpc.SetParameterValues)
    at.never(hnb, "->", at.serving_segw, ike.SaInit)
    await at.sees(hnb, "<-", hms, rpc.Fault, code=8001)  # 5
    await at.tells(hnb, "FAILED", step="5")


@discovery_intranet.variant("wrong_root", certificate=Certificate.WRONG_ROOT)
async def wrong_root(at: Stage) -> None:
    """The SeGW's certificate is by a root that the operator does not know: no tunnel."""
    await not_tunnelled(at, "chain")


async def not_tunnelled(at: Stage, cause: str) -> None:
    """Steps 1 to 2.3, which fails: no tunnel, no session, nobody else is asked."""
    hnb = at.hnb
    at.never(hnb, "->", at.inner_dns, dns.Query)
    at.never(hnb, "->", at.initial_hms, rpc.Inform)
    at.never(hnb, "->", at.serving_segw, ike.SaInit)
    hnb.power_on()
    await at.tells(hnb, "CONNECTED")  # 1
    await at.sees(hnb, "->", at.segw, ike.SaInit)  # 2.3
    await at.tells(hnb, "TUNNEL_REFUSED", cause=cause)  # 2.3
    await at.tells(hnb, "FAILED", step="2.3")


@discovery_intranet.variant("reboot_keeps")
async def reboot_keeps(at: Stage) -> None:
    """Power is cut after discovery: the HNB goes straight to its serving SeGW."""
    hnb = at.hnb
    hnb.power_on()
    await at.tells(hnb, "HNB_GW_CONTACTED")
    hnb.power_off()
    at.never(hnb, "->", at.segw, ike.SaInit)
    at.never(hnb, "->", at.outer_dns, dns.Query, name=at.segw.node.names[0])
    hnb.power_on()
    await at.tells(hnb, "REGISTRATION_START")
    await tunnelled(at, hnb, at.serving_segw)
    await at.sees(hnb, "->", at.serving_hms, rpc.Inform, events=told(BOOT))
    await at.tells(hnb, "HNB_GW_CONTACTED")


@discovery_intranet.variant("factory_reset")
async def factory_reset(at: Stage) -> None:
    """The serving HMS resets the HNB: it leaves its tunnel and discovers from the beginning."""
    hnb, serving = at.hnb, at.serving_hms
    hnb.power_on()
    await at.tells(hnb, "HNB_GW_CONTACTED")
    answer = serving.call(hnb.label.serial_number, rpc.FactoryReset())
    await asks_who_leaves(at, hnb, serving)
    await at.sees(hnb, "->", serving, rpc.FactoryResetResponse)
    await at.tells(hnb, "FACTORY_RESET")
    await discovered(at, hnb, at.serving_segw.node.names[0])
    await at.tells(hnb, "HNB_GW_CONTACTED")
    await at.answered(answer)


@discovery_intranet.variant("connection_request")
async def connection_request(at: Stage) -> None:
    """The serving HMS asks for a session at the inner address, through the tunnel."""
    hnb, hms = at.hnb, at.serving_hms
    hnb.power_on()
    await at.tells(hnb, "HNB_GW_CONTACTED")
    status = await asks_for_session(at, hnb, hms)
    assert status == 200, f"the connection request is answered {status}"
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(CONNECTION_REQUEST))


async def asks_for_session(at: Stage, hnb: Player, hms: Player) -> int:
    """An HMS's connection request; the HTTP status of the HNB's answer."""
    names = ("ConnectionRequestUsername", "ConnectionRequestPassword")
    credentials = (hnb.cpe.setting(name) for name in names)
    status: int = await hms.request_connection(hnb.label.serial_number, *credentials)
    return status


async def asks_who_leaves(at: Stage, hnb: Player, hms: Player) -> None:
    """A connection request to an HNB that leaves its tunnel in the session which follows from it:
    an answer that is lost is not repeated then."""
    with suppress(PeerError):
        status = await asks_for_session(at, hnb, hms)
        assert status == 200, f"the connection request is answered {status}"


@discovery_intranet.variant("second_segw", dead="first_segw", retransmit_s=IMPATIENT)
async def second_segw(at: Stage) -> None:
    """Nobody is at the first of two serving SeGWs: the HNB turns to the second."""
    hnb = at.hnb
    hnb.power_on()
    await at.tells(hnb, "REGISTRATION_START", segw=DEAD_SEGW)
    await at.tells(hnb, "TUNNEL_REFUSED", segw=DEAD_SEGW, cause="no answer")
    await registered(at, hnb, in_the_south(at))


@discovery_intranet.variant("second_address", dead="first_address", retransmit_s=IMPATIENT)
async def second_address(at: Stage) -> None:
    """The serving SeGW's name has two addresses, and nobody is at the first."""
    hnb = at.hnb
    hnb.power_on()
    await at.tells(hnb, "REGISTRATION_START")
    await at.tells(hnb, "TUNNEL_REFUSED", cause="no answer")
    await at.tells(hnb, "HNB_GW_CONTACTED")


@discovery_intranet.variant("second_hnb_gw", dead="first_hnb_gw")
async def second_hnb_gw(at: Stage) -> None:
    """Nobody is at the first of two HNB-GWs: the HNB turns to the second."""
    hnb = at.hnb
    hnb.set_registration(knock_tries=2)
    hnb.power_on()
    await at.tells(hnb, "SERVED")
    await at.tells(hnb, "HNB_GW_CONTACTED", hnb_gw=SOUTH_HNB_GW)


@discovery_intranet.variant("serving_dead", dead="segw", retransmit_s=IMPATIENT)
async def serving_dead(at: Stage) -> None:
    """Nobody is at the only serving SeGW: the HNB forgets it, and discovers again."""
    hnb = at.hnb
    hnb.set_registration(tries=1)
    hnb.power_on()
    await at.tells(hnb, "REGISTRATION_START", segw=DEAD_SEGW)
    await at.tells(hnb, "FAILED", step="10")
    await at.tells(hnb, "DISCOVERY_AGAIN")
    hnb.set_registration(tries=100)
    await tunnelled(at, hnb, at.segw)
    await at.sees(hnb, "->", at.initial_hms, rpc.Inform, events=told("0 BOOTSTRAP"))
    await at.tells(hnb, "REGISTRATION_START", segw=DEAD_SEGW)
