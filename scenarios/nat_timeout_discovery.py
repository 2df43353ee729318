"""A CPE finds out how long its gateway keeps an idle binding (TR-111 Part 2, 2.2.1.2, figure 4)."""

from __future__ import annotations

from typing import Any

from scenarios.stun_steps import (
    ADDRESS,
    PASSWORD,
    USERNAME,
    enables_stun,
    is_notified,
    quick,
    says,
)
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.scenario import Stage, scenario
from testbed.topology import Nat, find_nat
from topologies.stun import acs_with_stun_in_time

STEP_S = 10
MINIMUM_S = 2
SCALED_UP_TO_S = 20
"""Whoever has lifetimes above this is meant to be played in virtual time, at a CPE's own pace."""


def lifetime_s(at: Stage) -> float:
    """The longest that a binding lives at this gateway, or at the carrier's behind it."""
    nat: Nat = at.gateway.nat
    own_s = nat.long_lifetime_s or nat.lifetime_s
    carriers_s = nat.carrier.lifetime_s if nat.carrier is not None else own_s
    return min(own_s, carriers_s)


async def enabled(at: Stage, minimum_s: int = MINIMUM_S, maximum_s: int = -1) -> None:
    """The ACS switches STUN on, and asks to be notified; only BINDING-CHANGE is challenged."""
    cpe, server = at.device, at.stun_server
    if lifetime_s(at) <= SCALED_UP_TO_S:
        quick(cpe)
    server.provision(USERNAME, PASSWORD)
    is_notified(at, cpe, ADDRESS)
    enables_stun(
        *(at, cpe),
        STUNMinimumKeepAlivePeriod=minimum_s,
        STUNMaximumKeepAlivePeriod=maximum_s,
    )
    cpe.power_on()
    await at.sees(
        *(cpe, "<-", at.initial_hms, rpc.SetParameterValues, STEP_S),
        parameters=says("STUNEnable", "1"),
    )


def is_done(phase: str) -> bool:
    """monitoring, or untestable"""
    return phase in ("monitoring", "untestable")


async def found(at: Stage, **told: Any) -> None:
    """The CPE looks for the lifetime until it has found it, or that it cannot.

    A server does not answer to another address than the one that asks; behind a pool of addresses
    the two ports may have one each.  Where nothing is translated there is nothing to look for.
    """
    cpe, server = at.device, at.stun_server
    await at.sees(cpe, "->", server, stun.BindingRequest, STEP_S, is_marked=True, is_change=False)
    if not at.gateway.nat.translates:
        at.never(cpe, "->", server, stun.BindingRequest, is_marked=False)
        return
    within_s = STEP_S + lifetime_s(at)
    await at.sees(
        cpe, "->", server, stun.BindingRequest, is_marked=False, within_s=within_s
    )  # figure 4, 1
    patience_s = 20 + 8 * lifetime_s(at)
    await at.tells(cpe, "STUN_PHASE", phase=is_done, within_s=patience_s, **told)


async def kept(at: Stage, times: int = 2) -> None:
    """It keeps its binding alive with what it has found.

    The first request may leave at the very moment at which the CPE tells what it has found: its
    answer is what comes after that for sure.
    """
    cpe, server = at.device, at.stun_server
    within_s = 10 + 2 * lifetime_s(at)
    await at.sees(cpe, "<-", server, stun.BindingResponse, within_s)
    for _ in range(times):
        await at.sees(
            *(cpe, "->", server, stun.BindingRequest),
            is_marked=True,
            is_change=False,
            within_s=within_s,
        )
        await at.sees(cpe, "<-", server, stun.BindingResponse, STEP_S)


@scenario(acs_with_stun_in_time, step_s=STEP_S)
async def nat_timeout_discovery(at: Stage) -> None:
    """The gateway's bindings have one lifetime, which every packet of theirs renews."""
    await enabled(at)
    await found(at)
    await kept(at)


@nat_timeout_discovery.variant("shortened", nat=find_nat("rfc4787"))
async def shortened(at: Stage) -> None:
    """When the lifetime is known, the gateway's owner shortens it."""
    await enabled(at, minimum_s=1)
    await found(at)
    shorter_s = lifetime_s(at) / 2
    at.gateway.forget_after(shorter_s)
    await at.tells(*(at.device, "STUN_PHASE"), phase="discovery", within_s=20 + 12 * lifetime_s(at))

    def is_shorter(found_s: float) -> bool:
        """less than the new lifetime"""
        return found_s < shorter_s

    await found(at, lifetime_s=is_shorter)
    await kept(at)


@nat_timeout_discovery.variant("outbound_refresh", nat=find_nat("short-lived"))
async def outbound_refresh(at: Stage) -> None:
    """Only what leaves renews a binding: a test that is answered does not."""
    await enabled(at)
    await found(at)
    await kept(at)


@nat_timeout_discovery.variant("two_stages", nat=Nat.MASQUERADE)
async def two_stages(at: Stage) -> None:
    """A kernel's NAT gives more time to a binding that has been used for more than two seconds."""
    await enabled(at)
    first_s: float = at.gateway.nat.lifetime_s

    def is_the_second(found_s: float) -> bool:
        """more than the first lifetime"""
        return found_s >= first_s

    await found(at, lifetime_s=is_the_second)
    await kept(at, times=1)


@nat_timeout_discovery.variant("tr111_aware", nat=find_nat("tr111-aware"))
async def tr111_aware(at: Stage) -> None:
    """The gateway knows CONNECTION-REQUEST-BINDING, and lengthens such bindings' lifetime."""
    await enabled(at)
    others_s: float = at.gateway.nat.lifetime_s

    def is_longer(found_s: float) -> bool:
        """more than other bindings have"""
        return found_s >= others_s

    await found(at, lifetime_s=is_longer)
    await kept(at, times=1)


@nat_timeout_discovery.variant("other_ports", nat=find_nat("symmetric"))
async def other_ports(at: Stage) -> None:
    """A binding that has died is replaced by one with another port, which the ACS is told."""
    await enabled(at)
    await found(at)
    await kept(at)


@nat_timeout_discovery.variant("anybody_may_send", nat=find_nat("full-cone"))
async def anybody_may_send(at: Stage) -> None:
    """The gateway lets in whatever is sent to a binding."""
    await enabled(at)
    await found(at)
    await kept(at)


@nat_timeout_discovery.variant("ladder", search=stun.Search.LADDER)
async def ladder(at: Stage) -> None:
    """Other bindings of the CPE tell how long one lives; its own only confirms it."""
    await enabled(at)
    await at.tells(at.device, "STUN_LADDER", within_s=20 + 2 * lifetime_s(at))
    within_s = 20 + 8 * lifetime_s(at)  # where its own binding does not confirm it, it gallops
    await at.tells(at.device, "STUN_PHASE", phase="monitoring", within_s=within_s)
    await kept(at)
