"""The data models of TR-111, walked over CWMP: names, values, attributes, and what is refused."""

from __future__ import annotations

from scenarios.association_steps import COUNT, INFO, TABLE, gateway_ready, settled
from testbed.protocols.cwmp import rpc
from testbed.roles.connection_request import request_connection
from testbed.scenario import Player, Stage, scenario
from topologies.association import managed_home

SERVER = "InternetGatewayDevice.ManagementServer."
LIMIT = f"{SERVER}ManageableDeviceNotificationLimit"
ELEMENTS = ("ManufacturerOUI", "SerialNumber", "ProductClass")
PASSIVE, ACTIVE = 1, 2


def _set(name: str, value: str, kind: str = "string") -> rpc.Rpc:
    return rpc.SetParameterValues((rpc.ParameterValue(name, value, kind),), "walk")


def _notify(name: str, notification: int) -> rpc.Rpc:
    return rpc.SetParameterAttributes((rpc.AttributeChange(name, True, notification),))


async def _called(at: Stage, gateway: Player, acs: Player, *calls: rpc.Rpc) -> None:
    """The ACS makes these calls in one session that it asks the gateway for."""
    known = acs.associations.gateways[gateway.devices.gateway]
    answers = [acs.call_cpe(known.device_id, call) for call in calls]
    await request_connection(acs.host, known.url, known.username, known.password)
    for answer in answers:
        await at.answered(answer)


@scenario(managed_home, step_s=10, devices=2)
async def datamodel_conformance(at: Stage) -> None:
    """TR-111 Part 1, tables 2 to 4: the gateway's, with one device in its table."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await settled(at, device, gateway, acs)
    row = f"{TABLE}1."
    fields = [f"{row}{name}" for name in ELEMENTS]
    await _called(
        *(at, gateway, acs),
        rpc.GetParameterNames(SERVER, False),
        rpc.GetParameterNames(TABLE, True),
        *(rpc.GetParameterValues((name,)) for name in (COUNT, LIMIT, *fields)),
        rpc.GetParameterValues((TABLE, COUNT)),
    )
    await _called(
        *(at, gateway, acs),
        _set(COUNT, "7", "unsignedInt"),
        *(_set(name, "AAAAAA") for name in fields),
        *(rpc.AddObject(name, "walk") for name in (SERVER, TABLE)),
        *(rpc.DeleteObject(name, "walk") for name in (SERVER, row)),
        _set(LIMIT, "1", "unsignedInt"),
        rpc.GetParameterValues((LIMIT,)),
    )
    await _called(
        *(at, gateway, acs),
        *(_notify(name, ACTIVE) for name in (COUNT, LIMIT, *fields)),
        rpc.GetParameterAttributes((COUNT, LIMIT)),
        *(_notify(name, PASSIVE) for name in (COUNT, LIMIT, *fields)),
        rpc.GetParameterAttributes((COUNT, LIMIT, *fields)),
    )
    at.device2.power_on()
    await at.tells(gateway, "LISTED", entries=2)
    await _called(at, gateway, acs, rpc.GetParameterValues((TABLE, COUNT)))


@datamodel_conformance.variant("association_device", other_acs=True)
async def association_device(at: Stage) -> None:
    """GatewayInfo of a device: its names and values, and its attributes before and after a change
    of the ACS URL."""
    device, gateway, acs, other = at.device, at.gateway, at.serving_hms, at.other_hms
    serial = device.label.serial_number
    await gateway_ready(at, gateway, acs)
    off = tuple(rpc.AttributeChange(f"{INFO}{name}", True, 0) for name in ELEMENTS)
    acs.call(serial, rpc.GetParameterNames(INFO, False))
    acs.call(serial, rpc.GetParameterValues((INFO,)))
    acs.call(serial, rpc.GetParameterAttributes((INFO,)))
    acs.call(serial, rpc.SetParameterAttributes(off))
    acs.call(serial, _set("Device.ManagementServer.URL", other.url))
    reading = other.call(serial, rpc.GetParameterAttributes((INFO,)))
    device.power_on()
    await at.sees(device, "->", other, rpc.GetParameterAttributesResponse)
    await at.answered(reading)
