"""A CPE's own address changes (TR-111 Part 2, 2.2.1.1)."""

from __future__ import annotations

from scenarios.stun_steps import ADDRESS, quick, reads, says, sets
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.scenario import Stage, scenario
from topologies.stun import STUN, acs_with_stun

STEP_S = 10
MINIMUM_S = 60
OTHER_ADDRESS = "192.168.1.177"


@scenario(acs_with_stun, step_s=STEP_S)
async def nat_local_address_change(at: Stage) -> None:
    """The CPE gets another address by DHCP long before its next keep-alive is due."""
    cpe, server = at.device, at.stun_server
    quick(cpe)
    server.set_policy(challenge="none")
    period = {"STUNMinimumKeepAlivePeriod": MINIMUM_S, "STUNMaximumKeepAlivePeriod": MINIMUM_S}
    informs = {"PeriodicInformEnable": 1, "PeriodicInformInterval": 1}
    sets(at, cpe, STUNEnable=1, STUNServerAddress=STUN, **period, **informs)
    cpe.power_on()
    await at.sees(
        cpe, "<-", at.initial_hms, rpc.SetParameterValues, parameters=says("STUNEnable", "1")
    )
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=True)
    await at.sees(cpe, "<-", server, stun.BindingResponse)
    cpe.unplug()
    at.gateway.set_dhcp(pool=(OTHER_ADDRESS,))
    cpe.plug()
    await at.tells(cpe, "CONNECTED", address=OTHER_ADDRESS)
    await at.sees(cpe, "->", server, stun.BindingRequest, is_marked=True, is_change=False)
    await at.sees(cpe, "<-", server, stun.BindingResponse)
    await at.answered(reads(at, cpe, "NATDetected", ADDRESS))
