"""The Security Gateway: IKEv2 responder towards the Internet, router into the operator's network.

TS 33.320, 5 and 6: it proves itself by its certificate, asks for the HNB's, gives an inner address
and tells the inner DNS server.  Initial and serving SeGW are the same role with other settings.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from testbed.host import Host, TunnelChange, TunnelLife, TunnelListener, TunnelPolicy
from testbed.roles.role import Role
from testbed.roles.shown import tell_certificate
from testbed.topology import Algorithms, Node

STARTS = {"up": "TUNNEL_UP", "down": "TUNNEL_DOWN"}
"""The events by which it tells that a tunnel begins and ends; "TUNNEL_CHANGED" is all between."""


class Segw(Role):
    """Accepts tunnels on all its addresses, forwards between them and its other links.

    Settings of the node: `identity`, `roots`, `pool` (prefix of the inner addresses),
    `dns_servers` (told to HNBs), `protects` (prefixes behind it), `life` (timers),
    `algorithms`.

    Attributes:
        policy: what it gives and accepts; changes hold from the next start.
        tunnels: what is up, the inner address by the HNB's identity.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        settings = node.settings
        self.policy = TunnelPolicy(
            identity=settings["identity"],
            roots=settings["roots"],
            pool=settings["pool"],
            dns_servers=tuple(settings.get("dns_servers", ())),
            protects=tuple(settings.get("protects", ("0.0.0.0/0",))),
            life=settings.get("life", TunnelLife()),
            algorithms=settings.get("algorithms", Algorithms.PROFILE),
        )
        self.tunnels: dict[str, str] = {}
        self._listener: TunnelListener | None = None

    async def start(self) -> None:
        """Power is on: accept tunnels.

        Raises:
            MissingFeature: this machine cannot make tunnels.
        """
        self._listener = await self.host.accept_tunnels(self.policy, self._changed)
        tell_certificate(self.host, self.node, self.policy.identity)
        if self.policy.algorithms is not Algorithms.PROFILE:
            self.host.tell("STAGED", algorithms=self.policy.algorithms.value)

    def stop(self) -> None:
        """Power is about to go: tunnels end without a word."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self.tunnels.clear()
        super().stop()

    def set_policy(self, **changes: Any) -> None:
        """Change what it gives and accepts; holds from the next start."""
        self.policy = dataclasses.replace(self.policy, **changes)

    async def restart(self) -> None:
        """Die and live again: whoever had a tunnel is not told."""
        self.stop()
        self.host.tell("RESTARTED")
        await self.start()

    def hang(self) -> None:
        """Die, and live no more until `restart`: nobody answers, nobody is told."""
        self.stop()
        self.host.tell("STAGED", hangs=True)

    async def delete_tunnels(self) -> None:
        """Take all tunnels down in order, as an operator who clears his gateway."""
        self.host.tell("STAGED", deletes=sorted(self.tunnels))
        for peer in list(self.tunnels):
            if self._listener is not None:
                await self._listener.delete(peer)

    def _changed(self, change: TunnelChange) -> None:
        told: dict[str, Any] = {
            "peer": change.peer,
            "remote": str(change.remote),
            "address": change.address,
        }
        if change.kind == "up":
            self.tunnels[change.peer] = change.address
        elif change.kind == "down":
            self.tunnels.pop(change.peer, None)
            told["cause"] = change.cause
        else:
            told["kind"] = change.kind
        self.host.tell(STARTS.get(change.kind, "TUNNEL_CHANGED"), **told)
