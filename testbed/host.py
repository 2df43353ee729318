"""All that a role may ask of the world: datagrams, streams, addresses, time.

Roles see `Host` and nothing below it; each engine has a class that fits it.  `drive` runs one
sans-IO machine over one port, the same on every engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from testbed.errors import PeerError
from testbed.protocols.wire import Endpoint, Machine, Message
from testbed.topology import Nat

if TYPE_CHECKING:
    from testbed.protocols.pki import Identity  # it costs an import of cryptography

DatagramHandler = Callable[[bytes, Endpoint], None]
"""Called with each datagram and its source.  An exception in it is the role's crash."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a node.

    Attributes:
        name: "eth0".
        link: the link's name in the topology.
        hardware_address: "02:00:00:00:00:01".
    """

    name: str
    link: str
    hardware_address: str


TlsVersion = Literal["1.0", "1.1", "1.2", "1.3"]
TlsCause = Literal["chain", "name", "expired", "not yet valid", "version", "alert", "handshake"]
"""Why a stream is not protected: its issuers, its name or its dates are not accepted; no version in
common; the other side said no by an alert; anything else."""


@dataclass(frozen=True, slots=True)
class TlsProfile:
    """How a stream is to be protected, and what of the other side is checked.

    A connecting node checks the server's certificate; a listening one a client's, if it requires
    one.  The defaults are what TS 33.320 and TR-069 ask for.

    Attributes:
        identity: what this side shows; a listening side must have one.
        roots: certificates that are trusted, PEM each.
        server_name: the name that a connecting side asks for (SNI) and checks: a DNS name or an IP
            address, which must be in the certificate's subjectAltName.
        verifies: check the chain up to a root; without it nothing is checked.
        verifies_name: check the name.
        verifies_dates: check that every certificate of the chain is valid at `moment`.
        accepts_common_name: without any subjectAltName take the subject's common name for a DNS
            name, as old clients do (RFC 2818 clause 3.1).
        minimum_version: older versions of TLS are refused.
        maximum_version: newer ones are not offered; None: no bound.
        requires_client_certificate: a listening side refuses clients without one.
        moment: what this node believes the date is, seconds since 1970 (UTC); None: the engine's
            clock.
    """

    identity: Identity | None = None
    roots: tuple[bytes, ...] = ()
    server_name: str | None = None
    verifies: bool = True
    verifies_name: bool = True
    verifies_dates: bool = True
    accepts_common_name: bool = False
    minimum_version: TlsVersion = "1.2"
    maximum_version: TlsVersion | None = None
    requires_client_certificate: bool = False
    moment: float | None = None


class TlsRefused(PeerError, ConnectionError):
    """TLS ended before it carried anything, or by an alert: by our refusal, or by the other side's.

    A `ConnectionError` too, as every end of a stream out of order: a TLS 1.3 server refuses a
    client's certificate only after the client's handshake is over.

    Attributes:
        cause: one of `TlsCause`.
        sentence: who refused what, by which rule.
    """

    def __init__(self, cause: TlsCause, sentence: str) -> None:
        super().__init__(sentence)
        self.cause: TlsCause = cause
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class Port(Protocol):
    """A bound UDP port."""

    local: Endpoint

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        """Send one datagram; never blocks.  What the network refuses is lost, as on any network.

        With `hardware_address` the frame goes to that link-layer address without ARP.
        """

    def close(self) -> None:
        """Give the port back; its handler is called no more."""


class Stream(Protocol):
    """An ordered byte stream: TCP, or TLS over it."""

    local: Endpoint
    remote: Endpoint

    async def receive(self, most_octets: int = 65536) -> bytes:
        """Some octets; b"" when the other side has closed.

        Raises:
            ConnectionError: reset, or broken.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Send all octets; waits while the other side does not read."""

    async def close(self) -> None:
        """Close in order (FIN; close_notify first under TLS)."""

    def abort(self) -> None:
        """Reset at once."""


class Listener(Protocol):
    """A listening TCP port; each connection runs its handler in a task of its own."""

    local: Endpoint

    def close(self) -> None:
        """Stop listening; connections that are open stay."""


class Timer(Protocol):
    """A call that is yet to come."""

    def cancel(self) -> None:
        """It will not come."""


StreamHandler = Callable[[Stream], Awaitable[None]]


class Host(Protocol):
    """One node, seen from its role."""

    name: str
    random: Random
    """This host's own randomness, seeded by the run's seed and the host's name."""
    interfaces: Mapping[str, Interface]
    """By name: "eth0" first."""
    names: dict[str, str]
    """This node's hosts file: name to address."""

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the node loses power.  Its exception fails the scenario."""
        ...

    def tell(self, event: str, **fields: Any) -> None:
        """Write an event of this node into the trace ("FAILED", step=..., cause=...)."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at that time of `now()`, unless cancelled or the node has lost power."""
        ...

    async def datagrams(
        self,
        local: Endpoint,
        handler: DatagramHandler,
        interface: str | None = None,
        broadcast: bool = False,
    ) -> Port:
        """Bind a UDP port.

        Args:
            handler: called with each datagram.
            local: "0.0.0.0" for any address; port 0 for any port.
            interface: only this interface; works before it has an address.
            broadcast: may send to, and receives, broadcasts.

        Raises:
            OSError: the port is taken, or the address is not ours.
        """
        ...

    async def connect(
        self, remote: Endpoint, tls: TlsProfile | None = None, local: str | None = None
    ) -> Stream:
        """Open a stream.

        Raises:
            TlsRefused: the handshake failed; nothing of the application was sent.
            OSError: refused, unreachable, timed out.
        """
        ...

    async def listen(
        self, local: Endpoint, handler: StreamHandler, tls: TlsProfile | None = None
    ) -> Listener:
        """Accept streams; `handler` runs in a task of its own for each.

        A handshake that fails is told as the event "TLS_FAILED" with `remote`, `cause` and
        `reason`.

        Raises:
            OSError: the port is taken, or the address is not ours.
            LocalError: `tls` has no identity, or one that cannot be used.
        """
        ...

    def set_address(self, interface: str, address: str, prefix_length: int) -> None:
        """Give the interface this address, in place of the one it had."""

    def clear_address(self, interface: str) -> None:
        """Take the interface's address away, and the routes that need it."""

    def address_of(self, interface: str) -> str | None:
        """The address the interface has now."""
        ...

    def set_default_route(self, router: str | None) -> None:
        """Send what is for nobody near to `router`; None: no default route."""

    def carrier(self, interface: str) -> bool:
        """Whether the interface's link is up."""
        ...

    def on_carrier(self, callback: Callable[[str, bool], None]) -> None:
        """Call back with (interface, up) each time a link of this node goes up or down."""

    def translate(self, nat: Nat, inside: Sequence[str], outside: str) -> None:
        """Forward between interfaces; what leaves by `outside` is translated as `nat` says."""


