"""What a DHCP server reports to whoever drives it, and the bindings that it reports of."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.protocols.dhcp.message import Malformed, Message


@dataclass(frozen=True, slots=True)
class Binding:
    """An address and the client that holds it.

    Attributes:
        client: option 61, or hardware type and address.
        hardware_address: "02:00:00:00:00:01".
        address: the client's.
        expires_at: when it ends; `math.inf` never.
        host_name: what the client calls itself; None: it does not say.
    """

    client: bytes
    hardware_address: str
    address: str
    expires_at: float
    host_name: str | None = None


@dataclass(frozen=True, slots=True)
class Leased:
    """A client has got an address by `answer`; again, when it repeats its REQUEST."""

    binding: Binding
    request: Message
    answer: Message


@dataclass(frozen=True, slots=True)
class Renewed:
    """A client that held the address has got more time for it."""

    binding: Binding
    request: Message
    answer: Message


@dataclass(frozen=True, slots=True)
class InformAnswered:
    """A client with an address of its own has got the other parameters."""

    address: str
    request: Message
    answer: Message


@dataclass(frozen=True, slots=True)
class Released:
    """The binding is over because its client has given it back, or has taken another address."""

    binding: Binding
    request: Message


@dataclass(frozen=True, slots=True)
class Declined:
    """A client found the address in use; nobody gets it for a while."""

    address: str
    request: Message


@dataclass(frozen=True, slots=True)
class Expired:
    """The binding is over because its time is."""

    binding: Binding


@dataclass(frozen=True, slots=True)
class Refused:
    """A request did not get what it asked for: by NAK, or by silence where none may be sent."""

    request: Message
    reason: str


@dataclass(frozen=True, slots=True)
class PoolEmpty:
    """No address is left for this client; it gets no answer (RFC 2131 section 4.3.1)."""

    request: Message


ServerEvent = (
    Leased
    | Renewed
    | InformAnswered
    | Released
    | Declined
    | Expired
    | Refused
    | PoolEmpty
    | Malformed
)
