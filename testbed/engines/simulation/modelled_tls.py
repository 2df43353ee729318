"""TLS as a model: every check of a `TlsProfile`, with the causes and alerts that OpenSSL gives.

On the wire are the records of a real handshake of that version, with real hellos, certificates and
alerts.  There is no cipher: keys and signatures are octets that mean nothing, and what would be
encrypted is made unreadable by a digest of the two hellos' random octets.  That a side has the key
of its certificate is checked where its profile is used, not by a signature on the wire.

The handshake is in `modelled_handshake`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from testbed.engines.simulation.certificate_checks import shown
from testbed.engines.simulation.tls_messages import MOST_PLAIN_OCTETS, Seal, record
from testbed.engines.tls import HANDSHAKE_WITHIN_S, Tap
from testbed.errors import DecodeError, LocalError
from testbed.host import Stream, TlsProfile, TlsRefused
from testbed.protocols.tls import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    FATAL,
    MOST_RECORD_OCTETS,
    WARNING,
    Alert,
)

_CHUNK_OCTETS = 1 << 16
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


class Records:
    """The records of one connection, as they come and go.

    Args:
        below: carries them.

    Attributes:
        reads: opens what the other side has sealed; None: it has not begun to.
        writes: likewise for this side.
        has_ended: the stream below has.
    """

    def __init__(self, below: Stream) -> None:
        self.below = below
        self.reads: Seal | None = None
        self.writes: Seal | None = None
        self.has_ended = False
        self._version = 0x0303
        self._is_agreed = False
        self._held = bytearray()

    def agreed(self, version: int) -> None:
        """Both sides have agreed on a version: records have no other from here on."""
        self._version = version
        self._is_agreed = True

    async def next(self) -> tuple[int, bytes] | None:
        """Kind and content of the next record; None: no more will come.

        Raises:
            TlsRefused: what came is no TLS.
            ConnectionError: the stream below broke.
        """
        while True:
            cut = self._cut()
            if cut is not None:
                return cut
            data = await self.below.receive(_CHUNK_OCTETS)
            if not data:
                self.has_ended = True
                return None
            self._held += data

    def _cut(self) -> tuple[int, bytes] | None:
        held = self._held
        if len(held) < 5:
            return None
        kind, length = held[0], int.from_bytes(held[3:5], "big")
        if not CHANGE_CIPHER_SPEC <= kind <= APPLICATION_DATA or held[1] != 3:
            http = bytes(held[:5]) in (b"GET /", b"POST ", b"HEAD ", b"PUT /")
            raise self.refused("http request" if http else "wrong version number")
        if self._is_agreed and held[2] != self._version & 0xFF:
            raise self.refused("wrong version number")
        if length > MOST_RECORD_OCTETS:
            raise Unacceptable(self.refused("packet length too long"), "record_overflow")
        if len(held) < 5 + length:
            return None
        fragment = bytes(held[5 : 5 + length])
        del held[: 5 + length]
        if self.reads is not None and kind != CHANGE_CIPHER_SPEC:
            is_clear = kind == ALERT and len(fragment) == 2
            if not is_clear:
                try:
                    return self.reads.open(fragment)
                except DecodeError as error:
                    said = str(error).partition(": ")[2]
                    raise Unacceptable(self.refused(said), "bad_record_mac") from None
        return kind, fragment

    def refused(self, what: str) -> TlsRefused:
        """The error for what is none of the other causes."""
        return TlsRefused("handshake", f"TLS with {self.below.remote}: {what}")

    async def send(self, kind: int, octets: bytes) -> None:
        """Send octets, in as many records as they need."""
        await self.below.send(self.encoded(kind, octets))

    def encoded(self, kind: int, octets: bytes, version: int | None = None) -> bytes:
        """The record."""
        if self.writes is not None:
            return self.writes.seal(kind, octets)
        return record(kind, octets, version or self._version)

    async def alert(self, alert: Alert) -> None:
        """Tell the other side; it may have gone."""
        with suppress(ConnectionError):
            await self.below.send(self.encoded(ALERT, alert.encode()))


class Unacceptable(Exception):
    """What the other side sent is refused by an alert.

    Attributes:
        refusal: what our side is told.
        alert: what the other side is told.
    """

    def __init__(self, refusal: TlsRefused, alert: str) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.alert = alert


def alerted(alert: Alert, profile: TlsProfile, peer: object) -> TlsRefused:
    """What a fatal alert means."""
    if alert.description == "protocol_version":
        bounds = f"{profile.minimum_version} to {profile.maximum_version or 'the newest'}"
        return TlsRefused(
            "version",
            f"TLS with {peer}: no version in common, says its alert; this side takes {bounds}",
        )
    return TlsRefused(
        "alert", f"TLS with {peer}: the other side refuses by the alert {alert.description}"
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
        from testbed.engines.simulation.modelled_handshake import Handshake

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
