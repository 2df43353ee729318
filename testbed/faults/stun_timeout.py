"""CPEs that look for their binding's lifetime in a wrong way, or make nothing of what they find;
and a gateway that is in their way."""

from __future__ import annotations

import dataclasses
from typing import Any

from testbed.faults.fault import fault
from testbed.faults.stun_bending import configured
from testbed.protocols import stun
from testbed.protocols.stun import Attribute, Kind
from testbed.protocols.stun.attributes import address_value
from testbed.protocols.stun.lifetime import Step
from testbed.protocols.wire import Endpoint
from testbed.roles.gateway import Gateway
from testbed.roles.managed_device import ManagedDevice
from testbed.topology import Udp

TIMEOUT = ("nat_timeout_discovery/",)
_MARK = Attribute(Kind.CONNECTION_REQUEST_BINDING, stun.CONNECTION_REQUEST_BINDING_VALUE)


def _is_probe(message: stun.Message) -> bool:
    return message.response_address is not None


@fault(
    "stun.probes-name-the-private-address",
    role="device",
    breaks=["TR111-2.2.1.2-C5"],
    seen_in="clients that take RESPONSE-ADDRESS for the port that they listen at",
    shown_in=TIMEOUT,
)
def probes_name_the_private_address(device: ManagedDevice) -> None:
    """RESPONSE-ADDRESS is the primary port's own address, which the server cannot reach."""

    def private(message: stun.Message, to: Endpoint) -> list[stun.Message]:
        local = device.stun.machine.local
        if not _is_probe(message) or local is None:
            return [message]
        return [message.replacing([Attribute(Kind.RESPONSE_ADDRESS, address_value(local))])]

    device.mend_of("stun").message.append(private)


@fault(
    "stun.probes-are-marked",
    role="device",
    breaks=["TR111-2.2.1.3-C4", "TR111-2.2.3-F4"],
    acts_on="message stun",
    seen_in="clients that write every request by the same function",
    shown_in=TIMEOUT,
)
def probes_are_marked(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """Tests have CONNECTION-REQUEST-BINDING, as if the secondary port took connection requests."""
    if not _is_probe(message):
        return [message]
    return [message.replacing([_MARK, *message.attributes])]


@fault(
    "stun.minimum-for-probes-too",
    role="device",
    breaks=["TR111-2.2.1.2-C7"],
    shown_in=TIMEOUT,
)
def minimum_for_probes_too(device: ManagedDevice) -> None:
    """A test is repeated only after STUNMinimumKeepAlivePeriod."""
    machine: Any = device.stun.machine
    window_s = machine._window_s
    machine._window_s = lambda: max(window_s(), 2 * machine.minimum_s)


@fault(
    "stun.goes-on-as-before",
    role="device",
    breaks=["TR111-2.2.1-C3"],
    seen_in="clients with an interval that their maker has chosen",
    shown_in=TIMEOUT,
)
def goes_on_as_before(device: ManagedDevice) -> None:
    """What the tests have found is not used: keep-alives come at the maker's interval."""
    machine: Any = device.stun.machine
    planned = machine._planned

    def fixed() -> Any:
        tester = machine._tester
        if tester is None or tester.phase is not stun.Phase.MONITORING:
            return planned()
        return Step.KEEP_ALIVE, machine._last_keep_alive + 1.5 * tester.search.dead_s

    machine._planned = fixed


@fault(
    "stun.obsolete-lifetime",
    role="device",
    breaks=["TR111-2.2.1.2-C6", "TR111-2.2.1-C3"],
    seen_in="clients that look for the lifetime once",
    shown_in=("nat_timeout_discovery/shortened",),
)
def obsolete_lifetime(device: ManagedDevice) -> None:
    """A binding that dies in the monitoring phase changes nothing."""
    machine: Any = device.stun.machine
    new_tester = machine._new_tester

    def stubborn() -> Any:
        tester = new_tester()
        if tester is not None:
            measured = tester._measured

            def once(alive: bool) -> None:
                measured(alive or tester.phase is stun.Phase.MONITORING)

            tester._measured = once
        return tester

    machine._new_tester = stubborn


@fault(
    "stun.leaves-its-binding-alone",
    role="device",
    breaks=["TR111-2.2-P6", "TR111-2.2.1.2-C3", "TR111-2.2.4-T6-8"],
    shown_in=("nat_keepalive/short_lived",),
)
def leaves_its_binding_alone(device: ManagedDevice) -> None:
    """Keep-alives come every six seconds, whatever the ACS says and the gateway does."""
    configured(device, minimum_s=lambda _: 6, maximum_s=lambda _: 6)


@fault(
    "stun.wants-signed-answers",
    role="device",
    breaks=["TR111-2.2.2.2.1-S6", "TR111-2.2.1.2-C4"],
    shown_in=("nat_keepalive/between",),
)
def wants_signed_answers(device: ManagedDevice) -> None:
    """A response without MESSAGE-INTEGRITY does not count, though nobody asked for one."""
    machine: Any = device.stun.machine
    believed = machine._is_believed

    def strict(transaction: Any, response: stun.Message, source: Endpoint) -> bool:
        return response.is_signed and bool(believed(transaction, response, source))

    machine._is_believed = strict


@fault(
    "stun.gateway-drops-udp",
    role="gateway",
    breaks=["TR111-2.2.1.3-FN10"],
    shown_in=TIMEOUT,
)
def gateway_drops_udp(gateway: Gateway) -> None:
    """Nothing of UDP but DNS leaves the home, connection requests' bindings neither."""
    gateway.nat = dataclasses.replace(gateway.nat, udp=Udp.DROPPED)
