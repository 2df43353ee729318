"""A trace's records by node and by connection, made once a trace: a city has many of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from testbed.protocols import http
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace

F = TypeVar("F", bound=Callable[..., Any])


class Index:
    """The records of a trace as it is now.

    Attributes:
        of_node: all that a node sent on a link or was sent, by node, in order.
        events: what a node tells of itself, by node, in order.
        to_all: what has no known receiver: broadcasts.
        of_stream: of a TCP connection on a link, by link and ordinal.
        web: HTTP messages where they were sent first, by their two ends; with the ends.
    """

    def __init__(self, trace: Trace) -> None:
        self.size = len(trace.records)
        self.of_node: dict[str, list[Record]] = defaultdict(list)
        self.events: dict[str, list[Record]] = defaultdict(list)
        self.to_all: list[Record] = []
        self.of_stream: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self.web: dict[str, list[tuple[Record, str, str | None]]] = defaultdict(list)
        self.memory: dict[Any, Any] = {}
        said: list[tuple[Record, str, str | None]] = []
        for record in trace.records:
            self.of_node[record.sender].append(record)
            if isinstance(record.message, Event):
                self.events[record.sender].append(record)
            if record.receiver is not None and record.receiver != record.sender:
                self.of_node[record.receiver].append(record)
            elif record.receiver is None and not record.is_event:
                self.to_all.append(record)
            if record.stream is not None:
                self.of_stream[record.link, record.stream].append(record)
            if isinstance(record.message, http.Request | http.Response):
                arrow = trace.arrow_of(record)
                if arrow.first is record:
                    said.append((record, arrow.origin, arrow.end))
                elif "retransmission" in arrow.first.marks:
                    _take_further(said, trace, record)
        for each in said:
            for node in {*each[1:]} - {None}:
                self.web[str(node)].append(each)


def _take_further(said: list[tuple[Record, str, str | None]], trace: Trace, record: Record) -> None:
    """What was lost on its way is repeated from its origin on, as a segment that says nothing new
    up to the place of the loss: that it has an end is known by what it says behind that place."""
    arrow = trace.arrow_of(record)
    ends = (arrow.first.source, arrow.first.destination)
    for place in range(len(said) - 1, -1, -1):
        earlier, origin, _ = said[place]
        is_of_it = (earlier.source, earlier.destination) == ends  # all answer 204 alike
        if is_of_it and origin == arrow.origin and earlier.message == record.message:
            if not trace.arrow_of(earlier).reached:
                said[place] = (earlier, origin, arrow.end)
            return


_INDEXES: WeakKeyDictionary[Trace, Index] = WeakKeyDictionary()


def index_of(trace: Trace) -> Index:
    """The index of a trace; made anew when the trace has grown."""
    index = _INDEXES.get(trace)
    if index is None or index.size != len(trace.records):
        index = _INDEXES[trace] = Index(trace)
    return index


def remembered(function: F) -> F:
    """Have a function of a trace and some names work once for each, while the trace is the same.

    What it gives is shared: callers leave it as it is.
    """

    @wraps(function)
    def once(trace: Trace, *names: str) -> Any:
        memory = index_of(trace).memory
        key = (function, names)
        if key not in memory:
            memory[key] = function(trace, *names)
        return memory[key]

    return cast(F, once)
