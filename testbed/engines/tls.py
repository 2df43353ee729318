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

from testbed.engines.tls_policy import TlsContexts, dates_refused, refused_by, verified_chain
from testbed.host import Stream, TlsProfile, TlsRefused
from testbed.protocols.tls import Alert

HANDSHAKE_WITHIN_S = 60.0
"""A peer that opens a connection and then says nothing is given up after this time."""

_CHUNK_OCTETS = 1 << 16
T = TypeVar("T")

Tap = Callable[[bool, bytes], None]
"""Called with (whether this side sends, the clear octets); b"" is that direction's end."""


class TlsStream:
    """A stream protected by TLS.  Open it with `await TlsStream.open(...)`.

    Attributes:
        cut_short: the other side closed without close_notify, so that what came may be a part only.
    """

    def __init__(
        self,
        below: Stream,
        profile: TlsProfile,
        server_side: bool,
        contexts: TlsContexts,
        tap: Tap | None = None,
    ) -> None:
        self.local = below.local
        self.remote = below.remote
        self.cut_short = False
        self._below = below
        self._profile = profile
        self._server_side = server_side
        self._tap = tap
        self._ended: set[bool] = set()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        name = None
        if not server_side and profile.server_name is not None:
            name = profile.server_name.rstrip(".")  # RFC 6066 clause 3: without the last dot
        context = contexts.context(profile, server_side)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, name)
        self._early = b""
        self._feeding = asyncio.Lock()
        self._carrying = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        below: Stream,
        profile: TlsProfile,
        server_side: bool,
        contexts: TlsContexts,
        tap: Tap | None = None,
        within_s: float = HANDSHAKE_WITHIN_S,
    ) -> TlsStream:
        """Shake hands over `below`, which is closed if that fails.

        Args:
            below: connected.
            profile: what this side shows and checks.
            server_side: whether the other side has connected.
            contexts: the engine's.
            tap: gets what the application sends and receives.
            within_s: for the whole handshake.

        Raises:
            TlsRefused: the handshake failed; the other side has been sent the alert.
            LocalError: the profile cannot be used.
            ConnectionError: the stream below broke.
            TimeoutError: the handshake took longer than `within_s`.
        """
        try:
            stream = cls(below, profile, server_side, contexts, tap)
            async with asyncio.timeout(within_s):
                await stream._shake_hands()
        except TlsRefused:
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

    async def _shake_hands(self) -> None:
        """Until both sides are done, or one refuses."""
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                with suppress(ConnectionError):  # who has gone needs no alert
                    await self._carry()
                raise self._refused(error) from error
            await self._check_dates()
            await self._carry()
            if not done:
                await self._feed()

    async def _check_dates(self) -> None:
        """Where the node has a clock of its own: the dates of the chain, once it is there.

        What OpenSSL wants sent is this side's last flight; instead of it goes the alert.  A client
        has no key in use yet and says it in clear, as OpenSSL itself does.  A TLS 1.3 server has,
        and closes without a word.
        """
        profile = self._profile
        checks = profile.requires_client_certificate if self._server_side else profile.verifies
        if profile.moment is None or not (checks and profile.verifies_dates):
            return
        refused = dates_refused(verified_chain(self._tls), profile.moment, str(self.remote))
        if refused is None:
            return
        self._outgoing.read()
        if not self._server_side:
            # The alerts that OpenSSL has for the two (ssl/statem/statem_lib.c).
            expired = refused.cause == "expired"
            alert = Alert.fatal("certificate_expired" if expired else "bad_certificate")
            with suppress(ConnectionError):
                await self._below.send(alert.record())
        raise refused

    def _refused(self, error: ssl.SSLError) -> TlsRefused:
        return refused_by(error, self._tls, self._profile, str(self.remote))

    async def receive(self, most_octets: int = 65536) -> bytes:
        """Some octets; b"" when the other side has closed.

        Raises:
            TlsRefused: an alert came (a TLS 1.3 server refuses a client's certificate only now).
            ConnectionError: reset, or broken.
        """
        if self._early:
            data, self._early = self._early[:most_octets], self._early[most_octets:]
            return data
        try:
            data = await self._until_done(partial(self._tls.read, most_octets))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            data = b""  # the context's options decide whether an end is an error
        except ssl.SSLError as error:
            raise self._refused(error) from error
        if data and self._tap is not None:
            self._tap(False, data)
        if not data:
            self._tell_end(outgoing=False)
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
                    written = await self._until_done(partial(self._write, chunk))
                    chunk = chunk[written:]
        except ssl.SSLError as error:
            raise self._refused(error) from error

    def _write(self, chunk: memoryview) -> int:
        written = self._tls.write(chunk)
        if self._tap is not None:
            self._tap(True, bytes(chunk[:written]))
        return written

    def _tell_end(self, outgoing: bool) -> None:
        if self._tap is not None and outgoing not in self._ended:
            self._ended.add(outgoing)
            self._tap(outgoing, b"")

    async def finish(self) -> None:
        """Send no more; what the other side still sends is received.

        Raises:
            ConnectionError: reset, or broken.
        """
        if self._tls.version() == "TLSv1.3":
            self._read_early()
            with suppress(ssl.SSLError):  # "want read": theirs is yet to come
                self._tls.unwrap()
            await self._carry()
        self._tell_end(outgoing=True)
        await self._below.finish()

    def _read_early(self) -> None:
        """Keep what has come: OpenSSL refuses to send close_notify over data that nobody read."""
        with suppress(ssl.SSLError):
            while data := self._tls.read(_CHUNK_OCTETS):
                self._early += data
                if self._tap is not None:
                    self._tap(False, data)

    async def close(self) -> None:
        """Send close_notify and close the stream below; does not wait for the other's."""
        self._tell_end(outgoing=True)
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
