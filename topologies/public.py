"""Homes before an operator whose HMS (initial) is on the public Internet (TS 32.583, 5.1.2).

hnb ---[ home ]--- gateway ---[ internet ]--- outer_dns, initial_hms, serving_hms, north_hms,
                                              serving_segw, north_segw
"""

from __future__ import annotations

from typing import Any

from testbed.roles.hms_policy import Area, Assignment
from testbed.roles.hnb import Place
from testbed.topology import Certificate, Link, Nat, Topology

INITIAL_HMS = "hms.operator.example"
SERVING_HMS = "hms.south.operator.example"
SERVING_SEGW = "segw.south.operator.example"
NORTH_HMS = "hms.north.operator.example"
NORTH_SEGW = "segw.north.operator.example"
SOUTH_HNB_GW = "hnbgw.south.operator.example"
NORTH_HNB_GW = "hnbgw.north.operator.example"

ZONE = f"""\
{INITIAL_HMS}.      300 IN A 203.0.113.20
{SERVING_HMS}.      300 IN A 203.0.113.21
{NORTH_HMS}.        300 IN A 203.0.113.22
{SERVING_SEGW}.     300 IN A 203.0.113.50
{NORTH_SEGW}.       300 IN A 203.0.113.51
"""

SOUTH = Area(polygon=((47.0, 5.0), (47.0, 15.0), (51.0, 15.0), (51.0, 5.0)))
NORTH = Area(polygon=((51.0, 5.0), (51.0, 15.0), (55.0, 15.0), (55.0, 5.0)))
IN_THE_SOUTH = Place(48.137, 11.575, (("26201", 4711, 815),))
IN_THE_NORTH = Place(53.551, 9.993, (("26201", 4712, 816),))
AT_SEA = Place(0.0, -30.0)

FEW_HOMES = 100
"""So many find a place in 203.0.113.0/24 (RFC 5737)."""
PLACES = {"south": IN_THE_SOUTH, "north": IN_THE_NORTH, "sea": AT_SEA}


def _internet(net: Topology, homes: int) -> tuple[Link, int]:
    """The Internet with room for so many homes, and the number of 203.0.113.0 in it."""
    if homes <= FEW_HOMES:
        return net.link("internet", "203.0.113.0/24"), 0
    return net.link("internet", "203.0.0.0/16"), 113 << 8


def hms_on_internet(
    homes: int = 1,
    nat: Nat = Nat.MASQUERADE,
    scheme: str = "https",
    certificate: Certificate = Certificate.GOOD,
    hms_host: str = INITIAL_HMS,
    hnb_gw: bool = True,
    shared_hms: bool = False,
    clock: str = "right",
    place: str = "south",
    managed_gateway: bool = False,
) -> Topology:
    """Homes with an HNB each, and the operator's initial and serving HMS on the Internet.

    Args:
        homes: how many; the second HNB stands in the north, where others serve.
        nat: what each gateway does to packets that leave its home.
        scheme: of all HMS URLs: https, or http.
        certificate: what HMS (initial) shows.
        hms_host: host of the factory URL: a name, or an address.
        hnb_gw: whether HMS (initial) assigns the HNB-GW; else HMS (serving) does.
        shared_hms: whether HMS (initial) is the serving HMS too.
        clock: "1970": the HNBs have never learnt what the date is.
        place: where the first HNB stands: south, north, or sea (where nobody serves).
        managed_gateway: whether the gateways are managed themselves, by the serving HMS.
    """
    net = Topology(hms_on_internet.__doc__)
    internet, start = _internet(net, homes)
    initial, serving, north = (
        f"{scheme}://{host}/acs" for host in (INITIAL_HMS, SERVING_HMS, NORTH_HMS)
    )
    net.node(
        *("outer_dns", internet.at(start + 53)),
        role="dns_server",
        zone=ZONE,
        origin="operator.example",
    )
    given = {"south": SOUTH_HNB_GW, "north": NORTH_HNB_GW}
    at_first = given if hnb_gw else {}
    net.node(
        "initial_hms",
        internet.at(start + 20),
        role="hms",
        names=(INITIAL_HMS,),
        url=initial,
        certificate=certificate,
        assignments=(
            Assignment(
                *("south", SOUTH, SERVING_SEGW),
                hms_url=initial if shared_hms else serving,
                hnb_gw=at_first.get("south"),
            ),
            Assignment("north", NORTH, NORTH_SEGW, north, at_first.get("north")),
        ),
    )
    for name, number, host, url, area in (
        ("serving_hms", 21, SERVING_HMS, serving, "south"),
        ("north_hms", 22, NORTH_HMS, north, "north"),
    ):
        assignment = Assignment(area, {"south": SOUTH, "north": NORTH}[area], hnb_gw=given[area])
        net.node(
            *(name, internet.at(start + number)),
            role="hms",
            names=(host,),
            url=url,
            assignments=() if hnb_gw else (assignment,),
        )
    net.node("serving_segw", internet.at(start + 50), role="bystander", names=(SERVING_SEGW,))
    net.node("north_segw", internet.at(start + 51), role="bystander", names=(NORTH_SEGW,))
    url = f"{scheme}://{hms_host}/acs"
    manager = serving if managed_gateway else None
    hnb = {"hms_url": url, "place": PLACES[place], "clock": clock}
    _homes(net, internet, homes, nat, manager, hnb)
    return net


def _homes(
    net: Topology, internet: Link, homes: int, nat: Nat, manager: str | None, hnb: dict[str, Any]
) -> None:
    """The homes, each with its gateway and its HNB; the second stands in the north."""
    for number, home in enumerate(net.repeat("home", homes)):
        lan = home.link("home", "192.168.1.0/24")
        home.node(
            *("gateway", lan.at(1), internet.next_free()),
            nat=nat,
            dns_servers=("203.0.113.53",),
            hms_url=manager,
        )
        there = {"place": IN_THE_NORTH} if number == 1 else {}
        home.node("hnb", lan.by_dhcp(), **{**hnb, **there})
