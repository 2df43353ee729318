"""A stub resolver as a machine: one question, asked until it is answered or given up.

Follows aliases, asks several servers in turn, keeps waiting after answers that are malformed or not
its own (RFC 5452), and asks for a byte stream when an answer is truncated (RFC 7766).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from testbed.errors import BadInput, DecodeError
from testbed.protocols.dns.build import query
from testbed.protocols.dns.cutting import decode
from testbed.protocols.dns.message import Answer, Query, ResourceRecord, Service, service_of
from testbed.protocols.dns.names import CLASS_IN, same_name
from testbed.protocols.wire import Endpoint, Outgoing

MOST_ALIASES = 8


@dataclass(frozen=True, slots=True)
class ResolverPolicy:
    """How patient a resolver is.

    Attributes:
        timeout_s: seconds until the next server is asked, or the same again.
        attempts: how often each server is asked.
        stream_timeout_s: seconds for an answer over a byte stream, connection included.
        udp_octets: how long an answer by UDP may be, said with EDNS; None: 512, and no EDNS.
    """

    timeout_s: float = 2.0
    attempts: int = 3
    stream_timeout_s: float = 5.0
    udp_octets: int | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A name was resolved.

    Attributes:
        name: what was asked for, in lower case, without the last dot.
        kind: "A", "SRV", ...
        addresses: of kind A or AAAA, in the server's order; else none.
        services: of kind SRV, in the server's order; else none.
        canonical_name: the name that the records belong to; other than `name` after aliases.
        records: the records of that kind.
        server: who answered; None: the hosts file, or the name was an address.
    """

    name: str
    kind: str
    addresses: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    canonical_name: str = ""
    records: tuple[ResourceRecord, ...] = field(default=(), repr=False)
    server: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A name was not resolved.

    Attributes:
        name: what was asked for.
        kind: "A", "SRV", ...
        cause: "NXDOMAIN" (there is no such name), "NO_DATA" (it has no record of that kind), the
            servers' code ("SERVFAIL", "REFUSED", ...), "TIMEOUT" (no server answered), "STREAM"
            (the answer was truncated and there was none by TCP), "ALIAS_LOOP", "NO_SERVER" or
            "BAD_NAME".
        detail: a sentence for people.
    """

    name: str
    kind: str
    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Truncated:
    """An answer was truncated: send `query` to `server` over a byte stream.

    Hand what comes back to `Resolver.receive_by_stream`, or call `Resolver.stream_failed`.
    """

    query: Query
    server: Endpoint


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that cannot be decoded came in; the resolver goes on waiting."""

    source: Endpoint
    error: DecodeError


@dataclass(frozen=True, slots=True)
class Unexpected:
    """A message came in that is no answer to the question; the resolver goes on waiting."""

    source: Endpoint
    reason: str


Resolution = Resolved | Failed
ResolverEvent = Resolved | Failed | Truncated | Malformed | Unexpected


