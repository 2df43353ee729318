"""Hands DNS queries on to other servers, each with an identifier and a source port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from testbed.errors import DecodeError
from testbed.host import Host, Port
from testbed.protocols import dns
from testbed.protocols.wire import Endpoint
from testbed.roles.resolve import ask_by_stream, on_random_port


@dataclass(frozen=True, slots=True)
class ForwardLimits:
    """What clients may use up.

    Attributes:
        timeout_s: seconds after which an unanswered query is forgotten.
        pending: how many may be unanswered; more are dropped.
    """

    timeout_s: float = 5.0
    pending: int = 256


@dataclass(slots=True, eq=False)
class _Pending:
    """One query on its way.

    Attributes:
        query: as it is sent, under our own identifier.
        servers: those it has been sent to.
        done: the answer's octets.
        port: where it is sent from, once that is bound.
    """

    query: dns.Query
    servers: list[Endpoint]
    done: asyncio.Future[bytes]
    port: Port | None = None


class Forwarder:
    """A table of queries on their way.

    Attributes:
        upstreams: the servers to ask, the first first; who asks again goes on to the next.

    Args:
        host: for ports and time.
        upstreams: see above.
        limits: what clients may use up.
    """

    def __init__(
        self, host: Host, upstreams: Sequence[Endpoint], limits: ForwardLimits | None = None
    ) -> None:
        self.upstreams = tuple(upstreams)
        self.limits = limits or ForwardLimits()
        self._host = host
        self._table: dict[tuple[Endpoint, int, tuple[dns.Question, ...]], _Pending] = {}

    @property
    def pending(self) -> int:
        """How many queries are on their way."""
        return len(self._table)

    async def by_datagram(self, query: dns.Query, client: Endpoint) -> bytes | None:
        """Ask by UDP; the octets for the client, or None: nobody answered, or a repetition.

        A repetition of a query that is on its way makes that one be sent again.
        """
        key = (client, query.identifier, query.questions)
        if key in self._table:
            self._send(self._table[key])
            return None
        if not self.upstreams or len(self._table) >= self.limits.pending:
            reason = "too many queries" if self.upstreams else "no upstream server is known"
            self._host.tell("DROPPED", query=query.summary(), reason=reason)
            return None
        ours = query.with_identifier(self._host.random.randrange(0x10000))
        pending = _Pending(ours, [], asyncio.get_running_loop().create_future())
        self._table[key] = pending
        try:
            pending.port = await on_random_port(
                self._host,
                lambda local: self._host.datagrams(local, partial(self._received, pending)),
            )
            self._send(pending)
            async with asyncio.timeout(self.limits.timeout_s):
                octets = await pending.done
        except TimeoutError:
            asked = ", ".join(str(server) for server in dict.fromkeys(pending.servers))
            self._host.tell("NO_ANSWER", query=query.summary(), servers=asked)
            return None
        finally:
            del self._table[key]
            if pending.port is not None:
                pending.port.close()
        return query.octets[:2] + octets[2:]

    def _send(self, pending: _Pending) -> None:
        if pending.port is None or not self.upstreams:
            return  # not bound yet: it will be sent in a moment anyway
        server = self.upstreams[len(pending.servers) % len(self.upstreams)]
        pending.servers.append(server)
        pending.port.send(pending.query.octets, server)

    def _received(self, pending: _Pending, data: bytes, source: Endpoint) -> None:
        """Take the answer; tell of everything else and drop it (RFC 5452 section 9.1)."""
        try:
            message = dns.decode(data)
        except DecodeError as error:
            self._host.tell("MALFORMED", protocol="DNS", source=str(source), error=str(error))
            return
        ours = pending.query
        if (
            source not in pending.servers
            or not isinstance(message, dns.Answer)
            or message.identifier != ours.identifier
            or not _same_questions(message, ours)
        ):
            self._host.tell("UNEXPECTED", source=str(source), reason=message.summary())
        elif not pending.done.done():
            pending.done.set_result(data)

    async def by_stream(self, query: dns.Query) -> bytes | None:
        """Ask by TCP; the octets for the client, or None: nobody answered."""
        ours = query.with_identifier(self._host.random.randrange(0x10000))
        for server in self.upstreams:
            try:
                data = await ask_by_stream(self._host, ours, server, self.limits.timeout_s)
                message = dns.decode(data)
            except (OSError, DecodeError) as error:
                self._host.tell(
                    "NO_ANSWER", query=query.summary(), servers=str(server), error=str(error)
                )
                continue
            if message.identifier == ours.identifier and _same_questions(message, ours):
                return query.octets[:2] + data[2:]
            self._host.tell("UNEXPECTED", source=str(server), reason=message.summary())
        return None


def _same_questions(message: dns.DnsMessage, ours: dns.Query) -> bool:
    told = [(each.name, each.kind, each.class_number) for each in message.questions]
    asked = [(each.name, each.kind, each.class_number) for each in ours.questions]
    # A server that could not read the query answers without its question.
    return told == asked or (
        not told and isinstance(message, dns.Answer) and message.code != "NOERROR"
    )
