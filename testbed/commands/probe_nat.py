"""`testbed probe-nat`: everything that kinds of NAT do on this machine, measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.errors import EXIT_OK, BadInput, LocalError, unknown

if TYPE_CHECKING:
    from testbed.topology import Nat

# The rest is imported when it is needed: `--help` answers at once.

EXAMPLES = """\b
Examples:
  testbed probe-nat --nat short-lived
  testbed probe-nat --nat all
  testbed probe-nat --nat symmetric --set nat.lifetime_s=5
  testbed probe-nat --nat rfc4787 --engine simulation --json

\b
A router at home, from behind it; beyond it a server of ours:
  testbed probe-nat --serve 198.51.100.7,198.51.100.8
  testbed probe-nat --interface eth0 --server 198.51.100.7 --out home.toml
  testbed run nat_keepalive --nat home.toml
"""


@click.command("probe-nat", epilog=EXAMPLES)
@click.option("--nat", metavar="all|KIND,KIND|FILE", help="Of ours; `testbed list nats`.")
@click.option("--set", "settings", multiple=True, metavar="nat.KNOB=VALUE", help="A knob of it.")
@click.option(
    "--engine", default="emulation", metavar="ENGINE", help="emulation (default), simulation."
)
@click.option("--again", is_flag=True, help="Of several kinds probe those that are kept, too.")
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
    again: bool,
    interface: str | None,
    server: str | None,
    serve: str | None,
    port: int,
    longest_s: float,
    out: Path | None,
    as_json: bool,
) -> int:
    """Measure a NAT: mapping, filtering, ports, hairpinning, lifetimes, refresh, addresses.

    With --nat measured stands beside declared.  All kinds that are named are probed side by side,
    for 1.3 times their longest lifetime; each is kept for its rules and this kernel.  With --out,
    or a router at home, nothing is believed: it takes 2.5 times the lifetime, and what is found can
    be played by --nat FILE.
    """
    from testbed.commands.probe_field import probe_field, serve_field
    from testbed.commands.probe_kinds import chosen_kinds, probe_kinds
    from testbed.engines import ENGINES
    from testbed.settings import parse_settings

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
    kinds = chosen_kinds(ways[0], parse_settings(settings))
    if out is None:
        return probe_kinds(kinds, engine, again or len(kinds) == 1, as_json)
    if len(kinds) > 1:
        raise BadInput(f"--out {out}: a NAT file holds one kind, and --nat names {len(kinds)}")
    return _portray(kinds[0], engine, longest_s, out)


def _portray(kind: Nat, engine: str, longest_s: float, out: Path) -> int:
    """What of one of ours would be found if nobody had described it."""
    from testbed.engines import SIMULATION
    from testbed.probing.measuring import portray_ours
    from testbed.settings.nat_file import nat_text, write_nat

    def found() -> str:
        portrait = portray_ours(kind, engine, longest_s)
        return nat_text(dataclasses.replace(portrait.nat, name=out.stem), portrait.notes)

    text = found() if engine == SIMULATION else _ask_lab(lambda: {"found": found()})["found"]
    write_nat(out, text)
    click.echo(text, nl=False)
    click.echo(f"written    {out}")
    return EXIT_OK


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
