"""The DM server: one session with one device, and what it asks of the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from testbed.protocols.dm import syncml
from testbed.protocols.dm.session import (
    ACCEPTED,
    INVALID,
    MISSING,
    OK,
    Packed,
    Proving,
    header_status,
    numbered,
    pack,
)
from testbed.protocols.dm.syncml import Command, Message

NOT_KNOWN = "403"
"""Forbidden: nobody knows that device."""


@dataclass(slots=True)
class Enrolled:
    """What a server knows of a device; outlives sessions.

    Attributes:
        client: what the device proves itself with; None: nothing is asked.
        server: what the server proves itself with; None: nothing.
        asks: the commands of the next session; CmdIDs are given when they are sent.
        dev_info: what the device told of itself, by URI.
        values: what Get brought, by URI.
        statuses: name, URI and status code of each command that was asked, in order.
    """

    client: Proving | None = None
    server: Proving | None = None
    asks: Sequence[Command] = ()
    dev_info: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    statuses: list[tuple[str, str, str]] = field(default_factory=list)


class DmServerSession:
    """One session.

    Args:
        server: URI of the server.
        find: what is known of a device, by its URI; None: nothing.
        random: of the nonces.

    Attributes:
        device: URI of the device; "" before its first message.
        is_over: whether the last word was said.
        is_accepted: whether the device's last message was taken: it has proved itself, or need not.
    """

    def __init__(self, server: str, find: Callable[[str], Enrolled | None], random: Random) -> None:
        self.device = ""
        self.is_over = False
        self.is_accepted = False
        self._proof_holds = False
        self._server = server
        self._find = find
        self._random = random
        self._sent = 0
        self._asked: list[Command] = []
        self._asked_in = ""
        self._has_asked = False
        self._proved = False

    def receive(self, body: bytes, media_type: str, hmac_header: str = "") -> Packed:
        """Answer a device's message.

        Raises:
            DecodeError: it is no SyncML message.
        """
        message = syncml.decode(body, media_type)
        self.device = self.device or message.source
        known = self._find(self.device) if message.source == self.device else None
        if known is None:
            self.is_over = True
            return self._pack(message, [header_status(message, "1", NOT_KNOWN, None)], None)
        data, challenge = OK, None
        if known.client is not None and not self._proof_holds:
            data = known.client.judge(message, body, hmac_header)
            challenge = known.client.challenge(self._random)
        answers = [header_status(message, "1", data, challenge)]
        self.is_accepted = data not in (MISSING, INVALID)
        if not self.is_accepted:
            answers += _statuses(message, data)
            return self._pack(message, answers, known)
        self._proof_holds = self._proof_holds or data == ACCEPTED
        refused = self._heard_of_us(message, known)
        self._take(message, known)
        answers += _statuses(message, OK)
        if refused or not self._has_asked:
            self._has_asked = True
            self._asked = list(known.asks)
            answers += self._asked
        packed = self._pack(message, answers, known)
        if len(answers) > len(self._asked) and self._asked:
            self._asked_in = packed.message.number
            self._asked = list(packed.message.commands[len(answers) - len(self._asked) :])
        self.is_over = not any(c.name != "Status" for c in packed.message.commands)
        return packed

    def _heard_of_us(self, message: Message, known: Enrolled) -> bool:
        """Take what the device says of our proof; whether it wants another."""
        status = message.status_of("0")
        if status is None or known.server is None:
            return False
        known.server.heard(status.challenge)
        self._proved = self._proved or status.data == ACCEPTED
        return status.data in (MISSING, INVALID)

    def _take(self, message: Message, known: Enrolled) -> None:
        """What the device tells: itself, values, and how our commands fared."""
        for command in message.all_commands():
            if command.name == "Replace":
                known.dev_info.update({item.source: item.data for item in command.items})
            elif command.name == "Results":
                known.values.update({item.source: item.data for item in command.items})
            elif command.name == "Status" and command.message_reference == self._asked_in:
                for asked in self._asked:
                    if asked.number == command.command_reference:
                        uri = asked.items[0].target if asked.items else ""
                        known.statuses.append((asked.name, uri, command.data))

    def _pack(self, message: Message, commands: list[Command], known: Enrolled | None) -> Packed:
        self._sent += 1
        answer = Message(
            *(message.session, str(self._sent), message.source, self._server),
            commands=numbered(commands),
            media_type=message.media_type,
        )
        proving = known.server if known else None
        if proving is not None and self._proved and proving.credentials.kind != "HMAC":
            proving = None
        return pack(answer, proving)


def _statuses(message: Message, data: str) -> list[Command]:
    """One answer to each command of a message."""
    return [
        Command(
            *("Status", ""),
            data=data,
            message_reference=message.number,
            command_reference=command.number,
            command=command.name,
            sources=tuple(item.source for item in command.items if item.source),
        )
        for command in message.commands
        if command.name not in ("Status", "Results")
    ]
