"""The remote procedure calls of CWMP and their responses (TR-069 Annex A), as frozen data.

Each field says which XML element carries it, so that one codec (`envelope`) reads and writes all.
Values are kept as the text that travels; what they may be is the data model's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.protocols.cwmp.faults import meaning
from testbed.protocols.cwmp.structs import AttributeChange as AttributeChange
from testbed.protocols.cwmp.structs import DeviceId as DeviceId
from testbed.protocols.cwmp.structs import Element, Kind, boolean, integer, structs, text, texts
from testbed.protocols.cwmp.structs import Event as Event
from testbed.protocols.cwmp.structs import ParameterAttributes as ParameterAttributes
from testbed.protocols.cwmp.structs import ParameterFault as ParameterFault
from testbed.protocols.cwmp.structs import ParameterInfo as ParameterInfo
from testbed.protocols.cwmp.structs import ParameterValue as ParameterValue
from testbed.protocols.cwmp.structs import TransferFault as TransferFault

UNKNOWN_TIME = "0001-01-01T00:00:00Z"
"""The dateTime of a moment that is not known (TR-106 2.2)."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """Base of every call and response.  The element's name is the class's."""

    @property
    def method(self) -> str:
        """The name of the element in the SOAP Body ("Inform")."""
        return type(self).__name__

    @property
    def is_response(self) -> bool:
        """Whether it answers a call rather than being one."""
        return self.method.endswith("Response") or isinstance(self, Fault)

    def summary(self) -> str:
        """One line for a ladder."""
        return f"CWMP {self.method}"


@dataclass(frozen=True, slots=True)
class Inform(Rpc):
    """CPE to ACS, first of every session.

    Attributes:
        device_id: who speaks.
        events: why.
        max_envelopes: 1, and to be ignored.
        current_time: the CPE's clock as an ISO 8601 text.
        retry_count: how often this session was tried before.
        parameters: forced ones, changed ones, and what the CPE adds (an HNB: its location).
    """

    device_id: DeviceId = field(
        default=DeviceId(), metadata={"xml": Element("DeviceId", Kind.STRUCT, DeviceId)}
    )
    events: tuple[Event, ...] = structs("Event", Event, "EventStruct")
    max_envelopes: int = integer("MaxEnvelopes", 1)
    current_time: str = text("CurrentTime", UNKNOWN_TIME)
    retry_count: int = integer("RetryCount")
    parameters: tuple[ParameterValue, ...] = structs(
        "ParameterList", ParameterValue, "ParameterValueStruct"
    )

    def value(self, name: str) -> str | None:
        """The value of the parameter of that full name; None: it is not in the list."""
        return next((each.value for each in self.parameters if each.name == name), None)

    def summary(self) -> str:
        """One line for a ladder: with its events, in their order."""
        return f"CWMP Inform {','.join(event.code for event in self.events)}".rstrip()


@dataclass(frozen=True, slots=True)
class InformResponse(Rpc):
    """ACS to CPE: the session is welcome."""

    max_envelopes: int = integer("MaxEnvelopes", 1)


@dataclass(frozen=True, slots=True)
class GetRPCMethods(Rpc):
    """Either way: which methods do you know?"""


@dataclass(frozen=True, slots=True)
class GetRPCMethodsResponse(Rpc):
    """The methods, by name."""

    methods: tuple[str, ...] = texts("MethodList")


@dataclass(frozen=True, slots=True)
class SetParameterValues(Rpc):
    """ACS to CPE: set all of these, or none; on success the parameter key becomes `key`."""

    parameters: tuple[ParameterValue, ...] = structs(
        "ParameterList", ParameterValue, "ParameterValueStruct"
    )
    key: str = text("ParameterKey")

    def summary(self) -> str:
        """One line for a ladder: with the last parts of the names."""
        return f"CWMP SetParameterValues {_leaves(tuple(each.name for each in self.parameters))}"


@dataclass(frozen=True, slots=True)
class SetParameterValuesResponse(Rpc):
    """Set; status 0: in force, 1: after a reboot."""

    status: int = integer("Status")


@dataclass(frozen=True, slots=True)
class GetParameterValues(Rpc):
    """ACS to CPE: the values of these; a name that ends with "." means all below it."""

    names: tuple[str, ...] = texts("ParameterNames")

    def summary(self) -> str:
        """One line for a ladder: with the last parts of the names."""
        return f"CWMP GetParameterValues {_leaves(self.names)}"


@dataclass(frozen=True, slots=True)
class GetParameterValuesResponse(Rpc):
    """The values."""

    parameters: tuple[ParameterValue, ...] = structs(
        "ParameterList", ParameterValue, "ParameterValueStruct"
    )


@dataclass(frozen=True, slots=True)
class GetParameterNames(Rpc):
    """ACS to CPE: what is below this path; `next_level`: one level only."""

    path: str = text("ParameterPath")
    next_level: bool = boolean("NextLevel")

    def summary(self) -> str:
        """One line for a ladder: with the path."""
        return f"CWMP GetParameterNames {self.path or '(all)'}"


@dataclass(frozen=True, slots=True)
class GetParameterNamesResponse(Rpc):
    """The names."""

    parameters: tuple[ParameterInfo, ...] = structs(
        "ParameterList", ParameterInfo, "ParameterInfoStruct"
    )


@dataclass(frozen=True, slots=True)
class SetParameterAttributes(Rpc):
    """ACS to CPE: notify me so."""

    parameters: tuple[AttributeChange, ...] = structs(
        "ParameterList", AttributeChange, "SetParameterAttributesStruct"
    )


@dataclass(frozen=True, slots=True)
class SetParameterAttributesResponse(Rpc):
    """All are set."""


@dataclass(frozen=True, slots=True)
class GetParameterAttributes(Rpc):
    """ACS to CPE: how are these notified?"""

    names: tuple[str, ...] = texts("ParameterNames")


@dataclass(frozen=True, slots=True)
class GetParameterAttributesResponse(Rpc):
    """The attributes."""

    parameters: tuple[ParameterAttributes, ...] = structs(
        "ParameterList", ParameterAttributes, "ParameterAttributeStruct"
    )


@dataclass(frozen=True, slots=True)
class AddObject(Rpc):
    """ACS to CPE: one more instance of this table."""

    object_name: str = text("ObjectName")
    key: str = text("ParameterKey")


@dataclass(frozen=True, slots=True)
class AddObjectResponse(Rpc):
    """Its instance number."""

    instance_number: int = integer("InstanceNumber")
    status: int = integer("Status")


@dataclass(frozen=True, slots=True)
class DeleteObject(Rpc):
    """ACS to CPE: without this instance, please."""

    object_name: str = text("ObjectName")
    key: str = text("ParameterKey")


@dataclass(frozen=True, slots=True)
class DeleteObjectResponse(Rpc):
    """It is gone."""

    status: int = integer("Status")


@dataclass(frozen=True, slots=True)
class Reboot(Rpc):
    """ACS to CPE: start anew after this session."""

    command_key: str = text("CommandKey")


@dataclass(frozen=True, slots=True)
class RebootResponse(Rpc):
    """It will."""


@dataclass(frozen=True, slots=True)
class FactoryReset(Rpc):
    """ACS to CPE: forget all but factory data after this session."""


@dataclass(frozen=True, slots=True)
class FactoryResetResponse(Rpc):
    """It will."""


@dataclass(frozen=True, slots=True)
class Download(Rpc):
    """ACS to CPE: fetch this file."""

    command_key: str = text("CommandKey")
    file_type: str = text("FileType")
    url: str = text("URL")
    username: str = text("Username")
    password: str = text("Password")
    file_size: int = integer("FileSize")
    target_file_name: str = text("TargetFileName")
    delay_s: int = integer("DelaySeconds")
    success_url: str = text("SuccessURL")
    failure_url: str = text("FailureURL")


@dataclass(frozen=True, slots=True)
class DownloadResponse(Rpc):
    """Status 0: done already; 1: a TransferComplete will tell."""

    status: int = integer("Status", 1)
    start_time: str = text("StartTime", UNKNOWN_TIME)
    complete_time: str = text("CompleteTime", UNKNOWN_TIME)


@dataclass(frozen=True, slots=True)
class TransferComplete(Rpc):
    """CPE to ACS: the transfer that you asked for has ended."""

    command_key: str = text("CommandKey")
    fault: TransferFault = field(
        default=TransferFault(),
        metadata={"xml": Element("FaultStruct", Kind.STRUCT, TransferFault)},
    )
    start_time: str = text("StartTime", UNKNOWN_TIME)
    complete_time: str = text("CompleteTime", UNKNOWN_TIME)


@dataclass(frozen=True, slots=True)
class TransferCompleteResponse(Rpc):
    """Noted."""


@dataclass(frozen=True, slots=True)
class ScheduleInform(Rpc):
    """ACS to CPE: open a session in so many seconds."""

    delay_s: int = integer("DelaySeconds")
    command_key: str = text("CommandKey")


@dataclass(frozen=True, slots=True)
class ScheduleInformResponse(Rpc):
    """It will."""


@dataclass(frozen=True, slots=True)
class Fault(Rpc):
    """Either way: the call was not carried out.

    Attributes:
        code: of TR-069 A.5; 0: a plain SOAP fault, without CWMP's detail.
        text: what the sender says of it.
        parameters: why each parameter of a SetParameterValues could not be set.
        soap_code: "Client" or "Server", without its prefix; what a SOAP fault has besides the two
            ("MustUnderstand", "VersionMismatch") is kept as it came.
        soap_text: "CWMP fault", where the sender obeys TR-069 3.5.
    """

    code: int = integer("FaultCode")
    text: str = text("FaultString")
    parameters: tuple[ParameterFault, ...] = ()
    soap_code: str = "Client"
    soap_text: str = "CWMP fault"

    def summary(self) -> str:
        """One line for a ladder: with code and text."""
        if not self.code:
            return f"SOAP Fault {self.soap_code} {self.soap_text}".rstrip()
        return f"CWMP Fault {self.code} {self.text}".rstrip()


@dataclass(frozen=True, slots=True)
class Unknown(Rpc):
    """A method that no table here holds.  Its content stays in the envelope's raw octets."""

    name: str = "Unknown"

    @property
    def method(self) -> str:
        """The name of the element in the SOAP Body."""
        return self.name


