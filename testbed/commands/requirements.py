"""`testbed requirements`: every requirement, who checks it, and how."""

from __future__ import annotations

import json
from typing import Any

import click

from testbed.commands.own_folders import with_option

# The rest is imported when it is needed: `--help` answers at once.


def rows() -> list[dict[str, Any]]:
    """One row a requirement, in the register's order."""
    from testbed.conformance import load_checks, register
    from testbed.faults import load_faults

    checks = load_checks()
    faults = load_faults()
    return [
        {
            "id": each.id,
            "source": each.source,
            "level": each.level,
            "roles": list(each.roles),
            "text": each.text,
            "scenarios": list(each.scenarios),
            "check": checks[each.id].name if each.id in checks else None,
            "observed": checks[each.id].observed if each.id in checks else None,
            "faults": [name for name, each_fault in faults.items() if each.id in each_fault.breaks],
        }
        for each in register().values()
    ]


@click.command(epilog="\b\nExamples:\n  testbed requirements\n  testbed requirements --json")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
@with_option
def requirements(as_json: bool) -> int:
    """Every requirement of the three documents: checked by, observed how, exercised where."""
    found = rows()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return 0
    from rich.table import Table

    from testbed.report.terminal import print_whole_names, table_console

    console = table_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "level", "roles", "scenario", "check", "proved by"):
        table.add_column(name, no_wrap=name == "id", overflow="fold")
    for row in found:
        table.add_row(
            row["id"],
            row["level"],
            " ".join(row["roles"]),
            row["scenarios"][0],
            row["check"] or "-",
            " ".join(row["faults"]) or "-",
        )
    print_whole_names(console, table)
    checked = sum(row["check"] is not None for row in found)
    console.print(f"{len(found)} requirements, {checked} with a check")
    return 0
