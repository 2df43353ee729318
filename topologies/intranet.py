"""Homes before an operator whose HMS (initial) is on its intranet (TS 32.583, 5.1.1).

                                            core
hnb --[ home ]-- gateway --[ internet ]--+-- segw ---------[ core ]--- inner_dns, initial_hms
                                         +-- serving_segw -[ south ]-- serving_dns, serving_hms,
                                         |                             hnb_gw
                                         +-- north_segw ---[ north ]-- north_dns, north_hms,
                                         |                             north_hnb_gw
                                         +-- outer_dns
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from testbed.host import TunnelLife
from testbed.roles.hms_policy import Area, Assignment
from testbed.topology import Algorithms, Certificate, Link, Nat, Topology
from topologies.public import (
    IN_THE_NORTH,
    INITIAL_HMS,
    NORTH,
    NORTH_HMS,
    NORTH_HNB_GW,
    NORTH_SEGW,
    PLACES,
    SERVING_HMS,
    SERVING_SEGW,
    SOUTH,
    SOUTH_HNB_GW,
)

INITIAL_SEGW = "segw.operator.example"
INTRANET_HMS = "hms.core.operator.example"
HMS_ALIAS = "acs.core.operator.example"
"""Another name of HMS (initial)."""
DEAD_SEGW, DEAD_HNB_GW = "segw.dead.operator.example", "hnbgw.dead.operator.example"
"""Names of addresses at which nobody is."""
TWICE_SEGW = "segws.south.operator.example"
"""A name of two addresses, of which the first is dead."""

OUTER_ZONE = f"""\
{INITIAL_SEGW}.     300 IN A 203.0.113.50
{SERVING_SEGW}.     300 IN A 203.0.113.51
{NORTH_SEGW}.       300 IN A 203.0.113.52
{DEAD_SEGW}.        300 IN A 203.0.113.90
{TWICE_SEGW}.       300 IN A 203.0.113.90
{TWICE_SEGW}.       300 IN A 203.0.113.51
{INITIAL_HMS}.      300 IN A 203.0.113.20
"""
CORE_ZONE = f"""\
{INTRANET_HMS}.     300 IN A 10.10.0.20
{HMS_ALIAS}.        300 IN A 10.10.0.20
{SOUTH_HNB_GW}.     300 IN A 10.10.0.60
"""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the operator's network that serves one place.

    Attributes:
        name: of its link.
        octet: the second one of its link's subnet; that of its pool is 100 more.
        segw_number: its SeGW's host number on the Internet.
        names: of SeGW, HMS and HNB-GW.
        nodes: likewise, with the DNS server behind them.
        area: where it serves.
    """

    name: str
    octet: int
    segw_number: int
    names: tuple[str, str, str]
    nodes: tuple[str, str, str, str]
    area: Area


THE_SOUTH = Region(
    *("south", 20, 51, (SERVING_SEGW, SERVING_HMS, SOUTH_HNB_GW)),
    *(("serving_segw", "serving_hms", "hnb_gw", "serving_dns"), SOUTH),
)
THE_NORTH = Region(
    *("north", 30, 52, (NORTH_SEGW, NORTH_HMS, NORTH_HNB_GW)),
    *(("north_segw", "north_hms", "north_hnb_gw", "north_dns"), NORTH),
)


