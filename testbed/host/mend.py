"""`Mend` is where faults change what a role sends: its messages, its octets, when, and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from testbed.protocols.wire import Endpoint, Message

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Pause:
    """Among what a fault gives to be sent: what follows goes out so much later.

    A stream waits here.  Datagrams do not wait for each other: those of the machine's next message
    may go out before the ones that a pause holds back, which is how a fault changes their order.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Finish:
    """Among the octets that a fault gives to a stream: nothing is sent after it (half-close)."""


Piece = bytes | Pause | Finish


@dataclass
class Mend(Generic[M]):
    """What stands between a machine and its port: faults change messages or octets here.

    Attributes:
        message: each gets a message and the destination and gives the messages to send instead,
            with pauses among them.
        octets: each gets an encoded datagram, or what goes onto a stream, and gives what to send
            instead: octets, pauses and, on a stream, its end.
    """

    message: list[Callable[[M, Endpoint], Sequence[M | Pause]]] = field(default_factory=list)
    octets: list[Callable[[bytes, Endpoint], Sequence[Piece]]] = field(default_factory=list)

    @property
    def is_idle(self) -> bool:
        """Whether no fault is at work."""
        return not self.message and not self.octets

    def pieces(self, message: M, destination: Endpoint) -> list[Piece]:
        """What goes onto a stream for `message` after all faults have had their way."""
        messages: list[M | Pause] = [message]
        for change in self.message:
            messages = [
                new
                for old in messages
                for new in ([old] if isinstance(old, Pause) else change(old, destination))
            ]
        pieces = [each if isinstance(each, Pause) else each.encode() for each in messages]
        mended: list[Piece] = [*pieces]
        for cut in self.octets:
            mended = [
                new
                for old in mended
                for new in (cut(old, destination) if isinstance(old, bytes) else [old])
            ]
        return mended

    def datagrams(self, message: M, destination: Endpoint) -> list[tuple[float, bytes]]:
        """The datagrams that go out for `message`, each with the seconds from now until it does."""
        after_s, datagrams = 0.0, []
        for piece in self.pieces(message, destination):
            match piece:
                case Pause(seconds):
                    after_s += seconds
                case bytes():
                    datagrams.append((after_s, piece))
                case Finish():
                    raise AssertionError("a fault ends a stream where there are datagrams")
        return datagrams
