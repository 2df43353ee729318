"""How late this machine is: a beat that should come by the clock, and when it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PERIOD_S = 0.05
WORTH_TELLING_S = 0.02
"""What no check measures."""


class Heartbeat:
    """Beats in the loop that runs, until it is stopped.

    Args:
        late: called with the seconds by which a beat came late.
    """

    def __init__(self, late: Callable[[float], None]) -> None:
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(PERIOD_S, self._beat)

    def _beat(self) -> None:
        now = self._loop.time()
        late_s = now - self._next.when()
        if late_s >= WORTH_TELLING_S:
            self._late(late_s)
        self._next = self._loop.call_at(now + PERIOD_S, self._beat)

    def stop(self) -> None:
        """No more."""
        self._next.cancel()
