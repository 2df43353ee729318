"""UDP Connection Requests: how an ACS writes and sends them (TR-111 Part 2, 2.2.2.3), and what a
CPE does about them (2.2.1.4)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from urllib.parse import urlsplit

from testbed.conformance.asked import (
    CONNECTION_REQUEST,
    REQUEST_NAME,
    SETTLED_S,
    STUN_OCTETS,
    all_due,
    asked,
    asked_by_tcp,
)
from testbed.conformance.bindings import ADDRESS, cpes, readings, seconds, value_at
from testbed.conformance.check import check
from testbed.conformance.reading import begun, staged
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.udp_connection_request import NAMES, UdpConnectionRequest
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Record
from testbed.trace.trace import Trace

SESSION_WITHIN_S = 30.0
USUAL_PORT = 80
_AUTHORITY = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_UNESCAPED = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9%+&=._~*!$'(),;:@/?-]")
"""What the query of a URI cannot hold (RFC 3986 3.4)."""
COPIES_WITHIN_S = 1.0
"""All copies of one request follow each other within that time."""
LONGEST_OFF_S = 1800.0
"""How wrong a clock may be: by less than the hour that a time zone makes."""


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


def _copies(trace: Trace, *names: str) -> dict[tuple[str | None, ...], list[Record]]:
    """The requests by sender, whom they ask, and the values of these names."""
    found: dict[tuple[str | None, ...], list[Record]] = {}
    for record in _sent(trace):
        known = tuple(_said(record).value(name) for name in ("un", *names))
        found.setdefault((record.sender, *known), []).append(record)
    return found


@check("TR111-2.2.2.3-U3")
def several_copies_are_sent(trace: Trace) -> Iterator[Finding]:
    """A request is sent more than once, against loss."""
    for records in _copies(trace, "id").values():
        if staged(trace, records[0].sender, "source_port"):
            continue
        if len(records) > 1:
            yield ok(records[-1], f"{len(records)} copies")
        else:
            # Of a capture that begins here the other copies may have come before it.
            is_cut = trace.spent_s(trace.records[0], records[0]) < COPIES_WITHIN_S
            yield fault(records[0], "one copy only", ("whole",) if is_cut else ())


@check("TR111-2.2.2.3-U4")
def copies_are_identical(trace: Trace) -> Iterator[Finding]:
    """Copies of a request are the same octet for octet.  They are told by their message ID, and by
    their ts: a CPE takes one request a second, as ts must grow (AMB-P2-19)."""
    for name in ("id", "ts"):
        for records in _copies(trace, name).values():
            for record in records[1:]:
                if record.payload != records[0].payload:
                    yield fault(record, f"another copy of this {name} differs")
                elif name == "id":
                    yield ok(record)


@check("TR111-2.2.2.3-U6")
def request_is_http(trace: Trace) -> Iterator[Finding]:
    """HTTP/1.1, with the Host that RFC 2616 wants; what cannot be cut into lines that end in CRLF,
    and an empty one, is none."""
    for record in trace.records:
        begins = record.error is not None and record.payload[:4].upper() in (b"GET ", b"POST")
        is_first = begins and trace.arrow_of(record).first is record
        if is_first and not staged(trace, record.sender, "forges"):
            yield fault(record, f"it is no HTTP message: {record.error}")

    def wrong(record: Record) -> str | None:
        if _said(record).version != "1.1":
            return f"HTTP/{_said(record).version}"
        return None if _said(record).header("Host") is not None else "there is no Host"

    yield from _each(trace, wrong)


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
        return None if told is None or re.fullmatch("0+", told) else f"Content-Length is {told!r}"

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U9")
def method_is_get(trace: Trace) -> Iterator[Finding]:
    """The method is GET."""

    def wrong(record: Record) -> str | None:
        method = _said(record).method
        return f"the method is {method}" if method != "GET" else None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U10")
def uri_is_absolute(trace: Trace) -> Iterator[Finding]:
    """The Request-URI has a scheme and an authority."""

    def wrong(record: Record) -> str | None:
        parts = urlsplit(_said(record).uri)
        is_absolute = bool(parts.scheme and parts.netloc)
        return None if is_absolute else f"the Request-URI is {_said(record).uri[:60]!r}"

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U11")
def scheme_is_http(trace: Trace) -> Iterator[Finding]:
    """The scheme is http or HTTP: not one in mixed letters."""

    def wrong(record: Record) -> str | None:
        scheme, colon, _ = _said(record).uri.partition(":")
        is_http = colon and scheme in ("http", "HTTP")
        return None if is_http else f"the Request-URI is {_said(record).uri[:60]!r}"

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U12")
def authority_has_its_form(trace: Trace) -> Iterator[Finding]:
    """The authority is a host, and maybe a port: RFC 3986's, as far as RFC 2616 lets a URI have
    it."""

    def wrong(record: Record) -> str | None:
        authority = _said(record).authority
        is_right = _AUTHORITY.fullmatch(authority) is not None
        return None if is_right else f"the authority is {authority!r}"

    return _each(trace, wrong)


def _known_addresses(trace: Trace, record: Record) -> list[str]:
    """What the CPE that a request asks, by un, has told as its address before."""
    un = _said(record).value("un")
    return [
        reading.value
        for cpe in cpes(trace)
        if value_at(trace, cpe, REQUEST_NAME, record) in (un, None)
        for reading in readings(trace, cpe, ADDRESS)
        if reading.record.number < record.number
    ]


@check("TR111-2.2.2.3-U13", supposes=("whole",))
def authority_is_the_destination(trace: Trace) -> Iterator[Finding]:
    """Host and port of the authority are those that the packet goes to; port 80 may be left out.
    The UDPConnectionRequestAddress that the CPE has told will do as well."""

    def wrong(record: Record) -> str | None:
        assert record.destination is not None
        address, port = record.destination.address, record.destination.port
        due = [f"{address}:{port}"] + ([address] if port == USUAL_PORT else [])
        authority = _said(record).authority
        if authority in due or authority in _known_addresses(trace, record):
            return None
        return f"the authority is {authority!r}, {due[-1]!r} is due"

    return _each(trace, wrong)


@check("TR111-2.2.2.3-U14", supposes=("whole",))
def authority_has_the_port(trace: Trace) -> Iterator[Finding]:
    """The port of the destination stands in the authority, unless it is 80."""

    def wrong(record: Record) -> str | None:
        assert record.destination is not None
        authority, port = _said(record).authority, record.destination.port
        told = authority.rpartition(":")[2] if re.search(r":\d+$", authority) else ""
        if told == str(port) or (port == USUAL_PORT and not told):
            return None
        return f"the authority is {authority!r}, the packet goes to port {port}"

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
    """The query has ts, id, un, cn and sig, each once and with a value; no character stands in it
    that has to be escaped, and no escape is cut off."""

    def wrong(record: Record) -> str | None:
        odd = _UNESCAPED.search(_said(record).uri.partition("?")[2])
        if odd is not None:
            return f"the query has {odd[0]!r} unescaped"
        missing = [name for name in NAMES if not _said(record).value(name)]
        return f"{' and '.join(missing)} is not there once, with a value" if missing else None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-T-ts")
def ts_is_seconds(trace: Trace) -> Iterator[Finding]:
    """ts counts seconds since 1970 (UTC) up to now: a number of at most ten digits, as it is until
    the year 2286, and not far from when it is sent."""

    def wrong(record: Record) -> str | None:
        ts = _said(record).value("ts")
        if not ts or not re.fullmatch(r"[0-9]{1,10}", ts):
            return f"ts is {ts!r}"
        off_s = int(ts) - record.time_ns / 1e9
        return f"ts is {ts}, {off_s:+.0f} s from now" if abs(off_s) > LONGEST_OFF_S else None

    return _each(trace, wrong)


@check("TR111-2.2.2.3-T-id")
def id_is_a_number(trace: Trace) -> Iterator[Finding]:
    """id is an unsigned integer, another one in the next request, and the same in all copies: those
    of one ts and cn."""

    def wrong(record: Record) -> str | None:
        told = _said(record).value("id")
        return None if told and told.isascii() and told.isdecimal() else f"id is {told!r}"

    yield from _each(trace, wrong)
    for records in _copies(trace).values():
        for one, other in pairwise(records):
            before, after = _said(one), _said(other)
            is_copy = all(before.value(each) == after.value(each) for each in ("ts", "cn"))
            is_same = before.value("id") == after.value("id")
            if is_copy and not is_same:
                yield fault(other, f"a copy has the id {after.value('id')!r}")
            elif is_same and before.value("ts") != after.value("ts"):
                yield fault(other, f"id is {after.value('id')!r}, as in the request before")


@check("TR111-2.2.2.3-T-sig")
def sig_has_forty_digits(trace: Trace) -> Iterator[Finding]:
    """sig is 40 hexadecimal digits, of either case."""

    def wrong(record: Record) -> str | None:
        sig = _said(record).value("sig") or ""
        return None if re.fullmatch(r"[0-9A-Fa-f]{40}", sig) else f"sig is {sig!r}"

    return _each(trace, wrong)


@check("TR111-2.2.1.4-C16", "TR111-2.1-1", "TR111-2.2.1-C5", supposes=("whole",))
def session_follows(trace: Trace) -> Iterator[Finding]:
    """A valid request that has come to the CPE brings a session with "6 CONNECTION REQUEST" in 30
    s, whether the CPE tells of taking it or not."""
    for each in all_due(trace):
        if each.brought is False and each.inform is not None:
            yield fault(each.inform, f"{_events(each.inform)}: a request was ignored")
        elif each.brought and each.inform is not None:
            passed_s = seconds(each.record, each.inform)
            if passed_s <= SESSION_WITHIN_S:
                yield ok(each.inform, f"after {passed_s:.3f} s")
            else:
                yield fault(each.inform, f"after {passed_s:.3f} s, 30 are allowed")
        elif each.inform is None and seconds(each.record, trace.records[-1]) > SESSION_WITHIN_S:
            yield fault(each.record, "no session follows within 30 s")
    for taken in trace.records:
        if taken.is_event and taken.message.name == "UDP_REQUEST_TAKEN":
            yield from _opened_for_another_reason(trace, taken)


def _opened_for_another_reason(trace: Trace, taken: Record) -> Iterator[Finding]:
    """The session after a request that the CPE tells that it has taken, where it says another
    reason.  One that was about to begin may come before the right one."""
    other: Record | None = None
    for record in trace.records[taken.number :]:
        inform = record.find(rpc.Inform)
        if inform is None or trace.arrow_of(record).origin != taken.sender:
            continue
        if any(event.code == CONNECTION_REQUEST for event in inform.events):
            return
        opened = begun(trace, taken.sender, record)
        if opened.number > taken.number:
            other = other or record
        if trace.spent_s(taken, opened) >= SETTLED_S:
            break
    if other is not None:
        yield fault(other, f"the next session tells {_events(other)}, not {CONNECTION_REQUEST}")


def _events(inform: Record) -> str:
    told = inform.find(rpc.Inform)
    return ", ".join(event.code for event in told.events) if told is not None else ""


@check("TR111-2.2.3-F7")
def figure_7_is_kept(trace: Trace) -> Iterator[Finding]:
    """Copies of a request bring one session: no Inform but the first says "6 CONNECTION REQUEST",
    until somebody asks again."""
    yield from session_follows(trace)
    for cpe in cpes(trace):
        asking = [each.record for each in asked(trace, cpe) if each.is_due]
        answered: Record | None = None
        for session in sessions(trace, cpe):
            inform = session.inform
            told = None if inform is None else inform.find(rpc.Inform)
            if inform is None or told is None or told.retry_count:
                continue
            if not any(event.code == CONNECTION_REQUEST for event in told.events):
                continue
            since = -1 if answered is None else answered.number
            is_asked = any(since < each.number < inform.number for each in asking)
            if answered is not None and not is_asked and not asked_by_tcp(trace, cpe, answered):
                first = f"the one of record {answered.number}"
                said = f"a second session after {first}, and nobody has asked again"
                yield fault(inform, said, ("whole",))
            if is_asked:
                answered = inform


@check("TR111-2.2.2.3-U5")
def nobody_answers(trace: Trace) -> Iterator[Finding]:
    """There is no response, to a wrong request neither: what the CPE sends to where one came from
    is STUN."""
    sent: dict[tuple[str, Endpoint | None], list[Record]] = defaultdict(list)
    for each in trace.records:
        if each.transport == "udp" and each.payload[:1] not in STUN_OCTETS:
            sent[each.sender, each.destination].append(each)
    for record in trace.all(UdpConnectionRequest):
        arrow = trace.arrow_of(record)
        if arrow.first is not record or arrow.end is None or record.source is None:
            continue
        to_it = sent.get((arrow.end, record.source), ())
        answer = next((each for each in to_it if each.number > record.number), None)
        if answer is not None:
            yield fault(answer, f"{len(answer.payload)} octets in answer to a request")
        else:
            yield ok(record)
