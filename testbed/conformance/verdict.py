"""Findings and verdicts, in the words of ISO 9646."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from testbed.trace.record import Record


class Verdict(StrEnum):
    """What a requirement came to."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    """Never exercised, not observable, unsupported by this cast, or records lost."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says of one record.

    Attributes:
        ok: whether the record obeys the requirement.
        record: the evidence.
        text: what was expected and what was there; may be empty where all is well.
        supposes: what a fault rests on that a capture alone does not show (`suppositions`).
    """

    ok: bool
    record: Record
    text: str = ""
    supposes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A finding, written down: what remains of it when its trace is closed.

    Attributes:
        ok: whether the record obeys the requirement.
        variant: sub-run; "" is the main run.
        record: the record's number in that sub-run's trace.
        text: what was expected and what was there.
        unknown: what nobody has told, and what a fault would rest on; "": nothing, it counts.
    """

    ok: bool
    variant: str
    record: int
    text: str
    unknown: str = ""


def ok(record: Record, text: str = "") -> Finding:
    """The record obeys."""
    return Finding(True, record, text)


def fault(record: Record, text: str, supposes: tuple[str, ...] = ()) -> Finding:
    """The record does not obey; `text` says what was expected and what was there.

    Args:
        record: the evidence.
        text: one clause.
        supposes: what must hold besides, by names of `suppositions`, where only a lab knows it.
    """
    return Finding(False, record, text, supposes)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL before INCONCLUSIVE before PASS; nothing at all is INCONCLUSIVE."""
    found = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS):
        if verdict in found:
            return verdict
    return Verdict.INCONCLUSIVE
