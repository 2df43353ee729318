"""Fake hosts on a fake network, in memory and in virtual time: what roles are tested on.

Every address reaches every other as if all were routed; broadcasts stay on their link.  There is no
TLS, no ARP and no NAT: `translate` is only noted.  Use it under `virtual_time`.

    @virtual_time
    async def test_...() -> None:
        network = FakeNetwork()
        home = Link("home", "192.168.1.0/24")
        hnb = network.host(Node("hnb", "hnb", (home.at(10),)))
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

from testbed.host import (
    DatagramHandler,
    Host,
    Interface,
    StreamHandler,
    TlsProfile,
    Tunnel,
    TunnelHandler,
    TunnelListener,
    TunnelPolicy,
    TunnelProfile,
)
from testbed.protocols.wire import BROADCAST, Endpoint
from testbed.topology import Nat, Node, interface_name
from testbed.trace.record import Event
from tests.fake_streams import FakeStream, Pipe
from tests.fake_tunnels import FakeTunnelListener, open_tunnel
from tests.virtual_time import JumpingLoop

ANY = "0.0.0.0"
CONNECT_TIMEOUT_S = 127.0
RESOLUTION_S = 1e-6


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram as it was sent."""

    source: Endpoint
    destination: Endpoint
    data: bytes


class FakeNetwork:
    """Carries datagrams and streams between its hosts.

    Attributes:
        delay_s: seconds from one host to any other.
        sent: every datagram that was sent, lost ones included, in order.
        lose: says of each datagram whether it is lost; set it to lose some.
        silent: addresses that nothing reaches and nothing leaves; they do not even refuse.
    """

    def __init__(self, seed: int = 0) -> None:
        self.delay_s = 0.001
        self.seed = seed
        self.sent: list[Datagram] = []
        self.lose: Callable[[Datagram], bool] = lambda datagram: False
        self.silent: set[str] = set()
        self.hosts: dict[str, FakeHost] = {}
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop), "a fake network lives in virtual time"
        self.loop: asyncio.AbstractEventLoop = loop
        self.failures = loop.failures
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def host(self, node: Node) -> FakeHost:
        """A new host for that node; its static addresses are set."""
        host = FakeHost(self, node, len(self.hosts))
        self.hosts[node.name] = host
        return host

    def owner(self, address: str) -> tuple[FakeHost, str] | None:
        """The host, and its interface, that has this address."""
        for host in self.hosts.values():
            for interface, (own, _) in host.addresses.items():
                if own == address:
                    return host, interface
        return None

    def later(self, callback: Callable[[], None]) -> None:
        """Call back after the network's delay; equal times keep their order, unlike asyncio's."""
        self._number += 1
        when = self.loop.time() + self.delay_s
        heapq.heappush(self._due, (when, self._number, callback))
        self.loop.call_at(when, self._deliver)

    def _deliver(self) -> None:
        # asyncio calls timers a clock's resolution early; sums of floats are no truer.
        now = self.loop.time() + RESOLUTION_S
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def inject(self, data: bytes, source: Endpoint, destination: Endpoint) -> None:
        """Deliver a datagram with any source: what a forger sends."""
        self.later(lambda: self._arrive(Datagram(source, destination, data), None))

    def carry(
        self, datagram: Datagram, sender: FakeHost, interface: str | None, hardware: str | None
    ) -> None:
        """Take a datagram from a host's port."""
        self.sent.append(datagram)
        addresses = {datagram.source.address, datagram.destination.address}
        if self.lose(datagram) or addresses & self.silent:
            return
        if interface is not None and not sender.carrier(interface):
            return
        link = sender.interfaces[interface].link if interface is not None else None
        if hardware is not None:
            self.later(lambda: self._arrive_at_hardware(datagram, hardware))
        elif datagram.destination.address == BROADCAST:
            self.later(lambda: self._arrive_everywhere(datagram, sender, link))
        else:
            self.later(lambda: self._arrive(datagram, sender))

    def carry_raw(self, protocol: int, data: bytes, source: str, destination: str) -> None:
        """Take a packet of a protocol above IP."""
        if {source, destination} & self.silent:
            return

        def arrive() -> None:
            owner = self.owner(destination)
            for port in list(owner[0].raw_ports) if owner else ():
                if port.protocol == protocol and port.local.address in (ANY, destination):
                    owner[0].guarded(lambda port=port: port.handler(data, Endpoint(source, 0)))  # type: ignore[index,misc]  # mypy: a lambda with a default

        self.later(arrive)

    def _arrive(self, datagram: Datagram, sender: FakeHost | None) -> None:
        owner = self.owner(datagram.destination.address)
        if owner is not None:
            owner[0].receive(datagram, owner[1])

    def _arrive_at_hardware(self, datagram: Datagram, hardware_address: str) -> None:
        for host in self.hosts.values():
            for interface in host.interfaces.values():
                if interface.hardware_address == hardware_address:
                    host.receive(datagram, interface.name)

    def _arrive_everywhere(self, datagram: Datagram, sender: FakeHost, link: str | None) -> None:
        for host in list(self.hosts.values()):
            for interface in host.interfaces.values():
                if host is not sender and interface.link == link:
                    host.receive(datagram, interface.name)


