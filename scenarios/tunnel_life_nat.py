"""A tunnel's life behind NATs that forget its binding, or that give it another outside end.

Variants of `tunnel_life`.  The NAT's lifetime and the HNB's timers are scaled; `topologies.tunnels`
says how the true ones are played in the simulation.
"""

from __future__ import annotations

import asyncio
from typing import Any

from scenarios.discovery_intranet import asks_for_session
from scenarios.tunnel_life import is_reached, registered, tunnel_life
from testbed.protocols import ike
from testbed.protocols.wire import Endpoint
from testbed.scenario import Player, Stage
from testbed.topology import find_nat
from topologies.tunnels import tunnel_behind_nat

SLACK_S = 15
"""How long a step may take beyond the timer that brings it."""


def _of_tunnel(hnb: Player) -> str:
    """The inside end of the binding that IKE and ESP share."""
    address = hnb.lan.lease.address
    return str(Endpoint(address, ike.NAT_PORT))


async def _dies(at: Stage) -> None:
    """The binding of the tunnel dies: the HMS does not reach the HNB, and no one is told."""
    hnb, segw, hms = at.hnb, at.serving_segw, at.serving_hms
    await at.tells(at.gateway, "BINDING_EXPIRED", SLACK_S + _lifetime_s(at), inside=_of_tunnel(hnb))
    asking = asyncio.ensure_future(asks_for_session(at, hnb, hms))
    await at.sees(segw, "->", at.gateway, ike.EspPacket)  # and no further
    await at.tells(at.gateway, "PACKET_REFUSED", reason="no binding")
    asking.cancel()
    await asyncio.wait([asking])
    assert hnb.secure.is_up, "the HNB knows that its tunnel is cut"
    assert segw.tunnels, "the SeGW knows that its tunnel is cut"


def _lifetime_s(at: Stage) -> float:
    lifetime_s: float = at.gateway.node.nat.lifetime_s
    return lifetime_s


@tunnel_life.variant("short_lived_nat", topology=tunnel_behind_nat)
async def short_lived_nat(at: Stage) -> None:
    """Keep-alives come more seldom than the NAT forgets: between them the HNB cannot be reached.

    The binding dies; a connection request is lost; the next keep-alive makes a binding, which dies
    too; the question whether the SeGW lives makes another one, and is answered: the HNB has noticed
    nothing, and is reached again as long as this binding lives.
    """
    hnb, segw, hms = await registered(at)
    life = hnb.secure.policy.life
    await _dies(at)
    start = at.cursor
    await at.sees(hnb, "->", segw, ike.NatKeepalive, within_s=SLACK_S + life.keepalive_s)
    at.cursor = start  # the binding is there before the octet has arrived
    await at.tells(at.gateway, "BINDING_CREATED", inside=_of_tunnel(hnb))
    await _dies(at)
    asked = at.sees(hnb, "->", segw, ike.Informational, within_s=SLACK_S + life.dead_peer_s)
    await asked  # does it live?
    await at.sees(hnb, "<-", segw, ike.Informational)  # by a new binding
    await is_reached(at, hnb, hms)
    heard = [each for each in at.trace.records if _tells(each, "CONNECTION_REQUESTED")]
    assert len(heard) == 1, f"{len(heard)} connection requests have come, two of three are lost"


@tunnel_life.variant(
    "short_lived_nat_kept", topology=tunnel_behind_nat, keepalive_s=1.0, dead_peer_s=0.0
)
async def short_lived_nat_kept(at: Stage) -> None:
    """Keep-alives, and nothing else, come more often than the NAT forgets: nothing dies."""
    hnb, segw, hms = await registered(at)
    life, start = hnb.secure.policy.life, at.cursor
    for _ in range(2 + int(_lifetime_s(at) / life.keepalive_s)):
        await at.sees(hnb, "->", segw, ike.NatKeepalive, within_s=SLACK_S + life.keepalive_s)
    await is_reached(at, hnb, hms)
    died = [
        each.number
        for each in at.trace.records[start:]
        if _tells(each, "BINDING_EXPIRED") and each.message.fields["inside"] == _of_tunnel(hnb)
    ]
    assert not died, f"the binding of the tunnel has died, records {died}"


def _tells(record: Any, name: str) -> bool:
    return getattr(record.message, "name", None) == name


async def _moves(at: Stage) -> None:
    """The gateway gives all flows other outside ends; the next question tells the SeGW.

    There has to be a question before: charon compares what two answers say of its outside end.
    """
    hnb, segw, hms = await registered(at)
    inner = hnb.secure.tunnel.address
    at.never(hnb, "->", segw, ike.SaInit)
    await at.sees(hnb, "->", segw, ike.Informational)  # does it live?
    await at.sees(hnb, "<-", segw, ike.Informational, notifies="NAT_DETECTION_DESTINATION_IP")
    start = at.cursor
    at.gateway.host.rebind()
    await at.tells(at.gateway, "BINDING_FORGOTTEN")
    at.cursor = start  # told once all are forgotten; a question may have been asked meanwhile
    await at.sees(hnb, "->", segw, ike.Informational)  # does it live?
    start = at.cursor
    await at.sees(hnb, "->", segw, ike.Informational, notifies="UPDATE_SA_ADDRESSES")
    at.cursor = start  # keys come a little later than what they open
    moved = await at.tells(segw, "TUNNEL_CHANGED", kind="moved")
    up = [
        each for each in at.trace.records if _tells(each, "TUNNEL_UP") and each.sender == segw.name
    ]
    before = up[-1].message.fields["remote"] if up else ""
    assert moved.message.fields.get("remote") != before, "the SeGW looks for the HNB where it was"
    await is_reached(at, hnb, hms)
    assert hnb.secure.tunnel.address == inner, "the inner address has changed"


@tunnel_life.variant(
    "rebinding_port",
    topology=tunnel_behind_nat,
    nat=find_nat("rebinding-port"),
    lifetime_s=120.0,
    dead_peer_s=1.0,
)
async def rebinding_port(at: Stage) -> None:
    """The NAT gives the tunnel another outside port: MOBIKE finds it out, the tunnel goes on."""
    await _moves(at)


@tunnel_life.variant(
    "rebinding_address",
    topology=tunnel_behind_nat,
    nat=find_nat("rebinding-address"),
    lifetime_s=120.0,
    dead_peer_s=1.0,
)
async def rebinding_address(at: Stage) -> None:
    """The NAT gives the tunnel another outside address: likewise."""
    await _moves(at)
