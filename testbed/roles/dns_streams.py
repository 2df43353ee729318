"""DNS over TCP, the serving side: many peers, none of which holds up another (RFC 7766)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from testbed.host import Stream
from testbed.protocols import dns
from testbed.protocols.wire import Endpoint

StreamAnswers = Callable[[bytes, Endpoint], Awaitable[Sequence[bytes]]]
"""Gives the messages to send back for one message from that peer."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What TCP peers may use up.

    Attributes:
        message_s: seconds from one message to the end of the next; idle peers are cut off then.
        send_s: seconds that a peer may take to read an answer.
        connections: how many at once; one more cuts off the oldest.
    """

    message_s: float = 10.0
    send_s: float = 10.0
    connections: int = 128


class DnsStreams:
    """Answers messages on streams; each peer's in order, one at a time.

    Args:
        answers: who answers.
        limits: what peers may use up.
    """

    def __init__(self, answers: StreamAnswers, limits: StreamLimits | None = None) -> None:
        self.limits = limits or StreamLimits()
        self._answers = answers
        self._open: dict[int, Stream] = {}

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    async def serve(self, stream: Stream) -> None:
        """One connection from start to end: the handler for `Host.listen`."""
        while len(self._open) >= self.limits.connections:
            self._open.pop(next(iter(self._open))).abort()
        self._open[id(stream)] = stream
        try:
            await self._talk(stream)
            await stream.close()
        except OSError:  # TimeoutError is one
            stream.abort()
        except BaseException:
            stream.abort()
            raise
        finally:
            if self._open.get(id(stream)) is stream:
                del self._open[id(stream)]

    async def _talk(self, stream: Stream) -> None:
        frames = dns.Frames()
        while True:
            messages: list[bytes] = []
            async with asyncio.timeout(self.limits.message_s):
                while not messages:
                    data = await stream.receive()
                    if not data:
                        return
                    messages = frames.feed(data)
            for message in messages:
                for reply in await self._answers(message, stream.remote):
                    async with asyncio.timeout(self.limits.send_s):
                        await stream.send(dns.frame(reply))

    def close(self) -> None:
        """Cut off all peers."""
        while self._open:
            self._open.popitem()[1].abort()
