"""The end of discovery, of either flow: release, and the way on to the serving side.

TS 32.583, 5.1, 5.1.1 and 5.1.2.  Registration itself is out of scope (AMB-3G-11): its first contact
counts, and the HNB-GW that the serving HMS gives where the initial one did not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from testbed.conformance.check import check
from testbed.conformance.checks.discovery import parameters_of
from testbed.conformance.early import is_by_tunnel, public_discoveries, tunnelled_discoveries
from testbed.conformance.late import contacts_after_done, is_shared, marker_of
from testbed.conformance.reading import (
    INITIAL_HMS,
    connection_of,
    contact_in,
    contacts,
    is_one_of,
    is_serving,
    plain_name,
)
from testbed.conformance.sessions import (
    Discovery,
    Session,
    addresses_of,
    all_discoveries,
    is_served_by,
    serving_set,
)
from testbed.conformance.tunnels import attempts
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

HNB_GW = re.compile(r"(\w+_)?hnb_gw\d*")
"""Names of nodes."""
ANY_HNB_GW = re.compile(r"\.Gateway\.FAPGWServer\d$")
"""Parameters that name one."""


@check("32583-5.1.2-8", supposes=("whole",))
def session_is_released(trace: Trace) -> Iterator[Finding]:
    """After the ACS's empty answer the HNB closes the connection, before any registration traffic.

    AMB-3G-04: the empty answer is a 204, or a 200 without body.  TLS 1.3 hides close_notify; FIN or
    RST counts.  Violation: a contact with the serving side, or another Inform, while the connection
    to HMS (initial) is open.
    """
    yield from _released(trace, public_discoveries(trace))


@check("32583-5.1.1-8", supposes=("whole",))
def session_through_the_tunnel_is_released(trace: Trace) -> Iterator[Finding]:
    """The same of a session that goes through a tunnel, where another HMS serves (AMB-3G-03)."""
    distinct = (each for each in tunnelled_discoveries(trace) if not is_shared(trace, each))
    yield from _released(trace, distinct)


def _released(trace: Trace, discoveries: Iterator[Discovery]) -> Iterator[Finding]:
    for discovery in discoveries:
        session = discovery.session
        if session is None:
            continue
        traffic = _registration_traffic(trace, discovery)
        ended = session.ended
        closing = _closing(trace, session) if ended is not None else None
        if traffic is not None and (ended is None or ended.number > traffic.number):
            yield fault(traffic, "registration traffic, and the session has not ended")
        elif traffic is not None and (closing is None or closing.number > traffic.number):
            yield fault(traffic, "registration traffic, and the old connection is open")
        elif closing is not None:
            assert ended is not None
            yield ok(closing, f"closed after the empty answer of record {ended.number}")


def _closing(trace: Trace, session: Session) -> Record | None:
    """Where the CPE has closed the last connection of a session."""
    connection = connection_of(trace, session.cpe, session.turns[-1])
    return None if connection is None else connection.closing()


def _registration_traffic(trace: Trace, discovery: Discovery) -> Record | None:
    """The first packet of step 9: to the serving side, or the next Inform to any HMS."""
    assert discovery.done is not None
    found = [each.turns[0] for each in discovery.later[:1]]
    for contact in contacts_after_done(trace, discovery):
        if is_serving(contact.node):
            found.append(contact.record)
            break
    return min(found, key=lambda each: each.number, default=None)


@check("32583-5.1.2-9", supposes=("whole",))
def registration_goes_to_the_serving_side(trace: Trace) -> Iterator[Finding]:
    """After the release the HNB says that registration begins, and turns to what it was set.

    AMB-3G-11: the marker and the first contact count.  Violation: the marker without a complete
    serving set or before the release, or a first contact with HMS (initial) or anybody else of the
    operator whom the set does not name.
    """
    for discovery in public_discoveries(trace):
        begun = marker_of(trace, discovery)
        if discovery.done is None or discovery.session is None:
            if begun is not None:
                yield fault(begun, "registration begins without a complete serving set")
            continue
        ended = discovery.session.ended
        if begun is not None and (ended is None or begun.number < ended.number):
            yield fault(begun, "registration begins before the session is released")
            continue
        released = discovery.done if ended is None else ended
        for contact in contacts_after_done(trace, discovery):
            if contact.record.number < released.number:
                continue
            if is_served_by(trace, discovery, contact):
                yield ok(contact.record, f"{contact}, as set")
                break
            if is_one_of(contact.node, INITIAL_HMS) or is_serving(contact.node):
                yield fault(contact.record, f"{contact}, which the serving set does not name")
                break


@check(
    "32583-5.1-P6",
    needs=("", "shared_hms"),
    needs_in={"discovery_intranet_shared_hms": ("", "separate_hms")},
    supposes=("whole",),
)
def serving_hms_may_be_another_or_the_same(trace: Trace) -> Iterator[Finding]:
    """The next session is with the HMS that was set, whether it is HMS (initial) or another one.

    AMB-3G-03: the same one is told by the address of the serving URL's host.  Violation: a session
    with HMS (initial) though another URL was set.  PASS needs both.
    """
    for discovery in all_discoveries(trace):
        begun = marker_of(trace, discovery)
        if discovery.done is not None and begun is not None and not discovery.later:
            if is_by_tunnel(trace, discovery) and is_shared(trace, discovery):
                yield ok(begun, "HMS (initial) serves, and no other HMS is asked")
            continue
        if discovery.done is None or not discovery.later:
            continue
        session = discovery.later[0]
        first, whom = session.turns[0], session.acs or "somebody unknown"
        if _is_with_serving(trace, discovery, session):
            yield ok(first, f"with {whom}, as set")
        elif _could_be_with_serving(trace, discovery, session):
            continue
        elif _tried_the_serving_segw(trace, discovery, session):
            continue  # and nobody was there: it discovers again
        else:
            yield fault(first, f"with {whom}, {discovery.values.hms_url} was set")


@check("32583-5.1-P3", supposes=("whole",))
def somebody_names_the_hnb_gw(trace: Trace) -> Iterator[Finding]:
    """Registration has an HNB-GW from HMS (initial) or from HMS (serving).

    AMB-3G-06: one of the two at least.  Violation: the first session with the serving HMS ends and
    neither has set one, or an HNB-GW is contacted that nobody has set, or another one than is set.
    """
    for discovery in all_discoveries(trace):
        given = _hnb_gw_given(discovery)
        over = _registration_session_over(trace, discovery)
        early = _contacted_before(trace, discovery, given)
        if early is not None:
            yield fault(early, "an HNB-GW is contacted, and nobody has set one")
        elif (other := _other_hnb_gw(trace, discovery)) is not None:
            yield fault(other, f"{contact_in(trace, other)}, and another HNB-GW is set")
        elif given is not None:
            yield ok(given, "the HNB-GW is set")
        elif over is not None:
            yield fault(over, "the session with HMS (serving) ends, and no HNB-GW was ever set")


@check("32583-5.1.2-6-note", supposes=("whole",))
def serving_hms_fills_the_gap(trace: Trace) -> Iterator[Finding]:
    """Where HMS (initial) names no HNB-GW, HMS (serving) sets it in the registration.

    AMB-3G-06.  Violation: the first session with the serving HMS ends without it.
    """
    yield from _gap_filled(trace, public_discoveries(trace))


@check("32583-5.1.1-6-note", supposes=("whole",))
def serving_hms_fills_the_gap_through_the_tunnel(trace: Trace) -> Iterator[Finding]:
    """The same, where discovery went through a tunnel; no HNB-GW is contacted before.

    Violation, besides: an HNB-GW is contacted that nobody has set.
    """
    yield from _gap_filled(trace, tunnelled_discoveries(trace))


def _gap_filled(trace: Trace, discoveries: Iterator[Discovery]) -> Iterator[Finding]:
    for discovery in discoveries:
        if discovery.done is None or discovery.values.hnb_gw is not None:
            continue
        given = _hnb_gw_given(discovery)
        over = _registration_session_over(trace, discovery)
        early = _contacted_before(trace, discovery, given)
        if early is not None:
            yield fault(early, "an HNB-GW is contacted, and nobody has set one")
        elif given is not None and (over is None or given.number <= over.number):
            yield ok(given, "the HNB-GW is set by HMS (serving)")
        elif over is not None:
            yield fault(over, "the session with HMS (serving) ends without an HNB-GW")


def _contacted_before(trace: Trace, discovery: Discovery, given: Record | None) -> Record | None:
    """Where an HNB-GW is contacted though none was set yet."""
    for each in contacts(trace, discovery.hnb):
        early = given is None or each.record.number < given.number
        if HNB_GW.fullmatch(each.node or "") and discovery.holds(each.record):
            return each.record if early else None
    return None


def _other_hnb_gw(trace: Trace, discovery: Discovery) -> Record | None:
    """Where an HNB-GW is contacted that is none of those that were set by then; where nothing says
    where those are, nothing is found."""
    values = [
        (each.answer.number, value.value)
        for session in [*discovery.sessions, *discovery.later]
        for each in session.calls(rpc.SetParameterValues)
        if each.done and each.answer is not None
        for value in parameters_of(each.call)
        if ANY_HNB_GW.search(value.name)
    ]
    for each in contacts(trace, discovery.hnb):
        if not HNB_GW.fullmatch(each.node or "") or not discovery.holds(each.record):
            continue
        hosts = [plain_name(host) for number, host in values if number < each.record.number]
        known = [addresses_of(trace, discovery, host) for host in hosts if host]
        if known and all(known) and not any(each.address in some for some in known):
            return each.record
    return None


def _hnb_gw_given(discovery: Discovery) -> Record | None:
    """Where the HNB first acknowledged an HNB-GW."""
    for session in [*discovery.sessions, *discovery.later]:
        found = session.acknowledged(lambda values: serving_set(values).hnb_gw is not None)
        if found is not None:
            return found
    return None


def _registration_session_over(trace: Trace, discovery: Discovery) -> Record | None:
    """Where the first session with the serving HMS ends in order."""
    for session in discovery.later:
        over = session.ended if session.accepted else None
        if over is not None and _is_with_serving(trace, discovery, session):
            return over
    return None


def _is_with_serving(trace: Trace, discovery: Discovery, session: Session) -> bool:
    """Whether a session goes to an address of the serving HMS that was set."""
    connection = connection_of(trace, session.cpe, session.turns[0])
    wanted = addresses_of(trace, discovery, discovery.values.hms_host)
    return connection is not None and connection.address in wanted


def _could_be_with_serving(trace: Trace, discovery: Discovery, session: Session) -> bool:
    """Whether nothing seen says where the HMS that was set is, and the session is not again where
    the set came from."""
    if addresses_of(trace, discovery, discovery.values.hms_host) or discovery.session is None:
        return False
    ends = [connection_of(trace, each.cpe, each.turns[0]) for each in (discovery.session, session)]
    first, then = (None if each is None else each.address for each in ends)
    return first is None or first != then


def _tried_the_serving_segw(trace: Trace, discovery: Discovery, session: Session) -> bool:
    """Whether the HNB has tried the SeGW that was set before that session, without success."""
    assert discovery.done is not None
    first, last = discovery.done.number, session.turns[0].number
    known = addresses_of(trace, discovery, plain_name(discovery.values.segw or ""))
    tried = [
        each
        for each in attempts(trace, discovery.hnb)
        if first < each.begun.number < last and each.address in known
    ]
    return bool(tried) and not any(each.is_up for each in tried)
