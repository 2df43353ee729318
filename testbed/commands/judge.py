"""`testbed judge`: a capture, or a run once more, judged by the requirements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
        name, judgements = _judge_runs(runs, scenario)
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

    trace = read_trace(source, names, keys)
    for fact in sorted(trace.facts - set(FACTS)):
        raise unknown("fact", fact, FACTS)
    return sum_up(scenario, {"": examine(scenario, trace)})


def _judge_runs(files: list[Path], scenario: str | None) -> tuple[str, list[Judgement]]:
    """A run and its sub-runs, as their run.json files tell them."""
    from testbed.conformance import examine
    from testbed.conformance import judge as sum_up
    from testbed.registry import find_scenario
    from testbed.trace.folder import load

    told = {file: _description(file) for file in files}
    names = sorted({each["scenario"] for each in told.values()})
    if len(names) > 1:
        raise BadInput(
            f"these are runs of {len(names)} scenarios ({', '.join(names)}): judge one at a time"
        )
    name = scenario or names[0]
    folders = {each["variant"]: file.parent for file, each in told.items()}
    known = list(find_scenario(names[0]).variants)
    variants = [each for each in known if each in folders]
    variants += [each for each in folders if each not in known]
    found = {each: examine(name, load(folders[each]), each) for each in variants}
    not_run = [each for each in known if each not in folders]
    drops = sum(each["drops"] for each in told.values())
    return name, sum_up(name, found, drops, not_run)


def _description(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return {
            "scenario": str(told["scenario"]),
            "variant": str(told["variant"]),
            "drops": int(told["drops"]),
        }
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
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
