"""`testbed probe-nat`: everything that a kind of NAT does on this machine, measured."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

\b
A router at home, from behind it; beyond it a server of ours:
  testbed probe-nat --serve 198.51.100.7,198.51.100.8
  testbed probe-nat --interface eth0 --server 198.51.100.7 --out home.toml
  testbed run nat_keepalive --nat home.toml
"""


@click.command("probe-nat", epilog=EXAMPLES)
@click.option("--nat", metavar="KIND|FILE", help="One of ours; `testbed list nats`.")
@click.option("--set", "settings", multiple=True, metavar="nat.KNOB=VALUE", help="A knob of it.")
@click.option(
    "--engine", default="emulation", metavar="ENGINE", help="emulation (default), simulation."
)
@click.option("--interface", metavar="NAME", help="Probe the router that this one leads to.")
@click.option("--server", metavar="ADDRESS", help="Where --serve runs, beyond that router.")
@click.option("--serve", metavar="ADDRESS[,ADDRESS]", help="Be the server, until Ctrl-C.")
@click.option("--port", default=3478, type=click.IntRange(1, 65534), help="Of the server (3478).")
@click.option(
    "--longest",
    "longest_s",
    default=600.0,
    type=click.FloatRange(1.0, 9000.0),
    help="Seconds to watch bindings that nobody has described (600).",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write what is found as a NAT file.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def probe_nat(
    nat: str | None,
    settings: tuple[str, ...],
    engine: str,
    interface: str | None,
    server: str | None,
    serve: str | None,
    port: int,
    longest_s: float,
    out: Path | None,
    as_json: bool,
) -> int:
    """Measure a NAT: mapping, filtering, ports, hairpinning, lifetimes, refresh, addresses.

    With --nat measured stands beside declared; it takes 1.3 times the lifetime of its bindings, and
    is kept for these rules and this kernel.  With --out, or a router at home, nothing is believed:
    it takes 2.5 times the lifetime, and what is found can be played by --nat FILE.
    """
    from testbed.commands.probe_field import probe_field, serve_field
    from testbed.settings import chosen_nat, parse_settings
    from testbed.worlds import ENGINES

    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if out is not None and out.suffix != ".toml":
        raise BadInput(f"--out {out}: a NAT file ends in .toml, by which --nat knows it")
    ways = [each for each in (nat, serve, interface) if each is not None]
    if len(ways) != 1:
        raise BadInput("give one of --nat KIND, --serve ADDRESS, or --interface NAME with --server")
    if serve is not None:
        return serve_field(serve, port)
    if interface is not None:
        if server is None:
            raise BadInput("--interface needs --server ADDRESS, where --serve runs")
        return probe_field(interface, server, port, longest_s, out)
    kind = chosen_nat(ways[0], parse_settings(settings))
    if out is not None:
        return _portray(kind, engine, longest_s, out)
    return _compare(kind, engine, as_json)


def _portray(kind: Nat, engine: str, longest_s: float, out: Path) -> int:
    """What of one of ours would be found if nobody had described it."""
    from testbed.nat_file import nat_text, write_nat
    from testbed.nat_truth import portray_ours
    from testbed.worlds import SIMULATION

    def found() -> str:
        portrait = portray_ours(kind, engine, longest_s)
        return nat_text(dataclasses.replace(portrait.nat, name=out.stem), portrait.notes)

    text = found() if engine == SIMULATION else _ask_lab(lambda: {"found": found()})["found"]
    write_nat(out, text)
    click.echo(text, nl=False)
    click.echo(f"written    {out}")
    return EXIT_OK


def _compare(kind: Nat, engine: str, as_json: bool) -> int:
    """Measured beside declared."""
    from testbed.nat.probe import declared, differences
    from testbed.nat_truth import keep, measure_fully
    from testbed.worlds import SIMULATION

    if not as_json:
        click.echo(f"NAT {kind.name}: {1.3 * kind.lifetime_s:g} s, until its bindings have died")
    if engine == SIMULATION:
        measured, rules = measure_fully(kind, engine)
    else:
        measured, rules = _in_lab(kind, engine)
    promised = declared(kind)
    wrong = differences(promised, measured)
    kept = ""
    if rules:  # a difference too: it stops the runs of these rules until another probe finds none
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
    """The probe of a kernel's NAT."""
    from testbed.nat.probe import Behaviour
    from testbed.nat_truth import measure_fully

    def work() -> dict[str, Any]:
        measured, rules = measure_fully(kind, engine)
        return {"found": measured.told(), "rules": rules}

    message = _ask_lab(work)
    return Behaviour.from_told(message["found"]), message["rules"]


def _ask_lab(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What it tells, when it is called in a lab.

    Raises:
        LocalError: it could not be done; says why.
    """
    from testbed.engines.emulation.lab import Lab, launch

    def work(lab: Lab) -> int:
        lab.tell(ask())
        return EXIT_OK

    with launch(work, "probe-nat") as process:
        process.wait()
        for message in process.messages():
            if "found" in message:
                return message
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
