"""What a CPE holds against UDP Connection Requests (TR-111 Part 2, 2.2.1.4): valid, authentic, or
ignored.

Each datagram that reached the CPE is judged here by the same rules, with name and password as the
ACS has set them; what the CPE made of it, its Informs show (`asked`), and it tells itself
(UDP_REQUEST_TAKEN, UDP_REQUEST_IGNORED), where several datagrams come before one Inform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from testbed.conformance.asked import BOOT, MALFORMED, Asked, all_due, asked
from testbed.conformance.bindings import cpes
from testbed.conformance.check import check
from testbed.conformance.checks.udp_memory import answer_to, refusal_of
from testbed.conformance.index import remembered
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.protocols.udp_connection_request import Receiver, UdpConnectionRequest
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace

TAKEN, IGNORED = "UDP_REQUEST_TAKEN", "UDP_REQUEST_IGNORED"


@dataclass(frozen=True, slots=True)
class Answered:
    """One datagram, and what became of it.

    Attributes:
        record: as it reached the CPE.
        event: what the CPE told of it.
        reason: why it was to be ignored; None: it was to be taken.
        after_wrong: whether a wrong one of the same ts came before it.
    """

    record: Record
    event: Record
    reason: str | None
    after_wrong: bool

    @property
    def is_taken(self) -> bool:
        """Whether the CPE took it."""
        return bool(self.event.message.name == TAKEN)


@remembered
def _answers(trace: Trace) -> list[Answered]:
    found: list[Answered] = []
    waiting: dict[str, list[Record]] = {}
    known: dict[str, tuple[Receiver, dict[str, str]]] = {}
    wrong: set[tuple[str, str | None]] = set()
    for record in trace.records:
        call = record.find(rpc.SetParameterValues)
        if call is not None and (end := trace.arrow_of(record).end) is not None:
            _, told = known.setdefault(end, (Receiver(), {}))
            told |= {each.name.rpartition(".")[2]: each.value for each in call.parameters}
        letters = record.transport == "udp" and record.payload[:1].isalpha()
        is_request = isinstance(record.message, UdpConnectionRequest) or bool(record.error)
        if letters and is_request and record.receiver in known:
            copies = [record] * trace.arrow_of(record).copies
            waiting.setdefault(str(record.receiver), []).extend(copies)
        inform = record.find(rpc.Inform)
        if inform is not None and any(each.code == BOOT for each in inform.events):
            # What it holds from before is judged elsewhere: the text leaves it free.
            receiver, told = known.setdefault(trace.arrow_of(record).origin, (Receiver(), {}))
            known[trace.arrow_of(record).origin] = (Receiver(), told)
        event = record.message
        if not isinstance(event, Event) or record.sender not in known:
            continue
        receiver, told = known[record.sender]
        if event.name in (TAKEN, IGNORED) and waiting.get(record.sender):
            datagram = waiting[record.sender].pop(0)
            request, reason = datagram.message, MALFORMED
            ts = None
            if isinstance(request, UdpConnectionRequest):
                name = told.get("ConnectionRequestUsername", "")
                password = told.get("ConnectionRequestPassword", "")
                before = (receiver.last_ts, receiver.last_id)
                reason = receiver.refusal(request, name, password, 0.0)  # type: ignore[assignment]
                if event.name == IGNORED:  # maybe by a window of time
                    receiver.last_ts, receiver.last_id = before
                ts = request.value("ts")
            found.append(Answered(datagram, record, reason, (record.sender, ts) in wrong))
            if reason is not None:
                wrong.add((record.sender, ts))
    return found


def _reason(datagram: Asked) -> str | None:
    """Why a datagram is to be ignored; None: it is not, or that cannot be said."""
    if datagram.wrong is not None or datagram.last is None:
        return datagram.wrong
    if not datagram.is_newer:
        return f"ts {datagram.ts} is not greater than {datagram.last[0]}"
    if not datagram.has_another_id:
        return f"id {datagram.last[1]} is that of the request before"
    return None


def _ignored(trace: Trace, *begins: str) -> Iterator[Finding]:
    """Those that were to be ignored for a reason that begins so."""
    for cpe in cpes(trace):
        for datagram in asked(trace, cpe):
            reason = _reason(datagram)
            if reason is None or not reason.startswith(begins) or datagram.inform is None:
                continue
            if datagram.brought:
                yield fault(datagram.inform, f"a session comes of a request, though {reason}")
            elif datagram.brought is False:
                yield ok(datagram.inform, reason)
    for each in _answers(trace):
        if each.reason is None or not each.reason.startswith(begins):
            continue
        if each.is_taken:
            yield fault(each.event, f"taken, though {each.reason}")
        else:
            yield ok(each.event, each.reason)


@check("TR111-2.2.1.4-C3", observed="told", supposes=("whole",))
def wrong_requests_are_ignored(trace: Trace) -> Iterator[Finding]:
    """What is not valid, or not authentic, brings no session."""
    return _ignored(trace, "")


@check("TR111-2.2.1.4-C17", observed="told", supposes=("whole",))
def wrong_requests_get_no_word(trace: Trace) -> Iterator[Finding]:
    """What is not valid, or not authentic, brings no session, and no answer either: neither a
    datagram nor an ICMP message."""
    yield from _ignored(trace, "")
    for cpe in cpes(trace):
        for each in asked(trace, cpe):
            reason = _reason(each)
            said = answer_to(trace, cpe, each.record) or refusal_of(trace, cpe, each.record)
            if reason is not None and said is not None:
                yield fault(said, f"a request is answered, though {reason}")


@check("TR111-2.2.1.4-C4", observed="told", supposes=("whole",))
def requests_are_http(trace: Trace) -> Iterator[Finding]:
    """What breaks HTTP/1.1 is ignored: another version, no Host, no empty line."""
    return _ignored(trace, "HTTP/", MALFORMED)


@check("TR111-2.2.1.4-C5", observed="told", supposes=("whole",))
def only_get_is_taken(trace: Trace) -> Iterator[Finding]:
    """Another method than GET is ignored."""
    return _ignored(trace, "the method")


@check("TR111-2.2.1.4-C6", "TR111-2.2.1.4-C7", observed="told", supposes=("whole",))
def ts_must_be_greater(trace: Trace) -> Iterator[Finding]:
    """A ts that is not greater than that of the last good request is ignored."""
    return _ignored(trace, "ts ")


@check("TR111-2.2.1.4-C14", observed="told", supposes=("whole",))
def un_must_be_the_cpes(trace: Trace) -> Iterator[Finding]:
    """Another username is ignored."""
    return _ignored(trace, "un ")


@check("TR111-2.2.1.4-C15", observed="told", supposes=("whole",))
def sig_must_be_right(trace: Trace) -> Iterator[Finding]:
    """A signature that is not that of the values and the CPE's password is ignored."""
    return _ignored(trace, "sig ")


