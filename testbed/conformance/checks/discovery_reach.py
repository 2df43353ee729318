"""Steps 2 and 3 of discovery, and its order: whom an HNB turns to, and what it knows them by.

TS 32.583, 5.1 and 5.1.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.check import check
from testbed.conformance.checks.discovery import parameters_of
from testbed.conformance.early import (
    Step,
    connections_before_done,
    contacts_before_done,
    end_of,
    first_lease,
    hms_lookups,
    out_of_order,
    public_discoveries,
    told_by_dhcp,
)
from testbed.conformance.index import index_of
from testbed.conformance.places import is_public
from testbed.conformance.reading import (
    INITIAL_HMS,
    INNER_DNS,
    OUTER_DNS,
    Connection,
    Factory,
    Lookup,
    contact_in,
    factory_of,
    holder_of,
    is_address,
    is_one_of,
    is_serving,
    lookups,
    plain_name,
    staged,
)
from testbed.conformance.sessions import (
    Discovery,
    all_discoveries,
    is_redirection,
    redirections,
    registration,
    serving_set,
)
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import tls
from testbed.protocols.cwmp import rpc
from testbed.trace.opened import INSIDE
from testbed.trace.record import Record
from testbed.trace.trace import Trace


@check("32583-5.1-P1", supposes=("whole",))
def initial_hms_comes_first(trace: Trace) -> Iterator[Finding]:
    """Until the initial HMS has set the serving data, the HNB turns to nobody of the serving side.

    Violation: a SYN, an IKE, ESP or SCTP packet to a serving HMS, serving SeGW or HNB-GW before the
    SetParameterValues exchange is over.  An HNB that keeps its data over a reboot is not fresh; one
    after a factory reset is.
    """
    for discovery in all_discoveries(trace):
        first = True
        for contact in contacts_before_done(trace, discovery):
            if is_redirection(trace, discovery, contact.address):
                continue
            if is_serving(contact.node):
                if _is_hidden(trace, discovery, contact.record):
                    break  # what HMS (initial) has set meanwhile is not to be seen
                yield fault(contact.record, f"{contact} before HMS (initial) has set anything")
                break
            if first and contact.kind == "TCP" and is_one_of(contact.node, INITIAL_HMS):
                yield ok(contact.record, str(contact))
                first = False


@check("32583-5.1-P4", observed="told", supposes=("whole",))
def first_names_are_factory_data(trace: Trace) -> Iterator[Finding]:
    """The names that lead to SeGW and HMS (initial) are those that the HNB held at power-up.

    AMB-3G-08: of a URL the host counts; an address needs no query.  Violation: another name, or one
    that a DHCP server has named and the factory has not.
    """
    for discovery in all_discoveries(trace):
        factory = factory_of(trace, discovery.hnb)
        held = set() if factory is None else {factory.hms_host, plain_name(factory.segw or "")}
        for lookup in _first_lookups(trace, discovery):
            if lookup.name in held:
                yield ok(lookup.query, f"{lookup.name} is factory data")
            elif lookup.name in redirections(discovery) or _named_by_acs(discovery, lookup):
                continue
            elif _named_by_dhcp(trace, discovery, lookup):
                yield fault(lookup.query, f"asks for {lookup.name}, which DHCP has named")
            elif factory is not None:
                yield fault(
                    lookup.query,
                    f"asks for {lookup.name}, its factory data name "
                    f"{' and '.join(sorted(held - {''})) or 'nobody'}",
                )


@check("32583-5.1.2-P1", observed="told", supposes=("whole",))
def factory_holds_an_https_url(trace: Trace) -> Iterator[Finding]:
    """The factory data hold an https URL, and the first name asked for is its host.

    AMB-3G-08: a host that is an address is not asked for.  Violation: no URL, another scheme, or
    another name than the URL's.
    """
    for discovery in public_discoveries(trace):
        factory = factory_of(trace, discovery.hnb)
        if factory is None:
            continue
        url = factory.hms_url
        if not url or not url.lower().startswith("https://") or not factory.hms_host:
            yield fault(factory.record, f"the factory's URL of HMS (initial) is {url!r}, no https")
            continue
        if is_address(factory.hms_host):
            yield ok(factory.record, f"{url}, an address")
            continue
        for lookup in _first_lookups(trace, discovery)[:1]:
            if lookup.name == factory.hms_host:
                yield ok(lookup.query, f"the host of {url}")
            else:
                yield fault(lookup.query, f"asks for {lookup.name}, the factory's URL is {url}")


@check("32583-5.1.2-P2", supposes=("whole",))
def initial_hms_is_published(trace: Trace) -> Iterator[Finding]:
    """The outer DNS gives public addresses for the name of HMS (initial).

    Violation: another code than NOERROR, no address, or one that is not public.  Where the scenario
    itself has taken the name out of the zone, the HNB is looked at instead: it must contact nobody
    (AMB-3G-10).
    """
    for discovery in public_discoveries(trace):
        asked = [each for each in hms_lookups(trace, discovery) if each.answer is not None]
        found = [each for each in asked if each.addresses]
        for lookup in found:
            assert lookup.answer is not None
            private = [each for each in lookup.addresses if not is_public(each)]
            if private:
                yield fault(lookup.answer, f"{lookup.name} is {private[0]}, which is not public")
            else:
                yield ok(lookup.answer, f"{lookup.name} is {', '.join(lookup.addresses)}")
        if found or not asked:
            continue
        answer = asked[0].answer
        assert answer is not None
        if not _is_unpublished_by_intent(trace):
            yield fault(answer, f"{asked[0].name} is answered {answer.message.code}, no address")
            continue
        later = contacts_before_done(trace, discovery)
        gone_on = next((each for each in later if each.record.number > answer.number), None)
        if gone_on is None:
            yield ok(answer, f"{answer.message.code}, and nobody is contacted")
        else:
            yield fault(gone_on.record, f"{gone_on}, and {asked[0].name} has no address")


def _is_unpublished_by_intent(trace: Trace) -> bool:
    servers = (each for each in trace.addresses.nodes if is_one_of(each, OUTER_DNS))
    return any(staged(trace, each, "name") for each in servers)


@check("32583-5.1.2-2", supposes=("whole",))
def hms_is_reached_by_its_name(trace: Trace) -> Iterator[Finding]:
    """The HNB resolves the host of its URL by the outer DNS and connects to what the answer says.

    A gateway that forwards queries stands for the outer DNS.  Without an address nobody may be
    contacted (AMB-3G-10).  Violation: an address of no answer, the inner DNS, or the SeGW's name.
    """
    for discovery in public_discoveries(trace):
        factory = factory_of(trace, discovery.hnb)
        yield from _wrong_lookups(trace, discovery)
        if factory is not None and is_address(factory.hms_host):
            continue
        asked = hms_lookups(trace, discovery)
        reached = connections_before_done(trace, discovery)
        for connection in reached:
            if asked or factory is not None or _is_named(connection):
                yield _judge_address(connection, asked, factory)
        if asked and not reached and not any(each.addresses for each in asked):
            last = asked[-1]
            yield ok(last.answer or last.query, "no address, and nobody is contacted")


def _is_named(connection: Connection) -> bool:
    """Whether the client says whom it wants; of a URL with an address it says nothing."""
    hello = connection.hello()
    return hello is not None and bool(hello.message.server_name)


def _wrong_lookups(trace: Trace, discovery: Discovery) -> Iterator[Finding]:
    until = end_of(discovery)
    for lookup in lookups(trace, discovery.hnb):
        if not discovery.first <= lookup.query.number < until:
            continue
        time_ns = lookup.query.time_ns
        holders = [h for each in lookup.addresses for h in trace.addresses.holders(each, time_ns)]
        if is_one_of(lookup.server, INNER_DNS):
            yield fault(lookup.query, f"asks the inner DNS for {lookup.name}")
        elif any(_is_segw(each.node) for each in holders):
            yield fault(lookup.query, f"asks for {lookup.name}, a Security Gateway")


def _is_segw(node: str) -> bool:
    return is_one_of(node, "segw") or (is_serving(node) and "segw" in node)


def _judge_address(connection: Connection, asked: list[Lookup], factory: Factory | None) -> Finding:
    before = [
        each
        for each in asked
        if each.answer is not None and each.answer.number < connection.syn.number
    ]
    known = {address for each in before for address in each.addresses}
    if connection.address in known:
        return ok(connection.syn, f"{connection.address} is of the answer")
    name = asked[0].name if asked else (factory.hms_host if factory else "the HMS")
    said = f"the answers say {', '.join(sorted(known))}" if known else "no answer gives an address"
    return fault(connection.syn, f"connects to {connection.address}; of {name} {said}")


@check("32583-5.1-P9", needs=("", "other_mode"), observed="told", supposes=("whole",))
def modes_are_not_mixed(trace: Trace) -> Iterator[Finding]:
    """With factory data for the public Internet no tunnel is built; with a SeGW's, one is first.

    AMB-3G-09: the same HNB does both, told apart by factory data.  Violation: IKE or ESP in public
    mode before step 9; in intranet mode an HMS contacted without a tunnel.  PASS needs both modes.
    """
    for discovery in all_discoveries(trace):
        factory = factory_of(trace, discovery.hnb)
        if factory is None:
            continue
        before = list(contacts_before_done(trace, discovery))
        tunnels = [each for each in before if each.is_tunnel]
        reached = [each for each in before if is_one_of(each.node, INITIAL_HMS)]
        outside = [each for each in reached if each.record.link != INSIDE]
        if factory.segw is None and tunnels:
            yield fault(tunnels[0].record, f"{tunnels[0]} in public mode")
        elif factory.segw is not None and outside:
            yield fault(outside[0].record, f"{outside[0]} in intranet mode without a tunnel")
        elif discovery.done is not None:
            yield ok(discovery.done, "public mode" if factory.segw is None else "intranet mode")


@check("32583-5.1.2-F1", supposes=("whole",))
def ladder_runs_in_order(trace: Trace) -> Iterator[Finding]:
    """Steps 1 to 9 follow each other, without Security Gateway (initial) and inner DNS.

    AMB-3G-09: the order is the numbering's.  A step counts where it is done for the first time;
    further messages between are fine.  Violation: a step before the one that it follows, any IKE or
    ESP, or anything to the inner DNS, before step 9.
    """
    for discovery in public_discoveries(trace):
        begun = registration(trace, discovery)
        until = discovery.last if begun is None else begun.number
        for record in index_of(trace).of_node.get(discovery.hnb, ()):
            if not discovery.first <= record.number < until:
                continue
            stranger = _stranger(trace, discovery.hnb, record)
            if stranger:
                yield fault(record, f"{stranger} before step 9")
                break
        steps = _steps(trace, discovery)
        wrong = next(filter(None, map(out_of_order, steps, steps[1:])), None)
        last = steps[-1][1]
        if wrong is not None:
            yield wrong
        elif last is not None:
            yield ok(last, "steps 1 to 9 in order")


def _stranger(trace: Trace, hnb: str, record: Record) -> str | None:
    """What the HNB sends to somebody who takes no part in the public case; None: it does not."""
    if record.sender != hnb or record.is_event:
        return None
    contact = contact_in(trace, record)
    if contact is not None and contact.is_tunnel:
        return str(contact)
    is_inner = is_one_of(holder_of(trace, record), INNER_DNS)
    return "a packet to the inner DNS" if is_inner else None


def _steps(trace: Trace, discovery: Discovery) -> list[Step]:
    """The steps by the records that do them first.  Steps 1 and 2 may be left out: the HNB's
    address may be static, and the HMS's may be all that it knows."""
    hms = [each for each in connections_before_done(trace, discovery) if each.hello()]
    sets = [c for each in discovery.sessions for c in each.calls(rpc.SetParameterValues)]
    answers = [each.answer_to_inform() for each in discovery.sessions if each.accepted]
    informs = [each.turns[0] for each in discovery.sessions if each.inform is not None]
    session = discovery.session
    steps: list[Step] = [
        ("step 3, TLS", hms[0].hello() if hms else None),
        ("step 4, Inform", informs[0] if informs else None),
        ("step 5, InformResponse", answers[0] if answers else None),
        ("step 6, SetParameterValues", sets[0].call if sets else None),
        ("step 7, SetParameterValuesResponse", discovery.done),
        ("step 8, release", None if session is None else session.ended),
        ("step 9, registration", registration(trace, discovery)),
    ]
    asked = hms_lookups(trace, discovery)
    factory = factory_of(trace, discovery.hnb)
    if asked or (factory is not None and not is_address(factory.hms_host)):
        answered = [each.answer for each in asked if each.addresses]
        steps.insert(0, ("step 2, answer", answered[0] if answered else None))
        steps.insert(0, ("step 2, query", asked[0].query if asked else None))
    leased = first_lease(trace, discovery)
    return steps if leased is None else [("step 1, connectivity", leased), *steps]


