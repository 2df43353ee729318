"""DHCP protects nothing: identities that are tampered with, and a device that is not there
(TR-111 1.2.3, 1.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from scenarios.association_steps import gateway_ready, notified, settled
from testbed.protocols.association import (
    Identity,
    device_option,
    gateway_in,
)
from testbed.scenario import Player, Stage, scenario
from topologies.association import managed_home

Change = Callable[[Identity], Identity]


def _tamper(player: Player, change: Change) -> None:
    """Somebody between device and gateway changes the Gateway Identity of the answers."""
    role = player.role
    role.call_itself(change(role.devices.gateway))  # type: ignore[attr-defined]  # a gateway's


def _tamper_requests(player: Player, change: Change) -> None:
    """Somebody between device and gateway changes the Device Identity of the requests."""
    player.tell_identity(device_option(change(player.identity)).value)


async def _refused(at: Stage) -> None:
    """The claim comes to nothing."""
    device, acs = at.device, at.serving_hms
    device.power_on()
    await notified(at, device, acs)  # 7
    await at.tells(acs, "ASSOCIATION_REFUSED", device=str(device.identity))  # 12


@scenario(managed_home, step_s=10, gateways=2)
async def association_spoofed_identity(at: Stage) -> None:
    """The device is told the identity of the neighbour's gateway, whose table does not list it."""
    at.gateway2.set_dhcp(silent=True)
    await gateway_ready(at, at.gateway2, at.serving_hms)
    at.cursor = 0
    await gateway_ready(at, at.gateway, at.serving_hms)
    _tamper(at.gateway, lambda it: dataclasses.replace(it, product_class="Gateway2"))
    await _refused(at)


@association_spoofed_identity.variant("nobodys_gateway")
async def nobodys_gateway(at: Stage) -> None:
    """The device is told an identity that no gateway has: the claim waits for one, in vain."""
    device, acs = at.device, at.serving_hms
    await gateway_ready(at, at.gateway, acs)
    _tamper(at.gateway, lambda it: dataclasses.replace(it, serial_number="GW9"))
    device.power_on()
    await notified(at, device, acs)
    await at.tells(acs, "GATEWAY_UNKNOWN", device=str(device.identity))


def _device_mutated(**changes: str) -> Callable[[Stage], Awaitable[None]]:
    async def played(at: Stage) -> None:
        await gateway_ready(at, at.gateway, at.serving_hms)
        _tamper_requests(at.device, lambda it: dataclasses.replace(it, **changes))
        await _refused(at)

    return played


for _name, _changes in (
    ("device_oui", {"oui": "00005F"}),
    ("device_serial", {"serial_number": "DEVICE9"}),
    ("device_class", {"product_class": "Camera"}),
):
    _function = _device_mutated(**_changes)
    _function.__doc__ = f"One element of the Device Identity is changed on its way: {_changes}."
    association_spoofed_identity.variant(_name)(_function)


@association_spoofed_identity.variant("unprotected", validates=False)
async def unprotected(at: Stage) -> None:
    """The ACS does not validate: it takes the claim for true, and says that it is unprotected."""
    device, acs = at.device, at.serving_hms
    await gateway_ready(at, at.gateway, acs)
    _tamper(at.gateway, lambda it: dataclasses.replace(it, serial_number="GW9"))
    device.power_on()
    await notified(at, device, acs)
    await at.tells(acs, "ASSOCIATED", device=str(device.identity), validated=False)


async def _speaks_for_the_device(at: Stage) -> None:
    """A box at home asks for an address as the device, and tells it what the gateway said."""
    device, proxy, gateway, acs = at.device, at.proxy, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    proxy.tell_identity(device_option(device.identity).value)
    device.set_dhcp(attempts=1, first_timeout_s=0.1)
    device.power_on()
    proxy.power_on()
    await at.tells(proxy, "CONNECTED")
    said = gateway_in(proxy.lan.lease.ack.vendor_identity)
    assert said is not None, "the gateway has told the proxy no identity"
    device.note_gateway(said)
    await notified(at, device, acs)


@association_spoofed_identity.variant("admitted", devices=2)
async def admitted(at: Stage) -> None:
    """The gateway's owner has admitted one of two devices: that one is believed, the other not."""
    device, other, gateway, acs = at.device, at.device2, at.gateway, at.serving_hms
    gateway.admit(device.identity)
    await settled(at, device, gateway, acs)
    other.power_on()
    await at.tells(gateway, "NOT_LISTED", identity=str(other.identity))
    await at.tells(acs, "ASSOCIATION_REFUSED", device=str(other.identity))


@association_spoofed_identity.variant("proxy", abroad=True)
async def proxy(at: Stage) -> None:
    """A device that is elsewhere fakes its presence by a box at home: nobody can tell (1.3)."""
    await _speaks_for_the_device(at)
    who = str(at.device.identity)
    await at.tells(at.serving_hms, "ASSOCIATED", device=who, validated=True)


@association_spoofed_identity.variant("proxy_filtered", abroad=True)
async def proxy_filtered(at: Stage) -> None:
    """The same, and the gateway's owner has admitted his own devices only: the claim is refused."""
    at.gateway.admit(Identity("00005E", "OWN", "Phone"))
    await _speaks_for_the_device(at)
    who = str(at.device.identity)
    await at.tells(at.serving_hms, "ASSOCIATION_REFUSED", device=who)
