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

    AMB-3G-09: step 1 is link up, address, default route, outer DNS known.
    """
    for hnb in trace.nodes_with_role("hnb"):
        acknowledged: Record | None = None
        for record in trace.records:
            message = record.message
            if isinstance(message, dhcp.Ack) and record.receiver in (hnb, None):
                if message.hardware_address in trace.hardware_addresses(hnb):
                    acknowledged = record
            elif isinstance(message, dns.Query) and record.sender == hnb and not is_inside(record):
                yield _judge_query(hnb, record, acknowledged)
                break


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
