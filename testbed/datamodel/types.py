"""The types of parameters (TR-106 2.2): from a definition's text to a rule that values must keep.

A type is written as the data models write it: `string(256)`, `string(6:6)`, `string{DHCP}{Static}`,
`int[-90000000:90000000]`, `unsignedInt[1:65535]`, `boolean`, `dateTime`, `base64(16)`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime

_SYNTAX = re.compile(
    r"^(?P<name>string|int|unsignedInt|boolean|dateTime|base64)"
    r"(?:\((?P<shortest>\d+)?(?P<colon>:)?(?P<longest>\d+)?\))?"
    r"(?:\[(?P<least>-?\d+)?:(?P<most>-?\d+)?\])?"
    r"(?P<choices>(?:\{[^}]*\})*)$"
)
_INTEGER = re.compile(r"^[+-]?[0-9]{1,20}$")
_DATE_TIME = re.compile(
    r"^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$", re.ASCII
)
_BOOLEANS = {"0": "0", "1": "1", "false": "0", "true": "1"}
_LIMITS = {"int": (-(2**31), 2**31 - 1), "unsignedInt": (0, 2**32 - 1)}
_EMPTY = {"int": "0", "unsignedInt": "0", "boolean": "0", "dateTime": "0001-01-01T00:00:00Z"}


class ValueRefused(ValueError):
    """A value that its parameter's type does not allow; the message says why."""


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a parameter may hold.

    Attributes:
        name: the xsi:type without prefix.
        least: smallest number, or shortest text in characters (base64: octets).
        most: largest number, or longest text; None: no bound.
        choices: the only values allowed; () : any.
    """

    name: str
    least: int = 0
    most: int | None = None
    choices: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ValueType:
        """The type that a definition's text means.

        Raises:
            ValueError: the text is no type.
        """
        match = _SYNTAX.match(text)
        if match is None:
            raise ValueError(f"{text!r} is no parameter type; string(256) or int[0:9] is one")
        name = match["name"]
        choices = tuple(re.findall(r"\{([^}]*)\}", match["choices"]))
        if name in _LIMITS:
            low, high = _LIMITS[name]
            return cls(name, int(match["least"] or low), int(match["most"] or high), choices)
        longest = match["longest"] or (None if match["colon"] else match["shortest"])
        shortest = match["shortest"] if match["colon"] else None
        return cls(name, int(shortest or 0), int(longest) if longest else None, choices)

    @property
    def empty(self) -> str:
        """The value of a parameter that nobody has given one: lowest, unknown or empty."""
        if self.choices:
            return self.choices[0]
        if self.name in _LIMITS:
            return str(max(self.least, 0) if self.most is None or self.most >= 0 else self.most)
        return _EMPTY.get(self.name, "")

    def canonical(self, text: str) -> str:
        """The value in its one spelling: booleans 0 or 1, numbers without zeros in front.

        Booleans are written as digits because devices in the field read no others.

        Raises:
            ValueRefused: not of this type, or outside its bounds; says which.
        """
        check = {
            "int": self._number,
            "unsignedInt": self._number,
            "boolean": self._boolean,
            "dateTime": self._date_time,
            "base64": self._base64,
        }.get(self.name, self._string)
        value = check(text)
        if self.choices and value not in self.choices:
            raise ValueRefused(f"{_shown(text)} is none of {', '.join(self.choices)}")
        return value

    def _number(self, text: str) -> str:
        if not _INTEGER.match(text.strip()):
            raise ValueRefused(f"{_shown(text)} is no {self.name}")
        number = int(text)
        assert self.most is not None
        if not self.least <= number <= self.most:
            raise ValueRefused(f"{number} is outside {self.least} to {self.most}")
        return str(number)

    def _boolean(self, text: str) -> str:
        value = _BOOLEANS.get(text.strip())
        if value is None:
            raise ValueRefused(f"{_shown(text)} is no boolean; 0, 1, true and false are")
        return value

    def _date_time(self, text: str) -> str:
        match = _DATE_TIME.match(text.strip())
        if match is None:
            raise ValueRefused(f"{_shown(text)} is no dateTime; 2026-11-21T02:00:00Z is one")
        try:
            year, month, day, hour, minute, second = (int(match[n]) for n in range(1, 7))
            datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - only its ranges
        except ValueError as error:
            raise ValueRefused(f"{_shown(text)} is no dateTime: {error}") from error
        return match.group()

    def _base64(self, text: str) -> str:
        try:
            octets = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueRefused(f"{_shown(text)} is not base64") from error
        self._length(len(octets), "octets")
        return text

    def _string(self, text: str) -> str:
        # An empty string means "none" wherever a length has a lower bound (TR-106 2.2, TR-098 OUI).
        if text:
            self._length(len(text), "characters")
        return text

    def _length(self, length: int, unit: str) -> None:
        if self.most is not None and length > self.most:
            raise ValueRefused(f"{length} {unit}, at most {self.most} are allowed")
        if length < self.least:
            raise ValueRefused(f"{length} {unit}, at least {self.least} are needed")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
