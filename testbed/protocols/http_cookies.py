"""Cookies as CWMP sessions need them (TR-069 3.7.2.2, RFC 2109, RFC 6265): a jar, and parsing.

Values are opaque and travel as they came, quotes and all.  Knows no clock: `Expires` is read
against the response's own Date, so that a device without time obeys it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from testbed.protocols.http import Response, Url

MOST_COOKIES = 20
MOST_OCTETS = 4096
"""Of all names and values together.  TR-069 asks a CPE for 512 at least."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie.

    Attributes:
        path: the requests that it goes with begin with this.
        secure: only over TLS.
    """

    name: str
    value: str
    host: str
    path: str = "/"
    secure: bool = False


class CookieJar:
    """The cookies of one session.  A new session begins with an empty jar."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], Cookie] = {}

    def store(self, response: Response, url: Url) -> None:
        """Keep what a response from that URL sets; a cookie without name is overlooked."""
        for line in response.all_headers("Set-Cookie"):
            pair, *attributes = line.split(";")
            name, equals, value = pair.partition("=")
            name = name.strip()
            if not equals or not name:
                continue
            told = {
                key.strip().lower(): text.strip()
                for key, _, text in (each.partition("=") for each in attributes)
            }
            path = told.get("path", "").strip('"')
            if not path.startswith("/"):
                path = default_path(url.target)
            key = (url.host, path, name)
            self._cookies.pop(key, None)
            cookie = Cookie(name, value.strip(), url.host, path, "secure" in told)
            if not _expired(told, response) and self._fits(cookie):
                self._cookies[key] = cookie

    def header(self, url: Url) -> str | None:
        """The Cookie header of a request to that URL; None: no cookie goes there."""
        path = url.target.partition("?")[0]
        fitting = [
            each
            for each in self._cookies.values()
            if each.host == url.host
            and _covers(each.path, path)
            and (not each.secure or url.scheme == "https")
        ]
        # RFC 6265 5.4: those of longer paths first.
        fitting.sort(key=lambda each: -len(each.path))
        return "; ".join(f"{each.name}={each.value}" for each in fitting) or None

    def _fits(self, cookie: Cookie) -> bool:
        cookies = (*self._cookies.values(), cookie)
        octets = sum(len(each.name) + len(each.value) for each in cookies)
        return len(cookies) <= MOST_COOKIES and octets <= MOST_OCTETS


def default_path(target: str) -> str:
    """The path of a cookie that names none (RFC 6265 5.1.4): the request's directory."""
    directory = target.partition("?")[0].rpartition("/")[0]
    return directory if directory.startswith("/") else "/"


def parse_cookies(header: str) -> dict[str, str]:
    """The cookies of a Cookie header, by name; the first of a name counts.

    RFC 2109's attributes ("$Version", "$Path") are left out.  Quotes stay: they are the value's.
    """
    found: dict[str, str] = {}
    for pair in header.replace(",", ";").split(";"):
        name, equals, value = pair.partition("=")
        name = name.strip()
        if equals and name and not name.startswith("$"):
            found.setdefault(name, value.strip())
    return found


def _covers(cookie_path: str, path: str) -> bool:
    if path == cookie_path or cookie_path == "/":
        return True
    return path.startswith(cookie_path if cookie_path.endswith("/") else f"{cookie_path}/")


def _expired(told: dict[str, str], response: Response) -> bool:
    age = told.get("max-age", "").strip('"')
    if age.lstrip("-").isdecimal():
        return int(age) <= 0
    try:
        now = parsedate_to_datetime(response.header("Date") or "Thu, 01 Jan 1970 12:00:00 GMT")
        return parsedate_to_datetime(told.get("expires", "")) <= now
    except (ValueError, TypeError):
        return False
