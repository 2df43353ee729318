"""A node of a simulation, as its role sees it."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

from testbed.engines.handshakes import Handshakes
from testbed.engines.life import Crashed, Life, Tell
from testbed.engines.simulation.clock import SimulationLoop
from testbed.engines.simulation.interfaces import NetworkInterface
from testbed.engines.simulation.links import Link
from testbed.engines.simulation.packets import ANY_ADDRESS, UDP
from testbed.engines.simulation.raw import RawPort
from testbed.engines.simulation.security import Secured, Security
from testbed.engines.simulation.stack import Stack
from testbed.engines.simulation.streams import TcpEnds, TcpListener, TcpStream
from testbed.engines.simulation.translation import Translator
from testbed.engines.simulation.tunnel_owner import OnKeys
from testbed.engines.simulation.tunnels import Inner, NodeTunnels, TunnelEnds
from testbed.engines.simulation.udp import (
    UdpPort,
    UdpPorts,
    problem,
    require_address,
    require_any_address,
)
from testbed.engines.tls import Tap
from testbed.host import (
    DatagramHandler,
    Host,
    Interface,
    Listener,
    Port,
    Stream,
    StreamHandler,
    TlsProfile,
)
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat, Node

Taps = Callable[[str, Endpoint, Endpoint, bool], Tap | None]
"""Called with node, local and remote end of a TLS stream and whether the node has connected it;
gives who is told its clear octets."""


class SimulatedHost(Life, TunnelEnds):
    """One node.  Fits `testbed.host.Host`.

    It has power from the start, and its static addresses and default route.

    Args:
        node: of the topology.
        interfaces: by name, "eth0" first.
        links: by name.
        seed: the run's; this host's randomness is `Random(f"{seed}/{name}")`.
        loop: the clock.
        tell: called with each event of the node.
        crashed: called when the node's role ends or answers by an exception of its own.
        security: how streams are protected.
        taps: who is told the clear octets of TLS streams.
        inner: told what goes into the node's tunnels and comes out.
        on_keys: told the keys of tunnels.
    """

    def __init__(
        self,
        node: Node,
        interfaces: Mapping[str, Interface],
        links: Mapping[str, Link],
        seed: str,
        loop: SimulationLoop,
        tell: Tell,
        crashed: Crashed,
        security: Security,
        taps: Taps,
        inner: Inner,
        on_keys: OnKeys,
    ) -> None:
        super().__init__(node.name, loop, tell, crashed)
        self.node = node
        self.interfaces = interfaces
        self.random = Random(f"{seed}/{self.name}")
        self.names: dict[str, str] = {}
        self._clock = loop
        self._security = security
        self._taps = taps
        # The kernel's randomness, which is none of the role's.
        self._kernel_random = Random(f"{seed}/{self.name}/kernel")
        self.stack = Stack(loop, self._kernel_random)
        for name, interface in interfaces.items():
            self.stack.interfaces[name] = NetworkInterface(
                self.name,
                name,
                interface.hardware_address,
                links[interface.link],
                loop,
                self.stack.take,
                self.stack.unreachable,
            )
        self._udp = UdpPorts(self, self._kernel_random)
        self._tcp = TcpEnds(self.stack, loop, self._kernel_random)
        self.stack.deliver[UDP] = self._udp.take
        self.stack.heard, self.stack.shortened = self._tcp.heard, self._tcp.shortened
        self._carrier_callbacks: list[Callable[[str, bool], None]] = []
        self.tunnels = NodeTunnels(self, self._kernel_random, inner, on_keys)
        self._configure()

    def _configure(self) -> None:
        """Addresses and default route as the topology says."""
        for interface, attachment in zip(
            self.stack.interfaces.values(), self.node.attachments, strict=True
        ):
            interface.set_address(attachment.address, attachment.prefix_length)
        self.stack.router = self.node.router

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
        return self._udp.bind(local, handler, interface, broadcast)

    def bind_udp(self, local: Endpoint, handler: DatagramHandler) -> UdpPort:
        """A port of the node's own programs."""
        return self._udp.bind(local, handler, None, False)

    async def raw(self, protocol: int, handler: DatagramHandler, local: str = ANY_ADDRESS) -> Port:
        """Send and receive what IP carries under a protocol number, such as SCTP (132).

        Raises:
            OSError: the address is not ours.
        """
        self.require_power()
        if local != ANY_ADDRESS and not self.stack.is_own(require_address(local)):
            raise problem(errno.EADDRNOTAVAIL)
        return RawPort(self, protocol, local, handler)

    def break_streams(self, address: str) -> None:
        """The node has that address no more: its streams end, without a word."""
        self._tcp.break_streams(address)

    # Streams

    async def connect(
        self, remote: Endpoint, tls: TlsProfile | None = None, local: str | None = None
    ) -> Stream:
        """Open a stream.

        Raises:
            TlsRefused: the handshake failed; nothing of the application was sent.
            OSError: refused, unreachable, timed out.
        """
        self.require_power()
        require_any_address(remote.address)
        if local is not None:
            require_any_address(local)
        stream = self._tcp.connection_to(remote, local)
        await stream.open()
        if tls is None:
            return stream
        return await self._protect(stream, tls, server_side=False)

    async def _protect(self, below: TcpStream, tls: TlsProfile, server_side: bool) -> Secured:
        tap = self._taps(self.name, below.local, below.remote, not server_side)
        return await self._security.protect(below, tls, server_side, tap, self._kernel_random)

    async def listen(
        self, local: Endpoint, handler: StreamHandler, tls: TlsProfile | None = None
    ) -> Listener:
        """Accept streams; `handler` runs in a task of its own for each.

        The stream is closed when its handler ends.  A handler's exception is the role's crash, but
        for `ConnectionError`, which is its peer's doing; that and a failed TLS handshake are told
        as events.

        Raises:
            OSError: the port is taken, the address is not ours, or the node has no power.
            LocalError: `tls` has no identity, or one that cannot be used.
        """
        self.require_power()
        require_any_address(local.address)
        handshakes: Handshakes[TcpStream, Secured] | None = None
        if tls is not None:
            self._security.require(tls, server_side=True)
            protect = functools.partial(self._protect, tls=tls, server_side=True)
            handshakes = Handshakes(protect, self.tell)

        def accepted(stream: TcpStream) -> None:
            self.spawn(self._serve(stream, handler, handshakes), f"serves {stream.remote}")

        listener: TcpListener = self._tcp.listen(local, accepted)
        return listener

    # Addresses and routes

    def set_address(self, interface: str, address: str, prefix_length: int) -> None:
        """Give the interface this address, in place of the one it had, and announce it by ARP."""
        found = self.stack.interfaces[interface]
        found.set_address(require_address(address), prefix_length)
        self._address_changed(interface, address)
        found.announce()

    def clear_address(self, interface: str) -> None:
        """Take the interface's address away, and the routes that need it."""
        found = self.stack.interfaces[interface]
        router = self.stack.router
        if router is not None and found.address is not None and found.reaches(router):
            self.stack.router = None
        found.set_address(None)
        self._address_changed(interface, None)

    def address_of(self, interface: str) -> str | None:
        """The address the interface has now."""
        return self.stack.interfaces[interface].address

    def set_default_route(self, router: str | None) -> None:
        """Send what is for nobody near to `router`; None: no default route."""
        self.stack.router = router
        self.tunnels.outer_changed()

    async def reaches(self, interface: str, address: str, within_s: float) -> bool:
        """Whether somebody on the interface's link answers an ARP request for that address."""
        return await self.stack.interfaces[interface].has_neighbour(address, within_s)

    def _address_changed(self, interface: str, address: str | None) -> None:
        self.tell("ADDRESS", interface=interface, address=address)
        self._udp.forget_addresses()
        if self.powered:
            self.tunnels.outer_changed()

    # Links

    def carrier(self, interface: str) -> bool:
        """Whether the interface's link is up: the cable is in and the node has power."""
        return self.stack.interfaces[interface].has_carrier

    def on_carrier(self, callback: Callable[[str, bool], None]) -> None:
        """Call back with (interface, up) each time a link of this node goes up or down."""
        self.require_power()
        self._carrier_callbacks.append(callback)

    def set_link(self, interface: str, up: bool) -> None:
        """The cable is plugged in, or pulled out."""
        found = self.stack.interfaces[interface]
        before = found.has_carrier
        found.is_plugged = up
        if found.has_carrier != before:
            self.loop.call_soon(self._carrier_changed, interface, up)

    def _carrier_changed(self, interface: str, up: bool) -> None:
        for callback in list(self._carrier_callbacks):
            self.guard(callback, interface, up)

    # Translation

    def translate(
        self, nat: Nat, inside: Sequence[str], outside: str, pool: Sequence[str] = ()
    ) -> None:
        """Forward between interfaces; what leaves by `outside` is translated as `nat` says.

        Raises:
            BadInput: there is no inside, or outside is part of it.
        """
        if self.stack.translator is not None:
            self.stack.translator.end()
        self.stack.translator = Translator(
            nat,
            self.stack,
            inside,
            outside,
            pool,
            self._clock,
            self._kernel_random,
            self.tell,
        )

    def rebind(self) -> None:
        """Forget every binding of `translate`, as a gateway that has restarted."""
        if self.stack.translator is not None:
            self.stack.translator.rebind()

    # Power

    def power_off(self) -> None:
        """End all at once, as a plug that is pulled: nothing more leaves the node.

        Tasks, timers, ports, streams and listeners end, and addresses and routes are as the
        topology has them.  Tasks see their cancellation at the loop's next turn.
        """
        if not self.powered:
            return
        self.powered = False
        self.stack.has_power = False
        self._carrier_callbacks.clear()
        for interface in self.stack.interfaces.values():
            interface.has_power = False
        self._end_work()
        self._tcp.vanish()
        self._udp.close()
        if self.stack.translator is not None:
            self.stack.translator.end()
            self.stack.translator = None
        self.tunnels.end()
        for ports in self.stack.raw.values():
            ports.clear()
        self.stack.forget()
        before = {name: each.address for name, each in self.stack.interfaces.items()}
        self._configure()
        for name, address in before.items():
            configured = self.address_of(name)
            if configured != address:
                self._address_changed(name, None)
                if configured is not None:
                    self._address_changed(name, configured)

    def power_on(self) -> None:
        """The node's links come up, with the addresses and routes of the topology."""
        self.powered = True
        self.stack.has_power = True
        for interface in self.stack.interfaces.values():
            interface.has_power = True


if TYPE_CHECKING:
    _FITS_HOST: type[Host] = SimulatedHost
