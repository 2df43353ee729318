"""What one end of a TCP connection has to say: octets, their numbers, and when they are repeated.

Retransmission with a measured time-out, slow start and halving, probes of a closed window.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

from testbed.engines.simulation.clock import SimulationLoop
from testbed.engines.simulation.segments import ACK, FIN, PSH, SYN, WINDOW_SCALE, Segment
from testbed.engines.simulation.tcp_parts import Congestion, Incoming, RoundTrip, State
from testbed.protocols.wire import Endpoint

BUFFER_OCTETS = 256 * 1024
"""Of each direction: what was sent and is not acknowledged, what has come and is not read."""
CONNECT_TRIES, SEND_TRIES = 6, 15
"""How often a SYN, and data, are repeated before the connection is given up."""
ALL_BITS = 0xFFFFFFFF


class TcpSender:
    """The part of an end that puts segments on the wire, and repeats them.

    Args:
        local: this end.
        remote: the other.
        loop: the clock.
        first: this end's initial sequence number.
        most_segment: the longest payload that fits this end's link.
        emit: called with each segment to send.

    Attributes:
        state: of the handshake.
        incoming: what has come.
    """

    def __init__(
        self,
        local: Endpoint,
        remote: Endpoint,
        loop: SimulationLoop,
        first: int,
        most_segment: int,
        emit: Callable[[Segment], None],
    ) -> None:
        self.local = local
        self.remote = remote
        self.state = State.SYN_SENT
        self.incoming = Incoming(BUFFER_OCTETS)
        self._loop = loop
        self._emit = emit
        self._first = first
        self._theirs = 0
        self._own_most_segment = most_segment
        self._scales = True
        # What is sent: octets from position `_acknowledged` on; `_next` is the next one to send,
        # `_furthest` the first that was never sent.
        self._outgoing = bytearray()
        self._acknowledged = 0
        self._next = 0
        self._furthest = 0
        self._finishes = False
        self._finish_acknowledged = False
        self._their_window = 0
        self._tries = 0
        self._round_trip = RoundTrip()
        self._congestion = Congestion(most_segment)
        self._told_window = BUFFER_OCTETS
        self._unacknowledged = 0
        self._timer: asyncio.TimerHandle | None = None
        self._acknowledge_timer: asyncio.TimerHandle | None = None

    def _break(self, error: OSError) -> None:
        """It was repeated as often as it may be."""
        raise NotImplementedError

    # Segments that go

    def _send(self) -> None:
        """Send what both windows allow, and the FIN behind it."""
        if self.state is not State.OPEN:
            return
        most = self._congestion.most_segment
        end = self._acknowledged + len(self._outgoing)
        bound = self._acknowledged + min(self._their_window, self._congestion.window)
        while self._next < min(end, bound):
            octets = min(most, end - self._next, bound - self._next)
            self._send_octets(self._next, octets)
            self._next += octets
        if self._finishes and not self._finish_acknowledged and self._next == end:
            self._emit_counted(self._segment(self._wire(end), FIN | ACK))
            self._next = end + 1
        self._furthest = max(self._furthest, self._next)
        waits = self._next > self._acknowledged and not self._finish_acknowledged
        if (waits or self._outgoing) and self._timer is None:
            self._start_retransmission()

    def _send_octets(self, position: int, octets: int) -> None:
        start = position - self._acknowledged
        payload = bytes(self._outgoing[start : start + octets])
        if position >= self._furthest:
            self._round_trip.sent(position, self._loop.now_us)
        flags = ACK | PSH if start + octets == len(self._outgoing) else ACK
        self._emit_counted(self._segment(self._wire(position), flags, payload))

    def _send_again(self) -> None:
        """The first segment that is not acknowledged."""
        self._round_trip.repeated()
        octets = min(self._congestion.most_segment, len(self._outgoing))
        if octets:
            self._send_octets(self._acknowledged, octets)
        elif self._finishes and not self._finish_acknowledged:
            self._emit_counted(self._segment(self._wire(self._acknowledged), FIN | ACK))

    def _send_synchronize(self, again: bool = False) -> None:
        answers = self.state is State.SYN_RECEIVED
        segment = self._segment(self._first, SYN | ACK if answers else SYN)
        segment.most_segment = self._own_most_segment
        segment.scales = WINDOW_SCALE if self._scales else None
        if again:
            self._round_trip.repeated()
        else:
            if not self._tries:
                self._round_trip.sent(-1, self._loop.now_us)
            self._start_retransmission()
        self._emit(segment)

    def _acknowledge(self) -> None:
        if self.state in (State.OPEN, State.TIME_WAIT):
            self._emit_counted(self._segment(self._wire(self._next), ACK))

    def _emit_counted(self, segment: Segment) -> None:
        """Send a segment that acknowledges all that has come."""
        self._unacknowledged = 0
        if self._acknowledge_timer is not None:
            self._acknowledge_timer.cancel()
            self._acknowledge_timer = None
        self._emit(segment)

    def _segment(self, sequence: int, flags: int, payload: bytes = b"") -> Segment:
        acknowledgement = 0
        if self.state is not State.SYN_SENT:
            acknowledgement = (self._theirs + 1 + self._expects) & ALL_BITS
        self._told_window = self.incoming.window
        return Segment(
            self.local, self.remote, sequence, acknowledgement, flags, self._told_window, payload
        )

    # Time

    def _start_retransmission(self) -> None:
        self._timer = self._loop.call_later(self._round_trip.timeout_s, self._timed_out)

    def _stop_retransmission(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timed_out(self) -> None:
        self._timer = None
        self._tries += 1
        opening = self.state in (State.SYN_SENT, State.SYN_RECEIVED)
        if self._tries > (CONNECT_TRIES if opening else SEND_TRIES):
            self._break(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
            return
        self._round_trip.timed_out()
        if opening:
            self._send_synchronize()
            return
        if self._furthest > self._acknowledged and self._their_window:
            self._congestion.lost_all(self._furthest - self._acknowledged)
            self._next = self._acknowledged
            self._send()
        elif self._outgoing:
            # The other side's window is closed: one octet asks whether it still is.
            self._send_octets(self._acknowledged, 1)
            self._next = max(self._next, self._acknowledged + 1)
            self._furthest = max(self._furthest, self._next)
        else:
            self._send_again()
        if self._timer is None:
            self._start_retransmission()

    # Positions

    def _wire(self, position: int) -> int:
        return (self._first + 1 + position) & ALL_BITS

    @property
    def _expects(self) -> int:
        """Position of the next segment in the other side's stream; its FIN counts as one octet."""
        return self.incoming.expected + self.incoming.has_ended