def hms_on_intranet(
    homes: int = 1,
    nat: Nat = Nat.MASQUERADE,
    mode: str = "intranet",
    scheme: str = "http",
    certificate: Certificate = Certificate.GOOD,
    hms_certificate: Certificate = Certificate.GOOD,
    hnb_gw: bool = True,
    shared_hms: bool = False,
    serving_name: str = INTRANET_HMS,
    leaves_tunnel: bool = True,
    dead: str = "",
    clock: str = "right",
    place: str = "south",
    keepalive_s: float = 20.0,
    dead_peer_s: float = 0.0,
    rekey_s: float = 3600.0,
    ike_rekey_s: float = 14400.0,
    retransmit_s: float = 2.0,
    algorithms: Algorithms = Algorithms.PROFILE,
) -> Topology:
    """Homes with an HNB each, and an operator whose HMS is behind Security Gateways.

    Args:
        homes: how many; the second HNB stands in the north, where others serve.
        nat: what each gateway does to packets that leave its home.
        mode: "public": HMS (initial) is on the Internet, the serving side behind its SeGW.
        scheme: of all HMS URLs inside tunnels: http, or https.
        certificate: what the SeGW (initial) shows.
        hms_certificate: what HMS (initial) shows, by https.
        hnb_gw: whether HMS (initial) assigns the HNB-GW; else HMS (serving) does.
        shared_hms: whether HMS (initial) is the serving HMS too, and its SeGW the serving SeGW.
        serving_name: the host of the serving HMS's URL, where it is shared.
        leaves_tunnel: whether HNBs take the tunnel to the SeGW (initial) down (step 9).
        dead: what of the serving side is dead: "first_segw", "first_address" (of the SeGW's two),
            "first_hnb_gw", "segw" (the only one), "hnb_gw" (likewise).
        clock: "1970": the HNBs have never learnt what the date is.
        place: where the first HNB stands: south, north, or sea (where nobody serves).
        keepalive_s: between two NAT keep-alives of a tunnel; 0: none.
        dead_peer_s: idle time after which an end asks whether the other one lives; 0: never.
        rekey_s: after which ESP keys are changed.
        ike_rekey_s: after which IKE keys are changed.
        retransmit_s: how long an IKE request waits for its response; each next time 1.8 as long.
        algorithms: which ones the SeGW (initial) lets HNBs have.
    """
    net = Topology(hms_on_intranet.__doc__)
    internet = net.link("internet", "203.0.113.0/24")
    life = TunnelLife(
        keepalive_s=keepalive_s,
        dead_peer_s=dead_peer_s,
        rekey_s=rekey_s,
        ike_rekey_s=ike_rekey_s,
        retransmit_first_s=retransmit_s,
    )
    is_public = mode == "public"
    host = INITIAL_HMS if is_public else INTRANET_HMS
    url = f"{'https' if is_public else scheme}://{host}/acs"
    shared_url = f"{scheme}://{serving_name}/acs" if shared_hms else None
    given = _assignments(shared_url, scheme, hnb_gw, dead)
    segw = {"life": life, "certificate": certificate, "algorithms": algorithms}
    _initial_side(net, internet, is_public, url, segw, hms_certificate, given)
    regions = [] if shared_hms else [THE_SOUTH]
    if homes > 1 or place == "north":
        regions.append(THE_NORTH)
    for region in regions:
        _serving_side(net, internet, region, life, scheme, hnb_gw, dead)
    if shared_hms:
        net.node("hnb_gw", net.links["core"].at(60), router="10.10.0.1")
    hnb = {"segw": None if is_public else INITIAL_SEGW, "hms_url": url, "clock": clock}
    _homes(net, homes, nat, place, **hnb, life=life, leaves_tunnel=leaves_tunnel)
    return net


def _homes(net: Topology, homes: int, nat: Nat, place: str, **hnb: Any) -> None:
    """So many homes; the second one's HNB stands in the north."""
    for number, home in enumerate(net.repeat("home", homes)):
        lan = home.link("home", "192.168.1.0/24")
        outside = net.links["internet"].next_free()
        home.node("gateway", lan.at(1), outside, nat=nat, dns_servers=("203.0.113.53",))
        home.node(
            *("hnb", lan.by_dhcp()),
            place=IN_THE_NORTH if number == 1 else PLACES[place],
            registers_by_tunnel=True,
            **hnb,
        )


def _initial_side(
    net: Topology,
    internet: Link,
    is_public: bool,
    url: str,
    segw: Mapping[str, Any],
    hms_certificate: Certificate,
    assignments: tuple[Assignment, ...],
) -> None:
    """The outer DNS, HMS (initial), and what is before it on an intranet."""
    core = net.link("core", "10.10.0.0/16")
    net.node(
        *("outer_dns", internet.at(53)),
        role="dns_server",
        zone=OUTER_ZONE,
        origin="operator.example",
    )
    if not is_public:
        _segw(net, internet, core, "segw", INITIAL_SEGW, 50, **segw)
        net.node(
            *("inner_dns", core.at(53)),
            role="dns_server",
            router="10.10.0.1",
            zone=CORE_ZONE,
            origin="operator.example",
        )
    net.node(
        *("initial_hms", internet.at(20) if is_public else core.at(20)),
        role="hms",
        router=None if is_public else "10.10.0.1",
        names=(INITIAL_HMS if is_public else INTRANET_HMS,),
        url=url,
        certificate=hms_certificate,
        assignments=assignments,
    )


