"""A client's STUN transaction: one request, its copies, and when it has failed (RFC 3489 9.3)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

from testbed.protocols.stun.message import MAGIC_COOKIE, BindingRequest

SEND_TIMES_S = (0.0, 0.1, 0.3, 0.7, 1.5, 3.1, 4.7, 6.3, 7.9)
"""When the copies are sent, in seconds after the first.

RFC 3489 9.3: "starting with an interval of 100ms, doubling every retransmit until the interval
reaches 1.6s ... until a response is received, or a total of 9 requests have been sent.  If no
response is received by 1.6 seconds after the last request has been sent, the client SHOULD consider
the transaction to have failed."
"""
LAST_WAIT_S = 1.6
FAILED_AFTER_S = SEND_TIMES_S[-1] + LAST_WAIT_S

P = TypeVar("P")


def new_transaction_id(random: Random, has_cookie: bool = False) -> bytes:
    """128 random bits; with RFC 5389's cookie in front, or surely without it."""
    octets = random.randbytes(16)
    if has_cookie:
        return MAGIC_COOKIE + octets[4:]
    if octets.startswith(MAGIC_COOKIE):
        return new_transaction_id(random)  # AMB-P2-01: by chance it would be RFC 5389's
    return octets


def send_times(sends: int) -> tuple[float, ...]:
    """The first `sends` times of the schedule (1 to 9)."""
    return SEND_TIMES_S[: max(1, min(sends, len(SEND_TIMES_S)))]


@dataclass(slots=True)
class Transaction(Generic[P]):
    """One request that waits for its response.

    Attributes:
        request: all copies are identical.
        purpose: what its owner sent it for.
        began: time of the first copy.
        times_s: when copies are due, in seconds after `began`.
        fails_after_s: when it has failed, in seconds after `began`.
        sent: how many have been.
    """

    request: BindingRequest
    purpose: P
    began: float
    times_s: tuple[float, ...] = SEND_TIMES_S
    fails_after_s: float = FAILED_AFTER_S
    sent: int = 0

    def deadline(self) -> float:
        """When the next copy is due, or when it has failed."""
        if self.sent < len(self.times_s):
            return self.began + self.times_s[self.sent]
        return self.began + self.fails_after_s

    def due(self, now: float) -> bool:
        """Whether a copy is to be sent now; counts it as sent.

        Copies whose time has passed while nobody looked are one.
        """
        if self.sent >= len(self.times_s) or now < self.deadline():
            return False
        while self.sent < len(self.times_s) and self.began + self.times_s[self.sent] <= now:
            self.sent += 1
        return True

    def has_failed(self, now: float) -> bool:
        """Whether no response counts any more."""
        return self.sent >= len(self.times_s) and now >= self.began + self.fails_after_s
