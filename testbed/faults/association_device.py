"""Faults of a device that is to tell who it is, and to know its gateway (TR-111 Part 1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols import dhcp
from testbed.protocols.association import DSL_FORUM, NOBODY, Identity
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
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


def _notes(device: ManagedDevice, change: Callable[[Identity], Identity | None]) -> None:
    """Have the device record another gateway; None: leave what is recorded."""
    note = device.note_gateway

    def noted(gateway: Identity) -> None:
        changed = change(gateway)
        if changed is not None:
            note(changed)

    device.note_gateway = noted  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.device-records-nothing",
    role="device",
    breaks=(
        "TR111-1.2-S2",
        "TR111-1.2.2-D2",
        "TR111-1.2.2-D2a",
        "TR111-1.2.2-D2b",
        "TR111-1.2.2-D2c",
        "TR111-1.2.2-D6",
    ),
    shown_in=(DISCOVER,),
)
def device_records_nothing(device: ManagedDevice) -> None:
    """The device does not look at option 125 of the ACK."""
    _notes(device, lambda gateway: None)


@fault(
    "association.device-records-another-oui",
    role="device",
    breaks=(
        "TR111-1.2-S2",
        "TR111-1.2.2-D2",
        "TR111-1.2.2-D2a",
    ),
    shown_in=(DISCOVER,),
)
def device_records_another_oui(device: ManagedDevice) -> None:
    """The device records a manufacturer of its own choice."""
    _notes(device, lambda it: dataclasses.replace(it, oui="00005F") if it else it)


@fault(
    "association.device-cuts-serial",
    role="device",
    breaks=(
        "TR111-1.2-S2",
        "TR111-1.2.2-D2",
        "TR111-1.2.2-D2b",
    ),
    shown_in=(DISCOVER,),
)
def device_cuts_serial(device: ManagedDevice) -> None:
    """The device records the serial number without its last character."""
    _notes(device, lambda it: dataclasses.replace(it, serial_number=it.serial_number[:-1]))


@fault(
    "association.device-drops-class",
    role="device",
    breaks=(
        "TR111-1.2.2-D2",
        "TR111-1.2.2-D2c",
        "TR111-1.2.2-D6",
    ),
    shown_in=(DISCOVER,),
)
def device_drops_class(device: ManagedDevice) -> None:
    """The device records no product class."""
    _notes(device, lambda it: dataclasses.replace(it, product_class=""))


@fault(
    "association.device-records-another-offer",
    role="device",
    breaks=(
        "TR111-1.2-S2",
        "TR111-1.2.2-D2",
        "TR111-1.2.2-D2d",
    ),
    shown_in=("association_gateway_change/two_offers",),
)
def device_records_another_offer(device: ManagedDevice) -> None:
    """The device records the gateway whose OFFER it has not taken."""
    other = {"Gateway": "Gateway2", "Gateway2": "Gateway"}
    _notes(
        device,
        lambda it: dataclasses.replace(it, product_class=other.get(it.product_class, "")),
    )


@fault(
    "association.device-keeps-missing-element",
    role="device",
    breaks=(
        "TR111-1.2-S2",
        "TR111-1.2.2-D2",
        "TR111-1.2.2-D3",
        "TR111-1.2.2-D6",
    ),
    shown_in=("association_gateway_change/class_dropped",),
)
def device_keeps_missing_element(device: ManagedDevice) -> None:
    """An element that the ACK lacks stays what it was."""
    last: list[str] = [""]

    def keep(gateway: Identity) -> Identity:
        last[0] = gateway.product_class or last[0]
        return dataclasses.replace(gateway, product_class=last[0]) if gateway else gateway

    _notes(device, keep)


@fault(
    "association.device-minds-missing-class",
    role="device",
    breaks=("TR111-1.2.5-O6b",),
    shown_in=(f"{EDGE}no_gateway_class",),
)
def device_minds_missing_class(device: ManagedDevice) -> None:
    """A Gateway Identity without product class is none to the device."""
    _notes(device, lambda it: it if it.product_class else NOBODY)


@fault(
    "association.device-keeps-after-lease",
    role="device",
    breaks=("TR111-1.2.2-D7",),
    shown_in=("association_lease_expiry/release",),
)
def device_keeps_after_lease(device: ManagedDevice) -> None:
    """The lease ends, and the device still believes that it is behind its gateway."""
    _notes(device, lambda it: it or None)


@fault(
    "association.device-passive", role="device", breaks=("TR111-1.2.2-D4",), shown_in=(DISCOVER,)
)
def device_passive(device: ManagedDevice) -> None:
    """GatewayInfo is notified passively by default."""
    tree: Any = device.tree
    notification = tree.notification

    def passive(path: str) -> Any:
        usual = notification(path)
        return type(usual)(1) if ".GatewayInfo." in path else usual

    tree.notification = passive


@fault(
    "association.device-keeps-attributes",
    role="device",
    breaks=("TR111-1.2.2-D5",),
    shown_in=("association_gateway_change/url_changed", "datamodel_conformance/association_device"),
)
def device_keeps_attributes(device: ManagedDevice) -> None:
    """What one ACS has set of notification holds for the next ACS as well."""
    tree: Any = device.tree
    set_values = tree.set

    def keep(*arguments: Any) -> Any:
        before = dict(tree._notifications)
        changed = set_values(*arguments)
        tree._notifications.update(before)
        return changed

    tree.set = keep


@fault(
    "association.device-forgets-to-list-class",
    role="device",
    breaks=("TR111-1.2.2-D6",),
    acts_on="message cwmp",
    shown_in=(DISCOVER,),
)
def device_forgets_to_list_class(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """The Inform does not list the product class, which has changed."""
    if envelope is None or not isinstance(envelope.message, rpc.Inform):
        return [envelope]
    kept = tuple(
        each
        for each in envelope.message.parameters
        if not each.name.endswith("GatewayInfo.ProductClass")
    )
    inform = dataclasses.replace(envelope.message, parameters=kept)
    return [dataclasses.replace(envelope, message=inform)]


@fault(
    "association.device-discovers-anyway",
    role="device",
    breaks=("TR111-1.2.4-1",),
    shown_in=(INFORM,),
)
def device_discovers_anyway(device: ManagedDevice) -> None:
    """The device has an address, and asks for another one by DISCOVER."""
    device.lan._static_address = None
