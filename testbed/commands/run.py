"""`testbed run`: play scenarios and judge them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from testbed.commands.fitting import (
    check_bench,
    check_faults,
    check_players,
    refuse_in_simulation,
)
from testbed.commands.own_folders import with_option
from testbed.commands.seed import any_seed, some_seed
from testbed.errors import BadInput, unknown

if TYPE_CHECKING:  # the rest is imported when it is needed: `--help` answers at once
    from rich.console import Console

    from testbed.batch import Progress
    from testbed.report.result import Outcome, Result
    from testbed.run import Plan
    from testbed.scenario import Scenario

EXAMPLES = """\b
Examples:
  testbed run lan_connectivity                the scenario with all its variants
  testbed run lan_connectivity/nak            one variant
  testbed run lan_connectivity/               the main run alone
  testbed run --all --jobs 4 --out results
  testbed run lan_connectivity --set homes=3 --seed 7
  testbed run lan_connectivity/ --fault hnb:connectivity.asks-before-lease
  testbed run lan_connectivity --cast outer_dns=bind --cast gateway=dnsmasq
  testbed run lan_connectivity/ --dut hnb=enp3s0      the device behind that interface
  testbed run --again results/lan_connectivity
  testbed run --all --engine simulation       in virtual time, with nothing but Python
  testbed run discovery_public/ --engine simulation --set link.loss=0.05

\b
Exit status: 0 all as expected (INCONCLUSIVE and warnings included; with --fault exactly the FAILs
that the fault declares), 1 any other FAIL, a missed step or a crash, 2 bad usage or input, 3 this
machine lacks something (named), 130 Ctrl-C.
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="NAME[/VARIANT]...")
@click.option("--all", "everything", is_flag=True, help="Every scenario there is.")
@click.option("--again", type=click.Path(path_type=Path), help="Repeat the run of that folder.")
@click.option(
    "--engine", default="emulation", metavar="ENGINE", help="emulation (default), simulation."
)
@click.option("--nat", metavar="KIND", help="What every translating gateway does.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the topology."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="ROLE:NAME",
    help="A deviation; `testbed list faults`.",
)
@click.option(
    "--cast",
    "players",
    multiple=True,
    metavar="ROLE=PROGRAM",
    help="A third party's program plays that node; `testbed list casts`.",
)
@click.option(
    "--dut",
    "on_bench",
    multiple=True,
    metavar="ROLE=INTERFACE",
    help="The device behind that interface of this machine plays that node; needs root.",
)
@click.option(
    "--seed", callback=some_seed, metavar="N", help="Of all randomness; printed and stored."
)
@click.option("--out", type=click.Path(path_type=Path), help="Where results go (runs/DATE-TIME).")
@click.option("--jobs", default=1, type=click.IntRange(1, 64), help="Labs at the same time.")
@click.option("--strict", is_flag=True, help="A SHOULD that is not followed fails like a MUST.")
@click.option("--keep", is_flag=True, help="Keep the lab's own files, in OUT/NAME/lab.")
@click.option("--quiet", is_flag=True, help="Only the table at the end.")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON on standard output.")
@click.option("--shell-on-fail", is_flag=True, help="Mininet's prompt in the world that failed.")
@with_option
def run(
    names: tuple[str, ...],
    everything: bool,
    again: Path | None,
    engine: str,
    nat: str | None,
    settings: tuple[str, ...],
    faults: tuple[str, ...],
    players: tuple[str, ...],
    on_bench: tuple[str, ...],
    seed: str | None,
    out: Path | None,
    jobs: int,
    strict: bool,
    keep: bool,
    quiet: bool,
    as_json: bool,
    shell_on_fail: bool,
) -> int:
    """Play scenarios, each run in a world of its own, and judge them by their requirements."""
    from testbed.batch import Batch, Progress, write_results, write_summary
    from testbed.engines import ENGINES, SIMULATION
    from testbed.external.device import parse_devices
    from testbed.registry import find_scenario
    from testbed.settings import parse_settings

    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if engine == SIMULATION:
        refuse_in_simulation(players, on_bench, shell_on_fail)
    if shell_on_fail and (jobs > 1 or not sys.stdin.isatty()):
        raise BadInput("--shell-on-fail needs a terminal and --jobs 1")
    named = out is not None
    out = (out or Path("runs") / time.strftime("%Y%m%d-%H%M%S")).absolute()
    given = parse_settings(settings)
    if again is not None:
        if names or everything or given or nat or seed or faults or players or on_bench:
            raise BadInput("--again repeats a run as it was: give no names or settings with it")
        plans = _plans_again(again, out)
    else:
        seed = seed if seed is not None else any_seed()
        plans = plans_of(wanted_scenarios(names, everything), engine, seed, given, nat, out)
        check_faults(plans, faults)
        cast, devices = _parse_cast(players), parse_devices(on_bench)
        changes: dict[str, Any] = {"faults": faults, "cast": cast, "devices": devices}
        plans = [dataclasses.replace(plan, **changes) for plan in plans]
    plans = [dataclasses.replace(plan, own=loaded_folders()) for plan in plans]
    check_players(plans)
    check_bench(plans, alone=jobs == 1 and not shell_on_fail)
    out, asked = make_folder(out, named), out
    # Output that a program reads stays clean: progress goes to standard error.
    stream = sys.stderr if as_json else sys.stdout
    ladders = jobs == 1 and not everything and not quiet
    width = _width(stream) if ladders else 0
    plans = [
        dataclasses.replace(
            plan, keep=keep, folder=out / plan.folder.relative_to(asked), width=width
        )
        for plan in plans
    ]
    if not quiet:
        click.echo(f"seed {plans[0].seed}, engine {engine}, results in {out}", file=stream)
    batch = Batch(
        {plan.scenario: find_scenario(plan.scenario) for plan in plans},
        plans,
        jobs,
        Progress(ask=_ask) if quiet else _progress(as_json, ladders),
        strict=strict,
    )
    if shell_on_fail:
        from testbed.commands.prompt import perform_with_prompt

        batch.work = perform_with_prompt
    results = batch.run()
    write_results(results, out, batch.scenarios)
    write_summary(results, out)
    _show(results, out, as_json)
    _show_hints(plans[0].faults, results, stream)
    return batch.status(results)


