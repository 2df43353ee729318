"""Faults of a gateway's data model for association (TR-111 Part 1, 1.2.6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.wire import Endpoint
from testbed.roles.associations import COUNT, SERVER, TABLE
from testbed.roles.managed_gateway import ManagedGateway

WALK = "datamodel_conformance/"
DENIED = f"{SERVER}ParameterKey"
"""Its active notification is always denied."""
LIMIT_PATH = f"{SERVER}ManageableDeviceNotificationLimit"
Answer = list[Envelope | None]


def _names_without(gateway: ManagedGateway, wrong: Callable[[str], bool]) -> None:
    """GetParameterNames leaves names out."""
    tree: Any = gateway.tree
    names = tree.names
    tree.names = lambda path, next_level: tuple(
        each for each in names(path, next_level) if not wrong(each.path)
    )


def _unreadable(gateway: ManagedGateway, end: str) -> None:
    """A parameter that is asked for alone is not found."""
    tree: Any = gateway.tree
    get = tree.get

    def lost(wanted: Any) -> Any:
        is_meant = len(wanted) == 1 and wanted[0].endswith(end)
        return get([f"{wanted[0]}Lost"] if is_meant else wanted)

    tree.get = lost


def _refuses(gateway: ManagedGateway, wanted: int, about: Callable[[str], bool], code: int) -> None:
    """SetParameterAttributes is refused for some parameters, by 9009 or by 9003."""
    tree: Any = gateway.tree
    set_attributes = tree.set_attributes
    # What the tree refuses by that code by itself.
    known: dict[int, dict[str, Any]] = {
        9009: {"path": DENIED, "notification": 2},
        9003: {"notification": 7},
    }
    refused = known[code]

    def refuse(requests: Any) -> None:
        set_attributes(
            [
                dataclasses.replace(each, **refused)
                if each.notification == wanted and about(each.path)
                else each
                for each in requests
            ]
        )

    tree.set_attributes = refuse


@fault("association.model-elsewhere", role="gateway", breaks=("TR111-1.2.6-M0",), shown_in=(WALK,))
def model_elsewhere(gateway: ManagedGateway) -> None:
    """The notification limit is not among the names of ManagementServer."""
    _names_without(gateway, lambda path: path == LIMIT_PATH)


@fault(
    "association.model-without-object",
    role="gateway",
    breaks=(
        "TR111-1.2.6-T2-1",
        "TR111-1.2.6.2.2-T4-1",
        *("TR111-2.2.4-T6-0", "TR111-2.2.4.2-T78-0"),
    ),
    shown_in=(WALK,),
)
def model_without_object(gateway: ManagedGateway) -> None:
    """ManagementServer itself is not among the names."""
    _names_without(gateway, lambda path: path == SERVER)


@fault(
    "association.model-without-table",
    role="gateway",
    breaks=(
        "TR111-1.2.6-M0",
        "TR111-1.2.6.2.1-N",
        "TR111-1.2.6.2.2-T4-3",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(WALK,),
)
def model_without_table(gateway: ManagedGateway) -> None:
    """The table itself is not among the names."""
    _names_without(gateway, lambda path: path == TABLE)


@fault(
    "association.model-count-unreadable",
    role="gateway",
    breaks=(
        "TR111-1.2.6.2.1-N",
        "TR111-1.2.6.2.2-T4-2",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(WALK,),
)
def model_count_unreadable(gateway: ManagedGateway) -> None:
    """The number of entries cannot be read."""
    _unreadable(gateway, "ManageableDeviceNumberOfEntries")


@fault(
    "association.model-oui-unreadable",
    role="gateway",
    breaks=(
        "TR111-1.2.6.2.1-N",
        "TR111-1.2.6.2.2-T4-4",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(WALK,),
)
def model_oui_unreadable(gateway: ManagedGateway) -> None:
    """ManufacturerOUI cannot be read."""
    _unreadable(gateway, ".ManufacturerOUI")


@fault(
    "association.model-serial-unreadable",
    role="gateway",
    breaks=(
        "TR111-1.2.6.2.1-N",
        "TR111-1.2.6.2.2-T4-5",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(WALK,),
)
def model_serial_unreadable(gateway: ManagedGateway) -> None:
    """SerialNumber cannot be read."""
    _unreadable(gateway, ".SerialNumber")


@fault(
    "association.model-class-unreadable",
    role="gateway",
    breaks=(
        "TR111-1.2.6.2.1-N",
        "TR111-1.2.6.2.2-T4-6",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(WALK,),
)
def model_class_unreadable(gateway: ManagedGateway) -> None:
    """ProductClass cannot be read."""
    _unreadable(gateway, ".ProductClass")


@fault(
    "association.model-count-writable", role="gateway", breaks=("TR111-1.2.6-FN",), shown_in=(WALK,)
)
def model_count_writable(gateway: ManagedGateway) -> None:
    """The ACS may set the number of entries; it has no effect."""
    tree: Any = gateway.tree
    set_values = tree.set

    def take(values: Any, key: str = "") -> Any:
        return set_values([each for each in values if each.path != COUNT], key)

    tree.set = take


@fault(
    "association.model-no-active",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G6",
        "TR111-1.2.6.1-N1",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(WALK, "association_notification_limit/"),
)
def model_no_active(gateway: ManagedGateway) -> None:
    """Active notification of the number of entries is refused by 9009."""
    _refuses(gateway, 2, lambda path: path == COUNT, 9009)


@fault(
    "association.model-no-passive", role="gateway", breaks=("TR111-1.2.6.1-N3",), shown_in=(WALK,)
)
def model_no_passive(gateway: ManagedGateway) -> None:
    """Passive notification of the table's parameters is refused."""
    _refuses(gateway, 1, lambda path: path.startswith(TABLE), 9009)


