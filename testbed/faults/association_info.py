"""Faults of a device that is to know its gateway, and to tell of it (TR-111 Part 1, 1.2.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols.association import NOBODY, Identity
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.wire import Endpoint
from testbed.roles.managed_device import ManagedDevice

DISCOVER, EDGE = "association_discover/", "association_edge_identity/"


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
    "association.device-keeps-class-after-lease",
    role="device",
    breaks=("TR111-1.2.2-D7",),
    shown_in=("association_lease_expiry/release",),
)
def device_keeps_class_after_lease(device: ManagedDevice) -> None:
    """The lease ends, and the product class of the gateway stays recorded."""
    last: list[str] = [""]

    def keep(gateway: Identity) -> Identity:
        last[0] = gateway.product_class or last[0]
        return gateway or Identity("", "", last[0])

    _notes(device, keep)


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
