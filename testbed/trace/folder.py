"""A trace in a run's folder: `trace.pcapng` and `events.jsonl`, written while it runs, read again.

A killed run leaves `packets.log` in the place of `trace.pcapng`; it loads all the same.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TextIO

from testbed.errors import BadInput
from testbed.protocols.ike import wireshark
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.wire import Endpoint
from testbed.trace.decoders import Decoders
from testbed.trace.packet_log import PacketLog
from testbed.trace.pcapng_reader import load_capture
from testbed.trace.record import Clear, Event, Frame, Record
from testbed.trace.trace import Trace

CAPTURE = "trace.pcapng"
PACKET_LOG = "packets.log"
EVENTS = "events.jsonl"
KEY_TABLES = (Path("keys", wireshark.IKE_TABLE), Path("keys", wireshark.ESP_TABLE))
"""The keys of IKE and ESP, as Wireshark reads them: in its profile, or by its option -o uat:..."""
PREFERENCES = Path("keys", "preferences")
"""With it the folder of the keys is a profile of Wireshark's, as it stands."""
PLACES_EVENT = "PLACES"
"""The first line of events.jsonl: who is where, and the static addresses."""
CLEAR_EVENT = "CLEAR"
"""A line of events.jsonl that is no event: what an end of a TLS connection told of it."""
LATE_EVENT = "LATE"
"""Likewise: how late this machine was."""
LOST = "lost"
"""How the comment of a packet begins that did not arrive."""
_COPIES = re.compile(r"arrived (\d+) times")


class ToldEvent(NamedTuple):
    """One line of events.jsonl; `record` is its number in the trace, where that is known, or of the
    first record that it gives."""

    time_ns: int
    node: str
    event: str
    fields: dict[str, Any]
    record: int | None = None


def event_line(
    time_ns: int, node: str, event: str, fields: Mapping[str, Any], record: int | None = None
) -> str:
    """One event as one line of JSON; a value that JSON does not know becomes its text."""
    told: dict[str, Any] = {"time_ns": time_ns, "node": node, "event": event}
    told["fields"] = dict(fields)
    if record is not None:
        told["record"] = record
    return json.dumps(told, ensure_ascii=False, default=str) + "\n"


