"""The ACS asks a CPE behind a NAT for a session, by UDP (TR-111 Part 2, figure 7)."""

from __future__ import annotations

from scenarios.udp_request_steps import (
    CONNECTION_REQUEST,
    CPE_NAME,
    INFORMS,
    KEY,
    STEP_S,
    answered,
    asks_for,
    offered,
    reachable,
    released,
    request_for,
)
from testbed.errors import StepMissed
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.roles.connection_request import request_connection
from testbed.scenario import Stage, scenario
from topologies.stun import acs_with_stun

SKEW_S = 240.0
"""How far an ACS's clock is off."""
OTHER_OCTETS = (b"\x02\x03", b" GET http://192.0.2.1 HTTP/1.1\r\n\r\n", b"\xff" * 20, b"2", b"\r\n")
"""They begin neither as STUN nor with a letter."""


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


@udp_connection_request.variant("other_octets")
async def other_octets(at: Stage) -> None:
    """Datagrams that are neither STUN nor a request come to the binding, and a request after them.

    Keep-alives go on all the time.
    """
    period = {"STUNMinimumKeepAlivePeriod": 1, "STUNMaximumKeepAlivePeriod": 1}
    binding = await reachable(at, **INFORMS, **period)
    at.stun_server.host.tell("STAGED", forges=True)
    for octets in OTHER_OCTETS:
        at.stun_server.send_connection_request(binding, octets, copies=1)
    for _ in range(2):
        await at.sees(at.device, "<-", at.stun_server, stun.BindingResponse)
        to, request = request_for(at, binding)
        await offered(at, to, request.encode())
    for _ in range(3):
        await at.sees(at.device, "<-", at.stun_server, stun.BindingResponse)


@udp_connection_request.variant("skewed")
async def skewed(at: Stage) -> None:
    """The ACS's clock is minutes behind, and then ahead."""
    binding = await reachable(at, **INFORMS)
    await asked_by_skewed_clocks(at, binding)


async def asked_by_skewed_clocks(at: Stage, binding: Endpoint) -> None:
    """One request of an ACS whose clock is behind, one of an ACS whose clock is ahead."""
    for skew_s in (-SKEW_S, SKEW_S):
        at.initial_hms.udp_requests.skew_s = skew_s
        to, request = request_for(at, binding)
        await offered(at, to, request.encode())


@udp_connection_request.variant("during_a_session")
async def during_a_session(at: Stage) -> None:
    """A request comes while a session is on: that goes on, and another one follows."""
    cpe, acs = at.device, at.initial_hms
    binding = await reachable(at, **INFORMS)
    await at.sees(cpe, "->", acs, rpc.Inform)
    opened = at.cursor
    to, request = request_for(at, binding)
    at.stun_server.send_connection_request(to, request.encode())
    at.never(cpe, "->", acs, rpc.Fault)
    await at.tells(cpe, "UDP_REQUEST_TAKEN")
    at.cursor = opened
    await released(at)
    await at.sees(cpe, "->", acs, rpc.Inform, events=asks_for(CONNECTION_REQUEST))
    await released(at)


@udp_connection_request.variant("by_tcp_beside")
async def by_tcp_beside(at: Stage) -> None:
    """The CPE is asked by UDP, and then by TCP from its own LAN: both bring a session."""
    binding = await reachable(at, **INFORMS)
    to, request = request_for(at, binding)
    await answered(at, to, request)
    await released(at)
    url = at.initial_hms.devices[at.device.label.serial_number].connection_request_url
    start = len(at.trace.records)
    status = await request_connection(at.gateway.host, url, CPE_NAME, KEY)
    if status != 200:
        raise StepMissed(f"the CPE answers {status} to a connection request by TCP")
    at.cursor = start
    await at.sees(
        *(at.device, "->", at.initial_hms, rpc.Inform), events=asks_for(CONNECTION_REQUEST)
    )