@fault(
    "association.model-passive-stays-off",
    role="gateway",
    breaks=("TR111-1.2.6.1-N3",),
    shown_in=(WALK,),
)
def model_passive_stays_off(gateway: ManagedGateway) -> None:
    """Passive notification of the table's parameters is granted, and makes no difference."""
    tree: Any = gateway.tree
    set_attributes = tree.set_attributes
    tree.set_attributes = lambda requests: set_attributes(
        [each for each in requests if each.notification != 1 or not each.path.startswith(TABLE)]
    )


def _refuses_rows_by_9003(gateway: ManagedGateway, name: str) -> None:
    _refuses(gateway, 2, lambda path: path.startswith(TABLE) and path.endswith(f".{name}"), 9003)


@fault(
    "association.model-denies-oui-by-9003",
    role="gateway",
    breaks=(
        "TR111-1.2.6.1-N2",
        "TR111-1.2.6.1-T3-1",
    ),
    shown_in=(WALK,),
)
def model_denies_oui(gateway: ManagedGateway) -> None:
    """Active notification of ManufacturerOUI is refused by another code than 9009."""
    _refuses_rows_by_9003(gateway, "ManufacturerOUI")


@fault(
    "association.model-denies-serial-by-9003",
    role="gateway",
    breaks=(
        "TR111-1.2.6.1-N2",
        "TR111-1.2.6.1-T3-2",
    ),
    shown_in=(WALK,),
)
def model_denies_serial(gateway: ManagedGateway) -> None:
    """Active notification of SerialNumber is refused by another code than 9009."""
    _refuses_rows_by_9003(gateway, "SerialNumber")


@fault(
    "association.model-denies-class-by-9003",
    role="gateway",
    breaks=(
        "TR111-1.2.6.1-N2",
        "TR111-1.2.6.1-T3-3",
    ),
    shown_in=(WALK,),
)
def model_denies_class(gateway: ManagedGateway) -> None:
    """Active notification of ProductClass is refused by another code than 9009."""
    _refuses_rows_by_9003(gateway, "ProductClass")


@fault(
    "association.model-limit-reads-0",
    role="gateway",
    breaks=("TR111-1.2.6-T2-3",),
    shown_in=("association_notification_limit/",),
    acts_on="message cwmp",
)
def model_limit_reads_0(envelope: Envelope | None, _to: Endpoint) -> Answer:
    """The limit that was set is read back as 0."""
    if envelope is None or not isinstance(envelope.message, rpc.GetParameterValuesResponse):
        return [envelope]
    told = tuple(
        dataclasses.replace(each, value="0") if each.name == LIMIT_PATH else each
        for each in envelope.message.parameters
    )
    message = dataclasses.replace(envelope.message, parameters=told)
    return [dataclasses.replace(envelope, message=message)]


@fault(
    "association.model-of-version-1",
    role="gateway",
    breaks=("TR111-0-2", "TR111-1.2.6.2.2-P", "TR111-2.2.4.2.3-P"),
    shown_in=(WALK,),
)
def model_of_version_1(gateway: ManagedGateway) -> None:
    """The profile is announced for InternetGatewayDevice:1.1, which does not have it."""
    path = "InternetGatewayDevice.DeviceSummary"
    told = gateway.tree.value(path).replace(
        "InternetGatewayDevice:1.2", "InternetGatewayDevice:1.1"
    )
    gateway.tree.assign(path, told)
