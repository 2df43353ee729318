"""The order of discovery over IPsec, and where it leads: TS 32.583, 5.1.1, step 10 and figure."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.check import check
from testbed.conformance.checks.intranet_tunnel import to_initial
from testbed.conformance.early import (
    Step,
    connections_before_done,
    end_of,
    first_lease,
    out_of_order,
    tunnelled_discoveries,
)
from testbed.conformance.late import contacts_after_done, is_shared, marker_of
from testbed.conformance.reading import (
    INITIAL_HMS,
    Contact,
    Lookup,
    factory_of,
    is_address,
    is_one_of,
    is_serving,
    lookups,
    plain_name,
)
from testbed.conformance.sessions import Discovery, is_served_by, registration
from testbed.conformance.tunnels import Attempt, is_inside
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import ike
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace


@check("32583-5.1.1-10", supposes=("whole",))
def registration_uses_what_was_set(trace: Trace) -> Iterator[Finding]:
    """Registration begins after the release, and the next contact is with what step 6 has set.

    AMB-3G-11: the marker, where it is told, and the first contact count.  AMB-3G-03: a shared HMS
    is contacted on, in its session.  Violation: the marker without a complete serving set or before
    the release, or a first contact with anybody else of the operator.
    """
    for discovery in tunnelled_discoveries(trace):
        begun, session = marker_of(trace, discovery), discovery.session
        if discovery.done is None or session is None:
            if begun is not None:
                yield fault(begun, "registration begins without a complete serving set")
            continue
        shared, ended = is_shared(trace, discovery), session.ended
        if not shared and begun is not None and (ended is None or begun.number < ended.number):
            yield fault(begun, "registration begins before the session is released")
            continue
        after = begun or ended
        if after is None:
            continue  # the session broke off: whoever discovers again is right
        for contact in contacts_after_done(trace, discovery):
            if contact.record.number < after.number or not _opens(contact):
                continue
            if is_served_by(trace, discovery, contact):
                yield ok(contact.record, f"{contact}, as set")
                break
            is_initial = is_one_of(contact.node, INITIAL_HMS, "segw")
            if is_initial or is_serving(contact.node):
                yield fault(contact.record, f"{contact}, which the serving set does not name")
                break


def _opens(contact: Contact) -> bool:
    """Whether a contact is the first word to somebody: neither what a tunnel carries nor what keeps
    it is."""
    is_of_tunnel = contact.is_tunnel and not isinstance(contact.record.message, ike.SaInit)
    return not is_of_tunnel


@check("32583-5.1.1-F1", supposes=("whole",))
def ladder_over_ipsec_runs_in_order(trace: Trace) -> Iterator[Finding]:
    """Steps 1, 2.1 to 2.5, and 3 to 10 follow each other; 8 and 9 only where they are due.

    AMB-3G-09: the order is the numbering's.  A step counts where it is done for the first time;
    further messages between are fine.  Violation: a step before the one that it follows, or without
    it.
    """
    for discovery in tunnelled_discoveries(trace):
        steps = _steps(trace, discovery)
        wrong = next(filter(None, map(out_of_order, steps, steps[1:])), None)
        last = steps[-1][1]
        if wrong is not None:
            yield wrong
        elif last is not None:
            yield ok(last, "steps 1 to 10 in order")


def _steps(trace: Trace, discovery: Discovery) -> list[Step]:
    """The steps by the records that do them first."""
    tunnels = [each for each in to_initial(trace, discovery) if each.is_up]
    return [
        *_way_to_hms(trace, discovery, tunnels),
        *_session_with_hms(trace, discovery),
        *_way_from_hms(trace, discovery, tunnels),
    ]


def _way_to_hms(trace: Trace, discovery: Discovery, tunnels: list[Attempt]) -> list[Step]:
    """Steps 1 to 2.5.  Names that are addresses need no query."""
    factory = factory_of(trace, discovery.hnb)
    segw = plain_name(factory.segw or "") if factory is not None else ""
    hms = factory.hms_host if factory is not None else ""
    steps: list[Step] = []
    leased = first_lease(trace, discovery)
    if leased is not None:
        steps.append(("step 1, connectivity", leased))
    if not is_address(segw):
        steps += _lookup_steps(_asked(trace, discovery, segw), "2.1", "2.2")
    steps.append(("step 2.3, the tunnel", tunnels[0].answered if tunnels else None))
    if not is_address(hms):
        inner = [each for each in _asked(trace, discovery, hms) if is_inside(each.query)]
        steps += _lookup_steps(inner, "2.4", "2.5")
    return steps


def _session_with_hms(trace: Trace, discovery: Discovery) -> list[Step]:
    """Steps 3 to 6."""
    reached = [each for each in connections_before_done(trace, discovery) if is_inside(each.syn)]
    informs = [each.turns[0] for each in discovery.sessions if each.inform is not None]
    answers = [each.answer_to_inform() for each in discovery.sessions if each.accepted]
    sets = [c for each in discovery.sessions for c in each.calls(rpc.SetParameterValues)]
    return [
        ("step 3, connection", reached[0].syn if reached else None),
        ("step 4, Inform", informs[0] if informs else None),
        ("step 5, InformResponse", answers[0] if answers else None),
        ("step 6, SetParameterValues", sets[0].call if sets else None),
    ]


def _way_from_hms(trace: Trace, discovery: Discovery, tunnels: list[Attempt]) -> list[Step]:
    """Steps 7 to 10; only the last one where HMS (initial) serves too."""
    begun = registration(trace, discovery)
    last = ("step 10, registration", begun)
    if is_shared(trace, discovery):
        # The marker is told while the answer is put on the wire.
        return [last]
    session = discovery.session
    steps: list[Step] = [
        ("step 7, SetParameterValuesResponse", discovery.done),
        ("step 8, release", None if session is None else session.ended),
    ]
    if session is not None and session.ended is not None:
        carrying = [each for each in tunnels if each.begun.number < session.turns[0].number]
        deleted = carrying[-1].deleted if carrying else None
        if deleted is not None and discovery.holds(deleted) and _is_before(deleted, begun):
            steps.append(("step 9, the tunnel's end", deleted))
    return [*steps, last]


def _is_before(record: Record, other: Record | None) -> bool:
    return other is None or record.number < other.number


def _lookup_steps(asked: list[Lookup], query: str, answer: str) -> list[Step]:
    answered = [each.answer for each in asked if each.addresses]
    return [
        (f"step {query}, query", asked[0].query if asked else None),
        (f"step {answer}, answer", answered[0] if answered else None),
    ]


def _asked(trace: Trace, discovery: Discovery, name: str) -> list[Lookup]:
    return [
        each
        for each in lookups(trace, discovery.hnb)
        if discovery.first <= each.query.number < end_of(discovery)
        if each.name == name or not name
    ]
