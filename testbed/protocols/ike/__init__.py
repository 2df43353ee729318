"""IKEv2 and ESP as they are seen on a wire (RFC 7296, 7383, 3948, 4303): messages and keys.

Opening what is encrypted is in `opening`, which costs an import of cryptography.
"""

from testbed.protocols.ike.cutting import decode
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.ike.message import (
    Auth,
    CreateChild,
    IkeMessage,
    Informational,
    OtherVersion,
    SaInit,
)
from testbed.protocols.ike.port_4500 import (
    EspPacket,
    NatKeepalive,
    decode_4500,
    decode_esp,
)

PORT, NAT_PORT = 500, 4500

__all__ = [
    "NAT_PORT",
    "PORT",
    "Auth",
    "CreateChild",
    "EspKeys",
    "EspPacket",
    "IkeKeys",
    "IkeMessage",
    "Informational",
    "NatKeepalive",
    "OtherVersion",
    "SaInit",
    "decode",
    "decode_4500",
    "decode_esp",
]
