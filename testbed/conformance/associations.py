"""Associations as a trace shows them: DHCP with identities, tables, GatewayInfo, what ACSs decide.

Read for checks, never judged.  Whoever the scenario itself has made tell something else (event
"STAGED") is no longer the one that is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from testbed.conformance.index import index_of, remembered
from testbed.conformance.reading import events_of, is_one_of, staged
from testbed.conformance.sessions import Session, sessions
from testbed.protocols import dhcp
from testbed.protocols.association import NOBODY, Identity, device_in, gateway_in
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Request
from testbed.trace.record import Record
from testbed.trace.trace import Trace

GATEWAY = "InternetGatewayDevice."
SERVER = f"{GATEWAY}ManagementServer."
TABLE, COUNT = f"{SERVER}ManageableDevice.", f"{SERVER}ManageableDeviceNumberOfEntries"
LIMIT = f"{SERVER}ManageableDeviceNotificationLimit"
INFO = "Device.GatewayInfo."
ELEMENTS = ("ManufacturerOUI", "SerialNumber", "ProductClass")
ASKING = (dhcp.Discover, dhcp.Request, dhcp.Inform)
ANSWERING = (dhcp.Offer, dhcp.Ack)
VALUE_CHANGE, BOOTSTRAP, BOOT = "4 VALUE CHANGE", "0 BOOTSTRAP", "1 BOOT"


def _players(trace: Trace, *roles: str) -> list[str]:
    known = [each for role in roles for each in trace.nodes_with_role(role)]
    return known or [each for each in trace.addresses.nodes if is_one_of(each, *roles)]


@remembered
def devices(trace: Trace) -> list[str]:
    """The devices that an ACS manages or that tell who they are, as they were made to."""
    found = [
        each
        for each in _players(trace, "device", "hnb")
        if _informs(trace, each) or any(device_in_record(r) for r in requests(trace, each))
    ]
    return [each for each in found if not staged(trace, each, "vendor_identity")]


@remembered
def managed_devices(trace: Trace) -> list[str]:
    """The devices that an ACS manages, whatever they are made to tell."""
    return [each for each in _players(trace, "device", "hnb") if _informs(trace, each)]


def _informs(trace: Trace, node: str) -> bool:
    """Whether a node has a CWMP client: what else goes by HTTP is none."""
    return any(each.inform is not None for each in sessions(trace, node))


@remembered
def gateways(trace: Trace) -> list[str]:
    """The gateways that an ACS manages, or that tell who they are."""
    return [
        each
        for each in _players(trace, "gateway")
        if _informs(trace, each) or any(gateway_in_record(a) for a, _ in answers(trace, each))
    ]


@remembered
def acss(trace: Trace) -> list[str]:
    """Whoever has had sessions."""
    cpes = [*managed_devices(trace), *_players(trace, "gateway")]
    return list(dict.fromkeys(s.acs for each in cpes for s in sessions(trace, each) if s.acs))


# DHCP


@remembered
def requests(trace: Trace, node: str) -> list[Record]:
    """The DISCOVERs, REQUESTs and INFORMs of a node."""
    return [
        each
        for each in index_of(trace).of_node.get(node, ())
        if isinstance(each.message, ASKING) and each.sender == node
    ]


class Answer(NamedTuple):
    """An OFFER or ACK, and the request that it answers."""

    record: Record
    request: Record | None


@remembered
def answers(trace: Trace, gateway: str) -> list[Answer]:
    """The OFFERs and ACKs of a gateway, with what they answer."""
    asked: dict[tuple[int, str], Record] = {}
    found = []
    for record in trace.records:
        message = record.message
        if isinstance(message, ASKING):
            asked[message.xid, message.hardware_address] = record
        elif isinstance(message, ANSWERING) and record.sender == gateway:
            key = message.xid, message.hardware_address
            found.append(Answer(record, asked.get(key)))
    return found


def device_in_record(record: Record) -> Identity | None:
    """The Device Identity in a DHCP message."""
    return device_in(record.message.vendor_identity)


def gateway_in_record(record: Record) -> Identity | None:
    """The Gateway Identity in a DHCP message."""
    return gateway_in(record.message.vendor_identity)


def client_of(trace: Trace, message: dhcp.Message) -> str | None:
    """The node whose hardware address a DHCP message names."""
    place = trace.addresses.places.get(message.hardware_address)
    return None if place is None else place.node


@remembered
def acks_to(trace: Trace, device: str) -> list[Record]:
    """The ACKs that answer this node's own last request."""
    found, transaction = [], None
    for record in trace.records:
        message = record.message
        if isinstance(message, (dhcp.Request, dhcp.Inform)) and record.sender == device:
            transaction = message.xid
        elif isinstance(message, dhcp.Ack) and message.xid == transaction:
            found += [record] if client_of(trace, message) == device else []
    return found


