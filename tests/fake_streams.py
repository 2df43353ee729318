"""Byte streams between fake hosts: a window, an end, a reset."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from testbed.protocols.wire import Endpoint

WINDOW_OCTETS = 65536


class Carrier(Protocol):
    """What brings things to the other side a little later."""

    loop: asyncio.AbstractEventLoop

    def later(self, callback: Callable[[], None]) -> None: ...


class Pipe:
    """One direction of a stream."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.held = bytearray()
        self.on_the_way = 0
        self.ended = False
        self.nobody_reads = False
        self.broken: str | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def wait(self) -> None:
        future: asyncio.Future[None] = self.carrier.loop.create_future()
        self._waiting.append(future)
        await future

    @property
    def room(self) -> int:
        return WINDOW_OCTETS - len(self.held) - self.on_the_way

    def put(self, data: bytes) -> None:
        self.on_the_way += len(data)
        self.carrier.later(lambda: self._arrived(data))

    def _arrived(self, data: bytes) -> None:
        self.on_the_way -= len(data)
        self.held += data
        self.changed()

    def end(self) -> None:
        self.ended = True
        self.changed()

    def break_off(self, why: str) -> None:
        self.broken = self.broken or why
        self.changed()


class FakeStream:
    """One end of a byte stream."""

    def __init__(self, local: Endpoint, remote: Endpoint, inward: Pipe, outward: Pipe) -> None:
        self.local = local
        self.remote = remote
        self._inward = inward
        self._outward = outward
        self._finished = False

    async def receive(self, most_octets: int = 65536) -> bytes:
        pipe = self._inward
        while True:
            if pipe.broken:
                raise ConnectionResetError(f"{self.local} from {self.remote}: {pipe.broken}")
            if pipe.held:
                data = bytes(pipe.held[:most_octets])
                del pipe.held[:most_octets]
                pipe.changed()
                return data
            if pipe.ended:
                return b""
            await pipe.wait()

    async def send(self, data: bytes) -> None:
        pipe = self._outward
        rest = bytes(data)
        while rest:
            if pipe.broken or pipe.nobody_reads or pipe.ended or self._finished:
                raise ConnectionResetError(f"{self.local} to {self.remote}: broken")
            if pipe.room > 0:
                part, rest = rest[: pipe.room], rest[pipe.room :]
                pipe.put(part)
            else:
                await pipe.wait()

    async def finish(self) -> None:
        if self._outward.broken:
            raise ConnectionResetError(f"{self.local} to {self.remote}: broken")
        self._finished = True
        self._outward.carrier.later(self._outward.end)

    async def close(self) -> None:
        self._inward.nobody_reads = True
        self._inward.changed()
        self._outward.carrier.later(self._outward.end)

    def abort(self) -> None:
        self._inward.break_off("aborted here")
        pipe = self._outward
        pipe.carrier.later(lambda: pipe.break_off("reset by the other side"))
        pipe.nobody_reads = True
