"""CPEs whose data model for connection requests via NAT is wrong (TR-111 Part 2, 2.2.4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols.association import NOBODY, Identity
from testbed.roles.managed_box import ManagedBox
from testbed.roles.managed_device import ManagedDevice
from testbed.roles.managed_gateway import ManagedGateway

ON_DEVICE = ("datamodel_conformance/connection_requests_device",)
ON_GATEWAY = ("datamodel_conformance/connection_requests_gateway",)
ROWS = (
    "UDPConnectionRequestAddress",
    "UDPConnectionRequestAddressNotificationLimit",
    *("STUNEnable", "STUNServerAddress", "STUNServerPort", "STUNUsername", "STUNPassword"),
    *("STUNMaximumKeepAlivePeriod", "STUNMinimumKeepAlivePeriod", "NATDetected"),
)
"""Of Tables 7 and 8, in their order: that of the register."""
CODES = "TR111-2.2.4.2.1-N"


def _row(leaf: str) -> str:
    return f"TR111-2.2.4.2-T78-{ROWS.index(leaf) + 1}"


def _path(box: ManagedBox, leaf: str) -> str:
    return f"{box.tree.model.root}ManagementServer.{leaf}"


def _listed_otherwise(box: ManagedBox, change: Callable[[Any], Any]) -> None:
    """GetParameterNames tells each name otherwise, or leaves it out: None."""
    tree: Any = box.tree
    names = tree.names
    tree.names = lambda path, next_level: tuple(
        told for each in names(path, next_level) if (told := change(each)) is not None
    )


def _enter_unreadable(leaf: str) -> None:
    @fault(
        f"stun.model-cannot-read-{leaf}",
        role="device",
        breaks=[_row(leaf), CODES],
        shown_in=ON_DEVICE,
    )
    def unreadable(device: ManagedDevice) -> None:
        tree: Any = device.tree
        get, path = tree.get, _path(device, leaf)
        tree.get = lambda wanted: get([f"{each}Lost" if each == path else each for each in wanted])

    # The register of faults asks for what is wrong when it is listed, not before.
    unreadable.__doc__ = f"{leaf} cannot be read when it is asked for alone."


for _each in ROWS:
    _enter_unreadable(_each)


# Names


@fault("stun.model-without-a-row", role="device", breaks=["TR111-2.2.4-M1"], shown_in=ON_DEVICE)
def without_a_row(device: ManagedDevice) -> None:
    """NATDetected is not listed."""
    path = _path(device, "NATDetected")
    _listed_otherwise(device, lambda each: None if each.path == path else each)


@fault(
    "stun.model-of-device-only",
    role="gateway",
    breaks=["TR111-2.2.4-M2"],
    seen_in="models that were made for Device alone",
    shown_in=ON_GATEWAY,
)
def of_device_only(gateway: ManagedGateway) -> None:
    """A gateway lists none of Table 6, and announces the profile."""
    paths = {_path(gateway, leaf) for leaf in ROWS}
    _listed_otherwise(gateway, lambda each: None if each.path in paths else each)


@fault(
    "stun.model-without-object",
    role="device",
    breaks=["TR111-2.2.4-T6-0", "TR111-2.2.4.2-T78-0"],
    shown_in=ON_DEVICE,
)
def without_object(device: ManagedDevice) -> None:
    """ManagementServer itself is not listed."""
    path = _path(device, "")
    _listed_otherwise(device, lambda each: None if each.path == path else each)


# Values


@fault(
    "stun.model-announces-writable",
    role="device",
    breaks=["TR111-2.2.4-FN", "TR111-2.2.4-T6-10"],
    shown_in=ON_DEVICE,
)
def announces_writable(device: ManagedDevice) -> None:
    """NATDetected is announced as writable, and refused when it is set."""
    path = _path(device, "NATDetected")
    _listed_otherwise(
        device, lambda each: dataclasses.replace(each, writable=each.writable or each.path == path)
    )


@fault(
    "stun.model-lets-the-address-be-set",
    role="device",
    breaks=["TR111-2.2.4-FN", "TR111-2.2.4-T6-1"],
    shown_in=ON_DEVICE,
)
def lets_the_address_be_set(device: ManagedDevice) -> None:
    """UDPConnectionRequestAddress is said to be set by the ACS; it has no effect."""
    tree: Any = device.tree
    set_values, path = tree.set, _path(device, "UDPConnectionRequestAddress")
    tree.set = lambda values, key="": set_values([v for v in values if v.path != path], key)


@fault(
    "stun.model-takes-any-number",
    role="device",
    breaks=["TR111-2.2.4-T6-5", "TR111-2.2.4-T6-8"],
    shown_in=ON_DEVICE,
)
def takes_any_number(device: ManagedDevice) -> None:
    """Numbers that their types do not hold are said to be set."""
    tree: Any = device.tree
    set_values = tree.set
    none = ("65536", "-2")
    tree.set = lambda values, key="": set_values([v for v in values if v.text not in none], key)


@fault(
    "stun.model-sets-read-only",
    role="device",
    breaks=["TR111-2.2.4-FN", "TR111-2.2.4-T6-10"],
    shown_in=ON_DEVICE,
)
def sets_read_only(device: ManagedDevice) -> None:
    """NATDetected is said to be set by the ACS; it has no effect."""
    tree: Any = device.tree
    set_values, path = tree.set, _path(device, "NATDetected")
    tree.set = lambda values, key="": set_values([v for v in values if v.path != path], key)


@fault(
    "stun.model-limit-is-fixed",
    role="device",
    breaks=[
        *("TR111-2.2.4-T6-2", "TR111-2.2.4-FN", CODES),
        _row("UDPConnectionRequestAddressNotificationLimit"),
    ],
    shown_in=ON_DEVICE,
)
def limit_is_fixed(device: ManagedDevice) -> None:
    """UDPConnectionRequestAddressNotificationLimit is refused as read-only."""
    tree: Any = device.tree
    refuse, path = tree._refuse, _path(device, "UDPConnectionRequestAddressNotificationLimit")
    read_only = _path(device, "NATDetected")
    tree._refuse = lambda value, accepted: refuse(
        dataclasses.replace(value, path=read_only) if value.path == path else value, accepted
    )


@fault(
    "stun.model-forgets-its-minimum",
    role="device",
    breaks=[CODES, _row("STUNMinimumKeepAlivePeriod")],
    shown_in=ON_DEVICE,
)
def forgets_its_minimum(device: ManagedDevice) -> None:
    """STUNMinimumKeepAlivePeriod is said to be set, and stays what it was."""
    tree: Any = device.tree
    set_values, path = tree.set, _path(device, "STUNMinimumKeepAlivePeriod")
    tree.set = lambda values, key="": set_values([v for v in values if v.path != path], key)


@fault(
    "stun.model-tells-its-password",
    role="device",
    breaks=["TR111-2.2.4-T6-7b", CODES, _row("STUNPassword")],
    seen_in="CPEs that show passwords as they show names",
    shown_in=ON_DEVICE,
)
def tells_its_password(device: ManagedDevice) -> None:
    """STUNPassword reads back as it was set."""
    tree: Any = device.tree
    shown, hidden = tree._shown, _path(device, "STUNPassword")

    def told(path: str) -> Any:
        value = shown(path)
        is_told = path == hidden
        return dataclasses.replace(value, text=tree.value(path)) if is_told else value

    tree._shown = told


@fault(
    "stun.model-denies-active",
    role="device",
    breaks=["TR111-2.2.4.1-N1"],
    shown_in=ON_DEVICE,
)
def denies_active(device: ManagedDevice) -> None:
    """Active notification of NATDetected is refused by 9009."""
    tree: Any = device.tree
    set_attributes, path = tree.set_attributes, _path(device, "NATDetected")
    # Its active notification is always denied.
    denied = _path(device, "ParameterKey")

    def deny(requests: Any) -> None:
        set_attributes(
            [
                dataclasses.replace(each, path=denied)
                if each.path == path and each.notification == 2
                else each
                for each in requests
            ]
        )

    tree.set_attributes = deny


# The profile, and who may have it


@fault(
    "stun.model-of-version-0",
    role="device",
    breaks=["TR111-0-2", "TR111-2.2.4.2.2-P"],
    shown_in=ON_DEVICE,
)
def of_version_0(device: ManagedDevice) -> None:
    """UDPConnReq:1 is announced for Device:1.0, which does not have it."""
    path = "Device.DeviceSummary"
    told = device.tree.value(path).replace("Device:1.1", "Device:1.0")
    device.tree.assign(path, told)


@fault(
    "stun.model-profile-without-2.2.1",
    role="device",
    breaks=["TR111-2.2.4.2.2-P"],
    acts_on="message stun",
    shown_in=ON_DEVICE,
)
def profile_without_its_rules(message: Any, _to: Any) -> list[Any]:
    """UDPConnReq:1 is announced, and requests lack CONNECTION-REQUEST-BINDING."""
    kept = [each for each in message.attributes if each.type != 0xC001]
    return [message if message.is_change else message.replacing(kept)]


@fault(
    "stun.gateway-is-no-cpe",
    role="gateway",
    breaks=["TR111-2.2.1-C6", "TR111-2.2.1-C1", "TR111-2.2.4-T6-3"],
    seen_in="agents whose STUN client looks for Device.ManagementServer alone",
    shown_in=("nat_binding_discovery/managed_gateway",),
)
def gateway_is_no_cpe(gateway: ManagedGateway) -> None:
    """A gateway has the parameters, and no STUN client behind them."""
    client: Any = gateway.stun
    client.reconsider = lambda: None


@fault(
    "stun.needs-association",
    role="device",
    breaks=["TR111-0-1", "TR111-2.2.4-T6-3", "TR111-2.2.4.2.2-P"],
    shown_in=("datamodel_conformance/stun_alone",),
)
def needs_association(device: ManagedDevice) -> None:
    """STUN starts once a gateway has told who it is, and not before."""
    client: Any = device.stun
    box: Any = device
    reconsider, note = client.reconsider, box.note_gateway

    def noted(gateway: Identity) -> None:
        note(gateway)
        client.reconsider()

    client.reconsider = lambda: reconsider() if device._gateway_info() else None
    box.note_gateway = noted


@fault(
    "association.needs-stun",
    role="device",
    breaks=["TR111-0-1"],
    shown_in=("datamodel_conformance/association_alone",),
)
def association_needs_stun(device: ManagedDevice) -> None:
    """GatewayInfo is filled while STUN is on, and empty else."""
    box: Any = device
    note, parameters_set = box.note_gateway, box.parameters_set
    heard = [NOBODY]

    def is_on() -> bool:
        return device.tree.value(_path(device, "STUNEnable")) == "1"

    def noted(gateway: Identity) -> None:
        heard[0] = gateway
        note(gateway if is_on() else NOBODY)

    def looks_again() -> None:
        parameters_set()
        note(heard[0] if is_on() else NOBODY)

    box.note_gateway, box.parameters_set = noted, looks_again
