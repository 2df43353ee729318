"""A device tells its gateway who it is while it gets its address (TR-111 Part 1, Figure 1)."""

from __future__ import annotations

from scenarios.association_steps import (
    COUNT,
    INFO,
    TABLE,
    associated,
    gateway_ready,
    leased,
    names,
    names_a_gateway,
    notified,
    settled,
    table_read,
    told,
)
from testbed.protocols import dhcp
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOTSTRAP, CONNECTION_REQUEST, VALUE_CHANGE
from testbed.protocols.dhcp.client_policy import COMMON_PARAMETERS
from testbed.protocols.http import Request
from testbed.scenario import Stage, scenario
from topologies.association import managed_home


@scenario(managed_home, step_s=10)
async def association_discover(at: Stage) -> None:
    """The gateway lists the device, the device knows its gateway, and the ACS believes both."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    attributes = acs.call(device.label.serial_number, rpc.GetParameterAttributes((INFO,)))
    values = acs.call(device.label.serial_number, rpc.GetParameterValues((INFO,)))
    await gateway_ready(at, gateway, acs)
    await table_read(at, gateway, acs)
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    await at.tells(gateway, "LISTED", identity=str(device.identity))  # 5
    await at.sees(device, "->", acs, rpc.Inform, events=told(VALUE_CHANGE))  # 6, 7
    await at.sees(acs, "->", gateway, Request, method="GET")  # 9
    await at.sees(gateway, "->", acs, rpc.Inform, events=told(CONNECTION_REQUEST))  # 10
    await at.sees(acs, "->", gateway, rpc.GetParameterValues, names=TABLE)  # 11
    await at.sees(gateway, "->", acs, rpc.GetParameterValuesResponse)
    await associated(at, device, gateway, acs)  # 12
    await at.answered(attributes)
    await at.answered(values)


@association_discover.variant("dhcp_only")
async def dhcp_only(at: Stage) -> None:
    """Figure 1 as far as DHCP goes: what programs without CWMP can be held to."""
    device, gateway = at.device, at.gateway
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    await at.tells(device, "CONNECTED")


@association_discover.variant("factory_fresh", is_known=False)
async def factory_fresh(at: Stage) -> None:
    """The device has never met its ACS: "0 BOOTSTRAP" says that all is new, GatewayInfo too."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    serial = names(f"{INFO}SerialNumber")
    await at.sees(device, "->", acs, rpc.Inform, events=told(BOOTSTRAP), parameters=serial)  # 7
    await associated(at, device, gateway, acs)  # 12


@association_discover.variant("notified", learns_by="notification")
async def by_notification(at: Stage) -> None:
    """The ACS has asked for notifications: it needs no Connection Request."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    await at.sees(gateway, "->", acs, rpc.SetParameterAttributesResponse)
    await at.sees(gateway, "->", acs, rpc.GetParameterValuesResponse)
    at.never(acs, "->", gateway, Request, method="GET")
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    start = at.cursor
    count = names(COUNT, "1")
    await at.sees(gateway, "->", acs, rpc.Inform, events=told(VALUE_CHANGE), parameters=count)  # 8
    await at.sees(acs, "->", gateway, rpc.GetParameterValues, names=TABLE)  # 11
    at.cursor = start
    await notified(at, device, acs)  # 7
    at.cursor = start
    await associated(at, device, gateway, acs)  # 12


@association_discover.variant("uncoupled", uncoupled=True)
async def uncoupled(at: Stage) -> None:
    """The device has an ACS of its own, which knows nothing of the gateway: nothing comes of it."""
    device, gateway, acs = at.device, at.gateway, at.other_hms
    await gateway_ready(at, gateway, at.serving_hms)
    at.never(acs, "->", gateway, Request, method="GET")
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    await notified(at, device, acs)  # 7
    await at.tells(acs, "GATEWAY_UNKNOWN", device=str(device.identity))
    await at.sees(device, "<-", acs, rpc.InformResponse)


@association_discover.variant("coupled", uncoupled=True)
async def coupled(at: Stage) -> None:
    """The device has an ACS of its own, which shares what it knows with the gateway's: it counts.

    The gateway's ACS reads the table; the device's ACS, which was told, associates.
    """
    device, gateway, theirs, mine = at.device, at.gateway, at.serving_hms, at.other_hms
    mine.associations.couple(theirs.associations)
    await gateway_ready(at, gateway, theirs)
    at.never(mine, "->", gateway, Request, method="GET")
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    await notified(at, device, mine)  # 7
    await at.sees(theirs, "->", gateway, Request, method="GET")  # 9
    await at.sees(gateway, "->", theirs, rpc.Inform, events=told(CONNECTION_REQUEST))  # 10
    await at.sees(theirs, "->", gateway, rpc.GetParameterValues, names=TABLE)  # 11
    await associated(at, device, gateway, mine)  # 12


@association_discover.variant("plain_client", plain_client=True)
async def plain_client(at: Stage) -> None:
    """A client that nobody manages is leased an address and gets no entry."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    at.plain_client.power_on()
    await at.sees(at.plain_client, "<-", gateway, dhcp.Ack)
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    await associated(at, device, gateway, acs)  # 12


