"""What `--set NAME=VALUE` and `--nat KIND` change: the arguments of a topology function.

Values are text from the command line; the function's own annotations say what they become.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.errors import BadInput, unknown
from testbed.settings.convert import convert
from testbed.settings.nat_file import SUFFIX, read_nat
from testbed.topology import (
    KNOBS,
    QUALITIES,
    Esp,
    Nat,
    Quality,
    Topology,
    TopologyFunction,
    find_nat,
    furnish,
)

ENGINE_PREFIX = "engine."
"""`--set engine.tls=real`: a choice that an engine gives."""
LINK_PREFIX = "link."
"""`--set link.loss=0.1`, `--set link.home.delay_ms=20`: how every link, or that one, carries."""
NAT_PREFIX = "nat."
"""`--set nat.lifetime_s=30`: a knob of every gateway's NAT."""
LABEL = ("oui", "product_class", "serial_number")
"""`--set hnb.serial_number=4711`: who a node is, above all one that a device of yours plays."""
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
    arguments = {name: value for name, value in own.items() if not name.startswith(LINK_PREFIX)}
    knobs: dict[str, object] = {}
    esp = Esp.USER
    for name, value in given.items():
        if name.startswith(NAT_PREFIX):
            knobs |= _knob(name, value)
        elif name == ESP_SETTING:
            esp = convert(f"--set {name}", value, Esp)
        elif name.startswith((ENGINE_PREFIX, LINK_PREFIX)) or _is_of_label(name):
            continue
        elif name in parameters:
            what = f"--set {name}"
            is_nat = hints[name] is Nat
            arguments[name] = (
                named_nat(value, f"value for {what}")
                if is_nat
                else convert(what, value, hints[name])
            )
        else:
            raise unknown(
                f"setting of the topology {function.__name__}", name, [*parameters, ESP_SETTING]
            )
    topology = function(**arguments)
    topology.esp = esp
    _change_nats(topology, None if nat is None else named_nat(nat, "value for --nat"), knobs)
    _change_labels(topology, given)
    furnish(topology)
    _change_links(topology, own)
    _change_links(topology, given)
    return topology


def _is_of_label(name: str) -> bool:
    return name.partition(".")[2] in LABEL


def _change_labels(topology: Topology, given: Mapping[str, str]) -> None:
    """Give nodes the identity that `--set NODE.serial_number=VALUE` and the like say they have."""
    for name, value in given.items():
        node, _, word = name.partition(".")
        if not _is_of_label(name):
            continue
        if node not in topology.nodes:
            raise unknown(f"node of this topology (--set {name})", node, topology.nodes)
        changed = topology.nodes[node]
        topology.nodes[node] = dataclasses.replace(
            changed, settings={**changed.settings, word: value}
        )


def _knob(name: str, value: str) -> dict[str, object]:
    """A knob of a NAT, as `--set nat.KNOB=VALUE` gives it."""
    knob = name.removeprefix(NAT_PREFIX)
    if knob not in KNOBS:
        raise unknown("knob of a NAT", knob, KNOBS, "testbed list nats")
    return {knob: convert(f"--set {name}", value, typing.get_type_hints(Nat)[knob])}


def chosen_nat(kind: str, given: Mapping[str, str]) -> Nat:
    """A kind with knobs, without a topology.

    Raises:
        BadInput: an unknown kind, a setting that is no knob, or a value that does not fit.
    """
    knobs: dict[str, object] = {}
    for name, value in given.items():
        if not name.startswith(NAT_PREFIX):
            raise BadInput(f"--set {name}: only knobs of the NAT can be set here, nat.KNOB=VALUE")
        knobs |= _knob(name, value)
    return named_nat(kind, "value for --nat").with_knobs(knobs)


def named_nat(word: str, what: str) -> Nat:
    """The kind of that name, or the one in that file.

    Raises:
        BadInput: there is none; names the nearest, or says what is wrong with the file.
    """
    if word.endswith(SUFFIX):
        return read_nat(Path(word))
    return find_nat(word, what)


def engine_settings(given: Mapping[str, str]) -> dict[str, str]:
    """The choices of an engine among the user's settings, by name."""
    return {
        name.removeprefix(ENGINE_PREFIX): value
        for name, value in given.items()
        if name.startswith(ENGINE_PREFIX)
    }


def asks_for_nat(nat: str | None, given: Mapping[str, str]) -> bool:
    """Whether the user says what gateways do: by a kind, or by a knob such as a lifetime."""
    return nat is not None or any(each == "nat" or each.startswith(NAT_PREFIX) for each in given)


def _change_links(topology: Topology, given: Mapping[str, Any]) -> None:
    """Give every link, or the one that is named, the qualities that are asked for.

    What is said of one link outweighs what is said of all.

    Raises:
        BadInput: no such link or quality, or a value that is none of its measure.
    """
    asked = [name for name in given if name.startswith(LINK_PREFIX)]
    hints = typing.get_type_hints(Quality)
    for name in sorted(asked, key=lambda each: each.count(".")):
        which, _, quality = name.removeprefix(LINK_PREFIX).rpartition(".")
        if which and which not in topology.links:
            raise unknown("link", which, topology.links)
        if quality not in QUALITIES:
            if not which and quality in topology.links:
                raise BadInput(
                    f"--set {name}: say which quality of link {quality}, as {name}.delay_ms=20 "
                    f"({', '.join(QUALITIES)})"
                )
            raise unknown("quality of a link", quality, QUALITIES)
        value = given[name]
        if isinstance(value, str):
            value = convert(f"--set {name}", value, hints[quality])
        for link in [topology.links[which]] if which else topology.links.values():
            try:
                link.quality = link.quality.changed({quality: value})
            except BadInput as error:
                told = str(error).removeprefix("link: ")
                raise BadInput(f"--set {name}={given[name]}: {told}") from None


def _change_nats(topology: Topology, kind: Nat | None, knobs: Mapping[str, object]) -> None:
    """Give every node that translates that kind, and those knobs."""
    translating = [each for each in topology.nodes.values() if each.nat is not None]
    if knobs and not translating:
        raise BadInput(
            f"--set {NAT_PREFIX}{next(iter(knobs))}: no node of this topology translates"
        )
    for node in translating:
        nat = kind if kind is not None else node.nat
        assert nat is not None
        topology.nodes[node.name] = dataclasses.replace(node, nat=nat.with_knobs(knobs))
