"""CWMP's use of HTTP (TR-069 3.4, 3.7.2): envelopes in POSTs and responses, a CPE's way to its ACS.

`AcsClient` knows what a CPE does about cookies, challenges, redirects and refusals between two
messages of a session; what the messages say is the session's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from testbed.errors import BadInput, PeerError
from testbed.protocols.cwmp.envelope import Envelope, decode
from testbed.protocols.http import HttpError, Request, Response, Url
from testbed.protocols.http_auth import Credentials, answer, parse_challenges
from testbed.protocols.http_cookies import CookieJar

_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([A-Za-z0-9._-]{1,40})""", re.IGNORECASE)
CONTENT_TYPE = 'text/xml; charset="utf-8"'
MOST_REDIRECTS = 5
MOST_CHALLENGES = 2
"""Authorizations tried for one POST: the second one only because a nonce had become stale."""


def post(url: Url, envelope: Envelope | None) -> Request:
    """The POST that carries an envelope, or nothing.

    TR-069 3.4.1: the SOAPAction header is there with every envelope, and empty.
    """
    headers = [("Host", url.authority)]
    if envelope is not None:
        headers += [("SOAPAction", '""'), ("Content-Type", CONTENT_TYPE)]
    body = b"" if envelope is None else envelope.encode()
    headers.append(("Content-Length", str(len(body))))
    return Request(tuple(headers), body, target=url.target)


def reply(envelope: Envelope | None, set_cookies: tuple[str, ...] = ()) -> Response:
    """The response that carries an envelope, or 204 for nothing.

    Args:
        set_cookies: values of Set-Cookie headers.
    """
    cookies = tuple(("Set-Cookie", value) for value in set_cookies)
    if envelope is None:
        return Response(cookies, status=204)
    body = envelope.encode()
    length = ("Content-Length", str(len(body)))
    return Response((("Content-Type", CONTENT_TYPE), *cookies, length), body)


def envelope_in(message: Request | Response) -> Envelope | None:
    """The envelope that a message carries; None: its body is empty.

    The Content-Type is not asked what it is, for devices send text/html, or nothing at all; only
    its charset, where the body does not declare one.

    Raises:
        DecodeError: the body is no envelope; an `HttpError` tells the status to answer with.
    """
    coding = (message.header("Content-Encoding") or "identity").strip().lower()
    if coding not in ("", "identity"):
        raise HttpError(f"CWMP body: Content-Encoding {coding!r} is not read", 415)
    if message.is_empty:
        return None
    found = _CHARSET.search(message.header("Content-Type") or "")
    return decode(message.body, charset=found.group(1) if found else "")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The ACS has answered; None: by an empty body."""

    envelope: Envelope | None


@dataclass(frozen=True, slots=True)
class Again:
    """The same message is to be sent once more.

    Attributes:
        request: with what was lacking.
        url: where to.
        reconnect: whether that is another server, or the old connection is closing.
    """

    request: Request
    url: Url
    reconnect: bool


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The ACS does not serve now: the session has failed and is to be tried again.

    Attributes:
        status: of the response.
        retry_after_s: how long it asks to wait; None: it does not say.
    """

    status: int
    retry_after_s: int | None


@dataclass(frozen=True, slots=True)
class Broken:
    """The answer cannot be used."""

    error: PeerError


Outcome = Delivered | Again | Unavailable | Broken


class AcsClient:
    """A CPE's dealings with one ACS during one session.

    Args:
        url: ManagementServer.URL.
        random: for client nonces.
        username: ManagementServer.Username.
        password: ManagementServer.Password.

    Raises:
        BadInput: the URL is none.
    """

    def __init__(self, url: str, random: Random, username: str = "", password: str = "") -> None:
        self.url = Url.parse(url)
        self.cookies = CookieJar()
        self._random = random
        self._username = username
        self._password = password
        self._challenges: tuple[Credentials, ...] = ()
        self._count = 0
        self._envelope: Envelope | None = None
        self._redirects = 0
        self._tries = 0

    def post(self, envelope: Envelope | None) -> Request:
        """The next message of the session."""
        self._envelope = envelope
        self._tries = 0
        return self._request()

    def receive(self, response: Response) -> Outcome | None:
        """What the response to the last POST means; None: an interim one (100 Continue), wait."""
        if response.status < 200:
            return None
        self.cookies.store(response, self.url)
        if response.status == 401:
            return self._challenged(response)
        target = response.redirected(str(self.url))
        if target is not None:
            return self._redirected(target, response.status)
        if response.status not in (200, 204):
            return Unavailable(response.status, response.retry_after_s())
        try:
            return Delivered(envelope_in(response))
        except PeerError as error:
            return Broken(error)

    def _request(self) -> Request:
        request = post(self.url, self._envelope)
        more: list[tuple[str, str]] = []
        cookies = self.cookies.header(self.url)
        if cookies is not None:
            more.append(("Cookie", cookies))
        if self._challenges:
            self._count += 1
            cnonce = f"{self._random.getrandbits(64):016x}"
            value = answer(
                *(self._challenges, self._username, self._password),
                *(request.method, request.target),
                cnonce=cnonce,
                count=self._count,
                body=request.body,
            )
            if value is not None:
                more.append(("Authorization", value))
        return Request((*request.headers, *more), request.body, target=request.target)

    def _challenged(self, response: Response) -> Outcome:
        self._tries += 1
        challenges = parse_challenges(response.all_headers("WWW-Authenticate"))
        known = {each.scheme for each in challenges}
        if not self._username:
            return self._broken("asks for a password, and the CPE has none")
        if not known & {"digest", "basic"}:
            return self._broken(f"asks by {', '.join(sorted(known)) or 'no scheme at all'}")
        stale = any(each.parameters.get("stale", "").lower() == "true" for each in challenges)
        if self._tries > MOST_CHALLENGES or (self._tries > 1 and not stale):
            return self._broken(f"refuses the user {self._username!r}")
        self._challenges, self._count = challenges, 0
        request = self._request()
        if request.header("Authorization") is None:
            return self._broken("asks by a digest that cannot be computed")
        return Again(request, self.url, not response.keep_alive)

    def _redirected(self, target: str, status: int) -> Outcome:
        self._redirects += 1
        if self._redirects > MOST_REDIRECTS:
            return self._broken(f"redirects more than {MOST_REDIRECTS} times")
        try:
            url = Url.parse(target)
        except BadInput as error:
            return self._broken(f"redirects ({status}) to what is none: {error}")
        if self.url.scheme == "https" and url.scheme != "https":
            return self._broken(f"redirects ({status}) from https to {url}")
        # Cookies and challenges are the old server's; the new one begins anew (TR-069 3.4.1).
        self.url, self.cookies = url, CookieJar()
        self._challenges, self._count, self._tries = (), 0, 0
        return Again(self._request(), url, True)

    def _broken(self, what: str) -> Broken:
        return Broken(PeerError(f"the ACS at {self.url} {what}"))
