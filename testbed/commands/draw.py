"""`testbed draw`: the ladder of a run or a capture."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.errors import BadInput

if TYPE_CHECKING:  # imported when it is needed: `--help` answers at once
    from testbed.protocols.ike.keys import EspKeys, IkeKeys
    from testbed.trace.trace import Trace


def read_keys(files: Iterable[Path]) -> list[IkeKeys | EspKeys]:
    """The keys of IKE and ESP in files that Wireshark reads as its tables.

    Raises:
        BadInput: a file cannot be read, or holds something else.
    """
    from testbed.protocols.ike.wireshark import read_tables

    found: list[IkeKeys | EspKeys] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise BadInput(f"{file} cannot be read: {error.strerror}") from error
        ike, esp = read_tables(text, str(file))
        found += [*ike, *esp]
    return found


def read_trace(source: Path, key_files: Iterable[Path] = ()) -> Trace:
    """The trace of a run's folder, or of a capture file.

    Args:
        source: a run's folder has its own keys.
        key_files: for a capture: what opens its IKE and ESP.

    Raises:
        BadInput: it does not exist, or is neither; or a file of keys cannot be read.
    """
    from testbed.trace.folder import load
    from testbed.trace.pcapng_reader import load_capture
    from testbed.trace.trace import Trace

    if not source.exists():
        raise BadInput(f"{source} does not exist")
    if source.is_dir():
        return load(source)
    return Trace.from_frames(load_capture(source).frames, keys=read_keys(key_files))


@click.command(
    epilog="\b\nExamples:\n  testbed draw runs/20261121-120000/lan_connectivity\n"
    "  testbed draw field.pcapng --svg ladder.svg"
)
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN_OR_CAPTURE")
@click.option("--svg", type=click.Path(path_type=Path), help="Write the drawing there.")
@click.option("--all", "everything", is_flag=True, help="Bare TCP segments and ARP too.")
@click.option("--width", type=click.IntRange(40, 1000), help="Columns; the terminal's by default.")
def draw(source: Path, svg: Path | None, everything: bool, width: int | None) -> int:
    """Draw who said what to whom: decoded messages, lifelines, what the NAT rewrote."""
    from testbed.trace.ladder import draw as draw_text
    from testbed.trace.ladder_svg import draw_svg

    trace = read_trace(source)
    if svg is not None:
        try:
            svg.write_text(draw_svg(trace, everything=everything))
        except OSError as error:
            raise BadInput(f"{svg} cannot be written: {error.strerror}") from error
        click.echo(f"drawn      {svg}")
        return 0
    columns = width or (shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 120)
    for line in draw_text(trace, width=columns, everything=everything):
        click.echo(line)
    return 0
