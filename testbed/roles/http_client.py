"""One HTTP client connection on a stream: a request, its response, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from testbed.errors import PeerError
from testbed.host import Host, Mend, Stream, TlsProfile
from testbed.protocols.http import Decoder, HttpError, Request, Response
from testbed.protocols.wire import Endpoint
from testbed.roles.mending import send_mended

MOST_INTERIM_RESPONSES = 8


class ClosedByServer(PeerError):
    """The server has closed a connection that was kept open between two requests.

    Nothing was sent, or the request met the server's FIN on its way: not one octet of a response
    came.  RFC 9112 clause 9.5 lets the client open another connection.
    """


class HttpConnection:
    """Open it with `await HttpConnection.open(...)`.

    Args:
        host: whose tasks read ahead.
        stream: connected.
        answer_within_s: from a request's first octet to its response's last.
        mend: the faults at work on the octets of requests.

    Attributes:
        is_finished: nothing can be sent any more: a fault has closed this side's half.
    """

    def __init__(
        self,
        host: Host,
        stream: Stream,
        answer_within_s: float,
        mend: Mend[Any] | None = None,
    ) -> None:
        self.host = host
        self.stream = stream
        self.answer_within_s = answer_within_s
        self._mend: Mend[Any] = mend or Mend()
        self.is_finished = False
        self._exchanges = 0
        self._decoder = Decoder(False)
        self._responses: list[Response] = []
        self._ahead: asyncio.Task[None] | None = None
        self._read: bytes | ConnectionError | None = None

    @classmethod
    async def open(
        cls,
        host: Host,
        remote: Endpoint,
        tls: TlsProfile | None,
        connect_within_s: float,
        answer_within_s: float,
        mend: Mend[Any] | None = None,
    ) -> HttpConnection:
        """Connect.

        Raises:
            TlsRefused: the handshake failed; nothing of HTTP was sent.
            OSError: refused, unreachable, or not connected in time.
        """
        try:
            async with asyncio.timeout(connect_within_s):
                stream = await host.connect(remote, tls)
        except TimeoutError:
            raise TimeoutError(f"no connection to {remote} within {connect_within_s:g} s") from None
        return cls(host, stream, answer_within_s, mend)

    async def exchange(
        self, request: Request, on_sent: Callable[[], None] | None = None
    ) -> Response:
        """Send a request; its response, which is final: interim ones are passed over.

        Args:
            request: what to send.
            on_sent: called when all of it was sent, before the response is read.

        Raises:
            ClosedByServer: the connection had ended before the request came to the server.
            PeerError: no response in time, one that breaks HTTP or a bound, or none at all.
            ConnectionError: reset, or broken.
        """
        try:
            async with asyncio.timeout(self.answer_within_s):
                await self._look_ahead()
                goes_on = await send_mended(self._mend, request, self.stream)
                self.is_finished = not goes_on
                if on_sent is not None:
                    on_sent()
                response = await self._response()
        except TimeoutError:
            raise PeerError(
                f"{self.stream.remote} did not answer within {self.answer_within_s:g} s"
            ) from None
        self._exchanges += 1
        if response.keep_alive and not self.is_finished:
            self._ahead = self.host.spawn(self._read_ahead(), "HTTP connection kept open")
        return response

    async def close(self) -> None:
        """Close in order."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None
        await self.stream.close()

    def abort(self) -> None:
        """Reset at once."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None
        self.stream.abort()

    async def _read_ahead(self) -> None:
        """Notice the end of a connection that is kept open."""
        try:
            self._read = await self.stream.receive()
        except ConnectionError as error:
            self._read = error

    async def _look_ahead(self) -> None:
        """Stop reading ahead, and see what has come meanwhile.

        Raises:
            ClosedByServer: the end.
            PeerError: octets that answer no request.
        """
        task, self._ahead = self._ahead, None
        if task is None:
            return
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        read, self._read = self._read, None
        if read is None:
            return
        if read == b"" or isinstance(read, ConnectionError):
            raise ClosedByServer(f"{self.stream.remote} has closed the connection")
        raise PeerError(f"{self.stream.remote} sent {len(read)} octets that nobody asked for")

    async def _response(self) -> Response:
        interim = received = 0
        while True:
            while self._responses:
                response = self._responses.pop(0)
                if response.status >= 200:
                    return response
                interim += 1
                if interim > MOST_INTERIM_RESPONSES:
                    raise PeerError(f"{self.stream.remote} sent {interim} interim responses")
            data = await self.stream.receive()
            received += len(data)
            if not received and self._exchanges:
                raise ClosedByServer(f"{self.stream.remote} has closed the connection")
            for each in self._decoder.feed(data) if data else self._decoder.end():
                if isinstance(each, HttpError):
                    raise each
                assert isinstance(each, Response)
                self._responses.append(each)
            if not data and not self._responses:
                raise PeerError(f"{self.stream.remote} closed the connection instead of answering")
