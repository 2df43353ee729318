"""UDP Connection Requests: how an ACS writes and sends them (TR-111 Part 2, 2.2.2.3), and what a
CPE does about them (2.2.1.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from testbed.conformance.asked import SETTLED_NS
from testbed.conformance.bindings import ADDRESS, cpes, readings
from testbed.conformance.check import check
from testbed.conformance.reading import staged
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.udp_connection_request import NAMES, UdpConnectionRequest
from testbed.trace.record import Record
from testbed.trace.trace import Trace

SESSION_WITHIN_S = 30.0
CONNECTION_REQUEST = "6 CONNECTION REQUEST"
USUAL_PORT = 80


def _sent(trace: Trace) -> list[Record]:
    """Every request where it was sent first, of senders that the scenario lets do right."""
    return [
        record
        for record in trace.all(UdpConnectionRequest)
        if trace.arrow_of(record).first is record
        and not staged(trace, record.sender, "forges")
        and not staged(trace, record.sender, "replays")
    ]


def _each(trace: Trace, problem: Callable[[Record], str | None]) -> Iterator[Finding]:
    """A finding for each request: what is wrong with it, or that nothing is."""
    for record in _sent(trace):
        wrong = problem(record)
        yield fault(record, wrong) if wrong else ok(record)


def _said(record: Record) -> UdpConnectionRequest:
    message: UdpConnectionRequest = record.message
    return message


@check("TR111-2.2.2.3-U1", "TR111-2.2-P8")
def source_is_the_stun_servers(trace: Trace) -> Iterator[Finding]:
    """A request comes from the address and port to which CPEs send their Binding Requests."""
    known = {each.destination for each in trace.all(stun.BindingRequest) if each.message.is_marked}
    for record in _sent(trace):
        if staged(trace, record.sender, "source_port"):
            continue
        if record.source in known:
            yield ok(record, f"from {record.source}")
        elif known:
            yield fault(record, f"from {record.source}, which is no STUN server's endpoint")


@check("TR111-2.2.2.3-U2")
def request_is_one_packet(trace: Trace) -> Iterator[Finding]:
    """The whole request lies in one UDP packet: it ends with its empty line."""
    for record in _sent(trace):
        yield ok(record, f"{len(record.payload)} octets")
    for record in trace.records:
        cut = record.error is not None and record.payload[:4] in (b"GET ", b"POST")
        if cut and not staged(trace, record.sender, "forges"):
            yield fault(record, f"a part of a request: {record.error}")


def _copies(trace: Trace) -> dict[tuple[str, str | None], list[Record]]:
    """The requests by sender and message ID."""
    found: dict[tuple[str, str | None], list[Record]] = {}
    for record in _sent(trace):
        found.setdefault((record.sender, _said(record).value("id")), []).append(record)
    return found


@check("TR111-2.2.2.3-U3")
def several_copies_are_sent(trace: Trace) -> Iterator[Finding]:
    """A request is sent more than once, against loss."""
    for records in _copies(trace).values():
        if staged(trace, records[0].sender, "source_port"):
            continue
        if len(records) > 1:
            yield ok(records[-1], f"{len(records)} copies")
        else:
            yield fault(records[0], "one copy only")


@check("TR111-2.2.2.3-U4")
def copies_are_identical(trace: Trace) -> Iterator[Finding]:
    """Copies of a request, told by its message ID, are the same octet for octet."""
    for records in _copies(trace).values():
        for record in records[1:]:
            same = record.payload == records[0].payload
            yield ok(record) if same else fault(record, "another copy of this id differs")


@check("TR111-2.2.2.3-U6")
def request_is_http(trace: Trace) -> Iterator[Finding]:
    """HTTP/1.1, with the Host that RFC 2616 wants."""

    def wrong(record: Record) -> str | None:
        if _said(record).version != "1.1":
            return f"HTTP/{_said(record).version}"
        return None if _said(record).header("Host") is not None else "there is no Host"

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U7")
def request_has_no_body(trace: Trace) -> Iterator[Finding]:
    """Nothing follows the empty line."""

    def wrong(record: Record) -> str | None:
        body = _said(record).body
        return f"a body of {len(body)} octets" if body else None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U8")
def content_length_is_zero(trace: Trace) -> Iterator[Finding]:
    """A Content-Length, where there is one, says 0."""

    def wrong(record: Record) -> str | None:
        told = _said(record).header("Content-Length")
        return f"Content-Length is {told!r}" if told not in (None, "0") else None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U9")
def method_is_get(trace: Trace) -> Iterator[Finding]:
    """The method is GET."""

    def wrong(record: Record) -> str | None:
        method = _said(record).method
        return f"the method is {method}" if method != "GET" else None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U10", "TR111-2.2.2.3-U11", "TR111-2.2.2.3-U12")
def uri_is_absolute(trace: Trace) -> Iterator[Finding]:
    """The Request-URI has the scheme http, in letters of either case alike, and an authority."""

    def wrong(record: Record) -> str | None:
        parts = urlsplit(_said(record).uri)
        if not _said(record).uri.startswith(("http://", "HTTP://")) or not parts.hostname:
            return f"the Request-URI is {_said(record).uri[:60]!r}"
        return None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U13", "TR111-2.2.2.3-U14", supposes=("whole",))
def authority_is_the_destination(trace: Trace) -> Iterator[Finding]:
    """Host and port of the authority are those that the packet goes to; the port stands there
    unless it is 80.  The UDPConnectionRequestAddress that a CPE has told will do as well."""
    told = {
        (r.value, r.record.number) for cpe in cpes(trace) for r in readings(trace, cpe, ADDRESS)
    }

    def wrong(record: Record) -> str | None:
        assert record.destination is not None
        address, port = record.destination.address, record.destination.port
        due = address if port == USUAL_PORT else f"{address}:{port}"
        authority = _said(record).authority
        if authority == due or any(authority == v and n < record.number for v, n in told):
            return None
        return f"the authority is {authority!r}, {due!r} is due"

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U15")
def path_is_empty(trace: Trace) -> Iterator[Finding]:
    """The path is empty: not even a slash."""

    def wrong(record: Record) -> str | None:
        path = _said(record).path
        return f"the path is {path!r}" if path else None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U16")
def query_has_the_five_pairs(trace: Trace) -> Iterator[Finding]:
    """The query has ts, id, un, cn and sig, each once and with a value."""

    def wrong(record: Record) -> str | None:
        missing = [name for name in NAMES if not _said(record).value(name)]
        return f"{' and '.join(missing)} is not there once, with a value" if missing else None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-T-ts")
def ts_is_seconds(trace: Trace) -> Iterator[Finding]:
    """ts counts seconds since 1970: a number of at most ten digits, as it is until the year 2286;
    milliseconds have thirteen."""

    def wrong(record: Record) -> str | None:
        ts = _said(record).value("ts")
        return None if ts and re.fullmatch(r"[0-9]{1,10}", ts) else f"ts is {ts!r}"

    return _each(trace, wrong)


@check("TR111-2.2.2.3-T-id")
def id_is_a_number(trace: Trace) -> Iterator[Finding]:
    """id is an unsigned integer."""

    def wrong(record: Record) -> str | None:
        told = _said(record).value("id")
        return None if told and told.isascii() and told.isdecimal() else f"id is {told!r}"

    return _each(trace, wrong)


@check("TR111-2.2.2.3-T-sig")
def sig_has_forty_digits(trace: Trace) -> Iterator[Finding]:
    """sig is 40 hexadecimal digits, of either case."""

    def wrong(record: Record) -> str | None:
        sig = _said(record).value("sig") or ""
        return None if re.fullmatch(r"[0-9A-Fa-f]{40}", sig) else f"sig is {sig!r}"

    return _each(trace, wrong)


@check("TR111-2.2.1.4-C16", "TR111-2.1-1", "TR111-2.2.1-C5", "TR111-2.2.3-F7")
def session_follows(trace: Trace) -> Iterator[Finding]:
    """A request that the CPE has taken brings a session with "6 CONNECTION REQUEST" in 30 s.

    It is the next session that begins; one that was about to begin may come before it.
    """
    for taken in trace.records:
        if taken.is_event and taken.message.name == "UDP_REQUEST_TAKEN":
            yield from _session_after(trace, taken)


def _session_after(trace: Trace, taken: Record) -> Iterator[Finding]:
    other: Record | None = None
    for record in trace.records[taken.number :]:
        passed_s = (record.time_ns - taken.time_ns) / 1e9
        inform = record.find(rpc.Inform)
        if inform is None or trace.arrow_of(record).origin != taken.sender:
            continue
        if any(event.code == CONNECTION_REQUEST for event in inform.events):
            if passed_s <= SESSION_WITHIN_S:
                yield ok(record, f"after {passed_s:.3f} s")
            else:
                yield fault(record, f"after {passed_s:.3f} s, 30 are allowed")
            return
        other = other or record
        if record.time_ns - taken.time_ns >= SETTLED_NS:
            break
    opening = other.find(rpc.Inform) if other is not None else None
    if other is not None and opening is not None:
        told = ", ".join(event.code for event in opening.events)
        yield fault(other, f"the next session tells {told}, not {CONNECTION_REQUEST}")
    elif (trace.records[-1].time_ns - taken.time_ns) / 1e9 > SESSION_WITHIN_S:
        yield fault(taken, "no session follows within 30 s")


@check("TR111-2.2.2.3-U5")
def nobody_answers(trace: Trace) -> Iterator[Finding]:
    """There is no response: what the CPE sends to where a request came from is STUN."""
    for record in _sent(trace):
        arrow = trace.arrow_of(record)
        if arrow.end is None or record.source is None:
            continue
        answered = [
            each
            for each in trace.records[record.number :]
            if each.sender == arrow.end
            and each.transport == "udp"
            and each.destination == record.source
            and each.payload[:1] not in (b"\0", b"\1")
        ]
        if answered:
            yield fault(answered[0], f"{len(answered[0].payload)} octets in answer to a request")
        else:
            yield ok(record)