def _is_hidden(trace: Trace, discovery: Discovery, before: Record) -> bool:
    """Whether HMS (initial) was spoken to under TLS that nobody has opened, in a capture alone:
    of a run the nodes tell what is inside."""
    if discovery.sessions or any(each.is_event for each in trace.records):
        return False
    return any(
        discovery.first <= each.number < before.number
        and is_one_of(holder_of(trace, each), INITIAL_HMS)
        for each in trace.all(tls.ClientHello)
    )


def _first_lookups(trace: Trace, discovery: Discovery) -> list[Lookup]:
    """The first query of each name by which somebody was contacted; others, as for a time server,
    are the HNB's own business.  Where nobody was contacted and no factory name asked for: the first
    query of all."""
    factory = factory_of(trace, discovery.hnb)
    reached = {each.address for each in contacts_before_done(trace, discovery)}
    early = [
        each
        for each in lookups(trace, discovery.hnb)
        if discovery.first <= each.query.number < end_of(discovery)
    ]
    found: dict[str, Lookup] = {}
    for lookup in early:
        if reached.intersection(lookup.addresses):
            found.setdefault(lookup.name, lookup)
    if not reached and factory is not None:
        held = factory.hms_host, plain_name(factory.segw or "")
        known = [each for each in early if each.name in held]
        return (known or early)[:1]
    return list(found.values())


def _named_by_acs(discovery: Discovery, lookup: Lookup) -> bool:
    """Whether HMS (initial) is setting this name: the HNB may look for it before it answers."""
    calls = (c for each in discovery.sessions for c in each.calls(rpc.SetParameterValues))
    asked = [
        serving_set(parameters_of(c.call)) for c in calls if c.call.number < lookup.query.number
    ]
    return any(lookup.name in (each.hms_host, plain_name(each.segw or "")) for each in asked)


def _named_by_dhcp(trace: Trace, discovery: Discovery, lookup: Lookup) -> bool:
    """Whether a DHCP server has told the HNB this very name."""
    name = lookup.name.encode()
    return any(
        record.number < lookup.query.number and name in record.payload.lower()
        for record in told_by_dhcp(trace, discovery)
    )
