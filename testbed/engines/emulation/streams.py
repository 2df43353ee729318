"""TCP streams and listeners of an emulated node, on sockets that were born in its namespace.

Sockets are driven here, not by asyncio's transports, because a stream must be able to end in three
ways: in order, by reset, and without a word, as when its node loses power.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from testbed.engines.emulation.ports import AT_A_TIME
from testbed.protocols.wire import Endpoint

LINGER_S = 5.0
"""How long a closed stream still takes in what its peer had under way.

A socket closed over unread octets sends a reset, which may destroy the answer that went before it
(RFC 1122 clause 4.2.2.13).
"""

ACCEPTS_AGAIN_AFTER_S = 0.1
"""How long a listener rests when a connection could not be accepted; the kernel keeps it.

The reason, mostly too many open files, does not go by asking at once again.
"""

_TCP_REPAIR = 19
_IP_BIND_ADDRESS_NO_PORT = 24


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _broken(error: OSError) -> ConnectionError:
    """What ends a stream is a ConnectionError, also where the kernel calls it a time-out."""
    if isinstance(error, ConnectionError):
        return error
    return ConnectionAbortedError(error.errno, os.strerror(error.errno or errno.ECONNABORTED))


class TcpStream:
    """One TCP connection.  Fits `testbed.host.Stream`.

    Args:
        tcp: its socket, non-blocking; owned from now on.
        forget: called once, when the socket is closed.
    """

    local: Endpoint
    remote: Endpoint

    def __init__(self, tcp: socket.socket, forget: Callable[[TcpStream], None]) -> None:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = tcp
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._sending = asyncio.Lock()
        self._closed = False
        self._linger: asyncio.TimerHandle | None = None

    async def open(self, remote: Endpoint, local: str | None) -> None:
        """Connect; the kernel's own time-out applies (about two minutes without any answer).

        Raises:
            OSError: refused, unreachable, timed out.
        """
        try:
            if local is not None:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                self._socket.bind((local, 0))
            number = self._socket.connect_ex((remote.address, remote.port))
            if number == errno.EINPROGRESS:
                await self._writable()
                number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, f"cannot connect to {remote}: {os.strerror(number)}")
            self.name_ends()
        except BaseException:
            self._drop()
            raise

    @property
    def is_connected(self) -> bool:
        """Whether it has both ends, or has had them."""
        return hasattr(self, "remote")

    def name_ends(self) -> None:
        """Learn both ends' addresses from the connected socket."""
        self.local = Endpoint(*self._socket.getsockname()[:2])
        self.remote = Endpoint(*self._socket.getpeername()[:2])

    async def receive(self, most_octets: int = 65536) -> bytes:
        """Some octets; b"" when the other side has closed, after which one may still send.

        Raises:
            ConnectionError: reset, or broken.
        """
        while True:
            self._require_open()
            try:
                return self._socket.recv(most_octets)
            except BlockingIOError:
                await self._readable()
            except OSError as error:
                raise _broken(error) from None

    async def send(self, data: bytes) -> None:
        """Send all octets; waits while the other side does not read.

        Raises:
            ConnectionError: reset, or broken.
        """
        view = memoryview(data)
        async with self._sending:
            while view:
                self._require_open()
                try:
                    view = view[self._socket.send(view) :]
                except BlockingIOError:
                    await self._writable()
                except OSError as error:
                    raise _broken(error) from None

    async def finish(self) -> None:
        """Send no more: what was sent goes out, then a FIN; what still comes is received.

        Raises:
            ConnectionError: reset, or broken.
        """
        async with self._sending:
            self._require_open()
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise _broken(error) from None

    async def close(self) -> None:
        """Close in order: what was sent goes out, then a FIN; does not await the other side."""
        async with self._sending:
            if self._closed:
                return
            self._closed = True
            self._end_waits()
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self._drop()  # reset by the other side: nothing is left to close in order
                return
            self._loop.add_reader(self._socket, self._discard)
            self._linger = self._loop.call_later(LINGER_S, self._drop)

    def abort(self) -> None:
        """Reset at once."""
        if self._socket.fileno() >= 0:
            at_once = struct.pack("=ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self._drop()

    def vanish(self) -> None:
        """End without FIN or RST, as when the power fails.

        A socket in repair mode is taken from its kernel in silence; without it the kernel would go
        on repeating a FIN, and send it when the node's interfaces are up again.
        """
        if self._socket.fileno() >= 0:
            with suppress(OSError):  # not connected: it has nothing to say
                self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        self._drop()

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the stream was closed on this side")

    async def _readable(self) -> None:
        assert self._reader is None, "two tasks receive from one stream"
        self._reader = waiter = self._loop.create_future()
        self._loop.add_reader(self._socket, _wake, waiter)
        try:
            await waiter
        finally:
            self._reader = None
            if not self._closed:
                self._loop.remove_reader(self._socket)

    async def _writable(self) -> None:
        self._writer = waiter = self._loop.create_future()
        self._loop.add_writer(self._socket, _wake, waiter)
        try:
            await waiter
        finally:
            self._writer = None
            if not self._closed:
                self._loop.remove_writer(self._socket)

    def _end_waits(self) -> None:
        """Let go of the loop and of whoever waits; they find the stream closed."""
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        for waiter in (self._reader, self._writer):
            if waiter is not None:
                _wake(waiter)

    def _discard(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                if not self._socket.recv(65536):
                    break
            except BlockingIOError:
                return
            except OSError:
                break
        else:
            return
        self._drop()

    def _drop(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._closed = True
        if self._linger is not None:
            self._linger.cancel()
        self._end_waits()
        self._socket.close()
        self._forget(self)


class TcpListener:
    """A listening TCP port.  Fits `testbed.host.Listener`.

    Args:
        listening: its socket, non-blocking; owned from now on.
        accepted: called with the socket of each connection.
        refused: called with the reason when a connection could not be accepted.
        forget: called once, when the socket is closed.
    """

    def __init__(
        self,
        listening: socket.socket,
        accepted: Callable[[socket.socket], None],
        refused: Callable[[OSError], None],
        forget: Callable[[TcpListener], None],
    ) -> None:
        self.local = Endpoint(*listening.getsockname()[:2])
        self._socket = listening
        self._accepted = accepted
        self._refused = refused
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self._rest = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                tcp, _ = self._socket.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # gone again before we looked
            except OSError as error:
                self._loop.remove_reader(self._socket)
                self._rest = self._loop.call_later(ACCEPTS_AGAIN_AFTER_S, self._begin)
                self._refused(error)
                return
            tcp.setblocking(False)
            self._accepted(tcp)
            if self._socket.fileno() < 0:
                return

    def close(self) -> None:
        """Stop listening; connections that are open stay."""
        if self._socket.fileno() < 0:
            return
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._forget(self)
