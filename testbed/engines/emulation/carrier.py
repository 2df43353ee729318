"""Watches whether the links of a namespace are up, by the kernel's own messages."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.rtnetlink import read_attributes

# linux/netlink.h, linux/rtnetlink.h, linux/if.h, linux/if_link.h
_GROUP_LINK = 1
_NEW_LINK = 16
_GET_LINK = 18
_REQUEST, _DUMP = 1, 0x300
_RUNNING, _LOWER_UP = 0x40, 0x10000
_LINK_NAME = 3


class CarrierWatch:
    """Tells each change between up and down of each interface, in the kernel's order.

    Up means that frames pass: carrier is there and the kernel has its queue open.  The kernel tells
    at once that a link came up, and within a second that it went down (its link watch collects what
    is not urgent).

    Args:
        namespace: whose interfaces.
        changed: called with (interface, up).
    """

    def __init__(self, namespace: Namespace, changed: Callable[[str, bool], None]) -> None:
        self._changed = changed
        self._up: dict[str, bool] = {}
        self._sequence = 0
        self._socket = namespace.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _GROUP_LINK))
        self._loop = asyncio.get_running_loop()
        self._ask_all()
        for data in self._datagrams():
            for interface, up in _states(data):
                self._up[interface] = up
        self._loop.add_reader(self._socket, self._readable)

    def is_up(self, interface: str) -> bool:
        """Whether it is up by what has been told: what comes later is a change that will be told.

        To ask the kernel anew would see some changes twice, here and by `changed`.
        """
        return self._up.get(interface, False)

    def _ask_all(self) -> None:
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        self._socket.send(struct.pack("=IHHII", 32, _GET_LINK, _REQUEST | _DUMP, 0, 0) + body)

    def _datagrams(self) -> list[bytes]:
        """All that the kernel has for us now; it answers a question before `send` returns."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(1 << 18))
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._ask_all()  # messages were lost: the answer has how things are now

    def _readable(self) -> None:
        for data in self._datagrams():
            for interface, up in _states(data):
                before = self._up.get(interface, False)
                self._up[interface] = up
                if up != before:
                    self._changed(interface, up)
                if self._socket.fileno() < 0:
                    return

    def close(self) -> None:
        """Watch no more."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()


def _states(data: bytes) -> list[tuple[str, bool]]:
    """(interface, up) of each link message in a datagram of the kernel's."""
    found = []
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if kind == _NEW_LINK:
            flags = struct.unpack_from("=I", data, offset + 24)[0]
            attributes = read_attributes(data[: offset + length], offset + 32)
            name = attributes.get(_LINK_NAME, b"").rstrip(b"\0").decode()
            up = bool(flags & _RUNNING) and bool(flags & _LOWER_UP)
            found.append((name, up))
        offset += max(16, length + 3 & ~3)
    return found
