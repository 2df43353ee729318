"""`testbed judge`: a capture, or a run once more, judged by the requirements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from testbed.commands.own_folders import with_option
from testbed.errors import EXIT_FAILED, EXIT_OK, BadInput

if TYPE_CHECKING:  # the rest is imported when it is needed: `--help` answers at once
    from testbed.conformance import Judgement

EXAMPLES = """\b
Examples:
  testbed judge runs/20261121-120000/lan_connectivity
  testbed judge field.pcapng --names who.toml --scenario lan_connectivity --out judged
  testbed judge field.pcapng --keys ikev2_decryption_table --keys esp_sa
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN_OR_CAPTURE")
@click.option("--scenario", metavar="NAME", help="By its requirements; else all with a check.")
@click.option("--names", type=click.Path(path_type=Path), help="Who is who in a capture.")
@click.option(
    "--keys",
    multiple=True,
    type=click.Path(path_type=Path),
    help="TLS key log, or a table of IKE or ESP keys.",
)
@click.option("--strict", is_flag=True, help="A SHOULD that is not followed fails like a MUST.")
@click.option("--out", type=click.Path(path_type=Path), help="Write verdicts.json there.")
@click.option("--json", "as_json", is_flag=True, help="The verdicts as JSON on standard output.")
@with_option
def judge(
    source: Path,
    scenario: str | None,
    names: Path | None,
    keys: tuple[Path, ...],
    strict: bool,
    out: Path | None,
    as_json: bool,
) -> int:
    """Judge a capture, or the folder of a run with its sub-runs, by the checks.

    A run's folder knows its scenario and its nodes, and comes to the verdicts of the run.
    """
    from testbed.report.result import Result
    from testbed.report.verdicts import verdict_rows, write_verdicts

    if scenario is not None:
        from testbed.registry import find_scenario

        find_scenario(scenario)
    runs = sorted(source.rglob("run.json")) if source.is_dir() else []
    if runs and (names is not None or keys):
        raise BadInput(
            f"{source} is a run's folder and knows its nodes; --names and --keys are not for it"
        )
    if runs:
        name, judgements = _judge_runs(source, runs, scenario)
    else:
        name, judgements = scenario or "", _judge_one(source, scenario, names, keys)
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_verdicts(out / "verdicts.json", name, judgements)
        except OSError as error:
            raise BadInput(f"verdicts cannot be written to {out}: {error.strerror}") from error
    if as_json:
        click.echo(
            json.dumps({"scenario": name or None, "verdicts": verdict_rows(judgements)}, indent=2)
        )
    else:
        _show(judgements)
    result = Result(name, {}, judgements, 0.0, source, strict=strict)
    return EXIT_FAILED if result.failures else EXIT_OK


def _judge_one(
    source: Path, scenario: str | None, names: Path | None, keys: tuple[Path, ...]
) -> list[Judgement]:
    """A capture, or a trace without a run's description."""
    from testbed.commands.draw import read_trace
    from testbed.conformance import examine
    from testbed.conformance import judge as sum_up
    from testbed.conformance.suppositions import FACTS
    from testbed.errors import unknown
    from testbed.registry import find_scenario

    trace = read_trace(source, names, keys)
    for fact in sorted(trace.facts - set(FACTS)):
        raise unknown("fact", fact, FACTS)
    judged_as = find_scenario(scenario).judged_as if scenario else None
    return sum_up(judged_as, {"": examine(judged_as, trace)})


class _Told(NamedTuple):
    """What a run.json says, as far as judging goes."""

    scenario: str
    variant: str
    asked: tuple[str, ...]
    kind: str
    drops: int
    cast: dict[str, str]
    own: tuple[Path, ...]


def _judge_runs(
    source: Path, files: list[Path], scenario: str | None
) -> tuple[str, list[Judgement]]:
    """A run and its sub-runs, as their run.json files tell them."""
    from testbed.commands.unfinished import SubRun, tell_unfinished
    from testbed.conformance import examine
    from testbed.own import load_own
    from testbed.registry import find_scenario
    from testbed.report.result import Outcome
    from testbed.run.judged import UNEXAMINED, judge_sub_runs
    from testbed.trace.folder import load

    told = {file: _description(file) for file in files}
    names = sorted({each.scenario for each in told.values()})
    if len(names) > 1:
        raise BadInput(
            f"these are runs of {len(names)} scenarios ({', '.join(names)}): judge one at a time"
        )
    for folder in dict.fromkeys(folder for each in told.values() for folder in each.own):
        load_own(folder)
    tell_unfinished(
        source,
        (
            SubRun(file, each.scenario, each.variant, each.asked)
            for file, each in told.items()
            if each.kind != "interrupted"
        ),
    )
    name = scenario or names[0]
    judged_as = find_scenario(name).judged_as
    known = list(find_scenario(names[0]).variants)
    outcomes = {}
    for file, each in sorted(told.items(), key=lambda item: _place(known, item[1].variant)):
        outcomes[each.variant] = outcome = Outcome(each.kind, drops=each.drops)
        if each.kind not in UNEXAMINED:
            outcome.found = examine(judged_as, load(file.parent), each.variant)
    cast = {node: program for each in told.values() for node, program in each.cast.items()}
    return name, judge_sub_runs(judged_as, known, outcomes, cast)


def _place(known: list[str], variant: str) -> int:
    """Where a variant stands among those of its scenario; one that is no more, behind them."""
    return known.index(variant) if variant in known else len(known)


def _description(file: Path) -> _Told:
    from testbed.external import PROGRAMS

    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        players = {node: player["program"] for node, player in told["cast"].items()}
        return _Told(
            str(told["scenario"]),
            str(told["variant"]),
            tuple(told.get("asked", ())),
            str(told["outcome"]),
            int(told["drops"]),
            {node: program for node, program in players.items() if program in PROGRAMS},
            tuple(Path(each) for each in told["with"]),
        )
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{file} is not a run's description: {error!r}") from error


def _show(judgements: list[Judgement]) -> None:
    from rich.table import Table
    from rich.text import Text

    from testbed.report.terminal import STYLES, table_console
    from testbed.report.text import readable

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("requirement", no_wrap=True)
    for name in ("verdict", "level", "why"):
        table.add_column(name, overflow="fold")
    for each in judgements:
        verdict = Text(each.verdict, style=STYLES[each.verdict])
        table.add_row(
            each.requirement.id, verdict, each.requirement.level, Text(readable(each.reason))
        )
    table_console().print(table)
