"""A run's folder before the run: nothing of an earlier one is left in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from testbed.errors import BadInput
from testbed.trace.folder import CAPTURE, EVENTS, PACKET_LOG

FILES = (CAPTURE, PACKET_LOG, EVENTS, "ladder.svg", "run.json")
RESULTS = ("verdicts.json", "junit.xml", "report.html")
FOLDERS = ("keys", "lab", "logs")


def clear(folder: Path) -> None:
    """Remove what an earlier run has written there, of this sub-run alone.

    What is killed half-way would else be told by the files of two runs, and a crash that is long
    mended by the logs of this one.

    Raises:
        BadInput: it may not be removed.
    """
    try:
        for name in (*FILES, *RESULTS):
            (folder / name).unlink(missing_ok=True)
        for name in FOLDERS:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
    except OSError as error:
        raise BadInput(f"results cannot be written to {folder}: {error.strerror}") from error
