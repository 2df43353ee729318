"""Steps 2.3 and 9 of discovery over IPsec: the secure connection, whom it trusts, and its end.

TS 32.583, 5.1 and 5.1.1.  IKE_AUTH is read where the keys of the association are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from testbed.conformance.check import check
from testbed.conformance.checks.intranet_reach import outside_contacts
from testbed.conformance.early import end_of, tunnelled_discoveries
from testbed.conformance.index import index_of
from testbed.conformance.late import is_shared, marker_of
from testbed.conformance.reading import (
    connection_of,
    contact_in,
    events_of,
    factory_of,
    is_serving,
    plain_name,
    staged,
)
from testbed.conformance.sessions import Discovery, Session, registration
from testbed.conformance.shown import Shown, shown_by
from testbed.conformance.tunnels import Attempt, attempts, inner_addresses, is_inside
from testbed.conformance.verdict import Finding, fault, ok
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace


@check(
    "32583-5.1.1-2.3",
    supposes=(
        "arrivals",
        "whole",
    ),
)
def secure_connection_carries_it_all(trace: Trace) -> Iterator[Finding]:
    """IKE_SA_INIT and IKE_AUTH give an inner address, and what is inside is outside as ESP only.

    AMB-3G-01: IKEv2 and ESP.  Violation: a packet in clear outside to what is behind the SeGW, or
    from the inner address; ESP to anybody with whom there is no tunnel; or IKE that comes to
    nothing, unless the topology or the scenario wants it so.
    """
    for discovery in tunnelled_discoveries(trace):
        for record, why in islice(_outside_the_tunnel(trace, discovery), 1):
            yield fault(record, f"{record.summary() or record.transport} {why}")
        tries = to_initial(trace, discovery)
        up = [each for each in tries if each.is_up]
        for attempt in up:
            yield from _given(attempt)
        if not up and tries:
            yield from _failed(trace, tries[0])


def _outside_the_tunnel(trace: Trace, discovery: Discovery) -> Iterator[tuple[Record, str]]:
    """What the HNB sends outside and should not, and why it should not."""
    for record in outside_contacts(trace, discovery):
        yield record, "in clear outside"
    inner = {address for _, address in inner_addresses(trace, discovery.hnb)}
    peers = {each.address for each in attempts(trace, discovery.hnb)}
    for record in index_of(trace).of_node.get(discovery.hnb, ()):
        if not discovery.first <= record.number < end_of(discovery):
            continue
        if record.sender != discovery.hnb or is_inside(record) or record.source is None:
            continue
        if record.source.address in inner and record.frame is not None:
            yield record, f"from the inner address {record.source.address}, outside"
        contact = contact_in(trace, record)
        if contact is not None and contact.kind == "ESP" and contact.address not in peers:
            yield record, f"ESP to {contact.address}, no tunnel leads there"


def _given(attempt: Attempt) -> Iterator[Finding]:
    """What a tunnel that is up has given: an inner address, and ESP."""
    answer = attempt.answered
    assert answer is not None
    if not answer.message.is_opened and attempt.used is None:
        return
    address = ", ".join(answer.message.addresses) or "an inner address that is not read"
    if answer.message.is_opened and not answer.message.addresses:
        yield fault(answer, "IKE_AUTH gives no inner address")
    elif attempt.used is not None:
        yield ok(answer, f"{address}, ESP with {attempt.responder}")


def _failed(trace: Trace, attempt: Attempt) -> Iterator[Finding]:
    """Why a try has come to nothing, where that is seen and nobody wants it."""
    shown = _shown_to(trace, attempt)
    wanted = any(staged(trace, attempt.responder, what) for what in ("hangs", "algorithms"))
    if wanted or (shown is not None and shown.is_meant):
        return
    if staged(trace, attempt.initiator, "clock"):
        return  # no certificate is valid to it
    for record in attempt.said:
        if record.message.errors:
            yield fault(record, f"no tunnel: {', '.join(record.message.errors)}")
            return
    again = attempt.unanswered
    if again is not None and _got_lost(trace, attempt, again):
        return  # on its way, whoever is to blame for that
    if again is not None:
        yield fault(again, f"no tunnel: {again.message.exchange_name} is repeated, unanswered")
    else:
        for told in _refusals(trace, attempt):
            yield fault(told, f"no tunnel: {told.summary()}")


def _got_lost(trace: Trace, attempt: Attempt, again: Record) -> bool:
    """Whether all copies of a request got lost on their way, or its answer did."""
    kind, number = type(again.message), again.message.message_id
    about = {"initiator_spi": again.message.initiator_spi, "message_id": number}
    answers = (each for each in trace.all(kind, **about) if each.message.is_response)
    if any(trace.arrow_of(each).delivered is False for each in answers):
        return True
    copies = [
        trace.arrow_of(each)
        for each in attempt.said
        if each.sender == attempt.initiator
        and isinstance(each.message, kind)
        and each.message.message_id == number
    ]
    return not any(each.reached and each.delivered is not False for each in copies)


@check("32583-5.1.1-2.3-residue", supposes=("whole",))
def one_tunnel_is_built(trace: Trace) -> Iterator[Finding]:
    """One tunnel is built in a discovery, whatever the change request's two sentences say.

    AMB-3G-01.  A try that fails, and one after a tunnel that has ended, is no second tunnel.
    Violation: another one beside one that is up, or a session with the HMS that needs none.
    """
    for discovery in tunnelled_discoveries(trace):
        living: list[Attempt] = []
        for attempt in to_initial(trace, discovery):
            if not attempt.is_up:
                continue
            begun = attempt.begun.number
            living = [each for each in living if not _ended_before(trace, each, begun)]
            if any(each.may_have_ended_before(begun) for each in living):
                living = []  # nobody can tell, and nothing is found
            elif living:
                yield fault(attempt.begun, f"a second tunnel, beside that with {living[0].address}")
            elif attempt.answered is not None:
                yield ok(attempt.answered, f"the tunnel with {attempt.responder}")
            living.append(attempt)
        if not living and not any(each.is_up for each in to_initial(trace, discovery)):
            for session in discovery.sessions[:1]:
                yield fault(session.turns[0], "a session with HMS (initial) without a tunnel")


def _ended_before(trace: Trace, attempt: Attempt, number: int) -> bool:
    deleted = attempt.deleted
    if deleted is not None and deleted.number < number:
        return True
    told = events_of(trace, attempt.initiator, "TUNNEL_DOWN", "REBOOT", "FACTORY_RESET")
    return any(attempt.begun.number < each.number < number for each in told)


@check("32583-5.1.1-9", supposes=("whole",))
def tunnel_ends_after_the_session(trace: Trace) -> Iterator[Finding]:
    """The tunnel is left after the session with HMS (initial) is over, or kept: both will do.

    AMB-3G-11.  Violation: it is deleted by the HNB while the session goes on, or before.
    """
    for discovery in tunnelled_discoveries(trace):
        session = discovery.session
        if session is None:
            continue
        for attempt in to_initial(trace, discovery):
            deleted = attempt.deleted
            if not attempt.is_up:
                continue
            if deleted is None or deleted.sender != discovery.hnb:
                begun = registration(trace, discovery)
                if begun is None or deleted is not None:
                    continue
                if not attempt.may_have_ended_before(begun.number):
                    yield ok(begun, "the tunnel is kept")
            elif session.ended is None or deleted.number < session.ended.number:
                yield fault(deleted, "the tunnel is deleted, and the session has not ended")
            elif not _is_closed_before(trace, session, deleted):
                yield fault(deleted, "the tunnel is deleted, and the connection in it is open")
            else:
                yield ok(deleted, f"deleted after the release of record {session.ended.number}")


def _is_closed_before(trace: Trace, session: Session, moment: Record) -> bool:
    connection = connection_of(trace, session.cpe, session.turns[-1])
    closing = None if connection is None else connection.closing()
    return closing is not None and closing.number < moment.number


@check("32583-5.1.1-7-shared", supposes=("whole",))
def shared_hms_keeps_session_and_tunnel(trace: Trace) -> Iterator[Finding]:
    """Where HMS (initial) serves too, registration begins in its session and its tunnel.

    AMB-3G-03: the same host and port is the same entity.  Violation: the release, or the tunnel's
    end, before the marker; or, where another HMS serves, a marker before the release.
    """
    for discovery in tunnelled_discoveries(trace):
        session, begun = discovery.session, marker_of(trace, discovery)
        if session is None or begun is None:
            continue
        ended = session.ended
        if not is_shared(trace, discovery):
            if ended is None or begun.number < ended.number:
                yield fault(begun, "registration begins in the session, and another HMS serves")
            continue
        deleted = [
            each.deleted for each in to_initial(trace, discovery) if each.deleted is not None
        ]
        early = [each for each in deleted if each.number < begun.number]
        if early:
            yield fault(early[0], "the tunnel is deleted before registration begins")
        elif ended is not None and ended.number < begun.number:
            yield fault(begun, f"registration begins after the release of record {ended.number}")
        else:
            yield ok(begun, "registration begins in the session")


@check("32583-5.1-P7", observed="told", supposes=("whole",))
def segw_has_the_configured_name(trace: Trace) -> Iterator[Finding]:
    """The SeGW's certificate and its IDr have the name that the HNB is configured with.

    AMB-3G-07: strict by default.  Violation: the name is missing, and the topology has not meant it
    so; or the HNB, unless a lenient one, uses the tunnel nevertheless.
    """
    for discovery in tunnelled_discoveries(trace):
        factory = factory_of(trace, discovery.hnb)
        if factory is None or factory.segw is None:
            continue
        wanted = plain_name(factory.segw)
        for attempt in to_initial(trace, discovery):
            shown = _shown_to(trace, attempt)
            if shown is None or attempt.answered is None:
                continue
            claimed = attempt.answered.message.idr
            fits = shown.names_host(wanted) and plain_name(claimed or wanted) == wanted
            told = f"{wanted} is configured, IDr is {claimed or 'not read'}, the certificate"
            if fits:
                yield ok(attempt.answered, f"{told} {shown.naming}")
            elif attempt.used is not None and _is_strict(trace, discovery):
                yield fault(attempt.used, f"the tunnel is used: {told} {shown.naming}")
            elif not shown.is_meant:
                yield fault(attempt.answered, f"{told} {shown.naming}")
            elif attempt.used is None:
                yield ok(attempt.refused or attempt.answered, f"refused: {told} {shown.naming}")


def segw_trust(trace: Trace) -> Iterator[Finding]:
    """Whether HNBs use tunnels with SeGWs of their root, and with no others (32583-5.1-P5)."""
    for discovery in tunnelled_discoveries(trace):
        factory = factory_of(trace, discovery.hnb)
        if factory is None:
            continue
        for attempt in to_initial(trace, discovery):
            shown = _shown_to(trace, attempt)
            if shown is None or attempt.answered is None:
                continue
            if shown.is_trusted_by(factory.root_keys):
                if attempt.used is not None:
                    yield ok(attempt.used, "the SeGW's chain ends at the operator's root")
                for told in _refusals(trace, attempt, "chain"):
                    yield fault(told, "the SeGW is refused, and its chain ends at the root")
            elif attempt.used is not None:
                yield fault(attempt.used, "ESP to a SeGW of a root that is not trusted")
            else:
                yield ok(attempt.refused or attempt.answered, "the SeGW is refused")


def _refusals(trace: Trace, attempt: Attempt, cause: str | None = None) -> Iterator[Record]:
    """Where the initiator says that it got no tunnel there, for that cause or for any."""
    for told in events_of(trace, attempt.initiator, "TUNNEL_REFUSED"):
        assert isinstance(told.message, Event)
        fields = told.message.fields
        same = cause in (None, fields.get("cause")) and fields.get("remote") == attempt.address
        if same and told.number > attempt.begun.number:
            yield told
            return


def _is_strict(trace: Trace, discovery: Discovery) -> bool:
    """Whether the HNB is to check a SeGW's name; it says so before it has power."""
    factory = factory_of(trace, discovery.hnb)
    return factory is None or factory.checks_segw_name


def _shown_to(trace: Trace, attempt: Attempt) -> Shown | None:
    """What the responder showed; None: it is not known."""
    answer = attempt.answered
    der = answer.message.certificates if answer is not None else ()
    return shown_by(trace, attempt.responder, attempt.begun, der)


def to_initial(trace: Trace, discovery: Discovery) -> list[Attempt]:
    """The tries to open a tunnel that should lead to SeGW (initial)."""
    begun = registration(trace, discovery)
    last = discovery.last if begun is None else begun.number
    return [
        each
        for each in attempts(trace, discovery.hnb)
        if discovery.first <= each.begun.number < last and not is_serving(each.responder)
    ]
