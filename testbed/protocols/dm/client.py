"""The DM client: one session, from its alert to the server's last word (OMA-TS-DM-Protocol 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, Protocol

from testbed.errors import DecodeError
from testbed.protocols.dm import syncml
from testbed.protocols.dm.session import (
    ACCEPTED,
    INVALID,
    MISSING,
    NOT_ALLOWED,
    NOT_FOUND,
    OK,
    Packed,
    Proving,
    header_status,
    numbered,
    pack,
)
from testbed.protocols.dm.syncml import Command, Item, Message, Meta

MOST_MESSAGES = 32
"""A session that goes on beyond this many of the server's messages is ended."""
DEV_INFO = "./DevInfo"
DEV_INFO_NAMES = ("DevId", "Man", "Mod", "DmV", "Lang")
"""What ./DevInfo must have (OMA-TS-DM-StdObj 1.2, 5.3.1)."""


class Nodes(Protocol):
    """The device's management tree, as commands see it.  Each call gives a status code."""

    def get(self, uri: str) -> tuple[str, str]:
        """Status and value; of an interior node the names below it, by "/"."""
        ...

    def replace(self, uri: str, value: str) -> str:
        """Change the value of a node that is there."""
        ...

    def add(self, uri: str, value: str) -> str:
        """Make a node."""
        ...

    def delete(self, uri: str) -> str:
        """Remove a node and what is below it."""
        ...


@dataclass(slots=True)
class ValueNodes:
    """A tree of values.

    Attributes:
        values: by URI.
        read_only: URIs, and beginnings of URIs, that the server may not change.
    """

    values: dict[str, str]
    read_only: tuple[str, ...] = (DEV_INFO,)

    def get(self, uri: str) -> tuple[str, str]:
        """The value of a leaf; the names below an interior node."""
        if uri in self.values:
            return OK, self.values[uri]
        prefix = uri.rstrip("/") + "/"
        below = {u[len(prefix) :].partition("/")[0] for u in self.values if u.startswith(prefix)}
        return (OK, "/".join(sorted(below))) if below else (NOT_FOUND, "")

    def replace(self, uri: str, value: str) -> str:
        """Change a leaf."""
        if uri not in self.values:
            return NOT_FOUND
        return self._change(uri, value)

    def add(self, uri: str, value: str) -> str:
        """Make a leaf; 418: it is there already."""
        return "418" if uri in self.values else self._change(uri, value)

    def delete(self, uri: str) -> str:
        """Remove a leaf, or all below a node."""
        prefix = uri.rstrip("/") + "/"
        found = [each for each in self.values if each == uri or each.startswith(prefix)]
        if not found:
            return NOT_FOUND
        if any(each.startswith(self.read_only) for each in found):
            return NOT_ALLOWED
        for each in found:
            del self.values[each]
        return OK

    def _change(self, uri: str, value: str) -> str:
        if uri.startswith(self.read_only):
            return NOT_ALLOWED
        self.values[uri] = value
        return OK


