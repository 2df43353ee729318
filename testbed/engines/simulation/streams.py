"""TCP streams and listeners of a simulated node: what `testbed.host` promises, over `tcp`."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from random import Random

from testbed.engines.simulation import segments
from testbed.engines.simulation.clock import SimulationLoop
from testbed.engines.simulation.interfaces import NetworkInterface
from testbed.engines.simulation.packets import ANY_ADDRESS, IP_HEADER_OCTETS, TCP, Packet
from testbed.engines.simulation.segments import ACK, FIN, RST, SYN, Segment
from testbed.engines.simulation.stack import Stack
from testbed.engines.simulation.tcp import TcpConnection
from testbed.engines.simulation.tcp_parts import State
from testbed.engines.simulation.udp import FIRST_PORT, LAST_PORT, problem
from testbed.protocols.wire import Endpoint

LINGER_S = 5.0
"""How long a closed stream still takes in what its peer had under way."""
BACKLOG = 1024
"""Connections of one listener that may be half open; for one more the SYN is lost."""


def _broken(error: OSError) -> ConnectionError:
    """What ends a stream is a ConnectionError, also where a kernel calls it a time-out."""
    if isinstance(error, ConnectionError):
        return error
    return ConnectionAbortedError(error.errno, os.strerror(error.errno or errno.ECONNABORTED))


class TcpStream:
    """One TCP connection.  Fits `testbed.host.Stream`.

    Args:
        connection: its end of it.
        loop: the clock.
    """

    def __init__(self, connection: TcpConnection, loop: SimulationLoop) -> None:
        self.local = connection.local
        self.remote = connection.remote
        self.connection = connection
        connection.changed = self._changed
        self._loop = loop
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._sending = asyncio.Lock()
        self._closed = False

    def _changed(self) -> None:
        for waiter in (self._reader, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    async def open(self) -> None:
        """Connect.

        Raises:
            OSError: refused, unreachable, timed out.
        """
        connection = self.connection
        connection.connect()
        try:
            while connection.state is State.SYN_SENT:
                await self._writable()
        except BaseException:
            connection.vanish()
            raise
        if connection.error is not None:
            number = connection.error.errno or 0
            connection.error = None
            raise OSError(number, f"cannot connect to {self.remote}: {os.strerror(number)}")
        if connection.state is State.CLOSED:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the node lost its power")

    async def receive(self, most_octets: int = 65536) -> bytes:
        """Some octets; b"" when the other side has closed, after which one may still send.

        Raises:
            ConnectionError: reset, or broken.
        """
        incoming = self.connection.incoming
        while True:
            self._require_open()
            if incoming.ready:
                return self.connection.read(most_octets)
            self._raise_error()
            if incoming.has_ended or self.connection.state is State.CLOSED:
                return b""
            assert self._reader is None, "two tasks receive from one stream"
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def send(self, data: bytes) -> None:
        """Send all octets; waits while the other side does not read.

        Raises:
            ConnectionError: reset, or broken.
        """
        view = memoryview(data)
        async with self._sending:
            while view:
                self._require_open()
                self._raise_error()
                if self.connection.state is State.CLOSED or self.connection.finishes:
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
                room = self.connection.room
                if not room:
                    await self._writable()
                    continue
                self.connection.write(view[:room])
                view = view[room:]

    def _raise_error(self) -> None:
        """A connection's error is told once, as a kernel does."""
        error, self.connection.error = self.connection.error, None
        if error is not None:
            raise _broken(error)

    async def _writable(self) -> None:
        self._writer = self._loop.create_future()
        try:
            await self._writer
        finally:
            self._writer = None

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the stream was closed on this side")

    async def finish(self) -> None:
        """Send no more: what was sent goes out, then a FIN; what still comes is received.

        Raises:
            ConnectionError: reset, or broken.
        """
        async with self._sending:
            self._require_open()
            if self.connection.state is State.CLOSED:
                raise _broken(OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN)))
            self.connection.finish()

    async def close(self) -> None:
        """Close in order: what was sent goes out, then a FIN; does not await the other side."""
        async with self._sending:
            if self._closed:
                return
            self._closed = True
            self._changed()
            self.connection.finish()
            self.connection.discard()
            self._loop.call_later(LINGER_S, self.connection.leave)

    def abort(self) -> None:
        """Reset at once."""
        self._closed = True
        self._changed()
        self.connection.abort()

    def vanish(self) -> None:
        """End without FIN or RST, as when the power fails."""
        self._closed = True
        self._changed()
        self.connection.vanish()


class TcpListener:
    """A listening TCP port.  Fits `testbed.host.Listener`.

    Args:
        local: what it is bound to.
        accepted: called with the stream of each connection.
        forget: called once, when it is closed.
    """

    def __init__(
        self,
        local: Endpoint,
        accepted: Callable[[TcpStream], None],
        forget: Callable[[TcpListener], None],
    ) -> None:
        self.local = local
        self.accepted = accepted
        self.half_open: dict[TcpConnection, None] = {}
        self._forget = forget

    def close(self) -> None:
        """Stop listening; connections that are open stay."""
        self._forget(self)
        for connection in list(self.half_open):
            connection.abort()


