"""Walks of a data model over CWMP, as a trace shows them: what was asked of whom, and the answer.

Knows no verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from testbed.conformance.sessions import sessions
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

Kind = TypeVar("Kind", bound=rpc.Rpc)


class Walked(NamedTuple):
    """One call of an ACS that a CPE has answered.

    Attributes:
        cpe: whose model it is.
        asked: what the ACS has asked.
        answer: where the CPE answers.
        refusal: why it was not carried out; None: it was.
    """

    cpe: str
    asked: rpc.Rpc
    answer: Record
    refusal: rpc.Fault | None


def walked(trace: Trace, cpe: str, kind: type[Kind]) -> Iterator[tuple[Kind, Walked]]:
    """The calls of a kind that a CPE has answered, in order."""
    for session in sessions(trace, cpe):
        for call in session.calls(kind):
            asked = call.call.find(kind)
            if asked is not None and call.answer is not None:
                yield asked, Walked(cpe, asked, call.answer, call.answer.find(rpc.Fault))


def names_told(trace: Trace, cpe: str, path: str) -> Iterator[tuple[Record, dict[str, bool]]]:
    """Each answer that lists all that is below a path: names, and whether they are writable."""
    for asked, each in walked(trace, cpe, rpc.GetParameterNames):
        told = each.answer.find(rpc.GetParameterNamesResponse)
        if asked.path == path and not asked.next_level and told is not None:
            yield each.answer, {e.name: e.writable for e in told.parameters}
