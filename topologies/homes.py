"""Homes behind their gateways, on the Internet and before an operator's core.

hnb ---+                                   +--- outer_dns
       +--- gateway ---[ internet ]--------+
device-+    (NAT, DHCP)                    +--- segw ---[ core ]--- inner_dns, initial_hms
       home
"""

from __future__ import annotations

from testbed.topology import Link, Nat, Topology

OUTER_ZONE = """\
segw.operator.example.      300 IN A 203.0.113.50
hms.operator.example.       300 IN A 203.0.113.20
www.operator.example.       300 IN CNAME hms.operator.example.
"""
INNER_ZONE = """\
hms.core.operator.example.  300 IN A 10.10.0.20
"""


def home_on_internet(
    homes: int = 1,
    nat: Nat = Nat.MASQUERADE,
    lease_s: int = 3600,
    dns_proxy: bool = False,
    device: bool = False,
) -> Topology:
    """Homes with a gateway and an HNB each, and the Internet with its DNS server.

    Args:
        homes: how many.
        nat: what each gateway does to packets that leave its home.
        lease_s: of the gateways' DHCP servers.
        dns_proxy: whether gateways name themselves as DNS server, and forward.
        device: whether each home has a LAN device beside its HNB.
    """
    net = Topology(home_on_internet.__doc__)
    internet = net.link("internet", "203.0.113.0/24")
    net.node(
        "outer_dns", internet.at(53), role="dns_server", zone=OUTER_ZONE, origin="operator.example"
    )
    _homes(net, internet, homes, nat, lease_s, dns_proxy, device)
    return net


def home_behind_nat(
    homes: int = 1,
    nat: Nat = Nat.MASQUERADE,
    lease_s: int = 3600,
    dns_proxy: bool = False,
    device: bool = False,
) -> Topology:
    """Homes, the Internet with its DNS server, and an operator's core with its own.

    Args:
        homes: how many.
        nat: what each gateway does to packets that leave its home.
        lease_s: of the gateways' DHCP servers.
        dns_proxy: whether gateways name themselves as DNS server, and forward.
        device: whether each home has a LAN device beside its HNB.
    """
    net = Topology(home_behind_nat.__doc__)
    internet = net.link("internet", "203.0.113.0/24")
    core = net.link("core", "10.10.0.0/16")
    net.node(
        "outer_dns", internet.at(53), role="dns_server", zone=OUTER_ZONE, origin="operator.example"
    )
    net.node("segw", internet.at(50), core.at(1), role="bystander")
    net.node(
        "inner_dns",
        core.at(53),
        role="dns_server",
        router="10.10.0.1",
        zone=INNER_ZONE,
        origin="core.operator.example",
    )
    net.node("initial_hms", core.at(20), role="bystander", router="10.10.0.1")
    _homes(net, internet, homes, nat, lease_s, dns_proxy, device)
    return net


def _homes(
    net: Topology,
    internet: Link,
    homes: int,
    nat: Nat,
    lease_s: int,
    dns_proxy: bool,
    device: bool,
) -> None:
    for home in net.repeat("home", homes):
        lan = home.link("home", "192.168.1.0/24")
        home.node(
            "gateway",
            lan.at(1),
            internet.next_free(),
            nat=nat,
            lease_s=lease_s,
            dns_servers=("203.0.113.53",),
            dns_proxy=dns_proxy,
        )
        home.node("hnb", lan.by_dhcp(), segw="segw.operator.example")
        if device:
            home.node("device", lan.by_dhcp(), first_name="www.operator.example")
