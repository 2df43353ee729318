"""A CPE whose way to its ACS nobody translates (TR-111 Part 2, 2.2.1.3, last paragraph)."""

from __future__ import annotations

from scenarios.stun_steps import ADDRESS, quick, reads, says, sets
from testbed.errors import StepMissed
from testbed.protocols import http, stun
from testbed.protocols.cwmp import rpc
from testbed.scenario import Stage, scenario
from testbed.topology import Nat
from topologies.stun import STUN, acs_with_stun

STEP_S = 10
CONNECTION_REQUEST = "6 CONNECTION REQUEST"


def is_requested(events: tuple[rpc.Event, ...]) -> bool:
    """6 CONNECTION REQUEST"""
    return any(each.code == CONNECTION_REQUEST for each in events)


@scenario(acs_with_stun, step_s=STEP_S, nat=Nat.NONE)
async def nat_no_translation(at: Stage) -> None:
    """The CPE finds that nothing is translated; its ACS reaches it by TCP."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    quick(cpe)
    period = {"STUNMinimumKeepAlivePeriod": 1, "STUNMaximumKeepAlivePeriod": 2}
    sets(at, cpe, STUNEnable=1, STUNServerAddress=STUN, **period)
    cpe.power_on()
    at.never(cpe, "->", server, stun.BindingRequest, is_marked=False)
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    for _ in range(3):
        await at.sees(cpe, "->", server, stun.BindingRequest, is_marked=True)  # 1
        await at.sees(cpe, "<-", server, stun.BindingResponse)  # 3
    reading = reads(at, cpe, "NATDetected", ADDRESS)
    setting = cpe.cpe.setting
    username = setting("ConnectionRequestUsername")
    password = setting("ConnectionRequestPassword")
    try:
        status = await acs.request_connection(cpe.label.serial_number, username, password)
    except OSError as error:
        raise StepMissed(f"the CPE takes no connection request by TCP: {error}") from error
    if status != 200:
        raise StepMissed(f"the CPE answers {status} to a connection request by TCP")
    at.cursor = 0
    await at.sees(acs, "->", cpe, http.Request, method="GET")
    await at.sees(cpe, "->", acs, rpc.Inform, events=is_requested)
    await at.sees(cpe, "->", acs, rpc.GetParameterValuesResponse)
    await at.answered(reading)
