"""What became of a frame on its link: the receivers' copies, matched with what was sent.

Frames with equal octets on one link cannot be told apart by what is in them, but by how long they
are on their way: a copy that comes as late after the second of two as copies come on this link is
the second's, and the first one is lost.  As long as nothing is known of a link, copies are matched
in the order in which the frames were sent.
"""

from __future__ import annotations

from collections import deque

WITHIN_NS = 2_000_000_000
"""A copy that comes later than this after its frame belongs to another one."""
SLACK_NS = 5_000_000
"""So much later than usual a copy may be without being taken for another frame's."""


class Receipt:
    """One sent frame.

    Attributes:
        time_ns: when it was sent.
        link: on which link.
        arrivals: how many copies each node received.
    """

    __slots__ = ("arrivals", "link", "lost", "time_ns")

    def __init__(self, time_ns: int, link: str) -> None:
        self.time_ns = time_ns
        self.link = link
        self.arrivals: dict[str, int] = {}
        self.lost = False


class Deliveries:
    """All frames that are on their way, and how all others ended.

    Args:
        recorded: the receivers' copies are captured too, on every link; False: only on links where
            one has been seen.
    """

    def __init__(self, recorded: bool = False) -> None:
        self.recorded = recorded
        self.unmatched = 0
        self.now_ns = 0
        self.is_closed = False
        self._seen: set[str] = set()
        self._usual_ns: dict[str, int] = {}
        self._open: dict[tuple[str, bytes], deque[Receipt]] = {}
        self._order: deque[tuple[int, tuple[str, bytes]]] = deque()

    def sent(self, link: str, data: bytes, time_ns: int) -> Receipt:
        """A frame was put on its link."""
        self.now_ns = max(self.now_ns, time_ns)
        self._forget()
        receipt = Receipt(time_ns, link)
        key = (link, data)
        self._open.setdefault(key, deque()).append(receipt)
        self._order.append((time_ns, key))
        return receipt

    def arrived(self, link: str, data: bytes, node: str, time_ns: int) -> Receipt | None:
        """A node received a copy; None: nobody is known to have sent it."""
        self.now_ns = max(self.now_ns, time_ns)
        self._seen.add(link)
        waiting = self._open.get((link, data))
        if not waiting:
            self.unmatched += 1
            return None
        if len(waiting) == 1:
            receipt = waiting[0]
            if not receipt.arrivals:
                self._usual_ns[link] = time_ns - receipt.time_ns
        else:
            receipt = self._match(waiting, link, node, time_ns)
        receipt.arrivals[node] = receipt.arrivals.get(node, 0) + 1
        return receipt

    def _match(self, waiting: deque[Receipt], link: str, node: str, time_ns: int) -> Receipt:
        """Which of several equal frames a copy is of."""
        missing = [each for each in waiting if node not in each.arrivals]
        usual_ns = self._usual_ns.get(link)
        if usual_ns is None:
            return missing[0] if missing else waiting[-1]

        def off_ns(receipt: Receipt) -> int:
            return abs(time_ns - receipt.time_ns - usual_ns)

        best = min(waiting, key=off_ns)
        nearest = min(missing, key=off_ns, default=best)
        is_another_copy = best is not nearest and off_ns(nearest) > usual_ns + SLACK_NS
        return best if is_another_copy else nearest

    def _forget(self) -> None:
        """Let go of frames that no copy can come of any more."""
        horizon = self.now_ns - WITHIN_NS
        while self._order and self._order[0][0] < horizon:
            _, key = self._order.popleft()
            waiting = self._open[key]
            waiting.popleft()
            if not waiting:
                del self._open[key]

    def delivered(self, receipt: Receipt, receiver: str | None) -> bool | None:
        """Whether the frame arrived at `receiver`, or at anyone; None: not known, or not yet."""
        arrived = receiver in receipt.arrivals if receiver else bool(receipt.arrivals)
        if arrived:
            return True
        if receipt.lost:
            return False
        if not self.recorded and receipt.link not in self._seen:
            return None
        if self.is_closed or self.now_ns - receipt.time_ns > WITHIN_NS:
            return False
        return None
