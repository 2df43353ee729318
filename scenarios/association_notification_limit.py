"""How often a gateway tells its ACS that its table has another size (TR-111 1.2.1)."""

from __future__ import annotations

from scenarios.association_steps import COUNT, gateway_ready, names, released, table_read, told
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import VALUE_CHANGE
from testbed.scenario import Stage, scenario
from topologies.association import managed_home


async def _counts(at: Stage, value: str) -> None:
    """The gateway tells that number."""
    count = names(COUNT, value)
    await at.sees(
        *(at.gateway, "->", at.serving_hms, rpc.Inform),
        events=told(VALUE_CHANGE),
        parameters=count,
    )


async def _told_alone(at: Stage, value: str) -> None:
    """The gateway tells that number, in a session that is over before anything else happens."""
    await _counts(at, value)
    await at.tells(at.serving_hms, "TABLE_READ")


async def _prepared(at: Stage) -> None:
    """The ACS has set limit and notification, and read both back."""
    acs, gateway = at.serving_hms, at.gateway
    serial = gateway.label.serial_number
    await gateway_ready(at, gateway, acs)
    await at.sees(gateway, "->", acs, rpc.SetParameterAttributesResponse)
    acs.call(serial, rpc.GetParameterAttributes((COUNT,)))
    limit = "InternetGatewayDevice.ManagementServer.ManageableDeviceNotificationLimit"
    acs.call(serial, rpc.GetParameterValues((limit,)))


@scenario(managed_home, step_s=10, devices=3, learns_by="notification", limit_s=2)
async def association_notification_limit(at: Stage) -> None:
    """Three devices come at once: one notification now, one at the window's end with the total."""
    await _prepared(at)
    at.device.power_on()
    await _told_alone(at, "1")
    at.device2.power_on()
    await at.tells(at.gateway, "LISTED", entries=2)
    at.device3.power_on()
    await at.tells(at.gateway, "LISTED", entries=3)
    await _told_alone(at, "3")
    at.device3.release()
    await at.tells(at.gateway, "UNLISTED", entries=2)
    await _counts(at, "2")
    await at.sees(at.gateway, "->", at.serving_hms, rpc.GetParameterValuesResponse)


@association_notification_limit.variant("no_limit", devices=3, learns_by="notification", limit_s=0)
async def no_limit(at: Stage) -> None:
    """The limit is 0: every change is told at once."""
    await _prepared(at)
    at.device.power_on()
    over = released(at, at.device, at.serving_hms)
    await _told_alone(at, "1")
    await over
    await table_read(at, at.gateway, at.serving_hms)
    await released(at, at.gateway, at.serving_hms)
    for number, device in enumerate((at.device2, at.device3), start=2):
        device.power_on()
        await _told_alone(at, str(number))
    at.device3.release()
    await _counts(at, "2")
    await at.sees(at.gateway, "->", at.serving_hms, rpc.GetParameterValuesResponse)


@association_notification_limit.variant("read_at_once", learns_by="notification", limit_s=0)
async def read_at_once(at: Stage) -> None:
    """The ACS does not wait for the notification: it has come all the same, or comes now."""
    await _prepared(at)
    start = at.cursor
    at.device.power_on()
    await at.tells(at.gateway, "LISTED", entries=1)
    await table_read(at, at.gateway, at.serving_hms)
    at.cursor = start
    await _told_alone(at, "1")
    start = at.cursor
    at.device.release()
    await at.tells(at.gateway, "UNLISTED", entries=0)
    await table_read(at, at.gateway, at.serving_hms)
    at.cursor = start
    await _counts(at, "0")


@association_notification_limit.variant(
    "read_after_window", devices=2, late=True, learns_by="notification", limit_s=1
)
async def read_after_window(at: Stage) -> None:
    """What came within the window was told at its end: nobody has to ask."""
    await _prepared(at)
    at.late.set_dhcp(collect_offers_s=1.5)
    at.device.power_on()
    await _told_alone(at, "1")
    start = at.cursor
    at.device2.power_on()
    at.late.power_on()
    await at.tells(at.gateway, "LISTED", entries=2)
    await at.tells(at.late, "CONNECTED")  # it takes its time
    await table_read(at, at.gateway, at.serving_hms)
    at.cursor = start
    await _counts(at, "2")


@association_notification_limit.variant(
    "comes_and_goes", devices=3, learns_by="notification", limit_s=2
)
async def comes_and_goes(at: Stage) -> None:
    """A device comes and goes within the window: the next notification is of the next one."""
    await _prepared(at)
    at.device.power_on()
    await _told_alone(at, "1")
    at.device2.power_on()
    listed = at.tells(at.gateway, "LISTED", entries=2)
    over = released(at, at.device2, at.serving_hms)
    await listed
    await over
    at.device2.release()
    await at.tells(at.gateway, "UNLISTED", entries=1)
    at.device3.power_on()
    await _counts(at, "2")
    await at.sees(at.gateway, "->", at.serving_hms, rpc.GetParameterValuesResponse)
