"""Third parties' programs in a node's namespace: started, heard, and ended as by a pulled plug.

A program leads a session and process group of its own, so that whatever it starts ends with it.
Should the testbed itself be killed, the lab's pid namespace takes it (`nesting`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.engines.emulation.namespace import Namespace
from testbed.host import Program

LAST_LINES = 8
_LONGEST_LINE_OCTETS = 16384


class RunningProgram:
    """One program from its start to its end.  Fits `testbed.host.Program`.

    Make it inside the loop that is to hear it.  Its end is seen by a descriptor of the process, so
    no signal handler and no thread is needed, and no other child's status is taken.

    Args:
        namespace: where its sockets are born.
        command_line: path and arguments.
        log: what it says is added there.
        environment: all of it.
        heard: called with each line that it says; None: nobody listens.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        namespace: Namespace,
        command_line: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        heard: Callable[[str], None] | None,
    ) -> None:
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._begun = b""
        self._ended: asyncio.Future[int] = self._loop.create_future()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("ab", buffering=0)
        self._output, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(writer, True)
        try:
            with namespace:
                self._process = subprocess.Popen(
                    list(command_line),
                    stdin=subprocess.DEVNULL,
                    stdout=writer,
                    stderr=writer,
                    env=dict(environment),
                    cwd="/",
                    start_new_session=True,
                )
        except OSError:
            os.close(self._output)
            self._log.close()
            raise
        finally:
            os.close(writer)
        self.pid = self._process.pid
        self._life = os.pidfd_open(self.pid)
        self._loop.add_reader(self._output, self.hear)
        self._loop.add_reader(self._life, self._end)

    async def wait(self) -> int:
        """Its exit status, when it has ended; below 0: the signal that killed it."""
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """End it and all that it started, now and without a word.

        Returns when its first process is gone; the others have met the same signal.
        """
        if not self._ended.done():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._end()

    def _end(self) -> None:
        """Its first process is dead, or about to be: reap it, and let nothing of it survive."""
        os.waitid(os.P_PIDFD, self._life, os.WEXITED | os.WNOWAIT)
        # Until it is reaped, its number names its group and no other.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self._process.wait()
        self._loop.remove_reader(self._life)
        self.hear()
        if self._begun:
            self._line(self._begun)
        self._loop.remove_reader(self._output)
        os.close(self._life)
        os.close(self._output)
        self._log.close()
        self._ended.set_result(status)

    def hear(self) -> None:
        """Take in what it has said by now, before the loop would come to it."""
        if self._ended.done():
            return
        with suppress(BlockingIOError):
            while octets := os.read(self._output, 65536):
                self._log.write(octets)
                *lines, self._begun = (self._begun + octets).split(b"\n")
                for line in lines:
                    self._line(line)
                if len(self._begun) > _LONGEST_LINE_OCTETS:
                    self._line(self._begun)
                    self._begun = b""
            # All writers are gone: the descriptor would be readable for ever.
            self._loop.remove_reader(self._output)

    def _line(self, octets: bytes) -> None:
        line = octets.decode(errors="replace").rstrip()
        if line:
            self.last_lines.append(line)
            if self._heard is not None:
                self._heard(line)


if TYPE_CHECKING:
    _FITS_PROGRAM: type[Program] = RunningProgram
