"""Faults of an HNB in discovery: whom it turns to, when, and by what name (TS 32.583, 5.1.2)."""

from __future__ import annotations

import dataclasses
from typing import Any

from testbed.faults.fault import fault
from testbed.host import Stream
from testbed.protocols import dhcp, dns
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.wire import Endpoint
from testbed.roles.cpe_policy import SessionReport
from testbed.roles.hnb import REGISTRATION_EVENT, Hnb
from testbed.roles.resolve import resolve

SERVING_HMS = Endpoint("203.0.113.21", 443)
INITIAL_HMS = "203.0.113.20"
SEGW_NAME = "segw.south.operator.example"
STRANGER = Endpoint("203.0.113.60", 500)
"""Nobody is there."""
IKE_HEADER = bytes.fromhex("0102030405060708 0000000000000000 21202208 00000000 0000001c")
"""The header of an IKE_SA_INIT, and nothing in it (RFC 7296 3.1)."""


async def knock(hnb: Hnb, at: Endpoint) -> None:
    """Open a connection, and close it again."""
    try:
        stream = await hnb.host.connect(at)
    except OSError:
        return
    await stream.close()


@fault("hnb.contacts-serving-first", role="hnb", breaks=("32583-5.1-P1",))
def contacts_serving_first(hnb: Hnb) -> None:
    """A fresh HNB turns to a serving HMS that it knows from a test bench."""
    first_contact = hnb.first_contact

    async def contact(lease: dhcp.Lease) -> None:
        await knock(hnb, SERVING_HMS)
        await first_contact(lease)

    hnb.first_contact = contact  # type: ignore[method-assign]  # that is the fault


@fault("hnb.asks-another-name", role="hnb", breaks=("32583-5.1-P4", "32583-5.1.2-P1"))
def asks_another_name(hnb: Hnb) -> None:
    """The HNB makes up a name for its HMS and forgets the one from the factory."""
    assign, url = hnb.tree.assign, "https://acs.operator.example/acs"

    def assign_made_up(path: str, text: str) -> bool:
        is_factorys = path == hnb.paths.hms_url and text == hnb.factory.hms_url
        return assign(path, url if is_factorys else text)

    hnb.tree.assign = assign_made_up  # type: ignore[method-assign]  # when it begins anew, too
    assign(hnb.paths.hms_url, url)


@fault(
    "hnb.url-without-tls",
    role="hnb",
    breaks=("32583-5.1.2-P1", "32583-5.1.2-3", "32583-5.1.2-F1"),
)
def url_without_tls(hnb: Hnb) -> None:
    """The factory has written an http URL, and the HNB takes it."""
    url = "http://hms.operator.example:443/acs"
    hnb.factory = dataclasses.replace(hnb.factory, hms_url=url)
    hnb.tree.assign(hnb.paths.hms_url, url)
    hnb.set_policy(requires_tls=False)


@fault("hnb.tunnel-in-public-mode", role="hnb", breaks=("32583-5.1-P9", "32583-5.1.2-F1"))
def tunnel_in_public_mode(hnb: Hnb) -> None:
    """The HNB begins with IKE, though its factory data name no SeGW."""
    first_contact = hnb.first_contact

    async def contact(lease: dhcp.Lease) -> None:
        port = await hnb.host.datagrams(Endpoint("0.0.0.0", 500), lambda data, source: None)
        port.send(IKE_HEADER, STRANGER)
        port.close()
        await first_contact(lease)

    hnb.first_contact = contact  # type: ignore[method-assign]  # that is the fault


@fault("hnb.asks-for-a-segw", role="hnb", breaks=("32583-5.1.2-2",))
def asks_for_a_segw(hnb: Hnb) -> None:
    """The HNB asks for a Security Gateway's name first, as if it were in the other mode."""
    first_contact = hnb.first_contact

    async def contact(lease: dhcp.Lease) -> None:
        await resolve(hnb.host, lease.dns_servers, SEGW_NAME, policy=hnb.resolver_policy)
        await first_contact(lease)

    hnb.first_contact = contact  # type: ignore[method-assign]  # that is the fault


def _knows_the_address(hnb: Hnb, asks: bool) -> None:
    """Have the HNB use an address of its own for every name but the serving ones."""
    resolver_for = hnb.resolver_for

    def resolver(lease: dhcp.Lease) -> Any:
        by_lease = resolver_for(lease)

        async def find(name: str) -> dns.Resolution:
            if hnb.is_discovered:
                found: dns.Resolution = await by_lease(name)
                return found
            if asks:
                await by_lease(name)
            return dns.Resolved(name, "A", (INITIAL_HMS,), canonical_name=name)

        return find

    hnb.resolver_for = resolver  # type: ignore[method-assign]  # that is the fault


