"""The relay as a process of its own, beside the one that holds the roles.

A thread would share Python's lock with the roles, and a frame would wait for it up to 5 ms.  The
process is a fork, so that it is there in milliseconds; it dies with whoever made it.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import os
import signal
import socket
import struct
import traceback
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.ports import enlarge_receive_buffer
from testbed.engines.emulation.relay import Relay, RelayedLink
from testbed.errors import LocalError

_BUFFER_OCTETS = 8 << 20
_TOLD_MOST = 1 << 20
# linux/prctl.h, linux/if_ether.h, linux/if_packet.h
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_ALL_PROTOCOLS = 3
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 263, 6, 20, 23
_libc = ctypes.CDLL(None, use_errno=True)


def port_socket(namespace: Namespace, interface: str) -> socket.socket:
    """A socket that gives and takes the frames of an interface, past the kernel's own stack."""
    packets = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
    enlarge_receive_buffer(packets, _BUFFER_OCTETS)
    packets.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    packets.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
    packets.bind((interface, _ALL_PROTOCOLS))
    return packets


class RelayProcess:
    """A relay that runs.

    Args:
        links: what it carries, with their ports; their sockets are the process's from now on.

    Attributes:
        pid: of the process.
    """

    def __init__(self, links: Sequence[RelayedLink]) -> None:
        self._told: dict[str, dict[str, int]] | None = None
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._control, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _TOLD_MOST)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _work(links, theirs, parent)
        theirs.close()
        for link in links:
            for port in link.ports:
                port.wire.close()

    def fileno(self) -> int:
        """Of a descriptor that is readable when it has ended by itself, which it must not."""
        return self._control.fileno()

    @property
    def has_ended(self) -> bool:
        """Whether it was ended, or seen to have ended."""
        return self._told is not None

    def finish(self) -> Mapping[str, Mapping[str, int]]:
        """End it; gives what became of the frames, by link and name of the count.

        Raises:
            LocalError: it has ended by itself, by an error or killed.
        """
        if self._told is None:
            with suppress(OSError):
                self._control.send(b"end")
            try:
                answer = self._control.recv(_TOLD_MOST)
            except ConnectionResetError:
                answer = b""
            self._control.close()
            _, status = os.waitpid(self.pid, 0)
            self._told = {}
            told = json.loads(answer) if answer else f"its process ended with status {status}"
            if isinstance(told, str):
                raise LocalError(f"the relay of the links failed: {told}")
            self._told.update(told)
        return self._told

    def kill(self) -> None:
        """End it at once."""
        if self._told is None:
            self._told = {}
            self._control.close()
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _work(links: Sequence[RelayedLink], control: socket.socket, parent: int) -> None:
    """The life of the process; never returns."""
    status = 1
    try:
        _settle(
            parent, {control.fileno(), *(p.wire.fileno() for each in links for p in each.ports)}
        )
        Relay(links, control).run()
        control.recv(_TOLD_MOST)  # or the answer would be lost with what was not read
        control.send(json.dumps({link.name: _counted(link) for link in links}).encode())
        status = 0
    except BaseException:
        with suppress(OSError):
            words = traceback.format_exc().strip().splitlines()[-1]
            control.send(json.dumps(words).encode())
    finally:
        os._exit(status)


def _settle(parent: int, kept: Collection[int]) -> None:
    """Die with the parent, hear no Ctrl-C, hold nothing of it but the sockets, wake in time."""
    gc.disable()  # nothing here makes cycles, and what the parent left must not be touched
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    _libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _counted(link: RelayedLink) -> dict[str, int]:
    for port in link.ports:
        # What did not fit the socket's buffer is a loss that no quality asks for.
        statistics = port.wire.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        link.counts.spoilt += struct.unpack("=II", statistics)[1]
    return dataclasses.asdict(link.counts)
