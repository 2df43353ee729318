"""Faults of HTTP and of the octets below it.

Most break no requirement of the register: a robust peer bears them, or ends the session at once.
They are here to see that it does.
"""

from __future__ import annotations

import dataclasses
import re

from testbed.faults.fault import fault
from testbed.host import Finish, Pause, Piece
from testbed.protocols.http import HttpMessage, Request
from testbed.protocols.wire import Endpoint


@fault(
    "http.cookie-dropped",
    role="hnb",
    breaks=(),
    acts_on="message http",
    seen_in="CPEs that drop a cookie without a Path; the ACS says that the session has expired",
)
def cookie_dropped(message: HttpMessage, _to: Endpoint) -> list[HttpMessage]:
    """The HNB sends no cookie, so that its ACS does not know the session."""
    kept = tuple((name, value) for name, value in message.headers if name != "Cookie")
    return [dataclasses.replace(message, headers=kept)]


@fault(
    "http.chunked",
    role="hnb",
    breaks=(),
    acts_on="message http",
    seen_in="CPEs whose HTTP library streams its bodies; some servers read no chunks",
)
def chunked(message: HttpMessage, _to: Endpoint) -> list[HttpMessage]:
    """The HNB sends its bodies in chunks."""
    if not message.body:
        return [message]
    kept = tuple((name, value) for name, value in message.headers if name != "Content-Length")
    return [dataclasses.replace(message, headers=(*kept, ("Transfer-Encoding", "chunked")))]


SLOW_S = 0.1
"""Between two parts of a body: longer than any network here takes, shorter than all patience."""


@fault(
    "http.slow-body",
    role="hnb",
    breaks=(),
    acts_on="octets http",
    seen_in="CPEs that write head and body apart; some servers took the head alone for all",
)
def slow_body(data: bytes, _to: Endpoint) -> list[Piece]:
    """The HNB sends the head of each request, half of the body later, and the rest still later."""
    head, empty_line, body = data.partition(b"\r\n\r\n")
    middle = len(body) // 2
    return [head + empty_line, Pause(SLOW_S), body[:middle], Pause(SLOW_S), body[middle:]]


@fault(
    "http.half-close-after-request",
    role="hnb",
    breaks=(),
    acts_on="octets http",
    seen_in="CPEs whose HTTP client shuts its side down after a request; some servers drop it then",
)
def half_close_after_request(data: bytes, _to: Endpoint) -> list[Piece]:
    """The HNB sends FIN after each request, and awaits the answer."""
    return [data, Finish()]


@fault("http.half-close-after-response", role="hms", breaks=(), acts_on="octets http")
def half_close_after_response(data: bytes, _to: Endpoint) -> list[Piece]:
    """The HMS sends FIN after each answer that it has promised to keep the connection open with."""
    return [data, Finish()]


@fault("http.content-length-too-small", role="hnb", breaks=(), acts_on="octets http")
def content_length_too_small(data: bytes, _to: Endpoint) -> list[bytes]:
    """The HNB says ten octets less than its body has: the envelope is cut off."""

    def less(found: re.Match[bytes]) -> bytes:
        return b"Content-Length: %d" % max(0, int(found.group(1)) - 10)

    return [re.sub(rb"Content-Length: (\d+)", less, data, count=1)]


@fault("http.octet-by-octet", role="hnb", breaks=(), acts_on="octets http")
def octet_by_octet(data: bytes, _to: Endpoint) -> list[bytes]:
    """The HNB gives the head of each message to its stream one octet at a time."""
    head, _, _ = data.partition(b"\r\n")
    return [*(head[place : place + 1] for place in range(len(head))), data[len(head) :]]


@fault(
    "http.closes-after-each-answer",
    role="hms",
    breaks=(),
    acts_on="message http",
    seen_in="an ACS that closes the connection with its answer; the CPE took that for a failure",
)
def closes_after_each_answer(message: HttpMessage, _to: Endpoint) -> list[HttpMessage]:
    """The HMS closes the connection after every answer, so that a session takes several."""
    if isinstance(message, Request):
        return [message]
    return [dataclasses.replace(message, headers=(*message.headers, ("Connection", "close")))]
