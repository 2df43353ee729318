"""A NAT in a file: `testbed probe-nat --out FILE` writes it, `--nat FILE.toml` plays it."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from testbed.errors import BadInput, unknown
from testbed.settings.convert import convert
from testbed.topology import KNOBS, Nat

SUFFIX = ".toml"
_NOTHING = "none"
_SETTINGS = ("name", "translates", *KNOBS)


def nat_text(nat: Nat, notes: Sequence[str] = ()) -> str:
    """What its file holds; what is not in it is as `Nat` has it by default.

    Args:
        nat: what it does.
        notes: comments above it, a sentence each.
    """
    lines = [f"# {each}" for each in notes]
    plain = Nat(name=nat.name)
    for name in _SETTINGS:
        value = getattr(nat, name)
        if name in ("name", "translates", "filtering") or value != getattr(plain, name):
            lines.append(f"{name} = {_text(value)}")
    return "\n".join(lines) + "\n"


def write_nat(path: Path, text: str) -> None:
    """Write what `nat_text` gives.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error


def read_nat(path: Path) -> Nat:
    """Read it.

    Raises:
        BadInput: there is no such file, or it does not describe a NAT; says where.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"the NAT file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"the NAT file {path} is not TOML: {error}") from error
    hints = typing.get_type_hints(Nat)
    values: dict[str, typing.Any] = {"name": path.stem}
    for name, value in told.items():
        if name not in _SETTINGS:
            raise unknown(f"setting of the NAT file {path}", name, _SETTINGS)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        values[name] = convert(f"{path}: {name}", text, hints[name])
    return Nat(**values)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}"
    told = _NOTHING if value is None else str(value.value if isinstance(value, Enum) else value)
    return '"' + told.replace("\\", "\\\\").replace('"', '\\"') + '"'