@fault("hnb.asks-for-no-name", role="hnb", breaks=("32583-5.1.2-2", "32583-5.1.2-F1"))
def asks_for_no_name(hnb: Hnb) -> None:
    """The HNB has its HMS's address built in and asks for no name."""
    _knows_the_address(hnb, asks=False)


@fault(
    "hnb.goes-on-without-address",
    role="hnb",
    breaks=("32583-5.1.2-P2", "32583-5.1.2-2"),
    shown_in=("discovery_dns_failure/",),
)
def goes_on_without_address(hnb: Hnb) -> None:
    """The HNB asks, is told that the name does not exist, and connects to a built-in address."""
    _knows_the_address(hnb, asks=True)


@fault(
    "hnb.goes-on-after-refusal",
    role="hnb",
    breaks=(
        *("32583-5.1.1-5", "32583-5.1.1-10", "32583-5.1.1-F1"),
        *("32583-5.1.2-5", "32583-5.1.2-9", "32583-5.1.2-F1"),
    ),
    shown_in=("discovery_public/no_match", "discovery_intranet/no_match"),
)
def goes_on_after_refusal(hnb: Hnb) -> None:
    """The HNB's Inform is refused, and it says that registration begins."""
    session_ended = hnb.session_ended

    def ended(report: SessionReport) -> str | None:
        if report.failure is not None and report.failure.refusal is not None:
            hnb.host.tell("REGISTRATION_START")
        return session_ended(report)

    hnb.session_ended = ended  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.leaves-connection-open",
    role="hnb",
    breaks=("32583-5.1.1-8", "32583-5.1.1-9", "32583-5.1.2-8"),
    shown_in=("discovery_public/", "discovery_intranet/"),
)
def leaves_connection_open(hnb: Hnb) -> None:
    """The HNB ends its session and keeps the connection to HMS (initial) open."""
    connect = hnb.host.connect

    async def stays_open() -> None:
        """No FIN, no close_notify."""

    async def connected(*arguments: Any, **options: Any) -> Stream:
        stream = await connect(*arguments, **options)
        stream.close = stays_open  # type: ignore[method-assign]  # that is the fault
        return stream

    hnb.host.connect = connected  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.registers-in-open-session",
    role="hnb",
    breaks=("32583-5.1.2-7", "32583-5.1.2-8", "32583-5.1.2-9", "32583-5.1.2-F1"),
)
def registers_in_open_session(hnb: Hnb) -> None:
    """The HNB takes the shortcut of the other mode: it registers before the session is released."""
    connect, acknowledged = hnb.host.connect, []

    def notice(envelope: Envelope | None, _destination: Endpoint) -> list[Envelope | None]:
        message = None if envelope is None else envelope.message
        if isinstance(message, rpc.SetParameterValuesResponse) and not hnb.is_discovered:
            acknowledged.append(message)
        return [envelope]

    async def connected(*arguments: Any, **options: Any) -> Stream:
        stream = await connect(*arguments, **options)
        receive = stream.receive

        async def register_first(most_octets: int = 65536) -> bytes:
            if acknowledged:
                acknowledged.clear()
                hnb.host.tell("REGISTRATION_START")
                await knock(hnb, SERVING_HMS)
            return await receive(most_octets)

        stream.receive = register_first  # type: ignore[method-assign]  # that is the fault
        return stream

    hnb.host.connect = connected  # type: ignore[method-assign]  # that is the fault
    hnb.mend_of("cwmp").message.append(notice)


@fault("hnb.stays-with-initial-hms", role="hnb", breaks=("32583-5.1-P6", "32583-5.1.2-9"))
def stays_with_initial_hms(hnb: Hnb) -> None:
    """The HNB acknowledges another HMS's URL, and registers with HMS (initial) all the same."""
    session_ended = hnb.session_ended

    def ended(report: SessionReport) -> str | None:
        fresh = not hnb.is_discovered
        cause = session_ended(report)
        if fresh and hnb.is_discovered:
            hnb.tree.assign(hnb.paths.hms_url, hnb.factory.hms_url or "")
            hnb.cpe.happened(REGISTRATION_EVENT)
        return cause

    hnb.session_ended = ended  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.refuses-hnb-gw",
    role="hnb",
    breaks=("32583-5.1.1-6-hnbgw", "32583-5.1.2-6-hnbgw"),
    shown_in=("discovery_public/", "discovery_intranet/"),
)
def refuses_hnb_gw(hnb: Hnb) -> None:
    """The HNB wants its HNB-GW from HMS (serving) alone: fault 9003 to a set that names one."""
    set_values = hnb.tree.set

    def refuse(values: Any, key: str = "") -> tuple[str, ...]:
        wrong = [
            dataclasses.replace(each, type="boolean")
            if each.path == hnb.paths.hnb_gw and not hnb.is_discovered
            else each
            for each in values
        ]
        return set_values(wrong, key)

    hnb.tree.set = refuse  # type: ignore[method-assign]  # that is the fault
