"""What both ends of a DM session share: who proves what to whom, with which nonce.

A proof lies in a message's header (MD5, basic) or beside the message in an HTTP header (HMAC).
Nonces outlive sessions: whoever checks proofs gives the nonce of the next one (Chal), and a side
that lost it is told by a challenge, once (OMA-TS-DM 1.2 security, 5.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from testbed.errors import DecodeError
from testbed.protocols.dm import proofs
from testbed.protocols.dm.account import Credentials
from testbed.protocols.dm.syncml import Command, Message, Meta, with_credential

KINDS = {"BASIC": proofs.AUTH_BASIC, "DIGEST": proofs.AUTH_MD5, "HMAC": proofs.AUTH_MAC}
OK = "200"
ACCEPTED = "212"
"""The sender's proof holds for the rest of the session."""
MISSING, INVALID = "407", "401"
NOT_ALLOWED, NOT_FOUND = "405", "404"
NONCE_OCTETS = 16


@dataclass(frozen=True, slots=True)
class Packed:
    """A message ready for its way over HTTP.

    Attributes:
        message: what it says.
        body: its octets.
        headers: beside Content-Type: the HMAC, where that is the proof.
    """

    message: Message
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Proving:
    """One side's credentials, and the nonce of its next proof.

    Attributes:
        credentials: name and secret.
        nonce: in base 64; changed by challenges.
    """

    credentials: Credentials
    nonce: str

    @classmethod
    def of(cls, credentials: Credentials) -> Proving:
        """Before the first session: the nonce that came with the account."""
        return cls(credentials, credentials.nonce)

    def pack(self, message: Message) -> Packed:
        """The message with the proof that its sender is who it says."""
        told = self.credentials
        match told.kind:
            case "HMAC":
                body = message.encode()
                header = (proofs.HMAC_HEADER, proofs.hmac_header(told, self.nonce, body))
                return Packed(message, body, (header,))
            case "DIGEST":
                proved = with_credential(message, proofs.AUTH_MD5, proofs.digest(told, self.nonce))
            case _:
                proved = with_credential(message, proofs.AUTH_BASIC, proofs.basic(told))
        return Packed(proved, proved.encode())

    def judge(self, message: Message, body: bytes, hmac_header: str) -> str:
        """The status that a received message's proof deserves: 200, 212, 401 or 407."""
        told = self.credentials
        if told.kind == "HMAC":
            if not hmac_header:
                return MISSING
            try:
                name, mac = proofs.read_hmac_header(hmac_header)
            except DecodeError:
                return INVALID
            wanted = proofs.message_mac(told, self.nonce, body)
            return OK if (name, mac) == (told.name, wanted) else INVALID
        if message.credential is None:
            return MISSING
        meta, value = message.credential
        is_digest = told.kind == "DIGEST"
        wanted = proofs.digest(told, self.nonce) if is_digest else proofs.basic(told)
        if meta.type != KINDS[told.kind] or value != wanted:
            return INVALID
        return ACCEPTED

    def challenge(self, random: Random) -> Meta:
        """A new nonce for the next proof, as a Chal tells it."""
        if self.credentials.kind == "BASIC":
            return Meta("b64", proofs.AUTH_BASIC)
        self.nonce = proofs.new_nonce(random.randbytes(NONCE_OCTETS))
        return Meta("b64", KINDS[self.credentials.kind], self.nonce)

    def heard(self, challenge: Meta | None) -> bool:
        """Take the nonce of a challenge; whether it is of this kind, with a nonce that is one."""
        if challenge is None or challenge.type != KINDS[self.credentials.kind]:
            return False
        try:
            proofs.nonce_octets(challenge.next_nonce)
        except DecodeError:
            return False  # kept, it would spoil the proofs of all sessions to come
        if challenge.next_nonce:
            self.nonce = challenge.next_nonce
        return True


def pack(message: Message, proving: Proving | None) -> Packed:
    """The message, proved where its sender has what to prove with."""
    return proving.pack(message) if proving else Packed(message, message.encode())


def header_status(message: Message, number: str, data: str, challenge: Meta | None) -> Command:
    """The Status of a received message's header."""
    return Command(
        *("Status", number),
        data=data,
        message_reference=message.number,
        command_reference="0",
        command="SyncHdr",
        targets=(message.target,),
        sources=(message.source,),
        challenge=challenge,
    )


def numbered(commands: Sequence[Command], first: int = 1) -> tuple[Command, ...]:
    """The commands with CmdID 1, 2, 3 ..., those inside others after them."""
    found = []
    for command in commands:
        inner = numbered(command.inner, first + 1)
        found.append(replace(command, number=str(first), inner=inner))
        first += 1 + sum(1 for _ in _all(inner))
    return tuple(found)


def _all(commands: Sequence[Command]) -> Iterator[Command]:
    for command in commands:
        yield command
        yield from _all(command.inner)
