"""A device tells its gateway who it is while it gets its address (TR-111 Part 1, Figure 1)."""

from __future__ import annotations

from scenarios.association_steps import (
    TABLE,
    associated,
    gateway_ready,
    leased,
    told,
)
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import CONNECTION_REQUEST, VALUE_CHANGE
from testbed.protocols.http import Request
from testbed.scenario import Stage, scenario
from topologies.association import managed_home


@scenario(managed_home, step_s=10)
async def association_discover(at: Stage) -> None:
    """The gateway lists the device, the device knows its gateway, and the ACS believes both."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    await at.tells(gateway, "LISTED", identity=str(device.identity))  # 5
    await at.sees(device, "->", acs, rpc.Inform, events=told(VALUE_CHANGE))  # 6, 7
    await at.sees(acs, "->", gateway, Request, method="GET")  # 9
    await at.sees(gateway, "->", acs, rpc.Inform, events=told(CONNECTION_REQUEST))  # 10
    await at.sees(acs, "->", gateway, rpc.GetParameterValues, names=TABLE)  # 11
    await at.sees(gateway, "->", acs, rpc.GetParameterValuesResponse)
    await associated(at, device, gateway, acs)  # 12
