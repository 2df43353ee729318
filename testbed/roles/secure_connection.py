"""An HNB's secure connection with a Security Gateway: steps 2.1 to 2.3 of TS 32.583, 5.1.1.

The SeGW's name at the outer DNS, a tunnel to one of its addresses, the SeGW's certificate checked
against that name and the operator's root.  Discovery and registration open theirs by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from testbed.errors import PeerError
from testbed.host import (
    Host,
    Mend,
    Tunnel,
    TunnelCause,
    TunnelChange,
    TunnelLife,
    TunnelProfile,
    TunnelRefused,
)
from testbed.protocols import dns
from testbed.roles.cpe import Cpe
from testbed.roles.resolve import resolve
from testbed.topology import Node


class NotSecured(PeerError):
    """There is no secure connection.

    Attributes:
        step: of 5.1.1 that did not come about: "2.2" or "2.3".
        refusal: why there is no tunnel; None: it did not come to that.
    """

    def __init__(self, step: str, cause: str, refusal: TunnelCause | None = None) -> None:
        super().__init__(cause)
        self.step = step
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """What an HNB asks of a Security Gateway.

    Attributes:
        verifies_name: a SeGW whose certificate has another name than the one by which it was looked
            up is refused; False: only the chain counts (AMB-3G-07, lenient).
        life: the tunnels' timers.
    """

    verifies_name: bool = True
    life: TunnelLife = field(default_factory=TunnelLife)


class Secured(Protocol):
    """The HNB, as far as its tunnels ask it; `Hnb` says what each is."""

    host: Host
    node: Node
    cpe: Cpe
    resolver_policy: dns.ResolverPolicy

    @property
    def tunnel_moment(self) -> float | None:
        """What it believes the date is when it checks a SeGW; None: the engine's clock."""
        ...

    def mend_of(self, protocol: str) -> Mend[Any]:
        """The faults at work on a protocol."""
        ...


class SecureConnection:
    """The tunnels of an HNB: one that counts, and maybe older ones that it has kept.

    Args:
        hnb: whose.
        on_change: told of all that happens to the one that counts.

    Attributes:
        tunnel: the one that counts; None: there is none.
        name: by which its SeGW was looked up; "" without a tunnel.
        policy: holds from the next tunnel.
    """

    def __init__(self, hnb: Secured, on_change: Callable[[Tunnel, TunnelChange], None]) -> None:
        self.tunnel: Tunnel | None = None
        self.name = ""
        self.policy = SecurityPolicy(life=hnb.node.settings.get("life", TunnelLife()))
        self._hnb = hnb
        self._on_change = on_change
        self._kept: list[Tunnel] = []

    @property
    def is_up(self) -> bool:
        """Whether there is a tunnel through which something goes."""
        return self.tunnel is not None and self.tunnel.is_up

    async def open(self, names: Iterable[str], dns_servers: Sequence[str]) -> Tunnel:
        """Open a tunnel to the first SeGW that can be had.

        Args:
            names: of SeGWs, in the order in which they are tried.
            dns_servers: of the outer DNS.

        Raises:
            NotSecured: none can be had; tells of the last one.
        """
        failure = NotSecured("2.2", "no SeGW is known")
        for name in names:
            found = await self.find(name, dns_servers)
            if isinstance(found, dns.Failed):
                failure = NotSecured("2.2", f"{name}: {found.cause}, {found.detail}")
                continue
            for address in found.addresses:
                try:
                    self.tunnel = await self._open_at(address, name)
                except TunnelRefused as refused:
                    failure = NotSecured("2.3", f"{refused.cause}: {refused}", refused.cause)
                    self._hnb.host.tell(
                        "TUNNEL_REFUSED", segw=name, remote=address, cause=refused.cause
                    )
                    continue
                self.name = name
                self._hnb.host.tell(
                    "TUNNEL_UP", segw=name, remote=address, address=self.tunnel.address
                )
                return self.tunnel
        raise failure

    async def find(self, name: str, dns_servers: Sequence[str]) -> dns.Resolution:
        """Steps 2.1 and 2.2: a SeGW's addresses, at the outer DNS."""
        hnb = self._hnb
        return await resolve(
            hnb.host, dns_servers, name, "A", hnb.resolver_policy, hnb.mend_of("dns")
        )

    def profile(self, name: str) -> TunnelProfile:
        """What is asked of the SeGW of that name."""
        hnb = self._hnb
        return TunnelProfile(
            identity=hnb.node.settings["identity"],
            roots=hnb.cpe.trust.profile.roots,
            peer_name=name,
            verifies_name=self.policy.verifies_name,
            moment=hnb.tunnel_moment,
            life=self.policy.life,
        )

    async def _open_at(self, address: str, name: str) -> Tunnel:
        opened: list[Tunnel] = []

        def changed(change: TunnelChange) -> None:
            if opened:
                self._changed(opened[0], change)

        tunnel = await self._hnb.host.tunnel(address, self.profile(name), changed)
        opened.append(tunnel)
        return tunnel

    def _changed(self, tunnel: Tunnel, change: TunnelChange) -> None:
        if change.kind == "down":
            told = {"segw": self.name, "address": change.address, "cause": change.cause}
            self._hnb.host.tell("TUNNEL_DOWN", **told)
            self._kept = [each for each in self._kept if each is not tunnel]
        else:
            self._hnb.host.tell("TUNNEL_CHANGED", kind=change.kind, remote=str(change.remote))
        if tunnel is not self.tunnel:
            return
        if change.kind == "down":
            self.tunnel, self.name = None, ""
        self._on_change(tunnel, change)

    async def close(self) -> None:
        """Take the tunnel that counts down, in order."""
        tunnel, self.tunnel, self.name = self.tunnel, None, ""
        if tunnel is not None:
            await tunnel.close()

    def keep(self) -> None:
        """Leave the tunnel up; another one counts from now on."""
        if self.tunnel is not None:
            self._kept.append(self.tunnel)
        self.tunnel, self.name = None, ""

    async def close_all(self) -> None:
        """Take all tunnels down, in order."""
        for tunnel in self._kept:
            await tunnel.close()
        self._kept.clear()
        await self.close()

    def forget(self) -> None:
        """The power is about to go: tunnels end without a word."""
        self._kept.clear()
        self.tunnel, self.name = None, ""
