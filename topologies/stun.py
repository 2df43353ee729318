"""A home behind a NAT, and an ACS with its STUN server on the Internet (TR-111 Part 2).

device ---[ home ]--- gateway ---[ internet ]--- outer_dns, initial_hms, stun_server
"""

from __future__ import annotations

import dataclasses
from enum import Enum

from testbed.protocols.stun import Search
from testbed.topology import Nat, Topology, find_nat

ACS = "acs.operator.example"
STUN = "stun.operator.example"
OTHER_PORT = 3479
GATEWAY_NUMBER = 100
"""Of the first gateway's outside address."""

HOME = "home.operator.example"
"""The first home's own name."""

ZONE = f"""\
{HOME}.   300 IN A 203.0.113.{GATEWAY_NUMBER}
{ACS}.    300 IN A 203.0.113.20
{STUN}.   300 IN A 203.0.113.30
"""


def acs_with_stun(
    homes: int = 1,
    nat: Nat = Nat.MASQUERADE,
    scheme: str = "https",
    two_addresses: bool = True,
    search: Search = Search.GALLOP,
    own_stun: bool = False,
    udp_port: int = 7547,
) -> Topology:
    """Homes with a LAN device each, whose ACS has a STUN server.

    Args:
        homes: how many.
        nat: what each gateway does to packets that leave its home; `none` routes them, for one home
            only: the servers know one way back.
        scheme: of the ACS's URL: https, or http.
        two_addresses: whether the STUN server has a second address, and a second port.
        search: how devices look for their binding's lifetime.
        own_stun: whether the ACS is its own STUN server, in one process; there is no other then.
        udp_port: where the devices take UDP Connection Requests.
    """
    router = f"203.0.113.{GATEWAY_NUMBER}" if nat is Nat.NONE else None
    net = _servers(acs_with_stun.__doc__, scheme, two_addresses, router, own_stun)
    internet, url = net.links["internet"], _url(scheme)
    for home in net.repeat("home", homes):
        lan = home.link("home", "192.168.1.0/24")
        home.node(
            "gateway", lan.at(1), internet.next_free(), nat=nat, dns_servers=("203.0.113.53",)
        )
        home.node(
            *("device", lan.by_dhcp()),
            hms_url=url,
            lifetime_search=search.value,
            udp_connection_request_port=udp_port,
        )
    return net


def _url(scheme: str) -> str:
    return f"{scheme}://{ACS}/acs"


def _servers(
    title: str | None,
    scheme: str,
    two_addresses: bool = True,
    router: str | None = None,
    own_stun: bool = False,
) -> Topology:
    """All that is on the Internet: DNS, ACS, STUN server."""
    net = Topology(title)
    internet = net.link("internet", "203.0.113.0/24")
    net.node(
        *("outer_dns", internet.at(53)),
        role="dns_server",
        router=router,
        zone=ZONE,
        origin="operator.example",
    )
    net.node(
        *("initial_hms", internet.at(20)),
        role="hms",
        router=router,
        names=(ACS,),
        url=_url(scheme),
        dns_servers=("203.0.113.53",),
        serves_stun=own_stun,
    )
    if not own_stun:
        addresses = [internet.at(30), *([internet.at(31)] if two_addresses else [])]
        other_port = OTHER_PORT if two_addresses else None
        net.node("stun_server", *addresses, router=router, names=(STUN,), other_port=other_port)
    return net


class Pace(Enum):
    """How long the lifetimes of a gateway's bindings are."""

    SCALED = "scaled"
    """A few seconds, whatever the kind says: for a clock that nobody can hurry."""
    TRUE = "true"
    """The kind's own: for the simulation."""


SCALED_S = {"lifetime_s": 4.0, "confirmed_lifetime_s": 8.0, "binding_request_lifetime_s": 8.0}
"""Of the lifetimes that a kind has."""


def acs_with_stun_in_time(
    nat: Nat = find_nat("port-restricted"),  # noqa: B008  # plain data that nobody changes
    pace: Pace = Pace.SCALED,
    search: Search = Search.GALLOP,
) -> Topology:
    """One home whose gateway forgets bindings soon enough to be waited for.

    Args:
        nat: what the gateway does.
        pace: whether its lifetimes are a few seconds, or its kind's own.
        search: how the device looks for the lifetime.
    """
    if pace is Pace.SCALED:
        nat = nat.with_knobs({n: s for n, s in SCALED_S.items() if getattr(nat, n) is not None})
    return acs_with_stun(nat=nat, search=search)


def acs_with_stun_and_tester(two_addresses: bool = True, nat: Nat = Nat.MASQUERADE) -> Topology:
    """A home, an ACS and its STUN server, somebody who tries that server, and a stranger.

    Args:
        two_addresses: whether the STUN server has a second address, and a second port.
        nat: what the home's gateway does.
    """
    net = acs_with_stun(two_addresses=two_addresses, nat=nat)
    internet = net.links["internet"]
    net.node("stun_tester", internet.at(60))
    net.node("stranger", internet.at(61), role="bystander")
    return net


def managed_gateway_behind_carrier(
    nat: Nat = Nat.MASQUERADE,
    scheme: str = "https",
) -> Topology:
    """A home gateway that is a CPE itself, behind its carrier's NAT.

    gateway ---[ access ]--- carrier ---[ internet ]--- outer_dns, initial_hms, stun_server

    Args:
        nat: what the carrier does to packets of its customers.
        scheme: of the ACS's URL: https, or http.
    """
    net = _servers(managed_gateway_behind_carrier.__doc__, scheme)
    net.node(
        *("gateway", net.link("home", "192.168.1.0/24").at(1), net.links["internet"].next_free()),
        nat=dataclasses.replace(Nat.MASQUERADE, carrier=nat),
        dns_servers=("203.0.113.53",),
        hms_url=_url(scheme),
        starts_off=True,
    )
    return net


SHARED_NUMBER = 98
"""Of the address that a home's device and the carrier's outside have in common."""


def home_numbered_as_its_outside(scheme: str = "https") -> Topology:
    """A home that uses addresses of the Internet within, among them the very one that its carrier
    gives it outside: two translations, after which only the port is another one.

    device ---[ home ]--- gateway ---[ access ]--- carrier ---[ internet ]--- outer_dns,
    initial_hms, stun_server

    Args:
        scheme: of the ACS's URL: https, or http.
    """
    net = _servers(home_numbered_as_its_outside.__doc__, scheme)
    carrier = find_nat("symmetric-contiguous")
    net.node(
        "gateway",
        net.link("home", "203.0.113.96/28").at(1),
        net.links["internet"].at(SHARED_NUMBER),
        nat=dataclasses.replace(Nat.MASQUERADE, carrier=carrier),
        dns_servers=("203.0.113.53",),
    )
    net.node("device", net.links["home"].by_dhcp(), hms_url=_url(scheme))
    return net
