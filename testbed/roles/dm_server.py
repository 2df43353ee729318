"""The DM server: sessions of OMA DM 1.2 over HTTPS with the devices that it has enrolled."""

from __future__ import annotations

from testbed.errors import DecodeError
from testbed.host import Host, TlsProfile
from testbed.protocols.dm import proofs
from testbed.protocols.dm.server import DmServerSession, Enrolled
from testbed.protocols.dm.session import NONCE_OCTETS, Proving
from testbed.protocols.dm.syncml import decode
from testbed.protocols.http import Request, Response, Url
from testbed.protocols.wire import Endpoint
from testbed.roles.dm_policy import Enrolment
from testbed.roles.http_server import HttpServer
from testbed.roles.mending import mended_message
from testbed.roles.role import Role
from testbed.topology import Node

MOST_SESSIONS = 1024


class DmServer(Role):
    """Settings of the node: `enrolments`, `url`, `identity`.

    Attributes:
        url: where sessions come to; also the server's URI in them.
        enrolled: what it knows of each device, by the device's URI.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.url: str = node.settings["url"]
        self.enrolled = {
            each.device: _enrolled(each) for each in node.settings.get("enrolments", ())
        }
        self._sessions: dict[tuple[str, str], DmServerSession] = {}

    def lose_nonces(self) -> None:
        """Have the server forget the nonces that it keeps between sessions; for scenarios."""
        for known in self.enrolled.values():
            for proving in (known.client, known.server):
                if proving is not None:
                    proving.nonce = proofs.new_nonce(self.host.random.randbytes(NONCE_OCTETS))
        self.host.tell("STAGED", nonces="lost")

    async def start(self) -> None:
        """Power is on: listen."""
        server = self.keep(HttpServer(self.host, self._answer, mend=self.mend_of("http")))
        url = Url.parse(self.url)
        profile = TlsProfile(identity=self.node.settings.get("identity"))
        secure = profile if url.scheme == "https" else None
        self.keep(await self.host.listen(Endpoint("0.0.0.0", url.port), server.serve, secure))

    def stop(self) -> None:
        """Power is about to go: sessions are forgotten."""
        self._sessions.clear()
        super().stop()

    async def _answer(self, request: Request, source: Endpoint) -> Response:
        url = Url.parse(self.url)
        if request.target.partition("?")[0] != url.target:
            return Response(status=404)
        if request.method != "POST":
            return Response((("Allow", "POST"),), status=405)
        content_type = request.header("Content-Type") or ""
        media_type = content_type.partition(";")[0].strip()
        try:
            message = decode(request.body, media_type)
            session = self._session(message.source, message.session)
            packed = session.receive(
                request.body, media_type, request.header(proofs.HMAC_HEADER) or ""
            )
        except DecodeError as error:
            self.host.tell("MALFORMED", protocol="DM", source=str(source), error=str(error))
            return Response(status=400)
        if session.is_over:
            del self._sessions[message.source, message.session]
            known = self.enrolled.get(session.device)
            self.host.tell(
                "DM_SESSION_OVER",
                device=session.device,
                accepted=session.is_accepted,
                values=dict(known.values) if known else {},
            )
        octets = mended_message(self.mend_of("dm"), packed.message, packed.body, source)
        headers = (("Content-Type", packed.message.media_type), *packed.headers)
        return Response(headers, octets, status=200)

    def _session(self, device: str, number: str) -> DmServerSession:
        key = (device, number)
        if key not in self._sessions:
            if len(self._sessions) >= MOST_SESSIONS:
                # Who has not proved himself must not push out who has.
                strangers = (k for k, each in self._sessions.items() if not each.is_accepted)
                del self._sessions[next(strangers, next(iter(self._sessions)))]
            self._sessions[key] = DmServerSession(self.url, self.enrolled.get, self.host.random)
        return self._sessions[key]


def _enrolled(enrolment: Enrolment) -> Enrolled:
    account = enrolment.account
    return Enrolled(
        Proving.of(account.client) if account.client else None,
        Proving.of(account.server) if account.server else None,
        enrolment.asks,
    )
