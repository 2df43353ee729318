"""Bootstrap from the smart card's web server (OMA DM bootstrap 1.3, 5.4.7, table of SCWS@).

All of it is seen on the device's loopback.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.bootstraps import PATH, Bootstrap, Fetch, bootstraps, is_clear
from testbed.conformance.check import check
from testbed.conformance.reading import host_of
from testbed.conformance.verdict import Finding, fault, ok
from testbed.trace.record import Record
from testbed.trace.trace import Trace

PORT, HTTPS_PORT = 4116, 443
UICC = "localuicc"
PRINTED = "0.0.0.0.0.0.0.1"
"""What the table prints for the loopback of IPv6 (AMB-OMA-04): no address."""


def _cards(trace: Trace, *hosts: str) -> Iterator[Bootstrap]:
    """The devices whose card is at one of these hosts."""
    for bootstrap in bootstraps(trace):
        if bootstrap.told is not None and host_of(bootstrap.told.url) in hosts:
            yield bootstrap


@check("OMA-5.4.7-S1")
def path_is_the_absolute_url(trace: Trace) -> Iterator[Finding]:
    """The card is asked for /OMA/DM/Bootstrap.xml, in exactly these letters, by HTTPS."""
    for bootstrap in _cards(trace, "127.0.0.1", "::1", "localhost", UICC):
        for fetch in bootstrap.fetches:
            for request, _ in fetch.requests:
                if request.message.target != PATH:
                    yield fault(request, f"the path is {request.message.target!r}, not {PATH!r}")
                elif is_clear(fetch.connection, request):
                    yield fault(request, "the card is asked in clear")
                else:
                    yield ok(request, PATH)


def _reached(
    bootstrap: Bootstrap, address: str, port: int, authorities: tuple[str, ...]
) -> Iterator[Finding]:
    """Each connection goes to that address and port, each request has one of these Hosts."""
    for fetch in bootstrap.fetches:
        to = f"{fetch.connection.address} port {fetch.connection.port}"
        if (fetch.connection.address, fetch.connection.port) != (address, port):
            yield fault(fetch.syn, f"connects to {to}, {address} port {port} is due")
            continue
        for request, _ in fetch.requests:
            host = request.message.header("Host")
            if host in authorities:
                yield ok(fetch.syn, f"{to}, Host {host}")
            else:
                yield fault(request, f"Host is {host!r}, {' or '.join(authorities)} is due")


@check("OMA-5.4.7-T1", needs=("",))
def bip_over_ipv4(trace: Trace) -> Iterator[Finding]:
    """BIP over IPv4: 127.0.0.1 port 4116."""
    for bootstrap in _cards(trace, "127.0.0.1"):
        yield from _reached(bootstrap, "127.0.0.1", PORT, ("127.0.0.1:4116", "localhost:4116"))


@check("OMA-5.4.7-T2", needs=("bip_ipv6",))
def bip_over_ipv6(trace: Trace) -> Iterator[Finding]:
    """BIP over IPv6: ::1 port 4116; what the table prints is no address and is never sent."""
    for bootstrap in _cards(trace, "::1", PRINTED):
        for looked in bootstrap.addresses:
            if PRINTED in looked.name:
                yield fault(looked.query, f"asks DNS for {looked.name}")
        yield from _reached(bootstrap, "::1", PORT, ("[::1]:4116", "localhost:4116"))


def _uicc(trace: Trace, address: str) -> Iterator[Finding]:
    for bootstrap in _cards(trace, UICC):
        for looked in bootstrap.addresses:
            if looked.name.split(".")[0] == UICC:
                yield fault(looked.query, f"asks the network for {looked.name}")
        if any(_is_of(fetch, address) for fetch in bootstrap.fetches):
            yield from _reached(bootstrap, address, HTTPS_PORT, (UICC, f"{UICC}:443"))


def _is_of(fetch: Fetch, address: str) -> bool:
    return (":" in fetch.connection.address) == (":" in address)


@check("OMA-5.4.7-T3", needs=("tcp_ipv4",))
def tcp_over_ipv4(trace: Trace) -> Iterator[Finding]:
    """TCP/IP over IPv4: localuicc port 443, the name found in the device itself."""
    yield from _uicc(trace, "127.0.0.1")


@check("OMA-5.4.7-T4", needs=("tcp_ipv6",))
def tcp_over_ipv6(trace: Trace) -> Iterator[Finding]:
    """TCP/IP over IPv6: localuicc port 443 as well."""
    yield from _uicc(trace, "::1")


@check("OMA-5.4.7-N1", needs=("localhost",))
def localhost_is_as_good(trace: Trace) -> Iterator[Finding]:
    """The card answers for localhost:4116 as it does for the address."""
    for bootstrap in _cards(trace, "localhost"):
        for _, request, response in bootstrap.responses():
            if not _says_localhost(request):
                continue
            if response.message.status == 200:
                yield ok(response, "200 for localhost:4116")
            else:
                yield fault(response, f"{response.message.status} for localhost:4116")


def _says_localhost(request: Record) -> bool:
    return (request.message.header("Host") or "").partition(":")[0] == "localhost"
