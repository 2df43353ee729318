"""One CWMP session of a CPE, from the ACS's name to the release: HTTP over TCP, TLS below it.

The session's rules are the machine's (`protocols.cwmp.session`), cookies and challenges the ACS
client's (`protocols.cwmp.over_http`); here are the connections and their bounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from testbed.errors import BadInput, PeerError
from testbed.host import Host, Mend, TlsProfile, TlsRefused
from testbed.protocols import dns
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.cwmp.over_http import (
    AcsClient,
    Again,
    Broken,
    Delivered,
    Unavailable,
)
from testbed.protocols.cwmp.session import CpeSession
from testbed.protocols.http import Request, Url
from testbed.protocols.wire import Endpoint
from testbed.roles.cpe_policy import CpePolicy, SessionFailed, Stage
from testbed.roles.http_client import ClosedByServer, HttpConnection
from testbed.roles.mending import mended_envelope

Resolve = Callable[[str], Awaitable[dns.Resolution]]
OnEvents = Callable[[CpeSession], None]
"""Called after each message of the ACS: takes the session's events and answers them."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What a CPE checks servers against, and what it shows them.

    Attributes:
        profile: all but the server's name.
        moment: what the CPE believes the date is; None: the engine's clock.
    """

    profile: TlsProfile
    moment: Callable[[], float] | None = None

    def towards(self, host: str, policy: CpePolicy) -> TlsProfile:
        """The profile of a connection to that host."""
        known = self.profile
        return TlsProfile(
            identity=known.identity,
            roots=known.roots,
            server_name=host,
            verifies_name=policy.verifies_name,
            accepts_common_name=policy.accepts_common_name,
            minimum_version=known.minimum_version,
            maximum_version=known.maximum_version,
            moment=None if self.moment is None else self.moment(),
        )


class AcsConversation:
    """The connections of one session.

    Args:
        host: all it may ask of the world.
        acs: what to do about HTTP; knows the URL.
        resolve: gives a name's addresses.
        policy: bounds and principles.
        trust: for https.
        envelopes: the faults at work on envelopes.
        octets: the faults at work on HTTP messages and their octets.

    Attributes:
        before_answer: awaited with the ACS's address and port before a call of it is answered.
        on_sent: called each time something was sent to the ACS, before its answer is read.
    """

    def __init__(
        self,
        host: Host,
        acs: AcsClient,
        resolve: Resolve,
        policy: CpePolicy,
        trust: Trust,
        envelopes: Mend[Any],
        octets: Mend[Any],
    ) -> None:
        self.host = host
        self.acs = acs
        self.stage = Stage.RESOLVE
        self._resolve = resolve
        self._policy = policy
        self._trust = trust
        self._envelopes = envelopes
        self._octets = octets
        self._connection: HttpConnection | None = None
        self.before_answer: Callable[[Endpoint], Awaitable[None]] = _go_on
        self.on_sent: Callable[[], None] = lambda: None

    async def run(self, session: CpeSession, on_events: OnEvents) -> None:
        """The whole session.

        Raises:
            SessionFailed: it did not come to its end; says where and why.
        """
        try:
            async with asyncio.timeout(self._policy.session_within_s):
                await self._connect(self.acs.url)
                while not session.over:
                    (envelope,) = session.to_send()
                    session.receive(await self._deliver(envelope))
                    on_events(session)
                    if self._connection is not None and not session.over:
                        await self.before_answer(self._connection.stream.remote)
            self.stage = Stage.OVER
            await self._close()
        except SessionFailed:
            await self._close()
            raise
        except TimeoutError:
            self._abort()
            within = f"the session did not end within {self._policy.session_within_s:g} s"
            raise self._failed(within) from None
        except (PeerError, OSError) as error:
            self._abort()
            raise self._failed(str(error)) from error
        except BaseException:
            self._abort()
            raise

    def accepted(self) -> None:
        """The Inform was welcome."""
        self.stage = Stage.SERVE

    def refused(self, fault: rpc.Fault) -> SessionFailed:
        """The Inform was answered by a fault."""
        return SessionFailed(self.stage, f"the ACS answers {fault.summary()}", refusal=fault)

    async def _deliver(self, envelope: Envelope | None) -> Envelope | None:
        """One POST, as often as it takes to have it taken; what the ACS says to it."""
        connection = self._connection or await self._connect(self.acs.url)
        envelope = await mended_envelope(self._envelopes, envelope, connection.stream.remote)
        request = self.acs.post(envelope)
        while True:
            outcome = await self._exchange(request)
            match outcome:
                case Delivered(answer):
                    return answer
                case Again(request, url, reconnect):
                    if reconnect:
                        await self._connect(url)
                case Unavailable(status, retry_after_s):
                    raise self._failed(f"the ACS answers {status}", retry_after_s)
                case Broken(error):
                    raise self._failed(str(error))

    async def _exchange(self, request: Request) -> Delivered | Again | Unavailable | Broken:
        connection = self._connection or await self._connect(self.acs.url)
        try:
            response = await connection.exchange(request, self.on_sent)
        except ClosedByServer:
            connection = await self._connect(self.acs.url)
            response = await connection.exchange(request, self.on_sent)
        outcome = self.acs.receive(response)
        assert outcome is not None, "interim responses are passed over below"
        if connection.is_finished or not response.keep_alive:
            await self._close()
        return outcome

    async def _connect(self, url: Url) -> HttpConnection:
        """A new connection to the ACS."""
        await self._close()
        begun = self.stage in (Stage.INFORM, Stage.SERVE)
        policy, before = self._policy, self.stage
        self.stage = before if begun else Stage.RESOLVE
        if policy.requires_tls and url.scheme != "https":
            self.stage = before if begun else Stage.SECURE
            raise self._failed(f"the URL of the ACS is {url}, and TLS is required")
        found = await self._resolve(url.host)
        if isinstance(found, dns.Failed):
            raise self._failed(f"{url.host}: {found.cause}, {found.detail}")
        assert isinstance(found, dns.Resolved)
        self.stage = before if begun else Stage.CONNECT
        tls = self._trust.towards(url.host, policy) if url.scheme == "https" else None
        self._connection = await self._reach(found.addresses, url.port, tls)
        if not begun:
            self.stage = Stage.INFORM
        return self._connection

    async def _reach(
        self, addresses: tuple[str, ...], port: int, tls: TlsProfile | None
    ) -> HttpConnection:
        """Connect to the first of these that answers."""
        policy = self._policy
        failure: OSError | None = None
        for address in addresses:
            remote = Endpoint(address, port)
            try:
                return await HttpConnection.open(
                    *(self.host, remote, tls, policy.connect_within_s, policy.answer_within_s),
                    self._octets,
                )
            except TlsRefused as refused:
                raise SessionFailed(
                    Stage.SECURE if self.stage is Stage.CONNECT else self.stage,
                    f"{refused.cause}: {refused}",
                    tls=refused.cause,
                ) from refused
            except OSError as error:
                failure = error
        raise self._failed(str(failure) if failure else "the name has no address")

    def _failed(self, cause: str, retry_after_s: int | None = None) -> SessionFailed:
        return SessionFailed(self.stage, cause, retry_after_s)

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _abort(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()


async def _go_on(_: Endpoint) -> None:
    """Nothing is to be done before an answer."""


def acs_client(url: str, host: Host, username: str, password: str) -> AcsClient:
    """The ACS client of a URL.

    Raises:
        SessionFailed: the URL is none.
    """
    try:
        return AcsClient(url, host.random, username, password)
    except BadInput as error:
        raise SessionFailed(Stage.RESOLVE, str(error)) from error
