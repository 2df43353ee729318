"""qemu's life, with a made-up qemu: it gets its time, and never outlives the test."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.errors import EXIT_MISSING, MissingFeature
from vm import contents
from vm.machine import QEMU, Boot, NoResults, TimeIsUp, command, run


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    project = tmp_path / "project.tar"
    project.write_bytes(b"x")
    return Boot(tmp_path, project, tmp_path, within_s=30.0)


def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / QEMU
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_progress_is_told_line_by_line(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu(tmp_path, monkeypatch, "printf 'begin a\\r\\nend '; echo 'a 0 1'; echo written")
    told: list[str] = []

    run(boot, told.append)

    assert told == ["begin a", "end a 0 1", "written"]
    assert boot.project.stat().st_size % 512 == 0


def test_a_vm_that_does_not_end_is_ended_and_told_where_it_stood(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu(tmp_path, monkeypatch, f"echo $$ >{tmp_path}/pid; echo 'begin doctor'; exec sleep 1000")
    short = Boot(boot.image, boot.project, boot.folder, within_s=3.0)

    with pytest.raises(TimeIsUp, match=r"within 3 s; .*'begin doctor'.*--within-s"):
        run(short, lambda line: None)

    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_a_vm_that_ends_early_has_its_last_words_told(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu(tmp_path, monkeypatch, f"echo 'Kernel panic' >{tmp_path}/console.log; echo 'begin venv'")

    with pytest.raises(NoResults, match=r"at 'begin venv'; .*'Kernel panic'"):
        run(boot, lambda line: None)


def test_a_qemu_that_does_not_start_is_lacking(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu(tmp_path, monkeypatch, "echo 'no such accelerator' >&2; exit 1")

    with pytest.raises(MissingFeature, match="does not start here: no such accelerator"):
        run(boot, lambda line: None)


def test_a_qemu_that_is_not_here_is_named_with_the_remedy(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "program", lambda name: None)

    with pytest.raises(MissingFeature, match=r"packages\.sh vm") as raised:
        run(boot, lambda line: None)

    assert raised.value.exit_status == EXIT_MISSING


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_qemu_ends_with_the_test(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu(tmp_path, monkeypatch, "echo $$; exec sleep 1000")
    (tmp_path / "project.tar").write_bytes(b"x")
    program = (
        "import signal, sys; from pathlib import Path; from vm.machine import Boot, run\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "run(Boot(folder, folder / 'project.tar', folder), lambda line: print(line, flush=True))\n"
    )
    test = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=contents.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert test.stdout is not None
    held = os.pidfd_open(int(test.stdout.readline()))

    test.send_signal(number)
    test.wait(timeout=30)
    ended, _, _ = select.select([held], [], [], 30)
    os.close(held)
    test.stdout.close()

    assert ended


def test_a_comma_in_a_path_is_no_option_of_qemu(tmp_path: Path) -> None:
    words = command(Boot(tmp_path / "a,b", tmp_path / "p", tmp_path))

    assert f"file={tmp_path}/a,,b/root.img,format=raw,if=virtio,snapshot=on" in words
    assert "tcg,thread=multi" in words
