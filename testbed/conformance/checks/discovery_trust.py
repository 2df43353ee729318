"""Step 3 of discovery: TLS to HMS (initial), and whom an HNB trusts.

TS 32.583, 5.1 and 5.1.2.  TLS 1.3 hides certificates from the wire; what a server shows is known by
what it tells of itself (event "CERTIFICATE"), what an HNB trusts by its factory data.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.check import check
from testbed.conformance.checks.intranet_tunnel import segw_trust
from testbed.conformance.early import public_discoveries
from testbed.conformance.reading import (
    Connection,
    Factory,
    connections,
    factory_of,
    is_address,
    is_serving,
    plain_name,
)
from testbed.conformance.sessions import Discovery, all_discoveries, redirections
from testbed.conformance.shown import Shown, shown_by
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import dns
from testbed.trace.record import Record
from testbed.trace.trace import Trace

_GOOD_VERSIONS = ("1.2", "1.3")


@check("32583-5.1.2-3", supposes=("whole",))
def session_is_under_tls(trace: Trace) -> Iterator[Finding]:
    """A ClientHello is the first thing on the connection; HTTP comes as TLS application data only.

    AMB-3G-08: TLS 1.2 or newer.  AMB-3G-07: TLS is a must here, and so is a certificate that is
    trusted and, unless the HNB is a lenient one, names the host.  Violation: other first octets, a
    request in clear, an older version, or a request to a server that cannot be trusted.
    """
    for discovery in public_discoveries(trace):  # inside a tunnel TLS is a choice
        factory = factory_of(trace, discovery.hnb)
        for connection in _to_initial(trace, discovery):
            first = connection.first_payload()
            if first is None:
                continue
            finding = _unprotected(connection, first)
            if finding is None and connection.requests() and factory is not None:
                finding = _misplaced_trust(trace, connection, factory)
            if finding is not None:
                yield finding
            elif connection.requests():
                yield ok(connection.requests()[0], "HTTP within TLS")
            elif connection.closing() is not None:
                yield ok(first, "no TLS, and no request")


def _unprotected(connection: Connection, first: Record) -> Finding | None:
    in_clear = [each for each in connection.requests() if each.transport == "tcp"]
    if in_clear:
        return fault(in_clear[0], f"{in_clear[0].summary()} in clear")
    hello, server = connection.hello(), connection.server_hello()
    if hello is None or hello.number > first.number:
        return fault(first, f"begins with {first.payload[:8].hex(' ')}, a ClientHello is due")
    if (
        server is not None
        and server.message.version not in _GOOD_VERSIONS
        and connection.requests()
    ):
        return fault(server, f"TLS {server.message.version}, at least 1.2 is due")
    return None


def _misplaced_trust(trace: Trace, connection: Connection, factory: Factory) -> Finding | None:
    shown = _shown_on(trace, connection)
    if shown is None:
        return None
    request = connection.requests()[0]
    if not shown.is_trusted_by(factory.root_keys):
        return fault(request, f"{request.summary()} to a server of a root that is not trusted")
    wanted = _wanted_name(connection, factory)
    if factory.is_strict and wanted and not shown.names_host(wanted):
        return fault(request, f"{request.summary()} to {wanted}, whose certificate {shown.naming}")
    return None


@check(
    "32583-5.1-P5",
    needs=("wrong_root", "ip_literal_certified", "segw_wrong_root", "segw_lenient"),
    needs_in={
        "discovery_intranet": ("", "wrong_root"),
        "discovery_public": ("", "wrong_root"),
    },
    observed="told",
    supposes=("whole",),
)
def only_the_operators_root_is_trusted(trace: Trace) -> Iterator[Finding]:
    """The HNB speaks to a server whose chain ends at its root, and to no other.

    AMB-3G-07: a chain that is not trusted is fatal in every profile.  Violation: a request follows
    a foreign chain, or an alert about the issuer a trusted one; or the same of a SeGW's tunnel.
    """
    yield from segw_trust(trace)
    for discovery in all_discoveries(trace):
        factory = factory_of(trace, discovery.hnb)
        if factory is None:
            continue
        for connection in _to_initial(trace, discovery):
            shown = _shown_on(trace, connection)
            if shown is None or connection.server_hello() is None:
                continue
            requests, refusal = connection.requests(), connection.refusal()
            if shown.is_trusted_by(factory.root_keys):
                if requests:
                    yield ok(requests[0], "the chain ends at the operator's root")
                elif refusal is not None and refusal.message.description == "unknown_ca":
                    yield fault(refusal, "unknown_ca, and the chain ends at the operator's root")
            elif requests:
                yield fault(
                    requests[0],
                    f"{requests[0].summary()} to a server of a root that is not trusted",
                )
            elif connection.closing() is not None:
                yield ok(refusal or connection.closing() or connection.syn, "refused")


@check("32583-5.1-P8", observed="told", supposes=("whole",))
def certificate_names_the_configured_host(trace: Trace) -> Iterator[Finding]:
    """The certificate of HMS (initial) has the URL's host among its subjectAltNames.

    AMB-3G-07: strict by default.  AMB-3G-08: where an address is configured, only the HNB is looked
    at.  Violation: the name is missing, and the topology has not meant it so; or the HNB, unless a
    lenient one, sends a request nevertheless.
    """
    for discovery in all_discoveries(trace):
        factory = factory_of(trace, discovery.hnb)
        if factory is None:
            continue
        for connection in _to_initial(trace, discovery):
            shown = _shown_on(trace, connection)
            wanted = _configured_name(discovery, connection, factory)
            if shown is None or not wanted or connection.server_hello() is None:
                continue
            requests = connection.requests()
            if shown.names_host(wanted):
                yield ok(requests[0] if requests else connection.syn, f"{wanted} {shown.naming}")
            elif requests and factory.is_strict:
                yield fault(
                    requests[0], f"{requests[0].summary()}, and the certificate {shown.naming}"
                )
            elif not shown.is_meant and not is_address(wanted):
                yield fault(
                    shown.record or connection.syn,
                    f"{wanted} is configured, the certificate {shown.naming}",
                )
            elif not requests and connection.closing() is not None:
                yield ok(connection.closing() or connection.syn, f"refused: it {shown.naming}")


def _shown_on(trace: Trace, connection: Connection) -> Shown | None:
    """What the server showed when the connection was opened; None: it does not tell."""
    return shown_by(trace, connection.server, connection.syn)


def _configured_name(discovery: Discovery, connection: Connection, factory: Factory) -> str:
    """The host of the factory's URL, or of where an ACS has redirected the HNB."""
    hello = connection.hello()
    asked = "" if hello is None else plain_name(hello.message.server_name or "")
    return asked if asked in redirections(discovery) else factory.hms_host


def _wanted_name(connection: Connection, factory: Factory) -> str:
    hello = connection.hello()
    if hello is not None and hello.message.server_name:
        return plain_name(hello.message.server_name)
    return factory.hms_host


def _to_initial(trace: Trace, discovery: Discovery) -> list[Connection]:
    """The connections that should lead to HMS (initial)."""
    end = discovery.last if discovery.done is None else discovery.done.number
    return [
        each
        for each in connections(trace, discovery.hnb)
        if discovery.first <= each.syn.number < end
        and each.port != dns.PORT
        and not is_serving(each.server)
    ]
