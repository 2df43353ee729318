"""The ladder itself: a scenario's lines against its stage, and what they came to."""

from __future__ import annotations

import asyncio
import functools
import signal
import threading
import traceback
from pathlib import Path
from typing import Any

from testbed.errors import NO_ROOM, MissingFeature, TestbedError, Unsupported, defect_sentence
from testbed.report.result import Outcome, save_crash
from testbed.run.plan import Plan
from testbed.run.worlds import watch_for_deadlock
from testbed.scenario import Scenario, Stage


async def play(plan: Plan, scenario: Scenario, stage: Stage, world: Any) -> Outcome:
    """The ladder itself, and what it came to."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():  # another one gets no signals
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupted.set)
    loop.set_exception_handler(functools.partial(_callback_failed, world))
    script = asyncio.ensure_future(_script(scenario, plan.variant, stage))
    stuck = watch_for_deadlock(loop)
    crash = asyncio.ensure_future(world.crashed.wait())
    stop = asyncio.ensure_future(interrupted.wait())
    try:
        await asyncio.wait([script, crash, stop, stuck], return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            return Outcome("interrupted", "interrupted")
        if not script.done() and (crash.done() or stuck.done()):
            script.cancel()
        try:
            await script
        except asyncio.CancelledError:
            pass
        except TestbedError as error:
            if not world.crashes:
                kind = "unsupported" if isinstance(error, Unsupported) else "missed"
                return Outcome(kind, str(error), record=last_step(stage))
        except Exception as error:
            return Outcome("crashed", f"the scenario itself: {_told(error, plan.folder)}")
        if stuck.done():
            return Outcome("missed", stuck.result(), record=last_step(stage))
        await world.flush()
        if world.crashes:
            node, crash_error = world.crashes[0]
            who = f"{node} ({plan.cast[node]})" if node in plan.cast else node
            return _crashed(who, crash_error, plan.folder)
        broken = stage.violated()
        if broken:
            wanted, record = broken[0]
            text = f"{wanted.step}: this must never appear and did, as record {record.number}"
            text = f"{text}\n  never      {wanted.describe()}"
            return Outcome("violated", text, record=record.number)
        return Outcome("completed")
    finally:
        for task in (script, crash, stop, stuck):
            task.cancel()


def _callback_failed(world: Any, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no role is to blame for, such as a trace that cannot be written, ends the run."""
    error = context.get("exception")
    if error is None or "handle" not in context:
        loop.default_exception_handler(context)
        return
    world.crashes.append(("", error))
    world.crashed.set()


async def _script(scenario: Scenario, variant: str, stage: Stage) -> None:
    """Power for the infrastructure; when all of it serves, the scenario's own lines."""
    starting = [
        stage.power(player.name, True)
        for player in stage.players.values()
        if not player.role.starts_off
    ]
    for started in starting:
        if started is not None:
            await asyncio.wait([started])
            if started.cancelled() or started.exception() is not None:
                return  # the role's crash is the run's end
    await scenario.find(variant).function(stage)


def last_step(stage: Stage | None) -> int | None:
    """The record of the ladder's last step that happened."""
    return stage.steps[-1][1].number if stage is not None and stage.steps else None


def _crashed(node: str, error: BaseException, folder: Path) -> Outcome:
    """What a role's exception comes to.

    Raises:
        MissingFeature: that was it: nothing of the testbed is broken.
        OSError: there is no room for the results.
    """
    if isinstance(error, MissingFeature):
        raise error
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        raise error
    who = f"role {node} crashed" if node else "the testbed itself"
    return Outcome("crashed", f"{who}: {_told(error, folder)}")


def _told(error: BaseException, folder: Path) -> str:
    """One sentence; the traceback, which is for the testbed's own people, goes to the logs."""
    if isinstance(error, TestbedError):
        return str(error)
    save_crash(folder, "".join(traceback.format_exception(error)))
    return defect_sentence(error)
