"""Where faults work on messages of streams: on envelopes, on HTTP messages, on their octets.

`Mend.datagrams` is for datagrams; an envelope becomes octets only within its HTTP message, and an
empty body is a message too.
"""

from __future__ import annotations

from typing import Any

from testbed.host import Mend
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.http import Request, Response
from testbed.protocols.wire import Endpoint


def mended_envelope(mend: Mend[Any], envelope: Envelope | None, peer: Endpoint) -> Envelope | None:
    """The envelope to send instead of this one; None: an empty body.

    The functions of `mend.message` get the envelope, or None, and give a list of one.
    """
    for change in mend.message:
        (envelope,) = change(envelope, peer)
    return envelope


def mended_octets(mend: Mend[Any], message: Request | Response, peer: Endpoint) -> list[bytes]:
    """What goes onto the stream for an HTTP message, in pieces that are sent one after another."""
    return mend.datagrams(message, peer)


def mended_message(mend: Mend[Any], message: Any, octets: bytes, peer: Endpoint) -> bytes:
    """The octets to send instead of a message's own, where a fault changes it.

    A proof outside the message (HMAC) stays that of the message before.
    """
    for change in mend.message:
        changed = change(message, peer)
        if list(changed) != [message]:
            (message,) = changed
            octets = message.encode()
    for cut in mend.octets:
        octets = b"".join(cut(octets, peer))
    return octets
