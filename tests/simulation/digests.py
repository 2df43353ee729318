"""Prints a digest of what each simulation writes; run it as a program, in a process of its own.

python digests.py FOLDER SCENARIO/[VARIANT]:SEED[,SEED...]...
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from testbed.engines import SIMULATION
from testbed.registry import find_scenario
from testbed.run import Plan
from testbed.run.perform import perform


def digest(name: str, variant: str, seed: str, folder: Path) -> str:
    """Of the capture and the events of one run."""
    perform(
        Plan(name, variant, SIMULATION, seed, {}, None, folder),
        find_scenario(name),
        lambda message: None,
    )
    octets = (folder / "trace.pcapng").read_bytes() + (folder / "events.jsonl").read_bytes()
    return hashlib.sha256(octets).hexdigest()[:16]


def main(folder: str, *wanted: str) -> None:
    for word in wanted:
        title, _, seeds = word.partition(":")
        name, _, variant = title.partition("/")
        for seed in seeds.split(","):
            place = Path(folder, name, variant or "main", seed)
            print(title, seed, digest(name, variant, seed, place))  # noqa: T201 -- its work


if __name__ == "__main__":
    main(*sys.argv[1:])
