"""What tells of a binding change gets lost (TR-111 Part 2, 2.2.1.3 and 2.2.2.2.1)."""

from __future__ import annotations

from scenarios.stun_steps import PASSWORD, USERNAME, enables_stun, quick, says
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage, scenario
from topologies.stun import acs_with_stun

STEP_S = 10
COPIES = 9
ALL_COPIES_S = 12.0
PERIOD_S = 1


@scenario(acs_with_stun, step_s=STEP_S)
async def nat_binding_change_loss(at: Stage) -> None:
    """No challenge arrives; the server asks for the binding at a later keep-alive.

    The first signed response is lost too, so that the server sees a copy of what it has taken.
    """
    cpe, server = at.device, at.stun_server
    quick(cpe)
    server.provision(USERNAME, PASSWORD)
    lost: list[type[stun.Message]] = [stun.BindingErrorResponse]

    def lose(message: stun.Message, destination: Endpoint) -> list[stun.Message]:
        if isinstance(message, stun.BindingErrorResponse):
            return [] if stun.BindingErrorResponse in lost else [message]
        if message.is_signed and stun.BindingResponse in lost:
            lost.remove(stun.BindingResponse)
            return []
        return [message]

    server.mend_of("stun").message.append(lose)
    enables_stun(
        *(at, cpe),
        STUNMinimumKeepAlivePeriod=PERIOD_S,
        STUNMaximumKeepAlivePeriod=PERIOD_S,
    )
    cpe.power_on()
    await at.sees(
        cpe, "<-", at.initial_hms, rpc.SetParameterValues, parameters=says("STUNEnable", "1")
    )
    for _ in range(COPIES - 1):  # the network may lose one
        await at.sees(cpe, "->", server, stun.BindingRequest, is_change=True)
    await at.tells(cpe, "STUN_NO_ANSWER", purpose="binding change", within_s=ALL_COPIES_S)
    at.never(cpe, "->", server, stun.BindingRequest, is_change=True)
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
    await at.sees(cpe, "<-", server, stun.BindingResponse)
    lost[:] = [stun.BindingResponse]
    server.verify_next(USERNAME)
    await at.sees(cpe, "<-", server, stun.BindingErrorResponse, error_code=401)
    challenged = at.cursor
    await at.tells(server, "BINDING_STORED", username=USERNAME)
    at.cursor = challenged
    for _ in range(2):  # the second is a copy, as its response was lost
        await at.sees(cpe, "->", server, stun.BindingRequest, is_signed=True)
    await at.sees(cpe, "<-", server, stun.BindingResponse, is_signed=True)
