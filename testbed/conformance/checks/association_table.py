"""The gateway's table of devices, as its ACS reads it (TR-111 Part 1, 1.2.1 and Table 2)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

from testbed.conformance.associations import (
    ASKING,
    ELEMENTS,
    TableRead,
    answers,
    client_of,
    device_in_record,
    devices,
    gateways,
    parts,
    requests,
    table_reads,
)
from testbed.conformance.check import check
from testbed.conformance.index import remembered
from testbed.conformance.presences import Presence, honest_table, listable, presences
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import dhcp
from testbed.protocols.association import Identity
from testbed.trace.record import Record
from testbed.trace.trace import Trace

OUI = re.compile(r"[0-9A-F]{6}")
NO_OUI = "not six upper-case hexadecimal digits"
PRIVATE = re.compile(r"10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.")


def _reads(trace: Trace) -> Iterator[tuple[str, TableRead, list[Presence]]]:
    """Every reading of a table that nobody keeps devices off, with all that belongs into it."""
    for gateway in gateways(trace):
        if honest_table(trace, gateway):
            for read in table_reads(trace, gateway):
                yield gateway, read, presences(trace, gateway)


def _due(read: TableRead, belongs: list[Presence]) -> list[Presence]:
    number = read.call.number
    return [each for each in belongs if each.must_be(number) and listable(each.identity)]


@check(
    "TR111-1.2.1-G3",
    supposes=(
        "connected",
        "whole",
    ),
)
def entry_comes_with_the_ack(trace: Trace) -> Iterator[Finding]:
    """After a DHCPACK there is one entry of the identity, not before it and not twice.

    Violation: missing, there before the ACK, or double after a renewal.
    """
    for gateway, read, belongs in _reads(trace):
        listed = Counter(read.listed)
        for identity, times in listed.items():
            acked = [each for each in belongs if each.identity == identity]
            early = not acked and _has_come(trace, gateway, identity, read)
            if times > 1:
                yield fault(read.record, f"{gateway} lists {identity} {times} times")
            elif early or (
                acked and not any(each.acked.number < read.record.number for each in acked)
            ):
                yield fault(read.record, f"{gateway} lists {identity} before any DHCPACK")
        for presence in _due(read, belongs):
            if presence.identity in listed:
                yield ok(read.record, f"{presence.identity} is listed")
            elif not _was_listed(trace, gateway, presence, read):
                yield fault(
                    read.record,
                    f"{gateway} does not list {presence.identity}, acknowledged at record "
                    f"{presence.acked.number}",
                )


@remembered
def _tellings(trace: Trace) -> list[tuple[int, Identity]]:
    """The identities in requests, acknowledged or not, by record."""
    told = (
        (each.number, device_in_record(each))
        for each in trace.records
        if isinstance(each.message, ASKING)
    )
    return [(number, identity) for number, identity in told if identity is not None]


def _heard(trace: Trace, since: int, until: int) -> set[Identity]:
    """The identities that were told in requests between two records."""
    return {identity for number, identity in _tellings(trace) if since <= number < until}


def _has_come(trace: Trace, gateway: str, identity: Identity, read: TableRead) -> bool:
    """Whether an identity was not listed, was told, and is listed now."""
    without = [
        each.record.number
        for each in table_reads(trace, gateway)
        if each.record.number < read.call.number and identity not in each.listed
    ]
    return bool(without) and identity in _heard(trace, without[0], read.record.number)


def _was_listed(trace: Trace, gateway: str, presence: Presence, before: TableRead) -> bool:
    return any(
        presence.identity in read.listed
        for read in table_reads(trace, gateway)
        if presence.acked.number < read.record.number < before.record.number
    )


@check("TR111-1.2.1-G4", supposes=("connected",))
def entry_stays_while_the_device_does(trace: Trace) -> Iterator[Finding]:
    """An entry that was read once is read again, under the same instance number (AMB-P1-06).

    Violation: it is gone, or another instance, while the lease is valid and the cable is in.
    """
    for gateway in gateways(trace):
        reads = table_reads(trace, gateway)
        for presence in presences(trace, gateway):
            number = None
            for read in reads:
                if not presence.must_be(read.call.number):
                    continue
                found = next((n for n, each in read.rows.items() if each == presence.identity), "")
                if number is not None and not found:
                    yield fault(read.record, f"{gateway} has dropped {presence.identity}")
                elif number is not None and found != number:
                    yield fault(read.record, f"instance {number} has become {found}")
                elif number is not None:
                    yield ok(read.record, f"{presence.identity} stays instance {number}")
                number = found or number


def _ended(trace: Trace, *causes: str) -> Iterator[Finding]:
    """Entries whose time is over must not be read any more."""
    for gateway, read, belongs in _reads(trace):
        over = [each for each in belongs if each.ends and each.ends[0].number < read.call.number]
        for presence in over:
            assert presence.ends is not None
            again = any(
                each.identity == presence.identity and each.may_be(read.record.number)
                for each in belongs
            )
            if presence.ends[1] not in causes or again:
                continue
            why = f"{presence.ends[1]} before record {presence.ends[0].number}"
            if presence.identity in read.listed:
                yield fault(read.record, f"{gateway} still lists {presence.identity}, {why}")
            else:
                yield ok(read.record, f"{presence.identity} is gone, {why}")


@check(
    "TR111-1.2.1-G5",
    supposes=(
        "connected",
        "whole",
    ),
)
def entry_goes(trace: Trace) -> Iterator[Finding]:
    """By either removal condition the entry goes, and no other one with it."""
    yield from _ended(trace, "expired", "released", "disconnected")
    for gateway, read, belongs in _reads(trace):
        gone = [each for each in belongs if each.ends and each.ends[0].number < read.call.number]
        for presence in _due(read, belongs) if gone else ():
            if presence.identity not in read.listed:
                yield fault(read.record, f"{gateway} has removed {presence.identity} as well")


@check("TR111-1.2.1-G5a", supposes=("connected",))
def entry_goes_with_its_lease(trace: Trace) -> Iterator[Finding]:
    """Expired or released: the entry is gone; not before (AMB-P1-06)."""
    yield from _ended(trace, "expired", "released")
    for gateway in gateways(trace):
        for presence in presences(trace, gateway):
            if presence.acked.message.lease_s is None:
                continue
            for read in table_reads(trace, gateway):
                if not presence.must_be(read.call.number) or presence.identity in read.listed:
                    continue
                if _was_listed(trace, gateway, presence, read):
                    yield fault(read.record, f"{presence.identity} is gone before its lease ends")


@check("TR111-1.2.1-G5b", supposes=("connected",))
def entry_goes_with_the_connection(trace: Trace) -> Iterator[Finding]:
    """Disconnected, as far as the gateway's own detection can find it: the entry is gone."""
    yield from _ended(trace, "disconnected")


