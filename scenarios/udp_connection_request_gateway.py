"""UDP Connection Requests to a gateway that is a CPE itself, behind its carrier's NAT."""

from __future__ import annotations

from scenarios.stun_steps import (
    ADDRESS,
    PASSWORD,
    USERNAME,
    enables_stun,
    is_notified,
    quick,
    says,
)
from scenarios.udp_connection_request import udp_connection_request
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Response
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.scenario import Stage
from topologies.stun import managed_gateway_behind_carrier

NAME, KEY = "acs-to-gateway", "5b1c0a4e6f7d48930c2e1f5a7b9d8e60"


def _is_asked(events: tuple[rpc.Event, ...]) -> bool:
    """6 CONNECTION REQUEST"""
    return any(each.code == "6 CONNECTION REQUEST" for each in events)


@udp_connection_request.variant("managed_gateway", managed_gateway_behind_carrier)
async def managed_gateway(at: Stage) -> None:
    """The gateway proves its binding, and comes when it is asked there."""
    cpe, acs, server = at.gateway, at.initial_hms, at.stun_server
    quick(cpe)
    server.provision(USERNAME, PASSWORD)
    is_notified(at, cpe, ADDRESS)
    enables_stun(
        *(at, cpe),
        ConnectionRequestUsername=NAME,
        ConnectionRequestPassword=KEY,
    )
    cpe.power_on()
    await at.sees(cpe, "->", server, stun.BindingRequest, is_marked=True, is_change=False)
    asked = at.cursor
    await at.tells(server, "BINDING_STORED")
    at.cursor = asked  # the ACS is told by another way, at another time
    await at.sees(cpe, "->", acs, rpc.Inform, parameters=says(ADDRESS))
    await at.sees(cpe, "<-", acs, Response, status=204)
    to, request = acs.udp_requests.request(str(server.bindings[USERNAME]), NAME, KEY)
    server.send_connection_request(to, request.encode())
    await at.sees(server, "->", cpe, UdpConnectionRequest)
    await at.tells(cpe, "UDP_REQUEST_TAKEN")
    await at.sees(cpe, "->", acs, rpc.Inform, events=_is_asked)
    await at.sees(cpe, "<-", acs, Response, status=204)
