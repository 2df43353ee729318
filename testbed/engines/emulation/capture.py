"""The capture of a whole network: what each node put on each link, in the order of time.

One packet socket per namespace, bound to no interface, so that interfaces which appear later (a
tunnel's) are seen from their first frame.  Every frame on a link is seen by its sender's socket as
outgoing and by its receiver's as incoming: the outgoing one is the record, the incoming one only
proves that it arrived.

Order.  The kernel stamps a frame and queues it on the sender's socket before the frame leaves; but
sockets are read one after the other, so what is read is not in order across them.  Frames are
therefore held back for one or two periods of `HOLD_S` and then given out sorted by the kernel's
stamp.  What was read before one timer is given out at the next, after all sockets have been read
again: a frame can be out of order only if the kernel took longer than that between stamping and
queueing it (`late` counts those).
"""

from __future__ import annotations

import asyncio
import heapq
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.ports import attach_filter, close_aside, enlarge_receive_buffer
from testbed.errors import LocalError
from testbed.trace.record import Frame

HOLD_S = 0.002
BUFFER_OCTETS = 32 << 20
"""Memory is taken only while frames wait to be read."""
_READ_MOST = 65536 + 64

# asm-generic/socket.h, linux/if_packet.h, linux/if_ether.h, linux/if_arp.h
_SO_TIMESTAMPNS = 35
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_ALL_PROTOCOLS = 3
_ETHERNET, _LOOPBACK = 1, 772
LINK_TYPE_ETHERNET, LINK_TYPE_RAW_IP = 1, 101
_ARRIVED = frozenset({socket.PACKET_HOST, socket.PACKET_BROADCAST, socket.PACKET_MULTICAST})
_STAMP_TRIES = 10_000

LinkOf = Callable[[str, str], str | None]
"""Link of (node, interface); None: not captured."""
OnFrame = Callable[[Frame], object]


class _Tap:
    """The packet socket of one node."""

    def __init__(self, node: str, namespace: Namespace, arrivals: bool, buffer_octets: int) -> None:
        self.node = node
        self.packets = namespace.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ALL_PROTOCOLS)
        )
        self.packets.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        enlarge_receive_buffer(self.packets, buffer_octets)
        if not arrivals:  # half the frames need not even be queued
            attach_filter(
                self.packets,
                (0x30, 0, 0, 0xFFFFF004),  # load the packet's type
                (0x15, 0, 1, socket.PACKET_OUTGOING),
                (0x06, 0, 0, 0x40000),  # accept
                (0x06, 0, 0, 0),  # refuse
            )

    def drops(self) -> int:
        """Frames that did not fit the socket's buffer since the last call."""
        statistics = self.packets.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", statistics)[1])