class FakePort:
    """A bound UDP port."""

    def __init__(
        self,
        host: FakeHost,
        local: Endpoint,
        handler: DatagramHandler,
        interface: str | None,
        broadcast: bool,
    ) -> None:
        self.local = local
        self.interface = interface
        self.broadcast = broadcast
        self.handler = handler
        self._host = host

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        if self not in self._host.ports:
            return
        if destination.address == BROADCAST:
            assert self.broadcast, f"{self.local} was not opened for broadcasts"
        address = self.local.address
        if address == ANY:
            address = self._host.source_for(destination.address, self.interface)
        datagram = Datagram(Endpoint(address, self.local.port), destination, bytes(data))
        interface = self.interface or self._host.interface_of(address)
        self._host.network.carry(datagram, self._host, interface, hardware_address)

    def close(self) -> None:
        if self in self._host.ports:
            self._host.ports.remove(self)


class FakeRawPort:
    """A port of a protocol above IP."""

    def __init__(self, host: FakeHost, protocol: int, local: str, handler: DatagramHandler) -> None:
        self.local = Endpoint(local, 0)
        self.protocol = protocol
        self.handler = handler
        self._host = host

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        if self not in self._host.raw_ports:
            return
        source = self.local.address
        if source == ANY:
            source = self._host.source_for(destination.address, None)
        self._host.network.carry_raw(self.protocol, data, source, destination.address)

    def close(self) -> None:
        if self in self._host.raw_ports:
            self._host.raw_ports.remove(self)


class FakeListener:
    """A listening TCP port."""

    def __init__(self, host: FakeHost, local: Endpoint, handler: StreamHandler) -> None:
        self.local = local
        self.handler = handler
        self._host = host

    def close(self) -> None:
        if self in self._host.listeners:
            self._host.listeners.remove(self)


