"""`testbed probe-nat`: everything that a kind of NAT does on this machine, measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from testbed.errors import EXIT_FAILED, EXIT_OK, BadInput, LocalError, unknown

if TYPE_CHECKING:
    from testbed.nat.probe import Behaviour
    from testbed.topology import Nat

# The rest is imported when it is needed: `--help` answers at once.

EXAMPLES = """\b
Examples:
  testbed probe-nat --nat short-lived
  testbed probe-nat --nat symmetric --set nat.lifetime_s=5
  testbed probe-nat --nat rfc4787 --engine simulation --json
"""


@click.command("probe-nat", epilog=EXAMPLES)
@click.option("--nat", required=True, metavar="KIND", help="Which; `testbed list nats`.")
@click.option("--set", "settings", multiple=True, metavar="nat.KNOB=VALUE", help="A knob of it.")
@click.option(
    "--engine", default="emulation", metavar="ENGINE", help="emulation (default), simulation."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def probe_nat(nat: str, settings: tuple[str, ...], engine: str, as_json: bool) -> int:
    """Measure a NAT in full: mapping, filtering, ports, hairpinning, lifetime, refresh.

    Takes 1.3 times the lifetime of its bindings; what was found is kept for these rules and this
    kernel, and later runs report it.
    """
    from testbed.nat.probe import declared, differences
    from testbed.nat_truth import keep, measure_fully
    from testbed.settings import chosen_nat, parse_settings
    from testbed.worlds import ENGINES, SIMULATION

    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    kind = chosen_nat(nat, parse_settings(settings))
    if not as_json:
        click.echo(f"NAT {kind.name}: {1.3 * kind.lifetime_s:g} s, until its bindings have died")
    if engine == SIMULATION:
        measured, rules = measure_fully(kind, engine)
    else:
        measured, rules = _in_lab(kind, engine)
    promised = declared(kind)
    wrong = differences(promised, measured)
    kept = ""
    if rules and not wrong:
        try:
            kept = str(keep(rules, measured))
        except OSError as error:
            click.echo(f"testbed: the probe is not kept: {error}", err=True)
    if as_json:
        told = {
            "nat": kind.name,
            "engine": engine,
            "declared": promised.told(),
            "measured": measured.told(),
            "differences": wrong,
            "rules": rules,
        }
        click.echo(json.dumps(told, indent=2))
    else:
        _show(promised, measured, wrong, kept)
    return EXIT_FAILED if wrong else EXIT_OK


def _in_lab(kind: Nat, engine: str) -> tuple[Behaviour, str]:
    """The probe of a kernel's NAT.

    Raises:
        LocalError: it could not be done; says why.
    """
    from testbed.engines.emulation.lab import Lab, launch
    from testbed.nat.probe import Behaviour
    from testbed.nat_truth import measure_fully

    def work(lab: Lab) -> int:
        measured, rules = measure_fully(kind, engine)
        lab.tell({"measured": measured.told(), "rules": rules})
        return EXIT_OK

    with launch(work, "probe-nat") as process:
        process.wait()
        for message in process.messages():
            if "measured" in message:
                return Behaviour.from_told(message["measured"]), message["rules"]
            raise LocalError(message.get("error") or message["crash"].rstrip().rpartition("\n")[2])
    raise BadInput("the probe was ended from outside before it had found anything")


def _show(promised: Behaviour, measured: Behaviour, wrong: list[str], kept: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("behaviour", "declared", "measured"):
        table.add_column(title)
    wants, found = promised.told(), measured.told()
    for name in dict.fromkeys([*wants, *found]):
        table.add_row(name, _cell(wants.get(name)), _cell(found.get(name)))
    console = Console(highlight=False)
    console.print(table)
    for each in wrong:
        console.print(f"difference {each}", soft_wrap=True, markup=False)
    if kept:
        console.print(f"kept       {kept}", soft_wrap=True, markup=False)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        low, high = value
        if high is None:
            return f"more than {low:g}"
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return str(value)
