"""A device leaves the LAN without a word, and the gateway finds out (TR-111 1.2.1)."""

from __future__ import annotations

from scenarios.association_steps import settled, table_read
from testbed.protocols import dhcp
from testbed.scenario import Stage, scenario
from topologies.association import managed_home


@scenario(managed_home, step_s=10, probe_interval_s=0.3)
async def association_disconnect(at: Stage) -> None:
    """The cable is pulled: the entry goes long before the lease would end."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await settled(at, device, gateway, acs)
    device.unplug()
    await at.tells(gateway, "UNLISTED", identity=str(device.identity))
    await table_read(at, gateway, acs)
    device.plug()
    await at.tells(gateway, "LISTED", identity=str(device.identity))
    await table_read(at, gateway, acs)


@association_disconnect.variant("static", static=True, probe_interval_s=0.3)
async def static(at: Stage) -> None:
    """The same with an address that was never leased: nothing else would end the entry."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await settled(at, device, gateway, acs)
    device.unplug()
    await at.tells(gateway, "UNLISTED", identity=str(device.identity))
    await table_read(at, gateway, acs)
    device.plug()
    await at.sees(device, "->", gateway, dhcp.Inform)
    await at.tells(gateway, "LISTED", identity=str(device.identity))


@association_disconnect.variant("stays", devices=2, probe_interval_s=0.3)
async def stays(at: Stage) -> None:
    """One of two devices leaves: the idle other one answers, and its entry stays."""
    device, other, gateway, acs = at.device, at.device2, at.gateway, at.serving_hms
    other.power_on()
    await settled(at, device, gateway, acs)
    device.unplug()
    await at.tells(gateway, "UNLISTED", identity=str(device.identity))
    await table_read(at, gateway, acs)
