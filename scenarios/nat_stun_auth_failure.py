"""Somebody cannot prove who they are: the CPE to its STUN server, or the server to the CPE."""

from __future__ import annotations

from scenarios.stun_steps import PASSWORD, USERNAME, quick, says, sets
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage, scenario
from topologies.stun import STUN, acs_with_stun

STEP_S = 10
OTHER_PASSWORD = "ffeeddccbbaa99887766554433221100"


async def enabled(at: Stage, **credentials: str) -> None:
    """The ACS switches STUN on, with these credentials."""
    cpe = at.device
    quick(cpe)
    period = {"STUNMinimumKeepAlivePeriod": 1, "STUNMaximumKeepAlivePeriod": 1}
    sets(at, cpe, STUNEnable=1, STUNServerAddress=STUN, **period, **credentials)
    cpe.power_on()
    await at.sees(
        cpe, "<-", at.initial_hms, rpc.SetParameterValues, parameters=says("STUNEnable", "1")
    )


async def refused(at: Stage, code: int) -> None:
    """The CPE signs what it is asked to sign, and the server does not believe it."""
    cpe, server = at.device, at.stun_server
    await at.sees(cpe, "<-", server, stun.BindingErrorResponse, error_code=401)
    await at.sees(cpe, "->", server, stun.BindingRequest, is_signed=True)
    await at.sees(cpe, "<-", server, stun.BindingErrorResponse, error_code=code)


@scenario(acs_with_stun, step_s=STEP_S)
async def nat_stun_auth_failure(at: Stage) -> None:
    """The STUN server knows another password for the CPE's username: 431."""
    at.stun_server.host.tell("STAGED", secrets="other than the CPE's")
    at.stun_server.provision(USERNAME, OTHER_PASSWORD)
    await enabled(at, STUNUsername=USERNAME, STUNPassword=PASSWORD)
    await refused(at, 431)


@nat_stun_auth_failure.variant("unknown_user")
async def unknown_user(at: Stage) -> None:
    """The STUN server does not know the username: 430."""
    at.stun_server.host.tell("STAGED", secrets="none")
    await enabled(at, STUNUsername=USERNAME, STUNPassword=PASSWORD)
    await refused(at, 430)


@nat_stun_auth_failure.variant("no_username")
async def no_username(at: Stage) -> None:
    """The CPE has no STUNUsername; its server challenges all the same."""
    cpe, server = at.device, at.stun_server
    at.never(cpe, "->", server, stun.BindingRequest, is_signed=True)
    await enabled(at)
    for _ in range(2):
        await at.sees(cpe, "<-", server, stun.BindingErrorResponse, error_code=401)
        await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
        server.set_policy(challenge="all")


@nat_stun_auth_failure.variant("forged_response")
async def forged_response(at: Stage) -> None:
    """Responses to signed requests have lost their MESSAGE-INTEGRITY: the CPE asks again."""
    cpe, server = at.device, at.stun_server
    server.provision(USERNAME, PASSWORD)

    def unsigned(message: stun.Message, destination: Endpoint) -> list[stun.Message]:
        return [message.without(stun.Kind.MESSAGE_INTEGRITY)]

    server.host.tell("STAGED", responses="unsigned")
    server.mend_of("stun").message.append(unsigned)
    await enabled(at, STUNUsername=USERNAME, STUNPassword=PASSWORD)
    for _ in range(3):
        await at.sees(cpe, "->", server, stun.BindingRequest, is_signed=True)
        await at.sees(cpe, "<-", server, stun.BindingResponse, is_change=False, is_signed=False)
