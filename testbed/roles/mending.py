"""Where faults work on messages of streams: on envelopes, on HTTP messages, on their octets.

An envelope becomes octets only within its HTTP message, and an empty body is a message too.
"""

from __future__ import annotations

import asyncio
from typing import Any

from testbed.host import Finish, Mend, Pause, Stream
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.http import Request, Response
from testbed.protocols.wire import Endpoint


async def mended_envelope(
    mend: Mend[Any], envelope: Envelope | None, peer: Endpoint
) -> Envelope | None:
    """The envelope to send instead of this one, when its time has come; None: an empty body.

    The functions of `mend.message` get the envelope, or None, and give a list with one, pauses
    before it.
    """
    for change in mend.message:
        *pauses, mended = change(envelope, peer)
        for pause in pauses:
            assert isinstance(pause, Pause), "an envelope is replaced by exactly one"
            await asyncio.sleep(pause.seconds)
        assert not isinstance(mended, Pause), "an envelope comes after its pauses"
        envelope = mended
    return envelope


async def send_mended(
    mend: Mend[Any],
    message: Request | Response,
    stream: Stream,
    within_s: float | None = None,
) -> bool:
    """Put an HTTP message onto a stream, piece by piece, as its faults want it.

    Args:
        mend: the faults.
        message: what is to be sent.
        stream: where.
        within_s: how long the peer may take to read a piece; None: as long as the caller waits.

    Returns:
        Whether more may be sent on this stream: no fault has finished it.

    Raises:
        ConnectionError: reset, or broken.
        TimeoutError: the peer did not read a piece in its time.
    """
    for piece in mend.pieces(message, stream.remote):
        match piece:
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Finish():
                await stream.finish()
                return False
            case _:
                async with asyncio.timeout(within_s):
                    await stream.send(piece)
    return True


def mended_message(mend: Mend[Any], message: Any, octets: bytes, peer: Endpoint) -> bytes:
    """The octets to send instead of a message's own, where a fault changes it.

    A proof outside the message (HMAC) stays that of the message before.  There are no pauses here:
    the HTTP message around it has them.
    """
    for change in mend.message:
        (changed,) = change(message, peer)
        if changed != message:
            message = changed
            octets = message.encode()
    for cut in mend.octets:
        pieces: list[bytes] = []
        for each in cut(octets, peer):
            assert isinstance(each, bytes), "a pause stands among the pieces of HTTP"
            pieces.append(each)
        octets = b"".join(pieces)
    return octets
