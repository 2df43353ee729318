"""What a CPE says of its binding, against what the wire shows (TR-111 Part 2, 2.2.1.3, Table 6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from testbed.conformance.asked import BOOT
from testbed.conformance.bindings import (
    ADDRESS,
    NAT_DETECTED,
    PORT,
    Reading,
    Transaction,
    cpes,
    is_on,
    is_on_its_way,
    known_at,
    readings,
    seconds,
    settings,
    was_on,
)
from testbed.conformance.check import check
from testbed.conformance.checks.datamodel_stun import is_read_only
from testbed.conformance.index import index_of
from testbed.conformance.reading import is_address
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import http
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Record
from testbed.trace.trace import Trace

_AUTHORITY = re.compile(r"^(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?$")
IMPLICIT_PORT = 80
REQUEST_PORT = 7547


def _told(trace: Trace, name: str) -> Iterator[tuple[Reading, list[Transaction]]]:
    """What CPEs with STUN said of a parameter after a first response, and what they could know."""
    for cpe in cpes(trace):
        for reading in readings(trace, cpe, name):
            inform = reading.record.find(rpc.Inform)
            if inform is not None and BOOT in [each.code for each in inform.events]:
                continue  # what was learnt before the start is forgotten
            known = known_at(trace, cpe, reading.record)
            if known and was_on(trace, cpe, reading.record):
                yield reading, known


def _endpoint(text: str) -> Endpoint | None:
    """The endpoint that UDPConnectionRequestAddress says; None: it has not that form."""
    match = _AUTHORITY.match(text)
    if match is None:
        return None
    return Endpoint(match["host"].strip("[]"), int(match["port"] or IMPLICIT_PORT))


def _mapped(transaction: Transaction) -> Endpoint | None:
    """What the last response has shown."""
    assert transaction.success is not None
    mapped: Endpoint | None = transaction.success.message.mapped_address
    return mapped


def _is_translated(transaction: Transaction) -> bool:
    return _mapped(transaction) != transaction.source


def _agrees(
    trace: Trace, part: Callable[[Endpoint], object], translated: bool | None
) -> Iterator[Finding]:
    """Whether a part of UDPConnectionRequestAddress is that of the binding.

    Args:
        trace: what is judged.
        part: what of the endpoint is compared.
        translated: only where the binding is, or is not; None: both.
    """
    for reading, known in _told(trace, ADDRESS):
        if translated is not None and _is_translated(known[-1]) is not translated:
            continue
        said = _endpoint(reading.value)
        wanted = [mapped for each in known if (mapped := _mapped(each)) is not None]
        if said is not None and part(said) in [part(each) for each in wanted]:
            yield ok(reading.record, reading.value)
        elif not is_on_its_way(trace, known[0], reading.record, 0.0):
            is_name = said is not None and not is_address(said.address)
            yield fault(
                reading.record,
                f"{ADDRESS} is {reading.value!r}, the binding is {' or '.join(map(str, wanted))}",
                ("resolved",) if is_name else (),
            )


@check(*("TR111-2.2.1.1-C5", "TR111-2.2.1.3-C12"), observed="read back")
def address_is_what_the_server_said(trace: Trace) -> Iterator[Finding]:
    """Under translation UDPConnectionRequestAddress is MAPPED-ADDRESS of the latest response to the
    primary port."""
    yield from _agrees(trace, lambda endpoint: endpoint, True)


@check(*("TR111-2.2-P3", "TR111-2.2.1-C2", "TR111-2.2.4-T6-1a"), observed="read back")
def address_is_the_binding(trace: Trace) -> Iterator[Finding]:
    """Under translation UDPConnectionRequestAddress is that latest MAPPED-ADDRESS, and that is what
    the NAT made of the request.

    A CPE knows its binding by the server alone, and is right to believe it: where the server said
    something else than the NAT did, that is the server's fault (2.2.2.1-S1), and nothing is found
    about the CPE.
    """
    misled = {
        reading.record.number
        for reading, known in _told(trace, ADDRESS)
        if any(each.outer is not None and each.outer != _mapped(each) for each in known)
    }
    for finding in _agrees(trace, lambda endpoint: endpoint, True):
        if finding.record.number not in misled:
            yield finding


@check("TR111-2.2.1.3-C12a", observed="read back")
def host_is_the_public_address(trace: Trace) -> Iterator[Finding]:
    """Its host portion is the binding's public address."""
    yield from _agrees(trace, lambda endpoint: endpoint.address, True)


@check("TR111-2.2.1.3-C12b", observed="read back")
def port_is_the_public_port(trace: Trace) -> Iterator[Finding]:
    """Its port portion is the binding's public port; left out only where that is 80."""
    yield from _agrees(trace, lambda endpoint: endpoint.port, True)


@check("TR111-2.2.1.3-C17", observed="read back", supposes=("whole",))
def without_translation_it_is_its_own(trace: Trace) -> Iterator[Finding]:
    """Without translation NATDetected is false, and the address is the local one."""
    yield from _agrees(trace, lambda endpoint: endpoint, False)
    for reading, known in _told(trace, NAT_DETECTED):
        if not _is_translated(known[-1]):
            yield from _detects(trace, reading, known)


def _detects(trace: Trace, reading: Reading, known: list[Transaction]) -> Iterator[Finding]:
    truth = {_is_translated(each) for each in known}
    if is_on(reading.value) in truth:
        yield ok(reading.record, f"{NAT_DETECTED} = {reading.value}")
    elif not is_on_its_way(trace, known[0], reading.record, 0.0):
        last = known[-1]
        yield fault(
            reading.record,
            f"{NAT_DETECTED} is {reading.value}; {last.source} is seen as {_mapped(last)}",
        )


