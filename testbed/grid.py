"""Scenarios under many kinds of NAT: a matrix of verdicts, each with its reasons.

Every kind has a folder of its own; what has been run is found again, so that
a grid that was interrupted goes on where it stood.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.batch import Batch, Progress, write_results, write_summary
from testbed.conformance import Verdict
from testbed.errors import BadInput, unknown
from testbed.report.grid import REFUSED, Cell
from testbed.report.result import Outcome, Result
from testbed.run import Plan
from testbed.scenario import Scenario
from testbed.topology import KINDS
from testbed.trace.folder import EVENTS, read_events

CELL_FILE, GRID_FILE = "cell.json", "grid.json"
ALL = "all"
REMARK = "REMARK"
"""The event by which a scenario tells what it found, in `text`."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a grid: one kind of NAT in one engine; its scenarios are cells side by side."""

    nat: str
    engine: str

    def folder(self, out: Path) -> Path:
        """Where its results lie, in the grid's folder."""
        return out / self.engine / self.nat


@dataclass(frozen=True, slots=True)
class GridPlan:
    """What a grid is of: what has been run is only found again by the same.

    Attributes:
        scenarios: NAME or NAME/VARIANT, as the command line takes them.
        seed: of every run.
        settings: of the topologies.
    """

    scenarios: tuple[str, ...]
    seed: str
    settings: Mapping[str, str]

    def told(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "scenarios": list(self.scenarios),
            "seed": self.seed,
            "settings": dict(self.settings),
        }


