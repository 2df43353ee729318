"""One topology in a lab: network, hosts and capture, joined into what a stage asks for.

Runs inside the lab's namespaces (`lab.py`), as the only process that holds sockets of nodes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from testbed.engines.emulation.capture import Capture
from testbed.engines.emulation.host import EmulatedHost
from testbed.engines.emulation.network import Network
from testbed.host import Interface
from testbed.topology import Topology, hardware_address, interface_name
from testbed.trace.trace import Trace


class EmulationWorld:
    """Linux namespaces, wired by Mininet, captured at every interface.

    Args:
        topology: what to build.
        trace: gets every frame and every event.
        seed: of all hosts' randomness.
        captured: whether frames come into the trace; without, only events do, and nothing slows a
            flood of packets down (a prompt's iperf).
    """

    def __init__(
        self,
        topology: Topology,
        trace: Trace,
        seed: str,
        captured: bool = True,
    ) -> None:
        self.topology = topology
        self.trace = trace
        self.crashes: list[tuple[str, BaseException]] = []
        self.crashed = asyncio.Event()
        self.network = Network(topology)
        self.network.start()
        self._hosts: dict[str, EmulatedHost] = {
            name: EmulatedHost(
                name,
                self.network.nodes[name].namespace,
                interfaces_of(topology, name),
                seed,
                self.tell,
                self._role_crashed,
            )
            for name in topology.nodes
        }
        self._links = {
            (name, interface.name): interface.link
            for name, host in self._hosts.items()
            for interface in host.interfaces.values()
        }
        self.capture = Capture(
            {n: self.network.nodes[n].namespace for n in topology.nodes} if captured else {},
            lambda node, interface: self._links.get((node, interface)),
            trace.add_frame,
            trace.arrived,
        )
        self.capture.start()

    @property
    def hosts(self) -> Mapping[str, EmulatedHost]:
        """By node name."""
        return self._hosts

    def tell(self, node: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write a node's event into the trace, in its place among the frames."""
        self.capture.put(time.time_ns(), self._event, (node, event, fields))

    def _event(self, told: tuple[str, str, Mapping[str, Any]]) -> None:
        node, event, fields = told
        self.trace.add_event(node, event, fields, self.capture.given_ns)

    def _role_crashed(self, node: str, error: BaseException) -> None:
        self.crashes.append((node, error))
        self.crashed.set()

    def power(self, node: str, on: bool) -> None:
        """Give the node power, or take it."""
        if on:
            had_power = self.hosts[node].powered
            self.hosts[node].power_on()
            if not had_power:
                self.network.await_node(node)
        else:
            self.hosts[node].power_off()

    def set_link(self, node: str, interface: str, up: bool) -> None:
        """Plug the node's cable in or pull it out."""
        self.network.set_link(node, interface, up)

    async def flush(self) -> None:
        """Wait until all that is on the wires by now is in the trace."""
        await self.capture.flush()

    def finish(self) -> None:
        """All that was on the wires is in the trace, and nothing more comes.

        For the work of a lab that ends with it: namespaces, rules and what else the kernel takes
        with the lab are left to the kernel, which is ten times faster than taking them down.
        """
        self.capture.stop()
        self.trace.drops = sum(self.capture.drops.values())
        for host in self.hosts.values():
            host.let_go()

    def stop(self) -> None:
        """Take all power away and let the namespaces go."""
        self.capture.stop()
        for host in self.hosts.values():
            host.close()
        self.trace.drops = sum(self.capture.drops.values())
        self.network.stop()


def interfaces_of(topology: Topology, node: str) -> dict[str, Interface]:
    """The interfaces of a node, by name."""
    return {
        interface_name(number): Interface(
            interface_name(number), attachment.link, hardware_address(topology, node, number)
        )
        for number, attachment in enumerate(topology.nodes[node].attachments)
    }
