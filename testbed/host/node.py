"""One node, seen from its role: all that a role may ask of the world, through a tunnel too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol

from testbed.host.ports import (
    DatagramHandler,
    Interface,
    Listener,
    Port,
    Stream,
    StreamHandler,
    Timer,
)
from testbed.host.tls import TlsProfile
from testbed.host.tunnel import TunnelHandler, TunnelListener, TunnelPolicy, TunnelProfile
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat


class Host(Protocol):
    """One node, seen from its role."""

    name: str
    random: Random
    """This host's own randomness, seeded by the run's seed and the host's name."""
    interfaces: Mapping[str, Interface]
    """By name: "eth0" first."""
    names: dict[str, str]
    """This node's hosts file: name to address."""

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the node loses power.  Its exception fails the scenario."""
        ...

    def tell(self, event: str, **fields: Any) -> None:
        """Write an event of this node into the trace ("FAILED", step=..., cause=...)."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at that time of `now()`, unless cancelled or the node has lost power."""
        ...

    async def datagrams(
        self,
        local: Endpoint,
        handler: DatagramHandler,
        interface: str | None = None,
        broadcast: bool = False,
    ) -> Port:
        """Bind a UDP port.

        Args:
            handler: called with each datagram.
            local: "0.0.0.0" for any address; port 0 for any port.
            interface: only this interface; works before it has an address.
            broadcast: may send to, and receives, broadcasts.

        Raises:
            OSError: the port is taken, or the address is not ours.
        """
        ...

    async def raw(self, protocol: int, handler: DatagramHandler, local: str = "0.0.0.0") -> Port:
        """Send and receive what IP carries under a protocol number, such as SCTP (132).

        Endpoints of such a port have no port numbers: 0.

        Args:
            protocol: the number above IP.
            handler: called with each packet without its IP header, and its source.
            local: only what comes to this address; "0.0.0.0" for any.

        Raises:
            OSError: the address is not ours.
        """
        ...

    async def connect(
        self, remote: Endpoint, tls: TlsProfile | None = None, local: str | None = None
    ) -> Stream:
        """Open a stream.

        Raises:
            TlsRefused: the handshake failed; nothing of the application was sent.
            OSError: refused, unreachable, timed out.
        """
        ...

    async def listen(
        self, local: Endpoint, handler: StreamHandler, tls: TlsProfile | None = None
    ) -> Listener:
        """Accept streams; `handler` runs in a task of its own for each.

        A handshake that fails is told as the event "TLS_FAILED" with `remote`, `cause` and
        `reason`.

        Raises:
            OSError: the port is taken, or the address is not ours.
            LocalError: `tls` has no identity, or one that cannot be used.
        """
        ...

    async def tunnel(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None = None
    ) -> Tunnel:
        """Open a tunnel to the responder at that address (IKEv2 on UDP 500 and 4500).

        Args:
            remote: the responder's outer address.
            profile: what is asked for and checked.
            on_change: told of all that happens to the tunnel after it is up.

        Raises:
            TunnelRefused: there is none; says why.
            MissingFeature: this machine cannot make tunnels.
        """
        ...

    async def accept_tunnels(
        self, policy: TunnelPolicy, on_change: TunnelHandler | None = None
    ) -> TunnelListener:
        """Be the responder for whoever comes to this node's addresses, and forward for them.

        A tunnel that is refused is told as the event "TUNNEL_FAILED" with `remote`, `cause` and
        `reason`.

        Raises:
            MissingFeature: this machine cannot make tunnels.
        """
        ...

    def set_address(self, interface: str, address: str, prefix_length: int) -> None:
        """Give the interface this address, in place of the one it had."""

    def clear_address(self, interface: str) -> None:
        """Take the interface's address away, and the routes that need it."""

    def address_of(self, interface: str) -> str | None:
        """The address the interface has now."""
        ...

    def set_default_route(self, router: str | None) -> None:
        """Send what is for nobody near to `router`; None: no default route."""

    async def reaches(self, interface: str, address: str, within_s: float) -> bool:
        """Whether somebody on the interface's link answers an ARP request for that address."""
        ...

    def carrier(self, interface: str) -> bool:
        """Whether the interface's link is up."""
        ...

    def on_carrier(self, callback: Callable[[str, bool], None]) -> None:
        """Call back with (interface, up) each time a link of this node goes up or down."""

    def translate(
        self, nat: Nat, inside: Sequence[str], outside: str, pool: Sequence[str] = ()
    ) -> None:
        """Forward between interfaces; what leaves by `outside` is translated as `nat` says.

        What becomes of bindings is told as events of this node: BINDING_CREATED,
        BINDING_CONFIRMED, BINDING_EXPIRED, BINDING_FORGOTTEN, PACKET_REFUSED.

        Args:
            nat: the behaviour.
            inside: interfaces whose packets are translated.
            outside: the interface by which they leave.
            pool: outside addresses beside the interface's own; the node answers for them.
        """

    def rebind(self) -> None:
        """Forget every binding of `translate`, as a gateway that has restarted.

        A NAT whose rebinding is PORT or ADDRESS gives others from now on.
        """


class Tunnel(Protocol):
    """An initiator's tunnel that is up.

    Attributes:
        inside: the node again, as seen from within: its ports, streams and listeners have the
            inner address and go through the tunnel; time, events and tasks are the node's.
        address: the inner address.
        dns_servers: told by the responder.
        remote: the responder's outer address and port.
    """

    inside: Host
    address: str
    dns_servers: tuple[str, ...]
    remote: Endpoint

    @property
    def is_up(self) -> bool:
        """Whether anything goes through."""
        ...

    async def close(self) -> None:
        """Take it down in order (IKE INFORMATIONAL with DELETE), and wait for the answer."""


class Program(Protocol):
    """A third party's program that runs in a node.

    Attributes:
        pid: of its first process.
    """

    pid: int

    @property
    def last_lines(self) -> Sequence[str]:
        """The end of what it has said."""
        ...

    async def wait(self) -> int:
        """Its exit status, when it has ended; below 0: the signal that killed it."""
        ...


class DeviceHost(Host, Protocol):
    """A host in whose place there may be a device outside the lab."""

    def join_device(self) -> None:
        """Plug the device in, until the node loses power.

        Raises:
            OSError: the node has no power.
        """


class ProgramHost(Host, Protocol):
    """A host in which programs of others can run."""

    async def run_program(
        self,
        command_line: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> Program:
        """Start a program; it ends with the node's power, and whatever it started with it.

        Args:
            command_line: the program's path and its arguments.
            log: what it says is added there.
            environment: all of it; nothing is inherited.
            on_line: called with each line that it says.  An exception in it is the role's crash.

        Raises:
            OSError: it cannot be started, or the node has no power.
        """
        ...