def _show(results: list[Result], out: Path, as_json: bool) -> None:
    """What everything came to: a table, or JSON."""
    if as_json:
        click.echo((out / "results.json").read_text(encoding="utf-8"), nl=False)
        return
    from rich.console import Console

    from testbed.report.terminal import show_results

    show_results(Console(highlight=False), results, str(out))


def _show_hints(faults: tuple[str, ...], results: list[Result], stream: TextIO) -> None:
    """For each fault that tripped nothing: what shows it."""
    if faults:
        from testbed.commands.fault_hint import hints

        for hint in hints(faults, results):
            click.echo(f"fault      {hint}", file=stream)


def _width(stream: TextIO) -> int:
    """Columns of the terminal that is behind the stream; 0: there is none."""
    import shutil

    return shutil.get_terminal_size().columns if stream.isatty() else 0


def wanted_scenarios(names: tuple[str, ...], everything: bool) -> list[tuple[Scenario, list[str]]]:
    """Scenarios and their variants, as named."""
    from testbed.registry import find_scenario, load_scenarios

    if everything and names:
        raise BadInput("give names or --all, not both")
    if everything:
        return [(each, list(each.variants)) for each in load_scenarios().values()]
    if not names:
        raise BadInput("name a scenario, or give --all; `testbed list scenarios` shows them")
    wanted: dict[str, tuple[Scenario, list[str]]] = {}
    for word in names:
        name, slash, variant = word.partition("/")
        scenario = find_scenario(name)
        variants = [scenario.find(variant).name] if slash else list(scenario.variants)
        kept = wanted.setdefault(name, (scenario, []))[1]
        kept.extend(each for each in variants if each not in kept)
    return list(wanted.values())


def plans_of(
    wanted: list[tuple[Scenario, list[str]]],
    engine: str,
    seed: str,
    given: dict[str, str],
    nat: str | None,
    out: Path,
) -> list[Plan]:
    """One plan a variant; settings are tried on the topology before any lab is built."""
    from testbed.run import Plan, topology_of
    from testbed.run.worlds import check_settings

    plans = []
    for scenario, variants in wanted:
        asked = tuple(variants)
        for name in variants:
            folder = out / scenario.name / name if name else out / scenario.name
            plan = Plan(scenario.name, name, engine, seed, given, nat, folder, asked=asked)
            check_settings(engine, topology_of(plan, scenario), given)
            plans.append(plan)
    return plans


