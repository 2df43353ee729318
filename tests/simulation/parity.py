"""What two traces of one scenario have in common: every arrow between two nodes, in order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from testbed.protocols.wire import Endpoint
from testbed.trace.arrow import Arrow
from testbed.trace.trace import Trace

DIFFER = {
    "source_port": "drawn",
    "destination_port": "drawn, where it answers",
    "tag": "of SCTP: drawn",
    "initiate_tag": "of SCTP: drawn",
    "initial_tsn": "of SCTP: drawn",
    "checksum": "over what is drawn",
    "xid": "of DHCP: drawn anew",
    "transaction_id": "drawn anew by every client",
    "id": "of a DNS query: drawn anew",
    "random": "of a hello: a nonce",
    "raw": "the octets with those nonces in them",
    "encoded": "likewise",
    "elapsed_s": "time",
    "seconds": "time",
    "initiator_spi": "drawn",
    "responder_spi": "drawn",
}
"""Fields of messages that no two runs have in common, and why."""

OCTETS = {
    ("KeyExchange", "data"): "a public value",
    ("Nonce", "data"): "a nonce",
    ("Authentication", "data"): "a signature",
    ("Certificate", "data"): "its dates, and by them its octets, are those of the run",
    ("CertificateRequest", "data"): "a digest of a key",
    ("Encrypted", "data"): "what is inside is compared",
    ("Proposal", "spi"): "drawn",
    ("Delete", "spis"): "drawn",
    ("Notify", "spi"): "drawn",
    ("Notify", "data"): "digests of addresses, with what is drawn",
    ("InitAck", "parameters"): "a cookie",
}
"""Fields of one kind of message or payload that no two runs have in common, and why."""
OUTSIDE = ("EspPacket", "NatKeepalive")
"""How many there are depends on how TCP inside acknowledges."""

# In the text of an HTTP message: dates, session cookies, nonces, and what each run draws.
_TEXTS = (
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?([+-]\d\d:\d\d)?"), b"<time>"),
    (re.compile(rb"[0-9a-fA-F]{16,}"), b"<drawn>"),
    (re.compile(rb"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"), b"<date>"),
)
_SHORTER_THAN_MATTERS = ("arp", "icmp")

Told = tuple[str, str, str, tuple[str, ...], Any]


def plain(value: Any) -> Any:
    """A message as plain data, without what differs."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if isinstance(value, Endpoint):
            return value.address
        return {
            "": type(value).__name__,
            **{
                each.name: plain(getattr(value, each.name))
                for each in dataclasses.fields(value)
                if each.name not in DIFFER and (type(value).__name__, each.name) not in OCTETS
            },
        }
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, str):
        return plain(value.encode()).decode()
    if isinstance(value, (bytes, bytearray)):
        for pattern, word in _TEXTS:
            value = pattern.sub(word, bytes(value))
        return value
    return value


def told(trace: Trace, until: int | None = None) -> dict[tuple[str, str], list[Told]]:
    """By origin and end: every arrow with a message, in order; those that begin up to a record."""
    found: dict[tuple[str, str], list[Told]] = {}
    for arrow in trace.arrows:
        if arrow.first.is_event or arrow.first.transport in _SHORTER_THAN_MATTERS:
            continue
        if until is not None and arrow.first.number > until:
            continue
        found.setdefault((arrow.origin, str(arrow.end)), []).extend(_told(arrow))
    return {pair: arrows for pair, arrows in sorted(found.items()) if arrows}


def _told(arrow: Arrow) -> Iterator[Told]:
    message = arrow.message
    error = next((hop.error for hop in arrow.hops if hop.error is not None), None)
    if (message is None and error is None) or type(message).__name__ in OUTSIDE:
        return
    carried = next((hop.carried for hop in arrow.hops if hop.carried), ())
    links = tuple(hop.link for hop in arrow.hops)
    said = [plain(message), *(plain(each) for each in carried)]
    if error is not None:
        said.append(str(error))
    yield (
        arrow.first.transport,
        type(message).__name__,
        " ".join(sorted(arrow.first.marks & {"tap", "fragment"})),
        links,
        said,
    )


def first_difference(
    one: Trace, other: Trace, until: int | None = None, until_other: int | None = None
) -> str:
    """In words; "": there is none.

    Args:
        one: of the emulation.
        other: of the simulation.
        until: record of the ladder's last step; what one trace has after it the other need not have
            had the time for.
        until_other: likewise in the other one.
    """
    ours, theirs = told(one), told(other)
    ours_due, theirs_due = told(one, until), told(other, until_other)
    for pair in sorted({*ours, *theirs}):
        left, right = ours.get(pair, []), theirs.get(pair, [])
        due = max(len(ours_due.get(pair, [])), len(theirs_due.get(pair, [])))
        for place in range(due):
            here = left[place] if place < len(left) else None
            there = right[place] if place < len(right) else None
            if here != there:
                return (
                    f"{pair[0]} -> {pair[1]}, arrow {place + 1} of {len(left)} and {len(right)}:\n"
                    f"  emulation  {_shown(here)}\n  simulation {_shown(there)}\n"
                    f"  where      {_where(here, there)}"
                )
    return ""


def _shown(arrow: Told | None) -> str:
    return "nothing" if arrow is None else f"{arrow[0]} {arrow[1]} over {', '.join(arrow[3])}"


def _where(here: Any, there: Any, path: str = "") -> str:
    """The innermost place at which two of them differ."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in {**here, **there}:
            if here.get(key) != there.get(key):
                return _where(here.get(key), there.get(key), f"{path}.{key}")
    if isinstance(here, (list, tuple)) and isinstance(there, (list, tuple)):
        for place, (one, other) in enumerate(zip(here, there, strict=False)):
            if one != other:
                return _where(one, other, f"{path}[{place}]")
    return f"{path}: {str(here)[:300]!r} and {str(there)[:300]!r}"
