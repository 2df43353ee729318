"""JSON lines over a pipe: how a lab's worker is heard by its parent.

The sender may be interrupted anywhere by a signal's handler, which may send too, or raise; and it
may be killed.  Messages arrive whole or not at all.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any


class Outgoing:
    """The end that sends; from any thread, and from signal handlers.

    Args:
        descriptor: of the pipe; not owned.
        patience_s: how long to wait for a reader that lives and does not read.
    """

    def __init__(self, descriptor: int, patience_s: float = 10.0) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.patience_s = patience_s
        self._waiting: deque[bytes] = deque()
        self._lock = threading.RLock()
        self._sending = False

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message, which JSON can say.

        Raises:
            BrokenPipeError: nobody can read it any more.
            TimeoutError: the pipe is full, and nobody read from it for `patience_s`.
        """
        # The first end of line closes what an exception in an earlier send may have left open.
        self._waiting.append(b"\n" + json.dumps(dict(message)).encode() + b"\n")
        with self._lock:
            # In a signal handler that interrupted a send, leave the message to that send.
            while self._waiting and not self._sending:
                self._sending = True
                try:
                    while self._waiting:
                        self._write(self._waiting.popleft())
                finally:
                    self._sending = False

    def _write(self, line: bytes) -> None:
        octets = memoryview(line)
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        until = time.monotonic() + self.patience_s
        while octets:
            try:
                octets = octets[os.write(self.descriptor, octets) :]
                until = time.monotonic() + self.patience_s
            except BlockingIOError:
                if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                    raise TimeoutError(f"nobody read for {self.patience_s} s") from None


class Incoming:
    """The end that receives.

    Args:
        descriptor: of the pipe; not owned.

    Attributes:
        finished: whether the end was seen.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.finished = False
        self._partial = b""

    def receive(self) -> list[dict[str, Any]]:
        """The messages that have come in whole; never blocks."""
        messages = []
        while not self.finished:
            try:
                octets = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                break
            self.finished = not octets
            *lines, self._partial = (self._partial + octets).split(b"\n")
            for line in filter(None, lines):
                try:
                    messages.append(json.loads(line))
                except ValueError:  # its sender was interrupted in the middle of it
                    continue
        return messages