# Sessions


def identity_of(trace: Trace, cpe: str) -> Identity | None:
    """Who a CPE is by the DeviceId of its last Inform: what its DeviceInfo says."""
    told = None
    for session in sessions(trace, cpe):
        if session.inform is not None:
            told = session.inform.find(rpc.Inform)
    if told is None:
        return None
    who = told.device_id
    return Identity(who.oui, who.serial_number, who.product_class)


class Seen(NamedTuple):
    """Values of a CPE's parameters in one message, by their full names."""

    record: Record
    values: dict[str, str]
    session: Session


@remembered
def values_seen(trace: Trace, cpe: str) -> list[Seen]:
    """What Informs and answers to GetParameterValues say, in order."""
    found = []
    for session in sessions(trace, cpe):
        for turn in session.turns:
            message = turn.find(rpc.Inform) or turn.find(rpc.GetParameterValuesResponse)
            if message is not None:
                values = {each.name: each.value for each in message.parameters}
                found.append(Seen(turn, values, session))
    return found


@dataclass
class TableRead:
    """What an ACS has read of a gateway's table.

    Attributes:
        call, record: the question and the answer.
        rows: the identities by instance number.
        count: ManageableDeviceNumberOfEntries in the same answer; None: not asked for.
        session: in which.
    """

    call: Record
    record: Record
    rows: dict[str, Identity]
    count: str | None
    session: Session

    @property
    def listed(self) -> list[Identity]:
        """The identities, one for each row."""
        return list(self.rows.values())


@remembered
def table_reads(trace: Trace, gateway: str) -> list[TableRead]:
    """Every reading of a gateway's table, in order."""
    found = []
    for session in sessions(trace, gateway):
        for call, answer in session.calls(rpc.GetParameterValues):
            asked = call.find(rpc.GetParameterValues)
            told = answer.find(rpc.GetParameterValuesResponse) if answer is not None else None
            if asked is None or told is None or answer is None or TABLE not in asked.names:
                continue
            rows: dict[str, dict[str, str]] = {}
            for each in told.parameters:
                number, dot, name = each.name.removeprefix(TABLE).partition(".")
                if dot and each.name.startswith(TABLE):
                    rows.setdefault(number, {})[name] = each.value
            identities = {
                number: Identity(*(row.get(name, "") for name in ELEMENTS))
                for number, row in rows.items()
            }
            count = next((each.value for each in told.parameters if each.name == COUNT), None)
            found.append(TableRead(call, answer, identities, count, session))
    return found


def info_in(values: dict[str, str]) -> dict[str, str]:
    """What of GatewayInfo is among values, by its short names."""
    return {name: values[f"{INFO}{name}"] for name in ELEMENTS if f"{INFO}{name}" in values}


def parts(identity: Identity) -> dict[str, str]:
    """An identity by the names of its parameters."""
    values = (identity.oui, identity.serial_number, identity.product_class)
    return dict(zip(ELEMENTS, values, strict=True))


# What devices owe


class Owed(NamedTuple):
    """What GatewayInfo has to be from a record on, and why.  `staged`: somebody tampered."""

    record: Record
    identity: Identity
    cause: str


