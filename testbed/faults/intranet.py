"""Faults of an HNB in discovery over IPsec (5.1.1): whom it asks, what it does with its tunnel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from testbed.faults.discovery import knock
from testbed.faults.fault import fault
from testbed.host import Stream, Tunnel
from testbed.protocols import dhcp, dns
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.http import Url
from testbed.protocols.wire import Endpoint
from testbed.roles.cpe_policy import Served, SessionReport
from testbed.roles.hnb import REGISTRATION_EVENT, Hnb
from testbed.roles.resolve import resolve

INITIAL_SEGW = "203.0.113.50"
INITIAL_HMS = "10.10.0.20"
MAIN = ("discovery_intranet/",)


@fault(
    "hnb.asks-for-hms-outside",
    role="hnb",
    breaks=("32583-5.1.1-2.1", "32583-5.1.1-2.4"),
    shown_in=MAIN,
    seen_in="a stub resolver that asks all the servers that it knows, whatever the tunnel",
)
def asks_for_hms_outside(hnb: Hnb) -> None:
    """The HNB asks the outer DNS for its HMS before it builds the tunnel."""
    first_contact = hnb.first_contact

    async def contact(lease: dhcp.Lease) -> None:
        name = Url.parse(hnb.factory.hms_url or "").host
        await resolve(hnb.host, lease.dns_servers, name, policy=hnb.resolver_policy)
        await first_contact(lease)

    hnb.first_contact = contact  # type: ignore[method-assign]  # that is the fault


def _knows_the_segw(hnb: Hnb, asks: bool) -> None:
    """Have the HNB use a built-in address for SeGW (initial)."""
    find = hnb.secure.find

    async def found(name: str, dns_servers: Sequence[str]) -> dns.Resolution:
        if name != hnb.factory.segw:
            result: dns.Resolution = await find(name, dns_servers)
            return result
        if asks:
            await find(name, dns_servers)
        return dns.Resolved(name, "A", (INITIAL_SEGW,), canonical_name=name)

    hnb.secure.find = found  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.asks-for-no-segw",
    role="hnb",
    breaks=("32583-5.1.1-2", "32583-5.1.1-F1"),
    shown_in=MAIN,
)
def asks_for_no_segw(hnb: Hnb) -> None:
    """The HNB has its SeGW's address built in and asks for no name."""
    _knows_the_segw(hnb, asks=False)


@fault(
    "hnb.goes-on-without-segw",
    role="hnb",
    breaks=("32583-5.1.1-2.2",),
    shown_in=("discovery_dns_failure/segw_nxdomain",),
)
def goes_on_without_segw(hnb: Hnb) -> None:
    """The HNB is told that its SeGW's name does not exist, and takes a built-in address."""
    _knows_the_segw(hnb, asks=True)


@fault(
    "hnb.goes-on-without-hms",
    role="hnb",
    breaks=("32583-5.1.1-2.5",),
    shown_in=("discovery_dns_failure/inner_nxdomain",),
)
def goes_on_without_hms(hnb: Hnb) -> None:
    """The inner DNS knows no HMS, and the HNB connects to a built-in address."""
    resolver_inside = hnb.resolver_inside

    def resolver(tunnel: Tunnel) -> Any:
        by_tunnel = resolver_inside(tunnel)

        async def find(name: str) -> dns.Resolution:
            found: dns.Resolution = await by_tunnel(name)
            if name != Url.parse(hnb.factory.hms_url or "").host:
                return found
            return dns.Resolved(name, "A", (INITIAL_HMS,), canonical_name=name)

        return find

    hnb.resolver_inside = resolver  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.leaks-around-tunnel",
    role="hnb",
    breaks=("32583-5.1-P9", "32583-5.1.1-2.3", "32583-5.1.1-3"),
    shown_in=MAIN,
    seen_in="devices whose management traffic does not follow the tunnel's routes",
)
def leaks_around_tunnel(hnb: Hnb) -> None:
    """The HNB has its tunnel, and connects to its HMS outside of it first."""
    go_through = hnb.go_through

    async def leak(tunnel: Tunnel, lease: dhcp.Lease) -> None:
        if not hnb.is_discovered:
            await knock(hnb, Endpoint(INITIAL_HMS, 80))
        await go_through(tunnel, lease)

    hnb.go_through = leak  # type: ignore[method-assign]  # that is the fault


