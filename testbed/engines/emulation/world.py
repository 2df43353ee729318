"""One topology in a lab: network, hosts and capture, joined into what a stage asks for.

Runs inside the lab's namespaces (`lab.py`), as the only process that holds sockets of nodes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from testbed.engines.emulation.capture import HOLD_S, Capture
from testbed.engines.emulation.host import EmulatedHost
from testbed.engines.emulation.network import Network
from testbed.host import Interface
from testbed.topology import Topology, hardware_address, interface_name
from testbed.trace.record import Frame
from testbed.trace.trace import Trace

EVENT_HOLD_S = 3 * HOLD_S
"""The capture gives a frame out after two periods at the latest."""
EVENT_HOLD_NS = int(EVENT_HOLD_S * 1e9)


class EmulationWorld:
    """Linux namespaces, wired by Mininet, captured at every interface.

    Args:
        topology: what to build.
        trace: gets every frame and every event.
        seed: of all hosts' randomness.
    """

    def __init__(
        self,
        topology: Topology,
        trace: Trace,
        seed: str,
    ) -> None:
        self.topology = topology
        self.trace = trace
        self._held: deque[tuple[int, str, str, Mapping[str, Any]]] = deque()
        self.crashes: list[tuple[str, BaseException]] = []
        self.crashed = asyncio.Event()
        self.network = Network(topology)
        self.network.start()
        self.hosts: dict[str, EmulatedHost] = {
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
            for name, host in self.hosts.items()
            for interface in host.interfaces.values()
        }
        self.capture = Capture(
            {name: self.network.nodes[name].namespace for name in topology.nodes},
            lambda node, interface: self._links.get((node, interface)),
            self._frame,
            trace.arrived,
        )
        self.capture.start()

    def tell(self, node: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write a node's event into the trace, behind the frames that caused it.

        The capture holds frames back to give them out in order, so events are held back longer.
        """
        if not self._held:
            asyncio.get_running_loop().call_later(EVENT_HOLD_S, self._release, None)
        self._held.append((time.time_ns(), node, event, fields))

    def _frame(self, frame: Frame) -> None:
        self._release(frame.time_ns)
        self.trace.add_frame(frame)

    def _release(self, until_ns: int | None) -> None:
        """Give the trace what is held from before that time; None: what is old enough."""
        bound_ns = time.time_ns() - EVENT_HOLD_NS if until_ns is None else until_ns
        while self._held and self._held[0][0] <= bound_ns:
            time_ns, node, event, fields = self._held.popleft()
            self.trace.add_event(node, event, fields, time_ns)
        if until_ns is None and self._held:
            wait_s = (self._held[0][0] - bound_ns) / 1e9
            asyncio.get_running_loop().call_later(wait_s, self._release, None)

    def _role_crashed(self, node: str, error: BaseException) -> None:
        self.crashes.append((node, error))
        self.crashed.set()

    def power(self, node: str, on: bool) -> None:
        """Give the node power, or take it."""
        if on:
            self.hosts[node].power_on()
        else:
            self.hosts[node].power_off()

    def set_link(self, node: str, interface: str, up: bool) -> None:
        """Plug the node's cable in or pull it out."""
        self.network.set_link(node, interface, up)

    async def flush(self) -> None:
        """Wait until all that is on the wires by now is in the trace."""
        await self.capture.flush()
        self._release(time.time_ns())

    def stop(self) -> None:
        """Take all power away and let the namespaces go."""
        for host in self.hosts.values():
            host.power_off()
        self.capture.stop()
        self._release(time.time_ns())
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