class FakeHost:
    """One node's host.  Fits `testbed.host.Host`.

    Attributes:
        told: its events, in order.
        addresses: interface -> (address, prefix length).
        default_route: the router set last.
        translations: what `translate` was called with.
    """

    def __init__(self, network: FakeNetwork, node: Node, number: int) -> None:
        self.network = network
        self.node = node
        self.name = node.name
        self.random = Random(f"{network.seed}/{node.name}")
        self.interfaces: Mapping[str, Interface] = {
            interface_name(index): Interface(
                interface_name(index), each.link, f"02:00:00:00:{number:02x}:{index:02x}"
            )
            for index, each in enumerate(node.attachments)
        }
        self.names: dict[str, str] = {}
        self.told: list[Event] = []
        self.addresses: dict[str, tuple[str, int]] = {
            interface_name(index): (each.address, each.prefix_length)
            for index, each in enumerate(node.attachments)
            if each.address is not None
        }
        self.default_route = node.router
        self.translations: list[tuple[Nat, tuple[str, ...], str]] = []
        self.ports: list[FakePort] = []
        self.raw_ports: list[FakeRawPort] = []
        self.listeners: list[FakeListener] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.tunnel_listener: FakeTunnelListener | None = None
        self._streams: list[FakeStream] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._down: set[str] = set()
        self._carrier_callbacks: list[Callable[[str, bool], None]] = []

    def now(self) -> float:
        return self.network.loop.time()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self.network.loop.create_task(work, name=f"{self.name}: {name}")
        self.tasks.append(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.remove(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.network.failures.append(error)

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append(Event(event, fields))

    def told_names(self) -> list[str]:
        """The names of its events, in order."""
        return [event.name for event in self.told]

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        timer = self.network.loop.call_at(when, self.guarded, callback)
        self._timers = [each for each in self._timers if each.when() > self.now()]
        self._timers.append(timer)
        return timer

    def guarded(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # a role's crash: it fails the test, not the loop
            self.network.failures.append(error)

    async def datagrams(
        self,
        local: Endpoint,
        handler: DatagramHandler,
        interface: str | None = None,
        broadcast: bool = False,
    ) -> FakePort:
        await asyncio.sleep(0)
        self._check_own(local.address)
        number = local.port or self._free_port()
        for other in self.ports:
            same = ANY in (local.address, other.local.address) or local == other.local
            if other.local.port == number and same and interface == other.interface:
                raise OSError(98, f"{self.name}: UDP port {number} is taken")
        port = FakePort(self, Endpoint(local.address, number), handler, interface, broadcast)
        self.ports.append(port)
        return port

    async def raw(self, protocol: int, handler: DatagramHandler, local: str = ANY) -> FakeRawPort:
        await asyncio.sleep(0)
        self._check_own(local)
        port = FakeRawPort(self, protocol, local, handler)
        self.raw_ports.append(port)
        return port

    def _free_port(self) -> int:
        taken = {each.local.port for each in self.ports}
        return next(number for number in range(32768, 65536) if number not in taken)

    def _check_own(self, address: str) -> None:
        if address != ANY and self.interface_of(address) is None:
            raise OSError(99, f"{self.name}: {address} is not its address")

    def receive(self, datagram: Datagram, interface: str) -> None:
        """Give a datagram that came in by `interface` to the port that it is for."""
        if not self.carrier(interface):
            return
        to = datagram.destination
        broadcast = to.address == BROADCAST
        fitting = [
            port
            for port in self.ports
            if port.local.port == to.port
            and port.interface in (None, interface)
            and (port.broadcast if broadcast else port.local.address in (ANY, to.address))
        ]
        if not broadcast:  # the most specific one only, as a kernel chooses
            fitting.sort(key=lambda port: (port.interface is None, port.local.address == ANY))
            fitting = fitting[:1]
        for port in fitting:
            self.guarded(lambda port=port: port.handler(datagram.data, datagram.source))  # type: ignore[misc]  # mypy: a lambda with a default

    async def connect(
        self, remote: Endpoint, tls: TlsProfile | None = None, local: str | None = None
    ) -> FakeStream:
        assert tls is None, "the fake network has no TLS"
        own = local or self.source_for(remote.address, None)
        await asyncio.sleep(self.network.delay_s)
        found = self.network.owner(remote.address)
        if found is None or {own, remote.address} & self.network.silent:
            await asyncio.sleep(CONNECT_TIMEOUT_S)
            raise TimeoutError(110, f"{self.name}: {remote} does not answer")
        await asyncio.sleep(self.network.delay_s)
        for listener in found[0].listeners:
            if listener.local.port == remote.port and listener.local.address in (
                ANY,
                remote.address,
            ):
                return self._joined(Endpoint(own, self._stream_port()), remote, listener, found[0])
        raise ConnectionRefusedError(111, f"{self.name}: {remote} refuses")

    def _stream_port(self) -> int:
        return 40000 + len(self._streams)

    def _joined(
        self, own: Endpoint, remote: Endpoint, listener: FakeListener, other: FakeHost
    ) -> FakeStream:
        there, back = Pipe(self.network), Pipe(self.network)
        stream = FakeStream(own, remote, back, there)
        accepted = FakeStream(remote, own, there, back)
        self._streams.append(stream)
        other._streams.append(accepted)

        async def handle() -> None:
            """As the real hosts: the end of the handler is the stream's, a broken one no crash."""
            try:
                await listener.handler(accepted)
                await accepted.close()
            except ConnectionError as error:
                other.tell("STREAM_BROKEN", remote=str(own), reason=str(error))
                accepted.abort()
            except BaseException:
                accepted.abort()
                raise

        other.spawn(handle(), f"connection from {own}")
        return stream

    async def listen(
        self, local: Endpoint, handler: StreamHandler, tls: TlsProfile | None = None
    ) -> FakeListener:
        assert tls is None, "the fake network has no TLS"
        await asyncio.sleep(0)
        self._check_own(local.address)
        if any(each.local == local for each in self.listeners):
            raise OSError(98, f"{self.name}: TCP port {local.port} is taken")
        listener = FakeListener(self, local, handler)
        self.listeners.append(listener)
        return listener

    def set_address(self, interface: str, address: str, prefix_length: int) -> None:
        assert interface in self.interfaces
        self.addresses[interface] = (address, prefix_length)

    def clear_address(self, interface: str) -> None:
        self.addresses.pop(interface, None)
        self.default_route = None

    def address_of(self, interface: str) -> str | None:
        return self.addresses.get(interface, (None, 0))[0]

    def interface_of(self, address: str) -> str | None:
        """Its interface with that address."""
        return next((name for name, own in self.addresses.items() if own[0] == address), None)

    def source_for(self, destination: str, interface: str | None) -> str:
        """The address it sends from: of that interface, or near the destination, or the first."""
        if interface is not None:
            return self.address_of(interface) or ANY
        for address, length in self.addresses.values():
            if ip_address(destination) in ip_network(f"{address}/{length}", strict=False):
                return address
        return next((address for address, _ in self.addresses.values()), ANY)

    def set_default_route(self, router: str | None) -> None:
        self.default_route = router

    async def reaches(self, interface: str, address: str, within_s: float) -> bool:
        found = self.network.owner(address)
        is_there = found is not None and found[0].carrier(found[1]) and self.carrier(interface)
        if is_there and address not in self.network.silent:
            await asyncio.sleep(2 * self.network.delay_s)
            return True
        await asyncio.sleep(within_s)
        return False

    def carrier(self, interface: str) -> bool:
        return interface not in self._down

    def on_carrier(self, callback: Callable[[str, bool], None]) -> None:
        self._carrier_callbacks.append(callback)

    def set_carrier(self, interface: str, up: bool) -> None:
        """Plug the interface's cable in, or pull it out."""
        (self._down.discard if up else self._down.add)(interface)
        for callback in list(self._carrier_callbacks):
            callback(interface, up)

    async def tunnel(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None = None
    ) -> Tunnel:
        return await open_tunnel(self, remote, profile, on_change)

    async def accept_tunnels(
        self, policy: TunnelPolicy, on_change: TunnelHandler | None = None
    ) -> TunnelListener:
        await asyncio.sleep(0)
        self.tunnel_listener = FakeTunnelListener(self, policy, on_change)
        return self.tunnel_listener

    def translate(
        self, nat: Nat, inside: Sequence[str], outside: str, pool: Sequence[str] = ()
    ) -> None:
        self.translations.append((nat, tuple(inside), outside))

    def rebind(self) -> None:
        """There are no bindings."""

    def power_off(self) -> None:
        """End its tasks and timers, close its ports, reset its streams."""
        for task in list(self.tasks):
            task.cancel()
        for timer in self._timers:
            timer.cancel()
        self.ports.clear()
        self.raw_ports.clear()
        self.listeners.clear()
        for stream in self._streams:
            stream.abort()
        self._timers.clear()
        self._carrier_callbacks.clear()


def _fits(host: FakeHost) -> Host:
    """For mypy: a fake host is a host."""
    return host
