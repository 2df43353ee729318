"""Faults of a gateway that is to list the devices of its LAN (TR-111 Part 1)."""

from __future__ import annotations

import dataclasses
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols import dhcp
from testbed.protocols.association import Identity, device_in
from testbed.roles.managed_gateway import ManagedGateway

DISCOVER, EDGE = "association_discover/", "association_edge_identity/"
EXPIRY, DISCONNECT = "association_lease_expiry/", "association_disconnect/"
LIMIT = "association_notification_limit/"


def _lists(gateway: ManagedGateway, change: Any) -> None:
    """Have the gateway list something else; None: nothing."""
    add = gateway.devices._add

    def added(identity: Identity) -> None:
        changed = change(identity)
        if changed is not None:
            add(changed)

    gateway.devices._add = added  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-lists-nobody",
    role="gateway",
    breaks=(
        "TR111-1.2-S1",
        "TR111-1.2.1-G3",
        "TR111-1.2.6-T2-4",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(DISCOVER,),
)
def gateway_lists_nobody(gateway: ManagedGateway) -> None:
    """The gateway tells who it is and keeps no table."""
    _lists(gateway, lambda identity: None)


@fault(
    "association.gateway-lists-twice",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G3",
        "TR111-1.2.6-T2-4",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(f"{DISCOVER}renewal",),
)
def gateway_lists_twice(gateway: ManagedGateway) -> None:
    """Each exchange adds an entry, a renewal too."""
    gateway.devices._row_of = lambda identity: None  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-lists-at-offer",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G3",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(f"{DISCOVER}not_taken",),
)
def gateway_lists_at_offer(gateway: ManagedGateway) -> None:
    """Who asks is listed, whether the address is taken or not."""
    devices = gateway.devices
    answer_options = devices.answer_options

    def list_at_once(request: dhcp.Message) -> Any:
        identity = device_in(request.vendor_identity)
        if identity is not None and devices._row_of(identity) is None:
            devices._add(identity)
        return answer_options(request)

    devices.answer_options = list_at_once  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-changes-serial",
    role="gateway",
    breaks=(
        "TR111-1.2-S1",
        "TR111-1.2.1-G3",
        "TR111-1.2.6-T2-6",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(DISCOVER,),
)
def gateway_changes_serial(gateway: ManagedGateway) -> None:
    """The gateway lists the serial number in small letters."""
    _lists(gateway, lambda it: dataclasses.replace(it, serial_number=it.serial_number.lower()))


@fault(
    "association.gateway-changes-class",
    role="gateway",
    breaks=(
        "TR111-1.2-S1",
        "TR111-1.2.1-G3",
        "TR111-1.2.6-T2-7",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(DISCOVER,),
)
def gateway_changes_class(gateway: ManagedGateway) -> None:
    """The gateway lists the product class in small letters."""
    _lists(gateway, lambda it: dataclasses.replace(it, product_class=it.product_class.lower()))


@fault(
    "association.gateway-fills-class",
    role="gateway",
    breaks=(
        "TR111-1.2.6-T2-7",
        "TR111-1.2.6-T2-7b",
    ),
    shown_in=(f"{EDGE}no_device_class",),
)
def gateway_fills_class(gateway: ManagedGateway) -> None:
    """A device without product class is listed with a placeholder."""
    _lists(gateway, lambda it: dataclasses.replace(it, product_class=it.product_class or "none"))


@fault(
    "association.gateway-wants-class",
    role="gateway",
    breaks=(
        "TR111-1.2.5-O5b",
        "TR111-1.2.6-T2-4",
    ),
    shown_in=(f"{EDGE}no_device_class",),
)
def gateway_wants_class(gateway: ManagedGateway) -> None:
    """A device without product class is not listed."""
    _lists(gateway, lambda it: it if it.product_class else None)


@fault(
    "association.gateway-keys-by-serial",
    role="gateway",
    breaks=(
        "TR111-1.1.1-1",
        "TR111-1.2.6-T2-4",
    ),
    shown_in=(EDGE,),
)
def gateway_keys_by_serial(gateway: ManagedGateway) -> None:
    """Devices that share OUI and serial number are one to the gateway."""
    seen: set[tuple[str, str]] = set()

    def once(identity: Identity) -> Identity | None:
        key = (identity.oui, identity.serial_number)
        known = key in seen
        seen.add(key)
        return None if known else identity

    _lists(gateway, once)


@fault(
    "association.gateway-takes-any-oui",
    role="gateway",
    breaks=("TR111-1.2.6-T2-5",),
    shown_in=(f"{EDGE}lower_case_oui",),
)
def gateway_takes_any_oui(gateway: ManagedGateway) -> None:
    """The gateway lists an OUI as it comes."""
    gateway.devices._why_not = lambda identity: None  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-cuts-serial",
    role="gateway",
    breaks=("TR111-1.2.6-T2-6",),
    shown_in=(f"{EDGE}long_serial",),
)
def gateway_cuts_serial(gateway: ManagedGateway) -> None:
    """A serial number of 65 characters is cut to 64."""
    gateway_takes_any_oui(gateway)
    _lists(gateway, lambda it: dataclasses.replace(it, serial_number=it.serial_number[:64]))


