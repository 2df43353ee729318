"""Steps that the scenarios of association share."""

from __future__ import annotations

from testbed.protocols import dhcp
from testbed.protocols.association import device_in, gateway_in
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOTSTRAP
from testbed.protocols.dhcp.options import VendorIdentity
from testbed.roles.associations import TABLE as TABLE
from testbed.scenario import Player, Stage


def told(event: str) -> object:
    """What fits an Inform's events that hold this one."""

    def holds(events: tuple[rpc.Event, ...]) -> bool:
        return any(each.code == event for each in events)

    holds.__doc__ = event
    return holds


def names_a_device(blocks: VendorIdentity) -> bool:
    """a Device Identity"""
    return device_in(blocks) is not None


def names_a_gateway(blocks: VendorIdentity) -> bool:
    """a Gateway Identity"""
    return gateway_in(blocks) is not None


async def gateway_ready(at: Stage, gateway: Player, acs: Player) -> None:
    """The gateway has had its first session with its ACS."""
    await at.sees(gateway, "->", acs, rpc.Inform, events=told(BOOTSTRAP))  # 0
    await at.sees(gateway, "->", acs, rpc.SetParameterValuesResponse)  # 0


async def leased(at: Stage, device: Player, gateway: Player) -> None:
    """Figure 1, steps 1 to 4."""
    await at.sees(device, "->", gateway, dhcp.Discover, vendor_identity=names_a_device)  # 1
    await at.sees(device, "<-", gateway, dhcp.Offer, vendor_identity=names_a_gateway)  # 2
    await at.sees(device, "->", gateway, dhcp.Request, vendor_identity=names_a_device)  # 3
    await at.sees(device, "<-", gateway, dhcp.Ack, vendor_identity=names_a_gateway)  # 4


async def associated(at: Stage, device: Player, gateway: Player, acs: Player) -> None:
    """Step 12: the ACS believes that the device is behind the gateway."""
    who, where = str(device.identity), str(gateway.devices.gateway)
    await at.tells(acs, "ASSOCIATED", device=who, gateway=where, validated=True)  # 12
