"""A public discovery made up message by message, as a trace: what no good peer would ever do too.

hnb - home - gateway (NAT) - internet - outer_dns, inner_dns, initial_hms, serving_hms, ...
"""

from __future__ import annotations

import ssl
import struct
from contextlib import suppress
from functools import cache

from trace_frames import MILLISECOND, START_NS, ethernet, ipv4, tcp, udp

from testbed.conformance import load_checks
from testbed.protocols import dhcp, dns
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.http import Request, Response
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Clear, Frame
from testbed.trace.trace import Trace

ADDRESSES = {
    "outer_dns": "203.0.113.53",
    "inner_dns": "203.0.113.54",
    "initial_hms": "203.0.113.20",
    "serving_hms": "203.0.113.21",
    "segw": "203.0.113.40",
    "serving_segw": "203.0.113.50",
    "hnb_gw": "203.0.113.60",
    "time_server": "203.0.113.70",
}
LAN = {"hnb": "192.168.1.100", "hnb2": "192.168.1.101"}
WAN = "203.0.113.100"
HMS = "hms.operator.example"
SERVING = "hms.south.operator.example"
SEGW = "segw.south.operator.example"
HNB_GW = "hnbgw.south.operator.example"
ROOT = "aa11"
GATEWAY = "Device.Services.FAPService.1.FAPControl.UMTS.Gateway."
GPS = "Device.Services.FAPService.1.GPS."
FIN, SYN, RST, ACK = 1, 2, 4, 16


def _mac(number: int) -> str:
    return f"02:00:00:00:{number:02x}:00"


MAC = {name: _mac(10 + number) for number, name in enumerate([*LAN, *ADDRESSES])}
MAC |= {"gateway": _mac(1), "gateway outside": _mac(2)}
NODES = {
    **{MAC[name]: (name, "eth0", "home") for name in LAN},
    MAC["gateway"]: ("gateway", "eth0", "home"),
    MAC["gateway outside"]: ("gateway", "eth1", "internet"),
    **{MAC[name]: (name, "eth0", "internet") for name in ADDRESSES},
}
STATIC = {
    ("gateway", "eth0"): "192.168.1.1",
    ("gateway", "eth1"): WAN,
    **{(name, "eth0"): address for name, address in ADDRESSES.items()},
}