class DmClient:
    """One client-initiated session.

    Args:
        session: its SessionID.
        device: URI of the device, "IMEI:...".
        server: URI of the server.
        dev_info: `DEV_INFO_NAMES` and their values.
        nodes: the management tree.
        client: what the device proves itself with; None: nothing.
        peer: what the server must prove itself with; None: nothing is asked.
        random: of the nonces.
        media_type: XML or WBXML.

    Attributes:
        outcome: None while it runs; then "complete" or "failed".
        cause: why it failed; one sentence.
    """

    def __init__(
        self,
        session: str,
        device: str,
        server: str,
        dev_info: Mapping[str, str],
        nodes: Nodes,
        client: Proving | None,
        peer: Proving | None,
        random: Random,
        media_type: str = syncml.DM_WBXML,
    ) -> None:
        self.outcome: Literal["complete", "failed"] | None = None
        self.cause = ""
        self._session = session
        self._device = device
        self._server = server
        self._dev_info = dev_info
        self._nodes = nodes
        self._client = client
        self._peer = peer
        self._random = random
        self._media_type = media_type
        self._sent = 0
        self._received = 0
        self._challenged = False
        self._accepted = False
        self._peer_accepted = False
        self._asked_peer = False

    def begin(self) -> Packed:
        """Package 1: the alert, who the device is, and its proof."""
        items = tuple(
            Item(source=f"{DEV_INFO}/{name}", data=self._dev_info[name], meta=Meta("chr"))
            for name in DEV_INFO_NAMES
            if name in self._dev_info
        )
        alert = Command("Alert", "1", data=syncml.CLIENT_INITIATED)
        return self._pack([alert, Command("Replace", "2", items)])

    def receive(self, body: bytes, media_type: str, hmac_header: str = "") -> Packed | None:
        """Take the server's message; gives the next one, None when the session is over."""
        try:
            message = syncml.decode(body, media_type)
        except DecodeError as error:
            self._fail(str(error))
            return None
        self._received += 1
        if self._received > MOST_MESSAGES:
            self._fail(f"the server goes on after {MOST_MESSAGES} messages")
            return None
        if message.session != self._session:
            self._fail(f"the answer is of session {message.session!r}, not {self._session!r}")
            return None
        if not self._accepted:
            status = message.status_of("0")
            code = status.data if status else "no status"
            if status is not None and code in (MISSING, INVALID):
                return self._prove_again(status)
            if code not in (OK, ACCEPTED):
                self._fail(f"the server answers the header by {code}")
                return None
        status = message.status_of("0")
        if status is not None and self._client is not None:
            self._accepted = self._accepted or status.data == ACCEPTED
            self._client.heard(status.challenge)
        return self._check_peer(message, body, hmac_header)

    def _check_peer(self, message: Message, body: bytes, hmac_header: str) -> Packed | None:
        """Is it the server that the account names?  Only then its commands count."""
        data, judged = OK, False
        if self._peer is not None and not self._peer_accepted:
            judged = True
            data = self._peer.judge(message, body, hmac_header)
            if data in (MISSING, INVALID):
                if self._asked_peer:
                    self._fail(f"the server does not prove who it is ({data}, twice)")
                    return None
                self._asked_peer = True
            self._peer_accepted = data == ACCEPTED
        refused = data in (MISSING, INVALID)
        commands = [each for each in message.commands if each.name not in ("Status", "Results")]
        if not refused and not commands and message.is_final:
            self.outcome = "complete"
            return None
        # A new nonce only where the server will hear of it: the last word is the server's.
        challenge = self._peer.challenge(self._random) if self._peer and judged else None
        answers = [header_status(message, "1", data, challenge)]
        if not refused:
            for command in commands:
                answers += self._obey(message, command)
        return self._pack(answers)

    def _prove_again(self, status: Command) -> Packed | None:
        """The server wants another proof: once, with its nonce."""
        if self._challenged or self._client is None:
            self._fail(f"the server refuses the device's proof ({status.data})")
            return None
        if not self._client.heard(status.challenge):
            self._fail(f"the server refuses the proof ({status.data}) and asks for no such kind")
            return None
        self._challenged = True
        return self.begin()

    def _obey(self, message: Message, command: Command) -> list[Command]:
        """The Status of a command, and what it asked for."""
        results: list[Item] = []
        if command.name == "Exec":
            status = NOT_ALLOWED
        elif command.name == "Get":
            status = OK
            for item in command.items:
                status, value = self._nodes.get(item.target)
                if status == OK:
                    results.append(Item(source=item.target, data=value, meta=Meta("chr")))
        else:
            status = self._change(command)
        answers = [
            Command(
                *("Status", ""),
                data=status,
                message_reference=message.number,
                command_reference=command.number,
                command=command.name,
                targets=tuple(item.target for item in command.items if item.target),
            )
        ]
        if results:
            answers.append(
                Command(
                    *("Results", "", tuple(results)),
                    message_reference=message.number,
                    command_reference=command.number,
                    command="Get",
                )
            )
        for inner in command.inner:
            answers += self._obey(message, inner)
        return answers

    def _change(self, command: Command) -> str:
        status = OK
        for item in command.items:
            match command.name:
                case "Replace":
                    status = self._nodes.replace(item.target, item.data)
                case "Add":
                    status = self._nodes.add(item.target, item.data)
                case "Delete":
                    status = self._nodes.delete(item.target)
                case "Alert":
                    status = OK
                case _:
                    status = "406"  # optional feature, not supported
            if status != OK:
                break
        return status

    def _pack(self, commands: list[Command]) -> Packed:
        self._sent += 1
        message = Message(
            *(self._session, str(self._sent), self._server, self._device),
            commands=numbered(commands),
            most_octets="16384" if self._sent == 1 else "",
            media_type=self._media_type,
        )
        if self._client is not None:
            message = replace(message, source_name=self._client.credentials.name)
        needs_proof = self._client is not None and (
            not self._accepted or self._client.credentials.kind == "HMAC"
        )
        return pack(message, self._client if needs_proof else None)

    def _fail(self, cause: str) -> None:
        self.outcome = "failed"
        self.cause = cause
