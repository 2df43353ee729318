"""The option `--with`, of every command that looks names up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click


def _load(context: click.Context, parameter: click.Parameter, value: Sequence[Path]) -> None:
    """Load the folders; what that needs is imported only when there are any."""
    for folder in value:
        from testbed.own import load_own

        load_own(folder)


with_option = click.option(
    "--with",
    "own",
    multiple=True,
    type=click.Path(path_type=Path),
    envvar="TESTBED_WITH",
    is_eager=True,
    expose_value=False,
    callback=_load,
    metavar="DIR",
    help="A folder of your own faults/, checks/, scenarios/, topologies/; also TESTBED_WITH.",
)
