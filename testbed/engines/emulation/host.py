"""A node of an emulation, as its role sees it: real sockets, addresses and rules in its namespace.

One asyncio process holds the hosts of all nodes.  Knows no topology: the network has wired the
namespace before, and whatever a role changes in it is undone when the node loses power.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from testbed.engines.emulation.carrier import CarrierWatch
from testbed.engines.emulation.configured import Configured
from testbed.engines.emulation.device import DeviceCable
from testbed.engines.emulation.interfaces import Neighbours, announce, await_ready
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.ports import (
    RECEIVE_BUFFER_OCTETS,
    UdpPort,
    enlarge_receive_buffer,
    require_address,
)
from testbed.engines.emulation.programs import RunningProgram
from testbed.engines.emulation.raw import RawPort
from testbed.engines.emulation.stream_ends import StreamEnds, Taps
from testbed.engines.emulation.streams import TcpListener, TcpStream
from testbed.engines.emulation.translation import Translates
from testbed.engines.emulation.tunnel_ends import TunnelGround
from testbed.engines.emulation.tunnels import NodeTunnels, TunnelEnds
from testbed.engines.life import Crashed, Tell
from testbed.engines.tls_policy import TlsContexts
from testbed.host import (
    DatagramHandler,
    Host,
    Interface,
    Port,
    Program,
    ProgramHost,
)
from testbed.protocols.wire import Endpoint


class EmulatedHost(StreamEnds, TunnelEnds, Translates, Neighbours):
    """One node.  Fits `testbed.host.Host`; make it inside the loop that is to serve it.

    It has power from the start.  Interfaces, static addresses and routes are the network's work.

    Args:
        name: the node's name.
        namespace: its namespace; stays open as long as this is used.
        interfaces: by name, "eth0" first.
        seed: the run's; this host's randomness is `Random(f"{seed}/{name}")`.
        tell: called with each event of the node.
        crashed: called when the node's role ends or answers by an exception of its own.
        contexts: the world's, for TLS.
        taps: who is told the clear octets of TLS streams; None: nobody.
        ground: what all tunnels of the world have in common.
    """

    def __init__(
        self,
        name: str,
        namespace: Namespace,
        interfaces: Mapping[str, Interface],
        seed: str,
        tell: Tell,
        crashed: Crashed,
        contexts: TlsContexts,
        taps: Taps | None = None,
        ground: TunnelGround | None = None,
    ) -> None:
        super().__init__(name, asyncio.get_running_loop(), tell, crashed)
        self.namespace = namespace
        self.interfaces = interfaces
        self.random = Random(f"{seed}/{name}")
        self.names: dict[str, str] = {}
        self._contexts = contexts
        self._taps = taps
        self._netlink = Netlink(namespace)
        self.prepare_translation()
        self._tunnels = NodeTunnels(self, self._netlink, self._forwarding, ground or TunnelGround())
        # Dictionaries, not sets: what ends together ends in the order in which it began.
        self._ports: dict[UdpPort | RawPort, None] = {}
        self._streams: dict[TcpStream, None] = {}
        self._listeners: dict[TcpListener, None] = {}
        self._programs: dict[RunningProgram, None] = {}
        self._device_wires: Sequence[socket.socket] = ()
        self._cables: list[DeviceCable] = []
        self._carrier_watch: CarrierWatch | None = None
        self._carrier_callbacks: list[Callable[[str, bool], None]] = []
        # What the network had configured, once the role has changed anything of it.
        self._before: Configured | None = None

    # Datagrams

    async def datagrams(
        self,
        local: Endpoint,
        handler: DatagramHandler,
        interface: str | None = None,
        broadcast: bool = False,
    ) -> Port:
        """Bind a UDP port.

        Bound to "0.0.0.0" on a node of several interfaces, it answers from the address that was
        asked.  Bound to one interface with `broadcast`, it also takes what comes to that interface
        for an address that the node does not hold (a DHCP answer to the address that it offers).

        Raises:
            OSError: the port is taken, the address is not ours, or the node has no power.
        """
        self.require_power()
        bound = self.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            enlarge_receive_buffer(bound, RECEIVE_BUFFER_OCTETS)
            if interface is not None:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            if broadcast:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            bound.bind((require_address(local.address), local.port))
            port = UdpPort(self, bound, handler, interface, bare=broadcast)
        except BaseException:
            bound.close()
            raise
        self._ports[port] = None
        self.listens(port.local.port, interface)
        return port

    async def raw(self, protocol: int, handler: DatagramHandler, local: str = "0.0.0.0") -> Port:
        """Send and receive what IP carries under a protocol number, such as SCTP (132).

        Raises:
            OSError: the address is not ours, or the node has no power.
        """
        self.require_power()
        port = RawPort(self, protocol, local, handler)
        self._ports[port] = None
        return port

    def forget(self, port: UdpPort | RawPort) -> None:
        """The port has closed."""
        self._ports.pop(port, None)

    # Addresses and routes

    def set_address(self, interface: str, address: str, prefix_length: int) -> None:
        """Give the interface this address, in place of the one it had, and announce it by ARP."""
        self._before = self._configured()
        self._netlink.set_address(interface, address, prefix_length)
        self._address_changed(interface, address)
        self._forget_learned()
        announce(self.namespace, self._netlink, interface, address)

    def clear_address(self, interface: str) -> None:
        """Take the interface's address away, and the routes that need it."""
        self._before = self._configured()
        self._netlink.flush_addresses(interface)
        self._address_changed(interface, None)
        self._forget_learned()

    def address_of(self, interface: str) -> str | None:
        """The address the interface has now."""
        return next((address for address, _ in self._netlink.addresses(interface)), None)

    def set_default_route(self, router: str | None) -> None:
        """Send what is for nobody near to `router`; None: no default route."""
        self._before = self._configured()
        self._netlink.set_default_route(router)

    def _configured(self) -> Configured:
        """What the network configured: it is noted before the role's first change."""
        return self._before or Configured.read(self._netlink, self.interfaces)

    def _address_changed(self, interface: str, address: str | None) -> None:
        self.tell("ADDRESS", interface=interface, address=address)

    def _forget_learned(self) -> None:
        for port in self._ports:
            port.forget_addresses()

    # Links

    def carrier(self, interface: str) -> bool:
        """Whether the interface's link is up: the cable is in and frames pass.

        Where changes are watched, it is what the watch has told so far.
        """
        if self._carrier_watch is not None:
            return self._carrier_watch.is_up(interface)
        state = self._netlink.link(interface)
        return state.carrier and state.ready

    def on_carrier(self, callback: Callable[[str, bool], None]) -> None:
        """Call back with (interface, up) each time a link of this node goes up or down."""
        self.require_power()
        self._carrier_callbacks.append(callback)
        if self._carrier_watch is None:
            for interface in self.interfaces:  # to ask makes the kernel settle what it puts off
                self._netlink.link(interface)
            self._carrier_watch = CarrierWatch(self.namespace, self._carrier_changed)

    def _carrier_changed(self, interface: str, up: bool) -> None:
        if interface in self.interfaces:
            for callback in list(self._carrier_callbacks):
                self.guard(callback, interface, up)

    # Programs

    async def run_program(
        self,
        command_line: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> Program:
        """Start a program; what it changes of addresses and routes ends with the node's power."""
        self.require_power()
        self._before = self._configured()
        heard = functools.partial(self.guard, on_line) if on_line is not None else None
        program = RunningProgram(self.namespace, command_line, log, environment, heard)
        self._programs[program] = None
        return program

    # A device in its place

    def stand_for_device(self, wires: Sequence[socket.socket]) -> None:
        """A device outside the lab is going to play this node, behind these sockets: it brings its
        own addresses, and the node has none."""
        self._device_wires = wires
        self._netlink.flush_default_routes()
        for interface in self.interfaces:
            self._netlink.flush_addresses(interface)

    def join_device(self) -> None:
        """Plug the device in, until the node loses power."""
        self.require_power()
        self._cables += [
            DeviceCable(self.namespace, interface, wire, self.loop)
            for interface, wire in zip(self.interfaces, self._device_wires, strict=True)
        ]

    # Power

    def power_off(self) -> None:
        """End all at once, as a plug that is pulled: nothing more leaves the node.

        Its links lose carrier first, so that no FIN or reset gets out; then tasks, timers, ports,
        streams and listeners end, and addresses, routes, rules and bindings are as the network had
        configured them.  Tasks see their cancellation at the loop's next turn.
        """
        if not self.powered:
            return
        self.powered = False
        if self._carrier_watch is not None:
            self._carrier_watch.close()
            self._carrier_watch = None
        self._carrier_callbacks.clear()
        self._before = self._configured()  # routes go when the interfaces go down
        with self._netlink.batch():
            for interface in self.interfaces:
                self._netlink.set_up(interface, False)
        self._end_work()
        for listener in list(self._listeners):
            listener.close()
        for stream in list(self._streams):
            stream.vanish()
        self.let_go()
        while self._programs:
            self._programs.popitem()[0].kill()
        self._tunnels.end()
        self._before.restore_addresses(self._netlink, self._address_changed)
        self.end_translation()

    def power_on(self) -> None:
        """The node's links come up, with the addresses and routes that the network configured.

        Returns when frames pass on every link that has carrier.
        """
        if self.powered:
            return
        assert self._before is not None
        self.powered = True
        with self._netlink.batch():
            for interface in self.interfaces:
                self._netlink.set_up(interface)
        for interface in self.interfaces:
            await_ready(self._netlink, interface)
        self._before.restore_routes(self._netlink)
        self._before = None

    def let_go(self) -> None:
        """The lab ends: close the ports, and leave all else to the end of the namespaces."""
        self._tunnels.hear()
        self.end_watch()
        while self._cables:
            self._cables.pop().close()
        for port in list(self._ports):
            port.close()

    def close(self) -> None:
        """Power off for good; the namespace may be closed."""
        self.power_off()
        self._netlink.close()


if TYPE_CHECKING:
    _FITS_HOST: type[Host] = EmulatedHost
    _FITS_PROGRAM_HOST: type[ProgramHost] = EmulatedHost
