"""One device's parameters: values, instances, attributes, and what the ACS has not been told.

Two hands write it.  The device assigns what it knows (`assign`, `add_row`); the ACS asks by the
operations of TR-069 A.3.2, and is refused with the fault that the standard names (`ModelFault`).
Changes of the first hand are kept for "4 VALUE CHANGE", those of the ACS are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from testbed.datamodel.model import INSTANCE, Model, Notification, ParameterDefinition, template
from testbed.datamodel.types import ValueRefused
from testbed.datamodel.values import (
    INVALID_ARGUMENTS,
    INVALID_NAME,
    INVALID_TYPE,
    INVALID_VALUE,
    NOT_WRITABLE,
    NOTIFICATION_REJECTED,
    RESOURCES_EXCEEDED,
    AttributeRequest,
    Attributes,
    Change,
    ModelFault,
    Name,
    Refusal,
    is_child,
)
from testbed.datamodel.values import Value as Value
from testbed.errors import BadInput, unknown

MOST_INSTANCES = 256
"""Rows of one table; one more is refused with fault 9004."""


class Tree:
    """The parameters of one device.

    Attributes:
        held: parameters whose changes are not told yet, though they are to be.

    Args:
        model: what there is.
        factory: values that differ from the model's defaults when the device leaves the factory.

    Raises:
        BadInput: a factory value names no parameter or does not fit its type.
    """

    def __init__(self, model: Model, factory: Mapping[str, str] | None = None) -> None:
        self.model = model
        self.factory = dict(factory or {})
        self.held: set[str] = set()
        self._serial = 0
        self.reset()

    def reset(self) -> None:
        """Back to the state of the factory: values, rows and attributes; no change is pending."""
        self._values: dict[str, str] = {}
        self._rows: dict[str, list[int]] = {}
        self._next_row: dict[str, int] = {}
        self._notifications: dict[str, Notification] = {}
        self._access_lists: dict[str, tuple[str, ...]] = {}
        self._changes: dict[str, int] = {}
        self._populate(self.model.root, self.model.root)
        for path, text in self.factory.items():
            self.assign(path, text)
        self._changes.clear()

    def __contains__(self, path: object) -> bool:
        """Whether there is a parameter of this full name now."""
        return path in self._values

    # What the device itself does.

    def value(self, path: str) -> str:
        """A value as it is, hidden ones too.

        Raises:
            BadInput: no parameter has this name.
        """
        if path not in self._values:
            raise unknown("parameter", path, self._values)
        return self._values[path]

    def assign(self, path: str, text: str) -> bool:
        """Set a value as the device; whether that changed it.

        Raises:
            BadInput: no parameter has this name, or its type refuses the value.
        """
        old = self.value(path)
        try:
            new = self._definition(path).type.canonical(text)
        except ValueRefused as refused:
            raise BadInput(f"parameter {path}: {refused}") from refused
        if new == old:
            return False
        self._store(path, new)
        if self.notification(path) is not Notification.OFF:
            self._serial += 1
            self._changes[path] = self._serial
        return True

    def add_row(self, table: str, values: Mapping[str, str] | None = None) -> int:
        """A new instance of a table, made by the device; its number.

        Args:
            table: "Device.Services.FAPService.1.REM.WCDMAFDD.Cell.".
            values: by their path below the new instance ("BCCH.LAC").

        Raises:
            BadInput: there is no such table, or a value does not fit.
        """
        if table not in self._rows:
            raise unknown("table", table, self._rows)
        number = self._add(table)
        for path, text in (values or {}).items():
            self.assign(f"{table}{number}.{path}", text)
        self._count(table)
        return number

    def remove_row(self, table: str, number: int) -> None:
        """Remove an instance, as the device.

        Raises:
            BadInput: there is none.
        """
        if number not in self._rows.get(table, ()):
            raise unknown("object", f"{table}{number}.", self._objects())
        self._delete(table, number)
        self._count(table)

    def rows(self, table: str) -> tuple[int, ...]:
        """The instance numbers of a table; () if there is no such table."""
        return tuple(self._rows.get(table, ()))

    # What the next Inform has to tell.

    def notification(self, path: str) -> Notification:
        """How changes of this parameter are told now."""
        return self._notifications.get(path, self._definition(path).notification)

    def changes(self) -> tuple[Change, ...]:
        """What the device changed under notification and has not told, oldest first."""
        return tuple(
            Change(self._shown(path), self.notification(path) is Notification.ACTIVE, serial)
            for path, serial in sorted(self._changes.items(), key=lambda item: item[1])
            if path not in self.held and self.notification(path) is not Notification.OFF
        )

    def told(self, changes: Iterable[Change]) -> None:
        """The ACS has accepted these; what changed again since then stays pending."""
        for change in changes:
            if self._changes.get(change.value.path) == change.serial:
                del self._changes[change.value.path]

    def inform_values(self, extra: Iterable[str] = ()) -> tuple[Value, ...]:
        """What an Inform carries: forced parameters, changed ones, then `extra`; each once.

        Raises:
            BadInput: `extra` names no parameter.
        """
        forced = [path for path in self._values if self._definition(path).forced]
        changed = [change.value.path for change in self.changes()]
        for path in extra:
            self.value(path)
            changed.append(path)
        return tuple(self._shown(path) for path in dict.fromkeys([*forced, *changed]))

    # What the ACS asks for (TR-069 A.3.2).

    def get(self, names: Sequence[str]) -> tuple[Value, ...]:
        """GetParameterValues: of these parameters, or of all below a path.

        Raises:
            ModelFault: 9005, there is no such parameter or path.
        """
        return tuple(self._shown(path) for name in names for path in self._below(name))

    def names(self, path: str, next_level: bool) -> tuple[Name, ...]:
        """GetParameterNames: what is below a path, or only the level beneath it.

        Raises:
            ModelFault: 9005, there is no such path; 9003, the level below a parameter is asked for.
        """
        if path in self._values:
            if next_level:
                raise ModelFault(INVALID_ARGUMENTS, f"{path} is a parameter: nothing is below it")
            return (Name(path, self._definition(path).writable),)
        objects = self._objects()
        if path and path not in objects:
            raise ModelFault(INVALID_NAME, f"no parameter or object is called {path!r}")
        if not path and next_level:
            return (Name(self.model.root, False),)
        found = [
            *(Name(each, writable) for each, writable in objects.items() if each.startswith(path)),
            *(Name(each, self._definition(each).writable) for each in self._below(path)),
        ]
        if next_level:
            found = [each for each in found if is_child(path, each.path)]
        return tuple(sorted(found, key=lambda each: each.path))

    def set(self, values: Sequence[Value], key: str = "") -> tuple[str, ...]:
        """SetParameterValues: all of these or none; the paths whose value is another now.

        Raises:
            ModelFault: 9003, with the reason of every parameter that cannot be set.
        """
        self._check_key(key)
        refusals: list[Refusal] = []
        accepted: dict[str, str] = {}
        for value in values:
            refusal = self._refuse(value, accepted)
            if refusal is not None:
                refusals.append(refusal)
        if refusals:
            first = refusals[0]
            raise ModelFault(INVALID_ARGUMENTS, f"{first.path}: {first.text}", refusals)
        changed = tuple(path for path, text in accepted.items() if self._values[path] != text)
        for path in changed:
            self._store(path, accepted[path])
        self._set_key(key)
        return changed

    def attributes(self, names: Sequence[str]) -> tuple[Attributes, ...]:
        """GetParameterAttributes: of these parameters, or of all below a path.

        Raises:
            ModelFault: 9005, there is no such parameter or path.
        """
        return tuple(
            Attributes(path, self.notification(path), self._access_lists.get(path, ()))
            for name in names
            for path in self._below(name)
        )

    def set_attributes(self, requests: Sequence[AttributeRequest]) -> None:
        """SetParameterAttributes: all of these or none.

        Raises:
            ModelFault: 9005, no such parameter; 9003, no such notification; 9009, it is refused.
        """
        accepted: list[tuple[str, AttributeRequest]] = []
        for request in requests:
            wanted = request.notification
            if wanted not in (None, *Notification):
                raise ModelFault(
                    INVALID_ARGUMENTS, f"{request.path}: notification {wanted}; 0 to 2 are known"
                )
            for path in self._below(request.path):
                definition = self._definition(path)
                if wanted == Notification.ACTIVE and definition.can_deny:
                    raise ModelFault(
                        NOTIFICATION_REJECTED, f"{path}: active notification is denied"
                    )
                if wanted not in (None, Notification.ACTIVE) and definition.always_active:
                    raise ModelFault(NOTIFICATION_REJECTED, f"{path}: always notified actively")
                accepted.append((path, request))
        for path, request in accepted:
            if request.notification is not None:
                self._notifications[path] = Notification(request.notification)
            if request.access_list is not None:
                self._access_lists[path] = request.access_list

    def add_object(self, table: str, key: str = "") -> int:
        """AddObject: a new instance, its values the model's defaults; its number.

        Raises:
            ModelFault: 9005, no such table, or not one to add to; 9004, it is full.
        """
        self._check_key(key)
        if not table.endswith(".") or table not in self._rows:
            raise ModelFault(INVALID_NAME, f"no table is called {table!r}")
        if not self._table_writable(table):
            raise ModelFault(INVALID_NAME, f"{table}: an ACS cannot add to it")
        if len(self._rows[table]) >= MOST_INSTANCES:
            raise ModelFault(RESOURCES_EXCEEDED, f"{table} has {MOST_INSTANCES} instances already")
        number = self._add(table)
        self._count(table, by_acs=True)
        self._set_key(key)
        return number

    def delete_object(self, path: str, key: str = "") -> None:
        """DeleteObject: an instance and all below it.

        Raises:
            ModelFault: 9005, no such instance, or not one to delete.
        """
        self._check_key(key)
        table, _, number = path.removesuffix(".").rpartition(".")
        table += "."
        known = path.endswith(".") and number.isdecimal() and int(number) in self.rows(table)
        if not known:
            raise ModelFault(INVALID_NAME, f"no instance of a table is called {path!r}")
        if not self._table_writable(table):
            raise ModelFault(INVALID_NAME, f"{path}: an ACS cannot delete it")
        self._delete(table, int(number))
        self._count(table, by_acs=True)
        self._set_key(key)

    # Persistence.

    def export(self) -> dict[str, Any]:
        """The whole state as plain data, for a reboot: what JSON can hold."""
        return {
            "values": dict(self._values),
            "rows": {table: list(numbers) for table, numbers in self._rows.items()},
            "next_row": dict(self._next_row),
            "notifications": {path: int(value) for path, value in self._notifications.items()},
            "access_lists": {path: list(value) for path, value in self._access_lists.items()},
            "changes": sorted(self._changes, key=lambda path: self._changes[path]),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `export` gave.

        Raises:
            BadInput: it is of another model.
        """
        strange = [path for path in state["values"] if template(path) not in self.model.parameters]
        if strange:
            raise unknown("parameter", strange[0], self.model.parameters)
        self._values = dict(state["values"])
        self._rows = {table: list(numbers) for table, numbers in state["rows"].items()}
        self._next_row = dict(state["next_row"])
        self._notifications = {
            path: Notification(value) for path, value in state["notifications"].items()
        }
        self._access_lists = {path: tuple(each) for path, each in state["access_lists"].items()}
        self._changes = {}
        for path in state["changes"]:
            self._serial += 1
            self._changes[path] = self._serial

    # Below: how it is done.

    def _definition(self, path: str) -> ParameterDefinition:
        return self.model.parameters[template(path)]

    def _shown(self, path: str) -> Value:
        definition = self._definition(path)
        return Value(path, "" if definition.hidden else self._values[path], definition.type.name)

    def _below(self, name: str) -> list[str]:
        """The parameters that a name of an ACS means: itself, or all below a path."""
        if name in self._values:
            return [name]
        if name and name not in self._objects():
            raise ModelFault(INVALID_NAME, f"no parameter or object is called {name!r}")
        return [path for path in self._values if path.startswith(name)]

    def _objects(self) -> dict[str, bool]:
        """Every object there is now, and whether the ACS may add to it or delete it."""
        found: dict[str, bool] = {}
        for path in self._values:
            parts = path.split(".")[:-1]
            for count in range(1, len(parts) + 1):
                found[".".join(parts[:count]) + "."] = False
        for table, numbers in self._rows.items():
            writable = self._table_writable(table)
            found[table] = writable
            for number in numbers:
                found[f"{table}{number}."] = writable
        return found

    def _table_writable(self, table: str) -> bool:
        return self.model.objects[f"{template(table)}{INSTANCE}."].writable

    def _refuse(self, value: Value, accepted: dict[str, str]) -> Refusal | None:
        """Why a value cannot be set; None: it can, and `accepted` has it in its one spelling."""
        path = value.path
        if path not in self._values:
            return Refusal(path, INVALID_NAME, "there is no such parameter")
        definition = self._definition(path)
        if not definition.writable:
            return Refusal(path, NOT_WRITABLE, "is read-only")
        if path in accepted:
            return Refusal(path, INVALID_ARGUMENTS, "is in the list twice")
        if value.type and value.type != definition.type.name:
            return Refusal(path, INVALID_TYPE, f"is {definition.type.name}, not {value.type}")
        try:
            accepted[path] = definition.type.canonical(value.text)
        except ValueRefused as refused:
            return Refusal(path, INVALID_VALUE, str(refused))
        return None

    def _store(self, path: str, text: str) -> None:
        self._values[path] = text
        if path == f"{self.model.root}ManagementServer.URL":
            # TR-111 1.2.2: the defaults apply again whenever the URL of the ACS is set or changed.
            self._notifications.clear()

    def _check_key(self, key: str) -> None:
        if len(key) > 32:
            raise ModelFault(
                INVALID_ARGUMENTS, f"ParameterKey has {len(key)} characters, at most 32 are allowed"
            )

    def _set_key(self, key: str) -> None:
        self._values[f"{self.model.root}ManagementServer.ParameterKey"] = key

    def _populate(self, definition_path: str, path: str) -> None:
        """Make all below a new object: parameters with their defaults, tables, first rows."""
        for each in self.model.parameters.values():
            rest = each.path[len(definition_path) :]
            if each.path.startswith(definition_path) and INSTANCE not in rest:
                self._values[path + rest] = each.default
        for table_definition in self.model.objects.values():
            rest = table_definition.path[len(definition_path) :]
            inside = table_definition.path.startswith(definition_path) and rest
            if inside and table_definition.is_table and rest.count(INSTANCE) == 1:
                table = path + rest.removesuffix(f"{INSTANCE}.")
                self._rows[table] = []
                self._next_row[table] = 1
                for _ in range(table_definition.instances):
                    self._add(table)
                self._count(table, by_acs=True)

    def _add(self, table: str) -> int:
        number = self._next_row[table]
        self._next_row[table] += 1
        self._rows[table].append(number)
        self._populate(f"{template(table)}{INSTANCE}.", f"{table}{number}.")
        return number

    def _delete(self, table: str, number: int) -> None:
        gone = f"{table}{number}."
        self._rows[table].remove(number)
        kept: tuple[dict[str, Any], ...] = (
            *(self._values, self._rows, self._next_row),
            *(self._notifications, self._access_lists, self._changes),
        )
        for each in kept:
            for path in [path for path in each if path.startswith(gone)]:
                del each[path]

    def _count(self, table: str, by_acs: bool = False) -> None:
        """Bring the table's NumberOfEntries, where it has one, up to date."""
        path = f"{table.removesuffix('.')}NumberOfEntries"
        if path not in self._values:
            return
        text = str(len(self._rows[table]))
        if by_acs:
            self._values[path] = text
        else:
            self.assign(path, text)
