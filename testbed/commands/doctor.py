"""`testbed doctor`: what this machine has, what each gap costs, how to mend it."""

from __future__ import annotations

import dataclasses
import json
from itertools import groupby

import click

from testbed.engines.emulation.facts import Fact, facts, missing
from testbed.errors import EXIT_MISSING, EXIT_OK


def _state(fact: Fact) -> str:
    if fact.present:
        return click.style("has  ", fg="green")
    return click.style("LACKS", fg="red") if fact.needed else click.style("lacks", fg="yellow")


def as_lines(found: list[Fact]) -> list[str]:
    """The facts as lines; under a gap, what it costs and the command that mends it.

    A command stands unbroken on a line of its own, whatever the terminal's width, to be copied.
    """
    width = max(len(fact.name) for fact in found)
    indent = " " * (width + 11)
    lines = []
    for area, group in groupby(found, key=lambda fact: fact.area):
        lines.append(click.style(area, bold=True))
        for fact in group:
            lines.append(f"  {_state(fact)}  {fact.name:{width}}  {fact.detail}".rstrip())
            if not fact.present:
                lines += [f"{indent}costs: {fact.cost}", f"{indent}mend:  {fact.remedy}"]
    return lines


def verdict(found: list[Fact]) -> str:
    """The last line: can `testbed run` work here?"""
    gaps = missing(found)
    if not gaps:
        return "testbed run can work on this machine (LACKS would keep it from it, lacks does not)."
    names = ", ".join(fact.name for fact in gaps)
    return f"testbed run cannot work on this machine: it lacks {names}."


@click.command(epilog="\b\nExamples:\n  testbed doctor\n  testbed doctor --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """What this machine has, what each gap costs, how to mend it.

    Tries every kernel feature in namespaces of its own; leaves nothing behind.  Exit status: 0 when
    `testbed run` can work here, 3 when something that it needs is missing.
    """
    found = facts()
    if as_json:
        rows = [dataclasses.asdict(fact) for fact in found]
        click.echo(json.dumps({"can_run": not missing(found), "facts": rows}, indent=2))
    else:
        click.echo("\n".join([*as_lines(found), verdict(found)]))
    context.exit(EXIT_MISSING if missing(found) else EXIT_OK)