@check(
    "TR111-1.2-S1",
    supposes=(
        "connected",
        "whole",
    ),
)
def table_is_what_was_told(trace: Trace) -> Iterator[Finding]:
    """What the ACS reads is, element by element, what clients have told in option 125."""
    for gateway, read, belongs in _reads(trace):
        told = {each.identity for each in belongs if each.acked.number < read.record.number}
        told |= _heard(trace, 0, read.record.number)
        for identity in read.listed:
            if identity in told:
                yield ok(read.record, str(identity))
            else:
                yield fault(read.record, f"{gateway} lists {identity}, which nobody has told")
        for presence in _due(read, belongs):
            if presence.identity not in read.listed and not read.listed:
                yield fault(read.record, f"{gateway} lists nobody; {presence.identity} was told")


@check(
    "TR111-1.1.1-1",
    supposes=(
        "connected",
        "whole",
    ),
)
def identity_is_the_three_tuple(trace: Trace) -> Iterator[Finding]:
    """Each identity that differs in any element has an entry of its own (AMB-P1-09).

    Violation: one entry for two that share OUI and serial number.
    """
    for gateway, read, belongs in _reads(trace):
        due = list(dict.fromkeys(each.identity for each in _due(read, belongs)))
        for identity in due:
            twins = [
                each
                for each in due
                if (each.oui, each.serial_number) == (identity.oui, identity.serial_number)
                and each != identity
            ]
            if twins and identity in read.listed:
                yield ok(read.record, f"{identity} beside {twins[0]}")
            elif twins:
                yield fault(read.record, f"{gateway} lists {twins[0]} and not {identity}")


# Table 2.


@check("TR111-1.2.6-T2-2")
def count_is_the_number_of_entries(trace: Trace) -> Iterator[Finding]:
    """ManageableDeviceNumberOfEntries and the rows of the same answer."""
    for gateway in gateways(trace):
        for read in table_reads(trace, gateway):
            if read.count is None:
                continue
            if read.count == str(len(read.rows)):
                yield ok(read.record, f"{read.count} entries")
            else:
                yield fault(read.record, f"{gateway} has {len(read.rows)} rows, says {read.count}")


@check(
    "TR111-1.2.6-T2-4",
    supposes=(
        "connected",
        "whole",
    ),
)
def one_entry_for_each_device_that_told(trace: Trace) -> Iterator[Finding]:
    """Whoever tells no Device Identity has no entry; whoever does has one.

    Violation: more or fewer rows than identities told; an entry for a plain client.
    """
    for gateway, read, belongs in _reads(trace):
        number = read.record.number
        most = {each.identity for each in belongs if each.may_be(number)}
        most |= _heard(trace, 0, number) - {each.identity for each in belongs}
        least = {each.identity for each in _due(read, belongs)}
        rows = len(read.rows)
        if rows > len(most):
            yield fault(read.record, f"{gateway} has {rows} rows, {len(most)} devices have told")
        elif rows < len(least):
            yield fault(read.record, f"{gateway} has {rows} rows, {len(least)} devices have told")
        elif rows or _plain_clients(trace, gateway, number):
            yield ok(read.record, f"{rows} rows")


