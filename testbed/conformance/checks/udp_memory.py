"""What a CPE remembers of UDP Connection Requests, and that it is reached by them at all (TR-111
Part 2, 2.2.1.4): judged by the sessions that come of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from testbed.conformance.asked import (
    FAR_S,
    KEEPS,
    STUN_OCTETS,
    WINDOW,
    Asked,
    all_asked,
    all_due,
    asked,
    is_out_of_window,
    set_to,
)
from testbed.conformance.bindings import ADDRESS, cpes, readings, seconds, transactions
from testbed.conformance.check import check
from testbed.conformance.index import index_of
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.trace.record import Record
from testbed.trace.trace import Trace

A_FEW_SECONDS = 60.0
SESSION_WITHIN_S = 30.0
REFUSED_S = 1.0
SENT_AGAIN_S = 0.05


def _window_s(trace: Trace, each: Asked) -> float | None:
    told = set_to(trace, each, WINDOW)
    return float(str(told)) if told is not None else None


def _must_be(each: Asked, is_taken: bool, why: str) -> Iterator[Finding]:
    """Whether a session came of it, as it must, or must not; nothing where that cannot be said."""
    if each.brought is None or each.inform is None:
        return
    if each.brought is is_taken:
        yield ok(each.inform, f"{why}: {'taken' if is_taken else 'ignored'}")
    else:
        yield fault(each.inform, f"{why}, and it is {'taken' if each.brought else 'ignored'}")


@check(
    "TR111-2.2.1.4-C1",
    needs_in={"nat_no_translation": ("asked_by_udp",), "nat_stun_disabled": ("asked_by_udp",)},
)
def requests_are_listened_for(trace: Trace) -> Iterator[Finding]:
    """With and without translation, with STUN and without, a good request brings a session, and
    nobody says that the port is closed."""
    for each in all_due(trace):
        refused = refusal_of(trace, each.cpe, each.record)
        if refused is not None:
            yield fault(refused, f"{each.record.destination} is closed, says the CPE")
        elif each.brought is None and each.inform is None:
            if seconds(each.record, trace.records[-1]) > SESSION_WITHIN_S:
                yield fault(each.record, "no session follows within 30 s")
        else:
            yield from _must_be(each, True, "it is good")


def refusal_of(trace: Trace, cpe: str, datagram: Record) -> Record | None:
    """An ICMP message of the CPE that a datagram may have caused."""
    for record in index_of(trace).of_node.get(cpe, ()):
        is_after = 0 <= seconds(datagram, record) <= REFUSED_S
        is_own = record.transport == "icmp" and record.sender == cpe
        if is_own and is_after and _is_back(record, datagram):
            return record
    return None


def _is_back(record: Record, datagram: Record) -> bool:
    """Whether a packet goes to where a datagram came from."""
    to, back = record.destination, datagram.source
    return to is not None and back is not None and to.address == back.address


@check("TR111-2.2.1.4-C9", needs=("persistent",), supposes=("whole",))
def kept_record_outlives_a_reboot(trace: Trace) -> Iterator[Finding]:
    """A CPE that keeps its record ignores, after a reboot, what it took before."""
    for each in all_asked(trace):
        if not set_to(trace, each, KEEPS) or each.before_boot is None or not each.is_due:
            continue
        if each.ts <= each.before_boot[0]:
            yield from _must_be(each, False, f"ts {each.ts} was taken before the reboot, or later")


@check(
    "TR111-2.2.1.4-C10",
    supposes=(
        "no_window",
        "whole",
    ),
)
def record_begins_at_zero(trace: Trace) -> Iterator[Finding]:
    """After a reboot a CPE holds the last ts against a request, if it has kept that, else zero: an
    old request is taken once, and no later one is refused."""
    for each in all_asked(trace):
        if each.before_boot is None or not each.is_due or each.brought is None:
            continue
        why = f"ts {each.ts} after the reboot, {each.before_boot[0]} before it"
        if each.ts > each.before_boot[0] or (each.brought and not set_to(trace, each, KEEPS)):
            yield from _must_be(each, True, why)


@check("TR111-2.2.1.4-C11", needs=("", "without_window"), supposes=("no_window",))
def window_holds_where_there_is_one(trace: Trace) -> Iterator[Finding]:
    """A ts outside the CPE's window is ignored, though it is greater; where there is no window it
    is taken."""
    for each in all_asked(trace):
        if not each.is_due or each.offset_s is None or abs(each.offset_s) <= FAR_S:
            continue
        if set_to(trace, each, WINDOW, "untold") == "untold":
            continue
        window_s = _window_s(trace, each)
        why = f"ts is {each.offset_s:+.0f} s from the CPE's time"
        if window_s is None:
            yield from _must_be(each, True, f"{why}, and it has no window")
        elif abs(each.offset_s) > window_s:
            yield from _must_be(each, False, f"{why}, the window is {window_s:g} s")


@check("TR111-2.2.1.4-C12", needs=("skewed",))
def clocks_may_differ(trace: Trace) -> Iterator[Finding]:
    """A request of an ACS whose clock is minutes off is taken."""
    for each in all_due(trace):
        if each.offset_s is not None and A_FEW_SECONDS < abs(each.offset_s) <= FAR_S:
            yield from _must_be(each, True, f"the ACS's clock is {each.offset_s:+.0f} s off")


@check("TR111-2.2.1.4-C13", needs_in={"udp_connection_request": ("twice",)})
def id_must_be_another(trace: Trace) -> Iterator[Finding]:
    """A request with the id of the one before is ignored, though its ts is greater and its
    signature right; with another id it is taken."""
    for each in all_asked(trace):
        if each.wrong is not None or each.last is None or not each.is_newer:
            continue
        if not each.has_another_id:
            yield from _must_be(each, False, f"id {each.id} is that of the request before")
        elif not is_out_of_window(trace, each):
            yield from _must_be(each, True, f"id {each.id} is another one")


@check("TR111-2.2.1.4-C19", needs_in={"nat_keepalive": ("requests_between",)})
def responses_and_requests_share_a_port(trace: Trace) -> Iterator[Finding]:
    """On the port to which both come, requests bring sessions, and responses are answers: nothing
    is asked again once its response is there."""
    for cpe in cpes(trace):
        good = [each for each in all_due(trace) if each.cpe == cpe]
        if not good:
            continue
        port = good[0].record.destination
        for each in good:
            yield from _must_be(each, True, "it is good, and came to where STUN's responses come")
        for transaction in transactions(trace, cpe):
            success = transaction.success
            if success is None or success.destination != port:
                continue
            if success.number < good[0].record.number or transaction.is_probe:
                continue
            later = [r for r in transaction.copies if trace.spent_s(success, r) > SENT_AGAIN_S]
            if len(later) > 1:  # one may be due while the response waits to be read
                yield fault(later[0], "it is asked again, though its response has come")
            else:
                yield ok(success)


@check("TR111-2.2.1.4-C20", needs=("other_octets",), needs_in={"udp_connection_request_forged": ()})
def first_octet_tells(trace: Trace) -> Iterator[Finding]:
    """A datagram that begins neither as STUN nor with a letter is dropped without a word, and the
    next request is taken as ever."""
    for cpe in cpes(trace):
        every = asked(trace, cpe)
        for place, each in enumerate(every):
            first = each.record.payload[:1]
            if first.isalpha():
                continue
            said = answer_to(trace, cpe, each.record) or refusal_of(trace, cpe, each.record)
            what = f"it begins with 0x{first.hex()}" if first else "it is empty"
            later = [e for e in every[place + 1 :] if e.is_due and e.brought is not None]
            if said is not None:
                yield fault(said, f"a datagram is answered, and {what}")
            elif each.brought:
                yield from _must_be(each, False, what)
            elif later and not later[0].brought and later[0].inform is not None:
                yield fault(later[0].inform, f"{what}, and a good request after it is ignored")
            elif later:
                yield ok(each.record, f"{what}: nothing comes of it")


def answer_to(trace: Trace, cpe: str, datagram: Record) -> Record | None:
    """A datagram from the CPE to where this one came from that is no STUN, soon after it."""
    for record in index_of(trace).of_node.get(cpe, ()):
        is_after = record.number > datagram.number and seconds(datagram, record) <= REFUSED_S
        to_it = record.sender == cpe and record.destination == datagram.source
        if is_after and to_it and record.payload[:1] not in STUN_OCTETS:
            return record
    return None


@check("TR111-2.2.2.3-U12b")
def authority_is_not_compared(trace: Trace) -> Iterator[Finding]:
    """A request whose authority is UDPConnectionRequestAddress is taken, though that is not what
    the CPE's own interface has (AMB-P2-16)."""
    for each in all_due(trace):
        assert each.request is not None
        told = [
            reading.value
            for reading in readings(trace, each.cpe, ADDRESS)
            if reading.record.number < each.record.number
        ]
        authority = each.request.authority
        if authority in told and authority != str(each.record.destination):
            yield from _must_be(each, True, f"its authority is {authority}")


