"""Tunnels of a node: charon in its namespace, told by vici what its role wants."""

from __future__ import annotations

from testbed.errors import MissingFeature
from testbed.host import Tunnel, TunnelHandler, TunnelListener, TunnelPolicy, TunnelProfile


class TunnelEnds:
    """What of a host has to do with tunnels."""

    async def tunnel(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None = None
    ) -> Tunnel:
        """Open a tunnel to the responder at that address."""
        raise MissingFeature("tunnels are not there yet")

    async def accept_tunnels(
        self, policy: TunnelPolicy, on_change: TunnelHandler | None = None
    ) -> TunnelListener:
        """Be the responder for whoever comes to this node's addresses."""
        raise MissingFeature("tunnels are not there yet")
