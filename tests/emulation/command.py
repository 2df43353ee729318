"""`testbed ...` as a program on a ground of the test's own, with a place for what it writes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.emulation import ground

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = Path("/srv")
"""A file system in memory on each ground; what lies there is no litter."""


def readable_by_others(path: Path) -> bool:
    """Whether an ordinary user can come as far as that."""
    return all(each.stat().st_mode & 0o005 == 0o005 for each in [path, *path.parents])


needs_nobody = pytest.mark.skipif(
    os.geteuid() != 0
    or not readable_by_others(ROOT)
    or not readable_by_others(Path(sys.executable).parent),
    reason="only root can become nobody, and nobody must be able to read the project",
)


def set_up() -> None:
    """Make the place for results."""
    ground.mount("tmpfs", str(OUT), "tmpfs", 0)
    os.chmod(OUT, 0o1777)


def exec_testbed(*words: str, program: str = "") -> NoReturn:
    """Become the program; with `program`, Python text that is done before its `main`."""
    os.chdir(OUT)
    how = (
        ["-c", f"{program}\nfrom testbed.cli import main; main()"] if program else ["-m", "testbed"]
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "100"}
    os.execve(sys.executable, [sys.executable, *how, *words], environment)


def start(*words: str, variant: str = "root", program: str = "") -> int:
    """Start it, in a process group of its own; its words go to OUT/said and OUT/errors."""

    def body() -> int:
        for descriptor, name in ((1, "said"), (2, "errors")):
            file = os.open(OUT / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(file, descriptor)
        exec_testbed(*words, program=program)

    return ground.fork(variant, body)


def said() -> str:
    return (OUT / "said").read_text() if (OUT / "said").exists() else ""


def await_word(word: str, times: int = 1) -> None:
    """Wait until it has said that so many times."""
    with ground.watchdog(f"waiting for {word!r}"):
        while said().count(word) < times:
            time.sleep(0.005)  # a file cannot be waited for


def run(*words: str, variant: str = "root", program: str = "") -> int:
    """Run it to its end; its exit status."""
    return ground.ended(start(*words, variant=variant, program=program))


def results(out: str = "out") -> list[dict[str, Any]]:
    return json.loads((OUT / out / "results.json").read_text())  # type: ignore[no-any-return]  # a list


AGAIN_S, AGAIN_TIMES = 1.0, 10


class Terminal:
    """The program behind a terminal of its own, as a person has it."""

    def __init__(self, *words: str, program: str = "") -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            try:
                exec_testbed(*words, program=program)
            finally:
                os._exit(99)
        self.text = ""
        self._position = 0

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def interrupt(self, pattern: str) -> str:
        """Press Ctrl-C until that comes; gives what stood before it.

        As with every Python that reads a line, a signal in the instant before the read begins is
        heard only when the next one comes: a person presses again, and so does this.
        """
        self.type("\x03")
        return self.expect(pattern, again="\x03")

    def expect(self, pattern: str, again: str = "") -> str:
        """Read until that comes; gives what stood before it, since the last time.

        Args:
            pattern: a regular expression.
            again: what to type whenever nothing has come for a while.
        """
        patience = [AGAIN_S] * AGAIN_TIMES if again else []
        while not (found := re.compile(pattern).search(self.text, self._position)):
            wait_s = patience.pop() if patience else ground.WATCHDOG_S
            ready, _, _ = select.select([self._descriptor], [], [], wait_s)
            if not ready and patience:
                self.type(again)
                continue
            assert ready, f"no {pattern!r} in {ground.WATCHDOG_S} s, but {self.text!r}"
            try:
                octets = os.read(self._descriptor, 65536)
            except OSError:  # EIO: nobody is behind the terminal any more
                octets = b""
            assert octets, f"it ended without {pattern!r}: {self.text!r}"
            self.text += octets.decode()
        before = self.text[self._position : found.start()]
        self._position = found.end()
        return before

    def ask(self, line: str) -> str:
        """Type a line at the prompt and give what is said before the next prompt."""
        self.type(f"{line}\n")
        return self.expect("mininet> ")

    def end(self) -> int:
        """Read to the end; the exit status."""
        while True:
            ready, _, _ = select.select([self._descriptor], [], [], ground.WATCHDOG_S)
            assert ready, f"it does not end: {self.text!r}"
            try:
                octets = os.read(self._descriptor, 65536)
            except OSError:
                octets = b""
            if not octets:
                break
            self.text += octets.decode()
        os.close(self._descriptor)
        return ground.ended(self.pid)
