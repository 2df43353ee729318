"""The streams of a node: opened, accepted, protected by TLS, and known until they end."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.ports import family_of
from testbed.engines.emulation.streams import TcpListener, TcpStream
from testbed.engines.handshakes import Handshakes
from testbed.engines.life import Life
from testbed.engines.tls import Tap, TlsStream
from testbed.engines.tls_policy import TlsContexts
from testbed.host import Listener, Stream, StreamHandler, TlsProfile
from testbed.protocols.wire import Endpoint

_BACKLOG = 128
Taps = Callable[[str, Endpoint, Endpoint, bool], Tap | None]
"""Called with node, local and remote end of a TLS stream and whether the node has connected it;
gives who is told its clear octets."""


class StreamEnds(Life):
    """What of a host has to do with streams."""

    namespace: Namespace
    _contexts: TlsContexts
    _taps: Taps | None
    _streams: dict[TcpStream, None]
    _listeners: dict[TcpListener, None]

    async def connect(
        self, remote: Endpoint, tls: TlsProfile | None = None, local: str | None = None
    ) -> Stream:
        """Open a stream.

        Raises:
            TlsRefused: the handshake failed; nothing of the application was sent.
            OSError: refused, unreachable, timed out.
        """
        self.require_power()
        family = family_of(remote.address)
        if local is not None:
            family_of(local)
        stream = self._stream(
            self.namespace.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        )
        await stream.open(remote, local)
        if tls is None:
            return stream
        return await self._protect(stream, tls, server_side=False)

    async def _protect(self, below: TcpStream, tls: TlsProfile, server_side: bool) -> TlsStream:
        tap = None
        if self._taps is not None:
            tap = self._taps(self.name, below.local, below.remote, not server_side)
        return await TlsStream.open(below, tls, server_side, self._contexts, tap)

    async def listen(
        self, local: Endpoint, handler: StreamHandler, tls: TlsProfile | None = None
    ) -> Listener:
        """Accept streams; `handler` runs in a task of its own for each.

        The stream is closed when its handler ends.  A handler's exception is the role's crash, but
        for `ConnectionError`, which is its peer's doing; that and a failed TLS handshake are told
        as events.

        Raises:
            OSError: the port is taken, the address is not ours, or the node has no power.
            LocalError: `tls` has no identity, or one that cannot be used.
        """
        self.require_power()
        if tls is not None:
            self._contexts.context(tls, server_side=True)
        family = family_of(local.address)
        listening = self.namespace.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((local.address, local.port))
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise

        handshakes = None
        if tls is not None:
            protect = functools.partial(self._protect, tls=tls, server_side=True)
            handshakes = Handshakes(protect, self.tell)

        def accepted(tcp: socket.socket) -> None:
            stream = self._stream(tcp)
            try:
                stream.name_ends()
            except OSError:
                stream.abort()  # reset between the kernel's accept and ours
                return
            self.spawn(self._serve(stream, handler, handshakes), f"serves {stream.remote}")

        def refused(error: OSError) -> None:
            self.tell("ACCEPT_FAILED", local=str(listener.local), reason=str(error))

        listener = TcpListener(listening, accepted, refused, self._forget_listener)
        self._listeners[listener] = None
        return listener

    def _stream(self, tcp: socket.socket) -> TcpStream:
        stream = TcpStream(tcp, self._forget_stream)
        self._streams[stream] = None
        return stream

    def _forget_stream(self, stream: TcpStream) -> None:
        self._streams.pop(stream, None)

    def _forget_listener(self, listener: TcpListener) -> None:
        self._listeners.pop(listener, None)

    def break_streams(self, address: str) -> None:
        """The node has that address no more: its streams end, without a word."""
        for stream in list(self._streams):
            if stream.is_connected and stream.local.address == address:
                stream.vanish()
