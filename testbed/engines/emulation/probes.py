"""What this machine's kernel can do, found out by doing it in namespaces of its own.

Kernels build features in, load them on first use, or forbid them to ordinary users; a list of
modules tells none of that.  So each probe really makes the thing, in a process that has fresh
namespaces and ends at once; the kernel then removes what was made.  (A module that the kernel loads
for a probe stays loaded, as after any first use.)

Run as a program, prints one JSON object: the probe's name -> None when it worked, else why not.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IPPROTO_SCTP = 132
ETH_P_ALL = 0x0003
NOBODY = 65534

SYSTEM_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
)
"""Where programs are looked for: an ordinary user's PATH lacks the folders named sbin."""

PATIENCE_S = 20
"""For a program that tries something: the kernel may have to load a module first."""
UNTRIED = "not tried"
"""How the reason of a probe begins that could not be tried."""

Outcomes = dict[str, str | None]

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _unshare(flags: int, what: str) -> None:
    _check(_libc.unshare(flags), what)


def _mount(source: bytes, target: bytes, kind: bytes, flags: int) -> None:
    _check(
        _libc.mount(source, target, kind, flags, None), f"mount {kind.decode()} {target.decode()}"
    )


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _own_user_namespace() -> None:
    """Become root of a new user namespace, as an ordinary user does for a lab."""
    user, group = os.geteuid(), os.getegid()
    _unshare(CLONE_NEWUSER, "unshare user")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {user} 1")
    _write("/proc/self/gid_map", f"0 {group} 1")


def _in_child(action: Callable[[], object]) -> str | None:
    """Why `action` failed in a forked child of this process; None when it worked."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        reason = "its process died"
        try:
            _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
            action()
            reason = ""
        except Exception as error:
            reason = _words(error)
        finally:
            os.write(writer, reason.encode())
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        reason = pipe.read().decode()
    os.waitpid(child, 0)
    return reason or None


def _words(error: Exception) -> str:
    # pyroute2's errors are (number, words), an OSError of ours only words.
    return str(error.args[-1]) if error.args else type(error).__name__


def _unprivileged_user_namespace() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        # A process that changed its user may not write /proc/self until it is dumpable again.
        _check(_libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")
    _own_user_namespace()
    _unshare(CLONE_NEWNET, "unshare net")


def _run(*command: str, text: str | None = None, within_s: float = PATIENCE_S) -> None:
    program = shutil.which(command[0], path=SYSTEM_PATH)
    if program is None:
        raise FileNotFoundError(f"{command[0]}, which tries it, is missing")
    try:
        done = subprocess.run(
            [program, *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} has not ended after {within_s:g} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or f"{command[0]} ended with {done.returncode}").splitlines()
        raise OSError(said[0].removeprefix("RTNETLINK answers: ").removeprefix("Error: "))


def _new_interface(kind: str, *options: str) -> Callable[[], None]:
    return lambda: _run("ip", "link", "add", f"try-{kind}", "type", kind, *options)


def _vlan() -> None:
    # Not on lo: the loopback bears no tags in any kernel.
    _run("ip", "link", "add", "try-trunk", "type", "veth", "peer", "name", "try-port")
    _run("ip", "link", "add", "link", "try-trunk", "name", "try-vlan", "type", "vlan", "id", "7")


def _netem() -> None:
    _run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")


def _kernel_esp() -> None:
    # RFC 4303 in tunnel mode; the keys are of the right length and mean nothing.
    _run(
        *("ip", "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2"),
        *("proto", "esp", "spi", "0x100", "mode", "tunnel"),
        *("auth", "hmac(sha256)", "0x" + "11" * 32, "enc", "cbc(aes)", "0x" + "22" * 16),
    )


def _tun() -> None:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", b"try-tun", IFF_TUN | IFF_NO_PI))
    finally:
        os.close(descriptor)


def _new_socket(family: int, kind: int, protocol: int) -> Callable[[], None]:
    return lambda: socket.socket(family, kind, protocol).close()


def _nftables() -> None:
    _run(
        *("nft", "-f", "-"),
        text="table ip try { chain out { type nat hook postrouting priority srcnat; "
        'oifname "lo" masquerade; }; }',
    )


def _conntrack() -> None:
    _run(
        *("nft", "-f", "-"),
        text="table ip try_ct { chain in { type filter hook input priority filter; "
        "ct state established accept; }; }",
    )


def _open_vswitch() -> None:
    from pyroute2.netlink import genlmsg
    from pyroute2.netlink.generic import GenericNetlinkSocket

    with contextlib.closing(GenericNetlinkSocket()) as generic:
        generic.bind("ovs_datapath", genlmsg)


PROBES: dict[str, Callable[[], None]] = {
    "veth": _new_interface("veth", "peer", "name", "try-peer"),
    "bridge": _new_interface("bridge"),
    "packet_socket": _new_socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)),
    "nftables": _nftables,
    "conntrack": _conntrack,
    "tun": _tun,
    "netem": _netem,
    "kernel_esp": _kernel_esp,
    "xfrm_interface": _new_interface("xfrm", "dev", "lo", "if_id", "7"),
    "sctp": _new_socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP),
    "vlan": _vlan,
    "open_vswitch": _open_vswitch,
}
"""Each is tried as root of a fresh network namespace."""


def _each_probe() -> Iterator[tuple[str, str | None]]:
    for name, probe in PROBES.items():
        try:
            probe()
            yield name, None
        except Exception as error:
            yield name, _words(error)


def _lab(writer: int) -> None:
    """What a lab does first, and every probe inside it; the outcomes go to `writer`."""
    if os.geteuid() != 0:
        _own_user_namespace()
    _unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS, "unshare mount, pid, net")

    def first_process() -> None:
        _mount(b"none", b"/", b"", MS_REC | MS_PRIVATE)
        _mount(b"proc", b"/proc", b"proc", 0)
        _mount(b"tmpfs", b"/tmp", b"tmpfs", 0)
        os.write(writer, json.dumps(dict(_each_probe())).encode())

    # The first process of the new pid namespace: what it started ends with it.
    reason = _in_child(first_process)
    if reason is not None:
        raise OSError(reason)


def outcomes() -> Outcomes:
    """Try everything.  Why a thing does not work, or None where it does.

    Beside the names of `PROBES`: "user_namespaces" (for an ordinary user, whoever asks) and
    "namespaces" (those of a lab, for whoever asks); without the latter no probe is tried.
    """
    found: Outcomes = {"user_namespaces": _in_child(_unprivileged_user_namespace)}
    reader, writer = os.pipe()
    found["namespaces"] = _in_child(lambda: _lab(writer))
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    inside: Outcomes = json.loads(answer) if answer else {}
    untried: Outcomes = dict.fromkeys(PROBES, f"{UNTRIED}: no namespaces")
    return found | untried | inside


if __name__ == "__main__":
    json.dump(outcomes(), sys.stdout)
