"""What the scenarios of UDP Connection Requests have in common."""

from __future__ import annotations

from typing import Any

from scenarios.stun_steps import (
    ADDRESS,
    PASSWORD,
    USERNAME,
    enables_stun,
    is_notified,
    quick,
    says,
)
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Response
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage

STEP_S = 10
CONNECTION_REQUEST = "6 CONNECTION REQUEST"
KEY = "8f14e45fceea167a5a36dedd4bea2543"
"""What the ACS has set as ConnectionRequestPassword."""
CPE_NAME = "acs-to-device"
CREDENTIALS: dict[str, Any] = {
    "ConnectionRequestUsername": CPE_NAME,
    "ConnectionRequestPassword": KEY,
}
INFORMS: dict[str, Any] = {"PeriodicInformEnable": 1, "PeriodicInformInterval": 1}
SETTLED_S = 1.0
"""An Inform that comes so long after a request, and does not tell of it, says that it was ignored.
"""


def asks_for(event: str) -> object:
    """What fits an Inform's events that hold this one."""

    def holds(events: tuple[rpc.Event, ...]) -> bool:
        return any(each.code == event for each in events)

    holds.__doc__ = event
    return holds


async def released(at: Stage) -> None:
    """The session is over."""
    await at.sees(at.device, "<-", at.initial_hms, Response, status=204)


async def reachable(at: Stage, **more: Any) -> Endpoint:
    """STUN is on, the ACS knows name, password and binding; gives the binding.

    Args:
        at: the stage.
        more: what the ACS sets besides.
    """
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    quick(cpe)
    server.provision(USERNAME, PASSWORD)
    is_notified(at, cpe, ADDRESS)
    enables_stun(
        *(at, cpe),
        **{**CREDENTIALS, **more},
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


async def offered(at: Stage, to: Endpoint, datagram: bytes, copies: int = 3) -> bool:
    """A datagram comes to the CPE; the Informs after it tell whether it was taken."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    start = at.cursor = len(at.trace.records)
    server.send_connection_request(to, datagram, copies)
    while True:
        inform = await at.sees(cpe, "->", acs, rpc.Inform)
        told = inform.find(rpc.Inform)
        is_taken = told is not None and any(e.code == CONNECTION_REQUEST for e in told.events)
        sent = [r for r in at.trace.records[start:] if r.payload == datagram]
        arrived = [each for each in sent if each.receiver == cpe.name] or sent
        if is_taken or (arrived and inform.time_ns - arrived[0].time_ns > SETTLED_S * 1e9):
            await released(at)
            return is_taken
