"""What goes into a tree and comes out of it: values, names, attributes, changes, refusals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from testbed.datamodel.model import Notification
from testbed.errors import PeerError

INVALID_ARGUMENTS, RESOURCES_EXCEEDED, INVALID_NAME = 9003, 9004, 9005
INVALID_TYPE, INVALID_VALUE, NOT_WRITABLE, NOTIFICATION_REJECTED = 9006, 9007, 9008, 9009


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter's full name, its value as text, its type's name ("" from an ACS: not said)."""

    path: str
    text: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """A parameter or object, and whether the ACS may set it, add to it or delete it."""

    path: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Attributes:
    """How a parameter's changes are told, and who but the ACS may set it."""

    path: str
    notification: Notification
    access_list: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttributeRequest:
    """What an ACS wants of a parameter, or of all below a path; None: leave it as it is."""

    path: str
    notification: int | None = None
    access_list: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A value that the device changed and the ACS has not been told.

    Attributes:
        value: as it is now.
        active: whether it asks for a session of its own.
        serial: grows with every change of the tree; tells a change that came after the telling.
    """

    value: Value
    active: bool
    serial: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one parameter of a request cannot be done."""

    path: str
    code: int
    text: str


class ModelFault(PeerError):
    """What the ACS asked for cannot be done.

    Attributes:
        code: fault code of TR-069 A.5.1.
        refusals: the parameters that are to blame, for SetParameterValues.
    """

    def __init__(self, code: int, sentence: str, refusals: Iterable[Refusal] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.refusals = tuple(refusals)


def is_child(path: str, candidate: str) -> bool:
    """Whether a candidate below `path` is one level below it, and no deeper."""
    rest = candidate[len(path) :].removesuffix(".")
    return bool(rest) and "." not in rest
