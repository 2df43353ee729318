"""Repeat every scenario, several at a time, until one ends otherwise than expected.

    .venv/bin/python bench/soak.py [--times 20] [--jobs 4] [NAME...]

What a rare race breaks shows itself here only.  Each round is one `testbed run`; the folder of the
first round that fails stays for the post-mortem, those before it are removed.
Exit status: that of the round that failed, else 0.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line, read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios; none: all")
    parser.add_argument("--times", type=int, default=20, help="rounds (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=4, help="at a time (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/soak"), help="where results lie")
    return parser.parse_args(words)


def soak(program: list[str], options: argparse.Namespace) -> int:
    """Run the rounds with `program` (the testbed and its interpreter); exit status of the last."""
    began = time.monotonic()
    for number in range(1, options.times + 1):
        folder = options.out / f"{number:03d}"
        shutil.rmtree(folder, ignore_errors=True)
        command = [*program, "run", *(options.names or ["--all"])]
        command += ["--jobs", str(options.jobs), "--out", str(folder), "--quiet"]
        status = subprocess.run(command, check=False).returncode
        passed_s = time.monotonic() - began
        if status != 0:
            print(f"round {number} of {options.times} ended with {status}; its results: {folder}")
            return status
        print(f"round {number} of {options.times} passed, {passed_s:.1f} s in all", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(soak([sys.executable, "-m", "testbed"], arguments()))
    except KeyboardInterrupt:
        sys.exit(130)
