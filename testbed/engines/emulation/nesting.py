"""Going down into a lab: the processes that hold it, its namespaces, its mounts.

    parent ── porter ── first process ── worker
    (host's pid namespace)  (pid 1)      (pid 2)

The *parent* is whoever launched.  The *porter* enters the namespaces and waits; it exists because
a process does not move into a new pid namespace, only its children are born there.  The *first
process* watches the parent, relays its interrupts and reaps orphans.  The *worker* does the work.

How the chain holds to the top: when pid 1 dies, the kernel kills all in its pid namespace, whatever
they ignore.  The first process gets SIGKILL when the porter dies, the porter when the parent dies.
That signal is lost if the parent dies before it is asked for; so each, having asked, looks whether
the other end of a socket or pipe that only its ancestor holds is already closed.  (The kernel
closes a dying process's files before it signals its children, so one of the two is always seen.)
Besides, the first process does nothing but poll both ends, and sees their closing however busy the
worker is.

Why the worker is not pid 1: orphans of the whole lab become children of pid 1, which cannot tell
them from its own.  A worker that reaped them would steal the statuses that `subprocess` and asyncio
wait for; a first process that starts nothing but the worker has no such children.  And the worker's
signals keep their usual meaning, which pid 1 does not have.

Only Linux calls are made here; what the work is, is not known.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from testbed.engines.interrupts import ENDING
from testbed.errors import EXIT_INTERRUPTED

DIRECTORY = Path("/run/lab")
"""Where each lab has its files; every lab has a /run of its own."""

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN = 12, 13, 21

_libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """A step into the lab that the kernel refused; its cause is the OSError."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(step, error)
        self.step = step
        self.error = error


@contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(name, error) from error


def _call(function: str, *arguments: int | bytes | None) -> None:
    wide = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    if getattr(_libc, function)(*wide) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    texts = [os.fsencode(each) for each in (source, target, kind)]
    _call("mount", *texts, flags, data.encode() or None)


def needs_user_namespace() -> bool:
    """Whether this process may make namespaces only inside a user namespace of its own."""
    needed = 1 << CAP_SYS_ADMIN | 1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return os.geteuid() != 0 or held & needed != needed
    return True


def _die_with_parent() -> None:
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _hung_up(descriptor: int) -> bool:
    """Whether nobody holds the other end any more."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))


def _die_with(descriptor: int) -> None:
    """Die when the parent process dies, and now if it is dead: nobody else holds the other end."""
    _die_with_parent()
    if _hung_up(descriptor):
        os._exit(1)


def enter_namespaces() -> None:
    """Leave the host's namespaces; children will be born in a new pid namespace.

    Raises:
        Refused: the kernel does not let this user do it.
    """
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    user, group = os.geteuid(), os.getegid()
    if not needs_user_namespace():
        with _step("new namespaces"):
            _call("unshare", flags)
        return
    with _step("new namespaces inside a user namespace"):
        _call("unshare", flags | CLONE_NEWUSER)
    with _step("mapping the user into its namespace"):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def furnish(name: str) -> None:
    """Give the namespaces their own /proc, /run, /dev/shm, /sys, host name and loopback.

    Raises:
        Refused: the kernel does not let this user do it.
    """
    plain = MS_NOSUID | MS_NODEV
    with _step("making the mounts private"):
        _mount("none", "/", "", MS_REC | MS_PRIVATE)
    with _step("mounting /proc"):
        _mount("proc", "/proc", "proc", plain | MS_NOEXEC)
    with _step("making the host's sysctls read-only"):
        # Root's lab could write them; those of the network are the lab's own and stay writable.
        _mount("/proc/sys", "/proc/sys", "", MS_BIND)
        _mount("/proc/sys/net", "/proc/sys/net", "", MS_BIND)
        remount = MS_REMOUNT | MS_BIND | MS_RDONLY | plain | MS_NOEXEC
        _mount("/proc/sys", "/proc/sys", "", remount)
    with _step("mounting /run"):
        _mount("tmpfs", "/run", "tmpfs", plain, "mode=755")
        DIRECTORY.mkdir(mode=0o755)
    if Path("/dev/shm").is_dir():
        with _step("mounting /dev/shm"):
            _mount("tmpfs", "/dev/shm", "tmpfs", plain, "mode=1777")
    # Only old bridge tools read /sys; containers that cover parts of it are refused a new one.
    with suppress(PermissionError):
        _mount("sysfs", "/sys", "sysfs", plain | MS_NOEXEC)
    with _step("setting the host name"):
        socket.sethostname(name[:64])
    with _step("setting lo up"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16xh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[0]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def _tell(control: socket.socket, **fields: Any) -> None:
    with suppress(OSError):  # a parent that is dead needs no news
        control.send(json.dumps(fields).encode())


def _forget_handlers(*ignored: signal.Signals) -> None:
    """Drop the parent's handlers (its Python code must not run here) and ignore some signals."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


