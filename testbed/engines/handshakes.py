"""The TLS handshakes under way at one listening port of a node: bounded in number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from testbed.host import Stream, TlsRefused

MOST_HANDSHAKES = 256
"""Under way at one port; for one more the oldest is given up."""

Below = TypeVar("Below", bound=Stream)
Above = TypeVar("Above", bound=Stream)


class Handshakes(Generic[Below, Above]):
    """Shakes hands with whoever connects.

    Args:
        protect: shakes hands on a stream.
        tell: gets the event "TLS_FAILED" of each that failed, and its fields.
    """

    def __init__(
        self, protect: Callable[[Below], Awaitable[Above]], tell: Callable[..., Any]
    ) -> None:
        self._protect = protect
        self._tell = tell
        self._under_way: dict[Below, None] = {}

    async def shake(self, below: Below) -> Above | None:
        """The protected stream; None: the handshake failed, which was told."""
        if len(self._under_way) >= MOST_HANDSHAKES:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.abort()
        self._under_way[below] = None
        try:
            return await self._protect(below)
        except (ConnectionError, TimeoutError) as error:
            cause = error.cause if isinstance(error, TlsRefused) else "handshake"
            reason = str(error)
            if below not in self._under_way:
                reason = f"more than {MOST_HANDSHAKES} handshakes are under way"
            self._tell("TLS_FAILED", remote=str(below.remote), cause=cause, reason=reason)
            return None
        finally:
            self._under_way.pop(below, None)
