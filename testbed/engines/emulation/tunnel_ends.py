"""What a role holds of its tunnels, what they need of their node, and what is the same for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.tunnel_keys import OnKeys
from testbed.engines.tunnel_inside import InsideHost, TunnelHost
from testbed.host import (
    Host,
    Tunnel,
    TunnelHandler,
    TunnelListener,
    TunnelPolicy,
)
from testbed.protocols.wire import Endpoint
from testbed.topology import Esp


def _nobody(keys: object) -> None:
    """Nobody wants the keys."""


@dataclass(frozen=True, slots=True)
class TunnelGround:
    """What all tunnels of a world have in common.

    Attributes:
        logs: folder of the charons' logs; None: none are kept.
        esp: who does ESP.
        on_keys: told the keys of every security association.
        versions: of the programs that the tunnels are made by, by name, once they run.
    """

    logs: Path | None = None
    esp: Esp = Esp.USER
    on_keys: OnKeys = field(default=_nobody)
    versions: dict[str, str] = field(default_factory=dict)


class TunnelNode(TunnelHost, Protocol):
    """What charon and its tunnels need of their node.

    Attributes:
        namespace: the node's.
    """

    namespace: Namespace

    def listens(self, port: int, interface: str | None) -> None:
        """The node has bound that UDP port."""


class TunnelOwner(Protocol):
    """What a tunnel and a responder need of whoever has made them."""

    async def close(self, tunnel: OpenTunnel) -> None:
        """Take an initiator's tunnel down in order."""

    async def delete(self, peer: str) -> None:
        """Take down in order what that peer has opened to a responder here."""

    def stop_accepting(self, responder: Responder) -> None:
        """The responder ends as a process that dies."""


class OpenTunnel:
    """An initiator's tunnel.  Fits `testbed.host.Tunnel`."""

    def __init__(
        self,
        owner: TunnelOwner,
        name: str,
        inside: Callable[[OpenTunnel], InsideHost],
        address: str,
        dns_servers: tuple[str, ...],
        remote: Endpoint,
        peer: str,
        on_change: TunnelHandler | None,
    ) -> None:
        self.name = name
        self.address = address
        self.dns_servers = dns_servers
        self.remote = remote
        self.peer = peer
        self.on_change = on_change
        self.is_up = True
        self.closing = False
        self._owner = owner
        self.inside: Host = inside(self)

    async def close(self) -> None:
        """Take it down in order (INFORMATIONAL with DELETE), and wait for the answer."""
        if self.is_up and not self.closing:
            self.closing = True
            await self._owner.close(self)


@dataclass(slots=True)
class Accepted:
    """A tunnel that somebody has opened to a responder here."""

    peer: str
    remote: Endpoint
    address: str


class Responder:
    """Accepts tunnels.  Fits `testbed.host.TunnelListener`."""

    def __init__(
        self, owner: TunnelOwner, policy: TunnelPolicy, on_change: TunnelHandler | None
    ) -> None:
        self.policy = policy
        self.on_change = on_change
        self._owner = owner

    async def delete(self, peer: str) -> None:
        """Take that peer's tunnel down in order."""
        await self._owner.delete(peer)

    def close(self) -> None:
        """Accept no more; the node's charon dies, and all its tunnels with it, without a word."""
        self._owner.stop_accepting(self)


if TYPE_CHECKING:
    _FITS_TUNNEL: type[Tunnel] = OpenTunnel
    _FITS_LISTENER: type[TunnelListener] = Responder
