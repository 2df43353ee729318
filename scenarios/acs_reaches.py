"""How an ACS learns where a CPE is, and asks it for a session by what it knows (2.2.2.2).

The functions here are variants of the scenarios whose matter it is.
"""

from __future__ import annotations

from typing import Any

from scenarios.nat_binding_change_loss import nat_binding_change_loss
from scenarios.nat_binding_change_notification import nat_binding_change_notification
from scenarios.nat_binding_change_stun_auth import nat_binding_change_stun_auth
from scenarios.nat_no_translation import nat_no_translation
from scenarios.stun_steps import ADDRESS, OTHER_OUTSIDE, quick, reads, says, sets
from scenarios.udp_connection_request import udp_connection_request
from scenarios.udp_request_steps import CONNECTION_REQUEST, CREDENTIALS, INFORMS, asks_for, released
from testbed.errors import StepMissed
from testbed.protocols import dns, stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Response
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.roles.reach import Approach
from testbed.scenario import Player, Stage
from testbed.topology import Nat, Rebinding, find_nat
from topologies.stun import HOME, STUN

PERIOD: dict[str, Any] = {"STUNMinimumKeepAlivePeriod": 1, "STUNMaximumKeepAlivePeriod": 1}
REBINDS = find_nat("port-restricted").with_knobs(
    {"rebinding": Rebinding.PORT, "rebinds_after_s": 600.0}
)
"""Gives other ports after a restart, which the scenario has it do."""
LIMIT_S = 4
FLAPS = 2
OUTSIDES = ("203.0.113.150", "203.0.113.151")


async def managed(at: Stage, cpe: Player, approach: Approach, **more: Any) -> None:
    """The ACS chooses how it learns the binding, and provides the CPE."""
    acs, server = at.initial_hms, at.stun_server
    quick(cpe)
    serial = cpe.label.serial_number
    acs.reach.manage(serial, approach)
    if approach is Approach.STUN_BASED:
        username, password = acs.reach.credentials()
        more |= {"STUNUsername": username, "STUNPassword": password}
    else:
        server.set_policy(challenge="none")
    name = {**CREDENTIALS, "ConnectionRequestUsername": f"acs-to-{cpe.name}"}
    sets(at, cpe, STUNEnable=1, STUNServerAddress=STUN, **name, **PERIOD, **more)
    cpe.power_on()
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))


async def learnt(at: Stage, cpe: Player, approach: Approach) -> None:
    """The ACS has learnt the binding."""
    if approach is Approach.STUN_BASED:
        # Its own, also where somebody else's stands under the same username already.
        await at.tells(at.stun_server, "BINDING_STORED")
        await at.tells(at.initial_hms, "BINDING_RECORDED", serial_number=cpe.label.serial_number)
        return
    await at.sees(cpe, "->", at.initial_hms, rpc.Inform, parameters=says(ADDRESS))
    await at.sees(cpe, "->", at.initial_hms, rpc.GetParameterValuesResponse)


async def asked(at: Stage, cpe: Player) -> None:
    """The ACS asks for a session, by the way that it chooses; the CPE opens one."""
    acs = at.initial_hms
    start = len(at.trace.records)
    try:
        await acs.reach.ask(cpe.label.serial_number)
    except OSError as error:
        raise StepMissed(f"the CPE takes no connection request: {error}") from error
    at.cursor = start
    await at.sees(cpe, "->", acs, rpc.Inform, events=asks_for(CONNECTION_REQUEST))
    await at.sees(cpe, "<-", acs, Response, status=204)


async def asked_before_and_after(at: Stage, cpe: Player, approach: Approach) -> None:
    """The ACS asks, the binding changes, the ACS learns that and asks again."""
    await learnt(at, cpe, approach)
    await asked(at, cpe)
    at.cursor = len(at.trace.records)
    at.gateway.host.rebind()
    await learnt(at, cpe, approach)
    await asked(at, cpe)


@nat_binding_change_notification.variant("asked", nat=REBINDS)
async def asked_by_notification(at: Stage) -> None:
    """The ACS learns the binding by notification, and asks there by UDP."""
    at.initial_hms.reach.uses(at.stun_server.role)
    await managed(at, at.device, Approach.NOTIFICATION_BASED)
    await asked_before_and_after(at, at.device, Approach.NOTIFICATION_BASED)


@nat_binding_change_stun_auth.variant("asked", homes=2, nat=REBINDS)
async def asked_by_stun(at: Stage) -> None:
    """The ACS learns two CPEs' bindings from its STUN server, and asks there by UDP."""
    at.initial_hms.reach.uses(at.stun_server.role)
    for cpe in (at.device2, at.device):
        await managed(at, cpe, Approach.STUN_BASED)
        await learnt(at, cpe, Approach.STUN_BASED)
        at.cursor = len(at.trace.records)
    await asked(at, at.device2)
    await asked(at, at.device)
    at.cursor = len(at.trace.records)
    at.gateway.host.rebind()
    await learnt(at, at.device, Approach.STUN_BASED)
    await asked(at, at.device)


