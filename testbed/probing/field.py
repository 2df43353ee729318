"""A NAT in the field under probe: a server of ours beyond it, and a host of ours behind it.

The server says over TCP from where it has seen a datagram, and sends one where it is asked to; so
nothing passes a binding under probe but what the probe means to pass it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.engines.emulation.nat_ground import IP_RECVERR, REJECTED
from testbed.errors import BadInput, LocalError
from testbed.nat.ground import Places
from testbed.protocols.wire import Endpoint

PORT = 3478
"""UDP is served here and at the next port, the questions about it here over TCP."""
WAIT_S = 0.4
"""What has not come by then was not let through."""
_MAGIC = b"hnb-nat-probe"
_TOKEN_OCTETS, _NUMBER_OCTETS = 8, 6
_FIRST_PORT = 42_000
_RECEIVE_OCTETS = 2048
_CONNECT_S = 10.0


def _mark(token: bytes, number: int) -> bytes:
    return _MAGIC + token + b"%06d" % number


# Beyond the NAT


@dataclass
class _Session:
    """One who asks, and what was seen of it.

    Attributes:
        control: its connection.
        token: in all its datagrams.
        seen: sources by number and by the endpoint that was sent to.
        text: what it has said and what is no whole line yet.
        waiting: the number that it asks for, and until when.
    """

    control: socket.socket
    token: bytes = field(default_factory=lambda: secrets.token_bytes(_TOKEN_OCTETS))
    seen: dict[int, Endpoint] = field(default_factory=dict)
    text: bytes = b""
    waiting: tuple[int, float] | None = None

    def tell(self, what: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # whoever has gone is noticed when it is read from
            self.control.sendall(json.dumps(what).encode() + b"\n")


class ProbeServer:
    """The server beyond the NAT.

    It sends only to addresses from which the same asker's datagrams have come: it is nobody's
    means to send to others.

    Args:
        addresses: one or two of this machine's.
        port: of UDP and of the questions.

    Raises:
        BadInput: they cannot be bound.
    """

    def __init__(self, addresses: Sequence[str], port: int = PORT) -> None:
        self._ports: dict[Endpoint, socket.socket] = {}
        self._sessions: dict[int, _Session] = {}
        try:
            for address in addresses:
                for each in (port, port + 1):
                    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    self._ports[Endpoint(address, each)] = made
                    made.bind((address, each))
                    made.setblocking(False)
            self._listening = socket.create_server((addresses[0], port))
        except OSError as error:
            self.close()
            raise BadInput(
                f"the probe's server cannot serve at {', '.join(addresses)}, port {port}: "
                f"{error.strerror}"
            ) from error

    def serve(self) -> None:
        """Serve until an exception ends it."""
        while True:
            self.serve_once(None)

    def serve_once(self, within_s: float | None) -> None:
        """Wait for something, and serve it."""
        waits = [each.waiting[1] for each in self._sessions.values() if each.waiting is not None]
        if waits:
            soonest_s = max(0.0, min(waits) - time.monotonic())
            within_s = soonest_s if within_s is None else min(within_s, soonest_s)
        readable: list[Any] = [
            self._listening,
            *self._ports.values(),
            *(each.control for each in self._sessions.values()),
        ]
        for ready in select.select(readable, [], [], within_s)[0]:
            if ready is self._listening:
                self._welcome()
            elif ready.fileno() in self._sessions:
                self._read(self._sessions[ready.fileno()])
            else:
                self._take(ready)
        for session in list(self._sessions.values()):
            self._answer(session)

    def close(self) -> None:
        """Serve no more."""
        for each in self._ports.values():
            each.close()
        for session in self._sessions.values():
            session.control.close()
        if hasattr(self, "_listening"):
            self._listening.close()

    def _welcome(self) -> None:
        control, _ = self._listening.accept()
        session = self._sessions[control.fileno()] = _Session(control)
        remotes = [[each.address, each.port] for each in self._ports]
        session.tell({"token": session.token.hex(), "remotes": remotes})

    def _read(self, session: _Session) -> None:
        try:
            data = session.control.recv(_RECEIVE_OCTETS)
        except OSError:
            data = b""
        if not data:
            del self._sessions[session.control.fileno()]
            session.control.close()
            return
        *lines, session.text = (session.text + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # not one of ours
                self._do(session, json.loads(line))

    def _do(self, session: _Session, asked: dict[str, Any]) -> None:
        if "seen" in asked:
            session.waiting = (int(asked["seen"]), time.monotonic() + WAIT_S)
            return
        target = Endpoint(asked["to"][0], int(asked["to"][1]))
        port = self._ports[Endpoint(asked["from"][0], int(asked["from"][1]))]
        known = {each.address for each in session.seen.values()}
        if target.address in known:
            with contextlib.suppress(OSError):  # an ICMP error about an earlier one
                data = _mark(session.token, int(asked["send"]))
                port.sendto(data, (target.address, target.port))
        session.tell({"sent": target.address in known})

    def _take(self, port: socket.socket) -> None:
        try:
            data, (address, number) = port.recvfrom(_RECEIVE_OCTETS)
        except OSError:  # an ICMP error about what this socket sent
            return
        start = data.rfind(_MAGIC) + len(_MAGIC)
        token, count = data[start : start + _TOKEN_OCTETS], data[start + _TOKEN_OCTETS :]
        for session in self._sessions.values():
            if session.token == token and count.isdigit():
                session.seen[int(count)] = Endpoint(address, number)

    def _answer(self, session: _Session) -> None:
        if session.waiting is None:
            return
        number, until = session.waiting
        source = session.seen.get(number)
        if source is not None or time.monotonic() >= until:
            session.waiting = None
            session.tell({"source": source and [source.address, source.port]})


# Behind the NAT


class FieldGround:
    """A NAT in the field, from a host behind it.

    Args:
        interface: by which it is reached.
        addresses: of that interface; a second one is the neighbour.
        server: the address of a `ProbeServer`.
        port: its port.

    Raises:
        LocalError: the server does not answer.
    """

    def __init__(
        self, interface: str, addresses: Sequence[str], server: str, port: int = PORT
    ) -> None:
        self._interface = interface
        self._sockets: dict[Endpoint, socket.socket] = {}
        self._number = 0
        self._rejected = False
        self._sent = self.now()
        self._text = b""
        self._control = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._bind_to_interface(self._control)
            self._control.settimeout(_CONNECT_S)
            self._control.bind((addresses[0], 0))
            self._control.connect((server, port))
            hello = self._hear()
            self._token = bytes.fromhex(hello["token"])
            remotes = [Endpoint(address, int(number)) for address, number in hello["remotes"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.close()
            raise LocalError(
                f"no probe server answers at {server}, port {port}, by {interface}: {error}; "
                "start one there with `testbed probe-nat --serve ADDRESS`"
            ) from error
        self.places = Places(
            addresses[0],
            addresses[-1],
            _FIRST_PORT,
            remotes[0],
            remotes[1],
            remotes[2] if len(remotes) > 2 else None,
        )

    def outbound(self, inside: Endpoint, remote: Endpoint, payload: bytes = b"") -> Endpoint | None:
        """Send from inside; the source that the remote sees, None: it sees nothing."""
        number = self._send(inside, remote, payload)
        source = self._ask({"seen": number})["source"]
        self._hear_errors(inside)
        return source and Endpoint(source[0], int(source[1]))

    def inbound(self, remote: Endpoint, outside: Endpoint, insides: Sequence[Endpoint]) -> bool:
        """Send from outside; whether one of the insides gets it."""
        for each in insides:
            self._socket(each)
        self._number += 1
        self._ask(
            {
                "send": self._number,
                "from": [remote.address, remote.port],
                "to": [outside.address, outside.port],
            }
        )
        self._sent = self.now()
        return self._comes(self._number, insides) is not None

    def sent(self) -> float:
        """When what was last sent from outside was on its way, at the latest."""
        return self._sent

    def hairpin(self, inside: Endpoint, outside: Endpoint, target: Endpoint) -> Endpoint | None:
        """Send from inside to an outside endpoint; the source that the target sees."""
        self._socket(target)
        return self._comes(self._send(inside, outside), [target])

    def was_rejected(self) -> bool:
        """Whether a packet that the remote did not see was refused by ICMP."""
        return self._rejected

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def wait_until(self, when: float) -> None:
        """Let time pass: lifetimes are made of it."""
        time.sleep(max(0.0, when - self.now()))

    def close(self) -> None:
        """Give everything back."""
        self._control.close()
        for each in self._sockets.values():
            each.close()

    def _bind_to_interface(self, made: socket.socket) -> None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode() + b"\0")

    def _socket(self, local: Endpoint) -> socket.socket:
        if local not in self._sockets:
            made = self._sockets[local] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._bind_to_interface(made)
            made.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            made.setblocking(False)
            try:
                made.bind((local.address, local.port))
            except OSError as error:
                raise LocalError(
                    f"the probe needs UDP port {local.port} of {local.address}: {error.strerror}"
                ) from error
        return self._sockets[local]

    def _send(self, source: Endpoint, destination: Endpoint, payload: bytes = b"") -> int:
        self._number += 1
        data = payload + _mark(self._token, self._number)
        port = self._socket(source)
        for _ in range(2):
            try:
                port.sendto(data, (destination.address, destination.port))
                break
            except OSError as error:  # an ICMP error about an earlier one
                self._rejected |= error.errno in REJECTED
        return self._number

    def _hear_errors(self, inside: Endpoint) -> None:
        """Whether ICMP has refused what was sent."""
        found = self._sockets[inside].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._rejected |= found in REJECTED

    def _comes(self, number: int, at: Sequence[Endpoint]) -> Endpoint | None:
        """Wait for that datagram; gives its source."""
        wanted, until = _mark(self._token, number), self.now() + WAIT_S
        ports = [self._socket(each) for each in at]
        while ready := select.select(ports, [], [], max(0.0, until - self.now()))[0]:
            for port in ready:
                try:
                    data, (address, source) = port.recvfrom(_RECEIVE_OCTETS)
                except OSError as error:
                    if error.errno != errno.EAGAIN:
                        self._rejected |= error.errno in REJECTED
                    continue
                if data == wanted:
                    return Endpoint(address, source)
        return None

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        try:
            self._control.sendall(json.dumps(what).encode() + b"\n")
            return self._hear()
        except (OSError, ValueError) as error:
            raise LocalError(f"the probe's server does not answer any more: {error}") from error

    def _hear(self) -> dict[str, Any]:
        while b"\n" not in self._text:
            data = self._control.recv(_RECEIVE_OCTETS)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "it has closed the connection")
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told
