"""What a role holds of its tunnels, and what all tunnels of a world have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from testbed.engines.emulation.tunnel_keys import OnKeys
from testbed.engines.tunnel_inside import InsideHost
from testbed.host import (
    Host,
    Tunnel,
    TunnelHandler,
    TunnelListener,
    TunnelPolicy,
)
from testbed.protocols.wire import Endpoint
from testbed.topology import Esp

if TYPE_CHECKING:
    from testbed.engines.emulation.tunnels import NodeTunnels

LINK = "ipsec"
"""The link that the insides of all tunnels are on."""

Kind = Literal["up", "rekeyed", "ike rekeyed", "moved", "readdressed", "down"]


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


class OpenTunnel:
    """An initiator's tunnel.  Fits `testbed.host.Tunnel`."""

    def __init__(
        self,
        owner: NodeTunnels,
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
        self, owner: NodeTunnels, policy: TunnelPolicy, on_change: TunnelHandler | None
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
