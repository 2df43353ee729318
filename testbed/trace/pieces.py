"""What a decoder of payloads is, and the messages into which it cuts a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from testbed.errors import DecodeError

DatagramDecoder = Callable[[bytes], Any]
"""Gives the message, or raises DecodeError."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One message of a stream, with its own octets.

    Attributes:
        message: the decoded message, or why it could not be decoded.
        octets: what it was on the wire.
        carried: what the message holds in its body, from the outside to the inside.
        error: why its body could not be decoded.
    """

    message: Any
    octets: bytes
    carried: tuple[Any, ...] = ()
    error: DecodeError | None = None


class StreamDecoder(Protocol):
    """One direction of one connection, cut into messages."""

    def feed(self, octets: bytes) -> Sequence[Any]:
        """Take the next octets, in order and without gaps.

        Returns:
            What they complete: messages, DecodeErrors in the place of messages, or either inside a
            `Piece` that tells its octets.

        Raises:
            DecodeError: the stream cannot be followed any further.
        """
        ...


@runtime_checkable
class EndingStreamDecoder(Protocol):
    """A decoder that also wants to know that the sender has closed its direction."""

    def end(self) -> Sequence[Any]:
        """What the end completes, or a DecodeError for a message that was cut off."""
        ...


class LengthPrefixed:
    """Messages that each follow two octets of length: DNS over TCP (RFC 1035 section 4.2.2).

    Args:
        decode: for one message without the length.
        subject: what the messages are, for errors.
    """

    def __init__(self, decode: DatagramDecoder, subject: str) -> None:
        self._decode = decode
        self._subject = subject
        self._held = bytearray()

    def feed(self, octets: bytes) -> Sequence[Piece]:
        """Every message that is now whole."""
        self._held += octets
        pieces = []
        while len(self._held) >= 2:
            end = 2 + int.from_bytes(self._held[:2], "big")
            if len(self._held) < end:
                break
            data = bytes(self._held[2:end])
            del self._held[:end]
            try:
                pieces.append(Piece(self._decode(data), data))
            except DecodeError as error:
                pieces.append(Piece(error, data))
        return pieces

    def end(self) -> Sequence[Piece]:
        """An error where the last message is not whole."""
        if not self._held:
            return ()
        held = bytes(self._held)
        if len(held) < 2:
            measure = "its length needs 2 octets, 1 came"
        else:
            measure = f"its length says {int.from_bytes(held[:2], 'big')}, {len(held) - 2} came"
        sentence = f"{self._subject}: the stream ended inside it: {measure}"
        return (Piece(DecodeError(sentence), held),)
