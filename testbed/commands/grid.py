"""`testbed grid`: scenarios under many kinds of NAT."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.commands.own_folders import with_option
from testbed.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISSING, EXIT_OK, BadInput, unknown

if TYPE_CHECKING:  # the rest is imported when it is needed: `--help` answers at once
    from testbed.grid import GridPlan
    from testbed.report.grid import Cell

EXAMPLES = """\b
Examples:
  testbed grid nat_binding_discovery/ --nat all --engine simulation
  testbed grid lan_connectivity --nat symmetric,full-cone --jobs 4 --out grids/lan
  testbed grid nat_binding_discovery/ --nat all --engine emulation,simulation --out grids/both

\b
An interrupted grid goes on where it stood when the same is asked for with the same --out.
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME[/VARIANT]...")
@click.option("--nat", required=True, metavar="all|KIND,KIND", help="Rows; `testbed list nats`.")
@click.option(
    "--engine", default="emulation", metavar="ENGINE[,ENGINE]", help="emulation, simulation, both."
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the topology."
)
@click.option("--seed", metavar="N", help="Of all randomness; printed and stored.")
@click.option("--out", type=click.Path(path_type=Path), help="Where results go (runs/DATE-TIME).")
@click.option("--jobs", default=1, type=click.IntRange(1, 64), help="Runs at the same time.")
@click.option("--json", "as_json", is_flag=True, help="The matrix as JSON on standard output.")
@with_option
def grid(
    names: tuple[str, ...],
    nat: str,
    engine: str,
    settings: tuple[str, ...],
    seed: str | None,
    out: Path | None,
    jobs: int,
    as_json: bool,
) -> int:
    """Play scenarios under many kinds of NAT; a matrix of verdicts with their reasons."""
    from testbed.commands.run import any_seed, make_folder, wanted_scenarios
    from testbed.grid import GridPlan, open_grid, save_cells, saved_cells, wanted_kinds
    from testbed.report.grid import write_grid
    from testbed.settings import parse_settings

    kinds = wanted_kinds(nat)
    engines = _engines(engine)
    given = parse_settings(settings)
    wanted_scenarios(names, everything=False)  # unknown names are refused before anything is made
    named = out is not None
    out = (out or Path("runs") / time.strftime("%Y%m%d-%H%M%S")).absolute()
    out = make_folder(out, named)

    def plan_with(before: str | None) -> GridPlan:
        return GridPlan(names, seed or before or any_seed(), given)

    plan = open_grid(out, plan_with)
    if not as_json:
        click.echo(f"seed {plan.seed}, {len(kinds)} kinds of NAT, results in {out}")
    cells: list[Cell] = []
    unable: list[Cell] = []
    status = EXIT_OK
    for kind, where in itertools.product(kinds, engines):
        folder = out / where / kind
        found = saved_cells(folder)
        if found is None:
            found, status = _play(plan, kind, where, out, jobs)
            if status in (EXIT_INTERRUPTED, EXIT_MISSING):
                unable = found if status == EXIT_MISSING else []
                break  # what has not been run is run when the grid goes on
            save_cells(folder, found)
        cells += found
        if not as_json:
            _tell(found)
        write_grid(out / "grid.html", cells, f"seed {plan.seed}", _abouts())
    if as_json:
        click.echo(json.dumps([cell.told() for cell in cells], indent=2))
    else:
        _show(cells, unable)
        click.echo(f"results    {out / 'grid.html'}")
    if status in (EXIT_INTERRUPTED, EXIT_MISSING):
        return status
    return EXIT_FAILED if any(cell.verdict == "FAIL" for cell in cells) else EXIT_OK


def _abouts() -> dict[str, str]:
    from testbed.topology import KINDS

    return {name: kind.about for name, kind in KINDS.items()}


def _engines(word: str) -> tuple[str, ...]:
    """
    Raises:
        BadInput: an unknown engine, or one twice.
    """
    from testbed.worlds import ENGINES

    engines = tuple(each.strip() for each in word.split(","))
    for each in engines:
        if each not in ENGINES:
            raise unknown("engine", each, ENGINES)
    if len(set(engines)) < len(engines):
        raise BadInput(f"--engine {word} names an engine twice")
    return engines


def _play(plan: GridPlan, nat: str, engine: str, out: Path, jobs: int) -> tuple[list[Cell], int]:
    """All scenarios under one kind in one engine, and the exit status that they come to."""
    from testbed.batch import Batch, Progress, write_results, write_summary
    from testbed.commands.run import loaded_folders, plans_of, wanted_scenarios
    from testbed.grid import cell_of, refused
    from testbed.registry import find_scenario

    folder = out / engine / nat
    cells: list[Cell] = []
    plans = []
    for one in wanted_scenarios(plan.scenarios, everything=False):
        try:
            plans += plans_of([one], engine, plan.seed, dict(plan.settings), nat, folder)
        except BadInput as error:
            cells.append(refused(nat, one[0].name, engine, str(error)))
    plans = [dataclasses.replace(each, own=loaded_folders()) for each in plans]
    if not plans:
        return cells, EXIT_OK
    batch = Batch(
        {each.scenario: find_scenario(each.scenario) for each in plans}, plans, jobs, Progress()
    )
    results = batch.run()
    if batch.interrupted:
        return cells, EXIT_INTERRUPTED
    write_results(results, folder, batch.scenarios)
    write_summary(results, folder)
    cells += [cell_of(result, nat, engine, out) for result in results]
    return cells, batch.status(results)


def _tell(cells: Sequence[Cell]) -> None:
    for cell in cells:
        click.echo(f"{cell.nat}: {cell.scenario} in {cell.engine}: {cell.verdict}")


def _show(cells: Sequence[Cell], unable: Sequence[Cell]) -> None:
    from rich.console import Console

    from testbed.report.grid import show_grid

    console = Console(highlight=False)
    show_grid(console, cells)
    for cell in unable:
        for reason in cell.reasons:
            console.print(f"testbed: {reason}", markup=False, soft_wrap=True)
