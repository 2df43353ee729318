"""What speaks on a web port: TLS, or HTTP with CWMP in its bodies.

The first octet tells which of the two.
A body that is meant as a CWMP envelope, or as a message of OMA DM, is decoded with HTTP's; where
that fails, the HTTP message stays and has the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from testbed.errors import DecodeError
from testbed.protocols import tls
from testbed.trace.pieces import EndingStreamDecoder, Piece, StreamDecoder

_LOOKED_AT_OCTETS = 2048
_DM = ("application/vnd.syncml.dm+xml", "application/vnd.syncml.dm+wbxml")


class WebStream:
    """One direction of one connection to a web port.

    Args:
        to_server: whether a client sends what is fed.
    """

    def __init__(self, to_server: bool) -> None:
        self._to_server = to_server
        self._decoder: StreamDecoder | None = None

    def feed(self, octets: bytes) -> Sequence[Piece]:
        """What these octets complete.

        Raises:
            DecodeError: the stream cannot be followed any further.
        """
        if self._decoder is None:
            self._decoder = self._choose(octets[0])
        return [_piece(each, octets) for each in self._decoder.feed(octets)]

    def end(self) -> Sequence[Piece]:
        """What the end completes, or why it comes too early."""
        decoder: object = self._decoder
        if not isinstance(decoder, EndingStreamDecoder):
            return ()
        return [_piece(each, b"") for each in decoder.end()]

    def _choose(self, first: int) -> StreamDecoder:
        if tls.CHANGE_CIPHER_SPEC <= first <= tls.APPLICATION_DATA:
            return tls.Decoder()
        decoder: StreamDecoder = import_module("testbed.protocols.http").Decoder(self._to_server)
        return decoder


def _piece(message: Any, octets: bytes) -> Piece:
    raw = getattr(message, "raw", b"") or octets
    body: bytes = getattr(message, "body", b"")  # TLS messages have none
    if isinstance(message, DecodeError) or not body.strip():
        return Piece(message, raw)
    media_type = (message.header("Content-Type") or "").partition(";")[0].strip().lower()
    if media_type in _DM:
        carried, error = _dm(body, media_type)
    elif _holds_envelope(message):
        carried, error = _carried(message.body)
    else:
        return Piece(message, raw)
    return Piece(message, raw, carried, error)


@lru_cache(maxsize=64)
def _carried(body: bytes) -> tuple[tuple[Any, ...], DecodeError | None]:
    """The envelope in a body and the call in it, or why there is none; the same body comes once
    for each link that it crosses."""
    try:
        envelope = import_module("testbed.protocols.cwmp.envelope").decode(body)
    except DecodeError as error:
        return (), error
    return (envelope, envelope.message), None


@lru_cache(maxsize=64)
def _dm(body: bytes, media_type: str) -> tuple[tuple[Any, ...], DecodeError | None]:
    """The message of OMA DM in a body, or why there is none."""
    try:
        return (import_module("testbed.protocols.dm.syncml").decode(body, media_type),), None
    except DecodeError as error:
        return (), error


def _holds_envelope(message: Any) -> bool:
    """Whether an HTTP message's body is meant as a CWMP envelope, well-formed or not."""
    is_soap = message.header("SOAPAction") is not None
    if is_soap or b"Envelope" in message.body[:_LOOKED_AT_OCTETS]:
        return True
    is_post = getattr(message, "method", "") == "POST"
    return is_post and "xml" in (message.header("Content-Type") or "").lower()
