"""Virtual time: an asyncio loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class NothingWillHappen(AssertionError):
    """Every task waits, and no timer is set: the test would hang."""


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop that never waits.

    Attributes:
        failures: exceptions of work that ran beside the test; raised at its end.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        self.failures: list[BaseException] = []
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.SelectSelector):
    """Where the loop would wait for sockets, its clock goes on."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappen("every task waits and no timer is set")
        if timeout > 0:
            self._loop.jump(timeout)
        return []


def virtual_time(
    test: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Run an async test in virtual time; what its hosts' tasks raise fails it."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = JumpingLoop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(test(*args, **kwargs))
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            asyncio.set_event_loop(None)
            loop.close()
        if loop.failures:
            raise loop.failures[0]

    return run
