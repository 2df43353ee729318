"""A device that has its address by other means asks by DHCPINFORM (TR-111 Part 1, Figure 2)."""

from __future__ import annotations

from scenarios.association_steps import (
    INFO,
    associated,
    gateway_ready,
    names,
    names_a_device,
    names_a_gateway,
    notified,
)
from testbed.protocols import dhcp
from testbed.protocols.cwmp import rpc
from testbed.scenario import Stage, scenario
from topologies.association import managed_home


@scenario(managed_home, step_s=10, static=True)
async def association_inform(at: Stage) -> None:
    """The address is private, and fixed."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    at.never(device, "->", gateway, dhcp.Discover)
    at.never(device, "->", gateway, dhcp.Request)
    reading = acs.call(device.label.serial_number, rpc.GetParameterValues((INFO,)))
    device.power_on()
    await at.sees(device, "->", gateway, dhcp.Inform, vendor_identity=names_a_device)  # 1
    answered = at.sees(device, "<-", gateway, dhcp.Ack, vendor_identity=names_a_gateway)  # 2
    listed = at.tells(gateway, "LISTED", identity=str(device.identity))  # 5
    await answered  # the answer may wait for ARP
    await listed
    await notified(at, device, acs)  # 7
    await associated(at, device, gateway, acs)  # 12
    await at.answered(reading)


@association_inform.variant("unanswered", abroad=True)
async def unanswered(at: Stage) -> None:
    """There is no DHCP server where the device is: it turns to its ACS and tells of no gateway."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    device.set_dhcp(attempts=2, first_timeout_s=0.2, jitter_s=0.0)
    told_of_gateway = names(f"{INFO}SerialNumber")
    at.never(device, "->", acs, rpc.Inform, parameters=told_of_gateway)
    reading = acs.call(device.label.serial_number, rpc.GetParameterValues((INFO,)))
    device.power_on()
    for _ in range(2):
        await at.sees(device, "->", gateway, dhcp.Inform, vendor_identity=names_a_device)
    await at.tells(device, "NO_ANSWER", state="INFORMING")
    await at.sees(device, "->", acs, rpc.Inform)
    empty = names(f"{INFO}SerialNumber", "")
    await at.sees(device, "->", acs, rpc.GetParameterValuesResponse, parameters=empty)
    await at.answered(reading)


@association_inform.variant("late_server", static=True)
async def late_server(at: Stage) -> None:
    """The gateway comes up after the device has given up: it is asked again, and heard."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    gateway.power_off()
    device.set_dhcp(attempts=1, first_timeout_s=0.2, jitter_s=0.0, keeps_trying=True, pause_s=2.0)
    device.power_on()
    await at.tells(device, "NO_ANSWER", state="INFORMING")
    gateway.power_on()
    powered = at.cursor
    await at.sees(device, "<-", gateway, dhcp.Ack, vendor_identity=names_a_gateway)  # 2
    acknowledged, at.cursor = at.cursor, powered  # an ACK that is lost is sent again
    await at.tells(gateway, "LISTED", identity=str(device.identity))  # 5
    at.cursor = acknowledged
    await notified(at, device, acs)  # 7
    await associated(at, device, gateway, acs)  # 12


@association_inform.variant("public", static=True, lan="198.51.100.0/24")
async def public(at: Stage) -> None:
    """The address is public, and fixed: the same."""
    await association_inform.variants[""].function(at)
