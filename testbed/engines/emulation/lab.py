"""The lab: nested namespaces in which work is done, and from which nothing survives.

`launch` starts work in fresh namespaces (user where needed, mount, net, pid, uts, ipc) and gives
the parent a `LabProcess` to hear from it and to end it.  Whatever happens to any process of the
chain, the kernel takes all that the lab held: processes, interfaces, rules, mounts, files under its
/run.  How the chain is made is told in `nesting`.

The parent is synchronous: a process whose main thread launches labs, reads their messages (by
`selectors`, for several) and waits for their ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import sys
import termios
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from testbed.engines.emulation import nesting
from testbed.engines.emulation.refusal import explain
from testbed.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    BadInput,
    MissingFeature,
    TestbedError,
)

_TERMINAL_TAKEN = {"lab": "terminal taken"}


@dataclass(frozen=True, slots=True)
class Lab:
    """What the work inside the lab gets.

    Attributes:
        directory: the lab's own, in memory, on the path that every lab has; also its TMPDIR.
        messages: descriptor of the pipe to the parent; owned by the lab.
        standard_input: descriptor of what was the parent's standard input, or -1.
        terminal: whether that is a terminal and the parent had it in the foreground.
        patience_s: how long `tell` waits for a parent that lives and does not read.
    """

    directory: Path
    messages: int
    standard_input: int = -1
    terminal: bool = False
    patience_s: float = 10.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send one message to the parent; from any thread.

        Waits while the pipe is full, for `patience_s` at most.  When the parent is dead, or does
        not read for so long, nobody is left to work for, and the lab ends here and now.

        Args:
            message: what JSON can say.
        """
        octets = memoryview(json.dumps(dict(message)).encode() + b"\n")
        poll = select.poll()
        poll.register(self.messages, select.POLLOUT)
        with self._lock:
            until = time.monotonic() + self.patience_s
            while octets:
                try:
                    octets = octets[os.write(self.messages, octets) :]
                    until = time.monotonic() + self.patience_s
                except BlockingIOError:
                    if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                        os._exit(EXIT_FAILED)
                except BrokenPipeError:
                    os._exit(EXIT_FAILED)

    def take_terminal(self) -> None:
        """Give the worker the parent's standard input and, if it is a terminal, its Ctrl-C.

        For a prompt inside the lab.  Until then the standard input is empty, and a read of it
        cannot stop the work.  The parent takes the terminal back when it waits for the lab's end.
        """
        if self.standard_input < 0:
            return
        os.dup2(self.standard_input, 0)
        if self.terminal:
            self.tell(_TERMINAL_TAKEN)
            signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a stopped lab would keep the terminal
            os.tcsetpgrp(0, os.getpgrp())


@dataclass(frozen=True, slots=True)
class LabEnd:
    """How a lab ended.

    Attributes:
        status: what the work returned (130 when interrupted), or None if it was killed.
        signal: what killed the work or a process that holds the lab, or None.
    """

    status: int | None
    signal: int | None


