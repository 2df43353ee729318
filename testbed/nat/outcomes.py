"""What a NAT makes of a packet, and what happens to its bindings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from testbed.protocols.wire import Endpoint


class Reason(Enum):
    """Why a packet is refused."""

    NO_BINDING = "no binding"
    FILTERED = "filtered"
    NO_HAIRPINNING = "no hairpinning"
    NO_PORT = "no free port"
    UDP_BLOCKED = "UDP blocked"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A packet goes on, with these ends.

    Attributes:
        source: as it leaves the gateway.
        destination: likewise.
        to_inside: whether it leaves by an inside interface.
    """

    source: Endpoint
    destination: Endpoint
    to_inside: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A packet goes no further.

    Attributes:
        reason: why.
        told: whether its sender gets ICMP "administratively prohibited".
    """

    reason: Reason
    told: bool = False


class Happening(Enum):
    """What happens to a binding; the value is the event's name in a trace."""

    CREATED = "BINDING_CREATED"
    CONFIRMED = "BINDING_CONFIRMED"
    """Its first answer came in; of two stages: its second, longer lifetime begins."""
    EXPIRED = "BINDING_EXPIRED"
    FORGOTTEN = "BINDING_FORGOTTEN"
    """The gateway gives all flows another port or address."""
    REFUSED = "PACKET_REFUSED"


@dataclass(frozen=True, slots=True)
class BindingEvent:
    """Something that happened to a binding, or to a packet that found none.

    Attributes:
        happening: what.
        time_s: when, by the caller's clock.
        protocol: "udp", "tcp", "icmp".
        inside: the binding's inside endpoint; None: there is no binding.
        outside: its outside endpoint.
        remote: whom the packet came from or was for, where it matters; else None.
        reason: why a packet was refused.
    """

    happening: Happening
    time_s: float
    protocol: str
    inside: Endpoint | None
    outside: Endpoint | None
    remote: Endpoint | None = None
    reason: Reason | None = None

    def fields(self) -> dict[str, str]:
        """What a trace tells of it."""
        told = {"protocol": self.protocol}
        for name in ("inside", "outside", "remote"):
            value = getattr(self, name)
            if value is not None:
                told[name] = str(value)
        if self.reason is not None:
            told["reason"] = self.reason.value
        return told


Tell = Callable[[BindingEvent], None]
