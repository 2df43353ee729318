"""One end of a TCP connection (RFC 9293), as far as streams of a node need it.

Three-way handshake, retransmission with a measured time-out, fast retransmission after three equal
acknowledgements, slow start and halving, flow control by the window with probes of a closed one,
delayed acknowledgements (RFC 1122), FIN in both directions, reset.  Left out: selective
acknowledgements, time stamps, urgent data, simultaneous opening.

Positions in the two streams are plain numbers from 0 on; only segments have 32 bits.  Knows no
address translation and no task.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

from testbed.engines.simulation.clock import SimulationLoop
from testbed.engines.simulation.segments import ACK, FIN, RST, SYN, Segment
from testbed.engines.simulation.tcp_parts import Congestion, State, signed
from testbed.engines.simulation.tcp_sending import ALL_BITS, BUFFER_OCTETS, TcpSender
from testbed.protocols.wire import Endpoint

ACKNOWLEDGES_WITHIN_S = 0.04
CLOSED_WAIT_S = 60.0
"""How long an end that is closed keeps answering for what may still come."""
_DUPLICATES = 3
_DEFAULT_SEGMENT = 536


class TcpConnection(TcpSender):
    """One end.

    Args:
        local: this end.
        remote: the other.
        loop: the clock.
        first: this end's initial sequence number.
        most_segment: the longest payload that fits this end's link.
        emit: called with each segment to send.
        gone: called once, when it is forgotten.

    Attributes:
        state: of the handshake.
        error: why it broke; whoever is told takes it.
        incoming: what has come.
        changed: called when there may be something for whoever reads or writes.
        is_left: its owner has gone: what still comes is refused.
    """

    def __init__(
        self,
        local: Endpoint,
        remote: Endpoint,
        loop: SimulationLoop,
        first: int,
        most_segment: int,
        emit: Callable[[Segment], None],
        gone: Callable[[TcpConnection], None],
    ) -> None:
        super().__init__(local, remote, loop, first, most_segment, emit)
        self.error: OSError | None = None
        self.changed: Callable[[], None] = lambda: None
        self.is_left = False
        self._gone = gone
        self._duplicates = 0
        self._end_timer: asyncio.TimerHandle | None = None

    # What its owner asks for

    def connect(self) -> None:
        """Open it from this end."""
        self._send_synchronize()

    def accept(self, segment: Segment) -> None:
        """Open it from the other end, whose SYN this is."""
        self.state = State.SYN_RECEIVED
        self._learn(segment)
        self._send_synchronize()

    @property
    def room(self) -> int:
        """How many octets `write` takes now."""
        return max(0, BUFFER_OCTETS - len(self._outgoing))

    def write(self, data: bytes | memoryview) -> None:
        """Send these octets, no more than there is `room` for."""
        self._outgoing += data
        self._send()

    def read(self, most_octets: int) -> bytes:
        """Octets that have come; the other side learns that there is room again."""
        ready = self.incoming.ready
        data = bytes(ready[:most_octets])
        del ready[: len(data)]
        self._tell_room()
        return data

    def _tell_room(self) -> None:
        grown = self.incoming.window - self._told_window
        if not self.incoming.has_ended and grown >= BUFFER_OCTETS // 2:
            self._acknowledge()

    def finish(self) -> None:
        """Send no more: what was written goes out, then a FIN."""
        if not self._finishes:
            self._finishes = True
            self._send()

    @property
    def finishes(self) -> bool:
        """Whether `finish` was called."""
        return self._finishes

    def discard(self) -> None:
        """What has come and what comes interests nobody."""
        self.incoming.discard()
        self._tell_room()

    def leave(self) -> None:
        """Its owner goes: when both sides are done it is forgotten; data that comes is refused."""
        self.is_left = True
        if self.state is State.OPEN:
            self._end_timer = self._loop.call_later(CLOSED_WAIT_S, self._left_alone)

    def _left_alone(self) -> None:
        self._end_timer = None
        if self._finish_acknowledged:
            self.vanish()
        else:
            self.leave()

    def abort(self) -> None:
        """Reset."""
        if self.state in (State.OPEN, State.SYN_RECEIVED):
            self._emit(self._segment(self._wire(self._furthest), RST | ACK))
        self.vanish()

    def vanish(self) -> None:
        """End without a word."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._stop_timers()
        self._gone(self)
        self.changed()

    def unreachable(self, number: int) -> None:
        """An ICMP error, or nobody to send to: fatal only while the connection is being opened."""
        if self.state is State.SYN_SENT:
            self._break(OSError(number, os.strerror(number)))

    def shorten(self, most_segment: int) -> None:
        """A router on the way takes no longer packets (RFC 1191, 6): what waits is sent anew."""
        if 0 < most_segment < self._congestion.most_segment:
            self._congestion.most_segment = most_segment
            self._next = self._acknowledged
            self._send()

    # Segments that come

    def take(self, segment: Segment) -> None:
        """Take a segment of this connection."""
        if self.state is State.SYN_SENT:
            self._take_answer(segment)
            return
        position = self._position(segment.sequence)
        if segment.flags & RST:
            if 0 <= position - self.incoming.expected <= BUFFER_OCTETS:
                self._break(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
            return
        if segment.flags & SYN:
            self._take_synchronize_again(segment)
            return
        if not segment.flags & ACK:
            return
        if self.state is State.SYN_RECEIVED:
            self._open()
        self._take_acknowledgement(segment)
        if segment.payload and self.is_left:
            self.abort()
        elif segment.payload or segment.flags & FIN or position < self._expects:
            self._take_payload(segment, position)
        self._end_if_done()

    def _take_answer(self, segment: Segment) -> None:
        """While this end's SYN is unanswered."""
        expected = (self._first + 1) & ALL_BITS
        acknowledges = bool(segment.flags & ACK) and segment.acknowledgement == expected
        if segment.flags & RST:
            if acknowledges:
                number = errno.ECONNREFUSED
                self._break(ConnectionRefusedError(number, os.strerror(number)))
        elif acknowledges and segment.flags & SYN:
            self._learn(segment)
            self._open()
            self._acknowledge()
            self._send()

    def _take_synchronize_again(self, segment: Segment) -> None:
        """The other side did not hear our SYN/ACK, or the acknowledgement of its own."""
        if self.state is State.SYN_RECEIVED and not segment.flags & ACK:
            self._send_synchronize(again=True)
        else:
            self._acknowledge()

    def _learn(self, segment: Segment) -> None:
        self._theirs = segment.sequence
        theirs = segment.most_segment or _DEFAULT_SEGMENT
        self._congestion = Congestion(min(self._own_most_segment, theirs))
        self._scales = segment.scales is not None
        self._their_window = segment.window

    def _open(self) -> None:
        self.state = State.OPEN
        self._tries = 0
        self._round_trip.answered(0, self._loop.now_us)
        self._stop_retransmission()
        self.changed()

    def _take_acknowledgement(self, segment: Segment) -> None:
        acknowledged = self._own_position(segment.acknowledgement)
        end = self._acknowledged + len(self._outgoing)
        if acknowledged > end + self._finishes:
            return
        window_was, self._their_window = self._their_window, segment.window
        if not segment.window:
            self._tries = 0  # who keeps its window closed lives
        elif not window_was:
            self._next = self._acknowledged  # what asked was not taken
        if acknowledged > self._acknowledged + self._finish_acknowledged:
            self._advance(acknowledged, end)
        elif acknowledged == self._acknowledged and self._furthest > self._acknowledged:
            plain = not segment.payload and not segment.flags & FIN
            if plain and segment.window == window_was:
                self._take_duplicate()
        self._send()

    def _advance(self, acknowledged: int, end: int) -> None:
        """Octets, or the FIN, have arrived at the other side."""
        octets = min(acknowledged, end) - self._acknowledged
        del self._outgoing[:octets]
        self._acknowledged += octets
        self._finish_acknowledged = acknowledged > end
        self._next = max(self._next, acknowledged)
        self._furthest = max(self._furthest, acknowledged)
        self._duplicates = self._tries = 0
        self._round_trip.answered(acknowledged, self._loop.now_us)
        self._stop_retransmission()
        if self._congestion.answered(octets, acknowledged):
            self._send_again()
        self.changed()

    def _take_duplicate(self) -> None:
        self._duplicates += 1
        if self._duplicates == _DUPLICATES and self._congestion.recovers_to is None:
            self._congestion.lost_one(self._furthest - self._acknowledged, self._furthest)
            self._send_again()

    def _take_payload(self, segment: Segment, position: int) -> None:
        incoming, payload = self.incoming, segment.payload
        came_late = position < incoming.expected
        if segment.flags & FIN:
            incoming.end_at(position + len(payload))
        new = incoming.take(position, payload)
        self._unacknowledged += new
        at_once = came_late or incoming.has_holes or incoming.has_ended or not new
        if at_once or self._unacknowledged >= 2 * self._congestion.most_segment:
            self._acknowledge()
        elif self._acknowledge_timer is None:
            self._acknowledge_timer = self._loop.call_later(
                ACKNOWLEDGES_WITHIN_S, self._acknowledge
            )
        if new or incoming.has_ended:
            self.changed()

    def _end_if_done(self) -> None:
        done = self.incoming.has_ended and self._finish_acknowledged
        if self.state is State.OPEN and done:
            self._stop_timers()
            self.state = State.TIME_WAIT
            self._end_timer = self._loop.call_later(CLOSED_WAIT_S, self.vanish)

    def _stop_timers(self) -> None:
        self._stop_retransmission()
        for timer in (self._acknowledge_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        self._acknowledge_timer = self._end_timer = None

    def _break(self, error: OSError) -> None:
        self.error = error
        self.vanish()

    # Positions

    def _position(self, sequence: int) -> int:
        """Where in the other side's stream a sequence number is, near what is expected."""
        expected = self.incoming.expected
        return expected + signed(sequence - self._theirs - 1 - expected)

    def _own_position(self, acknowledgement: int) -> int:
        return self._acknowledged + signed(acknowledgement - self._wire(self._acknowledged))
