"""UDP Connection Requests where other things are the scenario's own: no NAT, no STUN, keep-alives.

The functions here are variants of those scenarios.
"""

from __future__ import annotations

from typing import Any

from scenarios.nat_keepalive import nat_keepalive
from scenarios.nat_no_translation import nat_no_translation
from scenarios.nat_stun_disabled import nat_stun_disabled
from scenarios.stun_steps import ADDRESS, quick, reads, says, sets
from scenarios.udp_request_steps import (
    CREDENTIALS,
    INFORMS,
    offered,
    reachable,
    released,
    request_for,
)
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage
from testbed.topology import Nat, find_nat
from topologies.stun import STUN

PAUSE_INFORMS = 6
"""Between two requests: they come a second apart."""
SHORT_LIVED = find_nat("port-restricted").with_knobs({"lifetime_s": 5.0})


async def told_its_address(at: Stage, **settings: Any) -> Endpoint:
    """The ACS sets name and password, and reads where requests are taken; gives that."""
    cpe, acs = at.device, at.initial_hms
    quick(cpe)
    sets(at, cpe, **CREDENTIALS, **INFORMS, **settings)
    cpe.power_on()
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("PeriodicInformEnable"))
    if settings:
        await at.sees(cpe, "<-", at.stun_server, stun.BindingResponse)
    answer = await at.answered(reads(at, cpe, ADDRESS, "NATDetected"))
    await released(at)
    assert isinstance(answer, rpc.GetParameterValuesResponse)
    host, _, port = answer.parameters[0].value.partition(":")
    return Endpoint(host, int(port))


@nat_no_translation.variant("asked_by_udp", nat=Nat.NONE)
async def without_translation(at: Stage) -> None:
    """Nothing is translated, and the ACS asks by UDP all the same."""
    address = await told_its_address(at, STUNEnable=1, STUNServerAddress=STUN)
    to, request = request_for(at, address)
    await offered(at, to, request.encode())


@nat_stun_disabled.variant("asked_by_udp", nat=Nat.NONE)
async def without_stun(at: Stage) -> None:
    """STUN was never switched on; the CPE takes requests at its own address."""
    address = await told_its_address(at)
    to, request = request_for(at, address)
    await offered(at, to, request.encode())


@nat_keepalive.variant("requests_between", nat=SHORT_LIVED)
async def requests_between(at: Stage) -> None:
    """Requests come between keep-alives, for longer than the NAT keeps what nobody uses."""
    period = {"STUNMinimumKeepAlivePeriod": 2, "STUNMaximumKeepAlivePeriod": 2}
    binding = await reachable(at, **INFORMS, **period)
    for _ in range(2):
        for _ in range(PAUSE_INFORMS):
            await at.sees(at.device, "->", at.initial_hms, rpc.Inform)
        to, request = request_for(at, binding)
        await offered(at, to, request.encode())
