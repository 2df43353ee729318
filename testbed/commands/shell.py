"""`testbed shell`: a topology with its roles up, and Mininet's prompt in it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterable
from typing import Any

import click

from testbed.commands.own_folders import with_option
from testbed.engines.emulation.lab import Interrupts, Lab, launch
from testbed.errors import EXIT_FAILED, EXIT_OK
from testbed.registry import find_topology
from testbed.roles import make_role
from testbed.run import Plan, perform
from testbed.scenario import Scenario, Stage
from testbed.settings import build_topology, parse_settings
from testbed.topology import Topology, places, static_addresses
from testbed.trace.ladder import LadderPrinter
from testbed.trace.trace import Trace

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
@click.option("--seed", default="0", metavar="N", help="Of all randomness.")
@click.option("--ladder", is_flag=True, help="Print the ladder while it grows.")
@with_option
def shell(
    topology: str, nat: str | None, settings: tuple[str, ...], seed: str, ladder: bool
) -> int:
    """A topology with its roles up, and Mininet's prompt in it."""
    built = build_topology(find_topology(topology), {}, parse_settings(settings), nat)
    with Interrupts():
        process = launch(lambda lab: _inside(lab, built, seed, ladder), f"shell {topology}")
        end = process.wait()
        for message in process.messages():
            if "crash" in message or "error" in message:
                click.echo(f"testbed: {message.get('crash') or message['error']}", err=True)
    return EXIT_FAILED if end.status is None else end.status


class _Background:
    """The world and its roles on an asyncio loop in a thread; the prompt keeps the main thread.

    Ctrl-C and line editing belong to the main thread; the loop's thread is started before any
    namespace is entered, and enters and leaves them by itself.
    """

    def __init__(self, topology: Topology, seed: str, ladder: bool) -> None:
        self.topology = topology
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.stage: Stage
        self.world: Any
        self.ask(self._build(seed, ladder))

    def ask(self, work: Any) -> Any:
        """Run a coroutine on the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _build(self, seed: str, ladder: bool) -> None:
        from testbed.engines.emulation.world import EmulationWorld

        trace = Trace()
        trace.set_nodes(places(self.topology), static_addresses(self.topology))
        if ladder:
            printer = LadderPrinter(trace, list(self.topology.nodes), is_terminal=False)
            trace.listeners.append(lambda record: _echo(printer.record(record)))
        self.world = EmulationWorld(self.topology, trace, seed)
        roles = {
            name: make_role(node, self.world.hosts[name])
            for name, node in self.topology.nodes.items()
        }
        self.stage = Stage(self.world, self.topology, trace, roles)
        for player in self.stage.players.values():
            if not player.role.starts_off:
                player.power_on()

    async def _stop(self) -> None:
        self.world.stop()

    def stop(self) -> None:
        """Take everything down."""
        self.ask(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def _echo(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


async def call_player(stage: Stage, node: str, method: str) -> str:
    """Call a node's method without arguments (`power_on`); gives what there is to say."""
    answer = getattr(stage.players[node], method)()
    if asyncio.iscoroutine(answer):
        answer = await answer
    return "" if answer is None else str(answer)


def _inside(lab: Lab, topology: Topology, seed: str, ladder: bool) -> int:
    from testbed.engines.emulation.shell import Shell

    lab.take_terminal()
    background = _Background(topology, seed, ladder)
    try:
        Shell(
            background.world.network,
            roles=background.stage.players,
            call=lambda node, method: background.ask(call_player(background.stage, node, method)),
        )
        crashes = background.world.crashes
        for node, error in crashes:
            sys.stderr.write(f"testbed: role {node} crashed: {error!r}\n")
        return EXIT_FAILED if crashes else EXIT_OK
    finally:
        background.stop()


def perform_with_shell(plan: Plan, scenario: Scenario, lab: Lab) -> int:
    """Like `perform`; a run that fails gives Mininet's prompt in its world before that is gone."""

    def on_fail(world: Any, stage: Stage, loop: asyncio.AbstractEventLoop) -> None:
        from testbed.engines.emulation.shell import Shell

        lab.take_terminal()
        click.echo(f"{plan.title} failed; its world is still up. `exit` ends it.")
        Shell(
            world.network,
            roles=stage.players,
            call=lambda node, method: asyncio.run_coroutine_threadsafe(
                call_player(stage, node, method), loop
            ).result(),
        )

    return perform(plan, scenario, lab.tell, on_fail)
