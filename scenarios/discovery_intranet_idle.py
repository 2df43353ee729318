"""IPsec through a NAT, and then silence for longer than its bindings live.

`testbed grid discovery_intranet/ discovery_intranet/idle --nat all --set nat.lifetime_s=3` is the
matrix of it; without `--nat` the gateway's bindings live three seconds.
"""

from __future__ import annotations

from scenarios.discovery_intranet import asks_for_session, discovery_intranet
from scenarios.discovery_public import told
from testbed.protocols import ike
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import CONNECTION_REQUEST
from testbed.scenario import Stage
from testbed.topology import Nat

BRIEF = Nat(name="brief", about="bindings die after three seconds", lifetime_s=3.0)
WHOLE_FLOW_S = 30.0
"""All steps of `discovery_intranet` are one here."""
LIFETIMES = 1.5
"""For how many lifetimes of a binding nobody has anything to say."""


@discovery_intranet.variant("idle", keepalive_s=1.0, nat=BRIEF)
async def idle(at: Stage) -> None:
    """Registered, the HNB is silent but for NAT keep-alives, and can be reached all the same."""
    hnb, hms = at.hnb, at.serving_hms
    hnb.power_on()
    await at.tells(hnb, "HNB_GW_CONTACTED", within_s=WHOLE_FLOW_S)
    nats = [node.nat for node in at.topology.nodes.values() if node.nat is not None]
    if any(each.translates for each in nats):
        await silent(at, max(each.confirmed_lifetime_s or each.lifetime_s for each in nats))
    status = await asks_for_session(at, hnb, hms)
    assert status == 200, f"the connection request is answered {status}"
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(CONNECTION_REQUEST))


async def silent(at: Stage, lifetime_s: float) -> None:
    """Keep-alives and nothing else; where nobody translates there are none, and no bindings."""
    hnb, segw = at.hnb, at.serving_segw
    octet = first = await at.sees(hnb, "->", segw, ike.NatKeepalive, port=4500)
    while octet.time_ns - first.time_ns < LIFETIMES * lifetime_s * 1e9:
        octet = await at.sees(hnb, "->", segw, ike.NatKeepalive, port=4500)
