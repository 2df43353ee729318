"""What all protocols share: an endpoint, a message, a machine, and a cursor over octets.

Knows no clock, no socket and no other module of ours but the errors.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from testbed.errors import DecodeError

__all__ = [
    "BROADCAST",
    "DecodeError",
    "Endpoint",
    "Machine",
    "Message",
    "Outgoing",
    "Reader",
    "SidedMachine",
]

BROADCAST = "255.255.255.255"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """An IP address in its canonical text form, and a UDP or TCP port."""

    address: str
    port: int

    def __str__(self) -> str:
        if ":" in self.address:
            return f"[{self.address}]:{self.port}"
        return f"{self.address}:{self.port}"


@runtime_checkable
class Message(Protocol):
    """A decoded message: `encode` gives its octets, `summary` its line in a ladder."""

    def encode(self) -> bytes:
        """The octets on the wire."""
        ...

    def summary(self) -> str:
        """One short line: protocol word first, then what tells this message from its like."""
        ...


M_co = TypeVar("M_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Outgoing(Generic[M_co]):
    """A message that a machine wants sent.

    Attributes:
        message: what to send, still decoded, so that a fault may change it.
        destination: where to.
        hardware_address: link-layer address to send to without asking ARP ("02:00:00:00:00:01"),
            for a DHCP answer to an address that its client does not hold yet; None: the stack's
            way.
        side: from which of its machine's ports, where that has several; None: the only one.
    """

    message: M_co
    destination: Endpoint
    hardware_address: str | None = None
    side: Hashable | None = None


class Machine(Protocol[M_co, E_co]):
    """A protocol's behaviour.  All times are seconds of one monotonic clock, passed in."""

    def receive(self, data: bytes, source: Endpoint, now: float) -> None:
        """Take one datagram.  What cannot be decoded becomes an event, never an exception."""

    def tick(self, now: float) -> None:
        """Let time pass up to `now`; called at `deadline()` or later."""

    def deadline(self) -> float | None:
        """When `tick` is wanted next; None: never."""

    def to_send(self) -> Sequence[Outgoing[M_co]]:
        """Take what is to be sent; a second call gives nothing until something new is."""

    def events(self) -> Sequence[E_co]:
        """Take what has happened; a second call gives nothing until something new has."""


S_contra = TypeVar("S_contra", bound=Hashable, contravariant=True)


class SidedMachine(Protocol[M_co, E_co, S_contra]):
    """A machine with several ports: `side` says which; what it sends names one of them."""

    def receive(self, data: bytes, source: Endpoint, now: float, side: S_contra) -> None:
        """Take one datagram that came to that port."""

    def tick(self, now: float) -> None:
        """As of a `Machine`."""

    def deadline(self) -> float | None:
        """As of a `Machine`."""

    def to_send(self) -> Sequence[Outgoing[M_co]]:
        """As of a `Machine`; every message has its `side`."""

    def events(self) -> Sequence[E_co]:
        """As of a `Machine`."""


class Reader:
    """A cursor that cuts octets into fields and says exactly where they do not suffice.

    Args:
        data: the octets.
        subject: what they are, for the error's sentence ("DHCP message").
        offset: where `data` begins in the whole message, so that errors name whole offsets.
    """

    __slots__ = ("data", "offset", "position", "subject")

    def __init__(self, data: bytes, subject: str, offset: int = 0) -> None:
        self.data = data
        self.subject = subject
        self.offset = offset
        self.position = 0

    @property
    def remaining(self) -> int:
        """How many octets are left."""
        return len(self.data) - self.position

    def take(self, octets: int, field: str) -> bytes:
        """The next `octets` octets.

        Raises:
            DecodeError: fewer remain; names field, offset and both measures.
        """
        start = self.position
        end = start + octets
        if end > len(self.data):
            raise DecodeError(
                f"{self.subject}: {field} at offset {self.offset + start} needs {octets} octets, "
                f"{self.remaining} remain"
            )
        self.position = end
        return self.data[start:end]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.remaining, "rest")

    def uint8(self, field: str) -> int:
        """One octet."""
        return self.take(1, field)[0]

    def uint16(self, field: str) -> int:
        """Two octets, network order."""
        value: int = struct.unpack("!H", self.take(2, field))[0]
        return value

    def uint32(self, field: str) -> int:
        """Four octets, network order."""
        value: int = struct.unpack("!I", self.take(4, field))[0]
        return value
