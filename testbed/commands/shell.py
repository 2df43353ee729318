"""`testbed shell`: a topology with its roles up, and Mininet's prompt in it."""

from __future__ import annotations

import time

import click

from testbed.commands.own_folders import with_option
from testbed.commands.seed import some_seed
from testbed.errors import EXIT_FAILED

# The rest is imported when it is needed: `--help` answers at once.

EXAMPLES = """\b
Examples:
  testbed shell home_on_internet
  testbed shell home_behind_nat --set homes=2
At the prompt: net, dump, pingall, link hnb gateway down, hnb ifconfig, hnb ping -c1 outer_dns,
iperf, hnb power_on, hnb power_off, exit.
"""


@click.command(epilog=EXAMPLES)
@click.argument("topology", metavar="TOPOLOGY")
@click.option("--nat", metavar="KIND", help="What every translating gateway does.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the topology."
)
@click.option("--seed", callback=some_seed, default="0", metavar="N", help="Of all randomness.")
@click.option("--ladder", is_flag=True, help="Print the ladder while it grows.")
@with_option
def shell(
    topology: str, nat: str | None, settings: tuple[str, ...], seed: str, ladder: bool
) -> int:
    """A topology with its roles up, and Mininet's prompt in it."""
    from testbed.commands.prompt import inside
    from testbed.engines import EMULATION
    from testbed.engines.emulation.lab import Interrupts, launch
    from testbed.registry import find_topology
    from testbed.run.credentials import equip
    from testbed.run.worlds import check_settings, wanted_carrier
    from testbed.settings import build_topology, parse_settings

    given = parse_settings(settings)
    built = build_topology(find_topology(topology), {}, given, nat)
    check_settings(EMULATION, built, given)
    wanted = wanted_carrier(given)
    equip(built, seed, time.time())
    with Interrupts():
        process = launch(lambda lab: inside(lab, built, seed, ladder, wanted), f"shell {topology}")
        end = process.wait()
        for message in process.messages():
            if "crash" in message:
                defect = message["crash"].rstrip().rpartition("\n")[2]
                click.echo(f"testbed: a defect of the testbed itself: {defect}", err=True)
            elif "error" in message:
                click.echo(f"testbed: {message['error']}", err=True)
    return EXIT_FAILED if end.status is None else end.status
