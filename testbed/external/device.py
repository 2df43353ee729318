"""A device on the bench in the place of a role: `--dut NODE=INTERFACE`.

Nobody can tell it anything: whoever runs the scenario is asked to give it power and to take it, and
all that is known of it is what it puts on its wires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from testbed.errors import BadInput, Unsupported, unknown
from testbed.external.foreign import Foreign
from testbed.host import DeviceHost
from testbed.topology import Node, Topology

DEVICE = "device"
"""What a report calls whoever plays such a node."""
PATIENCE = 30.0
"""How many times as long a step may take: a femtocell boots for minutes."""


class Device(Foreign):
    """A device that plays one node.

    Args:
        host: plugs it in.
        node: its place in the topology.
        interfaces: of this machine, behind which it is, in the order of the node's own.
        starts_off: whether a scenario gives it power; else it is to have power from the start.
        facts: what our role would know of itself before it has power, for scenarios that ask.
        ask: asks whoever runs the scenario to do something, in one sentence.
    """

    tells_nothing = True

    def __init__(
        self,
        host: DeviceHost,
        node: Node,
        interfaces: Sequence[str],
        starts_off: bool,
        ask: Callable[[str], None],
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(node)
        self.host = host
        self.starts_off = starts_off
        self._where = f"the device at {' and '.join(interfaces)}"
        self._ask = ask
        vars(self).update(facts)

    def unable(self, ability: str) -> Unsupported:
        """The error for something that a scenario asks for and nobody can ask of a device."""
        return Unsupported(
            f"{self.name} is {self._where}, of which nobody can ask {ability!r}: only the "
            "testbed's own role has that"
        )

    async def start(self) -> None:
        """Plug it in, and ask for power."""
        self.host.join_device()
        addresses = [
            f"{each.address}/{each.prefix_length} on its link {each.link!r}"
            for each in self.node.attachments
            if each.address is not None
        ]
        held = f"; it has {', '.join(addresses)}" if addresses else ""
        self._ask(f"{self.name}: give {self._where} power now, or have it start anew{held}")

    def stop(self) -> None:
        """Its cables are pulled out by the host; ask to take its power."""
        self._ask(f"{self.name}: take the power of {self._where} now")


def parse_devices(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """NODE=INTERFACE[,INTERFACE] words as interfaces of this machine by node.

    Raises:
        BadInput: not of that form, or a node or an interface twice.
    """
    devices: dict[str, tuple[str, ...]] = {}
    for word in words:
        node, _, told = word.partition("=")
        interfaces = tuple(told.split(","))
        if not node or not all(interfaces):
            raise BadInput(f"--dut takes ROLE=INTERFACE[,INTERFACE], not {word!r}")
        if node in devices:
            raise BadInput(f"--dut {node} is given twice")
        devices[node] = interfaces
    taken = [interface for interfaces in devices.values() for interface in interfaces]
    for interface in taken:
        if taken.count(interface) > 1:
            raise BadInput(f"--dut: the interface {interface} is given twice")
    return devices


def check_devices(devices: Mapping[str, Sequence[str]], topologies: Iterable[Topology]) -> None:
    """Look whether the devices fit what is going to be run.

    Raises:
        BadInput: a topology lacks the node, or the node has more or fewer interfaces.
    """
    for topology in topologies:
        for name, interfaces in devices.items():
            if name not in topology.nodes:
                raise unknown("node of these topologies", name, topology.nodes)
            links = [each.link for each in topology.nodes[name].attachments]
            if len(links) != len(interfaces):
                raise BadInput(
                    f"--dut {name}={','.join(interfaces)}: {name} has {len(links)} interfaces, on "
                    f"the links {', '.join(links)}: give one interface of this machine for each, "
                    "with commas between"
                )
