"""Calls of a node's role that are yet to come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Calls(Protocol):
    """What a call needs of its host.

    Attributes:
        loop: the clock.
        timers: the calls that are yet to come; they go with the node's power.
    """

    loop: asyncio.AbstractEventLoop
    timers: dict[Call, None]

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call; an exception is the node's crash."""


class Call:
    """A call that is yet to come.  Fits `testbed.host.Timer`."""

    def __init__(self, host: Calls, when: float, callback: Callable[[], None]) -> None:
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
