"""Tunnels between fake hosts: names and chains are compared, packets go as if there were none.

The inside of a tunnel is a fake host of its own on the same network, with the inner address; what
is bound there is gone when the tunnel is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network
from typing import TYPE_CHECKING

from testbed.host import (
    Tunnel,
    TunnelChange,
    TunnelHandler,
    TunnelListener,
    TunnelPolicy,
    TunnelProfile,
    TunnelRefused,
)
from testbed.protocols.wire import Endpoint
from testbed.topology import Attachment, By, Node

if TYPE_CHECKING:
    from tests.fake_host import FakeHost

LINK = "ipsec"


class FakeTunnel:
    """An initiator's tunnel.  Fits `testbed.host.Tunnel`.

    Attributes:
        closed: whether the initiator has taken it down.
    """

    def __init__(
        self,
        owner: FakeHost,
        listener: FakeTunnelListener,
        remote: Endpoint,
        address: str,
        on_change: TunnelHandler | None,
    ) -> None:
        self.address = address
        self.remote = remote
        self.dns_servers = listener.policy.dns_servers
        self.closed = False
        self._listener = listener
        self._on_change = on_change
        self._up = True
        number = len(owner.network.hosts)
        node = Node(f"{owner.name} inside {number}", "inside", (_attachment(address),))
        self.inside = owner.network.host(node)
        self.inside.name, self.inside.told = owner.name, owner.told

    @property
    def is_up(self) -> bool:
        return self._up

    async def close(self) -> None:
        if self._up:
            self.closed = True
            self.end("closed")

    def end(self, cause: str) -> None:
        """It is down, for that cause."""
        self._up = False
        self.inside.power_off()
        self.inside.addresses.clear()
        self._listener.tunnels.remove(self)
        self.tell("down", cause)

    def tell(self, kind: str, cause: str = "") -> None:
        """Tell the initiator of a change."""
        if self._on_change is not None:
            peer = self._listener.policy.identity.name
            self._on_change(TunnelChange(kind, peer, self.remote, self.address, cause))  # type: ignore[arg-type]  # a test's word


class FakeTunnelListener:
    """A responder.  Fits `testbed.host.TunnelListener`."""

    def __init__(
        self, owner: FakeHost, policy: TunnelPolicy, on_change: TunnelHandler | None
    ) -> None:
        self.policy = policy
        self.tunnels: list[FakeTunnel] = []
        self.on_change = on_change
        self._owner = owner
        self._given = 0

    def next_address(self) -> str:
        self._given += 1
        return str(ip_network(self.policy.pool)[self._given])

    async def delete(self, peer: str) -> None:
        for tunnel in list(self.tunnels):
            tunnel.end("deleted")

    def close(self) -> None:
        self._owner.tunnel_listener = None
        for tunnel in list(self.tunnels):
            tunnel.end("dead")


def refusal_of(profile: TunnelProfile, policy: TunnelPolicy) -> TunnelRefused | None:
    """Why there is no tunnel: a root stands for its chain, an identity's name for its names."""
    if policy.identity.chain and policy.identity.chain[0] not in profile.roots:
        return TunnelRefused("chain", "its root is not trusted")
    if profile.verifies_name and policy.identity.name != profile.peer_name:
        return TunnelRefused("name", f"it is {policy.identity.name}")
    return None


def _attachment(address: str) -> Attachment:
    return Attachment(LINK, By.STATIC, address, 32)


async def open_tunnel(
    host: FakeHost, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None
) -> Tunnel:
    """What a fake host's `tunnel` does."""

    await asyncio.sleep(host.network.delay_s)
    owner = host.network.owner(remote)
    listener = owner[0].tunnel_listener if owner is not None else None
    if listener is None or remote in host.network.silent:
        await asyncio.sleep(profile.life.retransmit_first_s * profile.life.retransmit_tries)
        raise TunnelRefused("no answer", f"{remote} does not answer")
    refused = refusal_of(profile, listener.policy)
    if refused is not None:
        raise refused
    tunnel = FakeTunnel(host, listener, Endpoint(remote, 4500), listener.next_address(), on_change)
    listener.tunnels.append(tunnel)
    if listener.on_change is not None:
        there = Endpoint(host.source_for(remote, None), 4500)
        name = profile.identity.name
        listener.on_change(TunnelChange("up", name, there, tunnel.address))
    return tunnel


def _fits(tunnel: FakeTunnel, listener: FakeTunnelListener) -> Sequence[Tunnel | TunnelListener]:
    """For mypy: they are what they play."""
    return tunnel, listener
