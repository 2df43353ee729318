"""STUN servers that break RFC 3489, or what TR-111 Part 2 adds to it."""

from __future__ import annotations

import dataclasses

from testbed.faults.fault import fault
from testbed.faults.stun_bending import (
    DISCOVERY,
    rewritten,
)
from testbed.protocols import stun
from testbed.protocols.stun import Attribute, Kind, ServerSide
from testbed.protocols.stun.attributes import address_value, error_code, unknown_attributes
from testbed.protocols.wire import Endpoint
from testbed.roles.stun_server import StunServer

# The server's


@fault(
    "stun.server-refuses-tr-111",
    role="stun_server",
    breaks=["TR111-2.2.1.3-C2", "TR111-2.2.3-F3"],
    acts_on="message stun",
    shown_in=DISCOVERY,
)
def server_refuses_tr_111(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """420 (Unknown Attribute) for 0xC001, which is to be ignored by those who do not know it."""
    if not isinstance(message, stun.BindingResponse):
        return [message]
    listed = unknown_attributes([Kind.CONNECTION_REQUEST_BINDING])
    attributes = (error_code(420, "Unknown Attribute"), listed)
    return [stun.BindingErrorResponse(message.transaction_id, attributes)]


@fault(
    "stun.server-says-another-port",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S1", "TR111-2.2.3-F3"],
    acts_on="message stun",
    shown_in=DISCOVERY,
)
def server_says_another_port(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """MAPPED-ADDRESS has the port after that which the request came from; the CPE believes it."""
    mapped = message.mapped_address
    if mapped is None:
        return [message]
    other = address_value(Endpoint(mapped.address, mapped.port % 65535 + 1))
    wrong = Attribute(Kind.MAPPED_ADDRESS, other)
    return [message.replacing([wrong if e.type == wrong.type else e for e in message.attributes])]


@fault(
    "stun.server-without-changed-address",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S1"],
    acts_on="message stun",
    seen_in="servers of RFC 5389",
    shown_in=DISCOVERY,
)
def server_without_changed_address(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """Responses have no CHANGED-ADDRESS."""
    return [message.without(Kind.CHANGED_ADDRESS)]


@fault(
    "stun.server-with-empty-changed-address",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S5", "TR111-2.2.3-0"],
    acts_on="message stun",
    shown_in=("nat_binding_discovery/one_address",),
)
def server_with_empty_changed_address(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """A server without a second address says 0.0.0.0:0 in CHANGED-ADDRESS."""
    nowhere = Attribute(Kind.CHANGED_ADDRESS, b"\0\1" + bytes(6))
    return [
        message.replacing([nowhere if e.type == nowhere.type else e for e in message.attributes])
    ]


@fault(
    "stun.server-answers-from-elsewhere",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S1", "TR111-2.2.2.1-S4"],
    shown_in=DISCOVERY,
)
def server_answers_from_elsewhere(server: StunServer) -> None:
    """Responses come from the other port: most NATs let none of them in."""
    rewritten(server, lambda s: [dataclasses.replace(e, side=ServerSide.OTHER_PORT) for e in s])