def _await(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()


class LabProcess:
    """A lab, as its parent holds it.  Leaving it as a context kills it if it still runs.

    Attributes:
        pid: the lab's process below the parent.
        name: for messages; the lab's host name.
        finished: whether the end of its messages was seen.
    """

    def __init__(
        self, pid: int, name: str, control: socket.socket, messages: int, terminal: list[Any] | None
    ) -> None:
        self.pid = pid
        self.name = name
        self.finished = False
        self._control = control
        self._messages = messages
        self._porter = os.pidfd_open(pid)
        self._first = -1
        self._end: LabEnd | None = None
        self._report: dict[str, Any] = {}
        self._partial = b""
        self._ready: list[dict[str, Any]] = []
        self._terminal = terminal
        self._terminal_taken = False
        os.set_blocking(messages, False)
        _open_labs.append(self)

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

    def messages(self) -> list[dict[str, Any]]:
        """The messages that have come in whole; never blocks."""
        self._read()
        ready, self._ready = self._ready, []
        return ready

    def _read(self) -> None:
        while not self.finished:
            try:
                octets = os.read(self._messages, 1 << 16)
            except BlockingIOError:
                return
            self.finished = not octets  # a killed lab may leave half a line: it is no message
            *lines, self._partial = (self._partial + octets).split(b"\n")
            for message in map(json.loads, lines):
                if message == _TERMINAL_TAKEN:
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
            _await(self._messages)
            self._read()
        while self._hear():
            pass
        os.waitpid(self.pid, 0)
        if self._first >= 0:
            # The porter may have been killed before the lab was gone; pid 1 ends after all others.
            _await(self._first)
        status, number = self._report.get("status"), self._report.get("signal")
        if status is None and number is None:
            number = signal.SIGKILL  # only that ends pid 1 or the porter
        self._end = LabEnd(status, number)
        self._close()
        _open_labs.remove(self)
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
        if octets:
            self._report |= json.loads(octets)
        return bool(octets)

    def _await_entry(self) -> None:
        while self._hear() and "entered" not in self._report:
            pass
        assert "broken" not in self._report, self._report["broken"]
        if "refused" in self._report:
            raise _missing(self._report["refused"], self._report["errno"])

    def _take_terminal_back(self) -> None:
        if self._terminal is None or not self._terminal_taken:
            return
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with suppress(OSError, termios.error):  # the terminal is gone
            os.tcsetpgrp(0, os.getpgrp())
            termios.tcsetattr(0, termios.TCSADRAIN, self._terminal)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _close(self) -> None:
        self._control.close()
        for descriptor in (self._messages, self._porter, self._first):
            if descriptor >= 0:
                os.close(descriptor)
        self._messages = self._porter = self._first = -1


class Interrupts:
    """While open, SIGINT, SIGTERM and SIGHUP end all labs: the first in order, the next at once.

    A signal that was ignored before (`nohup`, `&` in a script) stays so.

    Attributes:
        count: how many have come.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in nesting.ENDING:
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

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        for lab in _open_labs:
            if self.count == 1:
                lab.interrupt()
            else:
                lab.kill()


_open_labs: list[LabProcess] = []


def _let_go() -> None:
    """In a fork of the parent: hold no end of any lab, or the parent's death would not be seen."""
    for lab in _open_labs:
        lab._close()
    _open_labs.clear()


os.register_at_fork(after_in_child=_let_go)


def launch(work: Callable[[Lab], int], name: str, keep: Sequence[Path] = ()) -> LabProcess:
    """Start work in a lab of its own; returns when the lab is entered and the work begins.

    The work runs in a fork of this process.  What it returns is its exit status (0 to 255);
    KeyboardInterrupt is status 130, an error of the testbed its own status after the message
    `{"error": sentence}`, any other exception status 1 after the message `{"crash": traceback}`.
    It may set its own handlers of SIGINT, SIGTERM and SIGHUP, which otherwise raise
    KeyboardInterrupt.

    Call it from the main thread: the lab dies with the thread that launched it.

    Args:
        work: what to do inside.
        name: the lab's host name.
        keep: paths that the work needs from outside, such as the folder of results.

    Raises:
        BadInput: a path to keep lies under /run, where the lab has its own.
        MissingFeature: this machine refuses the namespaces; says why, and what to do.
    """
    assert threading.current_thread() is threading.main_thread(), "a lab dies with its thread"
    for path in keep:
        for covered in ("/run", "/dev/shm", "/proc", "/sys"):
            if path.resolve().is_relative_to(covered):
                raise BadInput(
                    f"{path} lies under {covered}, which a lab covers with its own; "
                    f"choose a folder elsewhere"
                )
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # or the fork would write it once more
    # No handler of the parent may run in the fork, nor here before the fork has its holder.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        process = _fork(work, name)
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        raise _missing("starting a process", error.errno or errno.EAGAIN) from None
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        process._await_entry()
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def why_not() -> str | None:
    """Why this machine refuses a lab, and what to do; None if it grants one.  Tries it."""
    try:
        with launch(lambda lab: 0, "doctor") as probe:
            probe.wait()
    except MissingFeature as missing:
        return str(missing)
    return None


def _missing(step: str, number: int) -> MissingFeature:
    sudo_helps = os.geteuid() != 0
    return MissingFeature(explain(step, number, nesting.needs_user_namespace(), sudo_helps))


def _fork(work: Callable[[Lab], int], name: str) -> LabProcess:
    settings = _terminal_settings()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # All processes that hold the lab keep the writer: its end is the end of them all.
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        os.close(reader)
        raise
    else:
        if pid == 0:
            ours.close()
            os.close(reader)
            nesting.descend(theirs, name, lambda: _run(work, writer, settings is not None))
        return LabProcess(pid, name, ours, reader, settings)
    finally:
        theirs.close()
        os.close(writer)


def _terminal_settings() -> list[Any] | None:
    """The settings of the terminal that is ours in the foreground, if there is one."""
    try:
        return termios.tcgetattr(0) if os.tcgetpgrp(0) == os.getpgrp() else None
    except (OSError, termios.error):
        return None


def _run(work: Callable[[Lab], int], messages: int, terminal: bool) -> int:
    """Do the work, in the worker; gives its exit status."""
    os.set_blocking(messages, False)
    try:
        standard_input = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        standard_input = -1  # the parent has none
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    lab = Lab(nesting.DIRECTORY, messages, standard_input, terminal)
    try:
        status = work(lab)
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except TestbedError as error:
        lab.tell({"error": str(error)})
        status = error.exit_status
    except BaseException:
        lab.tell({"crash": traceback.format_exc()})
        status = EXIT_FAILED
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.flush()
    return status