def _plain_clients(trace: Trace, gateway: str, number: int) -> bool:
    """Whether a client without identity was acknowledged before."""
    return any(
        isinstance(each.record.message, dhcp.Ack)
        and each.record.number < number
        and each.request is not None
        and device_in_record(each.request) is None
        for each in answers(trace, gateway)
    )


def _column(trace: Trace, name: str, wrong: Callable[[str], str | None]) -> Iterator[Finding]:
    """One column of the table: its form, and that it is what a device has told."""
    for gateway, read, belongs in _reads(trace):
        heard = _heard(trace, 0, read.record.number)
        told = {parts(each)[name] for each in {*heard, *(each.identity for each in belongs)}}
        for identity in read.listed:
            value = parts(identity)[name]
            reason = wrong(value)
            if reason is not None:
                yield fault(read.record, f"{gateway}: {name} is {value!r}, {reason}")
            elif value not in told:
                yield fault(read.record, f"{gateway}: {name} is {value!r}, which nobody has told")
            else:
                yield ok(read.record, f"{value!r}")
        refused = {each.identity for each in belongs if not listable(each.identity)}
        for identity in refused:
            if wrong(parts(identity)[name]) is not None and identity not in read.listed:
                yield ok(read.record, f"{parts(identity)[name][:20]!r} is not listed")


@check("TR111-1.2.6-T2-5", supposes=("whole",))
def oui_has_its_form(trace: Trace) -> Iterator[Finding]:
    """Six hexadecimal digits, letters in upper case, as the device tells it; what has another form
    is not listed (AMB-P1-09)."""
    for device in devices(trace):
        for record in requests(trace, device):
            told = device_in_record(record)
            # What a string ends by is another requirement's matter.
            if told is not None and not OUI.fullmatch(told.oui.rstrip("\0")):
                text = f"{device} tells the OUI {told.oui!r}, {NO_OUI}"
                yield fault(record, text)
    yield from _column(
        trace,
        ELEMENTS[0],
        lambda value: None if OUI.fullmatch(value) else NO_OUI,
    )


def _too_long(value: str) -> str | None:
    return f"{len(value)} characters, 64 are the most" if len(value) > 64 else None


@check("TR111-1.2.6-T2-6", supposes=("whole",))
def serial_number_is_as_told(trace: Trace) -> Iterator[Finding]:
    """At most 64 characters; a longer one is not cut to fit."""
    yield from _column(trace, ELEMENTS[1], _too_long)


@check("TR111-1.2.6-T2-7", supposes=("whole",))
def product_class_is_as_told(trace: Trace) -> Iterator[Finding]:
    """At most 64 characters, as told."""
    yield from _column(trace, ELEMENTS[2], _too_long)


@check("TR111-1.2.6-T2-7b")
def missing_product_class_is_empty(trace: Trace) -> Iterator[Finding]:
    """A device without sub-option 3 has an entry whose ProductClass is empty."""
    yield from _without_class(trace, "its ProductClass is not empty")


@check(
    "TR111-1.2.5-O5b",
    supposes=(
        "connected",
        "whole",
    ),
)
def device_may_have_no_product_class(trace: Trace) -> Iterator[Finding]:
    """A device without sub-option 3 is listed all the same."""
    for gateway, read, belongs in _reads(trace):
        for presence in _due(read, belongs):
            identity = presence.identity
            if identity.product_class:
                continue
            twins = [each for each in read.listed if _twin(each, identity)]
            if twins:
                yield ok(read.record, f"{identity} is listed")
            else:
                yield fault(read.record, f"{gateway} passes {identity} over")


def _without_class(trace: Trace, what: str) -> Iterator[Finding]:
    for gateway, read, belongs in _reads(trace):
        for presence in _due(read, belongs):
            if presence.identity.product_class:
                continue
            for row in read.listed:
                if row == presence.identity:
                    yield ok(read.record, str(row))
                elif _twin(row, presence.identity):
                    yield fault(read.record, f"{gateway} lists {row}: {what}")


def _twin(one: Identity, other: Identity) -> bool:
    return (one.oui, one.serial_number) == (other.oui, other.serial_number)


# Addresses.


@check(
    "TR111-1.1-2",
    needs=("", "public"),
    supposes=(
        "connected",
        "whole",
    ),
)
def any_address_will_do(trace: Trace) -> Iterator[Finding]:
    """A device whose address no DHCP server gave is listed too, be the address private or public.

    Violation: an INFORM is acknowledged and the device is not listed.  PASS needs both kinds.
    """
    for gateway, read, belongs in _reads(trace):
        for presence in _due(read, belongs):
            ack = presence.acked
            if ack.message.lease_s is not None:
                continue
            address = _informed_with(trace, gateway, ack)
            kind = "private" if PRIVATE.match(address) else "public"
            if presence.identity in read.listed:
                yield ok(read.record, f"{address}, {kind}")
            else:
                yield fault(
                    read.record,
                    f"{gateway} does not list {client_of(trace, ack.message)} at {address}, {kind}",
                )


def _informed_with(trace: Trace, gateway: str, ack: Record) -> str:
    for answer, request in answers(trace, gateway):
        if answer is ack and request is not None:
            return request.message.client_address or ""
    return ""