class Resolver:
    """Resolves one name; a `Machine[Query, ResolverEvent]`.  Its last event is its `Resolution`.

    Args:
        name: the name, with or without the last dot.
        kind: "A", "AAAA", "SRV", ...
        servers: whom to ask, in this order.
        random: where identifiers come from.
        now: seconds; the first query is ready to be sent at once.
        policy: how patient it is.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        servers: Sequence[Endpoint],
        random: Random,
        now: float,
        policy: ResolverPolicy | None = None,
    ) -> None:
        self.name = name
        self.kind = kind.upper()
        self.servers = tuple(servers)
        self.policy = policy or ResolverPolicy()
        self.finished = False
        self._random = random
        self._aliases: list[str] = []
        self._outgoing: list[Outgoing[Query]] = []
        self._events: list[ResolverEvent] = []
        self._deadline: float | None = None
        self._streaming: Endpoint | None = None
        try:
            self.name = same_name(name)
            self._ask_for(name, now)  # in letters of the case that was asked for
        except BadInput as error:
            self._fail("BAD_NAME", str(error))

    def _ask_for(self, name: str, now: float) -> None:
        self._query = query(
            name,
            self.kind,
            self._random.randrange(0x10000),
            udp_octets=self.policy.udp_octets,
        )
        self._turns = list(self.servers) * self.policy.attempts
        self._asked: set[Endpoint] = set()
        self._refused: dict[Endpoint, str] = {}
        self._waiting_for: Endpoint | None = None
        self._ask_next(now)

    def _ask_next(self, now: float) -> None:
        self._streaming = None
        while self._turns:
            server = self._turns.pop(0)
            if server not in self._refused:
                self._asked.add(server)
                self._waiting_for = server
                self._outgoing.append(Outgoing(self._query, server))
                self._deadline = now + self.policy.timeout_s
                return
        if not self.servers:
            self._fail("NO_SERVER", f"{self.name}: no name server is known")
        elif self._refused:
            told = ", ".join(f"{server} says {code}" for server, code in self._refused.items())
            self._fail(next(iter(self._refused.values())), f"{self._query.name}: {told}")
        else:
            servers = " and ".join(str(server) for server in self.servers)
            self._fail(
                "TIMEOUT",
                f"{self._query.name}: no answer from {servers}, each asked "
                f"{self.policy.attempts} times, {self.policy.timeout_s} s apart",
            )

    def _end(self, resolution: Resolution) -> None:
        self.finished = True
        self._deadline = None
        self._outgoing.clear()
        self._events.append(resolution)

    def _fail(self, cause: str, detail: str) -> None:
        self._end(Failed(self.name, self.kind, cause, detail))

    def receive(self, data: bytes, source: Endpoint, now: float) -> None:
        """Take one datagram."""
        if self.finished:
            return
        try:
            message = decode(data)
        except DecodeError as error:
            self._events.append(Malformed(source, error))
            return
        reason = self._why_not(message, source)
        if isinstance(message, Query) or reason:
            self._events.append(Unexpected(source, reason))
        elif message.truncated:
            if self._streaming is None:
                self._streaming = source
                self._deadline = now + self.policy.stream_timeout_s
                self._events.append(Truncated(self._query, source))
        else:
            self._take(message, source, now)

    def receive_by_stream(self, data: bytes, server: Endpoint, now: float) -> None:
        """Take the answer that came over a byte stream, without its length."""
        if self.finished or server != self._streaming:
            return
        try:
            message = decode(data)
        except DecodeError as error:
            self._events.append(Malformed(server, error))
            self.stream_failed(server, str(error), now)
            return
        reason = self._why_not(message, server)
        if isinstance(message, Query) or reason:
            self._events.append(Unexpected(server, reason))
            self.stream_failed(server, reason, now)
            return
        self._streaming = None
        self._waiting_for = server
        self._take(message, server, now)

    def stream_failed(self, server: Endpoint, reason: str, now: float) -> None:
        """The byte stream to a server brought no answer."""
        if not self.finished and server == self._streaming:
            self._refused[server] = "STREAM"
            self._ask_next(now)

    def _why_not(self, message: Query | Answer, source: Endpoint) -> str:
        """Why a message is no answer to our query (RFC 5452 section 9.1); "" if it is."""
        if isinstance(message, Query):
            return "a query, not an answer"
        if source not in self._asked:
            return f"from {source}, which was not asked"
        if message.identifier != self._query.identifier:
            return f"identifier {message.identifier}, not {self._query.identifier}"
        ours = self._query.questions[0]
        if not message.questions and message.code != "NOERROR":
            return ""  # servers that could not read a query answer without its question
        if len(message.questions) != 1 or (
            (message.name, message.kind, message.questions[0].class_number)
            != (ours.name, ours.kind, ours.class_number)
        ):
            return f"question {message.kind} {message.name}, not {ours.kind} {ours.name}"
        return ""

    def _take(self, message: Answer, source: Endpoint, now: float) -> None:
        if message.code == "NXDOMAIN":
            last = self._last_name(message)
            self._fail("NXDOMAIN", f"{source} says that there is no {last}")
        elif message.code != "NOERROR":
            self._refused[source] = message.code
            if source == self._waiting_for and self._streaming is None:
                self._ask_next(now)
        else:
            self._follow(message, source, now)

    def _last_name(self, message: Answer) -> str:
        names = [self._query.name, *message.canonical_names]
        return names[-1]

    def _follow(self, message: Answer, source: Endpoint, now: float) -> None:
        """Go from alias to alias up to the records asked for."""
        name = self._query.name
        while True:
            owned = [
                each
                for each in message.answers
                if each.name == name and each.class_number == CLASS_IN
            ]
            wanted = tuple(each for each in owned if each.kind == self.kind)
            if wanted:
                self._end(_resolved(self.name, self.kind, name, wanted, source))
                return
            alias = next((each.value for each in owned if each.kind == "CNAME"), None)
            if alias is None:
                break
            if alias in (self.name, *self._aliases) or len(self._aliases) == MOST_ALIASES:
                chain = " -> ".join([self.name, *self._aliases, alias])
                self._fail("ALIAS_LOOP", f"{chain}: aliases in a circle, or over {MOST_ALIASES}")
                return
            self._aliases.append(alias)
            name = alias
        if name != self._query.name:
            self._ask_for(name, now)
        else:
            self._fail("NO_DATA", f"{source} says that {name} has no {self.kind} record")

    def tick(self, now: float) -> None:
        """Let time pass up to `now`."""
        if self._deadline is None or now < self._deadline:
            return
        if self._streaming is not None:
            self.stream_failed(self._streaming, "no answer in time", now)
        else:
            self._ask_next(now)

    def deadline(self) -> float | None:
        """When `tick` is wanted next; None: never."""
        return self._deadline

    def to_send(self) -> Sequence[Outgoing[Query]]:
        """Take the queries that are to be sent."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def events(self) -> Sequence[ResolverEvent]:
        """Take what has happened."""
        taken, self._events = self._events, []
        return taken


def _resolved(
    name: str,
    kind: str,
    canonical_name: str,
    records: tuple[ResourceRecord, ...],
    server: Endpoint,
) -> Resolved:
    values = tuple(each.value for each in records)
    return Resolved(
        name,
        kind,
        values if kind in ("A", "AAAA") else (),
        tuple(service_of(value) for value in values) if kind == "SRV" else (),
        canonical_name,
        records,
        server,
    )
