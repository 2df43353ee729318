"""Which records a scenario or a check means: by type, by attributes, by ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.errors import unknown
from testbed.trace.record import Event, Record

_ABSENT = object()
_GROUPS = (tuple, list, set, frozenset)


def matches(record: Record, message_type: type | tuple[type, ...] | None, **fields: Any) -> bool:
    """Whether a record is of that type and its message has those attributes.

    What a message carries in its body counts as well: the CWMP call in an HTTP request is found by
    either's type, and has the attributes of both; its own first, then from the inside out.

    Args:
        record: of a trace.
        message_type: class of the message, or several; None: any record, decoded or not.
        fields: `port` is the destination port, `source_port` the source's.  Any other is an
            attribute of the message: equal to the value, or holding it where the attribute is a
            tuple, list, set or frozenset; a callable value is asked with the attribute.  `name` is
            compared as DNS names are: without case and closing dot.  For an `Event`, `name` is the
            event's, and the others are its fields.

    Raises:
        BadInput: messages of that type have no such attribute.
    """
    layers: Sequence[Any] = (record.message,)
    if record.carried:
        layers = (*reversed(record.carried), record.message)
    if message_type is not None:
        meant = next((each for each in layers if isinstance(each, message_type)), None)
        if meant is None:
            return False
        layers = (meant, *(each for each in layers if each is not meant))
    return all(_fits(record, layers, field, wanted) for field, wanted in fields.items())


def matches_event(event: Event, fields: Mapping[str, Any]) -> bool:
    """Whether an event has those fields; values as in `matches`."""
    return all(
        field in event.fields and _agrees(event.fields[field], wanted)
        for field, wanted in fields.items()
    )


def _fits(record: Record, layers: Sequence[Any], field: str, wanted: Any) -> bool:
    if field in ("port", "source_port"):
        endpoint = record.destination if field == "port" else record.source
        return endpoint is not None and _agrees(endpoint.port, wanted)
    message = record.message
    if message is None:
        return False
    if isinstance(message, Event):
        if field == "name":
            return _agrees(message.name, wanted)
        return matches_event(message, {field: wanted})
    values = (getattr(layer, field, _ABSENT) for layer in layers)
    value = next((each for each in values if each is not _ABSENT), _ABSENT)
    if value is _ABSENT:
        known = {each for layer in layers for each in dir(layer) if not each.startswith("_")}
        names = " in ".join(type(layer).__name__ for layer in layers)
        raise unknown(f"attribute of {names}", field, known)
    if field == "name" and isinstance(wanted, str):
        return _plain_name(value) == _plain_name(wanted)
    return _agrees(value, wanted)


def _agrees(value: Any, wanted: Any) -> bool:
    if callable(wanted) and not isinstance(wanted, type):
        return bool(wanted(value))
    return bool(value == wanted) or (isinstance(value, _GROUPS) and wanted in value)


def _plain_name(name: Any) -> str:
    return str(name).rstrip(".").lower()
