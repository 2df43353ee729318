"""An HNB whose tunnel leads through a NAT that forgets, or that gives flows other outside ends."""

from __future__ import annotations

import dataclasses

from testbed.host import TunnelLife
from testbed.topology import Nat, Topology, find_nat
from topologies.intranet import hms_on_intranet


def tunnel_behind_nat(
    nat: Nat = find_nat("short-lived"),  # noqa: B008  # plain data that nobody changes
    lifetime_s: float = 2.0,
    keepalive_s: float = 5.0,
    dead_peer_s: float = 10.0,
    retransmit_s: float = 0.5,
) -> Topology:
    """A home behind a NAT, an HMS behind SeGWs; only the HNB looks after its tunnel.

    Lifetimes are scaled, so that a clock that nobody can hurry is waited for in seconds; each lies
    further from the next than charon's whole seconds may make it early or late.  In the simulation
    the true ones are played by lifetime_s=30, keepalive_s=180, dead_peer_s=300: a NAT of RFC 4787's
    complaint, and TR-196's defaults of NATTKeepaliveTimer and DPDTimer.

    Args:
        nat: what the gateway does.
        lifetime_s: of its bindings.
        keepalive_s: between two NAT keep-alives of the HNB.
        dead_peer_s: idle time after which the HNB asks whether the SeGW lives.
        retransmit_s: how long an IKE request waits for its response.
    """
    nat = nat.with_knobs({"lifetime_s": lifetime_s})
    net = hms_on_intranet(nat=nat, keepalive_s=0, dead_peer_s=0, retransmit_s=retransmit_s)
    net.title = Topology(tunnel_behind_nat.__doc__).title
    hnb = net.nodes["hnb"]
    life: TunnelLife = hnb.settings["life"]
    own = dataclasses.replace(life, keepalive_s=keepalive_s, dead_peer_s=dead_peer_s)
    net.nodes["hnb"] = dataclasses.replace(hnb, settings={**hnb.settings, "life": own})
    return net
