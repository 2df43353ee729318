"""Faults of a gateway that is to tell who it is in its DHCP answers (TR-111 Part 1)."""

from __future__ import annotations

import dataclasses
from typing import Any

from testbed.faults.association_device import replaced, with_option, with_values
from testbed.faults.fault import fault
from testbed.host import Drive
from testbed.protocols import dhcp
from testbed.protocols.association import gateway_option
from testbed.protocols.dhcp.options import seconds
from testbed.protocols.wire import Endpoint
from testbed.roles.gateway import OUTSIDE, SERVER_PORT
from testbed.roles.managed_gateway import ManagedGateway

DISCOVER, EDGE = "association_discover/", "association_edge_identity/"


@fault(
    "association.gateway-silent",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G1",
        "TR111-1.2.1-G1a",
        "TR111-1.2.1-G1b",
        "TR111-1.2.1-G2",
        "TR111-1.2.1-G2b",
        "TR111-1.2.4-F1",
        "TR111-1.2.4-F2",
        "TR111-1.2.6.2.2-P",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER, "association_inform/"),
)
def gateway_silent(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The gateway does not say who it is."""
    return with_option(message)


@fault(
    "association.gateway-tells-in-offer-only",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G1",
        "TR111-1.2.1-G1a",
        "TR111-1.2.1-G1b",
        "TR111-1.2.1-G2",
        "TR111-1.2.1-G2b",
        "TR111-1.2.4-F1",
        "TR111-1.2.6.2.2-P",
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def gateway_tells_in_offer_only(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The OFFER has the gateway's identity, the ACK has not."""
    return [message] if isinstance(message, dhcp.Offer) else with_option(message)


@fault(
    "association.gateway-serves-outside",
    role="gateway",
    breaks=("TR111-1.2.1-G1",),
    shown_in=("association_inform/unanswered",),
    seen_in="gateways whose DHCP server is bound to no interface",
)
def gateway_serves_outside(gateway: ManagedGateway) -> None:
    """The gateway answers DHCP on its WAN side too, and lists who asks there."""
    start, stop = gateway.start, gateway.stop
    outside: list[Drive[dhcp.Message, dhcp.ServerEvent]] = []

    async def start_both() -> None:
        await start()
        server = dhcp.DhcpServer(gateway.dhcp_policy, gateway.answer_options)
        everybody = Endpoint("0.0.0.0", SERVER_PORT)
        mend = gateway.mend_of("dhcp")
        outside.append(
            await Drive.open(
                *(server, gateway.host, everybody, gateway.happened, mend),
                interface=OUTSIDE,
                broadcast=True,
            )
        )

    def stop_both() -> None:
        while outside:
            outside.pop().close()
        stop()

    gateway.start, gateway.stop = start_both, stop_both  # type: ignore[method-assign]  # the fault


@fault(
    "association.gateway-overlooks-renewals",
    role="gateway",
    breaks=(
        "TR111-1.2.1-G1",
        "TR111-1.2.1-G1a",
        "TR111-1.2.1-G1b",
        "TR111-1.2.1-G2",
        "TR111-1.2.1-G2b",
        "TR111-1.2.6.2.2-P",
    ),
    shown_in=(f"{DISCOVER}renewal",),
)
def gateway_overlooks_renewals(gateway: ManagedGateway) -> None:
    """The gateway does not look at requests that come by unicast."""
    answer_options = gateway.devices.answer_options

    def overlook(request: dhcp.Message) -> Any:
        return () if request.client_address else answer_options(request)

    gateway.devices.answer_options = overlook  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-tells-when-asked",
    role="gateway",
    breaks=(
        *("TR111-1.2.1-G1", "TR111-1.2.1-G1a", "TR111-1.2.1-G1b"),
        *("TR111-1.2.1-G2", "TR111-1.2.1-G2b", "TR111-1.2.4-F1", "TR111-1.2.6.2.2-P"),
    ),
    shown_in=(f"{DISCOVER}not_listed",),
    seen_in="DHCP servers that send only what option 55 asks for",
)
def gateway_tells_when_asked(gateway: ManagedGateway) -> None:
    """Only who asks for option 125 is told the gateway's identity."""
    answer_options = gateway.devices.answer_options

    def obey(request: dhcp.Message) -> Any:
        wanted = dhcp.Code.VENDOR_IDENTITY in request.parameter_request_list
        return answer_options(request) if wanted else ()

    gateway.devices.answer_options = obey  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-takes-anything",
    role="gateway",
    breaks=("TR111-1.2.1-G1a",),
    shown_in=(f"{EDGE}other_enterprise",),
)
def gateway_takes_anything(gateway: ManagedGateway) -> None:
    """Any option 125 is a Device Identity to the gateway."""
    devices = gateway.devices
    answer_options = devices.answer_options

    def take(request: dhcp.Message) -> Any:
        if request.option(dhcp.Code.VENDOR_IDENTITY) is not None:
            return (gateway_option(devices.gateway),)
        return answer_options(request)

    devices.answer_options = take  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.gateway-without-serial",
    role="gateway",
    breaks=("TR111-1.2.5-O6",),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def gateway_without_serial(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The gateway leaves its serial number out."""
    return with_values(message, lambda values: [each for each in values if each[0] != 5])


@fault(
    "association.gateway-uses-device-codes",
    role="gateway",
    breaks=(
        *("TR111-1.2.1-G1", "TR111-1.2.1-G1a", "TR111-1.2.1-G1b"),
        *("TR111-1.2.1-G2", "TR111-1.2.1-G2b", "TR111-1.2.4-F1", "TR111-1.2.6.2.2-P"),
        *("TR111-1.2.5-T1-1", "TR111-1.2.5-T1-2", "TR111-1.2.5-T1-3"),
    ),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def gateway_uses_device_codes(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The gateway tells its identity by the sub-options 1 to 3, which are a device's."""
    return with_values(message, lambda values: [(code - 3, value) for code, value in values])


@fault(
    "association.gateway-another-oui",
    role="gateway",
    breaks=("TR111-1.2.5-T1-4",),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def gateway_another_oui(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The gateway tells another OUI than that of its DeviceInfo."""
    return with_values(message, replaced(4, b"020000"))


@fault(
    "association.gateway-another-serial",
    role="gateway",
    breaks=("TR111-1.2.5-T1-5",),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def gateway_another_serial(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The gateway tells its hardware address for its serial number."""
    return with_values(message, replaced(5, b"020000000100"))


@fault(
    "association.gateway-another-class",
    role="gateway",
    breaks=("TR111-1.2.5-T1-6",),
    acts_on="message dhcp",
    shown_in=(DISCOVER,),
)
def gateway_another_class(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The gateway tells its model's marketing name for its product class."""
    return with_values(message, replaced(6, b"Best Box"))


@fault(
    "association.gateway-leases-to-inform",
    role="gateway",
    breaks=("TR111-1.2.4-F2",),
    acts_on="message dhcp",
    shown_in=("association_inform/",),
)
def gateway_leases_to_inform(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
    """The answer to an INFORM has a lease time."""
    if not isinstance(message, dhcp.Ack) or message.lease_s is not None:
        return [message]
    lease = seconds(dhcp.Code.LEASE_TIME, 600)
    return [dataclasses.replace(message, options=(lease, *message.options))]
