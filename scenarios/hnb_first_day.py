"""A factory-fresh HNB's first day, through all three documents: TS 32.583, TR-111 Part 1 and 2."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from scenarios.association_steps import (
    associated,
    gateway_ready,
    leased,
    names_a_device,
    names_a_gateway,
)
from scenarios.discovery_intranet import connected, resolved_inside, tunnelled
from scenarios.discovery_public import informed, provisioned, secured
from scenarios.stun_steps import ACTIVE, ADDRESS, PASSWORD, TYPES, USERNAME, says
from scenarios.stun_steps import server as management_server
from scenarios.udp_request_steps import CONNECTION_REQUEST, CPE_NAME, KEY, asks_for
from testbed.errors import PeerError, StepMissed, Unsupported
from testbed.protocols import dhcp, http, ike, stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.structs import AttributeChange
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.protocols.wire import Endpoint
from testbed.scenario import ALL_CHECKS, Player, Stage, scenario
from testbed.topology import Nat, Ports
from topologies.first_day import STUN, first_day

STEP_S = 15
PRESENTED = "GatewayInfo.SerialNumber"
NEW_PORTS = Nat(name="port-restricted, random ports", ports=Ports.RANDOM)
"""A binding that has died comes back with another port."""


def sets(at: Stage, **values: object) -> asyncio.Future[rpc.Rpc]:
    """HMS (serving) sets parameters of ManagementServer in the HNB's next session with it."""
    path = management_server(at.hnb)
    parameters = tuple(
        rpc.ParameterValue(f"{path}{name}", str(value), TYPES.get(name, "string"))
        for name, value in values.items()
    )
    answer: asyncio.Future[rpc.Rpc] = at.serving_hms.call(
        at.hnb.label.serial_number, rpc.SetParameterValues(parameters)
    )
    return answer


def provides(at: Stage, period_s: int) -> None:
    """What HMS (serving) has for the HNB: STUN with keep-alives, and who may ask for sessions."""
    at.stun_server.provision(USERNAME, PASSWORD)
    path = management_server(at.hnb)
    active = [AttributeChange(f"{path}{each}", True, ACTIVE) for each in (ADDRESS, "NATDetected")]
    at.serving_hms.call(at.hnb.label.serial_number, rpc.SetParameterAttributes(tuple(active)))
    sets(
        at,
        STUNEnable=1,
        STUNServerAddress=STUN,
        STUNUsername=USERNAME,
        STUNPassword=PASSWORD,
        STUNMinimumKeepAlivePeriod=period_s,
        STUNMaximumKeepAlivePeriod=period_s,
        ConnectionRequestUsername=CPE_NAME,
        ConnectionRequestPassword=KEY,
    )


def nat_of(at: Stage) -> Nat:
    """What the gateway does to packets."""
    return at.topology.nodes["gateway"].nat or Nat.NONE


def lifetime_s(at: Stage) -> float:
    """How long the gateway keeps a binding that nobody uses."""
    return nat_of(at).lifetime_s


def period_s(at: Stage) -> int:
    """A third of that: two keep-alives may be lost."""
    return max(1, math.floor(lifetime_s(at) / 3))


async def introduced(at: Stage, hnb: Player, gateway: Player) -> None:
    """HNB and gateway have told each other who they are, by whichever kind of DHCP exchange."""
    if hnb.node.address is None:
        await leased(at, hnb, gateway)
        return
    await at.sees(hnb, "->", gateway, dhcp.Inform, vendor_identity=names_a_device)
    await at.sees(hnb, "<-", gateway, dhcp.Ack, vendor_identity=names_a_gateway)


async def on_the_internet(at: Stage) -> None:
    """Power, DHCP with option 125, and the discovery of 5.1.2, until the HNB is registered."""
    hnb, serving = at.hnb, at.serving_hms
    await gateway_ready(at, at.gateway, serving)
    hnb.power_on()
    await introduced(at, hnb, at.gateway)
    await secured(at, hnb, at.initial_hms)  # 1 to 3
    await informed(at, hnb, at.initial_hms)  # 4, 5
    await provisioned(at, hnb, at.initial_hms, at.serving_segw.node.names[0])  # 6 to 8
    await at.tells(hnb, "REGISTRATION_START")  # 9