def _contained(control: socket.socket, body: Callable[[], NoReturn]) -> NoReturn:
    """Run `body`; whatever it raises goes to the parent, never up the copied stack."""
    try:
        body()
    except Refused as refused:
        _tell(control, refused=refused.step, errno=refused.error.errno or errno.EIO)
    except BaseException:
        _tell(control, broken=traceback.format_exc())
    finally:
        os._exit(1)


def descend(control: socket.socket, name: str, work: Callable[[], int]) -> NoReturn:
    """Be the porter; called in a fresh fork of the parent with all signals blocked.

    Args:
        control: a SOCK_SEQPACKET socket whose other end only the parent holds.  The parent gets
            JSON packets: `{"first": pid}` with a pidfd of the first process; then `{"entered":
            true}`, or `{"refused": step, "errno": number}`, or `{"broken": traceback}`; at the end
            `{"status": number}` or `{"signal": number}`.  Each packet from the parent is one
            interrupt.
        name: the lab's host name.
        work: run in the worker; gives its exit status.
    """
    _contained(control, lambda: _porter(control, name, work))


def _porter(control: socket.socket, name: str, work: Callable[[], int]) -> NoReturn:
    # Away from the terminal's process group: Ctrl-C is the parent's, who relays it in order.
    os.setpgid(0, 0)
    _forget_handlers(*ENDING, signal.SIGQUIT)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _die_with(control.fileno())
    enter_namespaces()
    _die_with(control.fileno())  # changed credentials may have cleared the wish
    porter_lives, my_life = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(my_life)
        _contained(control, lambda: _first_process(control, porter_lives, name, work))
    os.close(porter_lives)
    descriptor = os.pidfd_open(first)
    with suppress(OSError):
        socket.send_fds(control, [json.dumps({"first": first}).encode()], [descriptor])
    os.close(descriptor)
    control.close()
    # Only now may it begin: whatever lives in the lab, the parent can watch its end.
    with suppress(OSError):
        os.write(my_life, b"begin")
    os.waitpid(first, 0)
    os._exit(0)


def _first_process(
    control: socket.socket, porter_lives: int, name: str, work: Callable[[], int]
) -> NoReturn:
    begun = os.read(porter_lives, 5)
    _die_with(porter_lives)
    if not begun:
        os._exit(1)
    for number in (*ENDING, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)  # which pid 1 ignores, and its children do not
    furnish(name)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    worker = os.fork()
    if worker == 0:
        for descriptor in (porter_lives, woken, wake):
            os.close(descriptor)
        _forget_handlers()
        control.close()
        os._exit(_worker(work))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _tell(control, entered=True)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(porter_lives, 0)  # its hanging up is reported without being asked for
    poll.register(woken, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == woken:
                os.read(woken, 4096)
                _reap(control, worker)
            elif descriptor == porter_lives or not control.recv(64):
                os._exit(1)  # an ancestor died, and with pid 1 the lab dies
            else:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGINT)


def _reap(control: socket.socket, worker: int) -> None:
    """Take the statuses of all dead children; with the worker's, end the lab."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            _tell(control, **({"status": code} if code >= 0 else {"signal": -code}))
            os._exit(0)


def _worker(work: Callable[[], int]) -> int:
    """Be the worker: an ordinary process, whose signals to end raise KeyboardInterrupt."""
    os.setpgid(0, 0)
    os.environ["TMPDIR"] = str(DIRECTORY)
    tempfile.tempdir = None  # the parent may have looked it up already
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it may write to the terminal as it is
    for number in ENDING:
        signal.signal(number, signal.default_int_handler)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        status = work()
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    return status
