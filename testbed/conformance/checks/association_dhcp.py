"""Identities in DHCP: what devices tell in their requests (TR-111 Part 1, 1.2.2 and 1.2.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from testbed.conformance.associations import (
    answers,
    device_in_record,
    devices,
    gateways,
    identity_of,
    info_in,
    requests,
    values_seen,
)
from testbed.conformance.check import check
from testbed.conformance.reading import staged
from testbed.conformance.verdict import Finding, fault, ok
from testbed.errors import DecodeError
from testbed.protocols import dhcp
from testbed.protocols.association import (
    DEVICE_CODES,
    DSL_FORUM,
    GATEWAY_CODES,
    Identity,
    sub_options,
)
from testbed.trace.record import Record
from testbed.trace.trace import Trace

OPTION = dhcp.Code.VENDOR_IDENTITY
VENDOR_AREAS = (43, 60, 124)
"""Options in which others have put identities."""
LEAST_SERIAL = 4
"""Octets of a serial number that are not in an option by chance."""


def told_by(record: Record, code: int) -> bytes | None:
    """A sub-option of the DSL Forum's first block that has it, as octets."""
    found = sub_options(record.message.vendor_identity, (code,), every=True)
    return None if found is None else found[code]


def carries(record: Record, codes: tuple[int, ...]) -> bool:
    """Whether the DSL Forum's block has any of these sub-options."""
    return sub_options(record.message.vendor_identity, codes, every=False) is not None


def speakers(trace: Trace) -> Iterator[tuple[Record, tuple[int, ...]]]:
    """The messages that have to carry an identity, of those that are judged, with its codes."""
    for device in devices(trace):
        for record in requests(trace, device):
            yield record, DEVICE_CODES
    for gateway in gateways(trace):
        for answer, request in answers(trace, gateway):
            if request is not None and device_in_record(request) is not None:
                yield answer, GATEWAY_CODES


@check("TR111-1.2.2-D1")
def requests_tell_the_device_identity(trace: Trace) -> Iterator[Finding]:
    """Option 125 of a request is what the device says of itself by CWMP.

    Violation: no identity, or one that differs from the DeviceId of its Informs.
    """
    for device in devices(trace):
        known = identity_of(trace, device)
        for record in requests(trace, device):
            told = device_in_record(record)
            if told is None:
                said = f"{device} sends no Device Identity in option 125"
                yield fault(record, said, ("association",))
            elif known is not None and told != known:
                yield fault(record, f"{device} tells {told}, and is {known} by its DeviceInfo")
            elif known is not None:
                yield ok(record, str(told))


@check("TR111-1.2.2-D1b", supposes=("association",))
def every_kind_of_request_tells_it(trace: Trace) -> Iterator[Finding]:
    """DISCOVER, REQUEST and INFORM carry it, renewals too (AMB-P1-11: RELEASE and DECLINE need
    not)."""
    for device in devices(trace):
        for record in requests(trace, device):
            word = record.message.WORD
            if carries(record, DEVICE_CODES):
                yield ok(record, f"in {word}")
            else:
                yield fault(record, f"{device} sends {word} without its Device Identity")


@check("TR111-1.2.4-1", supposes=("whole",))
def other_means_use_inform(trace: Trace) -> Iterator[Finding]:
    """A device with an address of its own sends DHCPINFORM with it, and never a DISCOVER."""
    for device in devices(trace):
        asked = requests(trace, device)
        # Whoever holds an address when it first asks has it by other means.
        held = trace.addresses.addresses_of(device, None, asked[0].time_ns) if asked else []
        static = _of_lan(held)
        if trace.is_excerpt:  # names tell of an address and not of the time from which it is held
            static = []
        for record in asked if static else ():
            message = record.message
            if isinstance(message, dhcp.Inform) and message.client_address in static:
                yield ok(record, f"INFORM with {message.client_address}")
            else:
                yield fault(record, f"{device} holds {', '.join(static)} and sends {message.WORD}")
        if not asked:
            yield from _asks_never(trace, device)


