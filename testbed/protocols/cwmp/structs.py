"""The structs that CWMP's calls carry, and how a field says which XML element carries it.

One codec (`envelope`) reads and writes every struct and call by what its fields say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any


class Kind(Enum):
    """How an element's content is read."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRUCT = "struct"
    STRUCTS = "array of structs"
    TEXTS = "array of strings"


@dataclass(frozen=True, slots=True)
class Element:
    """The XML element that carries a field.

    Attributes:
        name: of the element.
        kind: of its content.
        of: the class of the struct, or of the array's items; None: text.
        item: element name of an array's items.
        required: whether a message without it breaks the schema.
    """

    name: str
    kind: Kind
    of: type[Any] | None = None
    item: str = ""
    required: bool = True


def text(name: str, default: str = "", required: bool = True) -> Any:
    """A field whose element holds text."""
    return field(default=default, metadata={"xml": Element(name, Kind.TEXT, required=required)})


def integer(name: str, default: int = 0) -> Any:
    """A field whose element holds a whole number."""
    return field(default=default, metadata={"xml": Element(name, Kind.INTEGER)})


def boolean(name: str) -> Any:
    """A field whose element holds a boolean."""
    return field(default=False, metadata={"xml": Element(name, Kind.BOOLEAN)})


def texts(name: str) -> Any:
    """A field whose element is an array of strings."""
    return field(default=(), metadata={"xml": Element(name, Kind.TEXTS, item="string")})


def structs(name: str, of: type[Any], item: str, required: bool = True) -> Any:
    """A field whose element is an array of structs."""
    element = Element(name, Kind.STRUCTS, of, item, required)
    return field(default=(), metadata={"xml": element})


@dataclass(frozen=True, slots=True)
class DeviceId:
    """Who a CPE is: OUI, product class and serial number identify it for ever."""

    manufacturer: str = text("Manufacturer")
    oui: str = text("OUI")
    product_class: str = text("ProductClass")
    serial_number: str = text("SerialNumber")


@dataclass(frozen=True, slots=True)
class Event:
    """One reason for a session ("0 BOOTSTRAP") and the command key of the call that caused it."""

    code: str = text("EventCode")
    command_key: str = text("CommandKey")


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A parameter's name, its value as text, and the local part of its xsi:type ("": none came)."""

    name: str
    value: str = ""
    type: str = "string"


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """A parameter's or object's name and whether it may be set, added to or deleted."""

    name: str = text("Name")
    writable: bool = boolean("Writable")


@dataclass(frozen=True, slots=True)
class ParameterAttributes:
    """A parameter's notification (0 off, 1 passive, 2 active) and who else may write it."""

    name: str = text("Name")
    notification: int = integer("Notification")
    access_list: tuple[str, ...] = texts("AccessList")


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """What SetParameterAttributes is to change; a name that ends with "." means all below it."""

    name: str = text("Name")
    notification_change: bool = boolean("NotificationChange")
    notification: int = integer("Notification")
    access_list_change: bool = boolean("AccessListChange")
    access_list: tuple[str, ...] = texts("AccessList")


@dataclass(frozen=True, slots=True)
class TransferFault:
    """How a transfer ended: code 0 means well."""

    code: int = integer("FaultCode")
    text: str = text("FaultString")


@dataclass(frozen=True, slots=True)
class ParameterFault:
    """Why one parameter of a SetParameterValues could not be set."""

    name: str = text("ParameterName")
    code: int = integer("FaultCode")
    text: str = text("FaultString")


_ELEMENTS: dict[type[Any], dict[str, tuple[str, Element]]] = {}


def elements(of: type[Any]) -> dict[str, tuple[str, Element]]:
    """What travels of a message class or struct, in order: element's name to attribute, element."""
    if of not in _ELEMENTS:
        travelling = [(each.name, each.metadata["xml"]) for each in fields(of) if each.metadata]
        _ELEMENTS[of] = {xml.name: (attribute, xml) for attribute, xml in travelling}
    return _ELEMENTS[of]
