"""Step 1 of both discovery flows (TS 32.583, 5.1.1 and 5.1.2): LAN connectivity before all else."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.check import check
from testbed.conformance.tunnels import is_inside
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import dhcp, dns
from testbed.trace.record import Record
from testbed.trace.trace import Trace


@check("32583-5.1.1-1", "32583-5.1.2-1")
def connectivity_before_the_first_query(trace: Trace) -> Iterator[Finding]:
    """Address, default route and DNS server by a DHCP ACK, and used, before the first DNS query.

    AMB-3G-09: step 1 is link up, address, default route, outer DNS known.  All of it may be set by
    hand: an HNB that holds an address and never asks for one by DHCP, but by an INFORM.
    """
    for hnb in trace.nodes_with_role("hnb"):
        acknowledged: Record | None = None
        asks = any(
            isinstance(each.message, dhcp.Discover | dhcp.Request) and each.sender == hnb
            for each in trace.records
        )
        for record in trace.records:
            message = record.message
            if isinstance(message, dhcp.Ack) and record.receiver in (hnb, None):
                if message.hardware_address in trace.hardware_addresses(hnb):
                    acknowledged = record
            elif isinstance(message, dns.Query) and record.sender == hnb and not is_inside(record):
                leased = acknowledged is not None and acknowledged.message.address is not None
                if not leased and not asks and _is_held(trace, hnb, record):
                    yield ok(record, f"{hnb} has its address by other means than DHCP")
                else:
                    yield _judge_query(hnb, record, acknowledged)
                break


def _is_held(trace: Trace, hnb: str, query: Record) -> bool:
    """Whether a query comes from an address that the HNB holds."""
    held = trace.addresses.addresses_of(hnb, None, query.time_ns)
    return query.source is not None and query.source.address in held


def _judge_query(hnb: str, query: Record, acknowledged: Record | None) -> Finding:
    assert query.source is not None
    assert query.destination is not None
    if acknowledged is None:
        said = f"{hnb} asks {query.message.name} before any DHCP ACK reached it"
        return fault(query, said, ("whole",))
    lease = acknowledged.message
    if not lease.routers:
        return fault(query, f"{hnb} asks {query.message.name} without a default route in its lease")
    if query.source.address != lease.address:
        return fault(
            query, f"{hnb} asks from {query.source.address}, its lease says {lease.address}"
        )
    if query.destination.address not in lease.dns_servers:
        return fault(
            query,
            f"{hnb} asks {query.destination.address}, "
            f"its lease names the DNS servers {', '.join(lease.dns_servers) or 'none'}",
        )
    return ok(query, f"leased {lease.address} at record {acknowledged.number}")
