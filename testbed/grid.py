"""Scenarios under many kinds of NAT: a matrix of verdicts, each with its reasons.

Every kind is a batch of its own, in a folder of its own; what has been run is found again, so that
a grid that was interrupted goes on where it stood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import BadInput, unknown
from testbed.report.grid import REFUSED, Cell
from testbed.report.result import Result
from testbed.topology import KINDS

CELL_FILE, GRID_FILE = "cell.json", "grid.json"
ALL = "all"


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
            raise unknown("value for --nat", kind, [*KINDS, ALL])
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
    return Cell(
        nat,
        result.scenario,
        engine,
        str(result.verdict),
        tuple(reasons),
        str(result.folder.relative_to(out)),
        round(result.seconds, 3),
    )


def refused(nat: str, scenario: str, engine: str, why: str) -> Cell:
    """A cell that cannot be run."""
    return Cell(nat, scenario, engine, REFUSED, (why,), "", 0.0)


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
        file.write_text(json.dumps(fresh.told(), indent=2) + "\n")
        return fresh
    try:
        before = json.loads(file.read_text())
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
    fresh.write_text(json.dumps([each.told() for each in cells], indent=2) + "\n")
    fresh.replace(folder / CELL_FILE)


def saved_cells(folder: Path) -> list[Cell] | None:
    """What was run there; None: nothing, or not to the end."""
    try:
        told = json.loads((folder / CELL_FILE).read_text())
        return [Cell.from_told(each) for each in told]
    except (OSError, ValueError, TypeError, KeyError):
        return None
