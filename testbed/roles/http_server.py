"""An HTTP server on streams, bounded in time, size and number; what it answers is its owner's.

ACS, connection request listener and bootstrap server share it.  Each connection has a task of its
own, so that a slow or silent peer holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from testbed.host import Host, Mend, Stream
from testbed.protocols.http import (
    CONTINUE,
    MOST_BODY_OCTETS,
    MOST_HEAD_OCTETS,
    Decoder,
    HttpError,
    Request,
    Response,
)
from testbed.protocols.wire import Endpoint
from testbed.roles.mending import send_mended

AT_A_TIME_OCTETS = 16384
"""How much is read from one connection before the others have their turn."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What peers may use up.

    Attributes:
        head_octets: of start line and headers.
        body_octets: of a body, its transfer coding taken off.
        message_within_s: from a request's first octet to its last.
        idle_within_s: between requests, and before the first one.
        send_within_s: until the peer has taken a response.
        connections: beyond these the one that was answered longest ago is closed for a new one.
        held_octets: of all requests that are not whole yet; beyond these the connection that holds
            most of them is closed.
    """

    head_octets: int = MOST_HEAD_OCTETS
    body_octets: int = MOST_BODY_OCTETS
    message_within_s: float = 10.0
    idle_within_s: float = 60.0
    send_within_s: float = 10.0
    connections: int = 512
    held_octets: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a handler gives instead of a response: the connection ends without one.

    Attributes:
        reset: by a reset, else in order (FIN).
        after_s: keeps silent so long before.
    """

    reset: bool = True
    after_s: float = 0.0


Answer = Callable[[Request, Endpoint], Awaitable[Response | Dropped]]
"""Called with each request and its source; its exceptions are the role's crash."""


class _Slow(Exception):
    """The peer does not send a whole request in its time."""


class _Connection:
    """One connection that is open."""

    def __init__(self, stream: Stream, decoder: Decoder) -> None:
        self.stream = stream
        self.decoder = decoder
        self.idle = True
        self.evicted = False
        self.waiting: deque[Request | HttpError] = deque()