def _passes(trace: Trace, cpe: str) -> Callable[[Record], bool]:
    """Whether a datagram comes from where the CPE asks by STUN."""
    servers = {
        each.destination
        for each in trace.all(stun.BindingRequest)
        if trace.arrow_of(each).origin == cpe
    }
    return lambda record: record.source in servers


@check("TR111-2.2-P2", needs_in={"nat_keepalive": ("requests_between",)}, supposes=("whole",))
def way_stays_open(trace: Trace) -> Iterator[Finding]:
    """What the STUN server sends unasked to the binding of the moment comes through to the CPE."""
    for cpe in cpes(trace):
        comes_through = _passes(trace, cpe)
        outer = None
        for record in trace.records:
            if isinstance(record.message, stun.BindingRequest):
                arrow = trace.arrow_of(record)
                is_last = arrow.origin == cpe and record is arrow.last
                outer = record.source if is_last and record.message.is_marked else outer
            is_sent = record.transport == "udp" and trace.arrow_of(record).first is record
            unasked = is_sent and comes_through(record) and record.payload[:1] not in STUN_OCTETS
            if not unasked or outer is None or record.destination != outer:
                continue
            if trace.arrow_of(record).end == cpe:
                yield ok(record, f"through {outer}")
            elif trace.arrow_of(record).delivered is not False:  # what a link has lost says nothing
                yield fault(record, f"{outer} is open no more: it does not come to {cpe}")
