"""How an ACS learns where its CPEs are, and by which way it asks them (TR-111 Part 2, 2.2.2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from testbed.conformance.asked import CONNECTION_REQUEST, REQUEST_NAME
from testbed.conformance.bindings import (
    ADDRESS,
    NAT_DETECTED,
    PASSWORD,
    USERNAME,
    Reading,
    cpes,
    is_on,
    readings,
    seconds,
    settings,
    transactions,
    value_at,
)
from testbed.conformance.check import check
from testbed.conformance.checks.stun_notification import is_active
from testbed.conformance.reading import events_of, is_address, lookups, staged
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Record
from testbed.trace.trace import Trace

USUAL_PORT = 80
SESSION_WITHIN_S = 30.0
READ_WITHIN_S = 5.0


def _sent(trace: Trace, cpe: str) -> Iterator[tuple[Record, UdpConnectionRequest]]:
    """The requests for a CPE, told by un, where they were sent; none that are staged."""
    for record in trace.all(UdpConnectionRequest):
        is_first = trace.arrow_of(record).first is record
        is_staged = any(
            staged(trace, record.sender, what) for what in ("forges", "replays", "source_port")
        )
        if is_first and not is_staged:
            name = value_at(trace, cpe, REQUEST_NAME, record)
            if name is not None and record.message.value("un") == name:
                yield record, record.message


def _told(trace: Trace, cpe: str, name: str, moment: Record) -> list[Reading]:
    """What a CPE has told of a parameter before something."""
    return [each for each in readings(trace, cpe, name) if each.record.number < moment.number]


def _latest(trace: Trace, cpe: str, told: list[Reading], moment: Record) -> list[str]:
    """The values that the ACS may go by: the last that it has answered, and those after it."""
    followed: set[int] = set()
    for session in sessions(trace, cpe):
        numbers = [turn.number for turn in session.turns if turn.number < moment.number]
        followed.update(numbers[:-1])
    answered = [place for place, each in enumerate(told) if each.record.number in followed]
    return [each.value for each in told[answered[-1] if answered else 0 :]]


def _split(address: str) -> tuple[str, int | None]:
    host, _, port = address.partition(":")
    return host, int(port) if port.isdecimal() else None


def _by_notification(trace: Trace, cpe: str, moment: Record) -> bool:
    """Whether nobody verifies the CPE: it has told its address, and has no STUNUsername."""
    return not value_at(trace, cpe, USERNAME, moment)


@check(
    "TR111-2.2.2.2-A1",
    needs_in={
        "nat_binding_change_stun_auth": ("asked",),
        "nat_binding_change_notification": ("asked",),
    },
    supposes=("whole",),
)
def requests_go_to_the_binding(trace: Trace) -> Iterator[Finding]:
    """Whichever way the ACS learns it, requests go to the binding that the CPE has then."""
    for cpe in cpes(trace):
        for record, _ in _sent(trace, cpe):
            answered = [
                each.outer
                for each in transactions(trace, cpe)
                if each.is_primary
                and not each.is_probe
                and each.success is not None
                and each.success.number < record.number
            ]
            if not answered or (trace.is_excerpt and answered[-1] is None):
                continue
            if record.destination == answered[-1]:
                yield ok(record, f"to {record.destination}")
            else:
                yield fault(record, f"to {record.destination}, the binding is {answered[-1]}")


@check(
    "TR111-2.2.2.2.2-A2",
    supposes=("whole",),
    needs_in={"nat_binding_change_notification": ("asked",)},
)
def latest_address_is_used(trace: Trace) -> Iterator[Finding]:
    """A request goes to the UDPConnectionRequestAddress that the CPE has told last."""
    for cpe in cpes(trace):
        for record, _ in _sent(trace, cpe):
            told = _told(trace, cpe, ADDRESS, record)
            latest = _latest(trace, cpe, told, record)
            hosts = [_split(each)[0] for each in latest]
            if not latest or not all(map(is_address, hosts)) or record.destination is None:
                continue
            if not _by_notification(trace, cpe, record):
                continue
            older = {each.value for each in told} - {*latest}
            is_old = str(record.destination) in older or record.destination.address not in hosts
            if is_old:
                yield fault(record, f"to {record.destination}, the CPE has told {latest[-1]}")
            else:
                yield ok(record, f"to {record.destination}")


@check("TR111-2.2.2.2.2-A3", needs_in={"nat_binding_change_notification": ("asked",)})
def both_portions_are_used(trace: Trace) -> Iterator[Finding]:
    """Address and port of a request's destination are the two portions of one address that the CPE
    has told."""
    for cpe in cpes(trace):
        for record, _ in _sent(trace, cpe):
            told = [each.value for each in _told(trace, cpe, ADDRESS, record)]
            if not _by_notification(trace, cpe, record) or not told:
                continue
            assert record.destination is not None
            parts = [_split(each) for each in told]
            known = [
                (host, port)
                for host, port in parts
                if port is not None and host in (record.destination.address, *_names(parts))
            ]
            ports = [port for _, port in known]
            if record.destination.port in ports:
                yield ok(record, f"to {record.destination}")
            elif ports:
                yield fault(record, f"to {record.destination}, the CPE has told {told[-1]}")


def _names(parts: list[tuple[str, int | None]]) -> list[str]:
    return [host for host, _ in parts if not is_address(host)]


@check("TR111-2.2.2.2.2-A4", needs=("host_name",), supposes=("whole",))
def host_names_are_resolved(trace: Trace) -> Iterator[Finding]:
    """Where the host is a name, the ACS asks DNS for it, and the request goes to the answer."""
    for cpe in cpes(trace):
        acs = next((each.acs for each in sessions(trace, cpe) if each.acs is not None), None)
        for record, _ in _sent(trace, cpe):
            latest = _latest(trace, cpe, _told(trace, cpe, ADDRESS, record), record)
            host = _split(latest[-1])[0] if latest else ""
            if not host or is_address(host) or acs is None or record.destination is None:
                continue
            answers = [
                each.addresses
                for each in lookups(trace, acs)
                if each.name == host
                and each.answer is not None
                and each.answer.number < record.number
                and seconds(each.answer, record) <= SESSION_WITHIN_S
            ]
            outer = _outer(trace, cpe, record)
            if not answers:
                yield fault(record, f"{host} was not asked for")
            elif record.destination.address not in answers[-1]:
                yield fault(record, f"to {record.destination}, {host} is {', '.join(answers[-1])}")
            elif outer is not None and outer.address != record.destination.address:
                yield fault(record, f"to {record.destination}, which {host} is no more")
            else:
                yield ok(record, f"{host} is {record.destination.address}")


def _outer(trace: Trace, cpe: str, moment: Record) -> Endpoint | None:
    """The binding that a CPE's last answered request from the primary port had."""
    found = None
    for each in transactions(trace, cpe):
        success = each.success
        if each.is_primary and success is not None and success.number < moment.number:
            found = each.outer
    return found


