"""One topology in virtual time: links, hosts and trace, joined into what a stage asks for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.engines.simulation.clock import MICROSECONDS, SimulationLoop
from testbed.engines.simulation.epoch import EPOCH_S
from testbed.engines.simulation.host import SimulatedHost
from testbed.engines.simulation.links import Judge, Link, Station
from testbed.engines.simulation.packets import Packet, frame
from testbed.engines.simulation.security import ModelledSecurity, RealSecurity, Security
from testbed.engines.simulation.tunnels import INTERFACE
from testbed.engines.tls import Tap
from testbed.engines.tunnel_inside import LINK
from testbed.host import Interface, World
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.wire import Endpoint
from testbed.topology import LOOPBACK, Topology, hardware_addresses, interface_name
from testbed.trace.record import Clear, Frame
from testbed.trace.trace import Trace

_EPOCH_NS = EPOCH_S * 1_000_000_000
_NO_HARDWARE = "00:00:00:00:00:00"

_EXCHANGE_HOPS = 8
RAW_IP = 101
"""pcap's number of frames without a link layer."""
MODELLED = {
    "network": "links as bridges that know who holds which address; IPv4, ARP, UDP, TCP by RFC "
    "without SACK and time stamps",
    "nat": "NatTable",
    "tunnels": "IKEv2 and ESP with real messages, certificates and encryption; public values and "
    "signatures that mean nothing",
}
"""What reports say of what is not real, beside TLS."""


class SimulationWorld:
    """A topology, in the loop that runs.

    Args:
        topology: what to build.
        trace: gets every frame and every event.
        seed: of all randomness.
        real_tls: OpenSSL instead of the model.
        key_log: where OpenSSL's secrets are written while it runs.
        judge: says of each frame what becomes of it; None: as the links' qualities say.

    Attributes:
        key_log: the secrets of all TLS connections, once the world has stopped.
        crashes: node and error of each role that crashed.
        crashed: set with the first.
        links: by name.
    """

    def __init__(
        self,
        topology: Topology,
        trace: Trace,
        seed: str,
        real_tls: bool = False,
        key_log: Path | None = None,
        judge: Judge | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop), "a simulation lives in virtual time"
        self.topology = topology
        self.trace = trace
        self.key_log = b""
        self.crashes: list[tuple[str, BaseException]] = []
        self.crashed = asyncio.Event()
        self._has_ended = False
        self._loop = loop
        self._connections = itertools.count()
        self._security: Security = RealSecurity(key_log) if real_tls else ModelledSecurity()
        self.links = {
            name: Link(
                name,
                link.quality,
                loop,
                f"{seed}/link/{name}",
                self._sent,
                self._received,
            )
            for name, link in topology.links.items()
        }
        for link in self.links.values():
            link.judge = judge
        hardware = hardware_addresses(topology)
        self._hosts = {
            name: SimulatedHost(
                node,
                {
                    interface_name(number): Interface(
                        interface_name(number),
                        attachment.link,
                        hardware[name, number],
                    )
                    for number, attachment in enumerate(node.attachments)
                },
                self.links,
                seed,
                loop,
                self.tell,
                self._role_crashed,
                self._security,
                self._tap,
                self._inner,
                self._keys_told,
            )
            for name, node in topology.nodes.items()
        }
        for name, node in topology.nodes.items():
            if node.settings.get("loopback"):
                self._hosts[name].stack.looped = partial(self._looped, name)

    @property
    def hosts(self) -> Mapping[str, SimulatedHost]:
        """By node name."""
        return self._hosts

    @property
    def modelled(self) -> dict[str, str]:
        """What is a model here, and of what kind."""
        return {**MODELLED, "tls": self._security.about}

    @property
    def now_ns(self) -> int:
        """The trace's time."""
        return _EPOCH_NS + self._loop.now_us * 1000

    # The trace

    def _sent(self, link: str, station: Station, data: bytes) -> None:
        if not self._has_ended:
            self.trace.add_frame(Frame(self.now_ns, link, station.node, station.name, data))

    def _received(self, link: str, station: Station, data: bytes) -> None:
        self.trace.arrived(Frame(self.now_ns, link, station.node, station.name, data))

    def _looped(self, node: str, packet: Packet) -> None:
        """What a node sends to itself, as Linux shows it on lo."""
        octets = frame(_NO_HARDWARE, _NO_HARDWARE, packet)
        told = Frame(self.now_ns, f"{node} itself", node, LOOPBACK, octets)
        if not self._has_ended:
            self.trace.add_frame(told)
            self.trace.arrived(told)

    def _inner(self, node: str, packet: bytes, goes_in: bool) -> None:
        frame = Frame(self.now_ns, LINK, node, INTERFACE, packet, RAW_IP)
        if self._has_ended:
            return
        if goes_in:
            self.trace.add_frame(frame)
        else:
            self.trace.arrived(frame)

    def _keys_told(self, keys: IkeKeys | EspKeys) -> None:
        if isinstance(keys, IkeKeys):
            self.trace.add_ike_keys(keys)
        else:
            self.trace.add_esp_keys(keys)

    def tell(self, node: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write a node's event into the trace."""
        if not self._has_ended:
            self.trace.add_event(node, event, fields, self.now_ns)

    def _tap(self, node: str, local: Endpoint, remote: Endpoint, connected: bool) -> Tap | None:
        """Who hears a TLS stream in clear: the end that has connected it, so that no message is
        told twice."""
        if not connected:
            return None
        return partial(self._heard, next(self._connections), node, local, remote)

    def _heard(
        self,
        number: int,
        node: str,
        local: Endpoint,
        remote: Endpoint,
        outgoing: bool,
        data: bytes,
    ) -> None:
        self.trace.add_clear(Clear(self.now_ns, number, node, local, remote, True, outgoing, data))

    def _role_crashed(self, node: str, error: BaseException) -> None:
        self.crashes.append((node, error))
        self.crashed.set()

    # The stage

    def power(self, node: str, on: bool) -> None:
        """Give the node power, or take it."""
        host = self._hosts[node]
        if on:
            host.power_on()
        else:
            host.power_off()

    def set_link(self, node: str, interface: str, up: bool) -> None:
        """Plug the node's cable in or pull it out."""
        self._hosts[node].set_link(interface, up)

    async def flush(self) -> None:
        """Wait until all that is on the wires by now has arrived, and what it brings about at once.

        What is answered to that, and so on, is waited for a few times: enough for an exchange.
        """
        for _ in range(_EXCHANGE_HOPS):
            last_us = max((link.last_arrival_us for link in self.links.values()), default=0)
            if last_us <= self._loop.now_us:
                return
            await asyncio.sleep((last_us - self._loop.now_us) / MICROSECONDS)

    def finish(self) -> None:
        """Nothing more comes."""
        self.key_log = self._security.key_log()
        self._security.close()
        for link in self.links.values():
            link.land()
        self._has_ended = True


if TYPE_CHECKING:
    _FITS_WORLD: type[World] = SimulationWorld
