"""A device leaves the LAN without a word, and the gateway finds out (TR-111 1.2.1)."""

from __future__ import annotations

from scenarios.association_steps import associated, settled, table_read
from testbed.protocols import dhcp
from testbed.scenario import Stage, scenario
from topologies.association import managed_home


async def _unplugged(at: Stage) -> None:
    """The device's cable is pulled, for longer than the gateway needs to find out."""
    at.device.unplug()
    await at.tells(at.device, "LINK", up=False)
    at.late.power_on()
    await at.tells(at.late, "CONNECTED")  # it takes its time
    await table_read(at, at.gateway, at.serving_hms)


def _slow(at: Stage) -> None:
    """A device that waits for more offers: it is connected after so long."""
    at.late.set_dhcp(collect_offers_s=1.5)


@scenario(managed_home, step_s=10, late=True, probe_interval_s=0.3)
async def association_disconnect(at: Stage) -> None:
    """The cable is pulled: the entry goes long before the lease would end."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    _slow(at)
    await settled(at, device, gateway, acs)
    await _unplugged(at)
    device.plug()
    await at.sees(device, "<-", gateway, dhcp.Ack)
    await table_read(at, gateway, acs)


@association_disconnect.variant("static", late=True, static=True, probe_interval_s=0.3)
async def static(at: Stage) -> None:
    """The same with an address that was never leased: nothing else would end the entry."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    _slow(at)
    await settled(at, device, gateway, acs)
    await _unplugged(at)
    device.plug()
    await at.sees(device, "->", gateway, dhcp.Inform)
    await at.sees(device, "<-", gateway, dhcp.Ack)


@association_disconnect.variant("stays", late=True, devices=2, probe_interval_s=0.3)
async def stays(at: Stage) -> None:
    """One of two devices leaves: the idle other one answers, and its entry stays."""
    device, other, gateway, acs = at.device, at.device2, at.gateway, at.serving_hms
    _slow(at)
    await settled(at, other, gateway, acs)
    device.power_on()
    await at.tells(gateway, "LISTED", identity=str(device.identity))
    await associated(at, device, gateway, acs)
    await table_read(at, gateway, acs)
    await _unplugged(at)
