"""The documents are true where a program can tell."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from testbed.cli import COMMANDS, cli
from testbed.external import PROGRAMS, find_program
from testbed.registry import load_scenarios, load_topologies
from tests.whats_here import DOCUMENT, ROOT, written

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SAMPLE = re.compile(
    r"(?:^ {4}|`)(?:\.venv/bin/)?testbed ([a-z][\w-]*)(?: ([a-z_]+)(?=[/ `\n]|$))?", re.MULTILINE
)


def test_every_module_is_told_of() -> None:
    """`python -m tests.whats_here` writes the tables anew."""
    assert written(ROOT) == (ROOT / DOCUMENT).read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_page_has_the_options_of_the_help(command: str) -> None:
    """Those of its heading and of the table below, neither more nor less."""
    text = (ROOT / "docs/command_line.md").read_text()
    section = re.search(rf"^## (testbed {command}\b.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section, f"testbed {command} has no section"
    heading, _, body = section[1].partition("\n")
    rows = re.findall(r"^\| `(--[a-z-]+)", body, re.MULTILINE)
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    options = {name for each in found.params for name in each.opts if name.startswith("--")}

    assert {*re.findall(r"--[a-z-]+", heading), *rows} == options


def test_the_table_of_programs_has_all_of_them_and_their_packages() -> None:
    text = (ROOT / "docs/how_to_extend.md").read_text()
    table = text.partition("| program | plays | Debian package |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| `([\w-]+)` \|$", table, re.MULTILINE)

    assert dict(rows) == {name: find_program(name).about.package for name in PROGRAMS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_samples_name_commands_scenarios_and_topologies_that_exist(document: Path) -> None:
    known = {
        "run": set(load_scenarios()),
        "shell": set(load_topologies()),
        "list": {"scenarios", "topologies", "roles", "faults", "checks", "nats", "casts"},
    }
    text = document.read_text()
    own = set(re.findall(r"^async def (\w+)|^def (\w+)", text, re.MULTILINE))
    defined = {name for pair in own for name in pair}
    wrong = [
        f"testbed {command} {name}"
        for command, name in SAMPLE.findall(text)
        if command not in COMMANDS or (name and name not in known.get(command, {name}) | defined)
    ]

    assert not wrong
