"""CPEs that tell of a changed binding in a wrong way, too late, too often or not at all."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

from testbed.faults.fault import fault
from testbed.faults.stun_bending import rewritten, told
from testbed.host import Pause
from testbed.protocols import stun
from testbed.protocols.stun import Attribute, Kind, Purpose
from testbed.protocols.stun.attributes import change_request
from testbed.protocols.wire import Endpoint
from testbed.roles.managed_device import ManagedDevice

CHANGE = ("nat_binding_change_stun_auth/",)
LOSS = ("nat_binding_change_loss/",)
LATE_S = 1.5


@fault(
    "stun.change-with-a-value",
    role="device",
    breaks=["TR111-2.2.1.3-T5-2", "TR111-2.2.1.1-C7"],
    acts_on="message stun",
    shown_in=CHANGE,
)
def change_with_a_value(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """BINDING-CHANGE holds four octets where nothing is signed."""
    if not message.is_change or message.is_signed:
        return [message]
    valued = Attribute(Kind.BINDING_CHANGE, bytes((0, 0, 0, 1)))
    return [message.replacing([valued if e.type == valued.type else e for e in message.attributes])]


@fault(
    "stun.change-without-mark",
    role="device",
    breaks=[
        *("TR111-2.2.1.3-T5-2b", "TR111-2.2.1.3-C3", "TR111-2.2.1.3-C6", "TR111-2.2.1-C4"),
        "TR111-2.2.3-F5",
    ],
    acts_on="message stun",
    shown_in=CHANGE,
)
def change_without_mark(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """BINDING-CHANGE stands without CONNECTION-REQUEST-BINDING."""
    bare = message.is_change and not message.is_signed
    return [message.without(Kind.CONNECTION_REQUEST_BINDING) if bare else message]


@fault(
    "stun.change-with-change-request",
    role="device",
    breaks=["TR111-2.2.1.3-C7", "TR111-2.2.1.1-C7"],
    acts_on="message stun",
    seen_in="clients made for NAT type detection",
    shown_in=CHANGE,
)
def change_with_change_request(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """BINDING-CHANGE stands beside CHANGE-REQUEST where nothing is signed."""
    if not message.is_change or message.is_signed:
        return [message]
    return [message.replacing([*message.attributes, change_request(False, False)])]


@fault(
    "stun.change-told-late",
    role="device",
    breaks=[
        *("TR111-2.2.1.3-C9", "TR111-2.2.1.3-C6", "TR111-2.2.1-C4"),
        *("TR111-2.2-P7", "TR111-2.2.1.3-C1", "TR111-2.2.1.1-C6"),
    ],
    shown_in=CHANGE,
)
def change_told_late(device: ManagedDevice) -> None:
    """BINDING-CHANGE waits until the minimum between keep-alives has nearly passed."""
    seen: set[bytes] = set()

    def late(message: stun.Message, to: Endpoint) -> list[stun.Message | Pause]:
        if not message.is_change or message.is_signed:
            return [message]
        if message.transaction_id in seen:
            return []
        seen.add(message.transaction_id)
        return [Pause(LATE_S), message]

    device.mend_of("stun").message.append(late)


@fault(
    "stun.first-binding-for-ever",
    role="device",
    breaks=[
        *("TR111-2.2.1.1-C6", "TR111-2.2.1.3-C9", "TR111-2.2.1.3-C6", "TR111-2.2.1-C4"),
        *("TR111-2.2-P7", "TR111-2.2.1.3-C1"),
    ],
    seen_in="clients that ask once when they start",
    shown_in=CHANGE,
)
def first_binding_for_ever(device: ManagedDevice) -> None:
    """What the first response has shown is believed for ever."""
    machine: Any = device.stun.machine
    determined = machine._determined

    def once(mapped: Endpoint, now: float) -> bool:
        return False if machine.mapped is not None else bool(determined(mapped, now))

    machine._determined = once


@fault(
    "stun.keeps-its-old-address",
    role="device",
    breaks=["TR111-2.2.1.1-C9"],
    shown_in=("nat_local_address_change/",),
)
def keeps_its_old_address(device: ManagedDevice) -> None:
    """Another address of its own is no reason to ask before the next keep-alive."""
    machine: Any = device.stun.machine
    set_local = machine.set_local

    def once(local: Endpoint | None, now: float) -> None:
        if machine.local is None:
            set_local(local, now)

    machine.set_local = once


@fault(
    "stun.change-sent-once",
    role="device",
    breaks=["TR111-2.2.1.3-C10"],
    seen_in="clients that send each request once",
    shown_in=LOSS,
)
def change_sent_once(device: ManagedDevice) -> None:
    """BINDING-CHANGE is not sent again."""
    seen: set[bytes] = set()

    def once(message: stun.Message, to: Endpoint) -> list[stun.Message]:
        if message.is_change and message.transaction_id in seen:
            return []
        seen.add(message.transaction_id)
        return [message]

    device.mend_of("stun").message.append(once)


@fault(
    "stun.change-never-given-up",
    role="device",
    breaks=["TR111-2.2.1.3-C11"],
    shown_in=LOSS,
)
def change_never_given_up(device: ManagedDevice) -> None:
    """A BINDING-CHANGE that has failed is tried again."""
    client: Any = device.stun
    took = client._took

    def anew(event: stun.ClientEvent) -> None:
        took(event)
        if isinstance(event, stun.NoAnswer) and event.purpose is Purpose.CHANGE:
            client.machine._change_at = device.host.now()

    client._took = anew


@fault(
    "stun.binding-outlives-stun",
    role="device",
    breaks=["TR111-2.2.4-T6-1b"],
    shown_in=("nat_stun_disabled/",),
)
def binding_outlives_stun(device: ManagedDevice) -> None:
    """UDPConnectionRequestAddress stays public when STUN is switched off."""
    public: list[Endpoint] = []

    def keep(event: stun.BindingDetermined) -> stun.BindingDetermined:
        if event.is_translated:
            public[:] = [event.endpoint]
        is_off = not device.stun.machine.settings.enabled
        return dataclasses.replace(event, endpoint=public[0]) if is_off and public else event

    told(device, keep)


@fault(
    "stun.nat-outlives-stun",
    role="device",
    breaks=["TR111-2.2.4-T6-10b"],
    shown_in=("nat_stun_disabled/",),
)
def nat_outlives_stun(device: ManagedDevice) -> None:
    """NATDetected stays true when STUN is switched off."""
    seen: list[bool] = []

    def keep(event: stun.BindingDetermined) -> stun.BindingDetermined:
        seen.append(event.is_translated)
        return dataclasses.replace(event, is_translated=any(seen))

    told(device, keep)


@fault(
    "stun.asks-for-a-shared-secret",
    role="device",
    breaks=["TR111-2.2.1.1-C12"],
    shown_in=CHANGE,
)
def asks_for_a_shared_secret(device: ManagedDevice) -> None:
    """Each request is preceded by a Shared Secret Request."""

    def asking(sent: Any) -> Any:
        return [
            out
            for each in sent
            for out in (
                each,
                dataclasses.replace(
                    each, message=stun.SharedSecretRequest(device.host.random.randbytes(16), ())
                ),
            )
        ]

    rewritten(device, asking)


@fault(
    "stun.asks-for-a-shared-secret-by-tls",
    role="device",
    breaks=["TR111-2.2.1.1-C12"],
    seen_in="clients that follow RFC 3489 to the letter",
    shown_in=CHANGE,
)
def asks_for_a_shared_secret_by_tls(device: ManagedDevice) -> None:
    """Where the STUN server is known the CPE first connects to it by TCP, to ask for a secret."""
    client: Any = device.stun
    configure = client._configure
    asked: set[Endpoint] = set()

    async def connect(server: Endpoint) -> None:
        with suppress(OSError):
            stream = await device.host.connect(server)
            await stream.close()

    def connecting(server: Endpoint | None) -> None:
        configure(server)
        if server is not None and server not in asked:
            asked.add(server)
            device.host.spawn(connect(server), f"{device.host.name} asks for a shared secret")

    client._configure = connecting
