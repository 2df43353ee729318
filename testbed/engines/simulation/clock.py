"""Virtual time: an asyncio loop whose clock jumps to the next deadline instead of waiting for it.

Computing takes no time here; only what is waited for does.  Everything that asyncio leaves to
chance is in order: calls that are due at the same moment come in the order in which they were asked
for, tasks and futures that stand in sets (`asyncio.wait`, `TaskGroup`) are hashed by their number,
and what would run in a thread runs at once.  So the same seed gives the same run, in every process.
"""

from __future__ import annotations

import asyncio
import heapq
import signal
import threading
from asyncio import base_events, events, tasks
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from testbed.errors import TestbedError

T = TypeVar("T")

MICROSECONDS = 1_000_000
LONGEST_S = 7 * 86_400.0
"""No run of ours lasts longer than a week: whatever is still waiting then waits for ever."""


class NothingWillHappen(TestbedError):
    """A deadlock: every task waits, and no call is due that could end it."""


class _Numbered:
    """Hashed by its number, so that sets of it have the same order in every process."""

    number: int

    def __hash__(self) -> int:
        return self.number


class SimulatedTask(_Numbered, asyncio.Task[Any]):
    """A task of a simulation."""


class SimulatedFuture(_Numbered, asyncio.Future[Any]):
    """A future of a simulation."""


class SimulationLoop(base_events.BaseEventLoop):
    """An event loop in virtual time.  It never waits, opens no file and starts no thread.

    Attributes:
        now_us: the clock: microseconds since the loop was made.
        on_deadlock: called with the reason when nothing will happen any more; if it sets nothing in
            motion, or is None, `NothingWillHappen` leaves `run_until_complete`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_us = 0
        self.on_deadlock: Callable[[NothingWillHappen], None] | None = None
        self._due: list[tuple[int, int, events.Handle]] = []
        self._count = 0
        self._alive: dict[SimulatedTask, None] = {}
        self._handlers: dict[int, Any] = {}
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    # Time

    def time(self) -> float:
        """Seconds of virtual time, whole microseconds of them."""
        return self.now_us / MICROSECONDS

    @property
    def is_anything_due(self) -> bool:
        """Whether any call is still to come, now or later."""
        ready: deque[events.Handle] = self._ready  # type: ignore[attr-defined]
        waiting = (*ready, *(handle for _, _, handle in self._due))
        return any(not handle._cancelled for handle in waiting)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> events.TimerHandle:
        """Call back at that time, or at the next whole microsecond after it, never before."""
        handle = events.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True  # type: ignore[attr-defined]
        self._count += 1
        heapq.heappush(self._due, (_microseconds(when), self._count, handle))
        return handle

    def call_at_us(self, when_us: int, callback: Callable[..., object], *args: Any) -> None:
        """Call back at that microsecond; cannot be cancelled."""
        self._count += 1
        heapq.heappush(self._due, (when_us, self._count, events.Handle(callback, args, self)))

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """A cancelled call is let go of when its time comes."""

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if not ready:
            self._jump()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _jump(self) -> None:
        """Go on to the next moment at which something is due."""
        ready, due = self._ready, self._due  # type: ignore[attr-defined]
        while due and due[0][2]._cancelled:
            heapq.heappop(due)
        if due and due[0][0] <= LONGEST_S * MICROSECONDS:
            self.now_us = max(self.now_us, due[0][0])
            while due and due[0][0] <= self.now_us:
                handle = heapq.heappop(due)[2]
                if isinstance(handle, events.TimerHandle):
                    handle._scheduled = False  # type: ignore[attr-defined]
                ready.append(handle)
            return
        if self._stopping:  # type: ignore[attr-defined]
            return
        deadlock = NothingWillHappen(self._waiting_sentence(bool(due)))
        if self.on_deadlock is not None:
            self.on_deadlock(deadlock)
        if not ready:
            raise deadlock

    def _waiting_sentence(self, for_too_long: bool) -> str:
        waiting = [task.get_name() for task in self._alive if not task.done()]
        if len(waiting) > 8:
            waiting = [*waiting[:8], f"and {len(waiting) - 8} more"]
        what = "nothing will ever happen"
        if for_too_long:
            what = f"nothing happens for longer than {LONGEST_S / 86400:g} days"
        return f"{what}: waiting for {', '.join(waiting) or 'nobody'}"

    # Tasks and futures

    def _make_task(
        self, _: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> SimulatedTask:
        self._count += 1
        # The number is set before the task enters asyncio's own set of all tasks.
        task = SimulatedTask.__new__(SimulatedTask)
        task.number = self._count
        SimulatedTask.__init__(task, work, loop=self, **options)
        self._alive[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._alive.pop(task, None)  # type: ignore[call-overload]

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        self._count += 1
        future = SimulatedFuture(loop=self)
        future.number = self._count
        return future

    def cancel_all(self) -> None:
        """End every task, in the order in which they began."""
        while self._alive:
            ending = list(self._alive)
            for task in ending:
                task.cancel()
            for task in ending:
                while not task.done():
                    self.run_until_complete(tasks.wait([task]))
                self._alive.pop(task, None)

    # What else asyncio asks of a loop

    def run_in_executor(  # type: ignore[override]
        self, executor: object, work: Callable[..., T], *arguments: Any
    ) -> asyncio.Future[T]:
        """Call at once: a thread's end would come at a moment that nobody can repeat."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def add_signal_handler(  # type: ignore[override]
        self, number: int, callback: Callable[..., object], *arguments: Any
    ) -> None:
        """Call back when the process gets that signal; only where the main thread runs the loop."""

        def came(_: int, __: object) -> None:
            self.call_soon(callback, *arguments)

        self._handlers.setdefault(number, signal.signal(number, came))

    def remove_signal_handler(self, number: int) -> bool:
        """Handle the signal as before."""
        if number not in self._handlers:
            return False
        signal.signal(number, self._handlers.pop(number))
        return True

    def _process_events(self, found: object) -> None:
        """There are no files here."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""

    def close(self) -> None:
        """Give the signals back, and end."""
        if threading.current_thread() is threading.main_thread():
            for number in list(self._handlers):
                self.remove_signal_handler(number)
        super().close()


def _microseconds(when: float) -> int:
    """The first whole microsecond that is not before `when`.

    A clock that showed a little less than the deadline at which it calls would be asked for the
    same deadline again, for ever.
    """
    rounded = round(when * MICROSECONDS)
    return rounded + 1 if rounded / MICROSECONDS < when else rounded


def run(work: Callable[[SimulationLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a virtual time of its own that begins at 0, until it ends.

    Args:
        work: gets the loop, gives the coroutine.

    Raises:
        NothingWillHappen: it would never end.
    """
    loop = SimulationLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work(loop))
    finally:
        try:
            loop.on_deadlock = None
            loop.cancel_all()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
