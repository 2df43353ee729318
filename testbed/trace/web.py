"""What speaks on a web port: TLS, or HTTP with CWMP in its bodies.

The first octet tells which of the two.
A body that is meant as a CWMP envelope is decoded with its HTTP message; where that fails, the HTTP
message stays and has the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from testbed.errors import DecodeError
from testbed.protocols import tls
from testbed.trace.decoders import EndingStreamDecoder, Piece, StreamDecoder

_LOOKED_AT_OCTETS = 2048


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
    if isinstance(message, DecodeError) or not _holds_envelope(message):
        return Piece(message, raw)
    carried, error = _carried(message.body)
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


def _holds_envelope(message: Any) -> bool:
    """Whether an HTTP message's body is meant as a CWMP envelope, well-formed or not."""
    body: bytes = getattr(message, "body", b"")
    if not body.strip():
        return False
    if message.header("SOAPAction") is not None or b"Envelope" in body[:_LOOKED_AT_OCTETS]:
        return True
    is_post = getattr(message, "method", "") == "POST"
    return is_post and "xml" in (message.header("Content-Type") or "").lower()
