"""What a node's octets go through: interfaces, datagram ports, streams, listeners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from testbed.protocols.wire import Endpoint

DatagramHandler = Callable[[bytes, Endpoint], None]
"""Called with each datagram and its source.  An exception in it is the role's crash."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a node.

    Attributes:
        name: "eth0".
        link: the link's name in the topology.
        hardware_address: "02:00:00:00:00:01".
    """

    name: str
    link: str
    hardware_address: str


class Port(Protocol):
    """A bound UDP port."""

    local: Endpoint

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        """Send one datagram; never blocks.  What the network refuses is lost, as on any network.

        With `hardware_address` the frame goes to that link-layer address without ARP.
        """

    def close(self) -> None:
        """Give the port back; its handler is called no more."""


class Stream(Protocol):
    """An ordered byte stream: TCP, or TLS over it."""

    local: Endpoint
    remote: Endpoint

    async def receive(self, most_octets: int = 65536) -> bytes:
        """Some octets; b"" when the other side has closed.

        Raises:
            ConnectionError: reset, or broken.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Send all octets; waits while the other side does not read."""

    async def finish(self) -> None:
        """Send no more; what the other side still sends is received.

        A FIN; under TLS 1.3 close_notify before it.  Older TLS has no half-close: its close_notify
        would end both directions (RFC 5246 clause 7.2.1), so that the FIN stands alone.

        Raises:
            ConnectionError: reset, or broken.
        """
        ...

    async def close(self) -> None:
        """Close in order (FIN; close_notify first under TLS)."""

    def abort(self) -> None:
        """Reset at once."""


class Listener(Protocol):
    """A listening TCP port; each connection runs its handler in a task of its own."""

    local: Endpoint

    def close(self) -> None:
        """Stop listening; connections that are open stay."""


class Timer(Protocol):
    """A call that is yet to come."""

    def cancel(self) -> None:
        """It will not come."""


StreamHandler = Callable[[Stream], Awaitable[None]]
