"""Tunnels of a simulated node."""

from __future__ import annotations

from testbed.errors import MissingFeature
from testbed.host import Tunnel, TunnelHandler, TunnelListener, TunnelPolicy, TunnelProfile


class TunnelEnds:
    """What of a host has to do with tunnels."""

    async def tunnel(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None = None
    ) -> Tunnel:
        """Open a tunnel to the responder at that address."""
        raise MissingFeature("the simulation has no tunnels yet: use --engine emulation")

    async def accept_tunnels(
        self, policy: TunnelPolicy, on_change: TunnelHandler | None = None
    ) -> TunnelListener:
        """Be the responder for whoever comes to this node's addresses."""
        raise MissingFeature("the simulation has no tunnels yet: use --engine emulation")

    def end_tunnels(self) -> None:
        """The node loses power."""
