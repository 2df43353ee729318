"""How an ACS asks for a session by UDP (TR-111 Part 2, 2.2.2.2 and 2.2.2.3).

The datagram goes out of the STUN server's socket; whoever runs both hands it over.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from testbed.errors import BadInput
from testbed.protocols.udp_connection_request import UdpConnectionRequest, build
from testbed.protocols.wire import Endpoint

USUAL_PORT = 80
"""Where an address names none (2.2.2.2.2)."""
Builder = Callable[[str, int, int, str, str, str], UdpConnectionRequest]
"""As `build`: authority, ts, id, username, cnonce, key."""


class UdpRequests:
    """One ACS's requests.

    Attributes:
        skew_s: how far its clock is ahead; below 0: behind.
        build: makes the octets of what a request says; a foreign ACS's form may take its place.

    Args:
        random: of cnonces.
        date: seconds since 1970 (UTC).
    """

    def __init__(self, random: Random, date: Callable[[], float]) -> None:
        self.skew_s = 0.0
        self.build: Builder = build
        self._random = random
        self._date = date
        self._last_ts: dict[str, int] = {}
        self._number = random.randrange(1, 1 << 20)

    def request(
        self, address: str, username: str, password: str
    ) -> tuple[Endpoint, UdpConnectionRequest]:
        """The next request for a CPE, and where it goes.

        Args:
            address: UDPConnectionRequestAddress, or the binding that the STUN server holds.
            username: the CPE's ConnectionRequestUsername.
            password: its ConnectionRequestPassword, as the ACS has set it.

        Raises:
            BadInput: the address is none of "host" and "host:port".
        """
        host, _, port = address.partition(":")
        if not host or (port and not (port.isascii() and port.isdecimal())):
            raise BadInput(f"UDPConnectionRequestAddress {address!r} is not HOST or HOST:PORT")
        number = int(port or USUAL_PORT)
        # AMB-P2-19: one second is one request at most; a clock that was set back locks nobody out.
        ts = max(int(self._date() + self.skew_s), self._last_ts.get(username, 0) + 1)
        self._last_ts[username] = ts
        self._number += 1
        authority = host if number == USUAL_PORT else f"{host}:{number}"
        cnonce = f"{self._random.getrandbits(64):016X}"
        made = self.build(authority, ts, self._number, username, cnonce, password)
        return Endpoint(host, number), made
