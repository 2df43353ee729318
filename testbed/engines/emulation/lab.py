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
import os
import signal
import socket
import sys
import termios
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.engines.emulation import nesting
from testbed.engines.emulation.lab_process import (
    TERMINAL_TAKEN,
    LabEnd,
    LabProcess,
    missing,
)
from testbed.engines.interrupts import Interrupts
from testbed.engines.lines import Outgoing
from testbed.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    BadInput,
    MissingFeature,
    TestbedError,
)

__all__ = ["Interrupts", "Lab", "LabEnd", "LabProcess", "launch", "why_not"]


@dataclass(frozen=True, slots=True)
class Lab:
    """What the work inside the lab gets.

    Attributes:
        directory: the lab's own, in memory, on the path that every lab has; also its TMPDIR.
        outgoing: messages to the parent.
        standard_input: descriptor of what was the parent's standard input, or -1.
        terminal: whether that is a terminal and the parent had it in the foreground.
    """

    directory: Path
    outgoing: Outgoing
    standard_input: int = -1
    terminal: bool = False

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send one message to the parent; from any thread, and from signal handlers.

        Waits while the pipe is full, for some seconds at most.  When the parent is dead, or does
        not read for so long, nobody is left to work for, and the lab ends here and now.

        Args:
            message: what JSON can say.
        """
        try:
            self.outgoing.send(message)
        except (BrokenPipeError, TimeoutError):
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
            self.tell(TERMINAL_TAKEN)
            signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a stopped lab would keep the terminal
            os.tcsetpgrp(0, os.getpgrp())


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
        raise missing("starting a process", error.errno or errno.EAGAIN) from None
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        process.await_entry()
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
    except MissingFeature as refusal:
        return str(refusal)
    return None


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
    try:
        standard_input = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        standard_input = -1  # the parent has none
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing != 0:
        os.close(nothing)
    lab = Lab(nesting.DIRECTORY, Outgoing(messages), standard_input, terminal)
    try:
        status = work(lab)
        assert status in range(256), f"the work returns {status!r}, no exit status"
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
