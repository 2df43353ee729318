"""`testbed list`: what there is."""

from __future__ import annotations

import inspect
import json
from enum import Enum
from typing import Any

import click

from testbed.commands.own_folders import with_option
from testbed.errors import MissingFeature, unknown

# The rest is imported when it is needed: `--help` answers at once.


def _scenarios() -> list[dict[str, Any]]:
    from testbed.registry import load_scenarios

    return [
        {
            "name": each.name,
            "about": each.title,
            "variants": {name: v.title for name, v in each.variants.items() if name},
            "topology": each.topology.__name__,
        }
        for each in load_scenarios().values()
    ]


def _topologies() -> list[dict[str, Any]]:
    from testbed.registry import load_topologies

    return [
        {
            "name": name,
            "about": (inspect.getdoc(function) or "").split("\n")[0],
            "settings": {
                parameter.name: _as_given(parameter.default)
                for parameter in inspect.signature(function).parameters.values()
            },
        }
        for name, function in load_topologies().items()
    ]


def _as_given(value: object) -> str:
    """A setting's value as `--set` takes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value.value) if isinstance(value, Enum) else str(value)


def _roles() -> list[dict[str, Any]]:
    from testbed.roles import ROLES

    return [{"name": name, "about": f"played by {place}"} for name, place in ROLES.items()]


def _checks() -> list[dict[str, Any]]:
    from testbed.conformance import load_checks, register

    return [
        {"name": name, "about": register()[name].text, "check": each.name}
        for name, each in load_checks().items()
    ]


def _faults() -> list[dict[str, Any]]:
    from testbed.faults import load_faults

    return [
        {
            "name": f"{each.role}:{each.name}",
            "about": each.about,
            "breaks": list(each.breaks),
            "seen_in": each.seen_in,
            "shown_in": list(each.shown_in),
        }
        for each in load_faults().values()
    ]


def _nats() -> list[dict[str, Any]]:
    from testbed.topology import KINDS

    return [{**each.described(), "about": each.about} for each in KINDS.values()]


def _knobs() -> list[str]:
    """What `--set` may change of every kind of NAT: names, and values or their unit."""
    import typing

    from testbed.settings import NAT_PREFIX
    from testbed.topology import KNOBS, Nat

    hints = typing.get_type_hints(Nat)
    return [f"--set {NAT_PREFIX}{knob}={_values(hints[knob])}" for knob in KNOBS]


def _qualities() -> list[str]:
    """What `--set` may change of the links of every topology."""
    from testbed.settings import LINK_PREFIX
    from testbed.topology import QUALITIES, measure

    every = [f"--set {LINK_PREFIX}{quality}={measure(quality)}" for quality in QUALITIES]
    return [*every, f"--set {LINK_PREFIX}NAME.QUALITY=...   of that link alone"]


def _values(kind: Any) -> str:
    """The values of a type as `--set` takes them."""
    import typing

    parts = [each for each in typing.get_args(kind) if each is not type(None)] or [kind]
    words = [
        "|".join(str(value.value) for value in part)
        if issubclass(part, Enum)
        else {int: "NUMBER", float: "SECONDS"}[part]
        for part in parts
    ]
    return "|".join([*words, "none"] if type(None) in typing.get_args(kind) else words)


def _casts() -> list[dict[str, Any]]:
    from testbed.external import PROGRAMS

    return [_cast(name) for name in PROGRAMS]


def _cast(name: str) -> dict[str, Any]:
    from testbed.external import find_program

    program = find_program(name)
    about = program.about
    try:
        version: str | None = program.version()
    except MissingFeature:
        version = None
    here = f"version {version}" if version else "not on this machine"
    return {
        "name": about.program,
        "about": f"plays {', '.join(about.plays)}; Debian package {about.package}, {here}",
        "plays": list(about.plays),
        "package": about.package,
        "version": version,
        "cannot": dict(about.cannot),
    }


KINDS = {
    "scenarios": _scenarios,
    "topologies": _topologies,
    "roles": _roles,
    "faults": _faults,
    "checks": _checks,
    "nats": _nats,
    "casts": _casts,
}


@click.command("list", epilog="\b\nExamples:\n  testbed list\n  testbed list scenarios --json")
@click.argument("kind", default="", metavar="[scenarios|topologies|roles|faults|checks|nats|casts]")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
@with_option
def listing(kind: str, as_json: bool) -> int:
    """What there is, by kind; all kinds without a word."""
    if kind and kind not in KINDS:
        raise unknown("kind of thing", kind, KINDS)
    found = {name: give() for name, give in KINDS.items() if kind in ("", name)}
    if as_json:
        click.echo(json.dumps(found[kind] if kind else found, indent=2))
        return 0
    from rich.markup import escape
    from rich.table import Table

    from testbed.report.terminal import table_console

    console = table_console()
    for name, rows in found.items():
        table = Table(title=name, title_justify="left", box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column()
        for row in rows:
            table.add_row(row["name"], escape(row["about"]))
            for variant, about in row.get("variants", {}).items():
                table.add_row(f"  /{variant}", escape(about))
            settings = row.get("settings", {}).items()
            told = (f"--set {setting}={default}" for setting, default in settings)
            if settings:
                table.add_row("", escape("  ".join(told)))
        console.print(table)
        below = {"nats": _knobs, "topologies": _qualities}.get(name, list)
        for setting in below():
            console.print(f"  {escape(setting)}", soft_wrap=True)
        console.print()
    return 0