async def through_tunnels(at: Stage) -> None:
    """The same by 5.1.1: a tunnel to the SeGW (initial), and one to the serving SeGW."""
    hnb, segw = at.hnb, at.segw
    await gateway_ready(at, at.gateway, at.home_acs)
    at.home_acs.associations.couple(at.serving_hms.associations)
    hnb.power_on()
    await introduced(at, hnb, at.gateway)
    await connected(at, hnb, segw)  # 1 to 2.3
    await resolved_inside(at, hnb, at.inner_dns, at.initial_hms)  # 2.4, 2.5
    await informed(at, hnb, at.initial_hms)  # 4, 5
    await provisioned(at, hnb, at.initial_hms, at.serving_segw.node.names[0])  # 6 to 8
    await at.sees(hnb, "->", segw, ike.Informational)  # 9
    await at.tells(hnb, "REGISTRATION_START")  # 10
    await tunnelled(at, hnb, at.serving_segw)  # 10


async def registered(at: Stage, manager: Player) -> None:
    """The HNB meets HMS (serving), which validates who its gateway is and switches STUN on.

    Args:
        at: the stage.
        manager: the gateway's ACS.
    """
    hnb, serving = at.hnb, at.serving_hms
    await at.sees(hnb, "->", serving, rpc.Inform, parameters=says(PRESENTED))
    start = at.cursor
    await at.sees(hnb, "<-", serving, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    await at.sees(hnb, "->", serving, rpc.SetParameterValuesResponse)
    await at.tells(hnb, "SERVED")
    at.cursor = start
    await at.sees(manager, "->", at.gateway, http.Request, method="GET")  # asked for a session
    await at.sees(manager, "->", at.gateway, rpc.GetParameterValues)  # its table
    await associated(at, hnb, at.gateway, serving)
    at.cursor = start


async def bound(at: Stage) -> Endpoint:
    """The HNB's binding is proven to the STUN server; what it is."""
    hnb, server = at.hnb, at.stun_server
    await at.sees(hnb, "->", server, stun.BindingRequest, is_marked=True)
    await at.tells(server, "BINDING_STORED", username=USERNAME)
    binding: Endpoint = server.bindings[USERNAME]
    return binding


async def told(at: Stage, binding: Endpoint) -> None:
    """The HNB tells HMS (serving) by which address it can be asked for sessions."""
    hnb, serving = at.hnb, at.serving_hms
    address = says(ADDRESS, str(binding))
    await at.sees(hnb, "->", serving, rpc.Inform, parameters=address)
    await at.sees(hnb, "<-", serving, http.Response, status=204)


async def idle(at: Stage) -> Endpoint:
    """Nothing but keep-alives, for longer than a binding lives without them.

    Gives how the HNB was seen at last.
    """
    for _ in range(math.ceil(lifetime_s(at) / period_s(at)) + 1):
        await keeps_alive(at, period_s(at))
        answer = await at.sees(at.hnb, "<-", at.stun_server, stun.BindingResponse)
    seen: Endpoint = answer.message.mapped_address
    return seen


async def keeps_alive(at: Stage, after_s: float, **fields: Any) -> None:
    """The next request from the primary port, which is due after so long."""
    hnb, server = at.hnb, at.stun_server
    within_s = after_s + STEP_S
    await at.sees(hnb, "->", server, stun.BindingRequest, within_s, is_marked=True, **fields)


async def asked_by_udp(at: Stage, binding: Endpoint) -> None:
    """The ACS asks by UDP, from the STUN server's socket: a session comes of it."""
    hnb, server, serving = at.hnb, at.stun_server, at.serving_hms
    to, request = serving.udp_requests.request(str(binding), CPE_NAME, KEY)
    server.send_connection_request(to, request.encode())
    await at.sees(server, "->", hnb, UdpConnectionRequest)
    await at.tells(hnb, "UDP_REQUEST_TAKEN")
    await has_session(at)


async def has_session(at: Stage) -> None:
    """The HNB opens the session that it was asked for, and it is served to its end."""
    hnb, serving = at.hnb, at.serving_hms
    await at.sees(hnb, "->", serving, rpc.Inform, events=asks_for(CONNECTION_REQUEST))
    await at.sees(hnb, "<-", serving, rpc.InformResponse)
    await at.sees(hnb, "<-", serving, http.Response, status=204)


@scenario(first_day, step_s=STEP_S, judged_as=ALL_CHECKS)
async def hnb_first_day(at: Stage) -> None:
    """From the factory to a session that the HMS asks for by UDP, after the NAT's lifetime."""
    provides(at, period_s(at))
    await on_the_internet(at)
    await registered(at, at.serving_hms)
    if not nat_of(at).translates:
        await asked_by_tcp(at, at.hnb.host.address_of("eth0") or "")
        return
    binding = await bound(at)
    await told(at, binding)
    await idle(at)
    await asked_by_udp(at, binding)


@hnb_first_day.variant("binding_lost", nat=NEW_PORTS)
async def binding_lost(at: Stage) -> None:
    """Keep-alives are too rare: the binding dies, and is found again elsewhere; the ACS wants them
    more often from then on, and uses it."""
    server, nat = at.stun_server, nat_of(at)
    if not nat.translates or nat.ports not in (Ports.RANDOM, Ports.CONTIGUOUS):
        raise Unsupported(f"NAT {nat} gives the same port again: no other binding is ever found")
    provides(at, math.ceil(2 * lifetime_s(at)))
    await on_the_internet(at)
    await registered(at, at.serving_hms)
    old = await bound(at)
    await told(at, old)
    often = period_s(at)  # from the session on that tells of the change
    sets(at, STUNMinimumKeepAlivePeriod=often, STUNMaximumKeepAlivePeriod=often)
    await keeps_alive(at, 2 * lifetime_s(at), is_change=True)
    await is_lost(at, old)
    await at.tells(server, "BINDING_STORED", username=USERNAME)
    await told(at, server.bindings[USERNAME])
    await keeps_alive(at, often)
    await at.sees(at.hnb, "<-", server, stun.BindingResponse)
    await asked_by_udp(at, server.bindings[USERNAME])  # another one, where that took too long


async def is_lost(at: Stage, binding: Endpoint) -> None:
    """A request to a binding that has died gets as far as the gateway."""
    hnb, server = at.hnb, at.stun_server
    to, request = at.serving_hms.udp_requests.request(str(binding), CPE_NAME, KEY)
    octets = request.encode()
    server.host.tell("STAGED", replays=True)  # an address that is no binding any more
    at.never(server, "->", hnb, UdpConnectionRequest, octets=lambda sent: sent == octets)
    start = at.cursor
    server.send_connection_request(to, octets)
    await at.sees(server, "->", at.gateway, UdpConnectionRequest)
    at.cursor = start


@hnb_first_day.variant("intranet", mode="intranet")
async def intranet(at: Stage) -> None:
    """HMS behind IPsec: STUN sees no NAT there, and connection requests go through the tunnel."""
    hnb = at.hnb
    provides(at, period_s(at))
    await through_tunnels(at)
    await registered(at, at.home_acs)
    await asked_by_tcp(at, hnb.secure.tunnel.address)


async def asked_by_tcp(at: Stage, own: str) -> None:
    """STUN sees the HNB under its own address, and the ACS asks for a session by TCP."""
    hnb, server, serving = at.hnb, at.stun_server, at.serving_hms
    seen = await idle(at)
    if seen.address != own:
        raise StepMissed(f"STUN sees {seen}, and the HNB's address is {own}")
    at.never(server, "->", hnb, UdpConnectionRequest)
    names = tuple(f"{management_server(hnb)}{name}" for name in ("NATDetected", ADDRESS))
    reading = serving.call(hnb.label.serial_number, rpc.GetParameterValues(names))
    try:
        status = await serving.request_connection(hnb.label.serial_number, CPE_NAME, KEY)
    except (OSError, PeerError) as error:
        raise StepMissed(f"the HNB cannot be asked by TCP: {error}") from error
    if status != 200:
        raise StepMissed(f"the HNB answers {status} to a connection request by TCP")
    await at.sees(serving, "->", hnb, http.Request, method="GET")
    await at.sees(hnb, "->", serving, rpc.Inform, events=asks_for(CONNECTION_REQUEST))
    untranslated = says("NATDetected", "0")
    await at.sees(*(hnb, "->", serving, rpc.GetParameterValuesResponse), parameters=untranslated)
    await at.answered(reading)
