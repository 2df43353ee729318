"""The option `--seed`, of every command that plays."""

from __future__ import annotations

import secrets

import click


def any_seed() -> str:
    """A new one."""
    return str(secrets.randbelow(1_000_000))


def some_seed(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The seed as it is given: any text, above all a number.

    An empty one is refused: a variable that was never set, rather than what somebody has chosen.
    """
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; leave it out for a new one", context, parameter)
    return value
