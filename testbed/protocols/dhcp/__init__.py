"""DHCP for IPv4: `decode`, the messages, a client and a server without clock and socket.

RFC 2131, 2132, 3396, 3925.  `dhcp.decode(octets)` gives a `Discover`, `Offer`, ...; `DhcpClient`
and `DhcpServer` are machines that a host drives.  The events of the client are at
`client_events`, those of the server at `server_events`.
"""

from testbed.protocols.dhcp import client_events, server_events
from testbed.protocols.dhcp.client import CLIENT_PORT, SERVER_PORT, DhcpClient
from testbed.protocols.dhcp.client_events import ClientEvent
from testbed.protocols.dhcp.client_policy import COMMON_PARAMETERS, ClientPolicy
from testbed.protocols.dhcp.client_states import TRANSITIONS, State
from testbed.protocols.dhcp.kinds import (
    Ack,
    Decline,
    Discover,
    Inform,
    Nak,
    Offer,
    Release,
    Request,
)
from testbed.protocols.dhcp.lease import Lease
from testbed.protocols.dhcp.message import Malformed, Message, decode
from testbed.protocols.dhcp.options import (
    Code,
    Option,
    VendorIdentity,
    cut_vendor_identity,
    vendor_identity,
)
from testbed.protocols.dhcp.server import AnswerOptions, DhcpServer
from testbed.protocols.dhcp.server_events import Binding, ServerEvent
from testbed.protocols.dhcp.server_policy import ServerPolicy, address_range

__all__ = [
    "CLIENT_PORT",
    "COMMON_PARAMETERS",
    "SERVER_PORT",
    "TRANSITIONS",
    "Ack",
    "AnswerOptions",
    "Binding",
    "ClientEvent",
    "ClientPolicy",
    "Code",
    "Decline",
    "DhcpClient",
    "DhcpServer",
    "Discover",
    "Inform",
    "Lease",
    "Malformed",
    "Message",
    "Nak",
    "Offer",
    "Option",
    "Release",
    "Request",
    "ServerEvent",
    "ServerPolicy",
    "State",
    "VendorIdentity",
    "address_range",
    "client_events",
    "cut_vendor_identity",
    "decode",
    "server_events",
    "vendor_identity",
]
