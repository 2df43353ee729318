"""`Drive` runs one sans-IO machine over one port; what it sends goes through a `Mend`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from testbed.host.mend import Mend
from testbed.host.node import Host
from testbed.host.ports import Port, Timer
from testbed.protocols.wire import Endpoint, Machine, Message, Outgoing

M = TypeVar("M", bound=Message)
E = TypeVar("E")


class Drive(Generic[M, E]):
    """One machine on one port: sends what it wants sent, gives it datagrams and its deadlines.

    Open it with `await Drive.open(...)`.  Whoever tells the machine something from outside calls
    `flush` afterwards.
    """

    port: Port

    def __init__(
        self,
        machine: Machine[M, E],
        host: Host,
        on_event: Callable[[E], None],
        mend: Mend[M] | None = None,
    ) -> None:
        self.machine = machine
        self.host = host
        self.on_event = on_event
        self.mend: Mend[M] = mend or Mend()
        self._timer: Timer | None = None
        self._flushing = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        machine: Machine[M, E],
        host: Host,
        local: Endpoint,
        on_event: Callable[[E], None],
        mend: Mend[M] | None = None,
        interface: str | None = None,
        broadcast: bool = False,
    ) -> Drive[M, E]:
        """Bind the port and start the machine.

        Args:
            machine: the protocol.
            host: for port and time.
            local: what to bind.
            on_event: called with each event, in order.
            mend: the faults at work on what it sends.
            interface: only this interface; works before it has an address.
            broadcast: may send to, and receives, broadcasts.
        """
        drive = cls(machine, host, on_event, mend)
        drive.port = await host.datagrams(local, drive._received, interface, broadcast)
        drive.flush()
        return drive

    def _received(self, data: bytes, source: Endpoint) -> None:
        self.machine.receive(data, source, self.host.now())
        self.flush()

    def _ticked(self) -> None:
        self._timer = None
        self.machine.tick(self.host.now())
        self.flush()

    @property
    def closed(self) -> bool:
        """Whether `close` was called; an event's callback may do that."""
        return self._closed

    def flush(self) -> None:
        """Send and report all that the machine has ready now, and set its next deadline."""
        if self._flushing or self._closed:
            return  # an event's callback told the machine something: the loop below sees it
        self._flushing = True
        try:
            while True:
                outgoing = self.machine.to_send()
                events = self.machine.events()
                if not outgoing and not events:
                    break
                for each in outgoing:
                    self._send(each)
                for event in events:
                    self.on_event(event)
                if self.closed:
                    return
        finally:
            self._flushing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.deadline()
        if deadline is not None:
            self._timer = self.host.call_at(deadline, self._ticked)

    def _send(self, outgoing: Outgoing[M]) -> None:
        for after_s, data in self.mend.datagrams(outgoing.message, outgoing.destination):
            send = partial(self._send_now, data, outgoing.destination, outgoing.hardware_address)
            if after_s > 0:
                self.host.call_at(self.host.now() + after_s, send)
            else:
                send()

    def _send_now(self, data: bytes, destination: Endpoint, hardware_address: str | None) -> None:
        if not self._closed:
            self.port.send(data, destination, hardware_address)

    def close(self) -> None:
        """Stop the machine and give the port back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.port.close()
