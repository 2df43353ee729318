"""Faults of DNS servers and bootstrap servers in OMA DM bootstrap (5.4.7 and 5.4.7.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from testbed.faults.bootstrap import DOMAIN, FAILURE, SRV
from testbed.faults.fault import fault
from testbed.protocols import dns
from testbed.protocols.dm.account import PROVISIONING_XML
from testbed.protocols.http import Request, Response
from testbed.protocols.wire import Endpoint
from testbed.roles.bootstrap_server import BootstrapServer
from testbed.roles.dns_server import DnsServer
from testbed.roles.http_server import Dropped

FAR_URL = f"https://far-dm.{DOMAIN}:8443/dm"
ANYBODYS = b'<wap-provisioningdoc version="1.1"></wap-provisioningdoc>'


@fault(
    "dns.minds-letter-case",
    role="dns_server",
    breaks=("OMA-5.4.7.1-D5",),
    shown_in=("dm_bootstrap_srv/letter_case",),
)
def minds_letter_case(server: DnsServer) -> None:
    """The DNS server knows the name in small letters only."""
    server.mend_of("dns").message.append(_nothing_for_capitals)


def _nothing_for_capitals(message: Any, _: Endpoint) -> list[Any]:
    octets = message.octets
    if message.kind != "SRV" or octets[13:14] == octets[13:14].lower() == octets[14:15]:
        return [message]
    label = octets[13 : 13 + octets[12]]
    return [message] if label == label.lower() else [_refused(message)]


def _refused(message: Any) -> Any:
    """The answer with code NXDOMAIN and no record."""
    header = message.octets[:2] + bytes([message.octets[2], message.octets[3] & 0xF0 | 3])
    question_end = message.octets.index(b"\0", 12) + 5
    body = b"\0\1" + bytes(6) + message.octets[12:question_end]
    return dns.decode(header + body)


@fault(
    "dns.records-of-another-owner",
    role="dns_server",
    breaks=("OMA-5.4.7.1-D10",),
    shown_in=SRV,
)
def records_of_another_owner(server: DnsServer) -> None:
    """The SRV records of the answer belong to another name."""

    def renamed(message: Any, _: Endpoint) -> list[Any]:
        if message.kind != "SRV":
            return [message]
        owner = b"\xc0\x0c"  # a pointer to the name in question
        other = b"\x05other\x00"
        return [dns.decode(message.octets.replace(owner + b"\x00\x21", other + b"\x00\x21"))]

    server.mend_of("dns").message.append(renamed)


@fault(
    "dns.answers-another-identifier",
    role="dns_server",
    breaks=("OMA-5.4.7.1-D10",),
    shown_in=SRV,
)
def answers_another_identifier(server: DnsServer) -> None:
    """The answer with the SRV records has another identifier than the query."""

    def changed(message: Any, _: Endpoint) -> list[Any]:
        if message.kind != "SRV":
            return [message]
        octets = message.octets
        return [dns.decode(bytes((octets[0] ^ 1,)) + octets[1:])]

    server.mend_of("dns").message.append(changed)


@fault(
    "bootstrap.empty-package",
    role="bootstrap_server",
    breaks=("OMA-5.4.7-B2", "OMA-5.4.7.1-H200"),
    shown_in=SRV,
)
def empty_package(server: BootstrapServer) -> None:
    """200, and nothing in it."""
    _answers(server, lambda response: replace(response, body=b""))


@fault(
    "bootstrap.package-with-404",
    role="bootstrap_server",
    breaks=("OMA-5.4.7-B2",),
    shown_in=FAILURE,
)
def package_with_404(server: BootstrapServer) -> None:
    """A device that nobody knows is answered by 404, with a package for anybody."""
    headers = (("Content-Type", PROVISIONING_XML),)
    _answers(server, lambda response: replace(response, headers=headers, body=ANYBODYS))


@fault(
    "bootstrap.hangs-up",
    role="bootstrap_server",
    breaks=("OMA-5.4.7-B2", "OMA-5.4.7.1-H2"),
    shown_in=SRV,
    seen_in="servers whose handler dies under a request",
)
def hangs_up(server: BootstrapServer) -> None:
    """The server reads the request, and closes the connection."""
    _answers(server, lambda response: Dropped(reset=False))


@fault(
    "bootstrap.package-of-another",
    role="bootstrap_server",
    breaks=("OMA-5.4.7.1-H200", "OMA-5.4.7.1-H6"),
    shown_in=SRV,
)
def package_of_another(server: BootstrapServer) -> None:
    """Each device gets the package of another one, whose DM server is far away."""
    told = server.packages.digests()
    server.packages.digests = lambda: told  # type: ignore[method-assign]
    server.packages.enrolments = {
        address: replace(each, account=replace(each.account, url=FAR_URL))
        for address, each in server.packages.enrolments.items()
    }


@fault(
    "bootstrap.answers-503",
    role="bootstrap_server",
    breaks=("OMA-5.4.7.1-H2", "OMA-5.4.7.1-H200"),
    shown_in=SRV,
)
def answers_503(server: BootstrapServer) -> None:
    """The server is busy and says so by 503."""
    _answers(server, lambda response: Response(status=503))


@fault(
    "bootstrap.404-for-garbage",
    role="bootstrap_server",
    breaks=("OMA-5.4.7.1-H400",),
    shown_in=("dm_bootstrap_failure/not_understood",),
)
def not_found_for_garbage(server: BootstrapServer) -> None:
    """What cannot be understood is answered by 404."""
    _answers(server, lambda response: Response(status=404))


@fault(
    "bootstrap.400-for-unknown",
    role="bootstrap_server",
    breaks=("OMA-5.4.7.1-H404",),
    shown_in=FAILURE,
)
def bad_request_for_unknown(server: BootstrapServer) -> None:
    """A device that nobody knows is answered by 400."""
    _answers(server, lambda response: Response(status=400))


def _answers(server: BootstrapServer, change: Any) -> None:
    answer = server.packages.answer

    async def changed(request: Request, source: Endpoint) -> Any:
        return change(await answer(request, source))

    server.packages.answer = changed  # type: ignore[method-assign]  # that is the fault
