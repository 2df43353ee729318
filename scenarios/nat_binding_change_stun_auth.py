"""A binding changes; the STUN server has the CPE prove the new one (TR-111 Part 2, figure 5)."""

from __future__ import annotations

from scenarios.stun_steps import (
    ADDRESS,
    OTHER_OUTSIDE,
    PASSWORD,
    USERNAME,
    enables_stun,
    is_notified,
    quick,
    reads,
    says,
)
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Response
from testbed.scenario import Stage, scenario
from topologies.stun import acs_with_stun

STEP_S = 10
PERIOD_S = 2


async def told(at: Stage) -> None:
    """Figure 5: BINDING-CHANGE, 401, the same signed, and a signed response."""
    cpe, server = at.device, at.stun_server
    await at.sees(cpe, "->", server, stun.BindingRequest, is_signed=False, is_change=True)  # 1
    await at.sees(cpe, "<-", server, stun.BindingErrorResponse, error_code=401)  # 2
    await at.sees(cpe, "->", server, stun.BindingRequest, is_signed=True, is_change=True)  # 3
    await at.sees(cpe, "<-", server, stun.BindingResponse, is_signed=True)  # 4


@scenario(acs_with_stun, step_s=STEP_S)
async def nat_binding_change_stun_auth(at: Stage) -> None:
    """The gateway gets another outside address between two keep-alives."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    quick(cpe)
    server.provision(USERNAME, PASSWORD)
    is_notified(at, cpe, ADDRESS)
    enables_stun(
        *(at, cpe),
        STUNMinimumKeepAlivePeriod=PERIOD_S,
        STUNMaximumKeepAlivePeriod=PERIOD_S,
    )
    cpe.power_on()
    await at.sees(cpe, "<-", acs, rpc.InformResponse)
    reading = reads(at, cpe, "NATDetected", ADDRESS)  # of the next session
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    enabled = at.cursor
    await told(at)
    await at.answered(reading)
    stored, at.cursor = at.cursor, enabled  # nothing joins the two
    await at.sees(cpe, "->", acs, rpc.GetParameterValuesResponse)
    await at.sees(cpe, "<-", acs, Response, status=204)
    at.cursor = max(at.cursor, stored)
    reading = reads(at, cpe, "NATDetected", ADDRESS)  # of the session that the change brings
    at.gateway.renumber(OTHER_OUTSIDE)
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
    await told(at)
    await at.answered(reading)
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False, is_signed=False)
    await at.sees(cpe, "<-", server, stun.BindingResponse, is_signed=False)