@check("TR111-2.2.1.4-C8", observed="told", supposes=("whole",))
def wrong_requests_leave_no_record(trace: Trace) -> Iterator[Finding]:
    """The ts of a request that failed is not recorded: a good one with the same ts, or a smaller
    one, is taken."""
    for cpe in cpes(trace):
        failed: list[int] = []
        for datagram in asked(trace, cpe):
            if datagram.wrong is not None:
                failed.append(datagram.ts)
            elif datagram.is_due and any(ts >= datagram.ts for ts in failed):
                text = f"ts {datagram.ts}, after {max(failed)} in a wrong request"
                if datagram.brought and datagram.inform is not None:
                    yield ok(datagram.inform, text)
                elif datagram.brought is False and datagram.inform is not None:
                    yield fault(datagram.inform, f"it is ignored: {text}")
    for each in _answers(trace):
        if each.reason is not None or not each.after_wrong:
            continue
        if each.is_taken:
            yield ok(each.event, "a wrong request of the same ts came before")
        else:
            reason = each.event.message.fields.get("reason")
            yield fault(each.event, f"ignored ({reason}), as a wrong one of that ts came before")


@check("TR111-2.2.1.4-C18", observed="told", supposes=("whole",))
def body_is_ignored(trace: Trace) -> Iterator[Finding]:
    """A body changes nothing: the request is taken, as its session shows, or it itself tells."""
    for due in all_due(trace):
        if due.request is None or not due.request.body or due.inform is None:
            continue
        text = f"with a body of {len(due.request.body)} octets"
        if due.brought:
            yield ok(due.inform, text)
        elif due.brought is False:
            yield fault(due.inform, f"a request is ignored, {text}")
    for each in _answers(trace):
        message = each.record.message
        has_body = isinstance(message, UdpConnectionRequest) and bool(message.body)
        if each.reason is None and has_body:
            if each.is_taken:
                yield ok(each.event, f"with a body of {len(message.body)} octets")
            else:
                reason = each.event.message.fields.get("reason")
                yield fault(each.event, f"ignored ({reason}), and has a body")