@check("TR111-2.2.4-T6-10", observed="read back", supposes=("whole",))
def nat_detected_is_told_and_never_set(trace: Trace) -> Iterator[Finding]:
    """NATDetected tells the truth, and no ACS can set it."""
    yield from nat_detected_tells_the_truth(trace)
    yield from is_read_only(trace, NAT_DETECTED)


@check(
    *("TR111-2.2-P1", "TR111-2.2.1.1-C4"),
    needs_in={"nat_binding_discovery": ("", "port_only")},
    observed="read back",
    supposes=("whole",),
)
def nat_detected_tells_the_truth(trace: Trace) -> Iterator[Finding]:
    """NATDetected says whether address or port of MAPPED-ADDRESS is not the CPE's own."""
    for reading, known in _told(trace, NAT_DETECTED):
        yield from _detects(trace, reading, known)


@check("TR111-2.2.1.3-C13", observed="read back")
def translation_is_detected(trace: Trace) -> Iterator[Finding]:
    """Under translation NATDetected is true."""
    for reading, known in _told(trace, NAT_DETECTED):
        if _is_translated(known[-1]):
            yield from _detects(trace, reading, known)


@check("TR111-2.2.4-T6-1", observed="read back")
def address_has_its_form(trace: Trace) -> Iterator[Finding]:
    """UDPConnectionRequestAddress is host:port or host (RFC 3986 authority): no scheme, no path;
    and no ACS can set it."""
    yield from is_read_only(trace, ADDRESS)
    for cpe in cpes(trace):
        for reading in readings(trace, cpe, ADDRESS):
            if not reading.value:
                continue  # AMB-P2-11: nothing is known before the first response
            if _endpoint(reading.value) is not None and len(reading.value) <= 256:
                yield ok(reading.record)
            else:
                yield fault(reading.record, f"{ADDRESS} is {reading.value!r}, no host:port")


@check("TR111-2.2.4-T6-1c", observed="read back")
def port_is_left_out_only_where_it_is_80(trace: Trace) -> Iterator[Finding]:
    """A value without a port says that the binding's port is 80."""
    for reading, known in _told(trace, ADDRESS):
        mapped = [each.port for transaction in known if (each := _mapped(transaction)) is not None]
        if ":" in reading.value or IMPLICIT_PORT in mapped:
            yield ok(reading.record, reading.value)
        else:
            yield fault(
                reading.record,
                f"{ADDRESS} is {reading.value!r}, the binding's port is {mapped[-1]}",
            )


@check("TR111-2.2.4-T6-5b", observed="read back")
def server_port_defaults_to_stun_s(trace: Trace) -> Iterator[Finding]:
    """STUNServerPort is 3478 as long as nobody has set it."""
    for cpe in cpes(trace):
        ever = any(PORT in each.values for each in settings(trace, cpe))
        for reading in readings(trace, cpe, PORT) if not ever else ():
            if reading.value == "3478":
                yield ok(reading.record)
            else:
                yield fault(reading.record, f"STUNServerPort is {reading.value} by default")


CONNECTION_REQUEST = "6 CONNECTION REQUEST"
SESSION_WITHIN_S = 30.0
LET_IN_S = 3.0
"""Within which a listener that is there answers a SYN."""


@check("TR111-2.2.1.4-C2")
def connection_requests_by_tcp_still_work(trace: Trace) -> Iterator[Finding]:
    """While STUN is on, a GET that the CPE accepts on its ConnectionRequestURL brings a session
    with "6 CONNECTION REQUEST"; a CPE that refuses the connection, or lets it wait, does not listen
    any more."""
    for cpe in cpes(trace):
        informed = [
            each.inform
            for each in sessions(trace, cpe)
            if each.inform is not None
            and (told := each.inform.find(rpc.Inform)) is not None
            and any(event.code == CONNECTION_REQUEST for event in told.events)
        ]
        ports = _request_ports(trace, cpe)
        for record in index_of(trace).of_node.get(cpe, ()):
            if not was_on(trace, cpe, record):
                continue
            port = None if record.source is None else record.source.port
            asks = record.receiver == cpe and "SYN" in record.marks and "ACK" not in record.marks
            if asks and record.destination is not None and record.destination.port in ports:
                yield from _is_let_in(trace, cpe, record)
            if record.sender != cpe or not isinstance(record.message, http.Response):
                continue
            if port not in ports or record.message.status not in (200, 204):
                continue
            later = [each for each in informed if each.number > record.number]
            if later and seconds(record, later[0]) <= SESSION_WITHIN_S:
                yield ok(later[0])
            elif later or seconds(record, trace.records[-1]) > SESSION_WITHIN_S:
                yield fault(record, "a connection request was accepted, and no session follows")


def _request_ports(trace: Trace, cpe: str) -> set[int]:
    """Where a CPE listens for connection requests by TCP, as it has told; else where most do."""
    ports = set()
    for reading in readings(trace, cpe, "ConnectionRequestURL"):
        with suppress(ValueError):
            ports.add(urlsplit(reading.value).port or IMPLICIT_PORT)
    return ports or {REQUEST_PORT}


def _is_let_in(trace: Trace, cpe: str, syn: Record) -> Iterator[Finding]:
    """Whether a SYN that has come to a CPE is answered by one."""
    here, there = syn.destination, syn.source
    for record in index_of(trace).of_node.get(cpe, ()):
        is_answer = record.number > syn.number and (record.source, record.destination) == (
            here,
            there,
        )
        if is_answer and "SYN" in record.marks:
            return
        if is_answer and "RST" in record.marks:
            yield fault(record, "the CPE refuses a connection request by TCP")
            return
    if trace.spent_s(syn, trace.records[-1]) > LET_IN_S:
        yield fault(syn, f"the CPE lets a connection request by TCP wait for {LET_IN_S:g} s")
