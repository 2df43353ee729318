"""Why this machine refuses a lab: the setting that forbids it, and how to mend that."""

from __future__ import annotations

import os
from pathlib import Path

_USER_SETTINGS = {
    "kernel/unprivileged_userns_clone": ("0", "1"),
    "user/max_user_namespaces": ("0", "15000"),
    "kernel/apparmor_restrict_unprivileged_userns": ("1", "0"),
}
"""What keeps users out, root not: forbidding value, and the one that mends it."""

_KINDS = {"mnt": "mount", "net": "network", "pid": "process", "uts": "host name", "ipc": "IPC"}


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _covered(proc: Path) -> list[str]:
    """What something is mounted on in /proc: the kernel then allows users no fresh /proc."""
    points = [line.split()[4] for line in _read(proc / "self/mountinfo").splitlines()]
    harmless = "/proc/sys/fs/binfmt_misc"  # made to be mounted on
    return sorted({each for each in points if each.startswith("/proc/") and each != harmless})


def explain(
    step: str, number: int, as_user: bool, sudo_helps: bool, proc: Path = Path("/proc")
) -> str:
    """One sentence: what was refused, by which setting, and what to do.

    Args:
        step: what was tried.
        number: the errno that it gave.
        as_user: whether it was tried in a user namespace.
        sudo_helps: whether to offer sudo beside the remedy.
        proc: where to look for settings.
    """
    refused = f"this machine refuses a lab: {step} gives {os.strerror(number)!r}"
    sudo = ", or run it with sudo" if as_user and sudo_helps else ""
    if as_user:
        for setting, (forbids, allows) in _USER_SETTINGS.items():
            if _read(proc / "sys" / setting) == forbids:
                name = setting.replace("/", ".")
                remedy = f"allow it by `sudo sysctl -w {name}={allows}`{sudo}"
                return f"{refused}, for {name} is {forbids}; {remedy}"
    for kind, words in _KINDS.items():
        name = f"user.max_{kind}_namespaces"
        if _read(proc / "sys/user" / f"max_{kind}_namespaces") == "0":
            remedy = f"allow it by `sudo sysctl -w {name}=15000`"
            return f"{refused}, for {name} is 0 and allows no {words} namespace; {remedy}"
    if "Seccomp:\t2" in _read(proc / "self/status"):
        remedy = "start it with --privileged, or with --security-opt seccomp=unconfined"
        return f"{refused}, and a container's seccomp filter is in force; {remedy}{sudo}"
    covered = _covered(proc)
    if as_user and step == "mounting /proc" and covered:
        remedy = "start it with --privileged, or with --security-opt systempaths=unconfined"
        return f"{refused}, for the container covers {', '.join(covered[:3])}; {remedy}{sudo}"
    if as_user and not (proc / "self/ns/user").exists():
        return f"{refused}, for the kernel has no user namespaces; use another kernel{sudo}"
    return f"{refused}, and no setting that is known shows why{sudo.replace(', or', ';')}"
