"""The records of modelled TLS, and what is refused by an alert."""

from __future__ import annotations

from contextlib import suppress

from testbed.engines.simulation.tls_messages import Seal, record
from testbed.errors import DecodeError
from testbed.host import Stream, TlsProfile, TlsRefused
from testbed.protocols.tls import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    MOST_RECORD_OCTETS,
    Alert,
)

_CHUNK_OCTETS = 1 << 16


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
