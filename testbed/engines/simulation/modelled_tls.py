"""TLS as a model: every check of a `TlsProfile`, with the causes and alerts that OpenSSL gives.

On the wire are the records of a real handshake of that version, with real hellos, certificates and
alerts.  There is no cipher: keys and signatures are octets that mean nothing, and what would be
encrypted is made unreadable by a digest of the two hellos' random octets.  That a side has the key
of its certificate is checked where its profile is used, not by a signature on the wire.

The records are in `modelled_records`, the handshake is in `modelled_handshake`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from testbed.engines.simulation.certificate_checks import shown
from testbed.engines.simulation.modelled_handshake import Handshake
from testbed.engines.simulation.modelled_records import Records, Unacceptable, alerted
from testbed.engines.simulation.tls_messages import MOST_PLAIN_OCTETS
from testbed.engines.tls import HANDSHAKE_WITHIN_S, Tap
from testbed.errors import LocalError
from testbed.host import Stream, TlsProfile, TlsRefused
from testbed.protocols.tls import (
    ALERT,
    APPLICATION_DATA,
    FATAL,
    WARNING,
    Alert,
)

_CLOSE_NOTIFY = Alert(WARNING, 0)


class ModelledTls:
    """Which profiles can be used."""

    def require(self, profile: TlsProfile, server_side: bool) -> None:
        """Nothing, if it can.

        Raises:
            LocalError: a listening side without identity; a connecting one that checks names
                without a name; a certificate or key that is none.
        """
        checks_name = not server_side and profile.verifies and profile.verifies_name
        if checks_name and profile.server_name is None:
            raise LocalError("TLS: a connecting side that checks names needs a server_name")
        if profile.identity is not None:
            shown(profile.identity)
        elif server_side:
            raise LocalError(
                "TLS: a listening port needs an identity (certificate and key) in its profile"
            )


class ModelledTlsStream:
    """A stream protected by modelled TLS.  Open it with `await ModelledTlsStream.open(...)`.

    Attributes:
        cut_short: the other side closed without close_notify, so that what came may be a part only.
    """

    def __init__(self, below: Stream, profile: TlsProfile, tap: Tap | None) -> None:
        self.local = below.local
        self.remote = below.remote
        self.cut_short = False
        self._below = below
        self._profile = profile
        self._tap = tap
        self._records = Records(below)
        self._ended: dict[bool, None] = {}
        self._ready = b""
        self._their_end = False
        self._sending = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        below: Stream,
        profile: TlsProfile,
        server_side: bool,
        tls: ModelledTls,
        random: Random,
        tap: Tap | None = None,
        within_s: float = HANDSHAKE_WITHIN_S,
    ) -> ModelledTlsStream:
        """Shake hands over `below`, which is closed if that fails.

        Raises:
            TlsRefused: the handshake failed; the other side has been sent the alert.
            LocalError: the profile cannot be used.
            ConnectionError: the stream below broke.
            TimeoutError: the handshake took longer than `within_s`.
        """
        stream = cls(below, profile, tap)
        try:
            tls.require(profile, server_side)
            async with asyncio.timeout(within_s):
                try:
                    await Handshake(stream._records, profile, random).shake(server_side)
                except Unacceptable as error:
                    await stream._records.alert(Alert.fatal(error.alert))
                    raise error.refusal from None
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

    async def receive(self, most_octets: int = 65536) -> bytes:
        """Some octets; b"" when the other side has closed.

        Raises:
            TlsRefused: an alert came (a TLS 1.3 server refuses a client's certificate only now).
            ConnectionError: reset, or broken.
        """
        while not self._ready and not self._their_end:
            try:
                found = await self._records.next()
            except Unacceptable as error:
                await self._records.alert(Alert.fatal(error.alert))
                raise error.refusal from None
            if found is None:
                self.cut_short = self._their_end = True
            else:
                self._take(*found)
        data, self._ready = self._ready[:most_octets], self._ready[most_octets:]
        if self._tap is not None and data:
            self._tap(False, data)
        if not data:
            self._tell_end(outgoing=False)
        return data

    def _take(self, kind: int, octets: bytes) -> None:
        if kind == APPLICATION_DATA:
            self._ready = octets
        elif kind == ALERT and len(octets) == 2:
            alert = Alert(octets[0], octets[1])
            if alert.number == _CLOSE_NOTIFY.number:
                self._their_end = True
            elif alert.level == FATAL:
                raise alerted(alert, self._profile, self.remote)

    async def send(self, data: bytes) -> None:
        """Send all octets; waits while the other side does not read.

        Raises:
            ConnectionError: reset, or broken.
        """
        async with self._sending:
            for chunk in _chunks(data):
                if self._tap is not None:
                    self._tap(True, chunk)
                await self._records.send(APPLICATION_DATA, chunk)

    def _tell_end(self, outgoing: bool) -> None:
        if self._tap is not None and outgoing not in self._ended:
            self._ended[outgoing] = None
            self._tap(outgoing, b"")

    async def finish(self) -> None:
        """Send no more; what the other side still sends is received.

        Raises:
            ConnectionError: reset, or broken.
        """
        self._tell_end(outgoing=True)
        async with self._sending:
            await self._records.send(ALERT, _CLOSE_NOTIFY.encode())
        await self._below.finish()

    async def close(self) -> None:
        """Send close_notify and close the stream below; does not wait for the other's."""
        self._tell_end(outgoing=True)
        async with self._sending:
            with suppress(ConnectionError):  # the other side was faster
                await self._records.send(ALERT, _CLOSE_NOTIFY.encode())
        await self._below.close()

    def abort(self) -> None:
        """Reset at once."""
        self._below.abort()


def _chunks(data: bytes) -> Sequence[bytes]:
    if len(data) <= MOST_PLAIN_OCTETS:
        return (bytes(data),) if data else ()
    return [
        bytes(data[start : start + MOST_PLAIN_OCTETS])
        for start in range(0, len(data), MOST_PLAIN_OCTETS)
    ]