@nat_no_translation.variant("by_notification", nat=Nat.NONE)
async def tcp_by_notification(at: Stage) -> None:
    """NATDetected is false, as the ACS has read: it asks by TCP."""
    at.initial_hms.reach.uses(at.stun_server.role)
    await managed(at, at.device, Approach.NOTIFICATION_BASED, **INFORMS)
    await at.sees(at.device, "<-", at.stun_server, stun.BindingResponse)
    await at.answered(reads(at, at.device, "NATDetected", ADDRESS))
    await asked(at, at.device)


@nat_no_translation.variant("by_stun", nat=Nat.NONE)
async def tcp_by_stun(at: Stage) -> None:
    """The STUN server sees the CPE at the address of its ConnectionRequestURL: TCP will do."""
    cpe, server = at.device, at.stun_server
    at.initial_hms.reach.uses(server.role)
    await managed(at, cpe, Approach.STUN_BASED)
    await at.sees(cpe, "<-", server, stun.BindingResponse)
    server.set_policy(challenge="all")
    await learnt(at, cpe, Approach.STUN_BASED)
    await asked(at, cpe)


@nat_no_translation.variant("behind_a_nat")
async def behind_a_nat(at: Stage) -> None:
    """There is a translation after all: the ACS asks by UDP."""
    at.initial_hms.reach.uses(at.stun_server.role)
    await managed(at, at.device, Approach.NOTIFICATION_BASED)
    await learnt(at, at.device, Approach.NOTIFICATION_BASED)
    await asked(at, at.device)


@udp_connection_request.variant("by_notification", nat=REBINDS)
async def by_notification(at: Stage) -> None:
    """The ACS asks where the CPE's last Inform has told it to."""
    at.initial_hms.reach.uses(at.stun_server.role)
    await managed(at, at.device, Approach.NOTIFICATION_BASED)
    await asked_before_and_after(at, at.device, Approach.NOTIFICATION_BASED)


@udp_connection_request.variant("host_name")
async def host_name(at: Stage) -> None:
    """The CPE tells a name of its home's, which the ACS resolves: anew each time."""
    cpe, acs = at.device, at.initial_hms
    cpe.stun.told_host = HOME
    acs.reach.uses(at.stun_server.role)
    await managed(at, cpe, Approach.NOTIFICATION_BASED)
    await learnt(at, cpe, Approach.NOTIFICATION_BASED)
    await asked(at, cpe)
    at.cursor = len(at.trace.records)
    at.gateway.renumber(OTHER_OUTSIDE)
    at.outer_dns.zone_for(HOME).remove(HOME, "A")
    at.outer_dns.publish(HOME, OTHER_OUTSIDE)
    await at.sees(cpe, "->", at.stun_server, stun.BindingRequest, is_change=True)
    await at.sees(cpe, "<-", at.stun_server, stun.BindingResponse)
    await asked(at, cpe)
    at.cursor = 0
    await at.sees(acs, "->", at.outer_dns, dns.Query, name=HOME)


@udp_connection_request.variant("no_port", udp_port=80)
async def no_port(at: Stage) -> None:
    """The CPE takes requests at port 80, which its address does not name."""
    at.initial_hms.reach.uses(at.stun_server.role)
    await managed(at, at.device, Approach.NOTIFICATION_BASED)
    await learnt(at, at.device, Approach.NOTIFICATION_BASED)
    await asked(at, at.device)
    at.cursor = 0
    await at.sees(at.stun_server, "->", at.device, UdpConnectionRequest, port=80)


async def flapping_binding(at: Stage, times: int) -> None:
    """The gateway gets another outside address twice within each limit, so many times.

    A keep-alive shows each one, the next keep-alive finds it again; no session is cut by that.
    """
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    acs.reach.uses(server.role)
    limit: dict[str, Any] = {f"{ADDRESS}NotificationLimit": LIMIT_S}
    await managed(at, cpe, Approach.NOTIFICATION_BASED, **limit)
    await learnt(at, cpe, Approach.NOTIFICATION_BASED)
    await released(at)
    changed = 0
    for _ in range(times):
        for outside in OUTSIDES:
            at.cursor = len(at.trace.records)
            at.gateway.renumber(outside)
            await at.sees(cpe, "->", server, stun.BindingRequest, is_change=True)
            changed = at.cursor
            await at.sees(cpe, "<-", server, stun.BindingResponse)
            await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
            await at.sees(cpe, "<-", server, stun.BindingResponse)
        at.cursor = changed
        await at.sees(cpe, "->", acs, rpc.Inform, parameters=says(ADDRESS), within_s=2.0 * LIMIT_S)
        await released(at)


@nat_binding_change_notification.variant("limited")
async def limited(at: Stage) -> None:
    """Two changes within the limit: the second notification waits, and tells the latest."""
    await flapping_binding(at, 1)


@nat_binding_change_notification.variant("flapping")
async def flapping(at: Stage) -> None:
    """The binding changes every other second; the limit says how often the ACS is told."""
    await flapping_binding(at, FLAPS)


@nat_binding_change_loss.variant("flapping")
async def flapping_in_loss(at: Stage) -> None:
    """The binding changes every other second, by notification and under a limit."""
    await flapping_binding(at, FLAPS)
