"""A host of the test's own: ground on which a lab may stand, and that shows whatever it left.

Facts about what a lab leaves behind need a host on which nobody else works.  `on_ground` makes one
in namespaces of its own, without the lab's code, and runs a test's facts there as pid 1: it sees
every process, gets every orphan, and compares everything to what was before.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from testbed.engines.emulation import nesting

NOBODY = 65534
WATCHDOG_S = 60
VARIANTS = ["root", "root_without_capabilities", "nobody"]
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_DUMPABLE = 4
MS_SHARED = 1 << 20
MS_BIND = 4096
ROOT = Path(__file__).resolve().parent.parent.parent


def call(function: str, *arguments: object) -> None:
    if getattr(LIBC, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int) -> None:
    call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None)


def become_root_of_a_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    call("unshare", nesting.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def lose_capabilities() -> None:
    """Keep CAP_SETFCAP alone, as a container's root keeps it: else root cannot be mapped."""
    kept = 1 << 31
    header = struct.pack("Ii", 0x20080522, 0)
    data = struct.pack("6I", kept, kept, 0, 0, 0, 0)
    call("capset", header, data)


def become(variant: str) -> None:
    if variant == "root_without_capabilities":
        lose_capabilities()
    elif variant == "nobody":
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        call("prctl", PR_SET_DUMPABLE, ctypes.c_ulong(1), 0, 0, 0)


def on_ground(facts: Callable[[], None], within_s: int = 120) -> None:
    """Run `facts` as pid 1 of a fresh host; its exception is this test's failure."""
    reader, writer = os.pipe()
    outer = os.fork()
    if outer == 0:
        os.close(reader)
        _reported(writer, lambda: _outer(writer, facts))
    os.close(writer)
    watch = select.poll()
    watch.register(reader, select.POLLIN)
    report = b""
    while True:
        if not watch.poll(within_s * 1000):
            os.kill(outer, signal.SIGKILL)
            report += f"the ground was still busy after {within_s} s".encode()
            break
        octets = os.read(reader, 65536)
        if not octets:
            break
        report += octets
    os.close(reader)
    os.waitpid(outer, 0)

    assert report.decode() == "as expected", report.decode()


def _reported(writer: int, body: Callable[[], None]) -> NoReturn:
    try:
        body()
    except BaseException:
        os.write(writer, traceback.format_exc().encode())
    finally:
        os._exit(0)


