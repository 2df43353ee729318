"""A third party's program in the place of a role: what all of them share.

An `ExternalProgram` has the life of a role (start, stop, a host, a node), so that a stage holds it
like one; it knows no role and no engine.  Each program is one short file: how it is configured from
the topology, what its command line is, by which line it says that it is ready, what it cannot do.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

from testbed.errors import MissingFeature, RoleCrashed, Unsupported
from testbed.external.foreign import Foreign
from testbed.host import Program, ProgramHost
from testbed.topology import Node

READY = "READY"
EXITED = "EXITED"
READY_WITHIN_S = 20.0
SYSTEM_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
)
"""Where programs are looked for: an ordinary user's PATH lacks the folders named sbin."""

APPARMOR_PROFILES = Path("/etc/apparmor.d")


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a program before it runs.

    Attributes:
        program: what `--cast ROLE=` calls it.
        package: Debian's name of the package that brings it.
        command: its executable.
        plays: roles that it can play, in the topology's words ("dns_server").
        version_arguments: with these the command tells its version.
        version_pattern: group 1 is the version.
        ready_pattern: the line by which it says that it serves; None: as soon as it runs.
        cannot: what it cannot do, and why: ids of requirements, which are then INCONCLUSIVE for
            that reason, and names of what scenarios ask of our role, which are `Unsupported`.
        tells: events that it tells, beside those that every program tells.
    """

    program: str
    package: str
    command: str
    plays: tuple[str, ...]
    version_arguments: tuple[str, ...]
    version_pattern: str
    ready_pattern: str | None = None
    cannot: Mapping[str, str] = field(default_factory=dict)
    tells: frozenset[str] = frozenset()


class ExternalProgram(Foreign):
    """One program that plays one node.

    Attributes:
        about: what is known of it.
        starts_off: whether a scenario gives it power; else it has power from the start.
        restarts: whether it is started again when it ends, which is told; else its end is a crash.

    Args:
        host: all it may ask of the world.
        node: its place in the topology: addresses, names, settings.
        log: the file for what it says.

    Raises:
        Unsupported: it cannot play this node as the topology sets it.
    """

    about: ClassVar[About]
    starts_off = False
    restarts = False

    def __init__(self, host: ProgramHost, node: Node, log: Path) -> None:
        super().__init__(node)
        self.host = host
        self.log = log
        self.process: Program | None = None
        self._ready = asyncio.Event()
        self.require(node)

    def unable(self, ability: str) -> Unsupported:
        """The error for something that a scenario asks for and this program cannot do."""
        reason = self.about.cannot.get(ability, "only the testbed's own role has that")
        return Unsupported(
            f"{self.name} is played by {self.about.program}, which has no {ability!r}: {reason}"
        )

    def must_tell(self, event: str) -> None:
        """A scenario is about to wait for that event of this node.

        Raises:
            Unsupported: this program never tells it.
        """
        if event not in self.about.tells | {READY, EXITED, "ADDRESS"}:
            raise Unsupported(
                f"{self.node.name} is played by {self.about.program}, which does not tell {event!r}"
            )

    # What each program states for itself

    def require(self, node: Node) -> None:
        """Look whether it can play the node as the topology sets it.

        Raises:
            Unsupported: it cannot; says which setting, and what would do.
        """

    def files(self, folder: Path) -> Mapping[str, str | bytes]:
        """Its configuration: by file name; `folder` is where they are going to lie."""
        return {}

    def arguments(self, folder: Path) -> Sequence[str]:
        """Its command line without the command; the files lie in `folder`."""
        return ()

    def prepare(self) -> None:
        """What the node needs beside the program; called before it starts."""

    def heard(self, line: str) -> None:
        """It has said a line."""

    # Its life

    async def start(self) -> None:
        """Power on: write the configuration, start the program; returns when it is ready.

        Raises:
            RoleCrashed: it was not ready in time.
        """
        self._ready.clear()
        folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        for name, held in self.files(folder).items():
            (folder / name).write_bytes(held.encode() if isinstance(held, str) else held)
            (folder / name).chmod(0o755)
        self.prepare()
        command = unconfined(self.executable(), folder)
        self.process = await self.host.run_program(
            [command, *self.arguments(folder)], self.log, self.environment(folder), self._line
        )
        self.host.spawn(self._watch(self.process), f"watches {self.about.program}")
        if self.about.ready_pattern is None:
            self._ready.set()
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._ready.wait()
        except TimeoutError:
            raise RoleCrashed(
                f"was not ready within {READY_WITHIN_S:g} s; {self.last_lines(self.process)}"
            ) from None
        self.host.tell(READY, program=self.about.program, version=self.version())

    def stop(self) -> None:
        """Power off: the host ends the program, once no cable is in the node any more."""
        self.process = None

    def environment(self, folder: Path) -> dict[str, str]:
        """All that it gets of an environment."""
        return {"PATH": SYSTEM_PATH, "LC_ALL": "C", "HOME": str(folder), "TMPDIR": str(folder)}

    def _line(self, line: str) -> None:
        if self.about.ready_pattern is not None and re.search(self.about.ready_pattern, line):
            self._ready.set()
        self.heard(line)

    async def _watch(self, process: Program) -> None:
        """While the node has power its program must not end."""
        status = await process.wait()
        self.host.tell(EXITED, program=self.about.program, status=status)
        if self.restarts and self.process is process and self._ready.is_set():
            await self.start()
            return
        raise RoleCrashed(f"{_end_in_words(status)}; {self.last_lines(process)}")

    def last_lines(self, process: Program) -> str:
        """The end of its log, in words."""
        if not process.last_lines:
            return f"it has said nothing ({self.log.parent.name}/{self.log.name})"
        lines = "".join(f"\n  log        {line}" for line in process.last_lines)
        return f"last log lines of {self.log.parent.name}/{self.log.name}:{lines}"

    # What there is of it on this machine

    @classmethod
    def executable(cls) -> str:
        """The path of its command.

        Raises:
            MissingFeature: it is not on this machine; names the package.
        """
        about = cls.about
        found = shutil.which(about.command, path=SYSTEM_PATH)
        if found is None:
            raise MissingFeature(
                f"the cast {about.program} needs the program {about.command}, which this machine "
                f"lacks; as root run: apt-get install --no-install-recommends {about.package}"
            )
        return found

    @classmethod
    def version(cls) -> str:
        """Its version, as it tells it.

        Raises:
            MissingFeature: it is not on this machine, or tells none.
        """
        return _version(cls.executable(), cls.about.version_arguments, cls.about.version_pattern)


def _end_in_words(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by {signal.Signals(-status).name}"


@cache
def _version(executable: str, arguments: tuple[str, ...], pattern: str) -> str:
    try:
        told = subprocess.run(
            [executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=10,
            check=False,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingFeature(f"{executable} does not tell its version: {error}") from error
    found = re.search(pattern, told)
    if found is None:
        raise MissingFeature(f"{executable} does not tell its version: {told[:80]!r}")
    return found[1]


def unconfined(executable: str, folder: Path) -> str:
    """A path at which no AppArmor profile of the distribution holds for the program.

    Debian's profiles bind named and unbound to the files of the host's daemons; they go by path, so
    a program that has one is run from a copy.
    """
    path = Path(executable).resolve()
    if not (APPARMOR_PROFILES / str(path).lstrip("/").replace("/", ".")).exists():
        return executable
    copy = folder / path.name
    shutil.copy(path, copy)
    return str(copy)
