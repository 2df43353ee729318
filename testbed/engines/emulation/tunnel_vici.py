"""One connection to a charon's vici socket (strongSwan's own interface), driven by the loop.

The `vici` package gives the octets of messages; its sessions block, so they are not used: a tunnel
that waits for a peer who is silent would take a thread each.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vici.protocol import Message, Packet

from testbed.errors import LocalError

Fields = Mapping[str, Any]
"""A message: texts as bytes, lists, and sections as mappings again."""
OnEvent = Callable[[str, Fields], None]
"""Called with an event's name and its fields."""


class ViciRefused(LocalError):
    """charon did not do what it was told; the text is its own."""


class Vici:
    """One connection.  Commands of one connection are done one after the other.

    Args:
        reader: from charon.
        writer: to charon.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> Vici:
        """Connect to that socket.

        Raises:
            OSError: nobody listens.
        """
        return cls(*await asyncio.open_unix_connection(path))

    async def ask(self, command: str, message: Fields | None = None) -> Fields:
        """Have one command done.

        Raises:
            ViciRefused: charon says why not.
            ConnectionError: charon has ended.
        """
        # A caller that is cancelled must not leave the answer to the next one.
        exchange = asyncio.ensure_future(self._exchange(command, message or {}))
        exchange.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(exchange)

    async def _exchange(self, command: str, message: Fields) -> Fields:
        async with self._turn:
            self._send(Packet.request(command, Message.serialize(message)))
            return self._result(command, await self._receive())

    async def ask_told(self, command: str, event: str, message: Fields, told: list[Fields]) -> None:
        """Have one command done that tells of itself by events.

        Who is cancelled in it closes the connection.

        Args:
            command: its name.
            event: the name of its events.
            message: its arguments.
            told: gets each event's fields when it comes.

        Raises:
            ViciRefused: charon says why not.
            ConnectionError: charon has ended.
        """
        async with self._turn:
            self._send(Packet.register_event(event))
            await self._receive()
            self._send(Packet.request(command, Message.serialize(message)))
            answer = await self._receive()
            while answer.response_type == Packet.EVENT:
                told.append(Message.deserialize(answer.payload))
                answer = await self._receive()
            self._send(Packet.unregister_event(event))
            while (await self._receive()).response_type == Packet.EVENT:
                pass
        self._result(command, answer)

    async def register(self, *events: str) -> None:
        """From now on hear of these events; `listen` gives them.

        Raises:
            ConnectionError: charon has ended.
        """
        for event in events:
            self._send(Packet.register_event(event))
            answer = await self._receive()
            assert answer.response_type == Packet.EVENT_CONFIRM, f"charon knows no event {event}"

    async def listen(self, on_event: OnEvent) -> None:
        """Call with each event that was registered for, until charon ends."""
        while True:
            try:
                answer = await self._receive()
            except ConnectionError:
                return
            if answer.response_type == Packet.EVENT:
                on_event(answer.event_type.decode(), Message.deserialize(answer.payload))

    def close(self) -> None:
        """Let go of the connection; a command under way is left to charon."""
        self._writer.transport.abort()

    def _send(self, packet: bytes) -> None:
        self._writer.write(struct.pack("!I", len(packet)) + packet)

    async def _receive(self) -> Any:
        try:
            (length,) = struct.unpack("!I", await self._reader.readexactly(4))
            return Packet.parse(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise ConnectionAbortedError("charon has ended") from None

    @staticmethod
    def _result(command: str, answer: Any) -> Fields:
        assert answer.response_type == Packet.CMD_RESPONSE, f"charon knows no command {command}"
        fields: Fields = Message.deserialize(answer.payload)
        if fields.get("success", b"yes") != b"yes":
            reason = fields.get("errmsg", b"no reason given").decode(errors="replace")
            raise ViciRefused(f"charon, asked to {command}: {reason}")
        return fields