@cache
def client_hello(name: str | None) -> bytes:
    """What OpenSSL says first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    machine = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        machine.do_handshake()
    return outgoing.read()


def server_hello(version: int = 0x0304) -> bytes:
    """A ServerHello that chooses this version, and nothing behind it."""
    extension = struct.pack("!HHH", 43, 2, version)
    body = b"\3\3" + bytes(32) + b"\0" + b"\x13\1\0" + struct.pack("!H", 6) + extension
    message = b"\2" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\3" + struct.pack("!H", len(message)) + message


def inform(
    serial: str = "1", place: tuple[int, int] | None = (48_137000, 11_575000), **more: str
) -> rpc.Inform:
    """An Inform with a GPS position, in millionths of a degree."""
    named = {f"{GPS}LockedLatitude": place[0], f"{GPS}LockedLongitude": place[1]} if place else {}
    values = {"Device.ManagementServer.ParameterKey": "", **named, **more}
    return rpc.Inform(
        rpc.DeviceId("Testbed", "00005E", "HNB", serial),
        (rpc.Event("0 BOOTSTRAP"),),
        parameters=tuple(rpc.ParameterValue(name, str(value)) for name, value in values.items()),
    )


def serving(
    segw: str | None = SEGW, hms: str | None = f"https://{SERVING}/acs", gw: str | None = HNB_GW
) -> rpc.SetParameterValues:
    """A serving set; None leaves a part out."""
    values = {
        f"{GATEWAY}SecGWServer1": segw,
        "Device.ManagementServer.URL": hms,
        f"{GATEWAY}FAPGWServer1": gw,
    }
    return rpc.SetParameterValues(
        tuple(rpc.ParameterValue(name, value) for name, value in values.items() if value)
    )


class Tcp:
    """One connection of an HNB, through the NAT."""

    def __init__(self, story: Story, hnb: str, server: str, port: int, number: int) -> None:
        self.story = story
        self.hnb = hnb
        self.server = server
        self.number = number
        self.here = (LAN[hnb], 40000 + number)
        self.outside = (WAN, 40000 + number)
        self.there = (ADDRESSES.get(server, server), port)
        self.sent = {True: 1000, False: 5000}

    def segment(self, from_hnb: bool, flags: int, payload: bytes = b"") -> None:
        """A TCP segment on both links."""
        sequence, ack = self.sent[from_hnb], self.sent[not from_hnb]
        self.sent[from_hnb] += len(payload) + bool(flags & (SYN | FIN))
        ways = [(self.here, self.there, "home"), (self.outside, self.there, "internet")]
        for ours, theirs, link in ways if from_hnb else reversed(ways):
            source, destination = (ours, theirs) if from_hnb else (theirs, ours)
            data = tcp(source, destination, sequence, flags, payload, ack)
            packet = ipv4(source[0], destination[0], 6, data)
            self.story.route(link, self.hnb, self.server, from_hnb, packet)

    def opened(self) -> Tcp:
        """The three segments of an opening."""
        self.segment(True, SYN)
        self.segment(False, SYN | ACK)
        self.segment(True, ACK)
        return self

    def hello(self, name: str | None = HMS, version: int = 0x0304) -> Tcp:
        """Both hellos of TLS."""
        self.segment(True, ACK, client_hello(name))
        self.segment(False, ACK, server_hello(version))
        return self

    def alert(self, number: int) -> Tcp:
        """The client's fatal alert, and its end."""
        self.segment(True, ACK, bytes([21, 3, 3, 0, 2, 2, number]))
        self.closed()
        return self

    def clear(self, outgoing: bool, message: Request | Response, by_server: bool = False) -> None:
        """An HTTP message as the client's tap tells it; or as the server's does."""
        local, remote = Endpoint(*self.here), Endpoint(*self.there)
        node = self.hnb
        if by_server:
            node, outgoing = self.server, not outgoing
            local, remote = Endpoint(*self.there), Endpoint(*self.outside)
        data = message.encode()
        told = Clear(
            self.story.tick(), self.number, node, local, remote, not by_server, outgoing, data
        )
        self.story.trace.add_clear(told)

    def posts(self, message: rpc.Rpc | None = None, id: str | None = "1", **how: bool) -> Tcp:
        """The CPE says something, or nothing."""
        body = b"" if message is None else Envelope(message, id).encode()
        self.clear(True, Request((("Host", "h"),), body, target="/acs"), **how)
        return self

    def answers(
        self, message: rpc.Rpc | None = None, id: str | None = "1", status: int = 0, **how: bool
    ) -> Tcp:
        """The ACS says something, or nothing."""
        body = b"" if message is None else Envelope(message, id).encode()
        response = Response((), body, status=status or (200 if body else 204))
        self.clear(False, response, **how)
        return self

    def closed(self) -> Tcp:
        """The client's FIN."""
        self.segment(True, FIN | ACK)
        return self

    def discovered(self, asked: rpc.Inform | None = None, **parts: str | None) -> Tcp:
        """Steps 4 to 8."""
        self.posts(asked or inform()).answers(rpc.InformResponse())
        self.posts().answers(serving(**parts), "2")
        return self.posts(rpc.SetParameterValuesResponse(), "2").answers().closed()


