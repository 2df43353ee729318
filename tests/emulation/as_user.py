"""The command as a user has it: started, heard to its end, its results read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 120


def command(*words: str | Path, script: str = "") -> tuple[int, str]:
    """Exit status of `testbed WORDS...`, and all that it said; `script` is typed at its prompt."""
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=script,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    return done.returncode, done.stdout


def verdicts(folder: Path) -> dict[str, str]:
    """Verdict by requirement, of a scenario's folder."""
    judged = json.loads((folder / "verdicts.json").read_text())["verdicts"]
    return {each["requirement"]: each["verdict"] for each in judged}
