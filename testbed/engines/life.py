"""What every engine's node does alike while it has power: tells, runs tasks, calls back, serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from testbed.engines.calls import Call
from testbed.engines.handshakes import Handshakes
from testbed.host import Stream, StreamHandler, Timer

Tell = Callable[[str, str, Mapping[str, Any]], None]
"""Called with node, event and its fields."""
Crashed = Callable[[str, BaseException], None]
"""Called with node and error: a defect of its role."""

Below = TypeVar("Below", bound=Stream)
Above = TypeVar("Above", bound=Stream)


class Life:
    """The part of a host that knows no network.

    It has power from the start.

    Args:
        name: the node's.
        loop: the clock.
        tell: called with each event of the node.
        crashed: called when the node's role ends or answers by an exception of its own.

    Attributes:
        powered: whether it has power.
        timers: the calls that are yet to come.
    """

    def __init__(
        self, name: str, loop: asyncio.AbstractEventLoop, tell: Tell, crashed: Crashed
    ) -> None:
        self.name = name
        self.loop = loop
        self.powered = True
        self.timers: dict[Call, None] = {}
        self._tell = tell
        self._crashed = crashed
        # A dictionary, not a set: what ends together ends in the order in which it began.
        self._tasks: dict[asyncio.Task[None], None] = {}

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return self.loop.time()

    def tell(self, event: str, **fields: Any) -> None:
        """Write an event of this node into the trace."""
        self._tell(self.name, event, fields)

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call; an exception is reported as the role's crash, and the host lives on."""
        try:
            call(*arguments)
        except Exception as error:
            self._crashed(self.name, error)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the node loses power.  Its exception is the role's crash.

        Without power the task is cancelled before its first step.
        """
        task = self.loop.create_task(work, name=f"{self.name}: {name}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        if not self.powered:
            task.cancel()
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._crashed(self.name, error)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at that time of `now()`, unless cancelled or the node has lost power."""
        call = Call(self, when, callback)
        if self.powered:
            self.timers[call] = None
        else:
            call.cancel()
        return call

    def require_power(self) -> None:
        """Look whether the node has power.

        Raises:
            ConnectionAbortedError: it has none.
        """
        if not self.powered:
            raise ConnectionAbortedError(f"{self.name} has no power")

    def _end_work(self) -> None:
        """Cancel tasks and calls; tasks see it at the loop's next turn."""
        for task in list(self._tasks):
            task.cancel()
        for timer in list(self.timers):
            timer.cancel()

    async def _serve(
        self, below: Below, handler: StreamHandler, handshakes: Handshakes[Below, Above] | None
    ) -> None:
        """A stream that was accepted, from its handshake to its end.

        It is closed when its handler ends.  A handler's exception is the role's crash, but for
        `ConnectionError`, which is its peer's doing and is told.
        """
        stream = below if handshakes is None else await handshakes.shake(below)
        if stream is None:
            return
        try:
            await handler(stream)
            await stream.close()
        except ConnectionError as error:
            self.tell("STREAM_BROKEN", remote=str(below.remote), reason=str(error))
            stream.abort()
        except BaseException:
            stream.abort()
            raise