@check("TR111-2.2.2.2.2-A5", needs=("no_port",))
def port_is_80_where_there_is_none(trace: Trace) -> Iterator[Finding]:
    """Where the address names no port, the request goes to port 80."""
    for cpe in cpes(trace):
        for record, _ in _sent(trace, cpe):
            latest = _latest(trace, cpe, _told(trace, cpe, ADDRESS, record), record)
            if len(latest) != 1 or _split(latest[0])[1] is not None or record.destination is None:
                continue
            if not _by_notification(trace, cpe, record):
                continue
            if record.destination.port == USUAL_PORT:
                yield ok(record, latest[0])
            else:
                yield fault(record, f"to port {record.destination.port}, {latest[0]!r} has none")


@check("TR111-2.2.2.2.2-A1", supposes=("notification",))
def address_is_notified_actively(trace: Trace) -> Iterator[Finding]:
    """A CPE that nobody verifies has active notification on its address before that changes."""
    for cpe in cpes(trace):
        for each in transactions(trace, cpe):
            success = each.success
            if success is None or not each.request.is_change:
                continue
            if not _by_notification(trace, cpe, success):
                continue
            if is_active(trace, cpe, ADDRESS, success):
                yield ok(success)
            else:
                yield fault(success, f"a change is on its way, and {ADDRESS} is not notified")


