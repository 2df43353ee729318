"""A CPE loses its power, and an old UDP Connection Request comes again (TR-111 Part 2, 2.2.1.4)."""

from __future__ import annotations

from scenarios.stun_steps import USERNAME
from scenarios.udp_request_steps import (
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
from testbed.protocols.cwmp import rpc
from testbed.protocols.udp_connection_request import build
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage, scenario
from topologies.stun import acs_with_stun

BEHIND_S = 1000.0
"""How far the ACS's clock is behind, so that its requests are older than the CPE's start."""


async def power_is_lost(at: Stage) -> Endpoint:
    """The CPE loses its power and starts anew; gives the binding that it has then."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    off = at.cursor = len(at.trace.records)
    cpe.power_off()
    cpe.power_on()
    await at.tells(server, "BINDING_STORED")
    at.cursor = off
    await at.sees(cpe, "->", acs, rpc.Inform, events=asks_for("1 BOOT"))
    await released(at)
    binding: Endpoint = server.bindings[USERNAME]
    return binding


async def asked_after_a_reboot(at: Stage) -> None:
    """After power was lost: the first ts that there can be, the last request again, a new one."""
    at.initial_hms.udp_requests.skew_s = -BEHIND_S
    binding = await reachable(at, **INFORMS)
    to, taken = request_for(at, binding)
    await answered(at, to, taken)
    await released(at)
    at.stun_server.host.tell("STAGED", replays=True)
    to = await power_is_lost(at)
    first = build(str(to), 1, 1, CPE_NAME, "FIRST", KEY)
    last, new = taken, request_for(at, to)[1]
    for request in (first, last, new):
        await offered(at, to, request.encode())


@scenario(acs_with_stun, step_s=STEP_S)
async def udp_connection_request_reboot(at: Stage) -> None:
    """The CPE forgets what it has taken: the old request is taken again."""
    await asked_after_a_reboot(at)


@udp_connection_request_reboot.variant("persistent")
async def persistent(at: Stage) -> None:
    """The CPE keeps its record where a reboot does not reach: the old request is ignored."""
    at.device.set_udp_receiver(keeps_record=True)
    await asked_after_a_reboot(at)
