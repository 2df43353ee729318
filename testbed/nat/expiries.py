"""Which of many things expires next, when most of them are put off again and again."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Expiring(Protocol):
    """Something with an end that may be put off, never brought forward.

    Attributes:
        expires: when it ends.
        gone: whether it has ended already.
    """

    expires: float
    gone: bool


T = TypeVar("T", bound=Expiring)


class Expiries(Generic[T]):
    """A queue of ends.  To put one off costs nothing; it is seen when its old end has come."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._number = 0

    def add(self, each: T) -> None:
        """Watch it."""
        self._number += 1
        heapq.heappush(self._heap, (each.expires, self._number, each))

    def next(self) -> float | None:
        """When the next one ends; None: never."""
        heap = self._heap
        while heap:
            when, number, each = heap[0]
            if each.gone:
                heapq.heappop(heap)
            elif each.expires > when:
                heapq.heapreplace(heap, (each.expires, number, each))
            else:
                return when
        return None

    def ended(self, now: float) -> Iterator[T]:
        """All that end at `now` or before, in the order of their ends."""
        while (when := self.next()) is not None and when <= now:
            yield heapq.heappop(self._heap)[2]
