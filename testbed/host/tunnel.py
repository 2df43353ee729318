"""A tunnel as policy: IKEv2 and ESP (TS 33.320, RFC 7296), and what its ends are told of it.

A role says whom it wants to reach and what it accepts; charon, or the model of it, lives in the
engine.  What goes through a tunnel goes through a `Host` again: its inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from testbed.errors import PeerError
from testbed.protocols.wire import Endpoint
from testbed.topology import Algorithms

if TYPE_CHECKING:
    from testbed.protocols.pki import Identity  # it costs an import of cryptography

TunnelCause = Literal[
    "no answer", "proposal", "name", "chain", "expired", "not yet valid", "peer", "other"
]
"""Why there is no tunnel: nobody answered (IKE_SA_INIT or IKE_AUTH); no proposal in common; the
responder's identity, issuers or dates are not accepted; the responder said no, as by
AUTHENTICATION_FAILED; anything else."""
TunnelKind = Literal["up", "rekeyed", "ike rekeyed", "moved", "readdressed", "down"]
"""What happens to a tunnel; see `TunnelChange`."""


@dataclass(frozen=True, slots=True)
class TunnelLife:
    """How a tunnel lives on, the same for both ends.

    Attributes:
        keepalive_s: between two NAT keep-alives (RFC 3948, 4); 0: none.
        dead_peer_s: idle time after which the peer is asked whether it lives (RFC 7296, 2.4); 0:
            never.
        rekey_s: after which the ESP keys are changed; 0: never.
        ike_rekey_s: after which the IKE keys are changed; 0: never.
        mobile: whether an address may change under the tunnel (MOBIKE, RFC 4555).
        retransmit_first_s: how long the first try of a request waits for its response.
        retransmit_factor: by which each next wait is longer.
        retransmit_tries: how often a request is sent again before the peer counts as dead.
    """

    keepalive_s: float = 20.0
    dead_peer_s: float = 0.0
    rekey_s: float = 3600.0
    ike_rekey_s: float = 14400.0
    mobile: bool = True
    retransmit_first_s: float = 2.0
    retransmit_factor: float = 1.8
    retransmit_tries: int = 3


@dataclass(frozen=True, slots=True)
class TunnelProfile:
    """What an initiator asks for, and what of the responder it checks.

    Attributes:
        identity: its certificate and key; its name is the IDi (FQDN).
        roots: certificates that are trusted, PEM each.
        peer_name: the IDr that it asks for; it must be in the responder's certificate as a
            dNSName.
        verifies_name: check that name; else any identity of a trusted chain will do.
        protects: prefixes of the other side that go through the tunnel.
        moment: what this node believes the date is, seconds since 1970 (UTC); None: the engine's
            clock.
        life: timers.
    """

    identity: Identity
    roots: tuple[bytes, ...]
    peer_name: str
    verifies_name: bool = True
    protects: tuple[str, ...] = ("0.0.0.0/0",)
    moment: float | None = None
    life: TunnelLife = TunnelLife()


@dataclass(frozen=True, slots=True)
class TunnelPolicy:
    """What a responder (a SeGW) gives and accepts.

    Attributes:
        identity: its certificate and key.
        name: the IDr that it claims; by default the identity's name.
        roots: certificates that are trusted, PEM each; initiators must chain to one.
        pool: prefix of the addresses that it gives to initiators, "10.20.0.0/16".
        dns_servers: told to initiators (INTERNAL_IP4_DNS).
        protects: prefixes behind it that initiators may reach.
        moment: what this node believes the date is; None: the engine's clock.
        life: timers.
        algorithms: which ones it lets initiators have.
    """

    identity: Identity
    roots: tuple[bytes, ...]
    pool: str
    dns_servers: tuple[str, ...] = ()
    protects: tuple[str, ...] = ("0.0.0.0/0",)
    name: str | None = None
    moment: float | None = None
    life: TunnelLife = TunnelLife()
    algorithms: Algorithms = Algorithms.PROFILE


class TunnelRefused(PeerError, ConnectionError):
    """There is no tunnel: by our refusal, by the responder's, or because nobody answered.

    Attributes:
        cause: one of `TunnelCause`.
        sentence: who refused what, by which rule.
    """

    def __init__(self, cause: TunnelCause, sentence: str) -> None:
        super().__init__(sentence)
        self.cause: TunnelCause = cause
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class TunnelChange:
    """Something happened to a tunnel that is up, or that was.

    Attributes:
        kind: "up" (at a responder: somebody's tunnel), "rekeyed" (ESP), "ike rekeyed", "moved" (an
            outer address is another one), "readdressed" (the inner address is another one),
            "down".
        peer: identity of the other side, as it was authenticated.
        remote: the other side's outer address and port now.
        address: the initiator's inner address.
        cause: why it is down: "closed" (by us), "deleted" (by the peer), "dead" (no answer).
    """

    kind: TunnelKind
    peer: str
    remote: Endpoint
    address: str
    cause: str = ""


TunnelHandler = Callable[[TunnelChange], None]
"""Called with each change, in order.  An exception in it is the role's crash."""


class TunnelListener(Protocol):
    """A responder that accepts tunnels."""

    async def delete(self, peer: str) -> None:
        """Take that peer's tunnel down in order (IKE INFORMATIONAL with DELETE)."""

    def close(self) -> None:
        """Accept no more; tunnels that are up end without a word, as a process that dies."""
