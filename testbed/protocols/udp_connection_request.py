"""UDP Connection Requests (TR-111 Part 2, 2.2.2.3 and 2.2.1.4): an HTTP GET in one datagram.

Decoding keeps what came and judges nothing; `Receiver` judges as a CPE must.  No HTTP library reads
them: an empty path before a query, as the example has it, is none of HTTP's usual forms.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlsplit

from testbed.errors import DecodeError

SUBJECT = "UDP Connection Request"
"""How a `DecodeError` of one begins."""
NAMES = ("ts", "id", "un", "cn", "sig")
"""Of the query, in the order of the table."""
MOST_OCTETS = 1472
"""More does not fit one packet of 1500 octets."""
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/(\d\.\d)")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_DIGITS = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class UdpConnectionRequest:
    """One request, as it was on the wire.

    Attributes:
        method: "GET".
        uri: the Request-URI.
        version: "1.1".
        headers: name and value each, in order.
        body: what follows the empty line.
        pairs: names and decoded values of the query, in order.
        octets: the whole datagram.
    """

    method: str
    uri: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    pairs: tuple[tuple[str, str], ...]
    octets: bytes = field(repr=False)

    def encode(self) -> bytes:
        """The octets on the wire."""
        return self.octets

    def summary(self) -> str:
        """ "UDP Connection Request ts=1 id=2 un=CPE"."""
        told = " ".join(f"{name}={self.value(name)}" for name in NAMES[:3])
        return f"UDP Connection Request {told}"

    def value(self, name: str) -> str | None:
        """The value of a name that the query has once; None: never, or several times."""
        found = [value for each, value in self.pairs if each == name]
        return found[0] if len(found) == 1 else None

    def header(self, name: str) -> str | None:
        """The first header of that name, in letters of any case."""
        return next((v for each, v in self.headers if each.lower() == name.lower()), None)

    @property
    def path(self) -> str:
        """Of the Request-URI."""
        return urlsplit(self.uri).path

    @property
    def is_absolute(self) -> bool:
        """Whether the Request-URI has the scheme http and an authority."""
        return urlsplit(self.uri).scheme == "http" and bool(self.authority)

    @property
    def authority(self) -> str:
        """Of the Request-URI."""
        return urlsplit(self.uri).netloc


def decode(data: bytes) -> UdpConnectionRequest:
    """Cut a datagram into its parts.

    Raises:
        DecodeError: it has no request line or no empty line, or a header that is none.
    """
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise DecodeError(f"{SUBJECT}: no empty line in {len(data)} octets")
    try:
        lines = head.decode("ascii").split("\r\n")
    except UnicodeDecodeError as error:
        wrong = head[error.start]
        raise DecodeError(
            f"{SUBJECT}: octet 0x{wrong:02x} at offset {error.start} is not ASCII"
        ) from error
    request = _REQUEST_LINE.fullmatch(lines[0])
    if request is None:
        raise DecodeError(f"{SUBJECT}: {lines[0]!r} is no request line")
    headers = []
    for line in lines[1:]:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise DecodeError(f"{SUBJECT}: {line!r} is no header")
        headers.append((header[1], header[2]))
    try:
        query = urlsplit(request[2]).query
        pairs = tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise DecodeError(f"{SUBJECT}: the Request-URI cannot be cut: {error}") from error
    return UdpConnectionRequest(
        request[1], request[2], request[3], tuple(headers), body, pairs, data
    )


def signature(key: str, ts: str, identifier: str, username: str, cnonce: str) -> str:
    """HMAC-SHA-1 over the four values without anything between them, 40 hexadecimal digits."""
    return signature_of(key, f"{ts}{identifier}{username}{cnonce}")


def signature_of(key: str, text: str) -> str:
    """HMAC-SHA-1 of any text: for senders that sign another one."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest().upper()


def build(
    authority: str, ts: int, identifier: int, username: str, cnonce: str, key: str
) -> UdpConnectionRequest:
    """The canonical request.

    Args:
        authority: host, and port where it is not 80.
        ts: seconds since 1970 (UTC).
        identifier: another one for each request.
        username: ConnectionRequestUsername.
        cnonce: by chance.
        key: ConnectionRequestPassword.
    """
    proof = signature(key, str(ts), str(identifier), username, cnonce)
    values = (str(ts), str(identifier), username, cnonce, proof)
    query = "&".join(
        f"{name}={quote(value, safe='')}" for name, value in zip(NAMES, values, strict=True)
    )
    text = f"GET http://{authority}?{query} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    return decode(text.encode("ascii"))


@dataclass(slots=True)
class Receiver:
    """What a CPE holds against requests (2.2.1.4), and what it remembers of the last good one.

    Attributes:
        window_s: how far `ts` may be from the CPE's own time; None: not looked at.
        is_lenient: takes "/" for a path, a Request-URI that begins with it or with its query, and a
            request without Host, as some senders need it.
        keeps_record: whether what it remembers outlives a reboot (2.2.1.4 leaves it free).
        last_ts: of the last good request.
        last_id: likewise; None: there was none.
    """

    window_s: float | None = None
    is_lenient: bool = False
    keeps_record: bool = False
    last_ts: int = 0
    last_id: str | None = None

    def restarted(self) -> None:
        """The CPE starts: "the value zero MUST be used" where nothing is kept."""
        if not self.keeps_record:
            self.last_ts, self.last_id = 0, None

    def refusal(
        self, request: UdpConnectionRequest, username: str, password: str, now_s: float
    ) -> str | None:
        """Why a request is to be ignored; None: it is valid and authentic, and is remembered.

        Args:
            request: as it came.
            username: ConnectionRequestUsername.
            password: ConnectionRequestPassword.
            now_s: the CPE's own time, seconds since 1970 (UTC).
        """
        reason = self._invalid(request, username, now_s)
        if reason is not None:
            return reason
        ts, identifier, un, cn, sig = (request.value(name) or "" for name in NAMES)
        if not password:
            return "the CPE has no password: nothing can be authentic"
        wanted = signature(password, ts, identifier, un, cn)
        if not hmac.compare_digest(sig.upper().encode(), wanted.encode()):
            return "sig is not that of ts, id, un and cn"
        self.last_ts, self.last_id = int(ts), identifier
        return None

    def _invalid(self, request: UdpConnectionRequest, username: str, now_s: float) -> str | None:
        if request.version != "1.1":
            return f"HTTP/{request.version} is not HTTP/1.1"
        if request.method != "GET":
            return f"the method is {request.method}, not GET"
        if request.header("Host") is None and not self.is_lenient:
            return "HTTP/1.1 wants a Host"
        if not request.is_absolute and not self.is_lenient:
            return f"the Request-URI {request.uri[:20]!r} is not absolute"
        if request.path not in (("", "/") if self.is_lenient else ("",)):
            return f"the path is {request.path!r}, not empty"
        for name in NAMES:
            if not request.value(name):
                return f"{name} is not there once, with a value"
        ts = request.value("ts") or ""
        if not _DIGITS.fullmatch(ts):
            return f"ts is {ts!r}, not a number"
        if int(ts) <= self.last_ts:
            return f"ts {ts} is not greater than {self.last_ts}"
        if self.window_s is not None and abs(int(ts) - now_s) > self.window_s:
            return f"ts {ts} is more than {self.window_s:g} s from the CPE's own time"
        if request.value("id") == self.last_id:
            return f"id {self.last_id} is that of the request before"
        if request.value("un") != username:
            return "un is not the CPE's"
        return None