@fault(
    "association.gateway-lists-plain-clients",
    role="gateway",
    breaks=(
        "TR111-1.2-S1",
        "TR111-1.2.6-T2-4",
        "TR111-1.2.6-T2-6",
        "TR111-1.2.6-T2-7",
    ),
    shown_in=(f"{DISCOVER}plain_client",),
    seen_in="gateways that show every DHCP client as a managed device",
)
def gateway_lists_plain_clients(gateway: ManagedGateway) -> None:
    """Whoever has a lease is listed."""
    devices = gateway.devices
    acknowledged = devices._acknowledged

    def everybody(client: bytes, address: str) -> None:
        devices._told.setdefault(client, Identity("00005E", client.hex()))
        acknowledged(client, address)

    devices._acknowledged = everybody  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-miscounts",
    role="gateway",
    breaks=("TR111-1.2.6-T2-2",),
    shown_in=(DISCOVER,),
)
def gateway_miscounts(gateway: ManagedGateway) -> None:
    """The number of entries is that of before the last change."""
    tree: Any = gateway.tree
    tree._count = lambda table, by_acs=False: None


@fault(
    "association.gateway-wants-private-addresses",
    role="gateway",
    breaks=(
        "TR111-1.1-2",
        "TR111-1.2-S1",
        "TR111-1.2.1-G3",
    ),
    shown_in=("association_inform/public",),
)
def gateway_wants_private_addresses(gateway: ManagedGateway) -> None:
    """Only devices with addresses of 192.168 are listed."""
    acknowledged = gateway.devices._acknowledged

    def private(client: bytes, address: str) -> None:
        if address.startswith("192.168."):
            acknowledged(client, address)

    gateway.devices._acknowledged = private  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-ages-entries",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G4",
        "TR111-1.2.1-G5a",
    ),
    shown_in=(f"{EXPIRY}renewals",),
)
def gateway_ages_entries(gateway: ManagedGateway) -> None:
    """An entry goes one second after it came, whatever the lease."""
    devices = gateway.devices
    add = devices._add

    def added(identity: Identity) -> None:
        add(identity)
        due = devices.host.now() + 1.2
        devices.host.call_at(due, lambda: forget(identity))

    def forget(identity: Identity) -> None:
        for client, holder in list(devices._holders.items()):
            if holder.identity == identity:
                del devices._holders[client]
        devices._remove(identity, "it is old")
        devices._add = lambda identity: None  # type: ignore[method-assign]  # that is the fault

    devices._add = added  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-keeps-after-lease",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G5",
        "TR111-1.2.1-G5a",
    ),
    shown_in=(EXPIRY, f"{EXPIRY}release"),
)
def gateway_keeps_after_lease(gateway: ManagedGateway) -> None:
    """Leases end, and the entries stay."""
    gateway.devices._gone = lambda client, reason: None  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-finds-nobody-gone",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G5",
        "TR111-1.2.1-G5b",
    ),
    shown_in=(DISCONNECT, f"{DISCONNECT}static"),
)
def gateway_finds_nobody_gone(gateway: ManagedGateway) -> None:
    """The gateway asks by ARP and does not mind that nobody answers."""
    devices: Any = gateway.devices

    async def always(address: str) -> bool:
        await devices.host.reaches(devices.interface, address, devices.probes.answer_within_s)
        return True

    devices._is_there = always


