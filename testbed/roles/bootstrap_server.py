"""The DM bootstrap server: the package of a device that it knows, by HTTPS GET (OMA DM bootstrap
1.3, 5.4.7): 200, 400 or 404, and nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from testbed.host import Host, Listener, TlsProfile
from testbed.protocols.dm.account import encode_package
from testbed.protocols.dm.proofs import secured
from testbed.protocols.http import Request, Response, Url
from testbed.protocols.wire import Endpoint
from testbed.roles.dm_policy import (
    BOOTSTRAP_PATH,
    MAC_PARAMETER,
    VERSION_PARAMETER,
    Enrolment,
)
from testbed.roles.http_server import HttpServer
from testbed.roles.role import Role
from testbed.topology import Node

_MAC = re.compile(r"[0-9A-Fa-f]{12}")
VERSIONS = ("1.2", "1.3")
NOT_UNDERSTOOD = 400
"""5.4.7.1: for malformed syntax, decode errors and the like; no other status says so here."""


class Packages:
    """What a bootstrap server, or a smart card's web server, answers.

    Args:
        host: for events.
        enrolments: the devices that it knows.
        only: the one device that it serves, whoever asks (a smart card); None: who is named.

    Attributes:
        body_instead: sent in the place of every package, with a MAC that fits; None: nothing.
    """

    def __init__(
        self, host: Host, enrolments: Sequence[Enrolment], only: Enrolment | None = None
    ) -> None:
        self.host = host
        self.enrolments: Mapping[str, Enrolment] = {
            each.hardware_address.upper(): each for each in enrolments
        }
        self.only = only
        self.body_instead: bytes | None = None

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each package, by hardware address; judges compare what is sent."""
        return {
            address: hashlib.sha256(encode_package(each.account, each.media_type)).hexdigest()
            for address, each in self.enrolments.items()
        }

    async def answer(self, request: Request, source: Endpoint) -> Response:
        """200 with the package, 400 for what is no such request, 404 for who is not known."""
        try:
            parts = urlsplit(request.target)
        except ValueError as error:
            self.host.tell("BOOTSTRAP_REFUSED", source=str(source), cause=str(error))
            return Response(status=400)
        told = dict(parse_qsl(parts.query, keep_blank_values=True))
        known, refusal = self._find(request.method, parts.path, told)
        if known is None:
            self.host.tell("BOOTSTRAP_REFUSED", source=str(source), cause=refusal[1])
            return Response(status=refusal[0])
        body = self.body_instead
        if body is None:
            body = encode_package(known.account, known.media_type)
        content_type = known.media_type
        if known.pin is not None:
            content_type = secured(known.media_type, known.pin, body)
        self.host.tell("BOOTSTRAP_SENT", source=str(source), device=known.device)
        return Response((("Content-Type", content_type),), body, status=200)

    def _find(
        self, method: str, path: str, told: Mapping[str, str]
    ) -> tuple[Enrolment | None, tuple[int, str]]:
        if method != "GET":
            return None, (400, f"the method is {method}, GET is wanted")
        if path != BOOTSTRAP_PATH:
            return None, (404, f"nothing is at {path}")
        if self.only is not None:
            return self.only, (200, "")
        version = told.get(VERSION_PARAMETER, VERSIONS[0])
        if version not in VERSIONS:
            return None, (400, f"DM {version} is not spoken here, {' and '.join(VERSIONS)} are")
        address = told.get(MAC_PARAMETER, "")
        if not _MAC.fullmatch(address):
            return None, (400, f"{MAC_PARAMETER} is {address!r}, not twelve hexadecimal digits")
        known = self.enrolments.get(address.upper())
        return known, (404, f"no package for {address}")


class BootstrapServer(Role):
    """Settings of the node: `enrolments`, `url` (for scheme and port), `identity`.

    Attributes:
        packages: what it answers; may be changed while it runs.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.url = Url.parse(node.settings["url"])
        self.packages = Packages(host, node.settings.get("enrolments", ()))
        self._server: HttpServer | None = None
        self._listener: Listener | None = None
        self._staged: tuple[str, Callable[[Response], Response]] | None = None

    def staged(self, what: str, change: Callable[[Response], Response]) -> None:
        """Have the server break its duty: a scenario wants to see what devices do.

        Args:
            what: "status" or "package"; judges are told, and judge the device only.
            change: makes another response of the right one.
        """
        self._staged = (what, change)
        self.host.tell("STAGED", **{what: True})

    def stage_package(self, body: bytes) -> None:
        """Have each package be these octets, with a MAC that fits."""
        self.packages.body_instead = body
        self.host.tell("STAGED", package=True)

    async def _answer(self, request: Request, source: Endpoint) -> Response:
        response = await self.packages.answer(request, source)
        return self._staged[1](response) if self._staged else response

    async def start(self) -> None:
        """Power is on: listen."""
        self._server = HttpServer(
            self.host, self._answer, mend=self.mend_of("http"), refuses_by=NOT_UNDERSTOOD
        )
        profile = TlsProfile(identity=self.node.settings.get("identity"))
        secure = profile if self.url.scheme == "https" else None
        self.host.tell("PACKAGES", packages=self.packages.digests())
        local = Endpoint("0.0.0.0", self.url.port)
        self._listener = await self.host.listen(local, self._server.serve, secure)

    def stop(self) -> None:
        """Power is about to go."""
        if self._server is not None and self._listener is not None:
            self._listener.close()
            self._server.close()
        self._server = self._listener = None
