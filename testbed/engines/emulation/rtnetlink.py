"""The kernel's route netlink as a wire: attributes, requests in batches, answers, refusals.

Knows messages and their numbers, and nothing of what they mean.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from testbed.engines.emulation.namespace import Namespace
from testbed.errors import LocalError

# linux/netlink.h
REPLACE, EXCLUSIVE, CREATE, DUMP = 0x100, 0x200, 0x400, 0x300
_REQUEST, _ACKNOWLEDGE = 1, 4
_ERROR, _DONE = 2, 3
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT_CHECK = 270, 10, 11, 12

_BATCH_MOST = 64
"""Requests in one send: their answers must fit the socket's buffer even if all are errors."""


class NetlinkError(LocalError, OSError):
    """The kernel refused a request; `errno` says why, the text says whose and what."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(number, text)
        self.errno = number
        self._text = text

    def __str__(self) -> str:
        return self._text


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four octets; its value may be attributes again."""
    length = len(value) + 4
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def text_attribute(kind: int, value: str) -> bytes:
    """An attribute that holds a name, closed by a zero octet."""
    return attribute(kind, value.encode() + b"\0")


def number_attribute(kind: int, value: int) -> bytes:
    """An attribute that holds 32 bits in the machine's order."""
    return attribute(kind, struct.pack("=I", value))


def read_attributes(data: bytes, offset: int) -> dict[int, bytes]:
    """The attributes from `offset` on, by type; the flags in the type's upper bits are left off."""
    found: dict[int, bytes] = {}
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += length + 3 & ~3
    return found


class RouteSocket:
    """A netlink socket in a namespace, and the requests that wait for being sent on it.

    Threads may share it; a batch keeps the others waiting until it is sent.

    Args:
        namespace: where the socket is born.
        protocol: which part of the kernel it speaks with.
    """

    def __init__(self, namespace: Namespace, protocol: int = socket.NETLINK_ROUTE) -> None:
        self.namespace = namespace
        self._socket = namespace.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        for option in (_CAP_ACK, _EXT_ACK, _STRICT_CHECK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._lock = threading.RLock()
        self._sequence = 0
        self._pending: list[tuple[int, int, bytes, str]] = []
        self._refused: NetlinkError | None = None
        self._depth = 0
        self._makes_names = False

    def close(self) -> None:
        """Give the socket back; the namespace stays open."""
        self._socket.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect the requests of the block and send them together.

        Questions (`index`, `links`, ...) inside the block send first what was collected.

        Raises:
            NetlinkError: the first request that the kernel refused; the others were done.
        """
        with self._lock:
            self._depth += 1
            try:
                yield
            except BaseException:
                self._pending.clear()
                self._refused = None
                raise
            finally:
                self._depth -= 1
            if not self._depth:
                self.flush()

    def flush(self) -> None:
        """Send what a batch has collected so far.

        Raises:
            NetlinkError: outside a batch, the first refusal since the last call; a batch that is
                still open raises it at its end.
        """
        pending, self._pending = self._pending, []
        self._makes_names = False
        for start in range(0, len(pending), _BATCH_MOST):
            refused = self._exchange(pending[start : start + _BATCH_MOST])
            self._refused = self._refused or refused
        if self._refused is not None and not self._depth:
            refused, self._refused = self._refused, None
            raise refused

    def request(self, kind: int, flags: int, body: bytes, subject: str) -> None:
        """Have the kernel do something; in a batch, with the others.

        Args:
            kind: number of the message.
            flags: of its header.
            body: what follows its header.
            subject: what it is about, for the error: "set eth0 up".

        Raises:
            NetlinkError: it refused; inside a batch, at the batch's end.
        """
        self._ask(kind, flags, body, subject)

    def _ask(self, kind: int, flags: int, body: bytes, subject: str) -> None:
        with self._lock:
            self._pending.append((kind, flags | _REQUEST, body, subject))
            if not self._depth:
                self.flush()

    def _exchange(self, requests: list[tuple[int, int, bytes, str]]) -> NetlinkError | None:
        """Send the requests; only the last is acknowledged, every refusal is told."""
        first, last = self._sequence + 1, self._sequence + len(requests)
        messages = []
        for kind, flags, body, _ in requests:
            self._sequence += 1
            if self._sequence == last:
                flags |= _ACKNOWLEDGE
            header = struct.pack("=IHHII", 16 + len(body), kind, flags, self._sequence, 0)
            messages.append(header + body)
        self._socket.send(b"".join(messages))
        refused: NetlinkError | None = None
        while True:
            for answer, sequence, data in self._receive():
                if answer != _ERROR or sequence < first:
                    continue
                number = -struct.unpack_from("=i", data)[0]
                if number and refused is None:
                    refused = self._refusal(number, requests[sequence - first][3], data)
                if sequence == last:
                    return refused

    def _dump(
        self, kind: int, body: bytes, flags: int = DUMP, subject: str = "list"
    ) -> list[bytes]:
        """The answers to a question, headers left off."""
        with self._lock:
            self.flush()
            self._sequence += 1
            header = struct.pack(
                "=IHHII", 16 + len(body), kind, flags | _REQUEST, self._sequence, 0
            )
            self._socket.send(header + body)
            found: list[bytes] = []
            while True:
                for answer, sequence, data in self._receive():
                    if sequence != self._sequence:
                        continue
                    if answer == _ERROR:
                        raise self._refusal(-struct.unpack_from("=i", data)[0], subject, data)
                    if answer == _DONE:
                        return found
                    found.append(data)
                    if flags != DUMP:
                        return found

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, sequence, body) of each message of the next datagram from the kernel."""
        data = self._socket.recv(1 << 18)
        offset = 0
        while offset + 16 <= len(data):
            length, kind, _, sequence = struct.unpack_from("=IHHI", data, offset)
            yield kind, sequence, data[offset + 16 : offset + length]
            offset += length + 3 & ~3

    def _refusal(self, number: int, subject: str, data: bytes) -> NetlinkError:
        # struct nlmsgerr is the error and the refused header; the kernel's own words follow it.
        words = read_attributes(data, 20).get(1, b"").rstrip(b"\0").decode(errors="replace")
        reason = f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
        text = f"{self.namespace.name}: cannot {subject}: {reason}"
        return NetlinkError(number, f"{text}: {words}" if words else text)

    def _control(self, request: int, argument: bytes, subject: str) -> bytes:
        with self._lock:
            if self._makes_names:
                self.flush()
        try:
            return fcntl.ioctl(self._socket, request, argument)
        except OSError as error:
            raise self._refusal(error.errno or 0, subject, b"") from None
