"""A CPE keeps the binding of its primary port alive (TR-111 Part 2, 2.2.1.2)."""

from __future__ import annotations

from scenarios.stun_steps import enables_stun, quick, says
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.scenario import Stage, scenario
from testbed.topology import find_nat
from topologies.stun import acs_with_stun

STEP_S = 12


async def enabled(at: Stage, minimum_s: int, maximum_s: int) -> None:
    """The ACS switches STUN on, and sets both periods."""
    cpe = at.device
    quick(cpe)
    at.stun_server.set_policy(challenge="none")
    enables_stun(
        *(at, cpe),
        STUNMinimumKeepAlivePeriod=minimum_s,
        STUNMaximumKeepAlivePeriod=maximum_s,
        PeriodicInformEnable=1,
        PeriodicInformInterval=1,
    )
    cpe.power_on()
    await at.sees(cpe, "<-", at.initial_hms, rpc.SetParameterValues, parameters=says("STUNEnable"))


async def kept_alive(at: Stage, times: int, within_s: float | None = None) -> None:
    """So many keep-alives with their responses (figure 3)."""
    cpe, server = at.device, at.stun_server
    for _ in range(times):
        await at.sees(
            *(cpe, "->", server, stun.BindingRequest),
            is_marked=True,
            is_change=False,
            within_s=within_s,
        )
        await at.sees(cpe, "<-", server, stun.BindingResponse)


@scenario(acs_with_stun, step_s=STEP_S)
async def nat_keepalive(at: Stage) -> None:
    """Both periods are equal: keep-alives at that period, and no search for the lifetime."""
    await enabled(at, 2, 2)
    at.never(at.device, "->", at.stun_server, stun.BindingRequest, is_marked=False)
    await kept_alive(at, 3)


@nat_keepalive.variant("between")
async def between(at: Stage) -> None:
    """The periods differ: the lifetime is looked for, and both are kept."""
    await enabled(at, 1, 5)
    await at.sees(at.device, "->", at.stun_server, stun.BindingRequest, is_marked=False)
    await kept_alive(at, 2)


SHORT_LIVED = find_nat("symmetric").with_knobs({"lifetime_s": 4.0})
"""A binding that has died shows: the next one has another port."""


@nat_keepalive.variant("short_lived", nat=SHORT_LIVED)
async def short_lived(at: Stage) -> None:
    """The gateway forgets soon; the period that the ACS has set is shorter than that."""
    await enabled(at, 2, 2)
    await kept_alive(at, 3, STEP_S)


@nat_keepalive.variant("no_maximum")
async def no_maximum(at: Stage) -> None:
    """There is no maximum: the search alone says how often."""
    at.stun_server.set_policy(reflection="same-address")  # else nothing can be searched
    await enabled(at, 1, -1)
    await at.sees(at.device, "->", at.stun_server, stun.BindingRequest, is_marked=False)
    await kept_alive(at, 2)


@nat_keepalive.variant("silent_server")
async def silent_server(at: Stage) -> None:
    """The server says nothing: a request is sent again and again, whatever the minimum says."""
    cpe, server = at.device, at.stun_server
    server.host.tell("STAGED", responses="none")
    server.mend_of("stun").message.append(lambda message, destination: [])
    await enabled(at, 10, 10)
    for _ in range(4):
        await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
