"""UDP Connection Requests that reached a CPE, and whether a session came of them: never judged.

All of it is seen on the wire.  A CPE that takes a request owes its ACS the event "6 CONNECTION
REQUEST", and tells it in its next Inform, whatever that is for; so an Inform without it says that
what came before was ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from testbed.conformance.bindings import cpes, transactions, value_at
from testbed.conformance.index import index_of, remembered
from testbed.conformance.reading import begun, events_of
from testbed.conformance.sessions import sessions
from testbed.protocols import http
from testbed.protocols.cwmp import rpc
from testbed.protocols.udp_connection_request import Receiver, UdpConnectionRequest
from testbed.trace.record import Record
from testbed.trace.trace import Trace

CONNECTION_REQUEST, BOOT = "6 CONNECTION REQUEST", "1 BOOT"
REQUEST_NAME, REQUEST_KEY = "ConnectionRequestUsername", "ConnectionRequestPassword"
SETTLED_S = 1.0
"""A session that begins sooner may have been on its way before the request came."""
REQUEST_PORT = 7547
STUN_OCTETS = (b"\0", b"\1")
MALFORMED = "it cannot be cut into a request"


@dataclass(slots=True)
class Asked:
    """A datagram that reached a CPE; copies of it, up to the next Inform, are the same one.

    Attributes:
        cpe: whom it reached.
        record: its first copy, as it reached the CPE.
        request: what it holds; None: it cannot be cut into a request.
        last: ts and id of the request that was taken before it, since the CPE's start; None: none.
        before_boot: ts and id of the last one that was taken, where the CPE has started since and
            has taken none; None: it has not, or there was none.
        wrong: why it is to be ignored whatever the CPE remembers; None: it is valid and authentic.
        offset_s: how far its ts is from the time that the CPE tells; None: that cannot be said.
        inform: the Inform that shows what became of it; None: none has come.
        brought: whether that tells of a connection request; None: it cannot be said whose.
    """

    cpe: str
    record: Record
    request: UdpConnectionRequest | None
    last: tuple[int, str] | None = None
    before_boot: tuple[int, str] | None = None
    wrong: str | None = None
    offset_s: float | None = None
    inform: Record | None = None
    brought: bool | None = None

    @property
    def ts(self) -> int:
        """Of the request; -1: it has none that is a number."""
        text = self.request.value("ts") if self.request is not None else None
        return int(text) if text and text.isascii() and text.isdecimal() else -1

    @property
    def id(self) -> str | None:
        """Of the request."""
        return self.request.value("id") if self.request is not None else None

    @property
    def is_newer(self) -> bool:
        """Whether ts is greater than that of the one before."""
        return self.ts > (self.last[0] if self.last is not None else 0)

    @property
    def has_another_id(self) -> bool:
        """Whether id differs from that of the one before."""
        return self.last is None or self.id != self.last[1]

    @property
    def is_due(self) -> bool:
        """Whether the CPE is to take it, if it looks at no window of time."""
        return self.wrong is None and self.is_newer and self.has_another_id


@dataclass(slots=True)
class _Cpe:
    """What is known of a CPE while its records are gone through."""

    name: str
    waiting: list[Asked]
    last: tuple[int, str] | None = None
    before_boot: tuple[int, str] | None = None
    clock: tuple[int, float] | None = None
    is_asked_by_tcp: bool = False


@remembered
def asked(trace: Trace, cpe: str) -> list[Asked]:
    """Every datagram that reached this CPE where it takes requests, and is no STUN, in order."""
    found: list[Asked] = []
    ports = {each.source.port for each in transactions(trace, cpe) if each.is_primary}
    ports.add(REQUEST_PORT)
    informs = {each.inform.number for each in sessions(trace, cpe) if each.inform is not None}
    now = _Cpe(cpe, [])
    for record in index_of(trace).of_node.get(cpe, ()):
        if record.number in informs:
            _settle(trace, now, record)
        elif _is_for(record, cpe, ports) and trace.arrow_of(record).copies:
            known = next((e for e in now.waiting if e.record.payload == record.payload), None)
            if known is None:
                found.append(_new(trace, now, record))
        elif record.sender == cpe and isinstance(record.message, http.Response):
            source = record.source
            if source is not None and source.port == REQUEST_PORT and record.message.status == 200:
                now.is_asked_by_tcp = True
    return found


def all_asked(trace: Trace) -> Iterator[Asked]:
    """Those of every CPE, one CPE after the other."""
    for cpe in cpes(trace):
        yield from asked(trace, cpe)


def asked_by_tcp(trace: Trace, cpe: str, since: Record) -> bool:
    """Whether a CPE has taken a connection request by TCP after a record."""
    return any(
        each.number > since.number
        and each.sender == cpe
        and each.source is not None
        and each.source.port == REQUEST_PORT
        and isinstance(each.message, http.Response)
        and each.message.status in (200, 204)
        for each in index_of(trace).of_node.get(cpe, ())
    )


# What the CPE tells that it is set to (event "UDP_RECEIVER").

WINDOW, KEEPS = "window_s", "keeps_record"
FAR_S = 300.0
"""What no clock is wrong by (AMB-P2-18): a window, where there is one, is as wide."""


def set_to(trace: Trace, each: Asked, name: str, otherwise: object = None) -> object:
    """What the CPE has told that it is set to, when it was asked; `otherwise`: nothing."""
    told = otherwise
    for record in events_of(trace, each.cpe, "UDP_RECEIVER"):
        if record.number < each.record.number:
            told = record.message.fields.get(name, told)
    return told


def is_out_of_window(trace: Trace, each: Asked) -> bool:
    """Whether a ts is outside of the CPE's window, or may be, as it does not tell of one."""
    window_s = set_to(trace, each, WINDOW, FAR_S)
    return (
        window_s is not None
        and each.offset_s is not None
        and abs(each.offset_s) > float(str(window_s))
    )


