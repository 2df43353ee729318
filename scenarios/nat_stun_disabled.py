"""An ACS switches STUN off again (TR-111 Part 2, 2.2.4, Table 6)."""

from __future__ import annotations

from scenarios.stun_steps import ADDRESS, is_notified, quick, reads, says, sets
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.scenario import Stage, scenario
from topologies.stun import STUN, acs_with_stun

STEP_S = 10


@scenario(acs_with_stun, step_s=STEP_S)
async def nat_stun_disabled(at: Stage) -> None:
    """Behind a NAT the ACS switches STUN on, and off again when the binding is known."""
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    quick(cpe)
    server.set_policy(challenge="none")
    is_notified(at, cpe, ADDRESS)
    period = {"STUNMinimumKeepAlivePeriod": 1, "STUNMaximumKeepAlivePeriod": 1}
    informs = {"PeriodicInformEnable": 1, "PeriodicInformInterval": 1}
    sets(at, cpe, STUNEnable=1, STUNServerAddress=STUN, **period, **informs)
    cpe.power_on()
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=True)
    await at.answered(reads(at, cpe, "NATDetected", ADDRESS))
    await at.answered(sets(at, cpe, STUNEnable=0))
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "0"))
    await at.sees(cpe, "->", acs, rpc.SetParameterValuesResponse)
    at.never(cpe, "->", server, stun.BindingRequest)
    for _ in range(2):
        await at.answered(reads(at, cpe, "NATDetected", ADDRESS))
