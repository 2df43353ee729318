"""CPEs and servers that spoil the way by which an ACS learns a binding by notification."""

from __future__ import annotations

from typing import Any

from testbed.faults.fault import fault
from testbed.roles.managed_device import ManagedDevice
from testbed.roles.stun_server import StunServer

LATE_S = 2.6
NOTIFICATION = ("nat_binding_change_notification/",)


@fault(
    "stun.binding-not-notified",
    role="device",
    breaks=["TR111-2.2.1.3-C14", "TR111-2.2.3-F6"],
    shown_in=NOTIFICATION,
)
def binding_not_notified(device: ManagedDevice) -> None:
    """A changed UDPConnectionRequestAddress is no reason for a session."""
    client: Any = device.stun
    client._changed = lambda: None


@fault(
    "stun.server-challenges-everybody",
    role="stun_server",
    breaks=["TR111-2.2.2.2.2-A8", "TR111-2.2.3-F6"],
    shown_in=NOTIFICATION,
)
def server_challenges_everybody(server: StunServer) -> None:
    """BINDING-CHANGE is challenged though the CPE has no username."""
    owner: Any = server
    set_policy = owner.set_policy
    owner.set_policy = lambda **changes: set_policy(**{**changes, "challenge": "binding-change"})


@fault(
    "stun.binding-notified-late",
    role="device",
    breaks=["TR111-2.2.1.3-C16", "TR111-2.2.1.3-C14", "TR111-2.2.3-F6"],
    shown_in=NOTIFICATION,
)
def binding_notified_late(device: ManagedDevice) -> None:
    """The ACS is told of a binding more than two seconds after it was learnt, for no reason."""
    client: Any = device.stun
    determined = client._determined
    path = client._path("UDPConnectionRequestAddress")

    def late(*binding: Any) -> None:
        client.tree.held.add(path)
        determined(*binding)
        device.host.call_at(device.host.now() + LATE_S, client._release)

    client._determined = late