def _outer(writer: int, facts: Callable[[], None]) -> None:
    call("prctl", nesting.PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.geteuid() != 0:
        become_root_of_a_user_namespace()
    call(
        "unshare",
        nesting.CLONE_NEWNS | nesting.CLONE_NEWNET | nesting.CLONE_NEWPID | nesting.CLONE_NEWUTS,
    )
    inner = os.fork()
    if inner == 0:
        _reported(writer, lambda: _inner(writer, facts))
    os.waitpid(inner, 0)


def _inner(writer: int, facts: Callable[[], None]) -> None:
    call("prctl", nesting.PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    for number in (*nesting.ENDING, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    mount("none", "/", "", nesting.MS_REC | nesting.MS_PRIVATE)
    mount("none", "/", "", nesting.MS_REC | MS_SHARED)  # as systemd has it: mounts may leak up
    mount("proc", "/proc", "proc", 0)
    mount("sysfs", "/sys", "sysfs", 0)
    for place in ("/run", "/tmp", "/dev/shm"):
        _empty(Path(place))
    facts()
    os.write(writer, b"as expected")


KEPT = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
"""Who works there beside a test, another worker or a linter, writes there what it likes."""


def _empty(place: Path) -> None:
    """Make a folder empty; but a checkout that lies in it, or its Python, stays where it is."""
    kept = {each: os.open(each, os.O_PATH) for each in KEPT if each.is_relative_to(place)}
    mount("tmpfs", str(place), "tmpfs", 0)
    place.chmod(0o1777)
    for path, descriptor in kept.items():
        path.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", str(path), "", MS_BIND | nesting.MS_REC)
        os.close(descriptor)


@contextmanager
def watchdog(what: str) -> Iterator[None]:
    """Nothing here takes long: what blocks is a defect, and this says which."""

    def bark(number: int, frame: object) -> NoReturn:
        listing = subprocess.run(["ps", "-eo", "pid,ppid,stat,args"], capture_output=True).stdout
        raise AssertionError(f"{what} takes more than {WATCHDOG_S} s\n{listing.decode()}")

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(WATCHDOG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def alive() -> set[int]:
    """The processes that are not zombies."""
    return {pid for pid in processes() if "Z" not in _fields(pid)[0]}


def _fields(pid: int) -> list[str]:
    """Its state, its parent and so on; those of a zombie of nobody if it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return ["Z", "0"]


def child_of(pid: int) -> int:
    """Its only child."""
    (child,) = children_of(pid)
    return child


def children_of(pid: int) -> list[int]:
    return sorted(each for each in processes() if int(_fields(each)[1]) == pid)


def namespaces() -> set[str]:
    """All namespaces that a process is in or holds open, or that a mount holds."""
    found = set()
    for pid in processes():
        with suppress(OSError):
            for folder in (f"/proc/{pid}/ns", f"/proc/{pid}/fd"):
                for name in os.listdir(folder):
                    with suppress(OSError):
                        found.add(os.readlink(f"{folder}/{name}"))
    return {each for each in found if ":[" in each and each[:4] not in ("pipe", "sock", "anon")}


def sysctls() -> dict[str, str]:
    values = {}
    for folder, _, names in os.walk("/proc/sys/net"):
        for name in names:
            with suppress(OSError, UnicodeDecodeError):
                values[f"{folder}/{name}"] = Path(folder, name).read_text()
    return values


def files() -> set[str]:
    return {
        f"{folder}/{name}"
        for place in ("/tmp", "/run", "/var/run", "/dev/shm")
        for folder, folders, names in os.walk(place)
        if not any(Path(folder).is_relative_to(each) for each in KEPT)
        for name in (*folders, *names)
    }


@dataclass(frozen=True)
class Snapshot:
    processes: set[int]
    namespaces: set[str]
    mounts: str
    interfaces: list[str]
    host_name: str
    sysctls: Mapping[str, str]
    files: set[str]


def snapshot() -> Snapshot:
    return Snapshot(
        processes(),
        namespaces(),
        Path("/proc/self/mountinfo").read_text(),
        sorted(os.listdir("/sys/class/net")),
        os.uname().nodename,
        sysctls(),
        files(),
    )


@contextmanager
def nothing_left() -> Iterator[None]:
    """What the body starts must be gone, of itself, when the body ends."""
    before = snapshot()
    yield
    with watchdog("the end of every process"), suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    after = snapshot()

    for name in Snapshot.__dataclass_fields__:
        left, known = getattr(after, name), getattr(before, name)
        told = sorted(left ^ known) if isinstance(left, set) else left
        assert left == known, f"{name}: {told}"


def fork(variant: str, body: Callable[[], int]) -> int:
    """A process on this ground, in a process group of its own.

    Args:
        variant: what it becomes before it begins.
        body: gives its exit status; an exception is printed and gives 99.
    """
    pid = os.fork()
    if pid != 0:
        return pid
    status = 99
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        become(variant)
        status = body()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for that child's end; its exit code, or minus the signal that killed it."""
    with watchdog(f"the end of process {pid}"):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Signpost:
    """A pipe by which any process on this ground says that it has come so far."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def reached(self) -> None:
        os.write(self.writer, b".")

    def await_reached(self, times: int = 1) -> None:
        with watchdog("reaching the signpost"):
            for _ in range(times):
                os.read(self.reader, 1)

    def was_reached(self) -> bool:
        return bool(select.select([self.reader], [], [], 0)[0])
