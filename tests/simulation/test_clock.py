from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from testbed.engines.simulation.clock import (
    LONGEST_S,
    NothingWillHappen,
    SimulationLoop,
    run,
)


def test_the_clock_jumps_to_what_is_due_next() -> None:
    async def wait_for_days(loop: SimulationLoop) -> float:
        await asyncio.sleep(6 * 86_400)
        return loop.time()

    assert run(wait_for_days) == 6 * 86_400


def test_computing_takes_no_time() -> None:
    async def compute(loop: SimulationLoop) -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return loop.time()

    assert run(compute) == 0.0


def test_calls_of_one_moment_come_in_the_order_in_which_they_were_asked_for() -> None:
    async def ask(loop: SimulationLoop) -> list[int]:
        came: list[int] = []
        for number in range(50):
            loop.call_at(1.0, came.append, number)
        await asyncio.sleep(2)
        return came

    assert run(ask) == list(range(50))


@pytest.mark.parametrize("when", [0.1 + 0.2, 1 / 3, 1e-9, 123456.7890123, 0.3])
def test_the_clock_never_shows_less_than_the_deadline_it_calls_at(when: float) -> None:
    async def ask(loop: SimulationLoop) -> float:
        shown: asyncio.Future[float] = loop.create_future()
        loop.call_at(when, lambda: shown.set_result(loop.time()))
        return await shown

    assert when <= run(ask) <= when + 2e-6


def test_a_cancelled_call_does_not_come_and_takes_no_time() -> None:
    async def cancel(loop: SimulationLoop) -> float:
        loop.call_at(5.0, pytest.fail).cancel()
        await asyncio.sleep(1)
        return loop.time()

    assert run(cancel) == 1.0


def test_timeouts_work() -> None:
    async def wait(loop: SimulationLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7):
                await asyncio.Event().wait()
        return loop.time()

    assert run(wait) == 7.0


def test_a_deadlock_is_told_with_the_names_of_those_that_wait() -> None:
    async def lock(loop: SimulationLoop) -> None:
        loop.create_task(asyncio.Event().wait(), name="hnb: waits for Godot")
        await asyncio.Event().wait()

    with pytest.raises(NothingWillHappen, match=r"nothing will ever happen.*hnb: waits for Godot"):
        run(lock)


def test_a_deadlock_may_be_ended_by_whoever_is_told() -> None:
    async def lock(loop: SimulationLoop) -> str:
        told: asyncio.Future[str] = loop.create_future()
        loop.on_deadlock = lambda error: told.set_result(str(error))
        return await told

    assert run(lock).startswith("nothing will ever happen")


def test_what_is_due_in_many_years_is_a_deadlock_too() -> None:
    async def wait(loop: SimulationLoop) -> None:
        await asyncio.sleep(100 * LONGEST_S)

    with pytest.raises(NothingWillHappen, match="7 days"):
        run(wait)


def test_what_would_run_in_a_thread_runs_at_once() -> None:
    async def work(loop: SimulationLoop) -> int:
        return await asyncio.to_thread(lambda: 3)

    assert run(work) == 3


def test_the_exception_of_the_work_is_raised() -> None:
    async def fail(loop: SimulationLoop) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail)


def test_tasks_that_are_left_end_in_the_order_in_which_they_began() -> None:
    ended: list[int] = []

    async def left(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    async def leave(loop: SimulationLoop) -> None:
        for number in range(40):
            loop.create_task(left(number))
        await asyncio.sleep(1)

    run(leave)

    assert ended == list(range(40))


SETS = """
import asyncio
from testbed.engines.simulation.clock import run

async def nap(number, came):
    try:
        await asyncio.sleep(0.5 if number == 7 else 1)
        if number == 7:
            raise ValueError
    except asyncio.CancelledError:
        came.append(number)
        raise

async def main(loop):
    came = []
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(nap(number, came))
    except* ValueError:
        pass
    async def say(number): return number
    done, _ = await asyncio.wait([loop.create_task(say(n)) for n in range(60)])
    futures = [loop.create_future() for _ in range(9)]
    places = {future: place for place, future in enumerate(futures)}
    for future in futures:
        future.set_result(None)
    done_futures, _ = await asyncio.wait(futures)
    return came, [t.result() for t in done], [places[each] for each in done_futures]

print(run(main))
"""


def test_sets_of_tasks_have_the_same_order_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SETS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "random")
    }

    assert len(said) == 1
    assert "59" in said.pop()


def test_a_handler_of_a_signal_is_called_and_the_one_before_comes_back() -> None:
    import signal

    before = signal.getsignal(signal.SIGHUP)

    async def hear(loop: SimulationLoop) -> None:
        heard: asyncio.Future[None] = loop.create_future()
        heard_it: Callable[[], None] = lambda: heard.set_result(None)  # noqa: E731 -- its type
        loop.add_signal_handler(signal.SIGHUP, heard_it)
        os.kill(os.getpid(), signal.SIGHUP)
        await heard

    run(hear)

    assert signal.getsignal(signal.SIGHUP) == before
