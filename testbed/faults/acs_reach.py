"""ACSs that do not find their CPEs (TR-111 Part 2, 2.2.2.2), and CPEs that notify too often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.roles.hms import Hms
from testbed.roles.managed_device import ManagedDevice
from testbed.roles.reach import Reachable
from testbed.roles.stun_server import StunServer

BY_NOTIFICATION = ("nat_binding_change_notification/asked",)
BY_STUN = ("nat_binding_change_stun_auth/asked",)


@fault(
    "acs.first-binding-for-ever",
    role="hms",
    breaks=("TR111-2.2.2.2-A1",),
    shown_in=BY_STUN,
)
def first_binding_for_ever(acs: Hms) -> None:
    """The ACS asks where the STUN server has verified the CPE first."""
    reach: Any = acs.reach
    address_of = reach._address
    first: dict[str, str] = {}

    def stale(each: Reachable) -> str:
        return first.setdefault(each.serial_number, address_of(each))

    reach._address = stale


@fault(
    "acs.first-address-for-ever",
    role="hms",
    breaks=("TR111-2.2.2.2-A1", "TR111-2.2.2.2.2-A2"),
    shown_in=BY_NOTIFICATION,
    seen_in="ACSs that keep the address of the first Inform in a cache",
)
def first_address_for_ever(acs: Hms) -> None:
    """The ACS asks where the CPE's first notification has told it to."""
    first_binding_for_ever(acs)


@fault(
    "acs.asks-the-gateways-other-address",
    role="hms",
    breaks=("TR111-2.2.2.2-A1", "TR111-2.2.2.2.2-A2"),
    shown_in=BY_NOTIFICATION,
)
def asks_another_address(acs: Hms) -> None:
    """The ACS asks at its own address, with the CPE's port."""
    reach: Any = acs.reach

    async def own(_name: str) -> str:
        return acs.node.address or ""

    reach._resolved = own


@fault(
    "acs.ignores-the-port",
    role="hms",
    breaks=("TR111-2.2.2.2-A1", "TR111-2.2.2.2.2-A3"),
    shown_in=BY_NOTIFICATION,
)
def ignores_the_port(acs: Hms) -> None:
    """The ACS asks at STUN's port, whatever the address says."""
    _at_port(acs, 3478)


@fault(
    "acs.no-port-is-7547",
    role="hms",
    breaks=("TR111-2.2.2.2.2-A5",),
    shown_in=("udp_connection_request/no_port",),
)
def no_port_is_7547(acs: Hms) -> None:
    """Where the address names no port the ACS asks at 7547."""
    _at_port(acs, 7547)


def _at_port(acs: Hms, number: int) -> None:
    request = acs.udp_requests.request

    def elsewhere(address: str, username: str, password: str) -> Any:
        host = address.partition(":")[0]
        to, made = request(f"{host}:{number}", username, password)
        return Endpoint(to.address, number), made

    acs.udp_requests.request = elsewhere  # type: ignore[method-assign]  # that is the fault


@fault(
    "acs.resolves-nothing",
    role="hms",
    breaks=("TR111-2.2.2.2.2-A4",),
    shown_in=("udp_connection_request/host_name",),
)
def resolves_nothing(acs: Hms) -> None:
    """The ACS asks no DNS for the name, it takes the address that the Inform came from."""
    reach: Any = acs.reach

    async def line(_name: str) -> str:
        return next(iter(acs.devices.values())).line_address

    reach._resolved = line


def _never_calls(acs: Hms, is_left_out: Callable[[Any], bool]) -> None:
    """The ACS leaves requests out that it should send to find its CPEs."""
    reach: Any = acs.reach
    call = reach._call

    def some(serial_number: str, request: Any) -> None:
        if not is_left_out(request):
            call(serial_number, request)

    reach._call = some


@fault(
    "acs.never-asks-for-notification",
    role="hms",
    breaks=("TR111-2.2.2.2.2-A1",),
    shown_in=BY_NOTIFICATION,
)
def never_asks_for_notification(acs: Hms) -> None:
    """The ACS goes by notifications, and sets no active notification."""
    _never_calls(acs, lambda request: isinstance(request, rpc.SetParameterAttributes))


@fault(
    "acs.never-reads-nat-detected",
    role="hms",
    breaks=("TR111-2.2.2.2.2-A6",),
    shown_in=BY_NOTIFICATION,
)
def never_reads_nat_detected(acs: Hms) -> None:
    """A new address is all that the ACS looks at."""
    _never_calls(
        acs,
        lambda request: any(
            name.endswith(".NATDetected") for name in getattr(request, "names", ())
        ),
    )


