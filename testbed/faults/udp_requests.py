"""Faults of ACSs and CPEs in UDP Connection Requests (TR-111 Part 2, 2.2.2.3)."""

from __future__ import annotations

import re
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols.cwmp import delivery
from testbed.protocols.wire import Endpoint
from testbed.roles.managed_device import ManagedDevice
from testbed.roles.stun_server import StunServer

SHOWN = ("udp_connection_request/",)


def _octets(server: StunServer, change: Any) -> None:
    """Have each copy be other octets."""
    mend = server.mend_of("connection request")
    mend.octets.append(lambda data, _: [change(data)])


def _sent_from(server: StunServer, port_number: int) -> None:
    """Have requests leave by another port of the server's node."""

    def elsewhere(destination: Endpoint, datagram: bytes, copies: int = 3) -> None:
        async def work() -> None:
            local = Endpoint(server.node.address or "", port_number)
            port = await server.host.datagrams(local, lambda data, source: None)
            for _ in range(copies):
                port.send(datagram, destination)
            port.close()

        server.host.spawn(work(), "sends by another port")

    server.send_connection_request = elsewhere  # type: ignore[method-assign]  # that is the fault


@fault(
    "udp.another-source-port",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U1", "TR111-2.2-P8"),
    shown_in=SHOWN,
    seen_in="ACSs that send from a socket of their own",
)
def another_source_port(server: StunServer) -> None:
    """The request comes from a port of its own: no NAT that filters by port lets it in."""
    _sent_from(server, 40001)


@fault("udp.one-copy", role="stun_server", breaks=("TR111-2.2.2.3-U3",), shown_in=SHOWN)
def one_copy(server: StunServer) -> None:
    """The request is sent once."""
    send = server.send_connection_request

    def once(destination: Endpoint, datagram: bytes, copies: int = 3) -> None:
        send(destination, datagram, copies=1)

    server.send_connection_request = once  # type: ignore[method-assign]  # that is the fault


@fault("udp.copies-differ", role="stun_server", breaks=("TR111-2.2.2.3-U4",), shown_in=SHOWN)
def copies_differ(server: StunServer) -> None:
    """Each copy has a header with its own number."""
    count = iter(range(1000))
    _octets(server, lambda data: data[:-2] + b"X-Copy: %d\r\n\r\n" % next(count))


@fault(
    "udp.no-host",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U6",),
    shown_in=SHOWN,
    seen_in="ACSs that send the request line alone",
)
def no_host(server: StunServer) -> None:
    """There is no Host."""
    _octets(server, lambda data: re.sub(rb"Host: [^\r]*\r\n", b"", data))


@fault("udp.with-body", role="stun_server", breaks=("TR111-2.2.2.3-U7",), shown_in=SHOWN)
def with_body(server: StunServer) -> None:
    """Four octets follow the empty line."""
    _octets(server, lambda data: data + b"body")


@fault("udp.content-length", role="stun_server", breaks=("TR111-2.2.2.3-U8",), shown_in=SHOWN)
def content_length(server: StunServer) -> None:
    """A Content-Length promises a body that does not come."""
    _octets(server, lambda data: data[:-2] + b"Content-Length: 4\r\n\r\n")


@fault("udp.posts", role="stun_server", breaks=("TR111-2.2.2.3-U9",), shown_in=SHOWN)
def posts(server: StunServer) -> None:
    """The method is POST."""
    _octets(server, lambda data: data.replace(b"GET ", b"POST ", 1))


@fault(
    "udp.origin-form",
    role="stun_server",
    breaks=(
        *("TR111-2.2.2.3-U10", "TR111-2.2.2.3-U11", "TR111-2.2.2.3-U12"),
        *("TR111-2.2.2.3-U13", "TR111-2.2.2.3-U14", "TR111-2.2.2.3-EX"),
    ),
    shown_in=SHOWN,
    seen_in="ACSs that use a stock HTTP library",
)
def origin_form(server: StunServer) -> None:
    """The Request-URI begins with its query."""
    _octets(server, lambda data: re.sub(rb"http://[^?]*", b"", data, count=1))


@fault(
    "udp.mixed-scheme",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U11",),
    shown_in=SHOWN,
)
def mixed_scheme(server: StunServer) -> None:
    """The scheme is Http."""
    _octets(server, lambda data: data.replace(b" http:", b" Http:", 1))


@fault(
    "udp.with-userinfo",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U12", "TR111-2.2.2.3-U13"),
    shown_in=SHOWN,
)
def with_userinfo(server: StunServer) -> None:
    """The authority has a user."""
    _octets(server, lambda data: data.replace(b"://", b"://acs@", 1))


@fault(
    "udp.without-port",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U13", "TR111-2.2.2.3-U14"),
    shown_in=SHOWN,
)
def without_port(server: StunServer) -> None:
    """The authority has no port, and the packet does not go to port 80."""
    _octets(server, lambda data: re.sub(rb"(://[^:?]*):\d+", rb"\g<1>", data, count=1))


