"""Faults of a device that is to tell who it is in its DHCP requests (TR-111 Part 1, 1.2.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from testbed.faults.fault import fault
from testbed.protocols import dhcp
from testbed.protocols.association import DSL_FORUM
from testbed.protocols.dhcp.options import Option, vendor_identity
from testbed.protocols.wire import Endpoint
from testbed.roles.managed_device import ManagedDevice

DISCOVER, INFORM = "association_discover/", "association_inform/"
EDGE = "association_edge_identity/"
CODE = dhcp.Code.VENDOR_IDENTITY
Values = list[tuple[int, bytes]]


def with_option(message: dhcp.Message, *options: Option) -> list[dhcp.Message]:
    """The message with these options in place of option 125."""
    place = next(
        (n for n, each in enumerate(message.options) if each.code == CODE), len(message.options)
    )
    kept = [each for each in message.options if each.code != CODE]
    return [dataclasses.replace(message, options=(*kept[:place], *options, *kept[place:]))]


def with_values(message: dhcp.Message, change: Callable[[Values], Values]) -> list[dhcp.Message]:
    """The message with other sub-options of the DSL Forum, where it has any."""
    for enterprise, values in message.vendor_identity:
        if enterprise == DSL_FORUM:
            changed = change(list(values))
            return with_option(message, vendor_identity((DSL_FORUM, changed)))
    return [message]


def replaced(code: int, value: bytes) -> Callable[[Values], Values]:
    """Another value in one sub-option."""
    return lambda values: [(each, value if each == code else old) for each, old in values]


@fault(
    "association.device-silent",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.2-D1b",
        "TR111-1.2.4-F1",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_silent(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device does not say who it is."""
    return with_option(message)


@fault(
    "association.device-tells-once",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.2-D1b",
        "TR111-1.2.4-F1",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
    seen_in="a client whose vendor options were set for DISCOVER alone",
)
def device_tells_once(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device says who it is in its DISCOVER and not in its REQUEST."""
    return [message] if isinstance(message, dhcp.Discover) else with_option(message)


@fault(
    "association.device-option-43",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.2-D1b",
        "TR111-1.2.4-F1",
        "TR111-1.2.5-O1",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
    seen_in="clients that know vendor options in option 43 only",
)
def device_option_43(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The identity lies in option 43."""
    value = message.option(CODE)
    return [message] if value is None else with_option(message, Option(43, value))


@fault(
    "association.device-plain-option-43",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.2-D1b",
        "TR111-1.2.4-F1",
        "TR111-1.2.5-O1",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_plain_option_43(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The sub-options lie in option 43 as they are, without an enterprise number."""
    value = message.option(CODE)
    return [message] if value is None else with_option(message, Option(43, value[5:]))


@fault(
    "association.device-uses-gateway-codes",
    role="device",
    breaks=(
        *("TR111-1.2.2-D1", "TR111-1.2.2-D1b", "TR111-1.2.4-F1"),
        *("TR111-1.2.5-T1-4", "TR111-1.2.5-T1-5", "TR111-1.2.5-T1-6"),
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_uses_gateway_codes(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device tells its identity by the sub-options 4 to 6, which are a gateway's."""
    return with_values(message, lambda values: [(code + 3, value) for code, value in values])


@fault(
    "association.device-little-endian",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.2-D1b",
        "TR111-1.2.4-F1",
        "TR111-1.2.5-O2",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_little_endian(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The enterprise number is written with its low octet first."""
    value = message.option(CODE)
    if value is None:
        return [message]
    return with_option(message, Option(CODE, value[:4][::-1] + value[4:]))


@fault(
    "association.device-bad-length",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.2-D1b",
        "TR111-1.2.4-F1",
        "TR111-1.2.5-O3",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_bad_length(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The block says one octet more than there is."""
    value = message.option(CODE)
    if value is None:
        return [message]
    return with_option(message, Option(CODE, value[:4] + bytes((value[4] + 1,)) + value[5:]))


@fault(
    "association.device-nul",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.5-O4",
        "TR111-1.2.5-T1-1",
        "TR111-1.2.5-T1-2",
        "TR111-1.2.5-T1-3",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
    seen_in="clients that send a C string with its end",
)
def device_nul(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """Each string ends by NUL."""
    return with_values(message, lambda values: [(code, old + b"\0") for code, old in values])


@fault(
    "association.device-without-serial",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.4-F1",
        "TR111-1.2.5-O5",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_without_serial(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device leaves its serial number out."""
    return with_values(message, lambda values: [each for each in values if each[0] != 2])


@fault(
    "association.device-another-oui",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.5-T1-1",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_another_oui(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device tells the OUI of its network interface and not that of its DeviceInfo."""
    return with_values(message, replaced(1, b"020000"))


@fault(
    "association.device-small-letters",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.5-T1-1",
        "TR111-1.2.6-T2-5",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_small_letters(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device tells its OUI in small letters."""
    return with_values(message, replaced(1, b"00005e"))


@fault(
    "association.device-another-serial",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.5-T1-2",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_another_serial(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device tells its hardware address for its serial number."""
    return with_values(message, replaced(2, b"020000000200"))


@fault(
    "association.device-another-class",
    role="device",
    breaks=(
        "TR111-1.2.2-D1",
        "TR111-1.2.5-T1-3",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def device_another_class(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device tells its model's marketing name for its product class."""
    return with_values(message, replaced(3, b"Best Phone"))


@fault(
    "association.device-discovers-anyway",
    role="device",
    breaks=("TR111-1.2.4-1",),
    shown_in=(INFORM,),
)
def device_discovers_anyway(device: ManagedDevice) -> None:
    """The device has an address, and asks for another one by DISCOVER."""
    device.lan._static_address = None


@fault(
    "association.device-asks-never",
    role="device",
    breaks=("TR111-1.2.4-1",),
    acts_on="message dhcp",
    shown_in=(f"{INFORM}unanswered",),
)
def device_asks_never(_message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The device has an address, and says nothing by DHCP."""
    return []
