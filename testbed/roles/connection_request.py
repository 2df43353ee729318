"""Connection requests by TCP (TR-069 3.2.2): the CPE's listener, and the ACS's call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from testbed.errors import BadInput, PeerError
from testbed.host import Host, Listener
from testbed.protocols.http import Request, Response, Url
from testbed.protocols.http_auth import Nonces, answer, parse_challenges
from testbed.protocols.http_gate import Gate, Turned
from testbed.protocols.wire import Endpoint
from testbed.roles.http_client import HttpConnection
from testbed.roles.http_server import HttpLimits, HttpServer

PORT = 7547
REALM = "connection request"
LIMITS = HttpLimits(
    head_octets=4096, body_octets=4096, message_within_s=5.0, idle_within_s=5.0, connections=16
)
Allowed = Callable[[], tuple[int, float]]
"""Gives how many requests are accepted, and within how many seconds."""


class ConnectionRequestListener:
    """Listens for an ACS that wants a session.

    Args:
        host: all it may ask of the world.
        credentials: gives the user name and password that an ACS must know, as they are now.
        allowed: how many, within which time; more are answered 503.
        requested: called for each authentic request.
    """

    def __init__(
        self,
        host: Host,
        credentials: Callable[[], tuple[str, str]],
        allowed: Allowed,
        requested: Callable[[], None],
    ) -> None:
        self.host = host
        self.target = f"/{host.random.getrandbits(64):016x}"
        self._credentials = credentials
        self._allowed = allowed
        self._requested = requested
        self._accepted: deque[float] = deque()
        self._gate = Gate(REALM, self._password, Nonces(host.random, lifetime_s=30.0))
        self._server = HttpServer(host, self._answer, LIMITS)
        self._listener: Listener | None = None

    async def move(self, host: Host) -> None:
        """Listen there and nowhere else: on the inside of a tunnel.

        Raises:
            OSError: the port is taken.
        """
        if host is self.host and self._listener is not None:
            return
        self.close()
        self.host = host
        await self.start()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        if self._listener is None:
            self._listener = await self.host.listen(Endpoint("0.0.0.0", PORT), self._server.serve)

    def close(self) -> None:
        """Listen no more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self._server.close()

    def url(self, address: str) -> str:
        """ManagementServer.ConnectionRequestURL, while the CPE has that address."""
        return f"http://{address}:{PORT}{self.target}"

    def _password(self, username: str) -> str | None:
        known, password = self._credentials()
        return password if known and username == known else None

    async def _answer(self, request: Request, source: Endpoint) -> Response:
        closing = (("Connection", "close"),)
        # TR-069 3.2.2: an HTTP GET to the URL; what follows the path is not looked at.
        if request.method != "GET":
            return Response((*closing, ("Allow", "GET")), status=405)
        if request.target.partition("?")[0] != self.target:
            return Response(closing, status=404)
        entered = self._gate.enter(request, self.host.now())
        if isinstance(entered, Turned):
            if request.header("Authorization") is not None:
                self.host.tell("REFUSED", source=str(source), cause=entered.reason)
            return entered.response
        if not self._has_room():
            self.host.tell("REFUSED", source=str(source), cause="too many connection requests")
            return Response(closing, status=503)
        self.host.tell("CONNECTION_REQUESTED", source=str(source))
        self._requested()
        return Response(closing, status=200)

    def _has_room(self) -> bool:
        most, within_s = self._allowed()
        now = self.host.now()
        while self._accepted and self._accepted[0] <= now - within_s:
            self._accepted.popleft()
        if len(self._accepted) >= most:
            return False
        self._accepted.append(now)
        return True


async def request_connection(
    host: Host, url: str, username: str, password: str, within_s: float = 10.0
) -> int:
    """Ask a CPE for a session, as its ACS; the HTTP status of its last answer: 200, if it accepts.

    Args:
        host: who asks.
        url: ConnectionRequestURL; its host is an address.
        username: ConnectionRequestUsername.
        password: ConnectionRequestPassword.
        within_s: for the connection, and for each answer.

    Raises:
        PeerError: the URL cannot be used, or the answer cannot.
        OSError: no connection.
    """
    try:
        parsed = Url.parse(url)
    except BadInput as error:
        raise PeerError(str(error)) from error
    remote = Endpoint(parsed.host, parsed.port)
    headers = (("Host", parsed.authority),)
    request = Request(headers, method="GET", target=parsed.target)
    connection = await HttpConnection.open(host, remote, None, within_s, within_s)
    try:
        response = await connection.exchange(request)
        if response.status != 401:
            return response.status
        cnonce = f"{host.random.getrandbits(64):016x}"
        value = answer(
            parse_challenges(response.all_headers("WWW-Authenticate")),
            *(username, password, "GET", parsed.target),
            cnonce=cnonce,
        )
        if value is None:
            return response.status
        if not response.keep_alive:
            await connection.close()
            connection = await HttpConnection.open(host, remote, None, within_s, within_s)
        authorized = (*headers, ("Authorization", value))
        final = await connection.exchange(Request(authorized, method="GET", target=parsed.target))
        return final.status
    finally:
        await connection.close()