def fault(code: int, sentence: str = "", parameters: tuple[ParameterFault, ...] = ()) -> Fault:
    """A fault as TR-069 wants it: SOAP's faultcode by the code's table, its text unless told."""
    known = meaning(code)
    return Fault(code, sentence or known.text, parameters, known.source.value)


_CLASSES: tuple[type[Rpc], ...] = (
    *(Inform, InformResponse, GetRPCMethods, GetRPCMethodsResponse),
    *(SetParameterValues, SetParameterValuesResponse),
    *(GetParameterValues, GetParameterValuesResponse),
    *(GetParameterNames, GetParameterNamesResponse),
    *(SetParameterAttributes, SetParameterAttributesResponse),
    *(GetParameterAttributes, GetParameterAttributesResponse),
    *(AddObject, AddObjectResponse, DeleteObject, DeleteObjectResponse),
    *(Reboot, RebootResponse, FactoryReset, FactoryResetResponse),
    *(Download, DownloadResponse, TransferComplete, TransferCompleteResponse),
    *(ScheduleInform, ScheduleInformResponse),
)

METHODS: dict[str, type[Rpc]] = {each.__name__: each for each in _CLASSES}
"""Every call and response by the name of its element."""

ACS_METHODS = ("Inform", "GetRPCMethods", "TransferComplete")
"""What a CPE may call on an ACS here."""

CPE_METHODS = (
    *("GetRPCMethods", "SetParameterValues", "GetParameterValues", "GetParameterNames"),
    *("SetParameterAttributes", "GetParameterAttributes", "AddObject", "DeleteObject"),
    *("Reboot", "Download", "FactoryReset", "ScheduleInform"),
)
"""What an ACS may call on a CPE here."""


def response_to(request: Rpc) -> str:
    """The element name of the response that a call expects ("InformResponse")."""
    return f"{request.method}Response"


def _leaves(names: tuple[str, ...], most: int = 4) -> str:
    """The last parts of some parameter names, the rest counted."""
    shown = [name.rstrip(".").rpartition(".")[2] or "(all)" for name in names[:most]]
    more = f",+{len(names) - most}" if len(names) > most else ""
    return ",".join(shown) + more
