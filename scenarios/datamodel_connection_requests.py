"""Table 6 of TR-111 Part 2 and its profile UDPConnReq:1, walked over CWMP on both roots."""

from __future__ import annotations

from scenarios.datamodel_conformance import datamodel_conformance
from scenarios.stun_steps import (
    ACTIVE,
    ADDRESS,
    PASSWORD,
    USERNAME,
    quick,
    reads,
    says,
    server,
    sets,
)
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.structs import AttributeChange
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
    for name, value in (READ_ONLY | WRITABLE).items():
        sets(at, cpe, **{name: value})
    for name in TABLE_6[:-1]:
        reads(at, cpe, name)
    last = reads(at, cpe, TABLE_6[-1])
    cpe.power_on()
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    enabled = at.cursor
    await last
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