def all_due(trace: Trace) -> Iterator[Asked]:
    """Requests that a CPE is to take, by all that it may hold against them."""
    for each in all_asked(trace):
        if each.is_due and each.before_boot is None and not is_out_of_window(trace, each):
            yield each


def _is_for(record: Record, cpe: str, ports: set[int]) -> bool:
    return (
        record.receiver == cpe
        and record.transport == "udp"
        and record.destination is not None
        and record.destination.port in ports
        and record.payload[:1] not in STUN_OCTETS
    )


def _new(trace: Trace, now: _Cpe, record: Record) -> Asked:
    message = record.message
    request = message if isinstance(message, UdpConnectionRequest) else None
    each = Asked(now.name, record, request, now.last, now.before_boot)
    if request is None:
        each.wrong = MALFORMED
    else:
        username = value_at(trace, now.name, REQUEST_NAME, record) or ""
        password = value_at(trace, now.name, REQUEST_KEY, record) or ""
        each.wrong = Receiver().refusal(request, username, password, 0.0)
    if now.clock is not None and each.ts >= 0:
        date = now.clock[1] + (record.time_ns - now.clock[0]) / 1e9
        each.offset_s = each.ts - date
    now.waiting.append(each)
    return each


def _settle(trace: Trace, now: _Cpe, record: Record) -> None:
    """An Inform says what became of what is waiting."""
    inform = record.find(rpc.Inform)
    if inform is None or inform.retry_count:
        return
    codes = {event.code for event in inform.events}
    is_told = CONNECTION_REQUEST in codes
    opened = begun(trace, now.name, record)
    settled = [e for e in now.waiting if is_told or trace.spent_s(e.record, opened) >= SETTLED_S]
    now.waiting = [e for e in now.waiting if e not in settled]
    taken = _taken(settled) if is_told and not now.is_asked_by_tcp else None
    for each in settled:
        each.inform = record
        if not is_told:
            each.brought = False
        elif each is taken:
            each.brought = True
            now.last, now.before_boot = (each.ts, each.id or ""), None
    if is_told:
        now.is_asked_by_tcp = False
    if BOOT in codes:
        now.before_boot, now.last = now.last or now.before_boot, None
    date = _date(inform.current_time)
    if date is not None:
        now.clock = (record.time_ns, date)


def _taken(settled: list[Asked]) -> Asked | None:
    """Which of several the Inform tells of; None: it may be any."""
    if len(settled) == 1:
        return settled[0]
    due = [each for each in settled if each.is_due]
    return due[0] if len(due) == 1 else None


def _date(text: str) -> float | None:
    """CurrentTime as seconds since 1970; None: the CPE does not know it."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date.timestamp() if date.year > 1970 and date.tzinfo is not None else None
