"""CPEs whose Binding Requests are wrong, or go wrong; most were met in public implementations."""

from __future__ import annotations

import dataclasses
from itertools import count
from typing import Any

from testbed.faults.fault import fault
from testbed.faults.stun_bending import (
    DISCOVERY,
    KEEP_ALIVE,
    Sent,
    configured,
    is_plain,
    rewritten,
)
from testbed.protocols import stun
from testbed.protocols.stun import Attribute, ClientSide, Kind
from testbed.protocols.wire import Endpoint, Outgoing
from testbed.roles.managed_device import ManagedDevice

_CHANGE = Attribute(Kind.BINDING_CHANGE, b"")


# What requests hold


@fault(
    "stun.mark-without-closing-space",
    role="device",
    breaks=["TR111-2.2.1.3-T5-1", "TR111-2.2.1.3-T5-1b"],
    acts_on="message stun",
    seen_in="three public client sources",
    shown_in=DISCOVERY,
)
def mark_without_closing_space(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """CONNECTION-REQUEST-BINDING is 19 octets long."""
    short = Attribute(Kind.CONNECTION_REQUEST_BINDING, b"dslforum.org/TR-111")
    return [message.replacing([short if e.type == short.type else e for e in message.attributes])]


@fault(
    "stun.unmarked",
    role="device",
    breaks=["TR111-2.2.1.3-C3", "TR111-2.2.3-F3", "TR111-2.2.1-C4"],
    acts_on="message stun",
    shown_in=DISCOVERY,
)
def unmarked(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """Requests without BINDING-CHANGE lack CONNECTION-REQUEST-BINDING."""
    plain = is_plain(message)
    return [message.without(Kind.CONNECTION_REQUEST_BINDING) if plain else message]


@fault(
    "stun.nameless",
    role="device",
    breaks=["TR111-2.2.1.3-C5", "TR111-2.2.3-F3"],
    acts_on="message stun",
    seen_in="clients that send USERNAME after a 401 only",
    shown_in=DISCOVERY,
)
def nameless(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """USERNAME is sent only where MESSAGE-INTEGRITY is."""
    return [message if message.is_signed else message.without(Kind.USERNAME)]


@fault(
    "stun.change-not-told",
    role="device",
    breaks=["TR111-2.2.1.3-C6", "TR111-2.2.1-C4"],
    acts_on="message stun",
    shown_in=DISCOVERY,
)
def change_not_told(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """What should say BINDING-CHANGE is a request as any other."""
    return [message.without(Kind.BINDING_CHANGE)]


@fault(
    "stun.sticky-change",
    role="device",
    breaks=["TR111-2.2.1.3-C8"],
    acts_on="message stun",
    shown_in=KEEP_ALIVE,
)
def sticky_change(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """Every request says BINDING-CHANGE."""
    if not is_plain(message):
        return [message]
    return [message.replacing([message.attributes[0], _CHANGE, *message.attributes[1:]])]


@fault(
    "stun.signs-unasked",
    role="device",
    breaks=["TR111-2.2.1.1-C10"],
    seen_in="clients that keep signing after the first 401",
    shown_in=KEEP_ALIVE,
)
def signs_unasked(device: ManagedDevice) -> None:
    """BINDING-CHANGE is signed though no 401 asked for it."""

    def sign(message: stun.Message, to: Endpoint) -> list[stun.Message]:
        key = device.stun.machine.settings.password.encode()
        return [stun.sign(message, key) if message.is_change and key else message]

    device.mend_of("stun").message.append(sign)


# Whence and whither


@fault(
    "stun.probes-from-the-primary-port",
    role="device",
    breaks=["TR111-2.2.1.1-C3", "TR111-2.2.1.3-C3", "TR111-2.2.3-0", "TR111-2.2.1-C4"],
    shown_in=DISCOVERY,
)
def probes_from_the_primary_port(device: ManagedDevice) -> None:
    """The lifetime is tested from the very port whose binding is tested."""
    rewritten(device, lambda s: [dataclasses.replace(e, side=ClientSide.PRIMARY) for e in s])


@fault(
    "stun.probes-before-it-knows",
    role="device",
    breaks=["TR111-2.2-P5"],
    shown_in=DISCOVERY,
)
def probes_before_it_knows(device: ManagedDevice) -> None:
    """The lifetime is tested before anybody knows whether there is a translation."""
    number = count()
    value = stun.Attribute(Kind.RESPONSE_ADDRESS, bytes.fromhex("00011d7bc0a80164"))

    def early(sent: Sent) -> Sent:
        if not sent or next(number):
            return sent
        probe = stun.BindingRequest(device.host.random.randbytes(16), (value,))
        return [Outgoing(probe, sent[0].destination, side=ClientSide.SECONDARY), *sent]

    rewritten(device, early)


@fault(
    "stun.keep-alives-from-elsewhere",
    role="device",
    breaks=["TR111-2.2.1.2-C1"],
    shown_in=KEEP_ALIVE,
)
def keep_alives_from_elsewhere(device: ManagedDevice) -> None:
    """All but the first plain requests come from another port than the first."""
    number = count()

    def elsewhere(sent: Sent) -> Sent:
        return [
            dataclasses.replace(each, side=ClientSide.SECONDARY)
            if is_plain(each.message) and next(number)
            else each
            for each in sent
        ]

    rewritten(device, elsewhere)


@fault(
    "stun.server-hard-coded",
    role="device",
    breaks=["TR111-2.2.1.1-C1", "TR111-2.2.4-T6-4"],
    shown_in=DISCOVERY,
)
def server_hard_coded(device: ManagedDevice) -> None:
    """Requests go to the maker's own server, whatever the ACS says."""
    own = Endpoint("203.0.113.31", stun.PORT)
    configured(device, server=lambda server: server and own)


@fault(
    "stun.port-hard-coded",
    role="device",
    breaks=["TR111-2.2.1.1-C1", "TR111-2.2.4-T6-5"],
    shown_in=("nat_binding_discovery/other_port",),
)
def port_hard_coded(device: ManagedDevice) -> None:
    """Requests go to port 3478, whatever STUNServerPort says."""
    configured(device, server=lambda server: server and Endpoint(server.address, stun.PORT))


@fault(
    "stun.needs-a-server",
    role="device",
    breaks=["TR111-2.2.1.1-C2", "TR111-2.2.4-T6-4b", "TR111-2.2.1-C1", "TR111-2.2.4-T6-3"],
    shown_in=("nat_binding_discovery/at_the_acs",),
)
def needs_a_server(device: ManagedDevice) -> None:
    """Without STUNServerAddress there is no STUN."""
    client: Any = device.stun
    client._server_name = lambda: client._value("STUNServerAddress")


@fault(
    "stun.on-before-it-is-enabled",
    role="device",
    breaks=["TR111-2.2-P4"],
    shown_in=DISCOVERY,
)
def on_before_it_is_enabled(device: ManagedDevice) -> None:
    """STUN runs though STUNEnable is false, with a server that the maker knows."""
    own = Endpoint("203.0.113.30", stun.PORT)
    configured(device, server=lambda server: server or own, enabled=lambda enabled: True)


@fault(
    "stun.cannot-be-switched-off",
    role="device",
    breaks=["TR111-2.2-P4", "TR111-2.2.4-T6-3", "TR111-2.2.4-T6-1b", "TR111-2.2.4-T6-10b"],
    shown_in=("nat_stun_disabled/",),
)
def cannot_be_switched_off(device: ManagedDevice) -> None:
    """STUN goes on when STUNEnable is false again."""
    servers: list[Endpoint] = []

    def last(server: Endpoint | None) -> Endpoint | None:
        servers[:] = [server] if server is not None else servers
        return servers[0] if servers else None

    configured(device, server=last, enabled=lambda enabled: enabled or bool(servers))


@fault(
    "stun.needs-a-reboot",
    role="device",
    breaks=["TR111-2.2.1-C1", "TR111-2.2.4-T6-3"],
    shown_in=DISCOVERY,
)
def needs_a_reboot(device: ManagedDevice) -> None:
    """What the ACS sets holds from the next reboot on."""
    owner: Any = device
    owner.parameters_set = lambda: None
