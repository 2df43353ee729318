"""Faults of the operator: what its HMS assigns, and what its name server publishes."""

from __future__ import annotations

import dataclasses

from testbed.faults.fault import fault
from testbed.host import Pause
from testbed.protocols import dns
from testbed.protocols.pki import Authority
from testbed.protocols.wire import Endpoint
from testbed.roles.dns_server import DnsServer
from testbed.roles.hms import Hms
from testbed.roles.hms_policy import Area
from testbed.roles.segw import Segw

LATE_S = 2.2
"""Longer than a stub resolver waits before it asks again (two seconds), shorter than it goes on."""
INITIAL_HMS = "hms.operator.example"
INTRANET_HMS = "hms.core.operator.example"
INITIAL_SEGW = "segw.operator.example"


@fault(
    "hms.same-set-for-all",
    role="hms",
    breaks=("32583-5.1-P2",),
    shown_in=("discovery_public/two_locations",),
)
def same_set_for_all(hms: Hms) -> None:
    """HMS (initial) gives everybody the set of its first place."""
    if hms.name == "initial_hms":
        hms.assignments = [dataclasses.replace(hms.assignments[0], area=Area())]


@fault(
    "hms.never-names-hnb-gw",
    role="hms",
    breaks=("32583-5.1-P3", "32583-5.1.1-6-note", "32583-5.1.2-6-note"),
    shown_in=("discovery_public/hnbgw_by_serving", "discovery_hnbgw_by_serving"),
)
def never_names_hnb_gw(hms: Hms) -> None:
    """Neither HMS (initial) nor HMS (serving) has an HNB-GW to name."""
    hms.assignments = [dataclasses.replace(each, hnb_gw=None) for each in hms.assignments]


@fault("dns.hms-not-published", role="dns_server", breaks=("32583-5.1.2-P2",))
def hms_not_published(server: DnsServer) -> None:
    """The outer DNS does not know the name of HMS (initial)."""
    if server.name == "outer_dns":
        server.zone.remove(INITIAL_HMS)


@fault(
    "dns.late-answer",
    role="dns_server",
    breaks=(),
    acts_on="message dns",
    seen_in="name servers behind a slow link; resolvers that forget a question when they repeat it",
)
def late_answer(answer: dns.Answer, _to: Endpoint) -> list[dns.Answer | Pause]:
    """Answers come so late that the question has been asked again."""
    return [Pause(LATE_S), answer]


@fault("dns.hms-at-private-address", role="dns_server", breaks=("32583-5.1.2-P2",))
def hms_at_private_address(server: DnsServer) -> None:
    """The outer DNS gives the address that HMS (initial) has inside the operator's network."""
    if server.name == "outer_dns":
        server.zone.remove(INITIAL_HMS)
        server.zone.add(INITIAL_HMS, "A", "10.10.0.20")


@fault(
    "dns.segw-not-published",
    role="dns_server",
    breaks=("32583-5.1.1-2.2",),
    shown_in=("discovery_intranet/",),
)
def segw_not_published(server: DnsServer) -> None:
    """The outer DNS does not know the name of SeGW (initial)."""
    if server.name == "outer_dns":
        server.zone.remove(INITIAL_SEGW)


@fault(
    "dns.hms-not-in-inner-zone",
    role="dns_server",
    breaks=("32583-5.1.1-2.5",),
    shown_in=("discovery_intranet/",),
)
def hms_not_in_inner_zone(server: DnsServer) -> None:
    """The inner DNS does not know the name of HMS (initial)."""
    if server.name == "inner_dns":
        server.zone.remove(INTRANET_HMS)


@fault(
    "segw.shows-a-strangers-certificate",
    role="segw",
    breaks=("32583-5.1-P7", "32583-5.1.1-2.3"),
    shown_in=("discovery_intranet/",),
    seen_in="a gateway whose certificate was renewed by another authority, for another name",
)
def segw_shows_a_strangers_certificate(segw: Segw) -> None:
    """SeGW (initial) shows a certificate for another name, and of another root."""
    if segw.name == "segw":
        stranger = Authority("Stranger", segw.name, segw.node.settings["moment"])
        identity = stranger.issue("www.stranger.example")
        segw.policy = dataclasses.replace(segw.policy, identity=identity)
