"""The processes that do work for this one, and Ctrl-C relayed to them.

A lab of the emulation is one, a run of the simulation another; a batch may have both.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Protocol

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end what is under way."""


class Worker(Protocol):
    """A process that does work for this one."""

    def interrupt(self) -> None:
        """Ask it to end in order."""

    def kill(self) -> None:
        """End it at once."""

    def close(self) -> None:
        """Let go of it, without a word."""


def opened(worker: Worker) -> None:
    """From now on it hears of interrupts; one that came before holds for it, too."""
    _open.append(worker)
    if any(interrupts.count for interrupts in _watched):
        worker.interrupt()


def ended(worker: Worker) -> None:
    """It is no more."""
    _open.remove(worker)


def await_readable(descriptor: int) -> None:
    """Wait until it is readable; meanwhile signals are handled."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    for interrupts in _watched:
        poll.register(interrupts, select.POLLIN)
    while True:
        if descriptor in dict(poll.poll()):
            return
        for interrupts in _watched:
            interrupts.drain()


class Interrupts:
    """While open, SIGINT, SIGTERM and SIGHUP end all workers: the first in order, the next at once.

    A worker that is launched after the first is interrupted at once.
    A signal that was ignored before (`nohup`, `&` in a script) stays so.

    Python runs a handler between two of its own steps, and a signal that comes just before a
    blocking call would wait for that call's end.  So whoever blocks must also watch `fileno`, as
    `await_readable` does, and `drain` it when it is readable.

    Attributes:
        count: how many have come.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}
        self._woken = self._wake = self._wake_before = -1

    def __enter__(self) -> Interrupts:
        assert not _watched, "interrupts are relayed already"
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        _watched.append(self)
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wake_before)
        _watched.remove(self)
        self.close()

    def fileno(self) -> int:
        """A descriptor that is readable when a signal has come, for selectors."""
        return self._woken

    def drain(self) -> None:
        """Make `fileno` unreadable until the next signal."""
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def close(self) -> None:
        """Let go of the descriptors."""
        for descriptor in (self._woken, self._wake):
            os.close(descriptor)
        self._woken = self._wake = -1

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        for each in _open:
            if self.count == 1:
                each.interrupt()
            else:
                each.kill()


_open: list[Worker] = []
_watched: list[Interrupts] = []


def _let_go() -> None:
    """In a fork of the parent: hold no end of a worker, or the parent's death would not be seen."""
    for each in _open:
        each.close()
    for interrupts in _watched:
        interrupts.close()
    _open.clear()
    _watched.clear()


os.register_at_fork(after_in_child=_let_go)
