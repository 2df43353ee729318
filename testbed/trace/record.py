"""A record: one frame on one link at one time, or one event of a node; and the trace of them.

Scenarios wait on a trace, judges read it, ladders draw it.  Knows no engine: whoever captures calls
`Trace.add_frame`, whoever reads a file does the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from testbed.errors import DecodeError
from testbed.protocols.wire import Endpoint

MessageT = TypeVar("MessageT")
_DIGEST = re.compile("[0-9a-f]{40,}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as its sender put it on a link.

    Attributes:
        time_ns: CLOCK_REALTIME, nanoseconds.
        link: the link's name in the topology; a tunnel's inside is a link of its own.
        node: who sent it.
        interface: from where ("eth0").
        data: from the link-layer header on (Ethernet; raw IP on tunnel interfaces).
        link_type: pcap's number: 1 Ethernet, 101 raw IP.
    """

    time_ns: int
    link: str
    node: str
    interface: str
    data: bytes
    link_type: int = 1


@dataclass(frozen=True, slots=True)
class Clear:
    """What one end of a TLS connection sent or received, in clear: evidence of that end.

    Attributes:
        time_ns: CLOCK_REALTIME, nanoseconds.
        connection: its number in the run.
        node: the end that tells it.
        local: this end's address and port, as it sees them.
        remote: the other end's, as this end sees them.
        connected: whether this end has opened the connection.
        outgoing: whether this end has sent it.
        data: octets in their order; b"": this direction has ended.
    """

    time_ns: int
    connection: int
    node: str
    local: Endpoint
    remote: Endpoint
    connected: bool
    outgoing: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """Something a node tells of itself: evidence of last resort, counted as such.

    Attributes:
        name: what happened ("FAILED", "BOUND").
        fields: what is known of it.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def summary(self) -> str:
        """One line for a ladder: lists with commas, key identifiers by their first octets."""
        told = " ".join(f"{key}={_told(value)}" for key, value in self.fields.items())
        return f"{self.name} {told}".rstrip()


def _told(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(_told(each) for each in value) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return f"{text[:8]}\N{HORIZONTAL ELLIPSIS}" if _DIGEST.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class Record:
    """One message on one link, or one event.

    A frame that completes several messages of a stream gives several records, one that completes
    none gives one without message.  What went through TLS is told in clear by one of its ends, as
    records with the mark "tap".

    Attributes:
        number: its place in the trace, from 0; `#rN` in reports.
        time_ns: CLOCK_REALTIME, nanoseconds.
        link: link name; "" for an event.
        sender: node that sent the frame on this link, or whose event it is.
        receiver: node whose interface has the frame's destination address; None: broadcast,
            multicast or unknown.
        transport: "udp", "tcp", "icmp", "esp", "arp", "event", "tls" for what a tap told, or the
            protocol's number as text.
        source: IP source, with port where there is one (else port 0); None without IP.
        destination: likewise.
        message: decoded message, an `Event`, or None.
        error: why the payload could not be decoded, though its port says what it is.
        payload: transport payload; of a stream, the octets of this message.
        frame: the frame that completed the message; None for an event, and for what a tap told.
        marks: TCP flags ("SYN", "FIN"), "retransmission", "tap", "opened" (by keys), and the like.
        stream: ordinal of the TCP connection on this link; None elsewhere.
        carried: what the message holds in its body, from the outside to the inside: the CWMP
            envelope of an HTTP message, and the call in it.
    """

    number: int
    time_ns: int
    link: str
    sender: str
    receiver: str | None
    transport: str
    source: Endpoint | None = None
    destination: Endpoint | None = None
    message: Any = None
    error: DecodeError | None = None
    payload: bytes = b""
    frame: Frame | None = None
    marks: frozenset[str] = frozenset()
    stream: int | None = None
    carried: tuple[Any, ...] = ()

    def find(self, kind: type[MessageT]) -> MessageT | None:
        """The message of that type: the record's own, or one that it carries; None: neither."""
        for message in (self.message, *self.carried):
            if isinstance(message, kind):
                return message
        return None

    def summary(self) -> str:
        """One line for a ladder: what is innermost, and how HTTP sees it where that is no success;
        "" without a message."""
        message = self.carried[-1] if self.carried else self.message
        if message is None:
            return ""
        told = getattr(message, "summary", None)
        line = str(told()) if callable(told) else type(message).__name__
        status = getattr(self.message, "status", None) if self.carried else None
        return line if status in (None, 200) else f"{line}, HTTP {status}"

    @property
    def is_event(self) -> bool:
        """Whether a node told it, rather than a wire."""
        return self.transport == "event"


Listener = Callable[[Record], None]