def _plans_again(folder: Path, out: Path) -> list[Plan]:
    """The plans that a folder's run.json files tell.

    Raises:
        BadInput: it holds no run, or one that this testbed does not know.
    """
    from testbed.commands.unfinished import SubRun, tell_unfinished
    from testbed.registry import find_scenario
    from testbed.run import Plan, topology_of

    files = sorted(folder.rglob("run.json"), key=lambda file: file.parent)
    if not files:
        raise BadInput(f"{folder} holds no run.json: it is not the folder of a run")
    from testbed.external import OURS
    from testbed.own import load_own

    plans, found = [], []
    for file in files:
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            name, variant = told["scenario"], told["variant"]
            engine, seed = told["engine"], told["seed"]
            settings, nat = told["settings"], told["nat"]
            faults = tuple(told["faults"])
            for own in told["with"]:
                load_own(Path(own))
            programs = {node: player["program"] for node, player in told["cast"].items()}
            devices = {node: tuple(each) for node, each in told.get("devices", {}).items()}
            found.append(SubRun(file, name, variant, tuple(told.get("asked", ()))))
        except OSError as error:
            raise BadInput(f"{file} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{file} is not a run's description: {error!r}") from error
        place = out / name / variant if variant else out / name
        cast = {
            node: program
            for node, program in programs.items()
            if program != OURS and node not in devices
        }
        plan = Plan(name, variant, engine, seed, settings, nat, place, faults, cast, devices)
        topology_of(plan, find_scenario(name))  # it may be one that is no more
        plans.append(plan)
    tell_unfinished(folder, found)
    together: dict[str, tuple[str, ...]] = {}
    for plan in plans:
        together[plan.scenario] = (*together.get(plan.scenario, ()), plan.variant)
    return [dataclasses.replace(plan, asked=together[plan.scenario]) for plan in plans]


def make_folder(out: Path, named: bool) -> Path:
    """Make the folder of results; one that nobody named is a new one, whoever else runs now.

    Raises:
        BadInput: it cannot be made, or not be written to.
    """
    for number in itertools.count(2):
        try:
            out.mkdir(parents=True, exist_ok=named)
            probe = out / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            if isinstance(error, FileExistsError) and not named:
                out = out.with_name(f"{out.name.split('.')[0]}.{number}")
                continue
            raise BadInput(f"results cannot be written to {out}: {error.strerror}") from error
        break
    return out


def _parse_cast(words: tuple[str, ...]) -> dict[str, str]:
    from testbed.external import parse_cast

    return parse_cast(words)


def loaded_folders() -> tuple[str, ...]:
    """The user's folders that were loaded."""
    from testbed.own import LOADED

    return tuple(str(folder) for folder in LOADED)


def _ask(plan: Plan, sentence: str) -> None:
    click.echo(sentence, err=True)


def _progress(as_json: bool, ladders: bool) -> Progress:
    """A line a run; with ladders, those of the run line by line before it."""
    from testbed.batch import Progress

    @functools.cache
    def console() -> Console:
        """Made when the first line is to be told: a lab is being built by then."""
        from rich.console import Console

        return Console(stderr=as_json, highlight=False)

    def line(plan: Plan, text: str, style: str) -> None:
        from rich.text import Text

        if ladders:
            console().print(Text(text, style=style), soft_wrap=True)

    def ask(plan: Plan, sentence: str) -> None:
        console().print(sentence, style="bold", markup=False, soft_wrap=True)

    def started(plan: Plan) -> None:
        if ladders:
            console().print(f"\n{plan.title}", style="bold", markup=False)

    def ended(plan: Plan, outcome: Outcome, done: int, of: int) -> None:
        console().print(
            f"[{done}/{of}] {plan.title}: {outcome.kind}, {outcome.records} records, "
            f"{outcome.seconds:.2f} s",
            markup=False,
            soft_wrap=True,
        )

    return Progress(line, ask, started, ended)
