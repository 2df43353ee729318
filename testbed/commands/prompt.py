"""What `testbed shell` and `--shell-on-fail` do in the lab: the prompt beside the roles' loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Iterable
from typing import Any

import click

from testbed.engines.emulation.carriage import Wanted
from testbed.engines.emulation.lab import Lab
from testbed.engines.emulation.shell import Shell
from testbed.engines.emulation.world import EmulationWorld
from testbed.errors import EXIT_FAILED, EXIT_OK, TestbedError, defect_sentence
from testbed.roles import make_role
from testbed.run import Plan
from testbed.run.perform import LADDER_PERIOD_S, perform
from testbed.scenario import Scenario, Stage
from testbed.topology import Topology, places, static_addresses
from testbed.trace.ladder import LadderPrinter
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace

CONNECTED_WITHIN_S = 3.0
"""How long the prompt waits for what a box says of its connection after it was given power."""


class _Background:
    """The world and its roles on an asyncio loop in a thread; the prompt keeps the main thread.

    Ctrl-C and line editing belong to the main thread; the loop's thread is started before any
    namespace is entered, and enters and leaves them by itself.
    """

    def __init__(self, topology: Topology, seed: str, ladder: bool, wanted: Wanted) -> None:
        self.topology = topology
        self._wanted = wanted
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.stage: Stage
        self.world: Any
        self._tasks: list[asyncio.Task[None]] = []
        self.ask(self._build(seed, ladder))

    def ask(self, work: Any) -> Any:
        """Run a coroutine on the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _build(self, seed: str, ladder: bool) -> None:
        trace = Trace(arrivals=True)
        trace.set_nodes(places(self.topology), static_addresses(self.topology))
        trace.set_roles({name: node.role for name, node in self.topology.nodes.items()})
        if ladder:
            printer = LadderPrinter(trace, list(self.topology.nodes), is_terminal=False)
            trace.listeners.append(lambda record: _echo(printer.record(record)))
            self._tasks.append(self.loop.create_task(_tell_time(printer)))
        self.world = EmulationWorld(
            self.topology, trace, seed, captured=ladder, wanted=self._wanted
        )
        self._tasks.append(self.loop.create_task(self._tell_crashes()))
        roles = {
            name: make_role(node, self.world.hosts[name])
            for name, node in self.topology.nodes.items()
        }
        self.stage = Stage(self.world, self.topology, trace, roles)
        for player in self.stage.players.values():
            if not player.role.starts_off:
                player.power_on()

    async def _tell_crashes(self) -> None:
        """A role that crashes is told when it happens; the prompt lives on."""
        while True:
            await self.world.crashed.wait()
            self.world.crashed.clear()
            node, error = self.world.crashes[-1]
            told = str(error) if isinstance(error, TestbedError) else defect_sentence(error)
            click.echo(f"testbed: role {node} crashed: {told}", err=True)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.world.finish()

    def stop(self) -> None:
        """Take everything down."""
        self.ask(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def _echo(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


async def _tell_time(printer: LadderPrinter) -> None:
    while True:
        await asyncio.sleep(LADDER_PERIOD_S)
        _echo(printer.passed(time.time_ns()))


async def call_player(stage: Stage, node: str, method: str) -> str:
    """Call a node's method without arguments (`power_on`); gives what there is to say.

    After `power_on` of a box that gets connected by itself, that is what came of it.
    """
    player = stage.players[node]
    if method == "power_on" and player.role.starts_off:
        return await _connected(stage, node)
    answer = getattr(player, method)()
    if asyncio.iscoroutine(answer):
        answer = await answer
    return "" if answer is None else str(answer)


async def _connected(stage: Stage, node: str) -> str:
    told = asyncio.get_running_loop().create_future()
    since_ns = time.time_ns()  # what was told before may still be on its way into the trace

    def listen(record: Record) -> None:
        ours = record.sender == node and record.time_ns >= since_ns
        ours = ours and isinstance(record.message, Event)
        if ours and record.message.name in ("CONNECTED", "FAILED") and not told.done():
            told.set_result(record.message.summary())

    stage.trace.listeners.append(listen)
    try:
        stage.power(node, True)
        async with asyncio.timeout(CONNECTED_WITHIN_S):
            return f"{node}: {await told}"
    except TimeoutError:
        return f"{node} has power, and no connection after {CONNECTED_WITHIN_S:g} s"
    finally:
        stage.trace.listeners.remove(listen)


def inside(lab: Lab, topology: Topology, seed: str, ladder: bool, wanted: Wanted) -> int:
    """The prompt on a topology with its roles up; gives the exit status."""
    lab.take_terminal()
    background = _Background(topology, seed, ladder, wanted)
    try:
        Shell(
            background.world.network,
            roles=background.stage.players,
            call=lambda node, method: background.ask(call_player(background.stage, node, method)),
        )
        return EXIT_FAILED if background.world.crashes else EXIT_OK
    finally:
        background.stop()


def perform_with_prompt(plan: Plan, scenario: Scenario, lab: Lab) -> int:
    """Like `perform`; a run that fails gives Mininet's prompt in its world before that is gone.

    The prompt needs the main thread, for the terminal's signals; so the run has another.
    """
    wanted: queue.SimpleQueue[_Prompt | None] = queue.SimpleQueue()
    statuses: list[int] = []

    def on_fail(world: Any, stage: Stage, loop: asyncio.AbstractEventLoop) -> None:
        prompt = _Prompt(world, stage, loop)
        wanted.put(prompt)
        prompt.ended.wait()

    def work() -> None:
        try:
            statuses.append(perform(plan, scenario, lab.tell, on_fail))
        except Exception as error:
            lab.tell({"crash": defect_sentence(error)})
        finally:
            wanted.put(None)

    thread = threading.Thread(target=work, name="plays the scenario", daemon=True)
    thread.start()
    prompt = wanted.get()  # Ctrl-C ends this wait, and the lab with it
    if prompt is not None:
        lab.take_terminal()
        click.echo(f"{plan.title} failed; its world is still up. `exit` ends it.")
        Shell(prompt.world.network, roles=prompt.stage.players, call=prompt.call)
        prompt.ended.set()
    thread.join()
    return statuses[0] if statuses else EXIT_FAILED


class _Prompt:
    """A world that failed and waits for its prompt's end."""

    def __init__(self, world: Any, stage: Stage, loop: asyncio.AbstractEventLoop) -> None:
        self.world = world
        self.stage = stage
        self.loop = loop
        self.ended = threading.Event()

    def call(self, node: str, method: str) -> str:
        """What a node's method says, called in the loop of the run."""
        work = call_player(self.stage, node, method)
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()
