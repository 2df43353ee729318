"""A data model as data: which parameters and objects there are, read from tables of text.

A line of a table is `path | access | type | default | flags`.  A path that ends with "." is an
object, its type "object" and its default the number of instances it is born with.  Flags:

    forced   in every Inform
    active   active notification unless the ACS asks otherwise
    always   active notification, whatever the ACS asks
    deny     active notification is refused with fault 9009
    hidden   reads back as an empty string
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from testbed.datamodel.types import ValueType

INSTANCE = "{i}"


class Notification(IntEnum):
    """What happens when a parameter changes (TR-069 A.3.2.4)."""

    OFF = 0
    PASSIVE = 1
    ACTIVE = 2


@dataclass(frozen=True, slots=True)
class ParameterDefinition:
    """One parameter of a model.

    Attributes:
        path: from the root on, instances as "{i}".
        writable: whether the ACS may set it.
        type: what it may hold.
        default: its value when its object is made.
        forced: whether every Inform carries it.
        notification: its notification until the ACS asks otherwise.
        always_active: whether its notification cannot be changed.
        can_deny: whether active notification is refused.
        hidden: whether it reads back empty.
    """

    path: str
    writable: bool
    type: ValueType
    default: str
    forced: bool = False
    notification: Notification = Notification.OFF
    always_active: bool = False
    can_deny: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class ObjectDefinition:
    """One object of a model.

    Attributes:
        path: from the root on, with a "." at its end; "{i}." at its end: an instance of a table.
        writable: whether the ACS may add and delete instances.
        instances: how many a factory-fresh device has.
    """

    path: str
    writable: bool = False
    instances: int = 0

    @property
    def is_table(self) -> bool:
        """Whether it has instances."""
        return self.path.endswith(INSTANCE + ".")


@dataclass(frozen=True, slots=True)
class Model:
    """All parameters and objects of one kind of device.

    Attributes:
        root: "Device." or "InternetGatewayDevice.".
        parameters: by their path.
        objects: by their path; every object on the way to a parameter is among them.
    """

    root: str
    parameters: Mapping[str, ParameterDefinition]
    objects: Mapping[str, ObjectDefinition]

    @classmethod
    def of(cls, root: str, tables: Iterable[str]) -> Model:
        """The model that these tables describe, below that root.

        Raises:
            ValueError: a line is none, or a path is there twice.
        """
        parameters: dict[str, ParameterDefinition] = {}
        objects: dict[str, ObjectDefinition] = {root: ObjectDefinition(root)}
        for line in (line for table in tables for line in table.splitlines()):
            cells = [cell.strip() for cell in line.split("|")]
            if cells == [""] or cells[0].startswith("#"):
                continue
            if len(cells) != 5:
                raise ValueError(f"data model line {line!r} has {len(cells)} cells, 5 are needed")
            path, access, kind, default, flags = cells
            full = root + path
            if full in parameters or (full in objects and kind == "object"):
                raise ValueError(f"data model: {full} is defined twice")
            if kind == "object":
                objects[full] = ObjectDefinition(full, access == "RW", int(default or 0))
            else:
                parameters[full] = _parameter(full, access, kind, default, flags.split())
            for parent in _parents(full):
                objects.setdefault(parent, ObjectDefinition(parent))
        return cls(root, parameters, dict(sorted(objects.items())))


def _parameter(
    path: str, access: str, kind: str, default: str, flags: list[str]
) -> ParameterDefinition:
    unknown = set(flags) - {"forced", "active", "always", "deny", "hidden"}
    if unknown or access not in ("R", "RW"):
        raise ValueError(f"data model: {path} has access {access!r} and flags {flags}")
    value_type = ValueType.parse(kind)
    active = "active" in flags or "always" in flags
    return ParameterDefinition(
        path,
        access == "RW",
        value_type,
        value_type.canonical(default) if default else value_type.empty,
        "forced" in flags,
        Notification.ACTIVE if active else Notification.OFF,
        "always" in flags,
        "deny" in flags,
        "hidden" in flags,
    )


def _parents(path: str) -> list[str]:
    """The objects on the way to a path, outermost first: `A.` and `A.B.` for `A.B.C`."""
    parts = path.rstrip(".").split(".")
    return [".".join(parts[:count]) + "." for count in range(1, len(parts))]


def template(path: str) -> str:
    """A path with every instance number as "{i}": how definitions name it."""
    return ".".join(INSTANCE if part.isdecimal() else part for part in path.split("."))
