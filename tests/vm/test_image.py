"""An image that could not be made: something failed, or this machine lacks something."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import EXIT_FAILED, EXIT_MISSING
from vm.image import why_not_made

KEPT = Path("/cache/failed.log")
FAREWELL = "E: setup failed: E: command failed: tree.sh\nE: mmdebstrap failed to run\n\n"


@pytest.mark.parametrize(
    "said",
    [
        "unshare: unshare failed: Operation not permitted",
        "E: Failed to fetch http://mirror.example/debian/x.deb  Connection failed",
        "W: Temporary failure resolving 'mirror.example'",
        "provision: Debian's package lists cannot be fetched: no; check the network and /etc/apt",
        "mke2fs: No space left on device while writing out and closing file system",
    ],
)
def test_what_the_machine_refuses_is_told_as_lacking(said: str) -> None:
    found = why_not_made(f"before\n{said}\nafter\n{FAREWELL}", KEPT)

    assert found.exit_status == EXIT_MISSING
    assert said in str(found)
    assert "/cache/failed.log" in str(found)


def test_a_build_that_failed_is_told_with_the_end_of_its_log() -> None:
    lines = [f"step {number}" for number in range(20)]
    said = "\n".join([*lines, "provision: pip cannot install the project: no such extra"])

    found = why_not_made(f"{said}\n{FAREWELL}", KEPT)

    assert found.exit_status == EXIT_FAILED
    first, *told = str(found).splitlines()
    assert first == "the image could not be made; the build (all of it: /cache/failed.log) ended:"
    assert [line.strip() for line in told] == said.splitlines()[-8:]


def test_a_build_that_said_nothing_is_told_too() -> None:
    assert str(why_not_made("", KEPT)).endswith("ended: without a word")
