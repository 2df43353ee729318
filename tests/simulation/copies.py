"""Copies of a question that was answered all the same: how many there are is the clock's matter.

A client asks again when no answer has come for a while, and how soon one comes depends on how busy
a machine is: 100 ms are a short time for a STUN server (RFC 3489, 9.3) that shares a processor.
What is lost is another matter: a question that nobody answers, or whose first copy did not arrive,
counts as often as it is asked, and so does every answer that does not come home.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from testbed.protocols import dhcp, dns, ike, stun
from testbed.trace.arrow import Arrow


def transaction(message: Any) -> Hashable:
    """What a question, its copies and its answers have in common; None: it has no such thing."""
    if isinstance(message, stun.Message):
        return "stun", message.transaction_id
    if isinstance(message, dhcp.Message):  # an offer and what comes of it share their xid
        return "dhcp", message.xid, isinstance(message, dhcp.Discover | dhcp.Offer)
    if isinstance(message, dns.DnsMessage):
        return "dns", message.identifier, message.questions
    if isinstance(message, ike.IkeMessage):  # the responder's SPI comes with the first answer
        return "ike", message.initiator_spi, message.exchange, message.message_id
    return None


def superfluous(arrows: Iterable[Arrow]) -> set[int]:
    """Copies that changed nothing, by the number of their first record."""
    said_of: dict[Hashable, list[Arrow]] = {}
    for arrow in arrows:
        about = transaction(arrow.message) if arrow.first.transport == "udp" else None
        if about is not None:
            said_of.setdefault(about, []).append(arrow)
    return {
        arrow.first.number
        for said in said_of.values()
        for place, arrow in enumerate(said)
        if any(_is_copy(each, arrow) and _is_served(each, said) for each in said[:place])
    }


def _is_copy(one: Arrow, other: Arrow) -> bool:
    first, second = one.first, other.first
    return type(one.message) is type(other.message) and (
        one.origin,
        first.source,
        first.destination,
    ) == (other.origin, second.source, second.destination)


def _is_served(one: Arrow, said: list[Arrow]) -> bool:
    """Whether it reached whom it is for, and what belongs to it came the other way."""
    return any(
        one.origin != other.origin and one.is_for(other.origin) and other.is_for(one.origin)
        for other in said
    )