class Story:
    """A trace that grows by what is told here."""

    def __init__(self, factory: bool = True, certificate: bool = True, **told: object) -> None:
        self.trace = Trace()
        self.trace.set_nodes(NODES, STATIC)
        self.trace.set_roles({name: name.rstrip("2") for name in [*LAN, *ADDRESSES, "gateway"]})
        self.now_ns = START_NS
        self.count = 0
        for name, address in LAN.items():
            self.tell(name, "ADDRESS", interface="eth0", address=address)
        if certificate:
            self.certificate()
        if factory:
            self.factory(**told)

    def tick(self) -> int:
        self.now_ns += MILLISECOND
        return self.now_ns

    def tell(self, node: str, event: str, **fields: object) -> Story:
        """An event of a node."""
        self.trace.add_event(node, event, fields, self.tick())
        return self

    def factory(self, hnb: str = "hnb", **told: object) -> Story:
        """What an HNB says that it left the factory with."""
        known = {"hms_url": f"https://{HMS}/acs", "segw": None, "root_keys": [ROOT]}
        return self.tell(hnb, "FACTORY", **{**known, "is_strict": True, **told})

    def certificate(self, *names: str, issuer: str = ROOT, is_meant: bool = False) -> Story:
        """What the initial HMS says that it shows."""
        told = {"names": list(names or (HMS,)), "issuer_key": issuer, "is_meant": is_meant}
        return self.tell("initial_hms", "CERTIFICATE", **told)

    def put(self, link: str, node: str, mac: str, to: str, packet: bytes) -> None:
        """A frame on a link."""
        interface = "eth1" if mac == MAC["gateway outside"] else "eth0"
        frame = Frame(self.tick(), link, node, interface, ethernet(mac, to, packet))
        self.trace.add_frame(frame)

    def route(self, link: str, hnb: str, peer: str, from_hnb: bool, packet: bytes) -> None:
        """A packet between an HNB and somebody outside, on one of its two links."""
        far = MAC.get(peer, "02:ff:ff:ff:ff:ff")
        near, outer = ("gateway", MAC["gateway"]), ("gateway", MAC["gateway outside"])
        ends = {
            ("home", True): (hnb, MAC[hnb], near[1]),
            ("internet", True): (*outer, far),
            ("internet", False): (peer, far, outer[1]),
            ("home", False): (*near, MAC[hnb]),
        }
        self.put(link, *ends[link, from_hnb], packet)

    def datagram(
        self, peer: str, port: int, data: bytes, back: bytes | None = None, hnb: str = "hnb"
    ) -> Story:
        """A datagram of an HNB, and what comes back."""
        self.count += 1
        here, outside = (LAN[hnb], 50000 + self.count), (WAN, 50000 + self.count)
        there = (ADDRESSES[peer], port)
        for from_hnb, payload in ((True, data), (False, back)):
            if payload is None:
                continue
            ways = [(here, "home"), (outside, "internet")]
            for ours, link in ways if from_hnb else reversed(ways):
                source, destination = (ours, there) if from_hnb else (there, ours)
                packet = ipv4(source[0], destination[0], 17, udp(source, destination, payload))
                self.route(link, hnb, peer, from_hnb, packet)
        return self

    def asks(
        self,
        name: str = HMS,
        *addresses: str,
        code: str = "NOERROR",
        kind: str = "A",
        server: str = "outer_dns",
        hnb: str = "hnb",
    ) -> Story:
        """A query and its answer."""
        query = dns.query(name, kind, self.count + 1)
        records = [dns.record(name, kind, address) for address in addresses]
        answer = dns.answer(query, records, code)
        return self.datagram(server, 53, query.encode(), answer.encode(), hnb)

    def leased(self, *options: dhcp.Option, hnb: str = "hnb") -> Story:
        """A DHCP ACK to the HNB."""
        ack = dhcp.Ack.build(
            hardware_address=MAC[hnb], options=options, yiaddr=LAN[hnb], siaddr="192.168.1.1"
        )
        source, destination = ("192.168.1.1", 67), (LAN[hnb], 68)
        packet = ipv4(source[0], destination[0], 17, udp(source, destination, ack.encode()))
        self.put("home", "gateway", MAC["gateway"], MAC[hnb], packet)
        return self

    def packet(self, peer: str, protocol: int, data: bytes = b"\0" * 8) -> Story:
        """An IP packet of another protocol from the HNB, on its home's link."""
        packet = ipv4(LAN["hnb"], ADDRESSES[peer], protocol, data)
        self.route("home", "hnb", peer, True, packet)
        return self

    def connects(self, server: str = "initial_hms", port: int = 443, hnb: str = "hnb") -> Tcp:
        """A connection that is open."""
        self.count += 1
        return Tcp(self, hnb, server, port, self.count).opened()

    def reaches(self, name: str = HMS, server: str = "initial_hms", hnb: str = "hnb") -> Tcp:
        """Steps 2 and 3, at any HMS."""
        self.asks(name, ADDRESSES[server], hnb=hnb)
        return self.connects(server, hnb=hnb).hello(name)

    def registers(self, hnb: str = "hnb") -> Story:
        """Step 9, without an HNB-GW."""
        self.tell(hnb, "REGISTRATION_START")
        connection = self.reaches(SERVING, "serving_hms", hnb)
        connection.posts(inform()).answers(rpc.InformResponse()).posts().answers().closed()
        return self

    def faults(self, requirement: str) -> list[str]:
        """What the check of a requirement says against this trace."""
        return [each.text for each in self.findings(requirement) if not each.ok]

    def findings(self, requirement: str):
        """All that the check of a requirement says."""
        return list(load_checks()[requirement].function(self.trace))


def good(**parts: str | None) -> Story:
    """A discovery as it should be."""
    story = Story().leased()
    story.reaches().discovered(**parts)
    return story.registers()