def _asks_never(trace: Trace, device: str) -> Iterator[Finding]:
    """A device that has GatewayInfo and an address, and says nothing by DHCP."""
    for seen in values_seen(trace, device):
        static = _of_lan(trace.addresses.addresses_of(device, None, seen.record.time_ns))
        if info_in(seen.values) and static:
            text = f"{device} has GatewayInfo, holds {', '.join(static)} and has sent no INFORM"
            yield fault(seen.record, text)
            return


def _of_lan(addresses: Iterable[str]) -> list[str]:
    return [each for each in addresses if not ip_address(each).is_loopback]


# The option.


@check("TR111-1.2.5-O1")
def identities_lie_in_option_125(trace: Trace) -> Iterator[Finding]:
    """Violation: none in option 125, but the DSL Forum's number, or the sender's serial number, in
    option 43, 60 or 124, or in the areas `sname` and `file`."""
    for record, codes in speakers(trace):
        message = record.message
        if carries(record, codes):
            yield ok(record)
            continue
        marks = [DSL_FORUM.to_bytes(4)]
        known = identity_of(trace, record.sender)
        if known is not None and len(known.serial_number) >= LEAST_SERIAL:
            marks.append(known.serial_number.encode())
        elsewhere = [code for code in VENDOR_AREAS if _holds(message.option(code), marks)]
        if elsewhere:
            yield fault(record, f"an identity lies in option {elsewhere[0]}")
        elif _holds(message.sname + message.file, marks) and not message.overload:
            yield fault(record, "an identity lies in sname or file")


def _holds(value: bytes | None, marks: list[bytes]) -> bool:
    return value is not None and any(each in value for each in marks)


@check("TR111-1.2.5-O2")
def element_is_the_dsl_forums(trace: Trace) -> Iterator[Finding]:
    """Within option 125 the identity is under enterprise number 3561, 00 00 0D E9.

    Violation: option 125 is there, and the sub-options only under another number.
    """
    for record, codes in speakers(trace):
        blocks = record.message.vendor_identity
        others = [
            number
            for number, values in blocks
            if number != DSL_FORUM and {code for code, _ in values} & set(codes)
        ]
        if carries(record, codes):
            yield ok(record)
        elif others:
            yield fault(record, f"the identity is under enterprise number {others[0]}")


@check("TR111-1.2.5-O3")
def block_is_cut_to_its_end(trace: Trace) -> Iterator[Finding]:
    """The sub-options fill the block of the DSL Forum to its last octet; a receiver passes over a
    block that cannot be cut.

    Violation: a sender whose block cannot be cut; a receiver that takes an identity out of one.
    """
    for record, _ in speakers(trace):
        value = record.message.option(OPTION)
        if value is None:
            continue
        try:
            dhcp.cut_vendor_identity(value)
        except DecodeError as error:
            yield fault(record, str(error))
        else:
            yield ok(record)
    yield from _broken_requests(trace)


def _broken_requests(trace: Trace) -> Iterator[Finding]:
    """What gateways make of requests whose option cannot be cut."""
    for gateway in gateways(trace):
        for answer, request in answers(trace, gateway):
            value = None if request is None else request.message.option(OPTION)
            if request is None or value is None:
                continue
            try:
                dhcp.cut_vendor_identity(value)
            except DecodeError as error:
                if device_in_record(request) is None and carries(answer, GATEWAY_CODES):
                    yield fault(answer, f"{gateway} takes a Device Identity out of this: {error}")
                elif device_in_record(request) is None:
                    yield ok(answer, "a block that cannot be cut is passed over")


@check("TR111-1.2.5-O4")
def strings_do_not_end_by_nul(trace: Trace) -> Iterator[Finding]:
    """Violation: the last octet of an identity's sub-option is NUL."""
    for record, codes in speakers(trace):
        for code in codes:
            value = told_by(record, code)
            if value is None:
                continue
            if value.endswith(b"\0"):
                yield fault(record, f"sub-option {code} is {value!r}, with a NUL at its end")
            else:
                yield ok(record)


@check("TR111-1.2.5-O5")
def device_tells_what_it_must(trace: Trace) -> Iterator[Finding]:
    """With an identity come sub-options 1 and 2, and 3 where the device has a product class."""
    for device in devices(trace):
        known = identity_of(trace, device)
        for record in requests(trace, device):
            if carries(record, DEVICE_CODES):
                yield from _complete(device, record, known, DEVICE_CODES)


