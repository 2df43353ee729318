"""Every command line that stands in a document or in a help text works as it is printed.

All that a command looks at before it builds a world is looked at here: names of scenarios,
variants, topologies, settings, faults, players, kinds of NAT, files.  Commands that build no world
are carried out.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from testbed.batch import Batch
from testbed.cli import COMMANDS, cli
from testbed.commands import grid, probe_field, probe_kinds, probe_nat
from testbed.engines.emulation import lab
from tests.whats_here import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^ +(?:\.venv/bin/)?testbed (\S.*)$", re.MULTILINE)
INLINE = re.compile(r"`testbed ([\w-]+ (?:[^-`\n]|-[^`\n]+ -)[^`\n]*)`")
"""More than a command, or a command and an option, that a sentence speaks of."""
SYNOPSES = {"probe-nat"}
"""In the README's table of commands, without the arguments that it needs."""
STANDS_FOR_ANOTHER = re.compile(r"[A-Z]{4,}")
"""A word that is to be replaced: NAME, KIND, ROLE:NAME, FOLDER_OR_CAPTURE."""


def samples() -> list[str]:
    """Command lines, each once, without the words that explain them.

    Those with a folder of one's own are run by tests/test_own.py, in processes of their own.
    """
    texts = [document.read_text() for document in DOCUMENTS]
    context = click.Context(cli)
    texts += [(cli.get_command(context, name) or cli).epilog or "" for name in COMMANDS]
    texts.append(cli.epilog or "")
    found = [line for text in texts for line in (*BLOCK.findall(text), *INLINE.findall(text))]
    lines = [re.split(" {2,}|  +#", line)[0].rstrip() for line in found]
    whole = [each for each in dict.fromkeys(lines) if not STANDS_FOR_ANOTHER.search(each)]
    return [each for each in whole if each not in SYNOPSES and "--with" not in each]


def play(*words: str, where: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "testbed", *words, "--engine", "simulation"], cwd=where, check=True
    )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that samples name."""
    where = tmp_path_factory.mktemp("bench")
    play("run", "lan_connectivity/", "--out", "results", "--quiet", where=where)
    play("run", "discovery_intranet/", "--out", "tunnel", "--quiet", where=where)
    play("probe-nat", "--nat", "rfc4787", "--out", "home.toml", where=where)
    (where / "runs").mkdir()
    shutil.copytree(where / "results", where / "runs/20261121-120000")
    shutil.copy(where / "tunnel/discovery_intranet/trace.pcapng", where / "field.pcapng")
    for table in (where / "tunnel/discovery_intranet/keys").iterdir():
        shutil.copy(table, where)
    (where / "who.toml").write_text('[outer_dns]\naddresses = ["203.0.113.53"]\n')
    return where


@pytest.fixture
def no_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is built and nothing measured: who would do it says that it has been done."""
    done = SimpleNamespace(
        wait=lambda: SimpleNamespace(status=0, signal=None),
        messages=lambda: iter(()),
    )
    monkeypatch.setattr(Batch, "play", lambda batch: {})
    monkeypatch.setattr(lab, "launch", lambda work, title, **more: done)
    monkeypatch.setattr(probe_nat, "_portray", lambda *given: 0)
    monkeypatch.setattr(grid, "_run_beside", lambda run, probing: True)
    monkeypatch.setattr(probe_kinds, "probe_kinds", lambda *given, **more: 0)
    for name in ("probe_field", "serve_field"):
        monkeypatch.setattr(probe_field, name, lambda *given: 0)


def test_there_are_samples_of_every_command() -> None:
    assert {each.split()[0] for each in samples()} == set(COMMANDS)


@pytest.mark.usefixtures("no_world")
@pytest.mark.parametrize("sample", samples())
def test_a_sample_works_as_it_is_printed(sample, testbed, bench, monkeypatch) -> None:
    words = shlex.split(sample, comments=True)
    monkeypatch.chdir(bench)

    said = testbed(*words)

    lacks = said.status == 3 and ("--cast" in words or words[0] == "doctor")
    assert said.status == 0 or lacks, said.err
