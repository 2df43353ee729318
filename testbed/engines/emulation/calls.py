"""Calls of a node's role that are yet to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.engines.emulation.host import EmulatedHost


class Call:
    """A call that is yet to come.  Fits `testbed.host.Timer`."""

    def __init__(self, host: EmulatedHost, when: float, callback: Callable[[], None]) -> None:
        self._host = host
        self._callback = callback
        self._handle = host.loop.call_at(when, self._come)

    def _come(self) -> None:
        self._host.timers.pop(self, None)
        self._host.guard(self._callback)

    def cancel(self) -> None:
        """It will not come."""
        self._handle.cancel()
        self._host.timers.pop(self, None)
