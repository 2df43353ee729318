"""Steps that the scenarios of association share."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from testbed.protocols import dhcp
from testbed.protocols.association import device_in, gateway_in
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOTSTRAP, VALUE_CHANGE
from testbed.protocols.dhcp.options import VendorIdentity
from testbed.protocols.http import Response
from testbed.roles.associations import COUNT as COUNT
from testbed.roles.associations import INFO as INFO
from testbed.roles.associations import TABLE as TABLE
from testbed.roles.connection_request import request_connection
from testbed.scenario import Player, Stage

IMPATIENT = {"first_timeout_s": 0.2, "longest_timeout_s": 0.4, "jitter_s": 0.0}


def told(event: str) -> object:
    """What fits an Inform's events that hold this one."""

    def holds(events: tuple[rpc.Event, ...]) -> bool:
        return any(each.code == event for each in events)

    holds.__doc__ = event
    return holds


def names(path: str, value: str | None = None) -> object:
    """What fits a list of parameters that holds this one, with this value."""

    def holds(parameters: tuple[rpc.ParameterValue, ...]) -> bool:
        return any(
            each.name == path and (value is None or each.value == value) for each in parameters
        )

    holds.__doc__ = path if value is None else f"{path} = {value!r}"
    return holds


def names_a_device(blocks: VendorIdentity) -> bool:
    """a Device Identity"""
    return device_in(blocks) is not None


def names_a_gateway(blocks: VendorIdentity) -> bool:
    """a Gateway Identity"""
    return gateway_in(blocks) is not None


async def gateway_ready(at: Stage, gateway: Player, acs: Player) -> str:
    """The gateway has had its first session with its ACS; gives who it is."""
    who = str(gateway.devices.gateway)  # a program that is no CPE says here that it has none
    await at.sees(gateway, "->", acs, rpc.Inform, events=told(BOOTSTRAP))  # 0
    await at.sees(gateway, "->", acs, rpc.SetParameterValuesResponse)  # 0
    answered = at.cursor
    await released(at, gateway, acs)
    at.cursor = answered
    return who


def released(at: Stage, cpe: Player, acs: Player) -> Coroutine[Any, Any, object]:
    """The CPE's session is over."""
    return at.sees(cpe, "<-", acs, Response, status=204)


async def leased(at: Stage, device: Player, gateway: Player) -> None:
    """Figure 1, steps 1 to 4."""
    mine, theirs = names_a_device, names_a_gateway
    await at.sees(device, "->", gateway, dhcp.Discover, vendor_identity=mine)  # 1
    await at.sees(device, "<-", gateway, dhcp.Offer, vendor_identity=theirs)  # 2
    await at.sees(device, "->", gateway, dhcp.Request, vendor_identity=mine)  # 3
    await at.sees(device, "<-", gateway, dhcp.Ack, vendor_identity=theirs)  # 4


async def notified(at: Stage, device: Player, acs: Player) -> None:
    """Step 7: the device tells that its gateway is another one now."""
    serial = names(f"{INFO}SerialNumber")
    await at.sees(device, "->", acs, rpc.Inform, events=told(VALUE_CHANGE), parameters=serial)  # 7


async def associated(at: Stage, device: Player, gateway: Player, acs: Player) -> None:
    """Step 12: the ACS believes that the device is behind the gateway."""
    who, where = str(device.identity), str(gateway.devices.gateway)
    await at.tells(acs, "ASSOCIATED", device=who, gateway=where, validated=True)  # 12


async def settled(at: Stage, device: Player, gateway: Player, acs: Player) -> None:
    """Gateway and device from power to a validated association."""
    await gateway_ready(at, gateway, acs)
    device.power_on()
    await at.tells(gateway, "LISTED", identity=str(device.identity))  # 5
    await notified(at, device, acs)
    informed = at.cursor
    await associated(at, device, gateway, acs)
    validated, at.cursor = at.cursor, informed
    await released(at, device, acs)
    at.cursor = max(at.cursor, validated)


async def table_read(at: Stage, gateway: Player, acs: Player) -> None:
    """The ACS asks the gateway for a session and reads its table."""
    known = acs.associations.gateways[gateway.devices.gateway]
    reading = acs.call_cpe(known.device_id, rpc.GetParameterValues((TABLE, COUNT)))
    await request_connection(acs.host, known.url, known.username, known.password)
    await at.answered(reading)
    await at.sees(gateway, "->", acs, rpc.GetParameterValuesResponse)