@fault(
    "association.gateway-removes-all",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G4",
        "TR111-1.2.1-G5",
    ),
    shown_in=(f"{DISCONNECT}stays",),
)
def gateway_removes_all(gateway: ManagedGateway) -> None:
    """One device is gone, and the gateway clears its table."""
    devices = gateway.devices
    gone = devices._gone

    def all_gone(client: bytes, reason: str) -> None:
        for each in list(devices._holders):
            gone(each, reason)

    devices._gone = all_gone  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-ignores-filter",
    role="gateway",
    breaks=("TR111-1.3-S2",),
    shown_in=("association_spoofed_identity/proxy_filtered",),
)
def gateway_ignores_filter(gateway: ManagedGateway) -> None:
    """The owner's filter has no effect."""
    why_not = gateway.devices._why_not

    def anybody(identity: Identity) -> str | None:
        gateway.devices.admitted = None
        return why_not(identity)

    gateway.devices._why_not = anybody  # type: ignore[method-assign]  # that is the fault


# Notifications.


@fault(
    "association.gateway-notifies-nothing",
    role="gateway",
    breaks=("TR111-1.2.1-G7",),
    shown_in=(f"{LIMIT}read_at_once",),
)
def gateway_notifies_nothing(gateway: ManagedGateway) -> None:
    """Notification is granted, and none ever comes."""
    gateway.tree.held.add(gateway.count.path)
    gateway.count._release = lambda: None  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-ignores-limit",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G8",
        "TR111-1.2.6-T2-3",
    ),
    shown_in=(LIMIT,),
)
def gateway_ignores_limit(gateway: ManagedGateway) -> None:
    """Every change is notified at once, whatever the limit."""
    gateway.count.told = lambda values: None  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-notifies-additions",
    role="gateway",
    breaks=("TR111-1.2.1-G7",),
    shown_in=(f"{LIMIT}read_at_once",),
)
def gateway_notifies_additions(gateway: ManagedGateway) -> None:
    """An entry that comes is notified, one that goes is not."""
    devices = gateway.devices
    remove = devices._remove

    def removed(identity: Identity, reason: str) -> None:
        remove(identity, reason)
        gateway.tree.told(
            [each for each in gateway.tree.changes() if each.value.path == gateway.count.path]
        )

    devices._remove = removed  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-drops-what-it-holds-back",
    role="gateway",
    breaks=("TR111-1.2.1-G7", "TR111-1.2.1-G8", "TR111-1.2.6-T2-3"),
    shown_in=(f"{LIMIT}read_after_window",),
)
def gateway_drops_what_it_holds_back(gateway: ManagedGateway) -> None:
    """A change within the window is never notified, not at its end either."""
    gateway.count._release = lambda: None  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-limits-without-limit",
    role="gateway",
    breaks=("TR111-1.2.1-G7", "TR111-1.2.6-T2-3"),
    shown_in=(f"{LIMIT}no_limit",),
)
def gateway_limits_without_limit(gateway: ManagedGateway) -> None:
    """A limit of 0 is a default of the gateway's own."""
    count: Any = gateway.count
    count._limit_path = "InternetGatewayDevice.ManagementServer.PeriodicInformInterval"
    gateway.tree.assign(count._limit_path, "3")
