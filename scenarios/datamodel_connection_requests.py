"""Table 6 of TR-111 Part 2 and its profile UDPConnReq:1, walked over CWMP on both roots."""

from __future__ import annotations

import dataclasses

from scenarios.datamodel_conformance import datamodel_conformance
from scenarios.stun_steps import (
    ACTIVE,
    ADDRESS,
    PASSWORD,
    USERNAME,
    is_notified,
    quick,
    reads,
    says,
    server,
    sets,
)
from testbed.protocols import dhcp, stun
from testbed.protocols.association import Identity, gateway_option
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.structs import AttributeChange
from testbed.protocols.http import Request, Response
from testbed.protocols.wire import Endpoint
from testbed.scenario import Player, Stage
from topologies.stun import OTHER_PORT, STUN, acs_with_stun, managed_gateway_behind_carrier

PASSIVE = 1
READ_ONLY = {ADDRESS: "192.0.2.1:9", "NATDetected": "true"}
"""What no ACS can set, and what it tries to."""
WRITABLE = {
    f"{ADDRESS}NotificationLimit": "3",
    "STUNServerAddress": STUN,
    "STUNServerPort": str(OTHER_PORT),
    "STUNUsername": USERNAME,
    "STUNPassword": PASSWORD,
    "STUNMaximumKeepAlivePeriod": "60",
    "STUNMinimumKeepAlivePeriod": "20",
    "STUNEnable": "1",
}
"""What is set, STUN switched on last; each is another value than the factory's."""
OF_NO_TYPE = {"STUNServerPort": "65536", "STUNMaximumKeepAlivePeriod": "-2"}
"""What no CPE can take."""
TABLE_6 = (*READ_ONLY, *WRITABLE)


def _set_attribute(at: Stage, cpe: Player, name: str, notification: int) -> None:
    change = AttributeChange(f"{server(cpe)}{name}", True, notification)
    at.initial_hms.call(cpe.label.serial_number, rpc.SetParameterAttributes((change,)))


async def _walked(at: Stage, cpe: Player) -> None:
    """The ACS lists, reads, sets, reads again, and asks for every notification of all ten
    parameters; then the CPE discovers its binding by what was set."""
    acs, serial = at.initial_hms, cpe.label.serial_number
    at.stun_server.set_policy(challenge="none")
    quick(cpe)
    paths = tuple(f"{server(cpe)}{name}" for name in TABLE_6)
    acs.call(serial, rpc.GetParameterNames(server(cpe), False))
    for name in TABLE_6:
        reads(at, cpe, name)
    for name in TABLE_6:
        for notification in (PASSIVE, ACTIVE):
            _set_attribute(at, cpe, name, notification)
            acs.call(serial, rpc.GetParameterAttributes((f"{server(cpe)}{name}",)))
    acs.call(serial, rpc.GetParameterAttributes(paths))
    for name, value in (*OF_NO_TYPE.items(), *(READ_ONLY | WRITABLE).items()):
        sets(at, cpe, **{name: value})
    for name in TABLE_6[:-1]:
        reads(at, cpe, name)
    last = reads(at, cpe, TABLE_6[-1])
    cpe.power_on()
    # Each answer is a step of its own: a response or a fault, whatever the CPE makes of the call.
    for _ in range(2 + len(OF_NO_TYPE) + len(TABLE_6) * 5):
        await at.sees(cpe, "->", acs, Request)
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    enabled = at.cursor
    for _ in TABLE_6:
        await at.sees(cpe, "->", acs, Request)
    await at.answered(last)
    at.cursor = enabled
    await at.sees(cpe, "->", at.stun_server, stun.BindingRequest, is_marked=True, port=OTHER_PORT)
    await at.sees(cpe, "<-", at.stun_server, stun.BindingResponse)
    await at.sees(cpe, "->", at.stun_server, stun.BindingRequest, is_change=True)
    at.cursor = enabled
    await at.sees(cpe, "->", acs, rpc.Inform, parameters=says(ADDRESS))
    await at.sees(cpe, "<-", acs, rpc.InformResponse)


@datamodel_conformance.variant("connection_requests_device", acs_with_stun)
async def connection_requests_device(at: Stage) -> None:
    """TR-111 Part 2, tables 6 and 7: a device's, below `Device.`."""
    await _walked(at, at.device)


@datamodel_conformance.variant("connection_requests_gateway", managed_gateway_behind_carrier)
async def connection_requests_gateway(at: Stage) -> None:
    """TR-111 Part 2, tables 6 and 8: a managed gateway's, below `InternetGatewayDevice.`."""
    await _walked(at, at.gateway)


GATEWAY = Identity("00005E", "GATEWAY", "Gateway")
INFO = "Device.GatewayInfo."
LEASE_S = 8.0
"""Half of which passes before the gateway can tell who it is: long enough for STUN to start."""
INFORMS = {"PeriodicInformEnable": 1, "PeriodicInformInterval": 1}


def _tells_who_it_is(gateway: Player) -> None:
    """From now on the gateway's answers carry its identity."""

    def name_it(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
        return [dataclasses.replace(message, options=(gateway_option(GATEWAY), *message.options))]

    gateway.host.tell("STAGED", gateway_identity=str(GATEWAY))
    gateway.mend_of("dhcp").message.append(name_it)


async def _until_informed(at: Stage, times: int) -> None:
    for _ in range(times):
        await at.sees(at.device, "->", at.initial_hms, rpc.Inform)


@datamodel_conformance.variant("stun_alone", acs_with_stun)
async def stun_alone(at: Stage) -> None:
    """STUN is on long before the gateway tells who it is."""
    cpe, acs, gateway = at.device, at.initial_hms, at.gateway
    at.stun_server.set_policy(challenge="none")
    quick(cpe)
    gateway.set_dhcp(lease_s=LEASE_S)
    is_notified(at, cpe, ADDRESS)
    sets(at, cpe, STUNServerAddress=STUN, STUNEnable=1, **INFORMS)
    cpe.power_on()
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    await _until_informed(at, 3)
    _tells_who_it_is(gateway)
    await at.sees(cpe, "<-", gateway, dhcp.Ack)
    await _until_informed(at, 1)
    await at.sees(cpe, "->", at.stun_server, stun.BindingRequest)


@datamodel_conformance.variant("association_alone", acs_with_stun)
async def association_alone(at: Stage) -> None:
    """The gateway tells who it is, and the device tells its ACS, before STUN is on."""
    cpe, acs, gateway = at.device, at.initial_hms, at.gateway
    at.stun_server.set_policy(challenge="none")
    quick(cpe)
    _tells_who_it_is(gateway)
    is_notified(at, cpe, ADDRESS)
    sets(at, cpe, STUNServerAddress=STUN, **INFORMS)
    cpe.power_on()
    await at.sees(cpe, "<-", gateway, dhcp.Ack)
    await _until_informed(at, 2)
    await at.sees(cpe, "<-", acs, Response, status=204)  # what is asked now is asked in the next
    reading = rpc.GetParameterValues((INFO,))
    await at.answered(acs.call(cpe.label.serial_number, reading))
    await at.answered(sets(at, cpe, STUNEnable=1))
    await at.sees(cpe, "->", at.stun_server, stun.BindingRequest)
    await at.answered(acs.call(cpe.label.serial_number, reading))
