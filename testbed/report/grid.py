"""A grid's matrix of verdicts with their reasons, on the terminal and as HTML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.conformance import Verdict
from testbed.report.terminal import STYLES
from testbed.report.text import readable

REFUSED = "REFUSED"
"""The verdict of a cell whose topology cannot have that NAT; nothing is run."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario under one kind of NAT in one engine.

    Attributes:
        nat: the kind.
        scenario: its name.
        engine: where it was run.
        verdict: PASS, FAIL, INCONCLUSIVE, or `REFUSED`.
        reasons: why not PASS, a sentence each, the first ones of each sub-run.
        folder: where the results lie, below the grid's folder; "" where nothing was run.
        seconds: what it took.
        remarks: what its sub-runs have found, beside their verdicts.
    """

    nat: str
    scenario: str
    engine: str
    verdict: str
    reasons: tuple[str, ...]
    folder: str
    seconds: float
    remarks: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """As plain data."""
        lists = {"reasons": list(self.reasons), "remarks": list(self.remarks)}
        return {**dataclasses.asdict(self), **lists}

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Cell:
        """From plain data.

        Raises:
            TypeError, KeyError: it says something else than a cell.
        """
        tuples = {name: tuple(told.get(name, ())) for name in ("reasons", "remarks")}
        return cls(**{**told, **tuples})


def show_grid(console: Console, cells: Sequence[Cell]) -> None:
    """What cells have to tell, then the matrix."""
    rows, columns, by_place = _matrix(cells)
    for cell in cells:
        for remark in cell.remarks:
            console.print(
                Text(readable(f"{cell.nat}: {cell.scenario} in {cell.engine}: {remark}")),
                soft_wrap=True,
            )
        for reason in cell.reasons:
            told = f"{cell.nat}: {cell.scenario} in {cell.engine}: {cell.verdict}: {reason}"
            console.print(Text(readable(told)), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("NAT", no_wrap=True)
    for scenario, engine in columns:
        table.add_column(f"{scenario}\n{engine}", overflow="fold")
    for nat in rows:
        table.add_row(nat, *(_verdict(by_place.get((nat, *column))) for column in columns))
    console.print(table)


def _verdict(cell: Cell | None) -> Text:
    if cell is None:
        return Text("not run", style="dim")
    styles = {str(verdict): style for verdict, style in STYLES.items()}
    return Text(cell.verdict, style=styles.get(cell.verdict, STYLES[Verdict.INCONCLUSIVE]))


def write_grid(
    path: Path, cells: Sequence[Cell], about: str, abouts_of_kinds: Mapping[str, str]
) -> None:
    """Write the matrix as a page; each verdict leads to its report.

    Args:
        path: the file, in the grid's folder.
        cells: what has been run.
        about: a sentence below the title.
        abouts_of_kinds: one sentence about each kind.
    """
    rows, columns, by_place = _matrix(cells)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    source = resources.files("testbed.report").joinpath("grid.html").read_text(encoding="utf-8")
    scenarios = ", ".join(dict.fromkeys(scenario for scenario, _ in columns))
    text = environment.from_string(source).render(
        title=f"{scenarios} by NAT",
        about=about,
        rows=rows,
        columns=columns,
        cells=by_place,
        kinds=abouts_of_kinds,
    )
    path.write_text(readable(text), encoding="utf-8")


def _matrix(
    cells: Sequence[Cell],
) -> tuple[list[str], list[tuple[str, str]], dict[tuple[str, str, str], Cell]]:
    """Rows (kinds), columns (scenario, engine), and the cells by (kind, scenario, engine)."""
    rows = list(dict.fromkeys(each.nat for each in cells))
    columns = list(dict.fromkeys((each.scenario, each.engine) for each in cells))
    return rows, columns, {(each.nat, each.scenario, each.engine): each for each in cells}
