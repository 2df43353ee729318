"""How faults get at a STUN machine: what it sends, what it is told, what is made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from testbed.protocols import stun
from testbed.protocols.wire import Outgoing
from testbed.roles.managed_device import ManagedDevice
from testbed.roles.stun_server import StunServer

DISCOVERY = ("nat_binding_discovery/",)
KEEP_ALIVE = ("nat_keepalive/",)
NO_TRANSLATION = ("nat_no_translation/",)
Sent = Sequence[Outgoing[stun.Message]]


def rewritten(role: ManagedDevice | StunServer, change: Callable[[Sent], Sent]) -> None:
    """Change what a machine wants sent, with the port that it is to leave by."""
    machine: Any = role.stun.machine if isinstance(role, ManagedDevice) else role.machine
    to_send = machine.to_send
    machine.to_send = lambda: change(to_send())


def told(device: ManagedDevice, change: Callable[[stun.BindingDetermined], Any]) -> None:
    """Change what a CPE makes of its binding."""
    client: Any = device.stun
    took = client._took

    def otherwise(event: stun.ClientEvent) -> None:
        took(change(event) if isinstance(event, stun.BindingDetermined) else event)

    client._took = otherwise


def is_plain(message: stun.Message) -> bool:
    """Whether a message is a keep-alive."""
    is_request = isinstance(message, stun.BindingRequest) and message.is_marked
    return is_request and not message.is_change and not message.is_signed


def configured(device: ManagedDevice, **changes: Any) -> None:
    """Have the machine believe other settings than the ACS's; callables change what there is."""
    client: Any = device.stun
    configure = client.machine.configure

    def otherwise(settings: stun.ClientSettings, now: float) -> None:
        told = {name: change(getattr(settings, name)) for name, change in changes.items()}
        configure(dataclasses.replace(settings, **told), now)

    client.machine.configure = otherwise
