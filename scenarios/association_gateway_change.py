"""A device comes behind another gateway, or behind the same one again (TR-111 1.2.2, 1.2.3)."""

from __future__ import annotations

from scenarios.association_steps import (
    IMPATIENT,
    INFO,
    associated,
    gateway_ready,
    names,
    notified,
    released,
    settled,
)
from testbed.protocols import dhcp
from testbed.protocols.association import Identity
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Request
from testbed.scenario import Player, Stage, scenario
from topologies.association import managed_home


async def _behind_the_first(at: Stage) -> None:
    """Both gateways have met their ACS; the device is behind the first."""
    device, acs = at.device, at.serving_hms
    device.set_dhcp(**IMPATIENT)
    at.gateway2.set_dhcp(silent=True)
    await gateway_ready(at, at.gateway2, acs)
    at.cursor = 0
    await settled(at, device, at.gateway, acs)


async def _changes(at: Stage, device: Player) -> None:
    """The first gateway falls silent, the second one serves; the device looks anew."""
    at.gateway.set_dhcp(silent=True)
    at.gateway2.set_dhcp(silent=False)
    device.unplug()
    await at.tells(device, "LINK", up=False)
    device.plug()
    await at.sees(device, "<-", at.gateway2, dhcp.Ack)


@scenario(managed_home, step_s=10, gateways=2)
async def association_gateway_change(at: Stage) -> None:
    """The second gateway differs from the first in its product class alone."""
    device, acs = at.device, at.serving_hms
    await _behind_the_first(at)
    await _changes(at, device)
    product = names(f"{INFO}ProductClass", "Gateway2")
    await at.sees(device, "->", acs, rpc.Inform, parameters=product)  # 7
    await associated(at, device, at.gateway2, acs)  # 12


@association_gateway_change.variant("same_again", gateways=1)
async def same_again(at: Stage) -> None:
    """The device gives its address back, and comes behind the same gateway: nothing is to do."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await settled(at, device, gateway, acs)
    device.release()
    await at.tells(gateway, "UNLISTED")
    device.power_off()
    at.never(acs, "->", gateway, Request, method="GET")
    device.power_on()
    await notified(at, device, acs)
    await at.tells(acs, "ASSOCIATION_KEPT", device=str(device.identity))
    await at.sees(device, "<-", acs, rpc.InformResponse)


@association_gateway_change.variant("two_offers", gateways=2)
async def two_offers(at: Stage) -> None:
    """Both gateways offer: what the selected one says in its ACK counts."""
    device, acs = at.device, at.serving_hms
    device.set_dhcp(collect_offers_s=0.3)
    await gateway_ready(at, at.gateway, acs)
    at.cursor = 0
    await gateway_ready(at, at.gateway2, acs)
    device.power_on()
    start = at.cursor
    await at.sees(device, "<-", at.gateway, dhcp.Offer)
    at.cursor = start
    await at.sees(device, "<-", at.gateway2, dhcp.Offer)
    await notified(at, device, acs)
    await at.tells(acs, "ASSOCIATED", device=str(device.identity))


@association_gateway_change.variant("class_dropped", gateways=1, lease_s=2)
async def class_dropped(at: Stage) -> None:
    """At a renewal the gateway has no product class any more: the device forgets the old one.

    It is read in the device's next session: the one in which it tells of the change, or, if it does
    not, a periodic one some time later.
    """
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    serial = device.label.serial_number
    server = "Device.ManagementServer."
    often = (
        rpc.ParameterValue(f"{server}PeriodicInformEnable", "1", "boolean"),
        rpc.ParameterValue(f"{server}PeriodicInformInterval", "3", "unsignedInt"),
    )
    acs.call(serial, rpc.SetParameterValues(often, "often"))
    await settled(at, device, gateway, acs)
    who = gateway.devices.gateway
    gateway.call_itself(Identity(who.oui, who.serial_number))
    await at.sees(device, "<-", gateway, dhcp.Ack)
    await at.tells(device, "RENEWED")  # whatever it makes of the gateway's identity
    acs.call(serial, rpc.GetParameterValues((INFO,)))
    empty = names(f"{INFO}ProductClass", "")
    await at.sees(device, "->", acs, rpc.GetParameterValuesResponse, parameters=empty)


@association_gateway_change.variant("url_changed", gateways=2, other_acs=True)
async def url_changed(at: Stage) -> None:
    """The ACS had put notifications off; the next ACS finds them on again, and is notified."""
    device, acs, other = at.device, at.serving_hms, at.other_hms
    serial = device.label.serial_number
    off = tuple(
        rpc.AttributeChange(f"{INFO}{each}", True, 0)
        for each in ("ManufacturerOUI", "SerialNumber", "ProductClass")
    )
    acs.call(serial, rpc.SetParameterAttributes(off))
    acs.call(serial, rpc.GetParameterAttributes((INFO,)))
    url = rpc.ParameterValue("Device.ManagementServer.URL", other.url)
    acs.call(serial, rpc.SetParameterValues((url,), "moved"))
    other.call(serial, rpc.GetParameterAttributes((INFO,)))
    start = at.cursor
    await _behind_the_first(at)
    at.cursor = start  # the next ACS need not wait for what the first one makes of it
    await at.sees(device, "->", other, rpc.Inform)
    await at.sees(device, "->", other, rpc.GetParameterAttributesResponse)
    await released(at, device, other)
    await _changes(at, device)
    product = names(f"{INFO}ProductClass", "Gateway2")
    await at.sees(device, "->", other, rpc.Inform, parameters=product)
    await at.sees(device, "<-", other, rpc.InformResponse)
