"""When which identity belongs into a gateway's table, by DHCP and by cables: never judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.conformance.associations import (
    ASKING,
    BOOT,
    Answer,
    answers,
    device_in_record,
    event_codes,
)
from testbed.conformance.index import remembered
from testbed.conformance.reading import events_of, staged
from testbed.conformance.sessions import sessions
from testbed.protocols import dhcp
from testbed.protocols.association import Identity
from testbed.trace.record import Record
from testbed.trace.trace import Trace


@dataclass
class Presence:
    """One time that a device's identity belongs into a gateway's table.

    Attributes:
        identity: as the client told it.
        client: its hardware address.
        acked: the ACK that completed the exchange.
        ends: where it has ended for sure, and why; None: it lasts.
        unsure: from here on the gateway may have found out, or not yet.
        renewed: ACKs of the same client and identity that followed.
    """

    identity: Identity
    client: str
    acked: Record
    ends: tuple[Record, str] | None = None
    unsure: Record | None = None
    renewed: list[Record] = field(default_factory=list)

    def must_be(self, number: int) -> bool:
        """Whether the entry must be there at a record."""
        limits = [each.number for each in (self.unsure, self.ends and self.ends[0]) if each]
        return self.acked.number < number and all(number < limit for limit in limits)

    def may_be(self, number: int) -> bool:
        """Whether the entry may be there at a record."""
        return self.acked.number < number and (self.ends is None or number < self.ends[0].number)


TOLERANCE_NS = 300_000_000


@remembered
def presences(trace: Trace, gateway: str) -> list[Presence]:
    """When which identity belongs into a gateway's table, by DHCP and by pulled cables.

    A gateway that has booted may have forgotten whom it knew, until each one comes again.
    """
    found: list[Presence] = []
    held: dict[str, Presence] = {}
    told: dict[str, Identity] = {}
    due: dict[str, int] = {}
    down: dict[str, int] = {}
    own = {each.record.number: each for each in answers(trace, gateway)}
    booted = _boots(trace, gateway)
    for record in trace.records:
        _pass_time(record, held, due, down)
        if record.number in booted:
            for presence in held.values():
                presence.unsure = presence.unsure or record
        message = record.message
        if isinstance(message, ASKING):
            identity = device_in_record(record)
            if identity is not None:
                told[message.hardware_address] = identity
        elif record.number in own and isinstance(message, dhcp.Ack):
            _acked(record, own[record.number], told, held, due, found)
        elif isinstance(message, (dhcp.Release, dhcp.Decline)):
            if trace.arrow_of(record).delivered is not False:  # nothing is sent for it again
                word = "released" if isinstance(message, dhcp.Release) else "declined"
                _end(held, due, message.hardware_address, record, word)
        elif isinstance(message, dhcp.Nak) and record.sender == gateway:
            _end(held, due, message.hardware_address, record, "refused")
        elif record.is_event and getattr(message, "name", "") == "LINK":
            _link(trace, gateway, record, held, down)
    return found


def _boots(trace: Trace, gateway: str) -> set[int]:
    """The Informs by which a gateway tells that it has booted."""
    return {
        session.inform.number
        for session in sessions(trace, gateway)
        if session.inform is not None and BOOT in event_codes(session)
    }


def _acked(
    record: Record,
    answer: Answer,
    told: dict[str, Identity],
    held: dict[str, Presence],
    due: dict[str, int],
    found: list[Presence],
) -> None:
    message = record.message
    client = message.hardware_address
    identity = told.get(client)
    if identity is None or answer.request is None:
        return
    before = held.get(client)
    if before is not None and before.identity == identity and before.unsure is None:
        before.renewed.append(record)
    else:
        _end(held, due, client, record, "uncertain")
        held[client] = Presence(identity, client, record)
        found.append(held[client])
    if message.lease_s is not None:
        due[client] = record.time_ns + message.lease_s * 1_000_000_000


def _pass_time(
    record: Record, held: dict[str, Presence], due: dict[str, int], down: dict[str, int]
) -> None:
    for client, when in list(due.items()):
        if record.time_ns > when - TOLERANCE_NS and held[client].unsure is None:
            held[client].unsure = record
        if record.time_ns > when + TOLERANCE_NS:
            _end(held, due, client, record, "expired")
    for client, when in list(down.items()):
        if record.time_ns > when:
            del down[client]
            _end(held, due, client, record, "disconnected")


def _end(
    held: dict[str, Presence], due: dict[str, int], client: str, record: Record, why: str
) -> None:
    due.pop(client, None)
    presence = held.pop(client, None)
    if presence is not None:
        presence.ends = (record, why)


def _link(
    trace: Trace, gateway: str, record: Record, held: dict[str, Presence], down: dict[str, int]
) -> None:
    """A cable is pulled or plugged in: from then on the gateway may find out."""
    for client in trace.hardware_addresses(record.sender):
        presence = held.get(client)
        if presence is None:
            continue
        if record.message.fields.get("up"):
            down.pop(client, None)
        else:
            presence.unsure = presence.unsure or record
            within_ns = found_within_ns(trace, gateway)
            if within_ns is not None:
                down[client] = record.time_ns + within_ns


@remembered
def found_within_ns(trace: Trace, gateway: str) -> int | None:
    """How soon a gateway finds a dead link, by what it says of its probes; None: it has none."""
    for told in events_of(trace, gateway, "PROBES"):
        fields = told.message.fields
        asking_s = fields["attempts"] * fields["answer_within_s"]
        return int((float(fields["interval_s"]) + asking_s) * 1e9) + TOLERANCE_NS
    return None


def honest_table(trace: Trace, gateway: str) -> bool:
    """Whether nobody keeps devices off the gateway's table on purpose."""
    return not staged(trace, gateway, "admitted")


def listable(identity: Identity) -> bool:
    """Whether a table of Table 2's types can hold an identity (AMB-P1-09)."""
    oui = identity.oui
    digits = len(oui) == 6 and all(each in "0123456789ABCDEF" for each in oui)
    longest = max(len(identity.serial_number), len(identity.product_class))
    return digits and longest <= 64 and identity.fits_xml
