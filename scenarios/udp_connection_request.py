"""The ACS asks a CPE behind a NAT for a session, by UDP (TR-111 Part 2, figure 7)."""

from __future__ import annotations

import dataclasses

from scenarios.stun_steps import ADDRESS, PASSWORD, USERNAME, is_notified, quick, says, sets
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Response
from testbed.protocols.udp_connection_request import UdpConnectionRequest, build
from testbed.protocols.wire import Endpoint
from testbed.scenario import Player, Stage, scenario
from topologies.stun import STUN, acs_with_stun

STEP_S = 10
CONNECTION_REQUEST = "6 CONNECTION REQUEST"
KEY = "8f14e45fceea167a5a36dedd4bea2543"
"""What the ACS has set as ConnectionRequestPassword."""
CPE_NAME = "acs-to-device"


def asks_for(event: str) -> object:
    """What fits an Inform's events that hold this one."""

    def holds(events: tuple[rpc.Event, ...]) -> bool:
        return any(each.code == event for each in events)

    holds.__doc__ = event
    return holds


async def released(at: Stage) -> None:
    """The session is over."""
    await at.sees(at.device, "<-", at.initial_hms, Response, status=204)


async def reachable(at: Stage) -> Endpoint:
    """STUN is on, the ACS knows name, password and binding; gives the binding."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    quick(cpe)
    server.provision(USERNAME, PASSWORD)
    is_notified(at, cpe, ADDRESS)
    sets(
        *(at, cpe),
        STUNEnable=1,
        STUNServerAddress=STUN,
        STUNUsername=USERNAME,
        STUNPassword=PASSWORD,
        ConnectionRequestUsername=CPE_NAME,
        ConnectionRequestPassword=KEY,
    )
    cpe.power_on()
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    enabled = at.cursor
    await at.tells(server, "BINDING_STORED")
    at.cursor = enabled  # nothing joins the two
    await at.sees(cpe, "->", acs, rpc.Inform, parameters=says(ADDRESS))
    await at.sees(cpe, "<-", acs, rpc.InformResponse)
    await released(at)
    binding: Endpoint = server.bindings[USERNAME]
    return binding


def request_for(at: Stage, binding: Endpoint) -> tuple[Endpoint, UdpConnectionRequest]:
    """The ACS makes the next request for the CPE."""
    made: tuple[Endpoint, UdpConnectionRequest] = at.initial_hms.udp_requests.request(
        str(binding), CPE_NAME, KEY
    )
    return made


async def answered(at: Stage, to: Endpoint, request: UdpConnectionRequest) -> None:
    """The request goes out several times, and brings one session."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    server.send_connection_request(to, request.encode())
    await at.sees(server, "->", cpe, UdpConnectionRequest)  # 2, 3
    await at.tells(cpe, "UDP_REQUEST_TAKEN")  # 5
    await at.sees(cpe, "->", acs, rpc.Inform, events=asks_for(CONNECTION_REQUEST))  # 6


async def ignored(at: Stage, to: Endpoint, datagram: bytes) -> None:
    """The request comes to the CPE, which does nothing about it."""
    cpe, server = at.device, at.stun_server
    start = len(at.trace.records)
    server.send_connection_request(to, datagram, copies=1)
    at.cursor = start
    await at.tells(cpe, "UDP_REQUEST_IGNORED")


@scenario(acs_with_stun, step_s=STEP_S)
async def udp_connection_request(at: Stage) -> None:
    """Three copies of one request reach the CPE through its NAT: one session."""
    binding = await reachable(at)
    to, request = request_for(at, binding)
    start = len(at.trace.records)
    await answered(at, to, request)
    at.cursor = start
    await at.tells(at.device, "UDP_REQUEST_IGNORED")  # 5, a further copy
    await at.sees(at.device, "<-", at.stun_server, stun.BindingResponse)


@udp_connection_request.variant("twice")
async def twice(at: Stage) -> None:
    """A second request, of the same second, has a greater ts and another id."""
    binding = await reachable(at)
    for _ in range(2):
        to, request = request_for(at, binding)
        await answered(at, to, request)
        await released(at)


@udp_connection_request.variant("from_another_port")
async def from_another_port(at: Stage) -> None:
    """Sent from another port than the STUN server's, it does not pass the NAT."""
    binding = await reachable(at)
    to, request = request_for(at, binding)
    server: Player = at.stun_server
    at.never(server, "->", at.device, UdpConnectionRequest)
    port = await server.host.datagrams(
        Endpoint(server.node.address or "", 40000), lambda data, source: None
    )
    server.host.tell("STAGED", source_port=40000)
    port.send(request.encode(), to)
    await at.sees(server, "->", at.gateway, UdpConnectionRequest)
    await at.sees(at.device, "<-", server, stun.BindingResponse)
    port.close()


