"""DNS over a byte stream: two octets of length before each message (RFC 1035 section 4.2.2)."""

from __future__ import annotations

from testbed.errors import BadInput
from testbed.protocols.dns.message import MOST_OCTETS


def frame(message: bytes) -> bytes:
    """The message with its length before it.

    Raises:
        BadInput: the length does not fit into two octets.
    """
    if len(message) > MOST_OCTETS:
        raise BadInput(f"DNS message of {len(message)} octets: at most {MOST_OCTETS} fit a stream")
    return len(message).to_bytes(2, "big") + message


class Frames:
    """Cuts a byte stream into messages; holds at most one that is not whole yet."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def held_octets(self) -> int:
        """How many octets of a message that is not whole yet are held."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Take octets of the stream; the messages that are whole now, in order."""
        self._held += data
        messages = []
        start = 0
        while len(self._held) - start >= 2:
            end = start + 2 + int.from_bytes(self._held[start : start + 2], "big")
            if end > len(self._held):
                break
            messages.append(bytes(self._held[start + 2 : end]))
            start = end
        del self._held[:start]
        return messages