@remembered
def owed_info(trace: Trace, device: str) -> list[Owed]:
    """What a device's GatewayInfo has to be, each time that it is something else or new.

    An ACK's Gateway Identity; empty after an ACK without one (AMB-P1-05), a RELEASE or DECLINE, a
    NAK, the end of a lease without another ACK, and for a static address when the link goes down
    (AMB-P1-07).
    """
    acks = {each.number: each for each in acks_to(trace, device)}
    found: list[Owed] = []
    ends_ns: int | None = None
    for record in trace.records:
        if ends_ns is not None and record.time_ns > ends_ns:
            found.append(Owed(record, NOBODY, "the lease has run out"))
            ends_ns = None
        message = record.message
        if record.number in acks:
            identity = gateway_in_record(record) or NOBODY
            found.append(Owed(record, identity, "the DHCPACK says so"))
            lease_s = message.lease_s
            ends_ns = None if lease_s is None else record.time_ns + lease_s * 1_000_000_000
        elif isinstance(message, dhcp.Release) and record.sender == device:
            found.append(Owed(record, NOBODY, "the lease is released"))
            ends_ns = None
        elif ends_ns is None and found and found[-1].identity and _is_unplugged(record, device):
            found.append(Owed(record, NOBODY, "its link is down"))
        elif ends_ns is not None and _ends_lease(trace, record, device):
            found.append(Owed(record, NOBODY, f"there was a {message.WORD}"))
            ends_ns = None
    return found


def _is_unplugged(record: Record, device: str) -> bool:
    """Whether a device tells that its cable was pulled."""
    message = record.message
    is_link = record.sender == device and record.is_event and message.name == "LINK"
    return is_link and not message.fields.get("up")


def _ends_lease(trace: Trace, record: Record, device: str) -> bool:
    """Whether a record takes its lease from a device: a NAK, or its own DECLINE."""
    message = record.message
    if isinstance(message, dhcp.Decline):
        return record.sender == device
    return isinstance(message, dhcp.Nak) and client_of(trace, message) == device


def owed_at(trace: Trace, device: str, number: int) -> Owed | None:
    """What a device's GatewayInfo has to be at a record; None: never told anything yet."""
    before = [each for each in owed_info(trace, device) if each.record.number < number]
    return before[-1] if before else None


# What ACSs decide


class Claim(NamedTuple):
    """A device has told its ACS who its gateway is.

    Attributes:
        record: the Inform.
        device: the node.
        who: its DeviceId.
        gateway: what GatewayInfo says by then.
        acs: whom it told.
    """

    record: Record
    device: str
    who: Identity
    gateway: Identity
    acs: str | None


@remembered
def claims(trace: Trace) -> list[Claim]:
    """What devices have told of their gateways, in order."""
    found = []
    for device in managed_devices(trace):
        known = dict.fromkeys(ELEMENTS, "")
        for seen in values_seen(trace, device):
            inform = seen.record.find(rpc.Inform)
            info = info_in(seen.values)
            if inform is None or not info:
                continue
            known |= info
            who = inform.device_id
            found.append(
                Claim(
                    seen.record,
                    device,
                    Identity(who.oui, who.serial_number, who.product_class),
                    Identity(*(known[name] for name in ELEMENTS)),
                    seen.session.acs,
                )
            )
    return sorted(found, key=lambda each: each.record.number)


def decisions(trace: Trace, acs: str, *names: str) -> Iterator[Record]:
    """What an ACS says of associations under these event names."""
    return events_of(trace, acs, *names)


@remembered
def coupled(trace: Trace, acs: str) -> frozenset[str]:
    """An ACS and those that it shares its knowledge with; it has told so (COUPLED)."""
    others = [r.message.fields["acs"] for r in events_of(trace, acs, "COUPLED")]
    return frozenset((acs, *(name for names in others for name in names)))


def gateway_of(trace: Trace, identity: Identity, acs: str | None) -> str | None:
    """The gateway of that identity that has sessions with that ACS, or with one coupled to it."""
    if acs is None:
        return None
    for node in gateways(trace):
        with_it = any(each.acs in coupled(trace, acs) for each in sessions(trace, node))
        if with_it and identity_of(trace, node) == identity:
            return node
    return None


def connection_requests(trace: Trace, acs: str, cpe: str) -> list[Record]:
    """The GETs by which an ACS has asked a CPE for a session."""
    return [
        record
        for record, origin, end in index_of(trace).web.get(acs, ())
        if origin == acs
        and end == cpe
        and isinstance(record.message, Request)
        and record.message.method == "GET"
    ]


def event_codes(session: Session) -> tuple[str, ...]:
    """The events of a session's Inform."""
    inform = session.inform.find(rpc.Inform) if session.inform is not None else None
    return () if inform is None else tuple(each.code for each in inform.events)