class TcpEnds:
    """All connections and listeners of one node.

    Args:
        stack: the node's.
        loop: the clock.
        random: of ports and of initial sequence numbers.
    """

    def __init__(self, stack: Stack, loop: SimulationLoop, random: Random) -> None:
        self._stack = stack
        self._loop = loop
        self._random = random
        self._connections: dict[tuple[Endpoint, Endpoint], TcpConnection] = {}
        self._listeners: dict[Endpoint, TcpListener] = {}
        stack.deliver[TCP] = self.take
        stack.reset = self._refuse

    # What the node asks for

    def connection_to(self, remote: Endpoint, local: str | None) -> TcpStream:
        """A stream that is not open yet.

        Raises:
            OSError: there is no way, or the address is not ours.
        """
        if local is not None and not self._stack.is_own(local):
            raise problem(errno.EADDRNOTAVAIL)
        through_tunnel = local is not None and local in self._stack.tunnels.own
        way = "" if through_tunnel else self._stack.source_for(remote.address)
        address = local or way
        while (ends := (Endpoint(address, self._any_port()), remote)) in self._connections:
            pass
        return TcpStream(self._make(*ends), self._loop)

    def _any_port(self) -> int:
        return self._random.randint(FIRST_PORT, LAST_PORT)

    def _make(self, local: Endpoint, remote: Endpoint) -> TcpConnection:
        mtu = self._stack.most_octets(remote.address)
        connection = TcpConnection(
            local,
            remote,
            self._loop,
            self._random.getrandbits(32),
            mtu - IP_HEADER_OCTETS - segments.HEADER_OCTETS,
            self._emit,
            self._gone,
        )
        self._connections[local, remote] = connection
        return connection

    def listen(self, local: Endpoint, accepted: Callable[[TcpStream], None]) -> TcpListener:
        """Accept connections.

        Raises:
            OSError: the port is taken, or the address is not ours.
        """
        if local.address != ANY_ADDRESS and not self._stack.is_own(local.address):
            raise problem(errno.EADDRNOTAVAIL)
        number = local.port or self._any_port()
        for other in self._listeners:
            same = ANY_ADDRESS in (local.address, other.address) or local.address == other.address
            if other.port == number and same:
                raise problem(errno.EADDRINUSE)
        listener = TcpListener(Endpoint(local.address, number), accepted, self._forget)
        self._listeners[listener.local] = listener
        return listener

    def _forget(self, listener: TcpListener) -> None:
        self._listeners.pop(listener.local, None)

    # Segments

    def _emit(self, segment: Segment) -> None:
        packet = Packet(segment.source.address, segment.destination.address, TCP, segment.encode())
        packet.may_be_fragmented = False
        if not self._stack.send(packet):
            self._loop.call_soon(self.heard, packet, errno.ENETUNREACH)

    def heard(self, about: Packet, number: int) -> None:
        """A packet of ours could not be delivered."""
        if about.protocol != TCP or len(about.payload) < 8:
            return
        connection = self._connections.get(about.endpoints())
        if connection is not None:
            connection.unreachable(number)

    def shortened(self, about: Packet, mtu: int) -> None:
        """A packet of ours was too long for a link on its way, which takes so many octets."""
        connection = self._connections.get(about.endpoints()) if about.protocol == TCP else None
        if connection is not None:
            connection.shorten(mtu - IP_HEADER_OCTETS - segments.HEADER_OCTETS)

    def take(self, packet: Packet, interface: NetworkInterface | None, to_all: bool) -> bool:
        """Give a segment to its connection or listener; whether there is one."""
        segment = segments.decode(packet.source, packet.destination, packet.payload)
        connection = self._connections.get((segment.destination, segment.source))
        begins = segment.flags & (SYN | ACK | RST) == SYN
        if connection is not None and begins and connection.state is State.TIME_WAIT:
            connection.vanish()
            connection = None
        if connection is not None:
            connection.take(segment)
            return True
        local = segment.destination
        listener = self._listeners.get(local) or self._listeners.get(
            Endpoint(ANY_ADDRESS, local.port)
        )
        if listener is None or not begins or to_all:
            return False
        if len(listener.half_open) < BACKLOG:
            self._begin(listener, segment)
        return True

    def _begin(self, listener: TcpListener, segment: Segment) -> None:
        connection = self._make(segment.destination, segment.source)
        listener.half_open[connection] = None

        def changed() -> None:
            if connection.state is State.SYN_RECEIVED:
                return
            listener.half_open.pop(connection, None)
            if connection.state is State.OPEN:
                listener.accepted(TcpStream(connection, self._loop))

        connection.changed = changed
        connection.accept(segment)

    def _gone(self, connection: TcpConnection) -> None:
        self._connections.pop((connection.local, connection.remote), None)

    def _refuse(self, packet: Packet) -> None:
        """A segment for no connection is answered by a reset (RFC 9293, 3.10.7.1)."""
        segment = segments.decode(packet.source, packet.destination, packet.payload)
        if segment.flags & RST:
            return
        sequence, acknowledgement, flags = segment.acknowledgement, 0, RST
        if not segment.flags & ACK:
            length = len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
            sequence, flags = 0, RST | ACK
            acknowledgement = (segment.sequence + length) & 0xFFFFFFFF
        self._emit(
            Segment(segment.destination, segment.source, sequence, acknowledgement, flags, 0)
        )

    def break_streams(self, address: str) -> None:
        """The node has that address no more: its connections end, without a word."""
        for connection in list(self._connections.values()):
            if connection.local.address == address:
                connection.vanish()

    # Power

    def vanish(self) -> None:
        """All ends without a word."""
        self._listeners.clear()
        for connection in list(self._connections.values()):
            connection.vanish()