@check("TR111-1.2.5-O6", supposes=("whole",))
def gateway_tells_what_it_must(trace: Trace) -> Iterator[Finding]:
    """With an identity come sub-options 4 and 5, and 6 where the gateway has a product class."""
    for gateway in gateways(trace):
        known = identity_of(trace, gateway)
        if staged(trace, gateway, "gateway_identity"):
            continue
        for record, _ in answers(trace, gateway):
            if carries(record, GATEWAY_CODES):
                yield from _complete(gateway, record, known, GATEWAY_CODES)


def _complete(
    node: str, record: Record, known: Identity | None, codes: tuple[int, ...]
) -> Iterator[Finding]:
    """Whether all is told; of a node that no CWMP session shows, only OUI and serial number are
    known to be there."""
    has_class = known is not None and bool(known.product_class)
    needed = codes if has_class else codes[:2]
    missing = [str(code) for code in needed if told_by(record, code) is None]
    if missing:
        text = f"{node} tells its identity without sub-option {', '.join(missing)}"
        yield fault(record, text)
    elif known is not None and not has_class and told_by(record, codes[2]):
        yield fault(record, f"{node} has no product class, and tells one")
    elif known is not None or told_by(record, codes[2]):
        yield ok(record)


# Table 1, each row by itself.


def _row(trace: Trace, place: int, of_device: bool) -> Iterator[Finding]:
    """One sub-option: whose it is, and what is in it."""
    code = (DEVICE_CODES if of_device else GATEWAY_CODES)[place]
    yield from _told_by_the_other(trace, code, of_device)
    for node in devices(trace) if of_device else gateways(trace):
        known = identity_of(trace, node)
        if known is None or staged(trace, node, "gateway_identity"):
            continue
        wanted = (known.oui, known.serial_number, known.product_class)[place].encode()
        said = (
            requests(trace, node) if of_device else [each.record for each in answers(trace, node)]
        )
        for record in said:
            told = told_by(record, code)
            if told is None:
                continue
            if told == wanted:
                yield ok(record, f"{told!r}")
            else:
                yield fault(record, f"{node} tells {told!r} in sub-option {code}, it is {wanted!r}")


def _told_by_the_other(trace: Trace, code: int, of_device: bool) -> Iterator[Finding]:
    """Where the other party tells what is not its own to tell."""
    for node in gateways(trace) if of_device else devices(trace):
        said = (
            [each.record for each in answers(trace, node)] if of_device else requests(trace, node)
        )
        for record in said:
            if told_by(record, code) is not None:
                whose = "a device" if of_device else "a gateway"
                yield fault(record, f"{node} tells sub-option {code}, which is {whose}'s to tell")


@check("TR111-1.2.5-T1-1")
def sub_option_1_is_the_devices_oui(trace: Trace) -> Iterator[Finding]:
    """As in its DeviceInfo (AMB-P1-03)."""
    yield from _row(trace, 0, of_device=True)


@check("TR111-1.2.5-T1-2")
def sub_option_2_is_the_devices_serial_number(trace: Trace) -> Iterator[Finding]:
    """As in its DeviceInfo (AMB-P1-03)."""
    yield from _row(trace, 1, of_device=True)


@check("TR111-1.2.5-T1-3")
def sub_option_3_is_the_devices_product_class(trace: Trace) -> Iterator[Finding]:
    """As in its DeviceInfo (AMB-P1-03)."""
    yield from _row(trace, 2, of_device=True)


@check("TR111-1.2.5-T1-4", supposes=("whole",))
def sub_option_4_is_the_gateways_oui(trace: Trace) -> Iterator[Finding]:
    """As in its DeviceInfo."""
    yield from _row(trace, 0, of_device=False)


@check("TR111-1.2.5-T1-5", supposes=("whole",))
def sub_option_5_is_the_gateways_serial_number(trace: Trace) -> Iterator[Finding]:
    """As in its DeviceInfo."""
    yield from _row(trace, 1, of_device=False)


@check("TR111-1.2.5-T1-6", supposes=("whole",))
def sub_option_6_is_the_gateways_product_class(trace: Trace) -> Iterator[Finding]:
    """As in its DeviceInfo."""
    yield from _row(trace, 2, of_device=False)
