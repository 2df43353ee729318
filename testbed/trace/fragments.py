"""IP fragments, put together again (RFC 791 section 3.2, RFC 8200 section 4.5).

Overlaps are settled for the octets that came first; a field capture may hold anything.
"""

from __future__ import annotations

from collections.abc import Hashable

from testbed.errors import DecodeError

HOLD_NS = 30_000_000_000
"""How long parts wait for the rest."""
MOST_PACKETS = 256
"""Packets that may be incomplete at once; the oldest goes."""
MOST_OCTETS = 65535


class _Parts:
    __slots__ = ("began_ns", "parts", "total")

    def __init__(self, began_ns: int) -> None:
        self.began_ns = began_ns
        self.parts: dict[int, bytes] = {}
        self.total: int | None = None

    def whole(self) -> bytes | None:
        """The payload, if no octet is missing."""
        if self.total is None:
            return None
        joined = bytearray()
        for offset in sorted(self.parts):
            if offset > len(joined):
                return None
            joined += self.parts[offset][len(joined) - offset :]
        return bytes(joined[: self.total]) if len(joined) >= self.total else None


class Fragments:
    """All packets of which parts are still missing."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, _Parts] = {}

    def add(
        self, key: Hashable, offset: int, payload: bytes, more: bool, time_ns: int
    ) -> bytes | None:
        """Take one fragment.

        Args:
            key: what all fragments of a packet share, link and sender included.
            offset: of the payload in the whole, octets.
            payload: the fragment's own.
            more: whether others follow it.
            time_ns: when it was sent.

        Returns:
            The whole payload when this fragment completes it, else None.

        Raises:
            DecodeError: the whole would be longer than an IP packet can be.
        """
        if offset + len(payload) > MOST_OCTETS:
            self._waiting.pop(key, None)
            raise DecodeError(
                f"IP fragment: offset {offset} and {len(payload)} octets end at "
                f"{offset + len(payload)}, a packet holds at most {MOST_OCTETS}"
            )
        held = self._waiting.get(key)
        if held is None or time_ns - held.began_ns > HOLD_NS:
            self._waiting.pop(key, None)
            if len(self._waiting) >= MOST_PACKETS:
                del self._waiting[next(iter(self._waiting))]
            held = self._waiting[key] = _Parts(time_ns)
        held.parts.setdefault(offset, payload)
        if not more and held.total is None:
            held.total = offset + len(payload)
        whole = held.whole()
        if whole is not None:
            del self._waiting[key]
        return whole