class Capture:
    """Records the links of these nodes.

    Args:
        nodes: namespaces by node name; they stay open as long as this runs.
        link_of: the link that (node, interface) is on; None leaves the interface out.
        on_frame: called with each frame as its sender put it on its link, in the order of time.
        on_arrival: called with each frame that a node received, in the same order; `node` and
            `interface` are the receiver's.
        buffer_octets: how much may wait to be read in each node's socket.  The kernel counts its
            own overhead in: some 800 octets for a small frame, 2300 for a long one.
        bridged: nodes behind whose interfaces there is a device: what comes for its link-layer
            address is no less received than what comes for theirs.
    """

    def __init__(
        self,
        nodes: Mapping[str, Namespace],
        link_of: LinkOf,
        on_frame: OnFrame,
        on_arrival: OnFrame | None = None,
        buffer_octets: int = BUFFER_OCTETS,
        bridged: Collection[str] = (),
    ) -> None:
        self._nodes = nodes
        self._bridged = frozenset(bridged)
        self._link_of = link_of
        self._on_frame = on_frame
        self._on_arrival = on_arrival
        self._buffer_octets = buffer_octets
        self._taps: dict[int, _Tap] = {}
        self._poll: select.epoll | None = None
        self._drops: dict[str, int] = {}
        self.late = 0
        """Frames that were given out after one with a later stamp."""
        # (stamp, number, who gets it, what): the number keeps equal stamps in the order of reading.
        self._held: list[tuple[int, int, Callable[[Any], object], Any]] = []
        self._read = 0
        self._newest_ns = 0
        self._given_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Capture from now on; returns when every frame gets its stamp from the kernel.

        Raises:
            LocalError: the kernel does not stamp frames.
        """
        self._loop = asyncio.get_running_loop()
        self._poll = select.epoll()
        with _kernel_stamps():
            for node, namespace in self._nodes.items():
                tap = _Tap(node, namespace, self._on_arrival is not None, self._buffer_octets)
                self._taps[tap.packets.fileno()] = tap
                self._drops[node] = 0
                self._poll.register(tap.packets, select.EPOLLIN)
        self._loop.add_reader(self._poll, self._wake)

    async def flush(self) -> None:
        """Return when all that was on a wire before this call has been given to `on_frame`.

        A sender's frame is in its node's socket before its send call returns, and before the frame
        reaches anyone.  So it is enough to read every socket until it is empty, or until what comes
        is younger than this call, and to give out all that was held.  Frames that wait in a queue
        before the wire (a shaped link's) are not on it yet, and what the kernel does in answer
        (forwarding, an acknowledgement) may follow the call.
        """
        called_ns = time.time_ns()
        self._drain(called_ns)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._give_until(self._newest_ns)

    def stop(self) -> None:
        """Capture no more; what was read so far is given out.  `drops` stays readable."""
        if self._poll is None:
            return
        self._loop.remove_reader(self._poll)
        self._drain(time.time_ns())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._count_drops()
        self._poll.close()
        self._poll = None
        for tap in self._taps.values():
            close_aside(tap.packets)
        self._taps.clear()
        self._give_until(self._newest_ns)

    @property
    def drops(self) -> dict[str, int]:
        """How many frames each node's socket has lost because they were not read fast enough."""
        self._count_drops()
        return dict(self._drops)

    @property
    def given_ns(self) -> int:
        """The time of the latest that was given out."""
        return self._given_ns

    def _count_drops(self) -> None:
        for tap in self._taps.values():
            self._drops[tap.node] += tap.drops()

    def put(self, time_ns: int, give: Callable[[Any], object], item: Any) -> None:
        """Have `item` given to `give` in its place among the frames, by its time."""
        self._keep(time_ns, give, item)
        if self._timer is None and self._poll is not None:
            self._hold()

    def _keep(self, stamp_ns: int, give: Callable[[Any], object], item: Any) -> None:
        self._read += 1
        heapq.heappush(self._held, (stamp_ns, self._read, give, item))
        self._newest_ns = max(self._newest_ns, stamp_ns)

    def _wake(self) -> None:
        self._drain(time.time_ns())
        if self._held and self._timer is None:
            self._hold()

    def _hold(self) -> None:
        bound_ns = self._newest_ns
        self._timer = self._loop.call_later(HOLD_S, self._release, bound_ns)

    def _release(self, bound_ns: int) -> None:
        self._timer = None
        self._drain(time.time_ns())
        self._give_until(bound_ns)
        if self._held and self._timer is None and self._poll is not None:
            self._hold()

    def _give_until(self, bound_ns: int) -> None:
        while self._held and self._held[0][0] <= bound_ns:
            stamp_ns, _, give, item = heapq.heappop(self._held)
            if stamp_ns < self._given_ns:
                self.late += 1
            self._given_ns = max(self._given_ns, stamp_ns)
            give(item)

    def _drain(self, until_ns: int) -> None:
        """Read every socket that has something until it is empty or its frames are younger."""
        if self._poll is None:
            return
        for descriptor, _ in self._poll.poll(0, max(1, len(self._taps))):
            tap = self._taps[descriptor]
            while self._read_one(tap, until_ns):
                pass

    def _read_one(self, tap: _Tap, until_ns: int) -> bool:
        """Read one frame; False when there is none, or it is younger than `until_ns`."""
        try:
            data, ancillary, _, address = tap.packets.recvmsg(_READ_MOST, 64)
        except BlockingIOError:
            return False
        except OSError:
            return True  # an interface of the node went down: the socket says so once
        interface, _, direction, hardware_type = address[:4]
        link = self._link_of(tap.node, interface)
        stamp_ns = _stamp_ns(ancillary)
        outgoing = direction == socket.PACKET_OUTGOING
        give = self._on_frame if outgoing else self._on_arrival
        received = direction in _ARRIVED or (
            direction == socket.PACKET_OTHERHOST and tap.node in self._bridged
        )
        if link is not None and give is not None and (outgoing or received):
            ethernet = hardware_type in (_ETHERNET, _LOOPBACK)
            link_type = LINK_TYPE_ETHERNET if ethernet else LINK_TYPE_RAW_IP
            frame = Frame(stamp_ns, link, tap.node, interface, data, link_type)
            self._keep(stamp_ns, give, frame)
        return stamp_ns <= until_ns


@contextmanager
def _kernel_stamps() -> Iterator[None]:
    """In this block frames are stamped when they pass, not when they are read; and after it, as
    long as a socket that was opened in it asks for that.

    The kernel switches stamping on by a work queue, some time after the first socket has asked for
    it; until then a frame gets the time at which it is read.  Datagrams on a loopback of our own
    show which it is: a stamp from before the end of `sendto` was not made by reading.

    Raises:
        LocalError: the kernel does not stamp frames.
    """
    with_loopback = Namespace.create("capture's clock")
    netlink = Netlink(with_loopback)
    try:
        netlink.set_up("lo")
        with with_loopback.socket(socket.AF_INET, socket.SOCK_DGRAM) as itself:
            itself.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            itself.bind(("127.0.0.1", 0))
            for _ in range(_STAMP_TRIES):
                itself.sendto(b"", itself.getsockname())
                sent_ns = time.time_ns()
                _, ancillary, _, _ = itself.recvmsg(1, 64)
                if _stamp_ns(ancillary) <= sent_ns:
                    break
                os.sched_yield()
            else:
                raise LocalError("the kernel does not stamp frames; a capture would have no order")
            yield
    finally:
        netlink.close()
        with_loopback.close()


def _stamp_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    seconds, nanoseconds = struct.unpack_from("=qq", ancillary[0][2])
    stamp_ns: int = seconds * 1_000_000_000 + nanoseconds
    return stamp_ns
