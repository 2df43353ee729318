from __future__ import annotations

import sys
from pathlib import Path

from bench import soak

SOAK = Path(__file__).resolve().parents[2] / "bench/soak.py"


def program_that_ends_with(status: str) -> list[str]:
    """A made-up testbed: makes its folder of results, then ends; `folder` is its last but one."""
    source = (
        "import pathlib, sys; folder = pathlib.Path(sys.argv[sys.argv.index('--out') + 1]);"
        f"folder.mkdir(parents=True); (folder / 'words').write_text(' '.join(sys.argv)); {status}"
    )
    return [sys.executable, "-c", source]


def test_rounds_that_pass_leave_nothing(tmp_path: Path) -> None:
    options = soak.arguments(["--times", "3", "--out", str(tmp_path)])

    status = soak.soak(program_that_ends_with("sys.exit(0)"), options)

    assert status == 0
    assert list(tmp_path.iterdir()) == []


def test_the_first_round_that_surprises_stops_the_soak_and_keeps_its_results(
    tmp_path: Path,
) -> None:
    options = soak.arguments(["--times", "5", "--out", str(tmp_path), "lan_connectivity"])

    status = soak.soak(program_that_ends_with("sys.exit(folder.name == '002')"), options)

    assert status == 1
    (folder,) = tmp_path.iterdir()
    assert folder.name == "002"
    assert "run lan_connectivity --jobs 4" in (folder / "words").read_text()