@scenario(acs_with_stun, step_s=STEP_S)
async def udp_connection_request_replay(at: Stage) -> None:
    """A captured request is sent again, and with its digits shifted (AMB-P2-18)."""
    cpe = at.device
    cpe.udp_requests.window_s = 300.0
    binding = await reachable(at)
    to, request = request_for(at, binding)
    await answered(at, to, request)
    await released(at)
    at.stun_server.host.tell("STAGED", replays=True)
    await ignored(at, to, request.encode())
    await ignored(at, to, shifted(request))


@udp_connection_request_replay.variant("without_window")
async def without_window(at: Stage) -> None:
    """Without a window of time the shifted request is taken: a weakness of the protocol."""
    cpe = at.device
    binding = await reachable(at)
    to, request = request_for(at, binding)
    await answered(at, to, request)
    await released(at)
    start = len(at.trace.records)
    at.stun_server.host.tell("STAGED", replays=True)
    at.stun_server.send_connection_request(to, shifted(request), copies=1)
    at.cursor = start
    await at.tells(cpe, "UDP_REQUEST_TAKEN")


def shifted(request: UdpConnectionRequest) -> bytes:
    """The first digit of id becomes the last of ts: the signed text is the same."""
    ts, identifier = request.value("ts") or "", request.value("id") or ""
    old = f"ts={ts}&id={identifier}".encode()
    new = f"ts={ts}{identifier[0]}&id={identifier[1:]}".encode()
    return request.encode().replace(old, new)


@scenario(acs_with_stun, step_s=STEP_S)
async def udp_connection_request_forged(at: Stage) -> None:
    """Requests that are wrong in one point each are ignored; a right one after them is taken."""
    binding = await reachable(at)
    to, good = request_for(at, binding)
    octets = good.encode()
    sig = good.value("sig") or ""
    at.stun_server.host.tell("STAGED", forges=True)
    stranger = build(str(to), int(good.value("ts") or 0), 1, "somebody", "C", KEY)
    for wrong in wrong_ones(octets, sig, stranger):
        await ignored(at, to, wrong)
    body = dataclasses.replace(good, octets=octets + b"for a later version")
    await answered(at, to, body)


def wrong_ones(octets: bytes, sig: str, stranger: UdpConnectionRequest) -> tuple[bytes, ...]:
    """Requests that are wrong in one point each."""
    return (
        octets.replace(b"GET ", b"POST "),
        octets.replace(b"HTTP/1.1", b"HTTP/1.0"),
        octets.replace(sig.encode(), sig[::-1].encode()),
        octets.replace(b"Host:", b"Ghost:"),
        octets.replace(b"&cn=", b"&cn=&xx="),
        octets.replace(b"?ts=", b"?ts=1&ts="),
        stranger.encode(),
        octets.split(b"\r\n")[0],
    )


@udp_connection_request_forged.variant("open")
async def all_at_once(at: Stage) -> None:
    """The wrong ones come one after another; nothing is awaited of the CPE but its word."""
    binding = await reachable(at)
    to, good = request_for(at, binding)
    at.stun_server.host.tell("STAGED", forges=True)
    sig = good.value("sig") or ""
    stranger = build(str(to), int(good.value("ts") or 0), 1, "somebody", "C", KEY)
    for wrong in wrong_ones(good.encode(), sig, stranger):
        at.stun_server.send_connection_request(to, wrong, copies=1)
    await at.sees(at.device, "<-", at.stun_server, stun.BindingResponse)


@scenario(acs_with_stun, step_s=STEP_S)
async def udp_connection_request_reboot(at: Stage) -> None:
    """After a reboot the record of ts begins at zero: the old request is taken again."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    binding = await reachable(at)
    to, request = request_for(at, binding)
    await answered(at, to, request)
    await released(at)
    acs.call(cpe.label.serial_number, rpc.Reboot("night"))
    to, request = request_for(at, binding)
    await answered(at, to, request)
    await at.tells(cpe, "REBOOT")
    await at.sees(cpe, "->", acs, rpc.Inform, events=asks_for("M Reboot"))
    informed = at.cursor
    await at.sees(cpe, "<-", server, stun.BindingResponse)
    at.cursor = informed  # nothing joins the two
    await released(at)
    await answered(at, to, request)