@check("TR111-2.2.2.2.2-A6", supposes=("notification",))
def nat_detected_is_observed(trace: Trace) -> Iterator[Finding]:
    """After each new address the ACS reads NATDetected, if it is not notified of that too."""
    for cpe in cpes(trace):
        before = None
        reads = [
            turn
            for session in sessions(trace, cpe)
            for turn in session.turns
            if (call := turn.find(rpc.GetParameterValues)) is not None
            and any(name.endswith(f".{NAT_DETECTED}") for name in call.names)
        ]
        for each in readings(trace, cpe, ADDRESS):
            inform = each.record.find(rpc.Inform)
            if inform is None or each.value == before:
                continue
            before = each.value
            over = _over(trace, cpe, each)
            later = [
                r
                for r in reads
                if each.record.number <= r.number
                and (
                    trace.spent_s(each.record, r) <= READ_WITHIN_S
                    or (over is not None and r.number < over.number)
                )
            ]
            names = [value.name for value in inform.parameters]
            if is_active(trace, cpe, NAT_DETECTED, each.record) or later:
                yield ok(later[0] if later else each.record, each.value)
            elif any(name.endswith(f".{NAT_DETECTED}") for name in names):
                yield ok(each.record, "it is in the Inform")
            elif over is not None:
                yield fault(each.record, f"{each.value} is new, and nobody reads {NAT_DETECTED}")


def _over(trace: Trace, cpe: str, reading: Reading) -> Record | None:
    """The end of the session in which it was told; where that was cut, of the next one that ends in
    good order."""
    ends = [
        each.turns[-1]
        for each in sessions(trace, cpe)
        if each.turns[-1].number > reading.record.number
        and getattr(each.turns[-1].message, "status", None) == 204
    ]
    return next(iter(ends), None)


def _by_tcp(trace: Trace, cpe: str) -> Iterator[tuple[Record, Record | None]]:
    """Where an ACS says that it asks a CPE by TCP, and the Inform that comes of it."""
    url = [each.value for each in readings(trace, cpe, "ConnectionRequestURL")]
    for acs in {each.acs for each in sessions(trace, cpe)} - {None}:
        for record in events_of(trace, str(acs), "ASKED"):
            fields = record.message.fields
            if fields.get("way") != "tcp" or fields.get("to") not in url:
                continue
            informs = [
                each.inform
                for each in sessions(trace, cpe)
                if each.inform is not None
                and each.inform.number > record.number
                and (told := each.inform.find(rpc.Inform)) is not None
                and any(event.code == CONNECTION_REQUEST for event in told.events)
            ]
            yield record, informs[0] if informs else None


def _works(trace: Trace, record: Record, inform: Record | None, why: str) -> Iterator[Finding]:
    if inform is not None and seconds(record, inform) <= SESSION_WITHIN_S:
        yield ok(inform, why)
    else:
        yield fault(record, f"{why}, and no session comes of asking by TCP")


@check("TR111-2.2.2.2.2-A7", observed="told", needs=("by_notification", "behind_a_nat"))
def tcp_is_for_those_without_nat(trace: Trace) -> Iterator[Finding]:
    """Where NATDetected is false, asking by TCP works; where it is true, the ACS asks by UDP."""
    for cpe in cpes(trace):
        for record, inform in _by_tcp(trace, cpe):
            detected = _latest(trace, cpe, _told(trace, cpe, NAT_DETECTED, record), record)
            if not _by_notification(trace, cpe, record) or not detected:
                continue
            if is_on(detected[-1]):
                yield fault(record, f"by TCP, and {NAT_DETECTED} is {detected[-1]}")
            else:
                yield from _works(trace, record, inform, f"{NAT_DETECTED} is {detected[-1]}")
        for record, _ in _sent(trace, cpe):
            detected = _latest(trace, cpe, _told(trace, cpe, NAT_DETECTED, record), record)
            if detected and is_on(detected[-1]):
                yield ok(record, f"by UDP, as {NAT_DETECTED} is {detected[-1]}")


# The STUN-based approach


