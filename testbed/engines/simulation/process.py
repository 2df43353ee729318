"""A simulation in a process of its own: heard by its parent, ended by it, gone with it.

Nothing but a fork: what crashes or hangs in it takes nothing else along, and several run at a time.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from testbed.engines.interrupts import ENDING, await_readable, ended, opened
from testbed.engines.lines import Incoming, Outgoing
from testbed.errors import EXIT_FAILED, EXIT_INTERRUPTED, TestbedError

TellParent = Callable[[Mapping[str, Any]], None]
"""Sends one message, which JSON can say, to the parent."""


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How it ended.

    Attributes:
        status: what the work returned (130 when interrupted), or None if it was killed.
        signal: what killed it, or None.
    """

    status: int | None
    signal: int | None


class SimulationProcess:
    """A simulation, as its parent holds it.

    Attributes:
        pid: of the process.
    """

    def __init__(self, pid: int, messages: int) -> None:
        self.pid = pid
        self._messages = messages
        self._incoming = Incoming(messages)
        self._end: ProcessEnd | None = None
        opened(self)

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to read, or the end.

        `wait` closes it: take it out of a selector before.
        """
        return self._messages

    @property
    def finished(self) -> bool:
        """Whether the end of its messages was seen."""
        return self._incoming.finished

    def messages(self) -> list[dict[str, Any]]:
        """The messages that have come in whole; never blocks."""
        return self._incoming.receive()

    def interrupt(self) -> None:
        """Ask the work to end in order: it gets a SIGINT."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._end is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self) -> ProcessEnd:
        """Wait until it is gone."""
        if self._end is None:
            while not self.finished:
                await_readable(self._messages)
                self._incoming.receive()
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self._end = ProcessEnd(code, None) if code >= 0 else ProcessEnd(None, -code)
            ended(self)
            self.close()
        return self._end

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._messages >= 0:
            os.close(self._messages)
        self._messages = -1


def launch(work: Callable[[TellParent], int]) -> SimulationProcess:
    """Start work in a fork of this process.

    What it returns is its exit status (0 to 255); interrupted it is status 130, an error of the
    testbed its own status after the message `{"error": sentence}`, any other exception status 1
    after the message `{"crash": traceback}`.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # or the fork would write it once more
    reader, writer = os.pipe()
    # No handler of the parent may run in the fork.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    pid = os.fork()
    if pid == 0:
        status = EXIT_FAILED
        try:
            os.close(reader)
            status = _run(work, writer, blocked)
        finally:
            os._exit(status)
    os.close(writer)
    process = SimulationProcess(pid, reader)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return process


def _run(work: Callable[[TellParent], int], writer: int, blocked: set[int | signal.Signals]) -> int:
    """Do the work, in the fork; gives its exit status."""
    os.setpgid(0, 0)  # Ctrl-C of a terminal goes to the parent, which relays it
    signal.set_wakeup_fd(-1)
    outgoing = Outgoing(writer)

    def tell(message: Mapping[str, Any]) -> None:
        try:
            outgoing.send(message)
        except (BrokenPipeError, TimeoutError):
            os._exit(EXIT_FAILED)  # nobody is left to work for

    try:
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _interrupted)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        status = work(tell)
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except TestbedError as error:
        tell({"error": str(error)})
        status = error.exit_status
    except BaseException:
        tell({"crash": traceback.format_exc()})
        status = EXIT_FAILED
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.flush()
    return status


def _interrupted(number: int, frame: object) -> None:
    """Outside of the loop, which has a handler of its own, nothing is left to end in order."""
    os._exit(EXIT_INTERRUPTED)
