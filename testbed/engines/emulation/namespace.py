"""A network namespace, held by a descriptor, and the way in and out of it.

A socket belongs to the namespace that it was born in; so one process holds the sockets of every
node. Between enter and exit only synchronous calls may stand: no await, no new thread (it would
stay inside), no name look-up.
"""

from __future__ import annotations

import ctypes
import os
import socket
from types import TracebackType

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: int) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


class Namespace:
    """One network namespace.

    Args:
        descriptor: an open descriptor of the namespace; owned from now on.
        name: whose it is, for messages.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        self._outer: list[int] = []

    @classmethod
    def current(cls, name: str) -> Namespace:
        """The namespace that this thread is in."""
        return cls(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), name)

    @classmethod
    def create(cls, name: str) -> Namespace:
        """A new, empty namespace; this thread stays where it is.

        Raises:
            OSError: the kernel refuses (too many namespaces, or not allowed).
        """
        here = cls.current("here")
        try:
            _call("unshare", CLONE_NEWNET)
            made = cls.current(name)
            _call("setns", here.descriptor, CLONE_NEWNET)
        finally:
            here.close()
        return made

    @property
    def path(self) -> str:
        """A path that names the namespace for other programs (`nsenter --net=PATH`)."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def __enter__(self) -> Namespace:
        self._outer.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        _call("setns", self.descriptor, CLONE_NEWNET)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        outer = self._outer.pop()
        try:
            _call("setns", outer, CLONE_NEWNET)
        finally:
            os.close(outer)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket born in this namespace; nobody needs a right to have one where he is already."""
        if os.path.samestat(os.fstat(self.descriptor), os.stat("/proc/thread-self/ns/net")):
            return socket.socket(family, kind, protocol)
        with self:
            return socket.socket(family, kind, protocol)

    def close(self) -> None:
        """Let go of the namespace; the kernel removes it when nobody holds it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