@fault(
    "acs.asks-everybody-by-tcp",
    role="hms",
    breaks=("TR111-2.2.2.2.2-A7",),
    shown_in=("nat_no_translation/behind_a_nat",),
)
def asks_everybody_by_tcp(acs: Hms) -> None:
    """The ACS asks by TCP, to the private address of a CPE behind a NAT too."""
    reach: Any = acs.reach
    reach._is_translated = lambda each: False


@fault(
    "acs.asks-by-tcp-with-another-password",
    role="hms",
    breaks=("TR111-2.2.2.2.2-A7",),
    shown_in=("nat_no_translation/by_notification",),
)
def asks_by_tcp_with_another_password(acs: Hms) -> None:
    """By TCP the ACS proves itself by a password that the CPE has never had."""
    reach: Any = acs.reach
    by_tcp = reach._by_tcp

    async def other(serial_number: str, username: str, _password: str) -> int:
        await by_tcp(serial_number, username, "another password")
        return 200

    reach._by_tcp = other


@fault(
    "acs.asks-by-tcp-with-stun-password",
    role="hms",
    breaks=("TR111-2.2.2.2.1-A6",),
    shown_in=("nat_no_translation/by_stun",),
)
def asks_by_tcp_with_stun_password(acs: Hms) -> None:
    """By TCP the ACS proves itself by STUNUsername and STUNPassword."""
    reach: Any = acs.reach
    by_tcp = reach._by_tcp

    async def other(serial_number: str, _username: str, _password: str) -> int:
        each = reach.known[serial_number]
        await by_tcp(serial_number, each.value("STUNUsername"), each.value("STUNPassword"))
        return 200

    reach._by_tcp = other


@fault(
    "acs.same-username-for-all",
    role="hms",
    breaks=("TR111-2.2.2.2.1-A2", "TR111-2.2.2.2-A1"),
    shown_in=BY_STUN,
)
def same_username_for_all(acs: Hms) -> None:
    """Every CPE gets the same STUNUsername; a STUN server that does not look takes it."""
    _credentials(acs, ("cpe-00000001", None))


@fault(
    "acs.same-password-for-all",
    role="hms",
    breaks=("TR111-2.2.2.2.1-A3",),
    shown_in=BY_STUN,
)
def same_password_for_all(acs: Hms) -> None:
    """Every CPE gets the same STUNPassword."""
    _credentials(acs, (None, "0f1e2d3c4b5a69788796a5b4c3d2e1f0"))


def _credentials(acs: Hms, same: tuple[str | None, str | None]) -> None:
    reach: Any = acs.reach
    credentials = reach.credentials

    def other() -> tuple[str, str]:
        server, reach._server = reach._server, None
        username, password = credentials()
        reach._server = server
        username, password = same[0] or username, same[1] or password
        server.secrets[username] = password
        return username, password

    reach.credentials = other


@fault(
    "acs.records-for-another-cpe",
    role="hms",
    breaks=("TR111-2.2.2.2.1-S4b",),
    shown_in=BY_STUN,
)
def records_for_another_cpe(acs: Hms) -> None:
    """What the STUN server passes on is recorded for the CPE that was here first."""
    reach: Any = acs.reach

    def bound(event: Any) -> None:
        each = next(iter(reach.known.values()))
        each.binding = event.endpoint
        told = {"username": event.username, "endpoint": str(event.endpoint)}
        acs.host.tell("BINDING_RECORDED", serial_number=each.serial_number, **told)

    reach._bound = bound


@fault(
    "stun.server-takes-names-for-proof",
    role="stun_server",
    breaks=("TR111-2.2.2.2.1-A5",),
    shown_in=("nat_keepalive/",),
)
def server_takes_names_for_proof(server: StunServer) -> None:
    """A plain request's name and source are taken as the CPE's binding."""
    owner: Any = server
    took = owner._took

    def believing(event: Any) -> None:
        took(event)
        if type(event).__name__ == "Sighted":
            told = {"username": event.username, "endpoint": str(event.endpoint)}
            server.host.tell("BINDING_STORED", **told, transaction_id="")

    owner._took = believing


@fault(
    "stun.notification-limit-ignored",
    role="device",
    breaks=("TR111-2.2.1.3-C15", "TR111-2.3-S2"),
    shown_in=("nat_binding_change_notification/flapping",),
    seen_in="notification storms of CPEs behind NATs that flap",
)
def notification_limit_ignored(device: ManagedDevice) -> None:
    """Each new binding is told at once, whatever the limit says."""
    device.stun.notified = lambda paths: None  # type: ignore[method-assign]  # that is the fault