class Program(Protocol):
    """A third party's program that runs in a node.

    Attributes:
        pid: of its first process.
    """

    pid: int

    @property
    def last_lines(self) -> Sequence[str]:
        """The end of what it has said."""
        ...

    async def wait(self) -> int:
        """Its exit status, when it has ended; below 0: the signal that killed it."""
        ...


class ProgramHost(Host, Protocol):
    """A host in which programs of others can run."""

    async def run_program(
        self,
        command_line: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> Program:
        """Start a program; it ends with the node's power, and whatever it started with it.

        Args:
            command_line: the program's path and its arguments.
            log: what it says is added there.
            environment: all of it; nothing is inherited.
            on_line: called with each line that it says.  An exception in it is the role's crash.

        Raises:
            OSError: it cannot be started, or the node has no power.
        """
        ...


M = TypeVar("M", bound=Message)
E = TypeVar("E")


@dataclass
class Mend(Generic[M]):
    """What stands between a machine and its port: faults change messages or octets here.

    Attributes:
        message: each gets a message and the destination and gives the messages to send instead.
        octets: each gets the encoded datagram and gives the datagrams to send instead.
    """

    message: list[Callable[[M, Endpoint], Sequence[M]]] = field(default_factory=list)
    octets: list[Callable[[bytes, Endpoint], Sequence[bytes]]] = field(default_factory=list)

    def datagrams(self, message: M, destination: Endpoint) -> list[bytes]:
        """The datagrams that go out for `message` after all faults have had their way."""
        messages: list[M] = [message]
        for change in self.message:
            messages = [new for old in messages for new in change(old, destination)]
        datagrams = [each.encode() for each in messages]
        for cut in self.octets:
            datagrams = [new for old in datagrams for new in cut(old, destination)]
        return datagrams


class Drive(Generic[M, E]):
    """One machine on one port: sends what it wants sent, gives it datagrams and its deadlines.

    Open it with `await Drive.open(...)`.  Whoever tells the machine something from outside calls
    `flush` afterwards.
    """

    port: Port

    def __init__(
        self,
        machine: Machine[M, E],
        host: Host,
        on_event: Callable[[E], None],
        mend: Mend[M] | None = None,
    ) -> None:
        self.machine = machine
        self.host = host
        self.on_event = on_event
        self.mend: Mend[M] = mend or Mend()
        self._timer: Timer | None = None
        self._flushing = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        machine: Machine[M, E],
        host: Host,
        local: Endpoint,
        on_event: Callable[[E], None],
        mend: Mend[M] | None = None,
        interface: str | None = None,
        broadcast: bool = False,
    ) -> Drive[M, E]:
        """Bind the port and start the machine.

        Args:
            machine: the protocol.
            host: for port and time.
            local: what to bind.
            on_event: called with each event, in order.
            mend: the faults at work on what it sends.
            interface: only this interface; works before it has an address.
            broadcast: may send to, and receives, broadcasts.
        """
        drive = cls(machine, host, on_event, mend)
        drive.port = await host.datagrams(local, drive._received, interface, broadcast)
        drive.flush()
        return drive

    def _received(self, data: bytes, source: Endpoint) -> None:
        self.machine.receive(data, source, self.host.now())
        self.flush()

    def _ticked(self) -> None:
        self._timer = None
        self.machine.tick(self.host.now())
        self.flush()

    @property
    def closed(self) -> bool:
        """Whether `close` was called; an event's callback may do that."""
        return self._closed

    def flush(self) -> None:
        """Send and report all that the machine has ready now, and set its next deadline."""
        if self._flushing or self._closed:
            return  # an event's callback told the machine something: the loop below sees it
        self._flushing = True
        try:
            while True:
                outgoing = self.machine.to_send()
                events = self.machine.events()
                if not outgoing and not events:
                    break
                for each in outgoing:
                    for data in self.mend.datagrams(each.message, each.destination):
                        self.port.send(data, each.destination, each.hardware_address)
                for event in events:
                    self.on_event(event)
                if self.closed:
                    return
        finally:
            self._flushing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.deadline()
        if deadline is not None:
            self._timer = self.host.call_at(deadline, self._ticked)

    def close(self) -> None:
        """Stop the machine and give the port back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.port.close()


class World(Protocol):
    """An engine with one topology in it: what a stage and a run may ask."""

    @property
    def hosts(self) -> Mapping[str, Host]:
        """By node name."""
        ...

    def power(self, node: str, on: bool) -> None:
        """Give the node power, or take it: all its tasks, ports and leased addresses are gone, and
        nothing is said on the wire about it."""

    def set_link(self, node: str, interface: str, up: bool) -> None:
        """Plug the node's cable in or pull it out."""

    async def flush(self) -> None:
        """Wait until all that is on the wires by now is in the trace."""
