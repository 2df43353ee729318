"""Text from a command line or a file to the values that annotations ask for."""

from __future__ import annotations

import types
from enum import Enum
from typing import Any

from testbed.errors import BadInput, unknown


def convert(what: str, value: str, kind: Any) -> Any:
    """Text to a value of that type.

    Raises:
        BadInput: it does not fit; says what would.
    """
    if kind is bool:
        words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
        if value.lower() not in words:
            raise BadInput(f"{what} takes yes or no, not {value!r}")
        return words[value.lower()]
    if isinstance(kind, types.UnionType) and type(None) in kind.__args__:
        if value == "none":
            return None
        kind = next(each for each in kind.__args__ if each is not type(None))
    if isinstance(kind, type) and issubclass(kind, Enum):
        by_value = {each.value: each for each in kind}
        if value not in by_value:
            raise unknown(f"value for {what}", value, by_value)
        return by_value[value]
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            noun = "a whole number" if kind is int else "a number"
            raise BadInput(f"{what} takes {noun}, not {value!r}") from None
    return value
