"""A factory-fresh HNB's first day: all that the three documents ask for, in one home.

public:    hnb ---[ home ]--- gateway ---[ internet ]--- outer_dns, initial_hms, serving_hms,
                                                         stun_server, serving_segw
intranet:  hnb ---[ home ]--- gateway ---[ internet ]--+- outer_dns, home_acs
                                                       +- segw ---------[ core ]--- inner_dns,
                                                       |                            initial_hms
                                                       +- serving_segw -[ south ]-- serving_dns,
                                                              serving_hms, stun_server, hnb_gw
"""

from __future__ import annotations

import dataclasses
from typing import Any

from testbed.errors import unknown
from testbed.roles.associations import AssociationPolicy
from testbed.topology import Nat, Topology
from topologies.intranet import hms_on_intranet
from topologies.public import hms_on_internet

STUN = "stun.south.operator.example"
MODES = ("public", "intranet")
HOME_ACS = "203.0.113.25"
GATEWAY_CLASS = "Gateway"


def first_day(
    mode: str = "public",
    nat: Nat = Nat.MASQUERADE,
    lifetime_s: float = 3.0,
    static: bool = False,
) -> Topology:
    """An HNB, its home and its operator, as all three documents want them.

    Args:
        mode: "public": the HMS is on the Internet, and manages the gateway too; "intranet": it is
            behind IPsec, and coupled with an ACS on the Internet that manages the gateway.
        nat: what the gateway does to packets that leave the home; its lifetime is the next one.
        lifetime_s: how long its bindings live that nobody uses: real ones do for minutes.
        static: whether the HNB has a fixed address, and tells of it by DHCPINFORM.
    """
    short = dataclasses.replace(
        nat,
        lifetime_s=lifetime_s,
        confirmed_lifetime_s=None,
        binding_request_lifetime_s=None,
    )
    short = short if nat.translates else nat
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    net = _behind_ipsec(short, lifetime_s) if mode == "intranet" else _on_the_internet(short)
    if static:
        home = net.links["home"]
        net.nodes["hnb"] = dataclasses.replace(
            net.nodes["hnb"], attachments=(home.at(50),), router=str(home.subnet[1])
        )
    return net


def _on_the_internet(nat: Nat) -> Topology:
    """HMS and STUN server can be reached by everybody."""
    net = hms_on_internet(nat=nat, managed_gateway=True)
    net.title = Topology(first_day.__doc__).title
    _name(net, "outer_dns", f"{STUN}. 300 IN A 203.0.113.30\n")
    internet = net.links["internet"]
    net.node("stun_server", internet.at(30), internet.at(31), names=(STUN,))
    for spare in ("north_hms", "north_segw"):
        del net.nodes[spare]
    _set(net, "serving_hms", associates=True, associations=AssociationPolicy())
    _set(net, "gateway", product_class=GATEWAY_CLASS)
    return net


def _behind_ipsec(nat: Nat, lifetime_s: float) -> Topology:
    """The serving HMS and its STUN server are reached through the tunnel alone."""
    net = hms_on_intranet(nat=nat, keepalive_s=max(1.0, lifetime_s / 3))
    net.title = Topology(first_day.__doc__).title
    internet, south = net.links["internet"], net.links["south"]
    _name(net, "serving_dns", f"{STUN}. 300 IN A {south.subnet[30]}\n")
    router = str(south.subnet[1])
    net.node("stun_server", south.at(30), south.at(31), router=router, names=(STUN,))
    coupled: dict[str, Any] = {"associates": True, "associations": AssociationPolicy()}
    url = f"http://{HOME_ACS}/acs"
    net.node("home_acs", internet.at(25), role="hms", url=url, **coupled)
    _set(net, "serving_hms", **coupled)
    _set(net, "gateway", hms_url=url, product_class=GATEWAY_CLASS)
    return net


def _set(net: Topology, node: str, **settings: object) -> None:
    """Change a node's settings."""
    old = net.nodes[node]
    net.nodes[node] = dataclasses.replace(old, settings={**old.settings, **settings})


def _name(net: Topology, server: str, lines: str) -> None:
    """Add lines to a DNS server's zone."""
    _set(net, server, zone=f"{net.nodes[server].settings['zone']}{lines}")
