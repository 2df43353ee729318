"""What of a trace belongs to a discovery before its serving set is there: for checks of both flows.

Knows no verdict but one: that a step comes before the one that it follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

from testbed.conformance.index import index_of
from testbed.conformance.reading import (
    Connection,
    Contact,
    Lookup,
    connections,
    contacts,
    factory_of,
    is_serving,
    lookups,
    plain_name,
)
from testbed.conformance.sessions import Discovery, all_discoveries, redirections
from testbed.conformance.verdict import Finding, fault
from testbed.protocols import dhcp, dns
from testbed.trace.record import Record
from testbed.trace.trace import Trace

Step = tuple[str, Record | None]
"""A step of the ladder, and the record that does it; None: it is not done."""


def is_by_tunnel(trace: Trace, discovery: Discovery) -> bool:
    """Whether a discovery is one of 5.1.1: a SeGW (initial) leads to its HMS.

    By the HNB's factory data; where those are not told, by what it does first.
    """
    factory = factory_of(trace, discovery.hnb)
    if factory is not None:
        return factory.segw is not None
    return any(each.is_tunnel for each in contacts_before_done(trace, discovery))


def public_discoveries(trace: Trace) -> Iterator[Discovery]:
    """The discoveries that 5.1.2 is about."""
    return (each for each in all_discoveries(trace) if not is_by_tunnel(trace, each))


def tunnelled_discoveries(trace: Trace) -> Iterator[Discovery]:
    """The discoveries that 5.1.1 is about."""
    return (each for each in all_discoveries(trace) if is_by_tunnel(trace, each))


def end_of(discovery: Discovery) -> int:
    """The number of the record at which the serving set is there, or of the last one."""
    return discovery.last if discovery.done is None else discovery.done.number


def contacts_before_done(trace: Trace, discovery: Discovery) -> Iterator[Contact]:
    """The contacts of an HNB before it has its serving set."""
    for contact in contacts(trace, discovery.hnb):
        if discovery.first <= contact.record.number < end_of(discovery):
            yield contact


def connections_before_done(trace: Trace, discovery: Discovery) -> list[Connection]:
    """The connections that should lead to HMS (initial): not those to the serving side."""
    return [
        each
        for each in connections(trace, discovery.hnb)
        if discovery.first <= each.syn.number < end_of(discovery)
        and each.port != dns.PORT
        and not is_serving(each.server)
    ]


def hms_lookups(trace: Trace, discovery: Discovery) -> list[Lookup]:
    """The queries for the name of HMS (initial), or of where it redirects."""
    factory = factory_of(trace, discovery.hnb)
    names = redirections(discovery)
    if factory is not None:
        names |= {factory.hms_host}
    else:
        for connection in connections_before_done(trace, discovery):
            hello = connection.hello()
            if hello is not None and hello.message.server_name:
                names.add(plain_name(hello.message.server_name))
    return [
        each
        for each in lookups(trace, discovery.hnb)
        if discovery.first <= each.query.number < end_of(discovery) and each.name in names
    ]


def first_lease(trace: Trace, discovery: Discovery) -> Record | None:
    """The first lease that the HNB was given."""
    own = trace.hardware_addresses(discovery.hnb)
    for record in told_by_dhcp(trace, discovery):
        if isinstance(record.message, dhcp.Ack) and record.message.hardware_address in own:
            return record
    return None


def told_by_dhcp(trace: Trace, discovery: Discovery) -> list[Record]:
    """The offers and leases that may have reached the HNB."""
    index = index_of(trace)
    return [
        each
        for each in merge(
            index.of_node.get(discovery.hnb, ()), index.to_all, key=lambda each: each.number
        )
        if isinstance(each.message, dhcp.Offer | dhcp.Ack)
        and each.receiver in (discovery.hnb, None)
        and discovery.holds(each)
    ]


def out_of_order(before: Step, after: Step) -> Finding | None:
    """What is wrong between two steps that should follow each other; None: nothing."""
    (earlier, first), (later, second) = before, after
    if second is None:
        return None
    if first is None:
        return fault(second, f"{later} without {earlier}")
    if second.number < first.number:
        return fault(second, f"{later} comes before {earlier} (record {first.number})")
    return None
