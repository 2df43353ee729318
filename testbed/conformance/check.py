"""Checks: one requirement each, as a function of a trace; and the sum of what they find."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from testbed.conformance.register import Requirement, for_scenario, register
from testbed.conformance.suppositions import SUPPOSITIONS, unknown_of
from testbed.conformance.verdict import Finding, Note, Verdict
from testbed.errors import BadInput, unknown
from testbed.trace.trace import Trace

CheckFunction = Callable[[Trace], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        requirements: ids of the entries that it decides.
        function: yields findings.
        needs: variants that must each have given a finding before PASS.
        needs_in: the same for one scenario, by its name, where its variants are called otherwise.
        observed: "wire" (seen between nodes), "read back" (a parameter over CWMP), or "told" (what
            a role says of itself: evidence of last resort).
    """

    requirements: tuple[str, ...]
    function: CheckFunction
    needs: tuple[str, ...]
    observed: str
    needs_in: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    supposes: tuple[str, ...] = ()

    def needed(self, scenario: str | None) -> tuple[str, ...]:
        """The variants that count before PASS in a scenario."""
        return self.needs_in.get(scenario or "", self.needs)

    @property
    def name(self) -> str:
        """Module and function: where to read it."""
        module = self.function.__module__.rpartition(".")[2]
        return f"{module}.{self.function.__name__}"


CHECKS: dict[str, Check] = {}


def check(
    *requirements: str,
    needs: Sequence[str] = (),
    observed: str = "wire",
    needs_in: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    supposes: tuple[str, ...] = (),
) -> Callable[[CheckFunction], CheckFunction]:
    """Register the function below as the check of these requirements."""
    for name in supposes:
        if name not in SUPPOSITIONS:
            raise unknown("supposition", name, SUPPOSITIONS)

    def enter(function: CheckFunction) -> CheckFunction:
        entry = Check(requirements, function, tuple(needs), observed, needs_in, supposes)
        for requirement in requirements:
            if requirement not in register():
                raise unknown("requirement", requirement, register())
            if requirement in CHECKS:
                raise BadInput(f"{requirement} has a check already: {CHECKS[requirement].name}")
            CHECKS[requirement] = entry
        return function

    return enter


def load_checks() -> Mapping[str, Check]:
    """Import every module of checks; gives all checks by requirement."""
    import testbed.conformance.checks as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return CHECKS


@dataclass(frozen=True, slots=True)
class Judgement:
    """A requirement, its verdict, and why.

    Attributes:
        requirement: the entry.
        verdict: the sum of the findings.
        notes: the findings of all sub-runs, in order.
        reason: one sentence: the first fault, or why nothing could be said, or what was seen.
    """

    requirement: Requirement
    verdict: Verdict
    notes: tuple[Note, ...]
    reason: str


def judging(scenario: str | None) -> list[Requirement]:
    """The requirements that judge a scenario; without one, all that have a check."""
    if scenario is not None:
        return for_scenario(scenario)
    return [register()[name] for name in register() if name in load_checks()]


def examine(scenario: str | None, trace: Trace, variant: str = "") -> dict[str, list[Note]]:
    """What the checks of a scenario's requirements find in one trace, by requirement."""
    load_checks()
    found: dict[str, list[Note]] = {}
    done: dict[str, list[Note]] = {}
    for requirement in judging(scenario):
        entry = CHECKS.get(requirement.id)
        if entry is None:
            continue
        if entry.name not in done:
            done[entry.name] = [
                Note(
                    each.ok,
                    variant,
                    each.record.number,
                    each.text,
                    unknown_of(trace, each, entry.supposes),
                )
                for each in (entry.function(trace) if trace.records else ())
            ]
        found[requirement.id] = done[entry.name]
    return found


def judge(
    scenario: str | None,
    found: Mapping[str, Mapping[str, Sequence[Note]]],
    drops: int = 0,
    not_run: Collection[str] = (),
    unsupported: Collection[str] = (),
    cannot: Mapping[str, str] = MappingProxyType({}),
) -> list[Judgement]:
    """Sum up a scenario's requirements over its sub-runs.

    Args:
        scenario: its name; entries of the register that name it are judged.  None: all that have a
            check.
        found: by variant ("" is the main run) what `examine` gave.
        drops: frames that the captures lost.
        not_run: variants that the scenario has and that were not run to their end.
        unsupported: variants that ask of the cast what it cannot do.
        cannot: requirements, by id, that the cast cannot meet, and why: nothing is said of them.
    """
    load_checks()
    return [
        _judge_one(
            requirement,
            scenario,
            [note for notes in found.values() for note in notes.get(requirement.id, ())],
            drops,
            not_run,
            unsupported,
        )
        if requirement.id not in cannot
        else Judgement(
            requirement,
            Verdict.INCONCLUSIVE,
            (),
            f"unsupported by this cast: {cannot[requirement.id]}",
        )
        for requirement in judging(scenario)
    ]


def _judge_one(
    requirement: Requirement,
    scenario: str | None,
    notes: Sequence[Note],
    drops: int,
    not_run: Collection[str],
    unsupported: Collection[str],
) -> Judgement:
    def judged(verdict: Verdict, reason: str) -> Judgement:
        return Judgement(requirement, verdict, tuple(notes), reason)

    entry = CHECKS.get(requirement.id)
    if entry is None:
        return judged(Verdict.INCONCLUSIVE, "no check exists for it yet")
    faults = [note for note in notes if not note.ok and not note.unknown]
    if faults:
        first = faults[0]
        where = f"{first.variant}, " if first.variant else ""
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        return judged(Verdict.FAIL, f"{where}record {first.record}: {first.text}{more}")
    if drops:
        return judged(
            Verdict.INCONCLUSIVE,
            f"{drops} frames were lost by the capture, a violation may be among them",
        )
    if not notes:
        return judged(Verdict.INCONCLUSIVE, "never exercised in this run")
    open_ones = [note for note in notes if note.unknown]
    if open_ones:
        first = open_ones[0]
        return judged(
            Verdict.INCONCLUSIVE,
            f"nobody has told {first.unknown}; if so, record {first.record}: {first.text}",
        )
    seen = {note.variant for note in notes}
    missing = [variant for variant in entry.needed(scenario) if variant not in seen]
    if missing:
        why = "nothing observed there"
        if all(each in not_run for each in missing):
            why = "not run"
        elif all(each in unsupported for each in missing):
            why = "unsupported by this cast"
        return judged(Verdict.INCONCLUSIVE, f"needs the variants {', '.join(missing)}: {why}")
    times = "once" if len(notes) == 1 else f"{len(notes)} times"
    return judged(Verdict.PASS, f"observed {times}")