@fault("hnb.builds-two-tunnels", role="hnb", breaks=("32583-5.1.1-2.3-residue",), shown_in=MAIN)
def builds_two_tunnels(hnb: Hnb) -> None:
    """The HNB takes both sentences of step 2.3 for its own, and builds a tunnel for each."""
    first_contact = hnb.first_contact

    async def contact(lease: dhcp.Lease) -> None:
        await hnb.secure.open((hnb.factory.segw or "",), lease.dns_servers)
        hnb.secure.keep()
        await first_contact(lease)

    hnb.first_contact = contact  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.takes-shortcut-always",
    role="hnb",
    breaks=("32583-5.1.1-7-shared", "32583-5.1.1-10", "32583-5.1.1-F1"),
    shown_in=("discovery_intranet/", "discovery_intranet_shared_hms/separate_hms"),
)
def takes_shortcut_always(hnb: Hnb) -> None:
    """The HNB registers in the session with HMS (initial), though another HMS is to serve it."""

    def answer_sent(served: Sequence[Served]) -> None:
        sets = [each for each in served if isinstance(each.call, rpc.SetParameterValues)]
        if sets and not hnb.is_discovered:
            hnb.is_discovered = True
            hnb.registration.tell_start()

    hnb.answer_sent = answer_sent  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.releases-shared-session",
    role="hnb",
    breaks=("32583-5.1.1-7-shared",),
    shown_in=("discovery_intranet_shared_hms/",),
)
def releases_shared_session(hnb: Hnb) -> None:
    """The HNB releases its session though HMS (initial) serves too, and begins another one."""

    def answer_sent(served: Sequence[Served]) -> None:
        """Nobody looks at who serves."""

    hnb.answer_sent = answer_sent  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.compares-hms-by-text",
    role="hnb",
    breaks=("32583-5.1.1-7-shared",),
    shown_in=("discovery_intranet_shared_hms/other_name",),
)
def compares_hms_by_text(hnb: Hnb) -> None:
    """To the HNB the HMS is the same where the URL is: names' addresses do not count."""

    async def is_same_entity(url: str, acs: Endpoint) -> bool:
        return Url.parse(url) == Url.parse(hnb.factory.hms_url or "")

    hnb.is_same_entity = is_same_entity  # type: ignore[method-assign]  # that is the fault


@fault("hnb.leaves-tunnel-too-early", role="hnb", breaks=("32583-5.1.1-9",), shown_in=MAIN)
def leaves_tunnel_too_early(hnb: Hnb) -> None:
    """The HNB has its serving set and takes the tunnel down, the session's end still to come."""
    connect, acknowledged = hnb.host.connect, []

    def notice(envelope: Envelope | None, _destination: Endpoint) -> list[Envelope | None]:
        message = None if envelope is None else envelope.message
        if isinstance(message, rpc.SetParameterValuesResponse) and not hnb.is_discovered:
            acknowledged.append(message)
        return [envelope]

    async def connected(*arguments: Any, **options: Any) -> Stream:
        stream = await connect(*arguments, **options)
        receive = stream.receive

        async def leave_first(most_octets: int = 65536) -> bytes:
            if acknowledged:
                acknowledged.clear()
                await hnb.secure.close()
            return await receive(most_octets)

        stream.receive = leave_first  # type: ignore[method-assign]  # that is the fault
        return stream

    hnb.host.connect = connected  # type: ignore[method-assign]  # that is the fault
    hnb.mend_of("cwmp").message.append(notice)


@fault(
    "hnb.stays-with-initial-side",
    role="hnb",
    breaks=("32583-5.1-P6", "32583-5.1.1-10"),
    shown_in=MAIN,
)
def stays_with_initial_side(hnb: Hnb) -> None:
    """The HNB acknowledges serving SeGW and HMS, and registers with the initial ones."""
    session_ended = hnb.session_ended

    def ended(report: SessionReport) -> str | None:
        fresh = not hnb.is_discovered
        cause = session_ended(report)
        if fresh and hnb.is_discovered:
            hnb.tree.assign(hnb.paths.segw, hnb.factory.segw or "")
            hnb.tree.assign(hnb.paths.hms_url, hnb.factory.hms_url or "")
            hnb.cpe.happened(REGISTRATION_EVENT)
        return cause

    hnb.session_ended = ended  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.takes-any-set",
    role="hnb",
    breaks=("32583-5.1.1-7",),
    shown_in=("discovery_provisioning_fault/intranet",),
    seen_in="CPEs that acknowledge what they do not know",
)
def takes_any_set(hnb: Hnb) -> None:
    """The HNB acknowledges a set with a parameter that it has not, and sets the others."""
    tree: Any = hnb.tree
    set_values = tree.set
    tree.set = lambda values, key="": set_values([e for e in values if e.path in tree], key)


@fault(
    "hnb.refuses-by-9001",
    role="hnb",
    breaks=("32583-5.1.1-7",),
    acts_on="message cwmp",
    shown_in=("discovery_provisioning_fault/intranet",),
)
def refuses_by_9001(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """A set with a wrong parameter is refused by 9001, "request denied"."""
    if envelope is None or not isinstance(envelope.message, rpc.Fault):
        return [envelope]
    refused = dataclasses.replace(envelope.message, code=9001)
    return [dataclasses.replace(envelope, message=refused)]