@fault(
    "udp.line-feeds",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U6", "TR111-2.2.2.3-U2"),
    shown_in=SHOWN,
    seen_in="ACSs that write text files",
)
def line_feeds(server: StunServer) -> None:
    """Lines end in LF alone."""
    _octets(server, lambda data: data.replace(b"\r\n", b"\n"))


@fault(
    "udp.id-of-each-copy",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U3", "TR111-2.2.2.3-U4", "TR111-2.2.2.3-T-id", "TR111-2.2.2.3-T-sigkey"),
    shown_in=SHOWN,
)
def id_of_each_copy(server: StunServer) -> None:
    """Each copy has an id of its own, and the sig of the first."""
    count = iter(range(1000))
    _octets(server, lambda data: re.sub(rb"&id=\d+", b"&id=%d" % next(count), data))


@fault(
    "udp.slash",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U15", "TR111-2.2.2.3-EX"),
    shown_in=SHOWN,
)
def slash(server: StunServer) -> None:
    """The path is "/"."""
    _octets(server, lambda data: data.replace(b"?ts=", b"/?ts=", 1))


@fault(
    "udp.no-cnonce",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U16", "TR111-2.2.2.3-EX"),
    shown_in=SHOWN,
)
def no_cnonce(server: StunServer) -> None:
    """There is no cn."""
    _octets(server, lambda data: re.sub(rb"&cn=[^&]*", b"", data))


@fault("udp.short-sig", role="stun_server", breaks=("TR111-2.2.2.3-T-sig",), shown_in=SHOWN)
def short_sig(server: StunServer) -> None:
    """sig is cut to 32 digits."""
    _octets(server, lambda data: re.sub(rb"(&sig=[0-9A-F]{32})[0-9A-F]{8}", rb"\g<1>", data))


@fault(
    "udp.in-two-packets",
    role="stun_server",
    breaks=("TR111-2.2.2.3-U2", "TR111-2.2.2.3-U6"),
    shown_in=SHOWN,
)
def in_two_packets(server: StunServer) -> None:
    """The request is cut in two datagrams."""
    mend = server.mend_of("connection request")
    mend.octets.append(lambda data, _: [data[: len(data) // 2], data[len(data) // 2 :]])


@fault(
    "udp.cpe-answers",
    role="device",
    breaks=("TR111-2.2.2.3-U5", "TR111-2.2.1.4-C17"),
    shown_in=(*SHOWN, "udp_connection_request_forged/"),
)
def cpe_answers(device: ManagedDevice) -> None:
    """The CPE answers a request by 200, as to one by TCP."""
    asked = device.asked_by_udp

    def answering(data: bytes, source: Endpoint) -> None:
        asked(data, source)

        async def answer() -> None:
            local = Endpoint("0.0.0.0", 0)
            port = await device.host.datagrams(local, lambda data, source: None)
            port.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", source)
            port.close()

        device.host.spawn(answer(), "answers a request")

    device.stun.on_datagram = answering


@fault(
    "udp.cpe-forgets-event",
    role="device",
    breaks=("TR111-2.2.1.4-C16", "TR111-2.1-1", "TR111-2.2.1-C5", "TR111-2.2.3-F7"),
    shown_in=SHOWN,
)
def cpe_forgets_event(device: ManagedDevice) -> None:
    """The CPE opens a session for a request, and does not say why."""
    device.cpe.requested = lambda: device.cpe.happened(  # type: ignore[method-assign]
        delivery.PERIODIC
    )


@fault(
    "udp.cpe-takes-anything",
    role="device",
    breaks=(
        *("TR111-2.2.1.4-C3", "TR111-2.2.1.4-C4", "TR111-2.2.1.4-C5", "TR111-2.2.1.4-C14"),
        *("TR111-2.2.1.4-C15", "TR111-2.2.1.4-C17", "TR111-2.2.1.4-C6", "TR111-2.2.1.4-C7"),
        *("TR111-2.2.1.4-C11", "TR111-2.2.1.4-C13"),
    ),
    shown_in=("udp_connection_request_replay/", "udp_connection_request_forged/open"),
)
def cpe_takes_anything(device: ManagedDevice) -> None:
    """The CPE opens a session for whatever comes to its port and is no STUN."""

    def take(data: bytes, source: Endpoint) -> None:
        device.host.tell("UDP_REQUEST_TAKEN", source=str(source), ts=None)
        device.cpe.requested()

    device.stun.on_datagram = take


@fault(
    "udp.cpe-records-wrong-ts",
    role="device",
    breaks=("TR111-2.2.1.4-C8", "TR111-2.2.1.4-C18"),
    shown_in=("udp_connection_request_forged/",),
)
def cpe_records_wrong_ts(device: ManagedDevice) -> None:
    """The CPE remembers the ts of every request: the right one comes too late, body or not."""
    asked = device.asked_by_udp

    def recording(data: bytes, source: Endpoint) -> None:
        asked(data, source)
        found = re.search(rb"[?&]ts=(\d+)", data)
        if found:
            device.udp_requests.last_ts = max(device.udp_requests.last_ts, int(found[1]))

    device.stun.on_datagram = recording
