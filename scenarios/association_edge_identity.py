"""Identities at the edge of what option 125 may hold (TR-111 1.2.5), and beyond it."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from scenarios.association_steps import (
    associated,
    gateway_ready,
    leased,
    settled,
    table_read,
)
from testbed.protocols import dhcp
from testbed.protocols.association import DSL_FORUM
from testbed.protocols.dhcp.options import END, Option, encode_options, vendor_identity
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage, scenario
from topologies.association import managed_home

OUI, SERIAL, PRODUCT = (1, b"00005E"), (2, b"DEVICE"), (3, b"Phone")
ANOTHER = (9, ((1, b"00005E"), (2, b"DEVICE")))
"""Option 125 of another enterprise, with the same sub-options."""


def whole(*values: tuple[int, bytes]) -> bytes:
    """Option 125 of the DSL Forum with these sub-options."""
    return vendor_identity((DSL_FORUM, values)).value


@scenario(managed_home, step_s=10, devices=2, same_serial=True)
async def association_edge_identity(at: Stage) -> None:
    """Two devices differ in product class alone: the table has both."""
    device, other, gateway, acs = at.device, at.device2, at.gateway, at.serving_hms
    await settled(at, device, gateway, acs)
    other.power_on()
    await leased(at, other, gateway)
    await associated(at, other, gateway, acs)
    await table_read(at, gateway, acs)


@association_edge_identity.variant("no_device_class", device_class="")
async def no_device_class(at: Stage) -> None:
    """The device has no product class and leaves it out: its entry has an empty one."""
    await settled(at, at.device, at.gateway, at.serving_hms)
    await table_read(at, at.gateway, at.serving_hms)


@association_edge_identity.variant("no_gateway_class", gateway_class="")
async def no_gateway_class(at: Stage) -> None:
    """The gateway has no product class and leaves it out: the device records an empty one."""
    await settled(at, at.device, at.gateway, at.serving_hms)


def _listed(value: bytes, *more: Option) -> Callable[[Stage], Awaitable[None]]:
    """The device tells this, and is listed as it is."""

    async def played(at: Stage) -> None:
        device, gateway, acs = at.device, at.gateway, at.serving_hms
        await gateway_ready(at, gateway, acs)
        device.tell_identity(value, *more)
        device.power_on()
        await at.sees(device, "<-", gateway, dhcp.Ack)
        await at.tells(gateway, "LISTED", identity=str(device.identity))
        await at.tells(acs, "TABLE_READ")  # of its own accord
        await table_read(at, gateway, acs)

    return played


def _not_listed(value: bytes | None, *more: Option) -> Callable[[Stage], Awaitable[None]]:
    """The device tells this, which is no Device Identity, or none that a table can hold."""

    async def played(at: Stage) -> None:
        device, gateway, acs = at.device, at.gateway, at.serving_hms
        await gateway_ready(at, gateway, acs)
        device.tell_identity(value, *more)
        device.power_on()
        await at.sees(device, "<-", gateway, dhcp.Ack)
        await at.tells(device, "CONNECTED")
        await table_read(at, gateway, acs)

    return played


def _edge(name: str, title: str, function: Callable[[Stage], Awaitable[None]]) -> None:
    function.__doc__ = title
    association_edge_identity.variant(name)(function)


HALF = len(whole(OUI, SERIAL, PRODUCT)) // 2

_edge(
    "after_another_enterprise",
    "Another enterprise's block comes first: it is skipped.",
    _listed(vendor_identity(ANOTHER, (DSL_FORUM, (OUI, SERIAL, PRODUCT))).value),
)
_edge(
    "unknown_sub_options",
    "Sub-options of other codes lie between: they are skipped.",
    _listed(whole((77, b"?"), OUI, (99, b""), SERIAL, PRODUCT)),
)
_edge(
    "split",
    "The option is split over two instances (RFC 3396): they are joined.",
    _listed(
        whole(OUI, SERIAL, PRODUCT)[:HALF],
        Option(dhcp.Code.VENDOR_IDENTITY, whole(OUI, SERIAL, PRODUCT)[HALF:]),
    ),
)


def _overloaded(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The identity lies in the field `file`, and option 52 says so (RFC 2132, 9.3)."""
    told = [each for each in message.options if each.code == dhcp.Code.VENDOR_IDENTITY]
    if not told:
        return [message]
    kind, *others = [each for each in message.options if each not in told]
    options = (kind, Option(dhcp.Code.OVERLOAD, b"\1"), *others)
    file = encode_options([*told, END]).ljust(len(message.file), b"\0")
    return [dataclasses.replace(message, options=options, file=file)]


@association_edge_identity.variant("overloaded")
async def overloaded(at: Stage) -> None:
    """Both put their identities where option 52 says (option overload): both are read there."""
    for each in (at.device, at.gateway):
        each.mend_of("dhcp").message.append(_overloaded)
    await settled(at, at.device, at.gateway, at.serving_hms)
    await table_read(at, at.gateway, at.serving_hms)


_edge(
    "other_enterprise",
    "Only another enterprise's block: no identity.",
    _not_listed(vendor_identity(ANOTHER).value),
)
_edge(
    "option_43",
    "The identity lies in option 43: that is not where it belongs.",
    _not_listed(None, Option(43, whole(OUI, SERIAL, PRODUCT))),
)
_edge("no_serial", "Sub-option 2 is missing: no identity.", _not_listed(whole(OUI, PRODUCT)))
_edge(
    "bad_length",
    "A sub-option is longer than its block: the block is passed over.",
    _not_listed(whole(OUI, SERIAL)[:-7] + b"\xc8" + SERIAL[1]),
)
_edge(
    "lower_case_oui",
    "The OUI is in lower case: it is not listed (AMB-P1-09).",
    _not_listed(whole((1, b"00005e"), SERIAL, PRODUCT)),
)
_edge(
    "five_digits",
    "The OUI has five digits: it is not listed.",
    _not_listed(whole((1, b"0005E"), SERIAL, PRODUCT)),
)
_edge(
    "long_serial",
    "The serial number has 65 characters: it is not listed, and not cut.",
    _not_listed(whole(OUI, (2, b"D" * 65), PRODUCT)),
)


@association_edge_identity.variant("trailing_nul")
async def trailing_nul(at: Stage) -> None:
    """The device ends its serial number by NUL: to the ACS that is another device."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    device.tell_identity(whole(OUI, (2, b"DEVICE\0"), PRODUCT))
    device.power_on()
    await at.sees(device, "<-", gateway, dhcp.Ack)
    await at.tells(acs, "ASSOCIATION_REFUSED", device=str(device.identity))
