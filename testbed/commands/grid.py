"""`testbed grid`: scenarios under many kinds of NAT."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.commands.own_folders import with_option
from testbed.commands.seed import any_seed, some_seed
from testbed.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISSING, EXIT_OK, BadInput, unknown

if TYPE_CHECKING:  # the rest is imported when it is needed: `--help` answers at once
    from testbed.commands.grid_probing import GridProbing
    from testbed.grid import GridPlan, GridRun, Place
    from testbed.report.grid import Cell
    from testbed.run import Plan

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
@click.option(
    "--seed", callback=some_seed, metavar="N", help="Of all randomness; printed and stored."
)
@click.option("--out", type=click.Path(path_type=Path), help="Where results go (runs/DATE-TIME).")
@click.option("--jobs", default=1, type=click.IntRange(1, 64), help="Runs at the same time.")
@click.option(
    "--no-probe", is_flag=True, help="Probe no kind in full that has not been yet (emulation)."
)
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
    no_probe: bool,
    as_json: bool,
) -> int:
    """Play scenarios under many kinds of NAT; a matrix of verdicts with their reasons.

    In the emulation, kinds that were never probed in full on this machine are, beside the runs.
    """
    from testbed.commands.grid_probing import GridProbing
    from testbed.commands.run import make_folder, wanted_scenarios
    from testbed.grid import GridPlan, Place, open_grid, saved_cells, wanted_kinds
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
    places = [Place(kind, each) for kind, each in itertools.product(kinds, engines)]
    cells = {place: found for place in places if (found := saved_cells(place.folder(out)))}
    if not as_json:
        click.echo(f"seed {plan.seed}, {len(kinds)} kinds of NAT, results in {out}")
        for found in cells.values():
            _tell(found)

    def in_order() -> list[Cell]:
        return [cell for place in places for cell in cells.get(place, ())]

    untrue: dict[str, str] = {}

    def done(place: Place, found: Sequence[Cell]) -> None:
        cells[place] = _marked(found, untrue)
        if not as_json:
            _tell(cells[place])
        write_grid(out / "grid.html", in_order(), f"seed {plan.seed}", _abouts())
        if probing is not None:
            probing.look()

    def differs(kind: str, sentence: str) -> None:
        untrue[kind] = sentence
        for place in cells:
            cells[place] = _marked(cells[place], untrue)

    probing = None
    if "emulation" in engines and not no_probe:
        probing = GridProbing(kinds, given, as_json, differs)
    run = _prepare(plan, [each for each in places if each not in cells], out, jobs, done)
    is_whole = _run_beside(run, probing)
    write_grid(out / "grid.html", in_order(), f"seed {plan.seed}", _abouts())
    if as_json:
        click.echo(json.dumps([cell.told() for cell in in_order()], indent=2))
    else:
        _show(in_order(), run.unable)
        click.echo(f"results    {out / 'grid.html'}")
    if run.unable:
        return EXIT_MISSING
    if not is_whole:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if any(cell.verdict == "FAIL" for cell in in_order()) else EXIT_OK


def _run_beside(run: GridRun, probing: GridProbing | None) -> bool:
    """Run all, and probe beside it what is not known; gives whether nobody interrupted it."""
    if probing is None:
        run.run()
        return not run.interrupted
    try:
        if not probing.before_runs():
            return False
        run.run()
        return not run.interrupted and (bool(run.unable) or probing.after_runs())
    except KeyboardInterrupt:  # it came between two parts
        return False
    finally:
        probing.end()


def _marked(found: Sequence[Cell], untrue: Mapping[str, str]) -> list[Cell]:
    """A verdict of a kernel's NAT that is not what its kind says is none about that kind."""
    return [
        dataclasses.replace(each, verdict="FAIL", reasons=(untrue[each.nat], *each.reasons))
        if each.nat in untrue
        and each.engine == "emulation"
        and each.folder
        and untrue[each.nat] not in each.reasons
        else each
        for each in found
    ]


def _abouts() -> dict[str, str]:
    from testbed.topology import KINDS

    return {name: kind.about for name, kind in KINDS.items()}


def _engines(word: str) -> tuple[str, ...]:
    """
    Raises:
        BadInput: an unknown engine, or one twice.
    """
    from testbed.engines import ENGINES

    engines = tuple(each.strip() for each in word.split(","))
    for each in engines:
        if each not in ENGINES:
            raise unknown("engine", each, ENGINES)
    if len(set(engines)) < len(engines):
        raise BadInput(f"--engine {word} names an engine twice")
    return engines


def _prepare(
    plan: GridPlan,
    places: Sequence[Place],
    out: Path,
    jobs: int,
    done: Callable[[Place, Sequence[Cell]], None],
) -> GridRun:
    """All runs of these places, tried on their topologies before any world is built."""
    from testbed.commands.run import loaded_folders, plans_of, wanted_scenarios
    from testbed.grid import GridRun, refused

    wanted = wanted_scenarios(plan.scenarios, everything=False)
    plans: dict[Place, list[Plan]] = {}
    cells: dict[Place, list[Cell]] = {}
    for place in places:
        plans[place], cells[place] = [], []
        folder = place.folder(out)
        for one in wanted:
            try:
                found = plans_of(
                    [one], place.engine, plan.seed, dict(plan.settings), place.nat, folder
                )
            except BadInput as error:
                cells[place].append(refused(place.nat, one[0].name, place.engine, str(error)))
                continue
            plans[place] += [dataclasses.replace(each, own=loaded_folders()) for each in found]
    scenarios = {one.name: one for one, _ in wanted}
    return GridRun(out, scenarios, plans, cells, jobs, done)


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
