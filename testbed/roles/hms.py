"""The HMS: an auto-configuration server that tells each HNB who serves the place it is in.

TS 32.583, 5.1: from the location in the Inform it chooses serving SeGW, serving HMS and,
optionally, HNB-GW, and sets them.  Initial and serving HMS are the same role with other
assignments; without any it is a plain ACS.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from testbed.datamodel.femto import FemtoPaths, reported_location
from testbed.errors import DecodeError, PeerError
from testbed.host import Host, TlsProfile
from testbed.protocols import dns
from testbed.protocols.cwmp import faults, rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.cwmp.over_http import envelope_in, reply
from testbed.protocols.cwmp.session import (
    AcsSession,
    Answered,
    Asked,
    Ended,
    Failed,
    Informed,
)
from testbed.protocols.http import HttpError, Request, Response, Url
from testbed.protocols.http_auth import Nonces
from testbed.protocols.http_cookies import parse_cookies
from testbed.protocols.http_gate import Gate, Turned
from testbed.protocols.wire import Endpoint
from testbed.roles.associations import AssociationPolicy, Associations
from testbed.roles.connection_request import request_connection
from testbed.roles.hms_policy import Area, Assignment, HmsPolicy
from testbed.roles.http_server import Dropped, HttpLimits, HttpServer
from testbed.roles.known_cpe import KnownCpe
from testbed.roles.mending import mended_envelope
from testbed.roles.reach import Reach
from testbed.roles.resolve import resolve
from testbed.roles.role import Role
from testbed.roles.shown import tell_certificate
from testbed.roles.udp_requests import UdpRequests
from testbed.topology import Certificate, Node

COOKIE = "session"
MOST_SESSIONS = 4096
MOST_DEVICES = 1 << 17
MOST_INFORM_OCTETS = 128 * 1024
"""An Inform is kept as long as its CPE is known: a larger one is answered by fault 8004."""
LIMITS = HttpLimits(body_octets=1024 * 1024)
DEATH_AFTER_S = 3600.0


class _HmsSession:
    """One session: the machine, and whose it is."""

    def __init__(self, cookie: str, machine: AcsSession, now: float) -> None:
        self.cookie = cookie
        self.machine = machine
        self.touched = now
        self.device: KnownCpe | None = None
        self.calls: list[tuple[rpc.Rpc, asyncio.Future[rpc.Rpc]]] = []


class Hms(Role):
    """Serves CWMP on the node's first address.

    Settings of the node: `url` (its own; https with `identity`), `roots`, `assignments`,
    `associates` (it keeps which device is behind which gateway, TR-111 Part 1), `associations` (its
    policy for that).

    Attributes:
        url: what HNBs are told to use.
        assignments: the first that fits an HNB's place holds; none at all: no HNB is told anything.
        policy: may be changed while it runs (`set_policy`).
        devices: every CPE that has been here, by serial number.
        associations: which device is behind which gateway.
        udp_requests: how it writes requests for sessions by UDP.
        reach: how it reaches its CPEs, by UDP or by TCP.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.url: str = node.settings.get("url") or f"http://{node.address}/acs"
        self.assignments: list[Assignment] = list(node.settings.get("assignments", ()))
        self.policy = HmsPolicy()
        self.devices: dict[str, KnownCpe] = {}
        moment, switched_on_at = float(node.settings.get("moment") or 0.0), host.now()
        self.udp_requests = UdpRequests(host.random, lambda: moment + host.now() - switched_on_at)
        self.reach = Reach(
            *(host, self.udp_requests, self.call, self.request_connection, self._resolve_name)
        )
        self.sessions_ended = 0
        self._sessions: dict[str, _HmsSession] = {}
        self._wanted: dict[str, list[tuple[rpc.Rpc, asyncio.Future[rpc.Rpc]]]] = {}
        self._gate: Gate | None = None
        self.associations = Associations(
            host, node.settings.get("associations", AssociationPolicy()), self.call_cpe
        )
        self._server = HttpServer(host, self._answer, LIMITS, self.mend_of("http"))

    # What scenarios ask of it.

    def assign(
        self,
        name: str,
        segw: str | None = None,
        hms_url: str | None = None,
        hnb_gw: str | None = None,
        area: Area | None = None,
        serial_number: str | None = None,
    ) -> Assignment:
        """Add an assignment; see `Assignment`.  Those that were added before go first."""
        made = Assignment(name, area or Area(), segw, hms_url, hnb_gw, serial_number)
        self.assignments.append(made)
        return made

    def set_policy(self, **changes: Any) -> None:
        """Change the policy, now."""
        self.policy = dataclasses.replace(self.policy, **changes)
        self._gate = self._make_gate()
        # Told, so that a judge does not blame it for what the scenario makes it do.
        self.host.tell("STAGED", **{name: str(value) for name, value in changes.items()})

    def call(self, serial_number: str, request: rpc.Rpc) -> asyncio.Future[rpc.Rpc]:
        """Call a method of a CPE in its next session; the future gives the response or fault."""
        future: asyncio.Future[rpc.Rpc] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(serial_number, []).append((request, future))
        return future

    def call_cpe(self, who: rpc.DeviceId, request: rpc.Rpc) -> asyncio.Future[rpc.Rpc]:
        """As `call`, of the one CPE of this whole identity: a serial number may have several."""
        return self.call(str(who), request)

    async def request_connection(self, serial_number: str, username: str, password: str) -> int:
        """Ask a CPE for a session, by TCP; the HTTP status of its answer.

        Raises:
            PeerError: the CPE has not told where, or its answer cannot be used.
            OSError: no connection.
        """
        known = self.devices.get(serial_number)
        url = known.connection_request_url if known else None
        if url is None:
            raise PeerError(f"{self.name}: {serial_number} has told no ConnectionRequestURL")
        return await request_connection(self.host, url, username, password)

    async def _resolve_name(self, name: str) -> dns.Resolution:
        servers = self.node.settings.get("dns_servers", ())
        policy, mend = dns.ResolverPolicy(), self.mend_of("dns")
        return await resolve(self.host, servers, name, "A", policy, mend)

    # Power.

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, or the address is not this node's.
            LocalError: its URL is https and it has no identity.
        """
        url = Url.parse(self.url)
        self._gate = self._make_gate()
        tls = None
        settings = self.node.settings
        if url.scheme == "https" and settings.get("certificate") is not Certificate.NONE:
            tls = TlsProfile(identity=settings.get("identity"), roots=settings.get("roots", ()))
        local = Endpoint(self.node.address or "0.0.0.0", url.port)
        self.keep(self._server)
        self.keep(await self.host.listen(local, self._server.serve, tls))
        if tls is not None and tls.identity is not None:
            tell_certificate(self.host, self.node, tls.identity)

    def stop(self) -> None:
        """Power off: sessions are forgotten, what it knows of CPEs is not."""
        super().stop()
        self._sessions.clear()

    def _make_gate(self) -> Gate | None:
        policy = self.policy
        if policy.authentication is None:
            return None
        nonces = Nonces(self.host.random) if policy.authentication == "digest" else None
        return Gate(policy.realm, policy.users.get, nonces)

    # One request.

    async def _answer(self, request: Request, source: Endpoint) -> Response | Dropped:
        early = self._turned_away(request, source)
        if early is not None:
            return early
        try:
            envelope = envelope_in(request)
        except DecodeError as error:
            self.host.tell("MALFORMED", protocol="CWMP", source=str(source), error=str(error))
            status = error.status if isinstance(error, HttpError) else 400
            return Response((("Connection", "close"),), status=status)
        dropped = self._misbehaves(envelope)
        if dropped is not None:
            return dropped
        session = self._session_of(request, envelope)
        if session is None:
            cause = "no session is open under this cookie, and no Inform opens one"
            return self._refused(source, cause)
        try:
            answer, cookies = self._converse(session, envelope, source)
            answer = await mended_envelope(self.mend_of("cwmp"), answer, source)
            return reply(answer, cookies)
        except PeerError as error:
            self._forget(session, str(error))
            return self._refused(source, str(error))

    def _turned_away(self, request: Request, source: Endpoint) -> Response | None:
        """What is answered without a look at the body; None: the body counts."""
        policy = self.policy
        if request.method != "POST":
            return Response((("Allow", "POST"),), status=405)
        if request.target.partition("?")[0] != Url.parse(self.url).target.partition("?")[0]:
            return Response(status=404)
        if policy.unavailable_times > 0:
            self.policy = dataclasses.replace(
                policy, unavailable_times=policy.unavailable_times - 1
            )
            after = policy.retry_after_s
            return Response(() if after is None else (("Retry-After", str(after)),), status=503)
        if policy.redirect_to is not None and policy.redirect_times > 0:
            self.policy = dataclasses.replace(policy, redirect_times=policy.redirect_times - 1)
            return Response((("Location", policy.redirect_to),), status=307)
        if self._gate is not None:
            entered = self._gate.enter(request, self.host.now())
            if isinstance(entered, Turned):
                if request.header("Authorization") is not None:
                    self.host.tell("REFUSED", source=str(source), cause=entered.reason)
                return entered.response
        return None

    def _misbehaves(self, envelope: Envelope | None) -> Dropped | None:
        policy = self.policy
        moment = "empty" if envelope is None else envelope.message.method
        if policy.silent_at == moment:
            return Dropped(after_s=DEATH_AFTER_S)
        if policy.dies_at == moment and policy.dies_times > 0:
            self.policy = dataclasses.replace(policy, dies_times=policy.dies_times - 1)
            return Dropped()
        return None

    def _refused(self, source: Endpoint, cause: str) -> Response:
        self.host.tell("REFUSED", source=str(source), cause=cause)
        return Response((("Connection", "close"),), status=400)

    def _session_of(self, request: Request, envelope: Envelope | None) -> _HmsSession | None:
        """The session that the cookie names, or a new one for an Inform."""
        now = self.host.now()
        for header in request.all_headers("Cookie"):
            session = self._sessions.get(parse_cookies(header).get(COOKIE, ""))
            if session is not None:
                session.touched = now
                return session
        if envelope is None or not isinstance(envelope.message, rpc.Inform):
            return None
        self._forget_silent(now)
        cookie = f"{self.host.random.getrandbits(64):016x}"
        session = _HmsSession(cookie, AcsSession(self.policy.version), now)
        self._sessions[cookie] = session
        return session

    def _forget_silent(self, now: float) -> None:
        """Sessions whose CPE has fallen silent; they are in the order in which they began."""
        for session in list(self._sessions.values()):
            too_many = len(self._sessions) >= MOST_SESSIONS
            if not too_many and now - session.touched <= self.policy.session_within_s:
                break
            self._forget(session, "its CPE has fallen silent")

    def _converse(
        self, session: _HmsSession, envelope: Envelope | None, source: Endpoint
    ) -> tuple[Envelope | None, tuple[str, ...]]:
        """Take a message; what to answer, and the cookies to set.

        Raises:
            PeerError: the CPE broke a rule.
        """
        machine = session.machine
        opening = session.device is None
        machine.receive(envelope)
        for event in machine.events():
            match event:
                case Informed():
                    self._informed(session, event.envelope, source)
                case Asked(asked):
                    machine.answer(self._serve(asked.message))
                case Answered(request, response):
                    self._answered(session, request, response)
                case Failed(error):
                    raise error
                case _:
                    pass
        (answer,) = machine.to_send()
        if any(isinstance(event, Ended) for event in machine.events()):
            self.sessions_ended += 1
            self._forget(session, None)
        elif machine.over:
            self._forget(session, "its Inform was refused")
        cookies = (f"{COOKIE}={session.cookie}; Path=/",) if opening and not machine.over else ()
        return answer, cookies

    def _informed(self, session: _HmsSession, envelope: Envelope, source: Endpoint) -> None:
        """Accept the Inform and see what its CPE is to be told, or refuse it."""
        inform = envelope.message
        assert isinstance(inform, rpc.Inform)
        serial = inform.device_id.serial_number
        if len(envelope.raw) > MOST_INFORM_OCTETS:
            cause = f"its Inform has {len(envelope.raw)} octets, at most {MOST_INFORM_OCTETS} fit"
            self.host.tell("REFUSED", source=str(source), serial_number=serial[:64], cause=cause)
            session.machine.answer(rpc.fault(faults.ACS_RESOURCES_EXCEEDED, cause))
            return
        for other in list(self._sessions.values()):
            known = other.device
            if known is not None and known.device_id == inform.device_id:
                self._forget(other, "its CPE has opened another one")
        device = KnownCpe(inform.device_id, inform, source.address)
        if serial not in self.devices and len(self.devices) >= MOST_DEVICES:
            del self.devices[next(iter(self.devices))]
        session.device = self.devices[serial] = device
        answer, calls = self._decide(device)
        session.machine.answer(answer)
        if isinstance(answer, rpc.Fault):
            return
        for call in calls:
            session.machine.call(call)
        if self.node.settings.get("associates"):
            self.associations.informed(device)
        self.reach.informed(serial, inform)
        whole = str(inform.device_id)
        session.calls = [*self._wanted.pop(serial, []), *self._wanted.pop(whole, [])]
        for request, _ in session.calls:
            session.machine.call(request)

    def _decide(self, device: KnownCpe) -> tuple[rpc.Rpc, tuple[rpc.Rpc, ...]]:
        """The answer to an Inform, and what is called in this session."""
        policy, inform = self.policy, device.inform
        if policy.inform_fault is not None:
            return rpc.fault(policy.inform_fault), ()
        values = {each.name: each.value for each in inform.parameters}
        if not self.assignments:
            return rpc.InformResponse(), ()
        place = reported_location(values)
        chosen = next(
            (e for e in self.assignments if e.fits(device.device_id, place, device.line_address)),
            None,
        )
        if chosen is None:
            who = device.device_id.serial_number
            self.host.tell("REFUSED", serial_number=who, cause="nobody serves its location")
            return rpc.fault(policy.refusal, "nobody serves the reported location"), ()
        paths = FemtoPaths.of_names(values)
        key = f"{self.name} {chosen.name}"[:32]
        if values.get(f"{paths.root}ManagementServer.ParameterKey") == key:
            return rpc.InformResponse(), ()
        serving = chosen.values(paths, policy.omits)
        parameters = tuple(rpc.ParameterValue(e.path, e.text, e.type) for e in serving)
        parameters += policy.adds
        call = rpc.SetParameterValues(parameters, key)
        self.host.tell(
            "ASSIGNED", serial_number=device.device_id.serial_number, assignment=chosen.name
        )
        return rpc.InformResponse(), (call,) if parameters else ()

    def _serve(self, call: rpc.Rpc) -> rpc.Rpc:
        """What a CPE asks of the ACS."""
        if isinstance(call, rpc.GetRPCMethods):
            return rpc.GetRPCMethodsResponse(rpc.ACS_METHODS)
        if isinstance(call, rpc.TransferComplete):
            self.host.tell("TRANSFERRED", command_key=call.command_key, fault=call.fault.code)
            return rpc.TransferCompleteResponse()
        return rpc.fault(faults.ACS_METHOD_NOT_SUPPORTED)

    def _answered(self, session: _HmsSession, request: rpc.Rpc, response: rpc.Rpc) -> None:
        if session.device is not None:
            self.reach.answered(session.device.device_id.serial_number, request, response)
        for entry in session.calls:
            if entry[0] is request:
                session.calls.remove(entry)
                if not entry[1].done():
                    entry[1].set_result(response)
                return
        assert session.device is not None
        who = session.device.device_id.serial_number
        if isinstance(response, rpc.Fault):
            self.host.tell("NOT_SET", serial_number=who, fault=response.code, text=response.text)
        else:
            self.host.tell("SET", serial_number=who)

    def _forget(self, session: _HmsSession, cause: str | None) -> None:
        """A session is over; calls that nobody answered wait for the next one."""
        self._sessions.pop(session.cookie, None)
        if session.calls and session.device is not None:
            whole = str(session.device.device_id)
            self._wanted[whole] = [*session.calls, *self._wanted.get(whole, [])]
        if cause is not None:
            who = session.device.device_id.serial_number if session.device else None
            self.host.tell("SESSION_LOST", serial_number=who, cause=cause)
