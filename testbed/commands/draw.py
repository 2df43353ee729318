"""`testbed draw`: the ladder of a run or a capture."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.errors import BadInput, unknown

if TYPE_CHECKING:  # imported when it is needed: `--help` answers at once
    from testbed.trace.trace import Trace


def read_trace(source: Path, names: Path | None = None, keys: Sequence[Path] = ()) -> Trace:
    """The trace of a run's folder, or of a capture file.

    Args:
        source: folder or file.
        names: a file that says who is who in a capture; a run's folder knows that itself.
        keys: what opens the TLS, IKE and ESP of a capture, beside what is in it; likewise.

    Raises:
        BadInput: it does not exist, or is neither; the names cannot be used.
    """
    from testbed.commands.key_files import read_keys
    from testbed.protocols.tls_secrets import merged
    from testbed.trace.folder import CAPTURE, load
    from testbed.trace.names import Names, load_names
    from testbed.trace.opened import inside_too
    from testbed.trace.opened_tls import TlsOpener
    from testbed.trace.pcapng_reader import load_capture

    if not source.exists():
        raise BadInput(f"{source} does not exist")
    if source.is_dir():
        if names is not None or keys:
            raise BadInput(
                f"{source} is a run's folder and knows its nodes; --names and --keys are not for it"
            )
        runs = sorted(each.parent for each in source.rglob(CAPTURE))
        if runs and not (source / CAPTURE).exists():
            raise BadInput(
                f"{source} holds {len(runs)} runs, and a drawing is of one; name its folder, "
                f"as {runs[0]}"
            )
        return load(source)
    capture = load_capture(source)
    who = Names() if names is None else load_names(names)
    _check_roles(who.roles, str(names))
    trace = who.trace(capture.frames)
    known = read_keys(capture.key_logs, keys)
    trace.add_keys(known.tunnels)
    secrets = merged(known.tls)
    opener = TlsOpener(secrets, trace.decoders.web_ports) if secrets else None
    for frame in inside_too(capture.frames, trace.esp_keys):
        record = trace.add_frame(frame)[0]
        for clear in opener.inside(frame, record) if opener else ():
            trace.add_clear(clear)
    trace.close()
    return trace


def _check_roles(roles: Mapping[str, str], file: str) -> None:
    """A node that no check could know is a slip of the pen, and would be judged by nobody."""
    from testbed.roles import ROLES
    from testbed.trace.names import ROLES_BY_NAME

    for node, role in roles.items():
        if role not in ROLES:
            error = unknown("role", role, {*ROLES, *ROLES_BY_NAME}, "testbed list roles")
            raise BadInput(f'names {file}: {node}: {error}; role = "bystander" plays none')


@click.command(
    epilog="\b\nExamples:\n  testbed draw runs/20261121-120000/lan_connectivity\n"
    "  testbed draw field.pcapng --svg ladder.svg"
)
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN_OR_CAPTURE")
@click.option("--svg", type=click.Path(path_type=Path), help="Write the drawing there.")
@click.option("--names", type=click.Path(path_type=Path), help="Who is who in a capture.")
@click.option(
    "--keys",
    multiple=True,
    type=click.Path(path_type=Path),
    help="TLS key log, or a table of IKE or ESP keys.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Bare TCP segments, ARP, and all that repeats."
)
@click.option("--width", type=click.IntRange(40, 1000), help="Columns; the terminal's by default.")
def draw(
    source: Path,
    svg: Path | None,
    names: Path | None,
    keys: tuple[Path, ...],
    everything: bool,
    width: int | None,
) -> int:
    """Draw who said what to whom: decoded messages, lifelines, what the NAT rewrote."""
    from testbed.trace.ladder import draw as draw_text
    from testbed.trace.ladder_svg import draw_svg

    trace = read_trace(source, names, keys)
    if svg is not None:
        try:
            svg.write_text(draw_svg(trace, everything=everything), encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{svg} cannot be written: {error.strerror}") from error
        click.echo(f"drawn      {svg}")
        return 0
    columns = width or (shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 120)
    for line in draw_text(trace, width=columns, everything=everything):
        click.echo(line)
    return 0
