"""What ends with a lease: the entry at the gateway, and GatewayInfo in the device (TR-111 1.2)."""

from __future__ import annotations

from scenarios.association_steps import (
    IMPATIENT,
    names_a_device,
    names_a_gateway,
    notified,
    released,
    settled,
    table_read,
    told,
)
from testbed.protocols import dhcp
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOT
from testbed.protocols.wire import BROADCAST, Endpoint
from testbed.scenario import Stage, scenario
from topologies.association import managed_home


@scenario(managed_home, step_s=10, lease_s=2, learns_by="notification")
async def association_lease_expiry(at: Stage) -> None:
    """The cable is pulled until the lease is over; then the device comes back."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    device.set_dhcp(**IMPATIENT, attempts=3)
    await settled(at, device, gateway, acs)
    await table_read(at, gateway, acs)  # by then the device has ended its session, too
    device.unplug()
    await table_read(at, gateway, acs)
    await at.tells(device, "EXPIRED")
    await at.tells(device, "FAILED", step="1")  # by now the lease is over at the gateway, too
    await table_read(at, gateway, acs)
    device.plug()
    await at.tells(device, "CONNECTED")
    await notified(at, device, acs)


@association_lease_expiry.variant("renewals", lease_s=2)
async def renewals(at: Stage) -> None:
    """The lease is renewed again and again: the entry stays, and is the same one."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await settled(at, device, gateway, acs)
    for _ in range(2):
        await at.sees(device, "->", gateway, dhcp.Request)
        await at.tells(device, "RENEWED")
        await table_read(at, gateway, acs)


@association_lease_expiry.variant("rebinding", lease_s=600)
async def rebinding(at: Stage) -> None:
    """What the device sends to its gateway alone is lost: at T2 it asks everybody, and is heard."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    gateway.set_dhcp(renewal_s=1, rebinding_s=2)  # long before the lease is over
    await settled(at, device, gateway, acs)

    def lost(message: dhcp.Message, to: Endpoint) -> list[dhcp.Message]:
        return [message] if to.address == BROADCAST else []

    device.mend_of("dhcp").message.append(lost)
    device.host.tell("STAGED", unicasts="lost")
    leased_to = device.lan.lease.address
    to_all = {"client_address": leased_to, "vendor_identity": names_a_device}
    await at.sees(device, "->", gateway, dhcp.Request, **to_all)
    await at.sees(device, "<-", gateway, dhcp.Ack, vendor_identity=names_a_gateway)
    await at.tells(device, "RENEWED")
    await table_read(at, gateway, acs)


@association_lease_expiry.variant("refused", lease_s=600)
async def refused(at: Stage) -> None:
    """The gateway has forgotten its leases: the renewal is refused, all begins anew."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    gateway.set_dhcp(renewal_s=2, rebinding_s=8)  # however long it takes to be there again
    await settled(at, device, gateway, acs)
    gateway.power_off()
    gateway.power_on()
    await at.sees(device, "<-", gateway, dhcp.Nak)
    await at.tells(device, "REFUSED")
    await at.sees(device, "->", gateway, dhcp.Discover, vendor_identity=names_a_device)
    await at.tells(gateway, "LISTED", identity=str(device.identity))
    await notified(at, device, acs)
    await table_read(at, gateway, acs)


@association_lease_expiry.variant("read_after_reboot", lease_s=600)
async def read_after_reboot(at: Stage) -> None:
    """The gateway has forgotten whom it knew: its table is empty until the device comes again."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    gateway.set_dhcp(renewal_s=2, rebinding_s=8)
    await settled(at, device, gateway, acs)
    await table_read(at, gateway, acs)
    gateway.power_off()
    gateway.power_on()
    powered = at.cursor
    await at.sees(gateway, "->", acs, rpc.Inform, events=told(BOOT))
    await released(at, gateway, acs)
    await table_read(at, gateway, acs)
    at.cursor = powered  # the device comes when its time has come, also while the table is read
    await at.sees(device, "<-", gateway, dhcp.Nak)
    await at.tells(gateway, "LISTED", identity=str(device.identity))
    await table_read(at, gateway, acs)


@association_lease_expiry.variant("release", lease_s=600)
async def release(at: Stage) -> None:
    """The device gives its address back, and gets it again later."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await settled(at, device, gateway, acs)
    device.release()
    await at.sees(device, "->", gateway, dhcp.Release)
    await table_read(at, gateway, acs)
    device.power_off()
    device.power_on()
    await at.tells(device, "CONNECTED")
    await notified(at, device, acs)
