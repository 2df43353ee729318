"""What a step of a scenario waits for, or what must never be: who says what to whom."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testbed.trace.arrow import end_to_end
from testbed.trace.record import Event, Record
from testbed.trace.select import matches, matches_event
from testbed.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a step waits for, or what must never be.

    Attributes:
        step: the number of the step in the spec, or of the line in the scenario.
        origin: node that says it.
        end: node that it is said to; None for events.
        message_type: class of the decoded message, or the event's name.
        fields: attribute values; see `testbed.trace.select.matches`.
        since: number of the first record that counts.
    """

    step: str
    origin: str
    end: str | None
    message_type: type | str
    fields: Mapping[str, Any]
    since: int

    def describe(self) -> str:
        """One line: who, to whom, what."""
        kind = self.message_type if isinstance(self.message_type, str) else _protocol_name(self)
        told = "  ".join(f"{key}={_shown(value)}" for key, value in self.fields.items())
        arrow = f"{self.origin} -> {self.end}" if self.end else self.origin
        return f"{arrow}   {kind}   {told}".rstrip()

    def fits(self, trace: Trace, record: Record) -> bool:
        """Whether a record of the trace is what this describes."""
        if isinstance(self.message_type, str):
            return (
                record.sender == self.origin
                and isinstance(record.message, Event)
                and record.message.name == self.message_type
                and matches_event(record.message, self.fields)
            )
        if not matches(record, self.message_type, **self.fields):
            return False
        assert self.end is not None
        arrow = trace.arrow_of(record)  # one message is one arrow, however many links it crosses
        return arrow.last.number == record.number and end_to_end(arrow, self.origin, self.end)


def _protocol_name(expectation: Expectation) -> str:
    kind = expectation.message_type
    assert isinstance(kind, type)
    protocol = kind.__module__.removeprefix("testbed.protocols.").split(".")[0]
    return f"{protocol}.{kind.__name__}"


def _shown(value: object) -> str:
    if callable(value):
        return (getattr(value, "__doc__", None) or "(a condition)").strip().split("\n")[0]
    return str(value)


_COMMENT = re.compile(r"\s#\s+(\S.*?)\s*$")


def calling_step() -> str:
    """The comment at the end of the scenario's line ("2.1"), else "at line N"."""
    frame = sys._getframe(2)
    positions = list(frame.f_code.co_positions())
    last = positions[frame.f_lasti // 2][1] or frame.f_lineno
    line = linecache.getline(frame.f_code.co_filename, last)
    comment = _COMMENT.search(line)
    return comment[1] if comment else f"at line {frame.f_lineno}"
