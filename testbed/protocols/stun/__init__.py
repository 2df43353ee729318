"""STUN as TR-111 Part 2 uses it (RFC 3489): messages, integrity, transactions, client, server."""

from testbed.protocols.stun.attributes import (
    CONNECTION_REQUEST_BINDING_VALUE,
    Attribute,
    Change,
    Kind,
    UsernamePadding,
)
from testbed.protocols.stun.binding import BindingClient
from testbed.protocols.stun.client_policy import (
    BindingDetermined,
    ClientEvent,
    ClientPolicy,
    ClientSettings,
    Discarded,
    LadderWanted,
    NoAnswer,
    NotStun,
    PhaseChanged,
    Probed,
    Purpose,
    Rejected,
)
from testbed.protocols.stun.client_policy import Malformed as ClientMalformed
from testbed.protocols.stun.client_policy import Side as ClientSide
from testbed.protocols.stun.integrity import Computation, sign, signed_by
from testbed.protocols.stun.ladder import Ladder, LadderEnded
from testbed.protocols.stun.lifetime import LifetimePolicy, Phase, Search
from testbed.protocols.stun.message import (
    BindingErrorResponse,
    BindingRequest,
    BindingResponse,
    Message,
    OtherMessage,
    SharedSecretErrorResponse,
    SharedSecretRequest,
    SharedSecretResponse,
    decode,
    is_stun,
)
from testbed.protocols.stun.server import Secret, StunServer
from testbed.protocols.stun.server_policy import (
    BindingStored,
    Challenge,
    Reflection,
    Refused,
    ServerEvent,
    ServerPolicy,
    Sighted,
)
from testbed.protocols.stun.server_policy import Malformed as ServerMalformed
from testbed.protocols.stun.server_policy import Side as ServerSide

PORT = 3478

__all__ = [
    "CONNECTION_REQUEST_BINDING_VALUE",
    "PORT",
    "Attribute",
    "BindingClient",
    "BindingDetermined",
    "BindingErrorResponse",
    "BindingRequest",
    "BindingResponse",
    "BindingStored",
    "Challenge",
    "Change",
    "ClientEvent",
    "ClientMalformed",
    "ClientPolicy",
    "ClientSettings",
    "ClientSide",
    "Computation",
    "Discarded",
    "Kind",
    "Ladder",
    "LadderEnded",
    "LadderWanted",
    "LifetimePolicy",
    "Message",
    "NoAnswer",
    "NotStun",
    "OtherMessage",
    "Phase",
    "PhaseChanged",
    "Probed",
    "Purpose",
    "Reflection",
    "Refused",
    "Rejected",
    "Search",
    "Secret",
    "ServerEvent",
    "ServerMalformed",
    "ServerPolicy",
    "ServerSide",
    "SharedSecretErrorResponse",
    "SharedSecretRequest",
    "SharedSecretResponse",
    "Sighted",
    "StunServer",
    "UsernamePadding",
    "decode",
    "is_stun",
    "sign",
    "signed_by",
]
