"""Steps 2 to 2.5 and 3 of discovery over IPsec: whom the HNB turns to, and by what name.

TS 32.583, 5.1.1.  What goes through the tunnel is seen on its inside, the link "ipsec".
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.check import check
from testbed.conformance.early import (
    connections_before_done,
    contacts_before_done,
    end_of,
    tunnelled_discoveries,
)
from testbed.conformance.index import index_of
from testbed.conformance.reading import (
    INITIAL_HMS,
    INNER_DNS,
    OUTER_DNS,
    Lookup,
    factory_of,
    is_address,
    is_one_of,
    is_serving,
    lookups,
    plain_name,
    staged,
)
from testbed.conformance.sessions import Discovery, redirections
from testbed.conformance.tunnels import Attempt, attempts, inner_addresses, is_inside
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace


@check("32583-5.1.1-2", supposes=("whole",))
def tunnel_follows_the_name(trace: Trace) -> Iterator[Finding]:
    """Query, answer, tunnel and inner query follow each other, and the tunnel goes where the answer
    says.

    AMB-3G-08: a SeGW that is configured by its address needs no query.  Violation: IKE to an
    address of no answer, or a query to the inner DNS without a tunnel.
    """
    for discovery in tunnelled_discoveries(trace):
        segw = _segw_name(trace, discovery)
        for attempt in _attempts(trace, discovery):
            known = _addresses_before(trace, discovery, segw, attempt.begun)
            if attempt.address in known:
                yield ok(attempt.begun, f"{attempt.address} is of the answer")
            else:
                said = f"the answers say {', '.join(known)}" if known else "no answer says so"
                yield fault(attempt.begun, f"IKE to {attempt.address}; of {segw} {said}")
        up = [each for each in _attempts(trace, discovery) if each.is_up]
        for lookup in _inner_lookups(trace, discovery):
            if not any(_ready(each) < lookup.query.number for each in up):
                yield fault(lookup.query, f"asks the inner DNS for {lookup.name}, without a tunnel")


@check("32583-5.1.1-2.1", supposes=("whole",))
def segw_is_asked_for_at_the_outer_dns(trace: Trace) -> Iterator[Finding]:
    """The name of SeGW (initial) is asked for outside, at the outer DNS.

    A gateway that forwards queries stands for the outer DNS.  Violation: the HMS's name outside,
    or a query to the inner DNS outside the tunnel.
    """
    for discovery in tunnelled_discoveries(trace):
        segw, hms = _segw_name(trace, discovery), _hms_name(trace, discovery)
        for lookup in _lookups(trace, discovery):
            if is_inside(lookup.query):
                continue
            if is_one_of(lookup.server, INNER_DNS):
                yield fault(lookup.query, f"asks the inner DNS for {lookup.name}, outside")
            elif lookup.name == hms and hms != segw:
                yield fault(lookup.query, f"asks for {lookup.name}, HMS (initial), outside")
            elif lookup.name == segw:
                yield ok(lookup.query, f"asks for {lookup.name}")


@check("32583-5.1.1-2.2", supposes=("whole",))
def outer_dns_gives_the_segw(trace: Trace) -> Iterator[Finding]:
    """The outer DNS answers with an address of SeGW (initial).

    Violation: another code than NOERROR, or no address.  Where the scenario itself keeps the
    address back, or no answer comes, the HNB is looked at instead: no IKE may follow (AMB-3G-10).
    """
    for discovery in tunnelled_discoveries(trace):
        segw = _segw_name(trace, discovery)
        asked = [each for each in _lookups(trace, discovery) if each.name == segw]
        asked = [each for each in asked if not is_inside(each.query)]
        opened = _attempts(trace, discovery)
        yield from _answered(trace, asked, OUTER_DNS, opened[0].begun if opened else None, "IKE")


@check("32583-5.1.1-2.4", supposes=("whole",))
def hms_is_asked_for_inside(trace: Trace) -> Iterator[Finding]:
    """The name of HMS (initial) is asked for through the tunnel, at the inner DNS.

    AMB-3G-02: "through the secure connection" of 2.3.  Violation: the name in a query outside, or
    at another server, or from another address than the inner one.
    """
    for discovery in tunnelled_discoveries(trace):
        hms = _hms_name(trace, discovery)
        own = {address for _, address in inner_addresses(trace, discovery.hnb)}
        for lookup in _lookups(trace, discovery):
            if lookup.name != hms:
                continue
            source = lookup.query.source
            if not is_inside(lookup.query):
                yield fault(lookup.query, f"asks for {hms} outside the tunnel")
            elif is_one_of(lookup.server, OUTER_DNS):
                yield fault(lookup.query, f"asks the outer DNS for {hms}, through the tunnel")
            elif source is not None and own and source.address not in own:
                yield fault(lookup.query, f"asks from {source.address}, no inner address")
            else:
                yield ok(lookup.query, f"asks for {hms} inside")


@check("32583-5.1.1-2.5", supposes=("whole",))
def inner_dns_gives_the_hms(trace: Trace) -> Iterator[Finding]:
    """The inner DNS answers with an address of HMS (initial), and the HNB connects to that.

    Violation: another code than NOERROR, or no address; or a connection to another one.  Where the
    scenario itself keeps the address back, or no answer comes, nobody may be connected to.
    """
    for discovery in tunnelled_discoveries(trace):
        hms = _hms_name(trace, discovery)
        asked = [each for each in _inner_lookups(trace, discovery) if each.name == hms]
        reached = connections_before_done(trace, discovery)
        first = reached[0].syn if reached else None
        yield from _answered(trace, asked, INNER_DNS, first, "a connection")
        known = {address for each in asked for address in each.addresses}
        inside = [each for each in reached if is_inside(each.syn)]
        if known and inside and inside[0].address not in known:
            told = ", ".join(sorted(known))
            yield fault(inside[0].syn, f"connects to {inside[0].address}, the answer says {told}")


@check("32583-5.1.1-3", supposes=("whole",))
def session_goes_through_the_tunnel(trace: Trace) -> Iterator[Finding]:
    """The HNB connects from its inner address to an address of 2.5, and begins with an Inform.

    AMB-3G-07: TLS is a choice here.  Violation: a connection from outside, to another address, one
    that the HMS opens, or another first request than a POST with an Inform.
    """
    for discovery in tunnelled_discoveries(trace):
        own = {address for _, address in inner_addresses(trace, discovery.hnb)}
        known = {
            address
            for each in _inner_lookups(trace, discovery)
            if each.name in {_hms_name(trace, discovery), *redirections(discovery)}
            for address in each.addresses
        }
        for record in index_of(trace).of_node.get(discovery.hnb, ()):
            opens = "SYN" in record.marks and "ACK" not in record.marks
            early = discovery.first <= record.number < end_of(discovery)
            if opens and early and is_one_of(trace.arrow_of(record).origin, INITIAL_HMS):
                yield fault(record, "HMS (initial) opens the connection")
        for connection in connections_before_done(trace, discovery):
            syn = connection.syn
            assert syn.source is not None
            if not is_inside(syn):
                if is_one_of(connection.server, INITIAL_HMS):
                    yield fault(syn, "a connection to HMS (initial) outside the tunnel")
                continue
            if own and syn.source.address not in own:
                yield fault(syn, f"a connection from {syn.source.address}, no inner address")
            elif known and connection.address not in known:
                told = ", ".join(sorted(known))
                yield fault(syn, f"a connection to {connection.address}, the answers say {told}")
            elif connection.requests():
                first = connection.requests()[0]
                if first.message.method == "POST" and first.find(rpc.Inform) is not None:
                    yield ok(first, f"the session begins from {syn.source.address}")
                elif not _goes_on(discovery, first):
                    yield fault(first, f"begins with {first.summary()}, an Inform is due")


def _goes_on(discovery: Discovery, request: Record) -> bool:
    """Whether a request goes on with a session that another connection has begun."""
    later = (turn for session in discovery.sessions for turn in session.turns[1:])
    return any(turn is request for turn in later)


def _answered(
    trace: Trace, asked: list[Lookup], server: str, after: Record | None, what: str
) -> Iterator[Finding]:
    """Whether a server has given an address; where it has not by intent, whether nothing follows.

    Args:
        trace: for what is staged.
        asked: the queries with their answers.
        server: whose duty it is.
        after: what may follow an address only; None: nothing does.
        what: what that is.
    """
    found = [each for each in asked if each.addresses]
    for lookup in found[:1]:
        assert lookup.answer is not None
        yield ok(lookup.answer, f"{lookup.name} is {', '.join(lookup.addresses)}")
    if not asked:
        return
    first = found[0].answer if found else None
    early = after is not None and (first is None or after.number < first.number)
    if early and after is not None and after.number > asked[0].query.number:
        yield fault(after, f"{what}, and {asked[0].name} has no address")
    if found:
        return
    answers = [each for each in asked if each.answer is not None]
    servers = (each for each in trace.addresses.nodes if is_one_of(each, server))
    is_staged = any(staged(trace, each, "name") for each in servers)
    if answers and not is_staged:
        code = answers[0].answer.message.code if answers[0].answer is not None else ""
        yield fault(answers[0].query, f"{answers[0].name} is answered {code}, no address")
    elif after is None:
        yield ok(asked[-1].query, "no address, and nothing follows")


def _ready(attempt: Attempt) -> int:
    answer = attempt.answered
    assert answer is not None
    return answer.number


def _segw_name(trace: Trace, discovery: Discovery) -> str:
    factory = factory_of(trace, discovery.hnb)
    return plain_name(factory.segw or "") if factory is not None else ""


def _hms_name(trace: Trace, discovery: Discovery) -> str:
    factory = factory_of(trace, discovery.hnb)
    return factory.hms_host if factory is not None else ""


def _attempts(trace: Trace, discovery: Discovery) -> list[Attempt]:
    """The tries to open a tunnel that should lead to SeGW (initial)."""
    return [
        each
        for each in attempts(trace, discovery.hnb)
        if discovery.first <= each.begun.number < end_of(discovery)
        and not is_serving(each.responder)
    ]


def _lookups(trace: Trace, discovery: Discovery) -> list[Lookup]:
    return [
        each
        for each in lookups(trace, discovery.hnb)
        if discovery.first <= each.query.number < end_of(discovery)
    ]


def _inner_lookups(trace: Trace, discovery: Discovery) -> list[Lookup]:
    return [
        each
        for each in _lookups(trace, discovery)
        if is_inside(each.query) or is_one_of(each.server, INNER_DNS)
    ]


def _addresses_before(
    trace: Trace, discovery: Discovery, name: str, moment: Record
) -> tuple[str, ...]:
    """What answers have said of a name by then; an address is its own."""
    if is_address(name):
        return (name,)
    found = [
        address
        for each in lookups(trace, discovery.hnb)
        if (each.name == name or not name) and each.answer is not None
        if each.answer.number < moment.number
        for address in each.addresses
    ]
    return tuple(dict.fromkeys(found))


def outside_contacts(trace: Trace, discovery: Discovery) -> Iterator[Record]:
    """What an HNB sends outside to nodes that are behind its SeGW."""
    for contact in contacts_before_done(trace, discovery):
        if not is_inside(contact.record) and is_one_of(contact.node, INITIAL_HMS, INNER_DNS):
            yield contact.record
