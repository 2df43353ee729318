"""CPEs that say wrong things of their binding, or keep it alive at the wrong time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from testbed.faults.fault import fault
from testbed.faults.stun_bending import (
    DISCOVERY,
    KEEP_ALIVE,
    NO_TRANSLATION,
    Sent,
    configured,
    rewritten,
    told,
)
from testbed.protocols import stun
from testbed.protocols.stun import ClientSide, Kind
from testbed.protocols.wire import Endpoint
from testbed.roles.managed_device import ManagedDevice

_ADDRESS_ENTRIES = (
    *("TR111-2.2-P3", "TR111-2.2.1-C2", "TR111-2.2.1.1-C5", "TR111-2.2.1.3-C12"),
    *("TR111-2.2.4-T6-1a", "TR111-2.2.1-C4"),
)
"""Those that UDPConnectionRequestAddress as a whole decides."""
FIRST_S = 5.0
"""What a CPE waits before it repeats itself, that should do so after 0.1 s."""
_DETECTION_ENTRIES = ("TR111-2.2-P1", "TR111-2.2.1.1-C4", "TR111-2.2.4-T6-10")


# What it says of its binding


@fault(
    "stun.private-address",
    role="device",
    breaks=[*_ADDRESS_ENTRIES, "TR111-2.2.1.3-C12a"],
    shown_in=DISCOVERY,
)
def private_address(device: ManagedDevice) -> None:
    """UDPConnectionRequestAddress has the CPE's own address, and the public port."""
    own = "192.168.1.100"
    told(device, lambda e: dataclasses.replace(e, endpoint=Endpoint(own, e.endpoint.port)))


@fault(
    "stun.private-port",
    role="device",
    breaks=[*_ADDRESS_ENTRIES, "TR111-2.2.1.3-C12b"],
    shown_in=DISCOVERY,
)
def private_port(device: ManagedDevice) -> None:
    """UDPConnectionRequestAddress has another port than the binding."""
    told(device, lambda e: dataclasses.replace(e, endpoint=Endpoint(e.endpoint.address, 9)))


@fault(
    "stun.address-as-url",
    role="device",
    breaks=[
        *_ADDRESS_ENTRIES,
        *("TR111-2.2.1.3-C12a", "TR111-2.2.1.3-C12b", "TR111-2.2.4-T6-1"),
    ],
    shown_in=DISCOVERY,
)
def address_as_url(device: ManagedDevice) -> None:
    """UDPConnectionRequestAddress is a URL."""
    tree: Any = device.tree
    assign = tree.assign

    def spelt(path: str, text: str) -> bool:
        is_address = path.endswith(".UDPConnectionRequestAddress")
        return bool(assign(path, f"udp://{text}" if is_address else text))

    tree.assign = spelt


@fault(
    "stun.address-without-port",
    role="device",
    breaks=[*_ADDRESS_ENTRIES, "TR111-2.2.1.3-C12b", "TR111-2.2.4-T6-1c"],
    shown_in=DISCOVERY,
)
def address_without_port(device: ManagedDevice) -> None:
    """UDPConnectionRequestAddress never has a port."""
    tree: Any = device.tree
    assign = tree.assign

    def shortened(path: str, text: str) -> bool:
        is_address = path.endswith(".UDPConnectionRequestAddress")
        return bool(assign(path, text.partition(":")[0] if is_address else text))

    tree.assign = shortened


@fault(
    "stun.nat-not-detected",
    role="device",
    breaks=[*_DETECTION_ENTRIES, "TR111-2.2.1.3-C13"],
    shown_in=DISCOVERY,
)
def nat_not_detected(device: ManagedDevice) -> None:
    """NATDetected stays false."""
    told(device, lambda event: dataclasses.replace(event, is_translated=False))


@fault(
    "stun.compares-addresses-only",
    role="device",
    breaks=[*_DETECTION_ENTRIES, "TR111-2.2.1.3-C13"],
    shown_in=("nat_binding_discovery/port_only",),
)
def compares_addresses_only(device: ManagedDevice) -> None:
    """Only another address is taken for translation, another port is not."""

    def compared(event: stun.BindingDetermined) -> stun.BindingDetermined:
        local = device.stun.machine.local
        is_moved = local is None or event.endpoint.address != local.address
        return dataclasses.replace(event, is_translated=event.is_translated and is_moved)

    told(device, compared)


@fault(
    "stun.nat-always-detected",
    role="device",
    breaks=[*_DETECTION_ENTRIES, "TR111-2.2.1.3-C17"],
    shown_in=NO_TRANSLATION,
)
def nat_always_detected(device: ManagedDevice) -> None:
    """NATDetected is true without a NAT."""
    told(device, lambda event: dataclasses.replace(event, is_translated=True))


@fault(
    "stun.other-default-port",
    role="device",
    breaks=["TR111-2.2.4-T6-5b"],
    shown_in=DISCOVERY,
)
def other_default_port(device: ManagedDevice) -> None:
    """STUNServerPort is 0 when the device leaves the factory."""
    device.tree.assign(f"{device.tree.model.root}ManagementServer.STUNServerPort", "0")


