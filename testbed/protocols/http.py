"""HTTP/1.0 and 1.1 messages, and a decoder of one direction of a connection, on h11.

CPE, ACS, bootstrap server and trace use the same decoder; messages are written without h11, so that
a fault may change them.  Knows no socket; redirects and waits are data for whoever connects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import h11

from testbed.errors import BadInput, DecodeError, LocalError

MOST_HEAD_OCTETS = 16 * 1024
MOST_BODY_OCTETS = 4 * 1024 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What a server sends when `Decoder.expects_continue`."""

Headers = tuple[tuple[str, str], ...]
_TOKEN = re.compile(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")
_LINE = re.compile(r"^[^\r\n\0]*$")
_EMPTY_STATUSES = (204, 304)
_REDIRECTS = (301, 302, 303, 307, 308)


class HttpError(DecodeError):
    """A message that breaks HTTP or a bound of ours.

    Attributes:
        status: what a server answers before it closes: 400, 413, 431, 501 or 505.
    """

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Message:
    """What requests and responses have in common."""

    headers: Headers = ()
    body: bytes = b""
    version: str = "1.1"
    raw: bytes = field(default=b"", compare=False, repr=False, kw_only=True)

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case; None: there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def all_headers(self, name: str) -> tuple[str, ...]:
        """Every header of that name, in order."""
        wanted = name.lower()
        return tuple(value for key, value in self.headers if key.lower() == wanted)

    @property
    def is_empty(self) -> bool:
        """Whether the body is nothing but white space: CWMP's "nothing more to say"."""
        return not self.body.strip()

    @property
    def keep_alive(self) -> bool:
        """Whether the sender leaves the connection open after this exchange."""
        words = {
            word.strip().lower()
            for value in self.all_headers("Connection")
            for word in value.split(",")
        }
        return "keep-alive" in words if self.version == "1.0" else "close" not in words

    def _octets(self, start: str, wants_length: bool) -> bytes:
        """The message with a Content-Length that fits; in one chunk if the headers say chunked."""
        headers = list(self.headers)
        body = self.body
        if (self.header("Transfer-Encoding") or "").lower() == "chunked":
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        elif self.header("Content-Length") is not None:
            headers = [
                (name, str(len(body)) if name.lower() == "content-length" else value)
                for name, value in headers
            ]
        elif body or wants_length:
            headers.append(("Content-Length", str(len(body))))
        for name, value in headers:
            if not _TOKEN.match(name) or not _LINE.match(value):
                raise LocalError(f"HTTP header {name!r}: {value!r} does not fit on one line")
        lines = [start, *(f"{name}: {value}" for name, value in headers), "", ""]
        try:
            return "\r\n".join(lines).encode("latin-1") + body
        except UnicodeEncodeError as error:
            raise LocalError(f"HTTP {start}: a header is not Latin-1: {error}") from error


@dataclass(frozen=True, slots=True)
class Request(_Message):
    """What a client sends.

    Attributes:
        headers: (name, value), in order, as they came.
        body: without the transfer coding.
        version: "1.0" or "1.1".
        raw: the octets as they came.
        method: "POST".
        target: "/acs".
    """

    method: str = field(default="POST", kw_only=True)
    target: str = field(default="/", kw_only=True)

    def encode(self) -> bytes:
        """The octets; the Content-Length always fits the body.

        Raises:
            LocalError: a header does not fit on one line.
        """
        if not _TOKEN.match(self.method) or not re.match(r"^[!-~]+$", self.target):
            raise LocalError(f"HTTP request line {self.method!r} {self.target!r} cannot be sent")
        start = f"{self.method} {self.target} HTTP/{self.version}"
        return self._octets(start, self.method in ("POST", "PUT"))

    def summary(self) -> str:
        """One line for a ladder."""
        return f"HTTP {self.method} {self.target} {len(self.body)} octets"


@dataclass(frozen=True, slots=True)
class Response(_Message):
    """What a server sends; attributes as of `Request`, and:

    Attributes:
        status: 200.
        reason: "OK"; "": the status's own.
    """

    status: int = field(default=200, kw_only=True)
    reason: str = field(default="", kw_only=True)

    def encode(self) -> bytes:
        """The octets; the Content-Length always fits the body.

        Raises:
            LocalError: a header does not fit on one line.
        """
        reason = self.reason or reason_of(self.status)
        if not _LINE.match(reason):
            raise LocalError(f"HTTP status line {self.status} {reason!r} cannot be sent")
        wants_length = self.status >= 200 and self.status not in _EMPTY_STATUSES
        return self._octets(f"HTTP/{self.version} {self.status} {reason}", wants_length)

    def summary(self) -> str:
        """One line for a ladder."""
        reason = self.reason or reason_of(self.status)
        return f"HTTP {self.status} {reason} {len(self.body)} octets"

    def redirected(self, url: str) -> str | None:
        """Where a redirect of a request to `url` leads; None: it is none, or names no place."""
        location = self.header("Location")
        if self.status not in _REDIRECTS or not location:
            return None
        try:
            return urljoin(url, location)
        except ValueError:
            return None

    def retry_after_s(self) -> int | None:
        """How long Retry-After asks to wait; a date is read against the response's own Date."""
        value = (self.header("Retry-After") or "").strip()
        if re.fullmatch(r"[0-9]{1,9}", value):
            return int(value)
        try:
            until = parsedate_to_datetime(value)
            wait = until - parsedate_to_datetime(self.header("Date") or "")
        except (ValueError, TypeError):
            return None
        return max(0, int(wait.total_seconds()))


HttpMessage = Request | Response


def reason_of(status: int) -> str:
    """The usual reason phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Decoder:
    """One direction of one connection, cut into messages.

    Args:
        to_server: whether a client sends what is fed: requests, else responses.
        most_body_octets: larger bodies are refused at their Content-Length, before they come.
        most_head_octets: likewise for start line and headers together.
    """

    def __init__(
        self,
        to_server: bool,
        most_body_octets: int = MOST_BODY_OCTETS,
        most_head_octets: int = MOST_HEAD_OCTETS,
    ) -> None:
        self.to_server = to_server
        self._most_body = most_body_octets
        self._most_head = most_head_octets
        self._dead = False
        self._begin(b"")

    def _begin(self, octets: bytes) -> None:
        """Wait for the next message, of which these octets are there already."""
        self._taken = bytearray()
        self._body = bytearray()
        self._head: h11.Request | h11.Response | None = None
        self._machine: h11.Connection | None = None
        if octets:
            self._take(octets)

    def _take(self, octets: bytes) -> None:
        if self._machine is None:
            # RFC 9112 2.2: empty lines before a start line are to be overlooked.
            octets = octets.lstrip(b"\r\n")
            if not octets:
                return
            role = h11.SERVER if self.to_server else h11.CLIENT
            self._machine = h11.Connection(role, max_incomplete_event_size=self._most_head)
            if not self.to_server:
                # h11 reads responses only to a request of its own; which one matters only for HEAD.
                asked = h11.Request(method="GET", target="/", headers=[("Host", "h")])
                self._machine.send(asked)
                self._machine.send(h11.EndOfMessage())
        self._taken += octets
        # Many small chunks with long extensions are much more than the body in them.
        if len(self._taken) > self._most_head + 2 * self._most_body:
            raise self._too_large(f"{len(self._taken)} octets with their chunk headers")
        self._machine.receive_data(octets)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for `CONTINUE` before it sends the body."""
        machine = self._machine
        return machine is not None and self.to_server and machine.they_are_waiting_for_100_continue

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._taken)

    @property
    def held_octets(self) -> int:
        """How many octets are kept of a message that has not ended."""
        return len(self._taken) + len(self._body)

    def feed(self, octets: bytes) -> Sequence[HttpMessage | HttpError]:
        """What these octets complete; an `HttpError` comes last, and nothing after it."""
        if self._dead or not octets:
            return ()
        done: list[HttpMessage | HttpError] = []
        try:
            self._take(octets)
            while (message := self._next()) is not None:
                done.append(message)
        except HttpError as error:
            self._dead = True
            done.append(error)
        return done

    def end(self) -> Sequence[HttpMessage | HttpError]:
        """What the end of the stream completes, or why it comes too early."""
        if self._dead or self._machine is None:
            return ()
        self._dead = True
        try:
            self._machine.receive_data(b"")
            message = self._next()
        except HttpError as error:
            return (error,)
        return () if message is None else (message,)

    def _next(self) -> HttpMessage | None:
        machine = self._machine
        while machine is not None:
            try:
                event = machine.next_event()
            except h11.RemoteProtocolError as error:
                raise self._error(error) from error
            if isinstance(event, h11.Request | h11.Response):
                self._head = event
                self._check_length(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._most_body:
                    raise self._too_large(f"more than {self._most_body} octets have come")
            elif isinstance(event, h11.InformationalResponse):
                return self._finish(event, more=True)
            elif isinstance(event, h11.EndOfMessage):
                assert self._head is not None
                return self._finish(self._head)
            else:
                return None
        return None

    def _finish(
        self, head: h11.Request | h11.Response | h11.InformationalResponse, more: bool = False
    ) -> HttpMessage:
        """The message that has ended; what came behind it begins the next one."""
        assert self._machine is not None
        behind, _ = self._machine.trailing_data
        raw = bytes(self._taken[: len(self._taken) - len(behind)])
        version = head.http_version.decode("ascii")
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in head.headers.raw_items()
        )
        body = bytes(self._body)
        if more:
            del self._taken[: len(raw)]
        else:
            self._begin(behind)
        if isinstance(head, h11.Request):
            method, target = head.method.decode("ascii"), head.target.decode("latin-1")
            return Request(headers, body, version, raw=raw, method=method, target=target)
        reason = head.reason.decode("latin-1")
        return Response(headers, body, version, raw=raw, status=head.status_code, reason=reason)

    def _check_length(self, head: h11.Request | h11.Response) -> None:
        for name, value in head.headers:
            if name == b"content-length" and int(value) > self._most_body:
                raise self._too_large(f"Content-Length says {int(value)}")

    def _too_large(self, measure: str) -> HttpError:
        what = "request" if self.to_server else "response"
        return HttpError(f"HTTP {what}: {measure}, at most {self._most_body} octets are read", 413)

    def _error(self, error: h11.RemoteProtocolError) -> HttpError:
        what = "request" if self.to_server else "response"
        status = error.error_status_hint
        if status == 431:
            return HttpError(f"HTTP {what}: its head exceeds {self._most_head} octets", 431)
        return HttpError(f"HTTP {what}: {error}", status)


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL, cut up.

    Attributes:
        host: a name or an address, without brackets.
        port: the scheme's own unless the URL says another.
        target: path and query, for the request line.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """Cut a URL.

        Raises:
            BadInput: not http or https, without host, or with an impossible port.
        """
        try:
            parts = urlsplit(text.strip())
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise BadInput(f"URL {text!r}: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise BadInput(f"URL {text!r} is no http or https URL with a host")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not re.fullmatch(r"[!-~]+", target):
            raise BadInput(f"URL {text!r}: {target!r} holds characters that must be escaped")
        if port is None:
            port = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, host, port, target)

    @property
    def authority(self) -> str:
        """What the Host header says: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        own = 443 if self.scheme == "https" else 80
        return host if self.port == own else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"
