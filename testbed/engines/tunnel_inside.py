"""The inside of a tunnel as a host: the node again, with another address.

What tunnels of both engines need of their node stands here too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from testbed.errors import Unsupported
from testbed.host import (
    DatagramHandler,
    Host,
    Interface,
    Listener,
    Port,
    Stream,
    StreamHandler,
    Timer,
    TlsProfile,
    Tunnel,
    TunnelHandler,
    TunnelListener,
    TunnelPolicy,
    TunnelProfile,
)
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat

ANY_ADDRESS = "0.0.0.0"
LINK = "ipsec"
"""The link that the insides of all tunnels are on."""


class TunnelHost(Host, Protocol):
    """What tunnels need of the node that they end at.

    Attributes:
        powered: whether it has power.
    """

    powered: bool

    def require_power(self) -> None:
        """Look whether the node has power.

        Raises:
            ConnectionAbortedError: it has none.
        """

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call; an exception is the role's crash."""

    def break_streams(self, address: str) -> None:
        """The node has that address no more: its streams end, without a word."""


class InsideHost:
    """A node, seen from within one of its tunnels.  Fits `testbed.host.Host`.

    What is bound has the tunnel's inner address, and by that goes through the tunnel.  Time, tasks,
    events and randomness are the node's.

    Args:
        outer: the node.
        interface: the tunnel's.
        address: the inner one.
        is_up: whether the tunnel is.
    """

    def __init__(
        self, outer: Host, interface: Interface, address: str, is_up: Callable[[], bool]
    ) -> None:
        self.name = outer.name
        self.random = outer.random
        self.names = outer.names
        self.interfaces: Mapping[str, Interface] = {interface.name: interface}
        self._outer = outer
        self._address = address
        self._is_up = is_up

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return self._outer.now()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the node loses power."""
        return self._outer.spawn(work, name)

    def tell(self, event: str, **fields: Any) -> None:
        """Write an event of this node into the trace."""
        self._outer.tell(event, **fields)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at that time of `now()`."""
        return self._outer.call_at(when, callback)

    def _bound(self, local: Endpoint) -> Endpoint:
        self._require_up()
        return Endpoint(self._address, local.port) if local.address == ANY_ADDRESS else local

    def _require_up(self) -> None:
        if not self._is_up():
            raise ConnectionAbortedError(f"{self.name}: the tunnel of {self._address} is down")

    async def datagrams(
        self,
        local: Endpoint,
        handler: DatagramHandler,
        interface: str | None = None,
        broadcast: bool = False,
    ) -> Port:
        """Bind a UDP port; "0.0.0.0" is the inner address.

        Raises:
            OSError: the port is taken, the address is not ours, or the tunnel is down.
            Unsupported: `broadcast`; a tunnel has none.
        """
        if broadcast:
            raise Unsupported(f"{self.name}: a tunnel carries no broadcasts")
        return await self._outer.datagrams(self._bound(local), handler)

    async def raw(self, protocol: int, handler: DatagramHandler, local: str = ANY_ADDRESS) -> Port:
        """Send and receive what IP carries under a protocol number; "0.0.0.0" is the inner address.

        Raises:
            OSError: the address is not ours, or the tunnel is down.
        """
        return await self._outer.raw(protocol, handler, self._bound(Endpoint(local, 0)).address)

    async def connect(
        self, remote: Endpoint, tls: TlsProfile | None = None, local: str | None = None
    ) -> Stream:
        """Open a stream through the tunnel.

        Raises:
            TlsRefused: the handshake failed.
            OSError: refused, unreachable, timed out, or the tunnel is down.
        """
        self._require_up()
        return await self._outer.connect(remote, tls, local or self._address)

    async def listen(
        self, local: Endpoint, handler: StreamHandler, tls: TlsProfile | None = None
    ) -> Listener:
        """Accept streams that come to the inner address.

        Raises:
            OSError: the port is taken, the address is not ours, or the tunnel is down.
            LocalError: `tls` has no identity, or one that cannot be used.
        """
        return await self._outer.listen(self._bound(local), handler, tls)

    async def tunnel(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None = None
    ) -> Tunnel:
        """No tunnel in a tunnel.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self.name}: no tunnel goes through another one")

    async def accept_tunnels(
        self, policy: TunnelPolicy, on_change: TunnelHandler | None = None
    ) -> TunnelListener:
        """No tunnel in a tunnel.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self.name}: no tunnel goes through another one")

    def set_address(self, interface: str, address: str, prefix_length: int) -> None:
        """The responder gives the inner address.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self.name}: the responder gives a tunnel's inner address")

    def clear_address(self, interface: str) -> None:
        """The inner address goes with the tunnel.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self.name}: a tunnel's inner address goes with the tunnel")

    def address_of(self, interface: str) -> str | None:
        """The inner address, while the tunnel is up."""
        return self._address if interface in self.interfaces and self._is_up() else None

    def set_default_route(self, router: str | None) -> None:
        """What has the inner address goes through the tunnel, whatever is asked here.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self.name}: what has the inner address goes through the tunnel")

    async def reaches(self, interface: str, address: str, within_s: float) -> bool:
        """Nobody answers: a tunnel has no ARP."""
        return False

    def carrier(self, interface: str) -> bool:
        """Whether the tunnel is up."""
        return interface in self.interfaces and self._is_up()

    def on_carrier(self, callback: Callable[[str, bool], None]) -> None:
        """A tunnel's changes are told by its handler.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self.name}: a tunnel tells its changes to its handler")

    def translate(
        self, nat: Nat, inside: Sequence[str], outside: str, pool: Sequence[str] = ()
    ) -> None:
        """Nothing is forwarded into a tunnel.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self.name}: nothing is forwarded into a tunnel")

    def rebind(self) -> None:
        """There is nothing to forget.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self.name}: nothing is forwarded into a tunnel")


if TYPE_CHECKING:
    _FITS_HOST: type[Host] = InsideHost
