"""The command line as a user has it, in this process: arguments in; status and both outputs out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from testbed import cli


class Said(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def testbed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Calls the command line in an empty folder, into a pipe of no known width."""
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: str) -> Said:
        monkeypatch.setattr("sys.argv", ["testbed", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return call
