"""What `--set NAME=VALUE` and `--nat KIND` change: the arguments of a topology function.

Values are text from the command line; the function's own annotations say what they become.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from testbed.errors import BadInput, unknown
from testbed.topology import Esp, Nat, Topology, TopologyFunction

ESP_SETTING = "esp"
"""`--set esp=kernel` has the kernel do ESP, whatever the topology."""


def parse_settings(given: typing.Iterable[str]) -> dict[str, str]:
    """Split NAME=VALUE words.

    Raises:
        BadInput: no "=" in one, or a name given twice.
    """
    settings: dict[str, str] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadInput(f"--set takes NAME=VALUE, not {word!r}")
        if name in settings:
            raise BadInput(f"--set {name} is given twice: {settings[name]!r} and {value!r}")
        settings[name] = value
    return settings


def build_topology(
    function: TopologyFunction,
    own: Mapping[str, Any],
    given: Mapping[str, str],
    nat: str | None = None,
) -> Topology:
    """Call the topology function with the scenario's own settings and, over them, the user's.

    One setting is every topology's: `esp`, who encrypts what goes through tunnels.

    Raises:
        BadInput: an unknown setting, a value that its type cannot take, an unknown NAT kind.
    """
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    arguments: dict[str, Any] = dict(own)
    esp = Esp.USER
    for name, value in given.items():
        if name == ESP_SETTING:
            esp = convert(f"--set {name}", value, Esp)
            continue
        if name not in parameters:
            known = [*parameters, ESP_SETTING]
            raise unknown(f"setting of the topology {function.__name__}", name, known)
        arguments[name] = convert(f"--set {name}", value, hints[name])
    topology = function(**arguments)
    topology.esp = esp
    if nat is not None:
        kind = convert("--nat", nat, Nat)
        topology.nodes = {
            name: dataclasses.replace(node, nat=kind) if node.nat is not None else node
            for name, node in topology.nodes.items()
        }
    return topology


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
