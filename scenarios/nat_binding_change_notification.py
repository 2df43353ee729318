"""A binding changes; the ACS learns it by notification (TR-111 Part 2, 2.2.2.2.2, figure 6)."""

from __future__ import annotations

from scenarios.stun_steps import ADDRESS, OTHER_OUTSIDE, is_notified, quick, says, sets
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Response
from testbed.scenario import Stage, scenario
from topologies.stun import STUN, acs_with_stun

STEP_S = 10
PERIOD_S = 2


@scenario(acs_with_stun, step_s=STEP_S)
async def nat_binding_change_notification(at: Stage) -> None:
    """Nobody is challenged, and the CPE has no username; it tells each binding in an Inform."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    quick(cpe)
    server.set_policy(challenge="none")
    is_notified(at, cpe, ADDRESS, "NATDetected")
    period = {"STUNMinimumKeepAlivePeriod": PERIOD_S, "STUNMaximumKeepAlivePeriod": PERIOD_S}
    sets(at, cpe, STUNEnable=1, STUNServerAddress=STUN, **period)
    cpe.power_on()
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    for address in (None, OTHER_OUTSIDE):
        if address is not None:
            at.gateway.renumber(address)
        changed = at.cursor
        await at.sees(cpe, "->", server, stun.BindingRequest, is_change=True)
        await at.sees(cpe, "<-", server, stun.BindingResponse, is_signed=False)
        at.cursor = changed
        await at.sees(cpe, "->", acs, rpc.Inform, parameters=says(ADDRESS))
        await at.sees(cpe, "<-", acs, rpc.InformResponse)
        await at.sees(cpe, "<-", acs, Response, status=204)
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