def _segw(
    net: Topology,
    internet: Link,
    inside: Link,
    node: str,
    name: str,
    number: int,
    **settings: Any,
) -> None:
    """A Security Gateway between the Internet and a link, with a pool of its own."""
    second = int(str(inside.subnet.network_address).split(".")[1])
    net.node(
        *(node, internet.at(number), inside.at(1)),
        role="segw",
        names=(name,),
        pool=f"10.{second + 100}.0.0/16",
        dns_servers=(str(inside.subnet[53]),),
        protects=(str(inside.subnet),),
        **settings,
    )


def _assignments(
    shared_url: str | None, scheme: str, hnb_gw: bool, dead: str
) -> tuple[Assignment, ...]:
    """What HMS (initial) gives to whom; with its own URL where it serves too."""
    segw = SERVING_SEGW
    more_segws: tuple[str, ...] = ()
    if dead == "first_segw":
        segw, more_segws = DEAD_SEGW, (SERVING_SEGW,)
    elif dead == "first_address":
        segw = TWICE_SEGW
    elif dead == "segw":
        segw = DEAD_SEGW
    gateways = _gateways(dead) if hnb_gw else (None,)
    return (
        Assignment(
            *("south", SOUTH),
            segw=INITIAL_SEGW if shared_url else segw,
            hms_url=shared_url or f"{scheme}://{SERVING_HMS}/acs",
            hnb_gw=gateways[0],
            more_segws=more_segws,
            more_hnb_gws=gateways[1:],
        ),
        Assignment(
            *("north", NORTH, NORTH_SEGW, f"{scheme}://{NORTH_HMS}/acs"),
            hnb_gw=NORTH_HNB_GW if hnb_gw else None,
        ),
    )


def _gateways(dead: str) -> tuple[str, ...]:
    """The HNB-GWs of the south, in the order in which they are to be tried."""
    if dead == "first_hnb_gw":
        return (DEAD_HNB_GW, SOUTH_HNB_GW)
    return (DEAD_HNB_GW,) if dead == "hnb_gw" else (SOUTH_HNB_GW,)


def _serving_side(
    net: Topology,
    internet: Link,
    region: Region,
    life: TunnelLife,
    scheme: str,
    hnb_gw: bool,
    dead: str,
) -> None:
    """SeGW, DNS server, HMS and HNB-GW of a region."""
    inside = net.link(region.name, f"10.{region.octet}.0.0/16")
    router = str(inside.subnet[1])
    segw, hms, gateway, dns_server = region.nodes
    segw_name, hms_name, gateway_name = region.names
    also = (TWICE_SEGW,) if region is THE_SOUTH else ()
    _segw(net, internet, inside, segw, segw_name, region.segw_number, life=life)
    net.nodes[segw] = replace(net.nodes[segw], names=(segw_name, *also))
    net.node(
        *(dns_server, inside.at(53)),
        role="dns_server",
        router=router,
        zone=(
            f"{hms_name}. 300 IN A {inside.subnet[20]}\n"
            f"{gateway_name}. 300 IN A {inside.subnet[60]}\n"
            f"{DEAD_HNB_GW}. 300 IN A {inside.subnet[90]}\n"
        ),
        origin="operator.example",
    )
    gateways = _gateways(dead) if region is THE_SOUTH else (gateway_name,)
    own = Assignment(region.name, region.area, hnb_gw=gateways[0], more_hnb_gws=gateways[1:])
    net.node(
        *(hms, inside.at(20)),
        role="hms",
        router=router,
        names=(hms_name,),
        url=f"{scheme}://{hms_name}/acs",
        assignments=() if hnb_gw else (own,),
    )
    net.node(gateway, inside.at(60), role="hnb_gw", router=router)
