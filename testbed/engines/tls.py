"""TLS over any byte stream: the same code on every engine that carries real TLS.

An `ssl.SSLObject` between two memory buffers; the stream below carries what it wants carried.
Knows no socket.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from testbed.host import Stream, TlsProfile

HANDSHAKE_WITHIN_S = 60.0
"""A peer that opens a connection and then says nothing is given up after this time."""

_CHUNK_OCTETS = 1 << 16
T = TypeVar("T")


class TlsStream:
    """A stream protected by TLS.  Open it with `await TlsStream.open(...)`.

    Attributes:
        cut_short: the other side closed without close_notify, so that what came may be a part only.
    """

    def __init__(self, below: Stream, profile: TlsProfile, server_side: bool) -> None:
        self.local = below.local
        self.remote = below.remote
        self.cut_short = False
        self._below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = profile.context.wrap_bio(
            self._incoming, self._outgoing, server_side, profile.server_name
        )
        self._feeding = asyncio.Lock()
        self._carrying = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        below: Stream,
        profile: TlsProfile,
        server_side: bool,
        within_s: float = HANDSHAKE_WITHIN_S,
    ) -> TlsStream:
        """Shake hands over `below`, which is closed if that fails.

        Raises:
            ssl.SSLError: the handshake failed; the other side has been sent the alert.
            ConnectionError: the stream below broke.
            TimeoutError: the handshake took longer than `within_s`.
        """
        stream = cls(below, profile, server_side)
        try:
            async with asyncio.timeout(within_s):
                await stream._until_done(stream._tls.do_handshake)
        except ssl.SSLError:
            # In order, not by reset: a reset may destroy the alert before the other side reads it.
            await below.close()
            raise
        except TimeoutError:
            below.abort()
            raise TimeoutError(
                f"TLS handshake between {below.local} and {below.remote} "
                f"did not end within {within_s:g} s"
            ) from None
        except BaseException:
            below.abort()
            raise
        return stream

    async def receive(self, most_octets: int = 65536) -> bytes:
        """Some octets; b"" when the other side has closed.

        Raises:
            ConnectionError: reset, broken, or an alert came (a TLS 1.3 server refuses a client's
                certificate only now); the `ssl.SSLError` is its cause.
        """
        try:
            data = await self._until_done(partial(self._tls.read, most_octets))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            data = b""  # the context's options decide whether an end is an error
        except ssl.SSLError as error:
            raise ConnectionAbortedError(f"TLS with {self.remote}: {error}") from error
        if not data:
            # Who has sent close_notify is asked for no more: the stream below did not end yet.
            self.cut_short = self._incoming.eof
        return data

    async def send(self, data: bytes) -> None:
        """Send all octets; waits while the other side does not read.

        Raises:
            ConnectionError: reset, or broken.
        """
        view = memoryview(data)
        try:
            for start in range(0, len(view), _CHUNK_OCTETS):
                chunk = view[start : start + _CHUNK_OCTETS]
                while chunk:
                    written = await self._until_done(partial(self._tls.write, chunk))
                    chunk = chunk[written:]
        except ssl.SSLError as error:
            raise ConnectionAbortedError(f"TLS with {self.remote}: {error}") from error

    async def close(self) -> None:
        """Send close_notify and close the stream below; does not wait for the other's."""
        with suppress(ssl.SSLError):  # most often "want read": theirs may never come
            self._tls.unwrap()
        with suppress(ConnectionError):  # the other side was faster
            await self._carry()
        await self._below.close()

    def abort(self) -> None:
        """Reset at once."""
        self._below.abort()

    async def _until_done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._carry()
                await self._feed()
            except ssl.SSLError:
                with suppress(ConnectionError):  # who has gone needs no alert
                    await self._carry()
                raise
            else:
                await self._carry()
                return result

    async def _carry(self) -> None:
        """Give what TLS wants sent to the stream below, in order though several tasks come here."""
        async with self._carrying:
            while data := self._outgoing.read():
                await self._below.send(data)

    async def _feed(self) -> None:
        """Give TLS some octets from below; who finds another task at it waits for that one's."""
        if self._feeding.locked():
            async with self._feeding:
                return
        async with self._feeding:
            data = await self._below.receive(_CHUNK_OCTETS)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
