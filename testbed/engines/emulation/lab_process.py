"""A lab as its parent holds it: hears it, ends it, waits for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import termios
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from testbed.engines.emulation import nesting
from testbed.engines.emulation.refusal import explain
from testbed.engines.interrupts import await_readable, ended, opened
from testbed.engines.lines import Incoming
from testbed.errors import MissingFeature

TERMINAL_TAKEN = {"lab": "terminal taken"}
"""What a worker tells its parent when it takes the terminal; no message of the work."""


def missing(step: str, number: int) -> MissingFeature:
    """The error for a step into a lab that this machine refused with that errno."""
    sudo_helps = os.geteuid() != 0
    return MissingFeature(explain(step, number, nesting.needs_user_namespace(), sudo_helps))


@dataclass(frozen=True, slots=True)
class LabEnd:
    """How a lab ended.

    Attributes:
        status: what the work returned (130 when interrupted), or None if it was killed.
        signal: what killed the work or a process that holds the lab, or None.
    """

    status: int | None
    signal: int | None


class LabProcess:
    """A lab, as its parent holds it.  Leaving it as a context kills it if it still runs.

    Attributes:
        pid: the lab's process below the parent.
        name: the lab's host name.
    """

    def __init__(
        self, pid: int, name: str, control: socket.socket, messages: int, terminal: list[Any] | None
    ) -> None:
        self.pid = pid
        self.name = name
        self._control = control
        self._messages = messages
        self._incoming = Incoming(messages)
        self._porter = os.pidfd_open(pid)
        self._first = -1
        self._end: LabEnd | None = None
        self._report: dict[str, Any] = {}
        self._ready: list[dict[str, Any]] = []
        self._terminal = terminal
        self._terminal_taken = False
        opened(self)

    def __enter__(self) -> LabProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._end is None:
            self.kill()
            self.wait()

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
        self._read()
        ready, self._ready = self._ready, []
        return ready

    def _read(self) -> None:
        for message in self._incoming.receive():
            if message == TERMINAL_TAKEN:
                self._terminal_taken = True
            else:
                self._ready.append(message)

    def interrupt(self) -> None:
        """Ask the work to end in order: it gets a SIGINT."""
        with suppress(OSError):  # it has ended
            self._control.send(b"interrupt", socket.MSG_DONTWAIT)

    def kill(self) -> None:
        """End the lab at once."""
        if self._end is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._porter, signal.SIGKILL)

    def wait(self) -> LabEnd:
        """Wait until nothing of the lab is left.  `messages` then gives what it said to the end."""
        if self._end is not None:
            return self._end
        while not self.finished:
            await_readable(self._messages)
            self._read()
        while self._hear():
            pass
        os.waitpid(self.pid, 0)
        if self._first >= 0:
            # The porter may have been killed before the lab was gone; pid 1 ends after all others.
            await_readable(self._first)
        status, number = self._report.get("status"), self._report.get("signal")
        if status is None and number is None:
            number = signal.SIGKILL  # only that ends pid 1 or the porter
        self._end = LabEnd(status, number)
        self.close()
        ended(self)
        self._take_terminal_back()
        return self._end

    def _hear(self) -> bool:
        """Take the next packet of the processes that hold the lab; False at their end."""
        try:
            octets, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
        except ConnectionResetError:
            return True  # it ended with an interrupt unread; what it said before is still to come
        if descriptors:
            self._first = descriptors[0]
            os.set_inheritable(self._first, False)
        if octets:
            self._report |= json.loads(octets)
        return bool(octets)

    def await_entry(self) -> None:
        """Wait until the lab is entered.

        Raises:
            MissingFeature: this machine refuses it.
        """
        while self._hear() and "entered" not in self._report:
            pass
        assert "broken" not in self._report, self._report["broken"]
        if "refused" in self._report:
            raise missing(self._report["refused"], self._report["errno"])

    def _take_terminal_back(self) -> None:
        if self._terminal is None or not self._terminal_taken:
            return
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with suppress(OSError, termios.error):  # the terminal is gone
            os.tcsetpgrp(0, os.getpgrp())
            termios.tcsetattr(0, termios.TCSADRAIN, self._terminal)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def close(self) -> None:
        """Let go of the descriptors: the lab ends."""
        self._control.close()
        for descriptor in (self._messages, self._porter, self._first):
            if descriptor >= 0:
                os.close(descriptor)
        self._messages = self._porter = self._first = -1
