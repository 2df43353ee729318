"""How a STUN server behaves, and what it tells; plain data for `server`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from testbed.errors import DecodeError
from testbed.protocols.stun.integrity import Computation
from testbed.protocols.wire import Endpoint

Challenge = Literal["none", "binding-change", "marked", "all"]
"""Which requests without MESSAGE-INTEGRITY are answered 401: those with BINDING-CHANGE and
CONNECTION-REQUEST-BINDING, all with CONNECTION-REQUEST-BINDING, or simply all."""

Reflection = Literal["same-address", "always", "never"]
"""For which RESPONSE-ADDRESS a response goes there: for those of the requester's own IP address
(else everybody could have packets sent to anybody), for all, or for none."""


class Side(StrEnum):
    """The server's sockets: its address and its port, or the other address or port."""

    MAIN = "main"
    OTHER_PORT = "other port"
    OTHER_ADDRESS = "other address"
    OTHER_BOTH = "other address and port"


@dataclass(frozen=True, slots=True)
class ServerPolicy:
    """How a server behaves; the defaults suit TR-111's STUN-based approach.

    Attributes:
        challenge: whom it challenges.
        stores: whether it tells bindings that a signed request proves.
        reflection: where RESPONSE-ADDRESS is honoured; elsewhere it is as if it were not there.
        changes: whether CHANGE-REQUEST is honoured by a server that has other sockets; one that
            has none ignores it (TR-111 2.2.2.1).
        computations: the ways of signing that it accepts; it answers in the one that it saw.
        xor_mapped_address: whether requests with the magic cookie get XOR-MAPPED-ADDRESS too.
        software: of its SOFTWARE attribute, for requests with the cookie; "": none.
        remembers_s: how long copies of a request that stored a binding are known as copies.
    """

    challenge: Challenge = "binding-change"
    stores: bool = True
    reflection: Reflection = "same-address"
    changes: bool = True
    computations: tuple[Computation, ...] = tuple(Computation)
    xor_mapped_address: bool = True
    software: str = ""
    remembers_s: float = 30.0


@dataclass(frozen=True, slots=True)
class BindingStored:
    """A signed request has proved where a CPE can be reached.

    Attributes:
        username: whose binding it is.
        endpoint: the request's source, as it came in.
        transaction_id: once for each.
        is_change: whether the request said BINDING-CHANGE.
    """

    username: str
    endpoint: Endpoint
    transaction_id: bytes
    is_change: bool


@dataclass(frozen=True, slots=True)
class Sighted:
    """A request that nobody has proved names a CPE, at an endpoint that is new for that name."""

    username: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Refused:
    """A request was answered by an error.

    Attributes:
        code: 400, 401, 420, 430, 431, 432, 433.
        source: who sent it.
        username: that it named; None: none.
    """

    code: int
    source: Endpoint
    username: str | None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A datagram that is no STUN message.  Whoever sent it hears nothing."""

    error: DecodeError
    source: Endpoint


ServerEvent = BindingStored | Sighted | Refused | Malformed