def read_events(text: str, name: str = EVENTS) -> Iterator[ToldEvent]:
    """Every event of a file; a last line that was cut off by a kill is left out.

    Raises:
        BadInput: another line is no event; names its number.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            event = ToldEvent(
                int(told["time_ns"]),
                told["node"],
                told["event"],
                dict(told["fields"]),
                told.get("record"),
            )
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                return
            raise BadInput(
                f"{name}: line {number} is no event: a JSON object with time_ns, node, event and "
                f"fields is expected"
            ) from None
        yield event


class RunWriter:
    """Writes a trace into a run's folder while it grows.

    Args:
        folder: exists.
        trace: written as far as it is there, and listened to from now on; its nodes are set.
        notes: what the run is (scenario, seed, engine).
    """

    def __init__(
        self, folder: Path, trace: Trace, notes: Mapping[str, object] = MappingProxyType({})
    ) -> None:
        self.folder = folder
        self._trace = trace
        self._notes = dict(notes)
        self._log = PacketLog(folder / PACKET_LOG, notes)
        self._events: TextIO = (folder / EVENTS).open("w", encoding="utf-8", buffering=1)
        self._last: Frame | None = None
        self._places: list[Record] = []
        self._events.write(event_line(0, "", PLACES_EVENT, _places(trace)))
        for record in trace.records:
            self._record(record)
        trace.listeners.append(self._record)
        trace.clear_listeners.append(self._clear)
        trace.lateness.listeners.append(self._late)
        for table in KEY_TABLES:
            (folder / table).unlink(missing_ok=True)
        for ike_keys in trace.ike_keys:
            self._keys(ike_keys)
        for esp_keys in trace.esp_keys:
            self._keys(esp_keys)
        trace.key_listeners.append(self._keys)

    def _clear(self, clear: Clear) -> None:
        self._events.write(
            event_line(
                clear.time_ns,
                clear.node,
                CLEAR_EVENT,
                {
                    "connection": clear.connection,
                    "local": [clear.local.address, clear.local.port],
                    "remote": [clear.remote.address, clear.remote.port],
                    "connected": clear.connected,
                    "outgoing": clear.outgoing,
                    "data": b64encode(clear.data).decode("ascii"),
                },
                len(self._trace.records),  # a frame may be of the same moment
            )
        )

    def _late(self, time_ns: int, late_s: float) -> None:
        self._events.write(event_line(time_ns, "", LATE_EVENT, {"late_s": round(late_s, 6)}))

    def _keys(self, keys: IkeKeys | EspKeys) -> None:
        is_ike = isinstance(keys, IkeKeys)
        line = wireshark.ike_line(keys) if isinstance(keys, IkeKeys) else wireshark.esp_line(keys)
        if line is None:
            return  # Wireshark has no form for these algorithms
        table = self.folder / KEY_TABLES[0 if is_ike else 1]
        table.parent.mkdir(exist_ok=True)
        (self.folder / PREFERENCES).write_text(wireshark.PREFERENCES, encoding="utf-8")
        with table.open("a", encoding="ascii") as file:
            file.write(f"{line}\n")

    def _record(self, record: Record) -> None:
        if isinstance(record.message, Event) and record.is_event:
            event = record.message
            self._events.write(
                event_line(record.time_ns, record.sender, event.name, event.fields, record.number)
            )
        elif record.frame is not None and record.frame is not self._last:
            self._last = record.frame  # several messages of one frame are one packet
            self._places.append(record)
            self._log.add(record.frame)

    def close(self, key_logs: tuple[bytes, ...] = ()) -> None:
        """Finish trace and capture: secrets before the packets, lost frames with a comment."""
        self._trace.close()
        if self._record in self._trace.listeners:
            self._trace.listeners.remove(self._record)
            self._trace.clear_listeners.remove(self._clear)
            self._trace.lateness.listeners.remove(self._late)
            self._trace.key_listeners.remove(self._keys)
        self._events.close()
        comments = {}
        watched = False
        for place, record in enumerate(self._places):
            arrow = self._trace.arrow_of(record)
            hop = next(n for n, each in enumerate(arrow.hops) if each.number == record.number)
            receipt = arrow.receipts[hop]
            if receipt is None:
                continue
            delivered = self._trace.deliveries.delivered(receipt, record.receiver)
            watched = watched or delivered is not None
            if delivered is False:
                comments[place] = f"{LOST}: did not arrive at {record.receiver or 'anyone'}"
            elif receipt.arrivals.get(record.receiver or "", 0) > 1:
                copies = receipt.arrivals[record.receiver or ""]
                comments[place] = f"arrived {copies} times at {record.receiver}"
        notes = {**self._notes, "arrivals": "recorded" if watched else "unknown"}
        self._log.finish(self.folder / CAPTURE, notes, key_logs, comments)


def _places(trace: Trace) -> dict[str, Any]:
    addresses = trace.addresses
    return {
        "roles": trace.roles,
        "web_ports": sorted(trace.decoders.web_ports),
        "stun_ports": sorted(trace.decoders.stun_ports),
        "places": {mac: list(place) for mac, place in addresses.places.items()},
        "addresses": [[h.node, h.interface, h.address] for h in addresses.holdings_at_start()],
    }


def load(folder: Path, decoders: Decoders | None = None) -> Trace:
    """The trace of a run's folder.

    Raises:
        BadInput: there is no capture in it, or one of its files is damaged or not for us to read.
    """
    path = folder / CAPTURE
    if not path.exists() and (folder / PACKET_LOG).exists():
        path = folder / PACKET_LOG
    capture = load_capture(path)
    events: list[ToldEvent] = []
    if (folder / EVENTS).exists():
        events = list(read_events(_read(folder / EVENTS), str(folder / EVENTS)))
    trace = Trace(decoders)
    _set_places(trace, [each for each in events if each.event == PLACES_EVENT])
    for table in KEY_TABLES:
        _add_keys(trace, folder / table)
    told = [each for each in events if each.event != PLACES_EVENT]
    recorded = capture.notes.get("arrivals") == "recorded"
    position = 0
    for place, frame in enumerate(capture.frames):
        while position < len(told) and _is_due(told[position], frame, trace):
            _add_event(trace, told[position])
            position += 1
        record = trace.add_frame(frame)[0]
        if recorded:
            trace.tell_delivery(record, _copies(capture.comments.get(place, "")))
    for event in told[position:]:
        _add_event(trace, event)
    trace.close()
    return trace


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None


def _add_keys(trace: Trace, table: Path) -> None:
    if table.exists():
        ike, esp = wireshark.read_tables(_read(table), str(table))
        for ike_keys in ike:
            trace.add_ike_keys(ike_keys)
        for esp_keys in esp:
            trace.add_esp_keys(esp_keys)


def _is_due(told: ToldEvent, frame: Frame, trace: Trace) -> bool:
    """Whether an event comes before a frame: by its number, so that every record keeps its own."""
    if isinstance(told.record, int):
        return told.record <= len(trace.records)
    return told.time_ns <= frame.time_ns


def _copies(comment: str) -> int:
    """How many copies of a packet arrived, by its comment."""
    if comment.startswith(LOST):
        return 0
    several = _COPIES.match(comment)
    return int(several[1]) if several else 1


def _add_event(trace: Trace, told: ToldEvent) -> None:
    if told.event == CLEAR_EVENT:
        trace.add_clear(_clear_of(told))
    elif told.event == LATE_EVENT:
        trace.lateness.add(told.time_ns, _late_s_of(told))
    else:
        trace.add_event(told.node, told.event, told.fields, told.time_ns)


def _late_s_of(told: ToldEvent) -> float:
    late_s = told.fields.get("late_s")
    if not isinstance(late_s, (int, float)):
        raise BadInput(f"{EVENTS}: the {LATE_EVENT} line at {told.time_ns} does not say how late")
    return late_s


def _clear_of(told: ToldEvent) -> Clear:
    fields = told.fields
    try:
        local, remote = Endpoint(*fields["local"]), Endpoint(*fields["remote"])
        data = b64decode(fields["data"], validate=True)
        ends = (fields["connected"] is True, fields["outgoing"] is True)
        number = int(fields["connection"])
    except (KeyError, TypeError, ValueError):
        raise BadInput(
            f"{EVENTS}: the {CLEAR_EVENT} line of {told.node} at {told.time_ns} does not say which "
            f"octets went where"
        ) from None
    return Clear(told.time_ns, number, told.node, local, remote, *ends, data)


def _set_places(trace: Trace, told: list[ToldEvent]) -> None:
    for event in told:
        try:
            places = {mac: (p[0], p[1], p[2]) for mac, p in event.fields["places"].items()}
            static: dict[tuple[str, str], list[str]] = {}
            for node, interface, address in event.fields["addresses"]:
                static.setdefault((node, interface), []).append(address)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise BadInput(f"{EVENTS}: its {PLACES_EVENT} line does not say who is where") from None
        trace.set_nodes(places, static)
        trace.set_roles(event.fields.get("roles", {}))
        trace.decoders.register_web(*_ports(event.fields.get("web_ports", ())))
        trace.decoders.register_stun(*_ports(event.fields.get("stun_ports", ())))


def _ports(told: Any) -> list[int]:
    return [each for each in told if isinstance(each, int)] if isinstance(told, list) else []
