"""What a run and a scenario came to: plain data that every report reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from testbed.conformance import Judgement, Note, Requirement, Verdict
from testbed.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISSING, EXIT_OK

WORTH_TELLING_S = 0.25
"""How late a machine must have been before a report says so."""


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        kind: "completed", "missed", "violated", "crashed", "interrupted", "killed", "unable"
            (this machine lacks something that the run needs), or "unsupported" (the cast cannot do
            what the scenario asks of it: nothing is said of this sub-run).
        text: why, for all but "completed".
        found: notes of the checks, by requirement.
        drops: frames that the capture lost.
        late_s: how late the machine was at the worst moment; checks of seconds allow for it.
        records: how many the trace has.
        seconds: of the ladder itself, by the trace's clock.
        record: where it stood when it failed: the last step's record, or the one that must never
            have been; None: nothing to point at.
    """

    kind: str
    text: str = ""
    found: dict[str, list[Note]] = field(default_factory=dict)
    drops: int = 0
    late_s: float = 0.0
    records: int = 0
    seconds: float = 0.0
    record: int | None = None

    @property
    def status(self) -> int:
        """The exit status that this alone would give."""
        if self.kind in ("completed", "unsupported"):
            return EXIT_OK
        return {"interrupted": EXIT_INTERRUPTED, "unable": EXIT_MISSING}.get(self.kind, EXIT_FAILED)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """From plain data."""
        found = {key: [Note(**note) for note in notes] for key, notes in data["found"].items()}
        return cls(**{**data, "found": found})


@dataclass
class Result:
    """One scenario with all its sub-runs, judged.

    Attributes:
        scenario: its name.
        outcomes: by variant.
        judgements: of its requirements.
        seconds: from the first launch to the last end, by the wall clock.
        folder: where its results lie.
        declared: requirements that the faults at work break; None: no fault is at work.
        strict: a recommendation (SHOULD) that is not followed counts like a MUST.
    """

    scenario: str
    outcomes: dict[str, Outcome]
    judgements: list[Judgement]
    seconds: float
    folder: Path
    declared: frozenset[str] | None = None
    strict: bool = False

    @property
    def failures(self) -> list[Judgement]:
        """The FAILs that count."""
        return [each for each in self._fails if self._binds(each.requirement)]

    @property
    def warnings(self) -> list[Judgement]:
        """The FAILs of what nobody is obliged to."""
        return [each for each in self._fails if not self._binds(each.requirement)]

    @property
    def _fails(self) -> list[Judgement]:
        return [each for each in self.judgements if each.verdict is Verdict.FAIL]

    def _binds(self, requirement: Requirement) -> bool:
        return requirement.level != "MAY" and (requirement.level != "SHOULD" or self.strict)

    @property
    def failed(self) -> bool:
        """A missed step, a crash, a FAIL; under a fault anything but exactly the declared FAILs."""
        if self.declared is not None:
            judged = {each.requirement.id for each in self.judgements}
            found = {each.requirement.id for each in self._fails}
            kinds = {outcome.kind for outcome in self.outcomes.values()}
            if kinds - {"completed", "missed", "violated", "unsupported"}:
                return True
            if "unsupported" in kinds:  # where the fault would have shown was not played
                return not found <= self.declared
            if self.declared and not found:
                return True  # a fault that should be caught and is not
            return found != self.declared & judged
        return bool(self.failures) or any(
            outcome.status == EXIT_FAILED for outcome in self.outcomes.values()
        )

    @property
    def verdict(self) -> Verdict:
        """FAIL where anything failed; PASS where something was judged and nothing failed."""
        if self.failed or self.failures or (self.declared is not None and self._fails):
            return Verdict.FAIL
        if any(outcome.kind != "completed" for outcome in self.outcomes.values()):
            return Verdict.INCONCLUSIVE
        if any(each.verdict is Verdict.PASS for each in self.judgements):
            return Verdict.PASS
        return Verdict.INCONCLUSIVE


def save_crash(folder: Path, text: str) -> None:
    """Write a traceback where the report shows it, among the logs."""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "crash.txt").write_text(text, encoding="utf-8")