@check("TR111-2.2.2.2.1-A6", observed="told", needs=("by_stun",))
def tcp_is_for_those_seen_at_home(trace: Trace) -> Iterator[Finding]:
    """A CPE that the STUN server sees at the address of its ConnectionRequestURL is reached by
    TCP; no other is asked so."""
    for cpe in cpes(trace):
        for record, inform in _by_tcp(trace, cpe):
            outer = _outer(trace, cpe, record)
            if _by_notification(trace, cpe, record) or outer is None:
                continue
            host = urlsplit(str(record.message.fields["to"])).hostname
            if host != outer.address:
                yield fault(record, f"by TCP to {host}, and the CPE is seen at {outer}")
            else:
                yield from _works(trace, record, inform, f"the CPE is seen at {outer}")


def _unique(trace: Trace, name: str) -> Iterator[Finding]:
    """Whether CPEs differ in what was set as this parameter."""
    holders: dict[str, str] = {}
    found: list[tuple[Record, str, str]] = [
        (each.record, cpe, each.values[name])
        for cpe in cpes(trace)
        for each in settings(trace, cpe)
        if each.values.get(name)
    ]
    if len({cpe for _, cpe, _ in found}) < 2:
        return
    for record, cpe, value in sorted(found, key=lambda each: each[0].number):
        holder = holders.setdefault(value, cpe)
        if holder == cpe:
            yield ok(record, cpe)
        else:
            yield fault(record, f"{cpe} and {holder} have the same {name}")


@check("TR111-2.2.2.2.1-A2", needs_in={"nat_binding_change_stun_auth": ("asked",)})
def usernames_are_unique(trace: Trace) -> Iterator[Finding]:
    """No two CPEs have the same STUNUsername."""
    yield from _unique(trace, USERNAME)


@check("TR111-2.2.2.2.1-A3", needs=("asked",))
def passwords_are_unique(trace: Trace) -> Iterator[Finding]:
    """No two CPEs have the same STUNPassword."""
    yield from _unique(trace, PASSWORD)


@check("TR111-2.2.2.2.1-A5", observed="told")
def names_identify_tentatively(trace: Trace) -> Iterator[Finding]:
    """A plain request's USERNAME tells the server whose it may be; no binding is taken by it."""
    plain: set[tuple[str | None, str]] = set()
    for cpe in cpes(trace):
        for each in transactions(trace, cpe):
            if each.is_keep_alive and each.outer is not None:
                plain.add((each.request.username, str(each.outer)))
    signed = {
        record.message.transaction_id.hex()
        for record in trace.all(stun.BindingRequest)
        if record.message.is_signed
    }
    for node in trace.nodes_with_role("stun_server"):
        for record in events_of(trace, node, "TENTATIVE"):
            fields = record.message.fields
            if (fields["username"], fields["endpoint"]) in plain:
                yield ok(record, str(fields["username"]))
        for record in events_of(trace, node, "BINDING_STORED"):
            fields = record.message.fields
            if fields.get("transaction_id") not in signed:
                yield fault(record, f"{fields['endpoint']} was taken by the name alone")


@check("TR111-2.2.2.2.1-S4b", observed="told", needs=("asked",))
def what_is_passed_on_is_recorded(trace: Trace) -> Iterator[Finding]:
    """What the STUN server has verified reaches the ACS, and is recorded for the CPE that has that
    STUNUsername."""
    stored = {
        (r.message.fields["username"], r.message.fields["endpoint"])
        for node in trace.nodes_with_role("stun_server")
        for r in events_of(trace, node, "BINDING_STORED")
    }
    for acs in trace.nodes_with_role("hms"):
        for record in events_of(trace, acs, "BINDING_RECORDED"):
            fields = record.message.fields
            pair = (fields["username"], fields["endpoint"])
            owners = [
                cpe
                for cpe in cpes(trace)
                if value_at(trace, cpe, USERNAME, record) == fields["username"]
            ]
            serials = {_serial(trace, cpe) for cpe in owners}
            if pair not in stored:
                yield fault(record, f"{pair[1]} of {pair[0]}: the STUN server has not verified it")
            elif len(owners) == 1 and fields["serial_number"] not in serials:
                yield fault(record, f"{pair[0]} is that of {owners[0]}")
            elif len(owners) == 1:
                yield ok(record, owners[0])


def _serial(trace: Trace, cpe: str) -> str | None:
    for session in sessions(trace, cpe):
        told = session.inform.find(rpc.Inform) if session.inform is not None else None
        if told is not None:
            return told.device_id.serial_number
    return None
