"""CPEs whose memory of UDP Connection Requests, or whose ear for them, fails (TR-111 Part 2,
2.2.1.4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from testbed.errors import DecodeError
from testbed.faults.fault import fault
from testbed.protocols import stun
from testbed.protocols.udp_connection_request import UdpConnectionRequest, decode
from testbed.protocols.wire import Endpoint
from testbed.roles.managed_device import ManagedDevice

REQUEST = "udp_connection_request"
REPLAY = "udp_connection_request_replay"
REBOOT = "udp_connection_request_reboot"
DEAF = (
    *("TR111-2.2.1.4-C1", "TR111-2.2.1.4-C16", "TR111-2.2.1.4-C19"),
    *("TR111-2.1-1", "TR111-2.2.1-C5", "TR111-2.2.3-F7"),
)
"""What a CPE breaks that ignores good requests; where others are judged too, they are named."""


def _on_request(device: ManagedDevice, is_heard: Callable[[UdpConnectionRequest], bool]) -> None:
    """Have the CPE be deaf to requests for which this is False."""
    asked = device.asked_by_udp

    def maybe(data: bytes, source: Endpoint) -> None:
        try:
            heard = is_heard(decode(data))
        except DecodeError:
            heard = True
        if heard:
            asked(data, source)
        else:
            device.host.tell("UDP_REQUEST_IGNORED", source=str(source), reason="the fault")

    device.stun.on_datagram = maybe


@fault(
    "udp.cpe-forgets-its-record",
    role="device",
    breaks=("TR111-2.2.1.4-C9",),
    shown_in=(f"{REBOOT}/persistent",),
)
def cpe_forgets_its_record(device: ManagedDevice) -> None:
    """The CPE is to keep its record over a reboot, and begins with zero."""
    start = device.start

    async def forgetting() -> None:
        device.udp_requests.last_ts, device.udp_requests.last_id = 0, None
        await start()

    device.start = forgetting  # type: ignore[method-assign]  # that is the fault


@fault(
    "udp.cpe-starts-at-its-boot-time",
    role="device",
    breaks=("TR111-2.2.1.4-C10",),
    shown_in=(f"{REBOOT}/",),
)
def cpe_starts_at_its_boot_time(device: ManagedDevice) -> None:
    """After a reboot the CPE takes no ts that is before its own start."""
    start, has_run = device.start, False

    async def starting() -> None:
        nonlocal has_run
        await start()
        if has_run:
            device.udp_requests.last_ts = int(device.date())
        has_run = True

    device.start = starting  # type: ignore[method-assign]  # that is the fault


@fault(
    "udp.cpe-ignores-its-window",
    role="device",
    breaks=("TR111-2.2.1.4-C11",),
    shown_in=(f"{REPLAY}/",),
)
def cpe_ignores_its_window(device: ManagedDevice) -> None:
    """The CPE tells of a window of time, and looks at none."""
    set_receiver = device.set_udp_receiver

    def without(**changes: Any) -> None:
        set_receiver(**changes)
        device.udp_requests.window_s = None

    device.set_udp_receiver = without  # type: ignore[method-assign]  # that is the fault


@fault(
    "udp.cpe-window-of-seconds",
    role="device",
    breaks=("TR111-2.2.1.4-C12",),
    shown_in=(f"{REPLAY}/skewed",),
)
def cpe_window_of_seconds(device: ManagedDevice) -> None:
    """The CPE takes nothing that is ten seconds off its own clock."""
    set_receiver = device.set_udp_receiver

    def narrow(**changes: Any) -> None:
        set_receiver(**changes)
        device.udp_requests.window_s = 10.0

    device.set_udp_receiver = narrow  # type: ignore[method-assign]  # that is the fault


@fault(
    "udp.cpe-knows-no-ids",
    role="device",
    breaks=("TR111-2.2.1.4-C13", "TR111-2.2.1.4-C3", "TR111-2.2.1.4-C17"),
    shown_in=(f"{REPLAY}/",),
)
def cpe_knows_no_ids(device: ManagedDevice) -> None:
    """The CPE looks at ts only."""
    asked = device.asked_by_udp

    def forgetting(data: bytes, source: Endpoint) -> None:
        device.udp_requests.last_id = None
        asked(data, source)

    device.stun.on_datagram = forgetting


@fault(
    "udp.cpe-reads-no-stun-any-more",
    role="device",
    breaks=("TR111-2.2.1.4-C19",),
    shown_in=(f"{REQUEST}/other_octets",),
)
def cpe_reads_no_stun_any_more(device: ManagedDevice) -> None:
    """After the first request all that comes to the port is read as HTTP."""
    machine: Any = device.stun.machine
    receive, asked = machine.receive, device.asked_by_udp
    has_been_asked = False

    def handed_on(data: bytes, source: Endpoint) -> None:
        nonlocal has_been_asked
        asked(data, source)
        has_been_asked |= data[:1].isalpha()

    def reading(data: bytes, source: Endpoint, *more: Any) -> None:
        if has_been_asked and stun.is_stun(data):
            asked(data, source)
        else:
            receive(data, source, *more)

    device.stun.on_datagram = handed_on
    machine.receive = reading


@fault(
    "udp.cpe-takes-requests-for-bad-stun",
    role="device",
    breaks=(*DEAF, "TR111-2.2.1.4-C12", "TR111-2.2.2.3-U12b"),
    shown_in=(f"{REQUEST}/skewed",),
    seen_in="clients whose STUN library owns the port",
)
def cpe_takes_requests_for_bad_stun(device: ManagedDevice) -> None:
    """What is no STUN is dropped, requests too."""
    device.stun.on_datagram = None


@fault(
    "udp.cpe-stumbles-over-octets",
    role="device",
    breaks=(*DEAF, "TR111-2.2.1.4-C20", "TR111-2.2.2.3-U12b"),
    shown_in=(f"{REQUEST}/other_octets",),
)
def cpe_stumbles_over_octets(device: ManagedDevice) -> None:
    """The listener for requests does not survive a datagram that begins in another way."""
    asked = device.asked_by_udp

    def stumbling(data: bytes, source: Endpoint) -> None:
        if data[:1].isalpha():
            asked(data, source)
        else:
            device.stun.on_datagram = None

    device.stun.on_datagram = stumbling


@fault(
    "udp.cpe-compares-authority",
    role="device",
    breaks=(*DEAF, "TR111-2.2.1.4-C12", "TR111-2.2.2.3-U12b"),
    shown_in=(f"{REQUEST}/skewed",),
)
def cpe_compares_authority(device: ManagedDevice) -> None:
    """The CPE takes a request only where its authority is its own local address and port."""

    def is_local(request: UdpConnectionRequest) -> bool:
        return request.authority == f"{device.host.address_of('eth0')}:{device.stun.port}"

    _on_request(device, is_local)


@fault(
    "udp.cpe-listens-with-stun-only",
    role="device",
    breaks=("TR111-2.2.1.4-C1", "TR111-2.2.1.4-C16"),
    shown_in=("nat_stun_disabled/asked_by_udp",),
)
def cpe_listens_with_stun_only(device: ManagedDevice) -> None:
    """While STUN is off nobody reads the port."""
    root = device.tree.model.root

    def is_heard(_request: UdpConnectionRequest) -> bool:
        return device.tree.value(f"{root}ManagementServer.STUNEnable") == "1"

    _on_request(device, is_heard)


@fault(
    "udp.cpe-listens-behind-nats-only",
    role="device",
    breaks=("TR111-2.2.1.4-C1",),
    shown_in=("nat_no_translation/asked_by_udp",),
)
def cpe_listens_behind_nats_only(device: ManagedDevice) -> None:
    """Where nothing is translated nobody reads the port."""
    root = device.tree.model.root

    def is_heard(_request: UdpConnectionRequest) -> bool:
        return device.tree.value(f"{root}ManagementServer.NATDetected") == "1"

    _on_request(device, is_heard)


@fault(
    "udp.cpe-lets-its-way-close",
    role="device",
    breaks=("TR111-2.2-P2", "TR111-2.2.1.2-C1", "TR111-2.2.1.2-C3", "TR111-2.2.4-T6-8"),
    shown_in=("nat_keepalive/requests_between",),
)
def cpe_lets_its_way_close(device: ManagedDevice) -> None:
    """The CPE's keep-alives come a minute apart, whatever the ACS has set."""
    machine = device.stun.machine
    configure = machine.configure

    def lazy(settings: Any, now: float) -> None:
        configure(dataclasses.replace(settings, minimum_s=60, maximum_s=60), now)

    machine.configure = lazy  # type: ignore[method-assign]  # that is the fault