def wanted_kinds(word: str) -> list[str]:
    """`all`, or kinds with commas between.

    Raises:
        BadInput: an unknown kind, or one twice.
    """
    if word == ALL:
        return list(KINDS)
    kinds = [each.strip() for each in word.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("value for --nat", kind, [*KINDS, ALL], "testbed list nats")
        if kinds.count(kind) > 1:
            raise BadInput(f"--nat names {kind} twice")
    return kinds


def cell_of(result: Result, nat: str, engine: str, out: Path) -> Cell:
    """What a scenario's result comes to in the matrix."""
    reasons = []
    for variant, outcome in result.outcomes.items():
        if outcome.kind != "completed":
            where = f"{variant}: " if variant else ""
            lines = outcome.text.strip().splitlines()[:2]  # what, and what was expected
            reasons.append(where + "; ".join(" ".join(line.split()) for line in lines))
    reasons += [f"{each.requirement.id}: {each.reason}" for each in result.failures]
    if result.verdict is Verdict.INCONCLUSIVE and not reasons:
        reasons.append("no requirement was put to the test under this kind, or by these variants")
    return Cell(
        nat,
        result.scenario,
        engine,
        str(result.verdict),
        tuple(reasons),
        str(result.folder.relative_to(out)),
        round(result.seconds, 3),
        tuple(_remarks(result)),
    )


def _remarks(result: Result) -> Iterator[str]:
    """What scenarios have said beside their verdicts, by the event `REMARK`."""
    for variant in result.outcomes:
        file = result.folder / variant / EVENTS
        if not file.exists():
            continue
        for told in read_events(file.read_text(encoding="utf-8"), str(file)):
            if told.event == REMARK:
                yield f"{variant}: {told.fields.get('text', '')}".removeprefix(": ")


def refused(nat: str, scenario: str, engine: str, why: str) -> Cell:
    """A cell that cannot be run."""
    return Cell(nat, scenario, engine, REFUSED, (why,), "", 0.0)


# Running


@dataclass
class GridRun:
    """Runs what of a grid has not been run yet, `jobs` runs at a time, whatever their kinds.

    A place is saved when all its runs have ended, whichever that is first.

    Args:
        out: the grid's folder.
        scenarios: by name.
        plans: the runs of each place.
        refused: of each place the cells that cannot be run.
        jobs: how many runs at a time.
        done: called with the cells of each place as soon as it is saved.

    Attributes:
        cells: by place, of all that is whole.
        unable: cells that this machine lacks something for; nothing further was begun.
        interrupted: whether Ctrl-C ended it.
    """

    out: Path
    scenarios: dict[str, Scenario]
    plans: Mapping[Place, Sequence[Plan]]
    refused: Mapping[Place, Sequence[Cell]]
    jobs: int
    done: Callable[[Place, Sequence[Cell]], None]
    cells: dict[Place, list[Cell]] = field(default_factory=dict)
    unable: list[Cell] = field(default_factory=list)
    interrupted: bool = False

    def __post_init__(self) -> None:
        self._begun: dict[int, float] = {}
        self._seconds: dict[Place, float] = {}
        self._parts = {
            place: Batch(self.scenarios, plans) for place, plans in self.plans.items() if plans
        }
        self._batch = Batch(
            self.scenarios,
            [plan for plans in self.plans.values() for plan in plans],
            self.jobs,
            Progress(started=self._started, ended=self._ended),
        )

    def run(self) -> None:
        """Run all."""
        for place, plans in self.plans.items():
            if not plans:
                self._save(place, self.refused[place])
        self._batch.play()
        self.interrupted = self._batch.interrupted

    def _started(self, plan: Plan) -> None:
        self._begun[id(plan)] = time.monotonic()

    def _ended(self, plan: Plan, outcome: Outcome, done: int, of: int) -> None:
        place = Place(plan.nat or "", plan.engine)
        part = self._parts[place]
        part.outcomes[plan.scenario, plan.variant] = outcome
        passed = time.monotonic() - self._begun[id(plan)]
        seconds = self._seconds[place] = self._seconds.get(place, 0.0) + passed
        if len(part.outcomes) < len(part.plans):
            return
        kinds = {each.kind for each in part.outcomes.values()}
        if "interrupted" in kinds:
            return  # these are run when the grid goes on
        results = part.results({plan.scenario: seconds for plan in part.plans})
        cells = [*self.refused[place]]
        cells += [cell_of(each, place.nat, place.engine, self.out) for each in results]
        if "unable" in kinds:
            self.unable += cells
            self._batch.stopped = True
            return
        write_results(results, place.folder(self.out), part.scenarios)
        write_summary(results, place.folder(self.out))
        self._save(place, cells)

    def _save(self, place: Place, cells: Sequence[Cell]) -> None:
        save_cells(place.folder(self.out), cells)
        self.cells[place] = list(cells)
        self.done(place, cells)


# What has been run


def open_grid(out: Path, plan: Callable[[str | None], GridPlan]) -> GridPlan:
    """Begin a grid in that folder, or go on with the one that is there.

    Args:
        out: the folder; it exists.
        plan: gives the plan, with the seed that was taken before (None: there is none).

    Raises:
        BadInput: another grid lies there.
    """
    file = out / GRID_FILE
    if not file.exists():
        fresh = plan(None)
        file.write_text(json.dumps(fresh.told(), indent=2) + "\n", encoding="utf-8")
        return fresh
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        again = plan(str(before["seed"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{file} is not a grid's description: {error!r}") from error
    for name, value in again.told().items():
        if before.get(name) != value:
            raise BadInput(
                f"{out} holds a grid with {name} {before.get(name)}, and {value} is asked for; "
                "choose another --out"
            )
    return again


def save_cells(folder: Path, cells: Iterable[Cell]) -> None:
    """A kind has been run in an engine."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{CELL_FILE}.new"
    fresh.write_text(json.dumps([each.told() for each in cells], indent=2) + "\n", encoding="utf-8")
    fresh.replace(folder / CELL_FILE)


def saved_cells(folder: Path) -> list[Cell] | None:
    """What was run there; None: nothing, or not to the end."""
    try:
        told = json.loads((folder / CELL_FILE).read_text(encoding="utf-8"))
        return [Cell.from_told(each) for each in told]
    except (OSError, ValueError, TypeError, KeyError):
        return None
