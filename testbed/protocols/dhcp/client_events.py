"""What a DHCP client reports to whoever drives it."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.protocols.dhcp.client_states import State
from testbed.protocols.dhcp.lease import Lease
from testbed.protocols.dhcp.message import Malformed, Message


@dataclass(frozen=True, slots=True)
class Bound:
    """The address is ours: a new one, or the old one verified after a restart."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Renewed:
    """The lease of the same address was extended; its parameters may be new."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Informed:
    """An INFORM was answered: `lease.address` is the one we hold, its lease for ever."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Refused:
    """NAK: the address that we held, if any, is no longer ours.  The client begins anew."""

    message: Message


@dataclass(frozen=True, slots=True)
class Expired:
    """The lease has run out: the address is no longer ours.  The client begins anew."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class NoOffer:
    """All DISCOVERs stayed without an OFFER that we take; over, unless it keeps trying."""

    attempts: int


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """All REQUESTs, or INFORMs, of that state stayed without answer."""

    state: State
    attempts: int


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An OFFER or ACK was for us, but not to be used; the reason says why."""

    message: Message
    reason: str


ClientEvent = (
    Bound | Renewed | Informed | Refused | Expired | NoOffer | NoAnswer | PassedOver | Malformed
)
