"""`Drive` runs one sans-IO machine over one port, `SidedDrive` one over several.

What they send goes through a `Mend`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Generic, TypeVar

from testbed.host.mend import Mend
from testbed.host.node import Host
from testbed.host.ports import Port, Timer
from testbed.protocols.wire import Endpoint, Machine, Message, Outgoing, SidedMachine

M = TypeVar("M", bound=Message)
E = TypeVar("E")
S = TypeVar("S", bound=Hashable)


class _Driving(Generic[M, E]):
    """What drives of one port and of several have in common."""

    def __init__(
        self,
        machine: Machine[M, E] | SidedMachine[M, E, S],
        host: Host,
        on_event: Callable[[E], None],
        mend: Mend[M] | None = None,
    ) -> None:
        self.host = host
        self.on_event = on_event
        self.mend: Mend[M] = mend or Mend()
        self._driven = machine
        self._timer: Timer | None = None
        self._flushing = False
        self._closed = False

    def _port_for(self, outgoing: Outgoing[M]) -> Port:
        raise NotImplementedError

    def _ticked(self) -> None:
        self._timer = None
        self._driven.tick(self.host.now())
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
                outgoing = self._driven.to_send()
                events = self._driven.events()
                for each in outgoing:
                    self._send(each)
                if not events:
                    break  # nobody has told the machine anything in between
                for event in events:
                    self.on_event(event)
                if self.closed:
                    return
        finally:
            self._flushing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._driven.deadline()
        if deadline is not None:
            self._timer = self.host.call_at(deadline, self._ticked)

    def _send(self, outgoing: Outgoing[M]) -> None:
        port, mend, destination = self._port_for(outgoing), self.mend, outgoing.destination
        if not (mend.message or mend.octets):  # no fault: every datagram passes here
            port.send(outgoing.message.encode(), destination, outgoing.hardware_address)
            return
        for after_s, data in mend.datagrams(outgoing.message, destination):
            send = partial(self._send_now, port, data, destination, outgoing.hardware_address)
            if after_s > 0:
                self.host.call_at(self.host.now() + after_s, send)
            else:
                send()

    def _send_now(
        self, port: Port, data: bytes, destination: Endpoint, hardware_address: str | None
    ) -> None:
        if not self._closed:
            port.send(data, destination, hardware_address)

    def close(self) -> None:
        """Stop the machine; nothing is sent and nothing told any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Drive(_Driving[M, E]):
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
        super().__init__(machine, host, on_event, mend)
        self.machine = machine

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

    def _port_for(self, outgoing: Outgoing[M]) -> Port:
        return self.port

    def _received(self, data: bytes, source: Endpoint) -> None:
        self.machine.receive(data, source, self.host.now())
        self.flush()

    def close(self) -> None:
        """Stop the machine and give the port back."""
        super().close()
        self.port.close()


class SidedDrive(_Driving[M, E], Generic[M, E, S]):
    """One machine on several ports, each one of its sides.

    Open it with `await SidedDrive.open(...)`.

    Attributes:
        ports: by side.
    """

    def __init__(
        self,
        machine: SidedMachine[M, E, S],
        host: Host,
        on_event: Callable[[E], None],
        mend: Mend[M] | None = None,
    ) -> None:
        super().__init__(machine, host, on_event, mend)
        self.machine = machine
        self.ports: dict[S, Port] = {}

    @classmethod
    async def open(
        cls,
        machine: SidedMachine[M, E, S],
        host: Host,
        local: Mapping[S, Endpoint],
        on_event: Callable[[E], None],
        mend: Mend[M] | None = None,
    ) -> SidedDrive[M, E, S]:
        """Bind a port for each side, in their order, and start the machine.

        Raises:
            OSError: a port is taken, or an address is not ours; those already bound are given back.
        """
        drive = cls(machine, host, on_event, mend)
        try:
            for side, endpoint in local.items():
                handler = partial(drive._received, side)
                drive.ports[side] = await host.datagrams(endpoint, handler)
        except BaseException:  # a task that is cancelled gives them back too
            drive.close()
            raise
        drive.flush()
        return drive

    def _port_for(self, outgoing: Outgoing[M]) -> Port:
        assert outgoing.side is not None, "a message of a machine with several ports names one"
        return self.ports[outgoing.side]  # type: ignore[index]  # its sides are S

    def _received(self, side: S, data: bytes, source: Endpoint) -> None:
        self.machine.receive(data, source, self.host.now(), side)
        self.flush()

    def close(self) -> None:
        """Stop the machine and give the ports back."""
        super().close()
        for port in self.ports.values():
            port.close()