class HttpServer:
    """Serves HTTP/1.1 connections; give its `serve` to `Host.listen`.

    Args:
        host: for time and events ("MALFORMED", "REFUSED").
        answer: what to say to a request.
        limits: what peers may use up.
        mend: the faults at work on the octets of responses.
        refuses_by: the status for whatever cannot be read as a request; None: RFC 9110's for each.
    """

    def __init__(
        self,
        host: Host,
        answer: Answer,
        limits: HttpLimits | None = None,
        mend: Mend[Response] | None = None,
        refuses_by: int | None = None,
    ) -> None:
        self.host = host
        self.limits = limits or HttpLimits()
        self._answer = answer
        self._refuses_by = refuses_by
        self._mend: Mend[Response] = mend or Mend()
        self._open: dict[_Connection, None] = {}
        self._held = 0

    def close(self) -> None:
        """Reset every connection."""
        for connection in list(self._open):
            connection.stream.abort()

    async def serve(self, stream: Stream) -> None:
        """Answer requests until either side has enough.

        Raises:
            ConnectionError: the peer broke the stream.
        """
        self._make_room()
        limits = self.limits
        decoder = Decoder(True, limits.body_octets, limits.head_octets)
        connection = _Connection(stream, decoder)
        self._open[connection] = None
        try:
            while await self._exchange(connection):
                pass
        except ConnectionError:
            if not connection.evicted:
                raise
        finally:
            self._leave(connection)

    def _make_room(self) -> None:
        """Where there are too many connections, close one: it has been silent longest.

        Those that wait for an answer of ours go only when there are no others.
        """
        if len(self._open) < self.limits.connections:
            return
        oldest = next((each for each in self._open if each.idle), None) or next(iter(self._open))
        self._evict(oldest, f"more than {self.limits.connections} connections are open")

    def _take(self, connection: _Connection, data: bytes) -> None:
        """Decode what came; where requests under way hold too much, close who holds most."""
        if connection not in self._open:
            return  # closed for another one, while these octets were on their way here
        decoder = connection.decoder
        before = decoder.held_octets
        done = decoder.feed(data) if data else decoder.end()
        connection.waiting += [each for each in done if isinstance(each, Request | HttpError)]
        self._held += decoder.held_octets - before
        while self._held > self.limits.held_octets:
            greediest = max(self._open, key=lambda each: each.decoder.held_octets)
            cause = f"requests under way hold more than {self.limits.held_octets} octets"
            self._evict(greediest, cause)

    def _evict(self, connection: _Connection, cause: str) -> None:
        connection.evicted = True
        self.host.tell("REFUSED", source=str(connection.stream.remote), cause=cause)
        self._leave(connection)
        connection.stream.abort()

    def _leave(self, connection: _Connection) -> None:
        if connection in self._open:
            del self._open[connection]
            self._held -= connection.decoder.held_octets

    async def _exchange(self, connection: _Connection) -> bool:
        """One request and its response; whether the connection goes on."""
        source = connection.stream.remote
        try:
            request = await self._request(connection)
        except _Slow as slow:
            self.host.tell("REFUSED", source=str(source), cause=str(slow))
            if connection.decoder.in_message:
                await self._refuse(connection, 408)
            return False
        if request is None:
            return False
        if isinstance(request, Request) and not request.version.startswith("1."):
            what = f"HTTP request: version {request.version} is not spoken here, 1.0 and 1.1 are"
            request = HttpError(what, 505)
        if isinstance(request, HttpError):
            self.host.tell("MALFORMED", protocol="HTTP", source=str(source), error=str(request))
            await self._refuse(connection, request.status)
            return False
        response = await self._answer(request, source)
        if isinstance(response, Dropped):
            await asyncio.sleep(response.after_s)
            if response.reset:
                connection.stream.abort()
            return False
        if not request.keep_alive and response.keep_alive:
            # RFC 9112, 9.6: who will close says so, or the next request meets a closed connection.
            response = replace(response, headers=(*response.headers, ("Connection", "close")))
        goes_on = await self._send(connection, response)
        if connection in self._open:
            self._open[connection] = self._open.pop(connection)  # the last in the row again
        return goes_on and response.keep_alive

    async def _refuse(self, connection: _Connection, status: int) -> None:
        """Say what was wrong with a request, the last one of its connection."""
        closing = Response((("Connection", "close"),), status=self._refuses_by or status)
        await self._send(connection, closing)

    async def _request(self, connection: _Connection) -> Request | HttpError | None:
        """The next request; None: the peer has closed.

        Raises:
            _Slow: it did not come in time.
        """
        if connection.waiting:
            await asyncio.sleep(0)  # who sends a thousand at once takes turns with the others
            return connection.waiting.popleft()
        limits, decoder, stream = self.limits, connection.decoder, connection.stream
        connection.idle, begun = True, decoder.in_message
        within_s = limits.message_within_s if begun else limits.idle_within_s
        try:
            async with asyncio.timeout(within_s) as timer:
                while not connection.waiting:
                    data = await stream.receive(AT_A_TIME_OCTETS)
                    self._take(connection, data)
                    if not data or connection.evicted:
                        break
                    if begun:
                        await asyncio.sleep(0)  # likewise who sends faster than we read
                    elif decoder.in_message:
                        begun = True
                        timer.reschedule(
                            asyncio.get_running_loop().time() + limits.message_within_s
                        )
                    if decoder.expects_continue:
                        await stream.send(CONTINUE)
        except TimeoutError:
            what = "a whole request" if begun else "any request"
            within_s = limits.message_within_s if begun else limits.idle_within_s
            raise _Slow(f"the peer did not send {what} within {within_s:g} s") from None
        finally:
            connection.idle = False
        return connection.waiting.popleft() if connection.waiting else None

    async def _send(self, connection: _Connection, response: Response) -> bool:
        """Send a response; whether the peer took it in time, and another one may follow."""
        stream = connection.stream
        try:
            if await send_mended(self._mend, response, stream, self.limits.send_within_s):
                return True
        except TimeoutError:
            cause = f"the peer did not read a response within {self.limits.send_within_s:g} s"
            self.host.tell("REFUSED", source=str(stream.remote), cause=cause)
            stream.abort()
            return False
        with suppress(TimeoutError):  # finished by a fault: the other half stays for a while
            async with asyncio.timeout(self.limits.idle_within_s):
                while await stream.receive(AT_A_TIME_OCTETS):
                    pass
        return False
