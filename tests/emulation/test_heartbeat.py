from __future__ import annotations

import asyncio

import pytest

from testbed.engines.emulation.heartbeat import PERIOD_S, Heartbeat
from tests.virtual_time import JumpingLoop, virtual_time


@virtual_time
async def test_who_takes_the_loops_time_makes_the_beat_late() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    told: list[float] = []
    beat = Heartbeat(told.append)
    loop.call_later(2.5 * PERIOD_S, loop.jump, 0.4)
    await asyncio.sleep(2)
    beat.stop()

    assert told == [pytest.approx(0.4 - PERIOD_S / 2)]


@virtual_time
async def test_a_loop_that_nobody_holds_up_is_never_late() -> None:
    told: list[float] = []
    beat = Heartbeat(told.append)
    await asyncio.sleep(2)
    beat.stop()
    await asyncio.sleep(2)

    assert told == []
