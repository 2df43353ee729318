"""One topology in a lab: network, hosts and capture, joined into what a stage asks for.

Runs inside the lab's namespaces (`lab.py`), as the only process that holds sockets of nodes.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from testbed.engines.emulation.capture import Capture
from testbed.engines.emulation.carriage import Wanted, told
from testbed.engines.emulation.device import DeviceWatch, Wires
from testbed.engines.emulation.heartbeat import Heartbeat
from testbed.engines.emulation.host import EmulatedHost
from testbed.engines.emulation.network import Network
from testbed.engines.emulation.tunnel_daemon import INTERFACE
from testbed.engines.emulation.tunnel_ends import TunnelGround
from testbed.engines.tls import Tap
from testbed.engines.tls_policy import TlsContexts
from testbed.engines.tunnel_inside import LINK
from testbed.errors import BadInput, LocalError
from testbed.host import Interface
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.wire import Endpoint
from testbed.topology import LOOPBACK, Topology, hardware_address, interface_name
from testbed.trace.record import Clear, Frame
from testbed.trace.trace import Trace


class EmulationWorld:
    """Linux namespaces, wired by Mininet, captured at every interface.

    Args:
        topology: what to build.
        trace: gets every frame and every event.
        seed: of all hosts' randomness.
        key_log: where the secrets of TLS connections are written while they run; None: in a file
            that goes with the world.
        foreign: nodes that are played by programs or devices that are not ours: they tell nothing
            of their TLS connections, so that whom they connect to does.
        captured: whether frames come into the trace; without, only events do, and nothing slows a
            flood of packets down (a prompt's iperf).
        logs: folder of the logs of what the world itself starts (charon); None: none are kept.
        bindings: whether gateways tell what becomes of their bindings.
        wanted: who carries links that are no mere wires.
        devices: the nodes that are devices outside the lab, and the sockets on their interfaces.

    Attributes:
        key_log: the secrets of all TLS connections, in NSS key log form, once the world has
            stopped.
        versions: of what it has started itself (strongSwan), by name.
    """

    def __init__(
        self,
        topology: Topology,
        trace: Trace,
        seed: str,
        key_log: Path | None = None,
        foreign: Collection[str] = (),
        captured: bool = True,
        logs: Path | None = None,
        bindings: bool = False,
        wanted: Wanted = Wanted.AUTO,
        devices: Wires = MappingProxyType({}),
    ) -> None:
        self.topology = topology
        self.trace = trace
        self.key_log = b""
        self._keys_known: set[bytes | int] = set()
        self.crashes: list[tuple[str, BaseException]] = []
        self.crashed = asyncio.Event()
        self._foreign = frozenset((*foreign, *devices))
        self._device_watch = DeviceWatch(devices, trace)
        self._connections = itertools.count()
        self._link_counts: Mapping[str, Mapping[str, int]] = {}
        self._own_files: TemporaryDirectory[str] | None = None
        if key_log is None:
            self._own_files = TemporaryDirectory(prefix="keys")
            key_log = Path(self._own_files.name, "tls.log")
        self._contexts = TlsContexts(key_log)
        self.network = Network(topology, seed, wanted)
        self.network.start()
        self._watch_relay()
        ground = TunnelGround(logs, topology.esp, self._keys_told)
        self.versions: Mapping[str, str] = ground.versions
        self._hosts: dict[str, EmulatedHost] = {
            name: EmulatedHost(
                name,
                self.network.nodes[name].namespace,
                interfaces_of(topology, name),
                seed,
                self.tell,
                self._role_crashed,
                self._contexts,
                self._tap,
                ground,
            )
            for name in topology.nodes
        }
        for host in self._hosts.values():
            host.watches_bindings = bindings
        for name, wires in devices.items():
            self._hosts[name].stand_for_device(wires)
        self._links = {
            (name, interface.name): interface.link
            for name, host in self._hosts.items()
            for interface in host.interfaces.values()
        }
        self._links |= {
            (name, LOOPBACK): f"{name} itself"
            for name, node in topology.nodes.items()
            if node.settings.get("loopback")
        }
        self.capture = Capture(
            {n: self.network.nodes[n].namespace for n in topology.nodes} if captured else {},
            self._link_of,
            self._frame,
            trace.arrived,
            bridged=devices,
        )
        self.capture.start()
        self._heartbeat = Heartbeat(self._late)

    def _late(self, late_s: float) -> None:
        self.capture.put(time.time_ns(), self._tell_late, late_s)

    def _tell_late(self, late_s: float) -> None:
        self.trace.lateness.add(self.capture.given_ns, late_s)

    def _link_of(self, node: str, interface: str) -> str | None:
        return LINK if interface == INTERFACE else self._links.get((node, interface))

    def _frame(self, frame: Frame) -> None:
        try:
            self._device_watch.heard(frame)
        except BadInput as error:
            self._role_crashed(frame.node, error)
        self.trace.add_frame(frame)

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

    def _tap(self, node: str, local: Endpoint, remote: Endpoint, connected: bool) -> Tap | None:
        """Who hears a TLS stream in clear: one end of each connection, so that no message is told
        twice."""
        if node in self._foreign or (not connected and not self._foreign):
            return None
        return partial(self._heard, (next(self._connections), node, local, remote, connected))

    def _heard(
        self, end: tuple[int, str, Endpoint, Endpoint, bool], outgoing: bool, data: bytes
    ) -> None:
        self.capture.put(time.time_ns(), self._clear, (*end, outgoing, data))

    def _clear(self, heard: tuple[int, str, Endpoint, Endpoint, bool, bool, bytes]) -> None:
        clear = Clear(self.capture.given_ns, *heard)
        if not clear.connected:
            peer = self.trace.peer_of(clear)
            if peer is not None and peer not in self._foreign:
                return  # that end tells it
        self.trace.add_clear(clear)

    def _keys_told(self, keys: IkeKeys | EspKeys) -> None:
        spi = keys.initiator_spi + keys.responder_spi if isinstance(keys, IkeKeys) else keys.spi
        if spi in self._keys_known:
            return  # the other end has told them
        self._keys_known.add(spi)
        if isinstance(keys, IkeKeys):
            self.trace.add_ike_keys(keys)
        else:
            self.trace.add_esp_keys(keys)

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

    def _watch_relay(self) -> None:
        """A relay that ends by itself ends the run: its links carry nothing any more."""
        relay = self.network.relay
        if relay is None:
            return

        def ended() -> None:
            asyncio.get_running_loop().remove_reader(relay.fileno())
            try:
                relay.finish()
            except LocalError as error:
                self._role_crashed("links", error)

        asyncio.get_running_loop().add_reader(relay.fileno(), ended)

    def _finish_relay(self) -> None:
        relay = self.network.relay
        if relay is None or relay.has_ended:
            return
        asyncio.get_running_loop().remove_reader(relay.fileno())
        self._link_counts = relay.finish()
        self.trace.drops += sum(each["spoilt"] for each in self._link_counts.values())

    @property
    def links_told(self) -> dict[str, dict[str, object]]:
        """Who carries each link, and what became of its frames where the relay did."""
        return told(self.topology, self.network.back_ends, self._link_counts)

    def finish(self) -> None:
        """All that was on the wires is in the trace, and nothing more comes.

        For the work of a lab that ends with it: namespaces, rules and what else the kernel takes
        with the lab are left to the kernel, which is ten times faster than taking them down.
        """
        self._close_capture()
        for host in self.hosts.values():
            host.let_go()

    def stop(self) -> None:
        """Take all power away and let the namespaces go."""
        self._close_capture()
        for host in self.hosts.values():
            host.close()
        self.network.stop()

    def _close_capture(self) -> None:
        self._heartbeat.stop()
        self.capture.stop()
        self.trace.drops = sum(self.capture.drops.values())
        self._finish_relay()
        self.key_log = self._contexts.key_log()
        if self._own_files is not None:
            self._own_files.cleanup()


def interfaces_of(topology: Topology, node: str) -> dict[str, Interface]:
    """The interfaces of a node, by name."""
    return {
        interface_name(number): Interface(
            interface_name(number), attachment.link, hardware_address(topology, node, number)
        )
        for number, attachment in enumerate(topology.nodes[node].attachments)
    }
