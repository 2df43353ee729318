"""A disk that is full is told in one sentence; it is no defect of the testbed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.engines import EMULATION, SIMULATION

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "size_kb"),
    [
        *((SIMULATION, 8), (SIMULATION, 60), (SIMULATION, 160)),
        *((EMULATION, 8), (EMULATION, 60), (EMULATION, 110), (EMULATION, 160)),
    ],
)
def test_results_that_find_no_room_are_one_sentence(
    engine: str, size_kb: int, tmp_path: Path
) -> None:
    """There is room for part of a capture, for a capture, for all but the last report."""
    own = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        own += ["--user", "--map-root-user"]
    mount = f'mount -t tmpfs -o size={size_kb}k tmpfs {tmp_path} && exec "$@"'
    words = ["run", "discovery_public/", "--engine", engine, "--out", str(tmp_path / "runs")]

    done = subprocess.run(
        [*own, "sh", "-c", mount, "sh", sys.executable, "-m", "testbed", *words, "--quiet"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 3, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("testbed: results cannot be written ")
    assert "No space left on device; make room there" in line