@fault(
    "stun.needs-changed-address",
    role="device",
    breaks=["TR111-2.2.1.1-C11", "TR111-2.2.1.3-C6", "TR111-2.2.1-C4"],
    seen_in="clients made for NAT type detection",
    shown_in=("nat_binding_discovery/bare_server",),
)
def needs_changed_address(device: ManagedDevice) -> None:
    """A response without CHANGED-ADDRESS is ignored."""
    machine: Any = device.stun.machine
    receive = machine.receive

    def picky(data: bytes, source: Endpoint, now: float, side: ClientSide) -> None:
        if stun.decode(data).first(Kind.CHANGED_ADDRESS) is not None:
            receive(data, source, now, side)

    machine.receive = picky


@fault(
    "stun.deaf-to-tcp",
    role="device",
    breaks=["TR111-2.2.1.4-C2"],
    shown_in=NO_TRANSLATION,
)
def deaf_to_tcp(device: ManagedDevice) -> None:
    """With UDP Connection Requests those by TCP are not taken any more."""

    async def start() -> None:
        return None

    listener: Any = device.connection_requests
    listener.start = start


# When


@fault(
    "stun.keep-alives-too-often",
    role="device",
    breaks=["TR111-2.2.1.2-C2", "TR111-2.2.4-T6-9"],
    shown_in=KEEP_ALIVE,
)
def keep_alives_too_often(device: ManagedDevice) -> None:
    """The minimum between keep-alives is not kept."""
    configured(device, minimum_s=lambda period: period // 2, maximum_s=lambda period: period // 2)


@fault(
    "stun.keep-alives-too-rarely",
    role="device",
    breaks=["TR111-2.2.1.2-C3", "TR111-2.2.4-T6-8"],
    shown_in=KEEP_ALIVE,
)
def keep_alives_too_rarely(device: ManagedDevice) -> None:
    """The maximum between keep-alives is not kept."""
    configured(device, minimum_s=lambda period: period * 1.4, maximum_s=lambda period: period * 1.4)


@fault(
    "stun.stops-after-its-first-binding",
    role="device",
    breaks=[
        *("TR111-2.2.1.2-C1", "TR111-2.2.1.2-C3", "TR111-2.2.4-T6-8"),
    ],
    shown_in=KEEP_ALIVE,
)
def stops_after_its_first_binding(device: ManagedDevice) -> None:
    """Once the binding is known nothing is sent any more."""
    is_known: list[bool] = []

    def silent(sent: Sent) -> Sent:
        kept = [] if is_known else list(sent)
        is_known.extend(True for each in sent if each.message.is_change)
        return kept

    rewritten(device, silent)


@fault(
    "stun.copies-wait-for-the-minimum",
    role="device",
    breaks=["TR111-2.2.4-T6-9b"],
    shown_in=("nat_keepalive/silent_server",),
)
def copies_wait_for_the_minimum(device: ManagedDevice) -> None:
    """A request is sent again only when the minimum between keep-alives has passed."""
    sent_at: dict[bytes, float] = {}

    def rarely(message: stun.Message, to: Endpoint) -> list[stun.Message]:
        now = device.host.now()
        if now - sent_at.get(message.transaction_id, -FIRST_S) < FIRST_S:
            return []
        sent_at[message.transaction_id] = now
        return [message]

    device.mend_of("stun").message.append(rarely)


@fault(
    "stun.never-probes",
    role="device",
    breaks=["TR111-2.2.1.2-C4"],
    seen_in="clients whose vendor has left the search out",
    shown_in=("nat_keepalive/between",),
)
def never_probes(device: ManagedDevice) -> None:
    """The lifetime is not looked for."""
    rewritten(device, lambda s: [each for each in s if each.side is ClientSide.PRIMARY])


@fault(
    "stun.refuses-no-maximum",
    role="device",
    breaks=["TR111-2.2.4-T6-8b"],
    shown_in=("nat_keepalive/no_maximum",),
)
def refuses_no_maximum(device: ManagedDevice) -> None:
    """STUNMaximumKeepAlivePeriod = -1 is refused."""
    tree: Any = device.tree
    set_values = tree.set

    def picky(values: Sequence[Any], key: str = "") -> Any:
        wanted = [
            dataclasses.replace(each, text="less than 0") if each.text == "-1" else each
            for each in values
        ]
        return set_values(wanted, key)

    tree.set = picky


@fault(
    "stun.no-copies",
    role="device",
    breaks=["TR111-2.2.4-T6-9b"],
    seen_in="clients that send each request once",
    shown_in=("nat_keepalive/silent_server",),
)
def no_copies(device: ManagedDevice) -> None:
    """A request that is not answered is not sent again."""
    seen: set[bytes] = set()

    def once(message: stun.Message, to: Endpoint) -> list[stun.Message]:
        if message.transaction_id in seen:
            return []
        seen.add(message.transaction_id)
        return [message]

    device.mend_of("stun").message.append(once)
