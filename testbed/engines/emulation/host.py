"""A node of an emulation, as its role sees it: real sockets, addresses and rules in its namespace.

One asyncio process holds the hosts of all nodes.  Knows no topology: the network has wired the
namespace before, and whatever a role changes in it is undone when the node loses power.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from testbed.engines.emulation.calls import Call
from testbed.engines.emulation.carrier import CarrierWatch
from testbed.engines.emulation.configured import Configured
from testbed.engines.emulation.handshakes import Handshakes
from testbed.engines.emulation.interfaces import Neighbours, announce, await_ready
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.nat_rules import Forwarding
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.ports import (
    RECEIVE_BUFFER_OCTETS,
    UdpPort,
    enlarge_receive_buffer,
    require_address,
)
from testbed.engines.emulation.programs import RunningProgram
from testbed.engines.emulation.streams import TcpListener, TcpStream
from testbed.engines.emulation.tunnels import TunnelEnds
from testbed.engines.tls import Tap, TlsStream
from testbed.engines.tls_policy import TlsContexts
from testbed.host import (
    DatagramHandler,
    Host,
    Interface,
    Listener,
    Port,
    Program,
    ProgramHost,
    Stream,
    StreamHandler,
    Timer,
    TlsProfile,
)
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat

_BACKLOG = 128
Tell = Callable[[str, str, Mapping[str, Any]], None]
"""Called with node, event and its fields."""
Crashed = Callable[[str, BaseException], None]
"""Called with node and error: a defect of its role."""
Taps = Callable[[str, Endpoint, Endpoint, bool], Tap | None]
"""Called with node, local and remote end of a TLS stream and whether the node has connected it;
gives who is told its clear octets."""


class EmulatedHost(TunnelEnds, Neighbours):
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
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.interfaces = interfaces
        self.random = Random(f"{seed}/{name}")
        self.names: dict[str, str] = {}
        self.powered = True
        self.loop = asyncio.get_running_loop()
        self.timers: dict[Call, None] = {}
        self._tell = tell
        self._crashed = crashed
        self._contexts = contexts
        self._taps = taps
        self._netlink = Netlink(namespace)
        self._forwarding = Forwarding(namespace)
        # Dictionaries, not sets: what ends together ends in the order in which it began.
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._ports: dict[UdpPort, None] = {}
        self._streams: dict[TcpStream, None] = {}
        self._listeners: dict[TcpListener, None] = {}
        self._programs: dict[RunningProgram, None] = {}
        self._carrier_watch: CarrierWatch | None = None
        self._carrier_callbacks: list[Callable[[str, bool], None]] = []
        # What the network had configured, once the role has changed anything of it.
        self._before: Configured | None = None

    # Time, tasks, events

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return self.loop.time()

    def tell(self, event: str, **fields: Any) -> None:
        """Write an event of this node into the trace."""
        self._tell(self.name, event, fields)

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call; an exception is reported as the role's crash, and the host lives on."""
        try:
            call(*arguments)
        except Exception as error:
            self._crashed(self.name, error)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the node loses power.  Its exception is the role's crash.

        Without power the task is cancelled before its first step.
        """
        task = self.loop.create_task(work, name=f"{self.name}: {name}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        if not self.powered:
            task.cancel()
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._crashed(self.name, error)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at that time of `now()`, unless cancelled or the node has lost power."""
        call = Call(self, when, callback)
        if self.powered:
            self.timers[call] = None
        else:
            call.cancel()
        return call

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
        self._require_power()
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
        return port

    def forget(self, port: UdpPort) -> None:
        """The port has closed."""
        self._ports.pop(port, None)

    # Streams

    async def connect(
        self, remote: Endpoint, tls: TlsProfile | None = None, local: str | None = None
    ) -> Stream:
        """Open a stream.

        Raises:
            TlsRefused: the handshake failed; nothing of the application was sent.
            OSError: refused, unreachable, timed out.
        """
        self._require_power()
        require_address(remote.address)
        if local is not None:
            require_address(local)
        stream = self._stream(
            self.namespace.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        )
        await stream.open(remote, local)
        if tls is None:
            return stream
        return await self._protect(stream, tls, server_side=False)

    async def _protect(self, below: TcpStream, tls: TlsProfile, server_side: bool) -> TlsStream:
        tap = None
        if self._taps is not None:
            tap = self._taps(self.name, below.local, below.remote, not server_side)
        return await TlsStream.open(below, tls, server_side, self._contexts, tap)

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
        self._require_power()
        if tls is not None:
            self._contexts.context(tls, server_side=True)
        listening = self.namespace.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((require_address(local.address), local.port))
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise

        handshakes = None
        if tls is not None:
            protect = functools.partial(self._protect, tls=tls, server_side=True)
            handshakes = Handshakes(protect, self.tell)

        def accepted(tcp: socket.socket) -> None:
            stream = self._stream(tcp)
            try:
                stream.name_ends()
            except OSError:
                stream.abort()  # reset between the kernel's accept and ours
                return
            self.spawn(self._serve(stream, handler, handshakes), f"serves {stream.remote}")

        def refused(error: OSError) -> None:
            self.tell("ACCEPT_FAILED", local=str(listener.local), reason=str(error))

        listener = TcpListener(listening, accepted, refused, self._forget_listener)
        self._listeners[listener] = None
        return listener

    async def _serve(
        self, below: TcpStream, handler: StreamHandler, handshakes: Handshakes | None
    ) -> None:
        stream = below if handshakes is None else await handshakes.shake(below)
        if stream is None:
            return
        try:
            await handler(stream)
            await stream.close()
        except ConnectionError as error:
            self.tell("STREAM_BROKEN", remote=str(below.remote), reason=str(error))
            stream.abort()
        except BaseException:
            stream.abort()
            raise

    def _stream(self, tcp: socket.socket) -> TcpStream:
        stream = TcpStream(tcp, self._forget_stream)
        self._streams[stream] = None
        return stream

    def _forget_stream(self, stream: TcpStream) -> None:
        self._streams.pop(stream, None)

    def _forget_listener(self, listener: TcpListener) -> None:
        self._listeners.pop(listener, None)

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
        """Whether the interface's link is up: the cable is in and frames pass."""
        state = self._netlink.link(interface)
        return state.carrier and state.ready

    def on_carrier(self, callback: Callable[[str, bool], None]) -> None:
        """Call back with (interface, up) each time a link of this node goes up or down."""
        self._require_power()
        self._carrier_callbacks.append(callback)
        if self._carrier_watch is None:
            self._carrier_watch = CarrierWatch(self.namespace, self._carrier_changed)

    def _carrier_changed(self, interface: str, up: bool) -> None:
        if interface in self.interfaces:
            for callback in list(self._carrier_callbacks):
                self.guard(callback, interface, up)

    def translate(self, nat: Nat, inside: Sequence[str], outside: str) -> None:
        """Forward between interfaces; what leaves by `outside` is translated as `nat` says.

        Raises:
            BadInput: there is no inside, or outside is part of it.
            MissingFeature: no `nft` on this machine, or no nftables NAT in its kernel.
        """
        self._forwarding.apply(nat, inside, outside)

    # Programs

    async def run_program(
        self,
        command_line: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> Program:
        """Start a program; what it changes of addresses and routes ends with the node's power."""
        self._require_power()
        self._before = self._configured()
        heard = functools.partial(self.guard, on_line) if on_line is not None else None
        program = RunningProgram(self.namespace, command_line, log, environment, heard)
        self._programs[program] = None
        return program

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
        for task in list(self._tasks):
            task.cancel()
        for timer in list(self.timers):
            timer.cancel()
        for listener in list(self._listeners):
            listener.close()
        for stream in list(self._streams):
            stream.vanish()
        self.let_go()
        while self._programs:
            self._programs.popitem()[0].kill()
        self._before.restore_addresses(self._netlink, self._address_changed)
        self._forwarding.remove()

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
        for port in list(self._ports):
            port.close()

    def close(self) -> None:
        """Power off for good; the namespace may be closed."""
        self.power_off()
        self._netlink.close()

    def _require_power(self) -> None:
        if not self.powered:
            raise ConnectionAbortedError(f"{self.name} has no power")


if TYPE_CHECKING:
    _FITS_HOST: type[Host] = EmulatedHost
    _FITS_PROGRAM_HOST: type[ProgramHost] = EmulatedHost