@association_discover.variant("address_in_use", plain_client=True)
async def address_in_use(at: Stage) -> None:
    """A gateway that has forgotten its leases gives an address twice: it is declined, and the
    device is listed with the next one."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    at.plain_client.power_on()
    await at.tells(at.plain_client, "CONNECTED")
    taken = at.plain_client.lan.lease.address
    gateway.power_off()
    gateway.power_on()
    await at.sees(gateway, "<-", acs, rpc.InformResponse)
    device.set_dhcp(check_address_s=0.5, decline_pause_s=0.2)
    device.power_on()
    await at.sees(device, "<-", gateway, dhcp.Ack, address=taken)
    await at.sees(device, "->", gateway, dhcp.Decline)
    await at.sees(device, "<-", gateway, dhcp.Ack, vendor_identity=names_a_gateway)
    acknowledged = at.cursor
    await table_read(at, gateway, acs)
    at.cursor = acknowledged  # the ACS hears of the device while it reads, or after
    await notified(at, device, acs)  # 7
    await associated(at, device, gateway, acs)  # 12


@association_discover.variant("not_listed")
async def not_listed(at: Stage) -> None:
    """The device does not ask for option 125 (in option 55), and is told who its gateway is."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    wanted = tuple(code for code in COMMON_PARAMETERS if code != dhcp.Code.VENDOR_IDENTITY)
    device.set_dhcp(parameter_request_list=wanted)
    await gateway_ready(at, gateway, acs)
    device.power_on()
    await leased(at, device, gateway)  # 1 to 4
    await associated(at, device, gateway, acs)  # 12


@association_discover.variant("not_taken", gateways=2)
async def not_taken(at: Stage) -> None:
    """Two gateways offer, and one is taken: the other one lists nobody."""
    device, acs = at.device, at.serving_hms
    device.set_dhcp(collect_offers_s=0.3)
    for gateway in (at.gateway, at.gateway2):
        at.cursor = 0
        await gateway_ready(at, gateway, acs)
    for gateway in (at.gateway, at.gateway2):
        await table_read(at, gateway, acs)
    device.power_on()
    start = at.cursor
    for gateway in (at.gateway, at.gateway2):
        at.cursor = start
        await at.sees(device, "<-", gateway, dhcp.Offer, vendor_identity=names_a_gateway)
    await at.tells(acs, "ASSOCIATED", device=str(device.identity))
    for gateway in (at.gateway, at.gateway2):
        await table_read(at, gateway, acs)


@association_discover.variant("renewal", lease_s=2)
async def renewal(at: Stage) -> None:
    """The lease is renewed by unicast: both identities are told again, the entry stays one."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await settled(at, device, gateway, acs)
    leased_to = device.lan.lease.address
    await at.sees(device, "->", gateway, dhcp.Request, client_address=leased_to)
    await at.sees(device, "<-", gateway, dhcp.Ack)
    await table_read(at, gateway, acs)


@association_discover.variant("first_in_request")
async def first_in_request(at: Stage) -> None:
    """A device that tells who it is in its REQUEST only is listed all the same."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    device.tell_identity_in(dhcp.Request)
    device.power_on()
    await at.tells(gateway, "LISTED", identity=str(device.identity))
    await associated(at, device, gateway, acs)


@association_discover.variant("first_in_discover")
async def first_in_discover(at: Stage) -> None:
    """A device that tells who it is in its DISCOVER only is listed all the same."""
    device, gateway, acs = at.device, at.gateway, at.serving_hms
    await gateway_ready(at, gateway, acs)
    device.tell_identity_in(dhcp.Discover)
    device.power_on()
    await at.tells(gateway, "LISTED", identity=str(device.identity))
    await associated(at, device, gateway, acs)
