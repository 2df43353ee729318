"""`testbed doctor`: what this machine has, what each gap costs, how to mend it."""

from __future__ import annotations

import dataclasses
import json
from itertools import groupby

import click
from rich.console import Console
from rich.table import Table

from testbed.engines.emulation.facts import Fact, facts, missing
from testbed.errors import EXIT_MISSING, EXIT_OK


def _state(fact: Fact) -> str:
    if fact.present:
        return "has"
    return "LACKS" if fact.needed else "lacks"


def as_lines(found: list[Fact]) -> list[str]:
    """The facts as plain lines; of a gap, also what it costs and how to mend it."""
    width = max(len(fact.name) for fact in found)
    lines = []
    for area, group in groupby(found, key=lambda fact: fact.area):
        lines.append(area)
        for fact in group:
            lines.append(f"  {_state(fact):5}  {fact.name:{width}}  {fact.detail}".rstrip())
            if not fact.present:
                indent = " " * (width + 11)
                lines += [f"{indent}costs: {fact.cost}", f"{indent}mend:  {fact.remedy}"]
    return lines


def as_table(found: list[Fact]) -> Table:
    """The facts for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "what", "detail", "the gap costs", "mend it by"):
        table.add_column(title, overflow="fold")
    for area, group in groupby(found, key=lambda fact: fact.area):
        table.add_row("", f"[bold]{area}[/bold]")
        for fact in group:
            color = "green" if fact.present else "red" if fact.needed else "yellow"
            gap = ("", "") if fact.present else (fact.cost, fact.remedy)
            cells = [f"[{color}]{_state(fact)}[/{color}]"]
            table.add_row(*cells, *(_literal(text) for text in (fact.name, fact.detail, *gap)))
    return table


def _literal(text: str) -> str:
    return text.replace("[", "\\[")


def verdict(found: list[Fact]) -> str:
    """The last line: can `testbed run` work here?"""
    gaps = missing(found)
    if not gaps:
        return "testbed run can work on this machine."
    names = ", ".join(fact.name for fact in gaps)
    return f"testbed run cannot work on this machine: it lacks {names}."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """What this machine has, what each gap costs, how to mend it.

    Tries every kernel feature in namespaces of its own; leaves nothing behind.  Exit status: 0 when
    `testbed run` can work here, 3 when something that it needs is missing.
    """
    found = facts()
    console = Console()
    if as_json:
        rows = [dataclasses.asdict(fact) for fact in found]
        click.echo(json.dumps({"can_run": not missing(found), "facts": rows}, indent=2))
    elif console.is_terminal:
        console.print(as_table(found))
        console.print(verdict(found), highlight=False)
    else:
        click.echo("\n".join([*as_lines(found), verdict(found)]))
    context.exit(EXIT_MISSING if missing(found) else EXIT_OK)
