"""The VM itself: qemu, its disks, its two serial lines, and the time it is given."""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import MissingFeature, TestbedError
from vm import contents

QEMU = "qemu-system-x86_64"
_PR_SET_PDEATHSIG = 1
_RESULTS_OCTETS = 1 << 30
"""The disk for results; blocks that hold nothing take no room here."""

_libc = ctypes.CDLL(None, use_errno=True)


class TimeIsUp(TestbedError):
    """The VM was given so much time, and has not ended."""


class NoResults(TestbedError):
    """The VM ended before it had written its results."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What is booted, and how.

    Attributes:
        image: the folder that holds root.img, vmlinuz and initrd.
        project: a tar: the project and the plan; a disk of the VM.
        folder: exists; console.log, progress.log and results.tar are written there.
        accelerator: of qemu: "tcg", "kvm".
        cores: that the VM has.
        memory_mb: that the VM has.
        within_s: after so many seconds it is ended.
    """

    image: Path
    project: Path
    folder: Path
    accelerator: str = "tcg"
    cores: int = 2
    memory_mb: int = 2048
    within_s: float = 600.0


def dies_with_parent() -> None:
    """In a child, before it becomes a program: have the kernel end it when its parent ends."""
    parent_before = os.getppid()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_before or parent_before == 1:
        os._exit(1)


def command(boot: Boot) -> list[str]:
    """The words that start qemu."""
    accelerator = "tcg,thread=multi" if boot.accelerator == "tcg" else boot.accelerator
    processor = "host" if boot.accelerator == "kvm" else "max"
    disks = [
        (boot.image / "root.img", "snapshot=on"),  # what the VM writes is forgotten
        (boot.project, "readonly=on"),
        (boot.folder / "results.tar", "cache=unsafe"),
    ]
    words = [contents.program(QEMU) or QEMU, "-accel", accelerator, "-cpu", processor]
    words += ["-smp", str(boot.cores), "-m", str(boot.memory_mb), "-nodefaults", "-no-reboot"]
    words += ["-display", "none", "-monitor", "none", "-device", "virtio-rng-pci"]
    words += ["-kernel", str(boot.image / "vmlinuz"), "-initrd", str(boot.image / "initrd")]
    words += ["-append", "console=ttyS0 quiet panic=-1 systemd.show_status=0"]
    for path, option in disks:
        name = str(path).replace(",", ",,")  # as qemu wants it
        words += ["-drive", f"file={name},format=raw,if=virtio,{option}"]
    console = str(boot.folder / "console.log").replace(",", ",,")
    return [*words, "-serial", f"file:{console}", "-serial", "stdio"]


def run(boot: Boot, tell: Callable[[str], None]) -> None:
    """Boot, and wait until the VM has switched itself off.

    Args:
        boot: what.
        tell: takes each line of the VM's progress as it comes.

    Raises:
        MissingFeature: qemu is not here, or does not start.
        TimeIsUp: the VM has not ended within its time; it is ended.
        NoResults: it has ended, and written none.
    """
    if contents.program(QEMU) is None:
        raise MissingFeature(
            f"{QEMU} is not here; run provision/packages.sh vm (or install what your system calls "
            "qemu for x86-64 machines)"
        )
    with (boot.folder / "results.tar").open("wb") as disk:
        disk.truncate(_RESULTS_OCTETS)
    # A tar may end within a sector; a disk may not.
    with boot.project.open("r+b") as tar:
        tar.truncate(-(-boot.project.stat().st_size // 4096) * 4096)
    errors = boot.folder / "qemu.log"
    with errors.open("wb") as complaints:
        qemu = subprocess.Popen(
            command(boot),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            preexec_fn=dies_with_parent,
        )
    try:
        lines = _follow(qemu, boot, tell)
    finally:
        qemu.kill()
        qemu.wait()
        assert qemu.stdout is not None
        qemu.stdout.close()
    if not errors.read_bytes():
        errors.unlink()
    if "written" not in lines:
        said = _last_words(errors) or _last_words(boot.folder / "console.log")
        if not lines and errors.exists():
            raise MissingFeature(f"qemu does not start here: {said}")
        raise NoResults(
            f"the VM ended without results, at {lines[-1] if lines else 'its boot'!r}; its console "
            f"({boot.folder / 'console.log'}) ends with {said!r}"
        )


def _follow(qemu: subprocess.Popen[bytes], boot: Boot, tell: Callable[[str], None]) -> list[str]:
    """The lines of the VM's progress, until it ends."""
    assert qemu.stdout is not None
    ends_at = time.monotonic() + boot.within_s
    lines: list[str] = []
    pending = b""
    with (boot.folder / "progress.log").open("w") as log, selectors.DefaultSelector() as waiting:
        waiting.register(qemu.stdout, selectors.EVENT_READ)
        while True:
            if not waiting.select(max(0.0, ends_at - time.monotonic())):
                raise TimeIsUp(
                    f"the VM has not ended within {boot.within_s:.0f} s; the last that it told was "
                    f"{lines[-1] if lines else 'nothing'!r} (see {boot.folder / 'console.log'}; "
                    "--within-s gives it longer)"
                )
            octets = os.read(qemu.stdout.fileno(), 4096)
            if not octets:
                return lines
            *whole, pending = (pending + octets).split(b"\n")
            for each in whole:
                line = each.decode(errors="replace").strip()
                lines.append(line)
                log.write(f"{line}\n")
                tell(line)


def _last_words(path: Path) -> str:
    if not path.exists():
        return ""
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
