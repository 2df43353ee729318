"""The fault codes of CWMP and what they mean (TR-069 A.5), as data.

8000 to 8005 are sent by an ACS, 9000 to 9019 by a CPE.  Knows no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FaultSource(Enum):
    """Who is to blame, in SOAP's words: the value of the element `faultcode`."""

    CLIENT = "Client"
    SERVER = "Server"


@dataclass(frozen=True, slots=True)
class FaultMeaning:
    """One row of the tables of TR-069 A.5.

    Attributes:
        code: the number on the wire.
        text: its meaning, as a FaultString says it.
        source: whom SOAP's faultcode names.
        trigger: what makes a peer send it.
    """

    code: int
    text: str
    source: FaultSource
    trigger: str


_CLIENT, _SERVER = FaultSource.CLIENT, FaultSource.SERVER

METHOD_NOT_SUPPORTED = 9000
REQUEST_DENIED = 9001
INTERNAL_ERROR = 9002
INVALID_ARGUMENTS = 9003
RESOURCES_EXCEEDED = 9004
INVALID_PARAMETER_NAME = 9005
INVALID_PARAMETER_TYPE = 9006
INVALID_PARAMETER_VALUE = 9007
NOT_WRITABLE = 9008
NOTIFICATION_REJECTED = 9009

ACS_METHOD_NOT_SUPPORTED = 8000
ACS_REQUEST_DENIED = 8001
ACS_INTERNAL_ERROR = 8002
ACS_INVALID_ARGUMENTS = 8003
ACS_RESOURCES_EXCEEDED = 8004
RETRY_REQUEST = 8005

_ROWS = (
    (8000, "Method not supported", _SERVER, "the CPE called a method that the ACS lacks"),
    (8001, "Request denied", _SERVER, "the ACS will not, and gives no reason"),
    (8002, "Internal error", _SERVER, "something failed inside the ACS"),
    (8003, "Invalid arguments", _CLIENT, "an argument is missing, malformed or out of range"),
    (8004, "Resources exceeded", _SERVER, "the ACS has too much to do or to keep"),
    (8005, "Retry request", _SERVER, "the CPE is to send the same request again"),
    (9000, "Method not supported", _SERVER, "the ACS called a method that the CPE lacks"),
    (9001, "Request denied", _SERVER, "the CPE will not, and gives no reason"),
    (9002, "Internal error", _SERVER, "something failed inside the CPE"),
    (9003, "Invalid arguments", _CLIENT, "an argument is wrong, or a parameter in the list is"),
    (9004, "Resources exceeded", _SERVER, "no room, for instance for another instance"),
    (9005, "Invalid parameter name", _CLIENT, "no parameter or object has this name"),
    (9006, "Invalid parameter type", _CLIENT, "the xsi:type is not the parameter's type"),
    (9007, "Invalid parameter value", _CLIENT, "the value is outside the parameter's range"),
    (9008, "Attempt to set a non-writable parameter", _CLIENT, "the parameter is read-only"),
    (9009, "Notification request rejected", _SERVER, "this notification cannot be had"),
    (9010, "Download failure", _SERVER, "a download failed, no closer reason"),
    (9011, "Upload failure", _SERVER, "an upload failed, no closer reason"),
    (9012, "File transfer server authentication failure", _SERVER, "wrong user or password"),
    (9013, "Unsupported protocol for file transfer", _SERVER, "the URL's scheme is not known"),
    (9014, "Download failure: unable to join multicast group", _SERVER, "multicast failed"),
    (9015, "Download failure: unable to contact file server", _SERVER, "no connection"),
    (9016, "Download failure: unable to access file", _SERVER, "the server has no such file"),
    (9017, "Download failure: unable to complete download", _SERVER, "it broke off"),
    (9018, "Download failure: file corrupted", _SERVER, "the file is not what it claims"),
    (9019, "Download failure: file authentication failure", _SERVER, "its signature is wrong"),
)

FAULTS: dict[int, FaultMeaning] = {row[0]: FaultMeaning(*row) for row in _ROWS}
"""Every fault code that TR-069 1-0 and 1-1 name, by number."""


def meaning(code: int) -> FaultMeaning:
    """What a fault code means; of a code that no table holds, what its range says."""
    known = FAULTS.get(code)
    if known is not None:
        return known
    if 8800 <= code <= 8899 or 9800 <= code <= 9899:
        return FaultMeaning(code, "Vendor-defined fault", _SERVER, "a vendor's own reason")
    return FaultMeaning(code, "Unknown fault", _SERVER, "no table of TR-069 holds this code")
