"""A CPE of TR-111 Part 2 made up message by message: what its ACS sets, what it tells, its STUN.

hnb - home - gateway (NAT) - internet - initial_hms (its ACS), time_server (its STUN server)
"""

from __future__ import annotations

from discovery_story import ADDRESSES, LAN, MAC, SYN, WAN, Story
from trace_frames import START_NS, ipv4, tcp, udp

from testbed.protocols import dhcp, dns, stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.stun import Attribute, Kind
from testbed.protocols.stun.attributes import address_value
from testbed.protocols.udp_connection_request import build
from testbed.protocols.wire import Endpoint

PRIMARY, SECONDARY, OUTSIDE = 30005, 30006, 31005
SERVER = (ADDRESSES["time_server"], 3478)
CPE_NAME, KEY = "acs-to-cpe", "8f14e45fceea167a5a36dedd4bea2543"
OBJECT = "Device.ManagementServer."
MARK = Attribute(Kind.CONNECTION_REQUEST_BINDING, stun.CONNECTION_REQUEST_BINDING_VALUE)
CHANGE = Attribute(Kind.BINDING_CHANGE, b"")
PERIODIC, VALUE_CHANGE, REQUESTED = "2 PERIODIC", "4 VALUE CHANGE", "6 CONNECTION REQUEST"


def _named(values: dict[str, object]) -> tuple[rpc.ParameterValue, ...]:
    return tuple(rpc.ParameterValue(f"{OBJECT}{name}", str(v)) for name, v in values.items())


class CpeStory(Story):
    """A trace of a CPE, its ACS and its STUN server."""

    def __init__(self) -> None:
        super().__init__(factory=False, certificate=False)
        self.trace.set_roles({"hnb": "hnb", "gateway": "gateway", "initial_hms": "hms"})

    def waits(self, passed_s: float) -> CpeStory:
        """Nothing happens for a time, and then somebody else asks for a name."""
        self.now_ns += int(passed_s * 1e9)
        self.asks("time.example", hnb="hnb2")
        return self

    def session(
        self, *calls: tuple[rpc.Rpc, rpc.Rpc], events: tuple[str, ...] = (PERIODIC,), **told: object
    ) -> CpeStory:
        """A session in which the CPE tells values and answers calls."""
        connection = self.connects()
        device = rpc.DeviceId("Testbed", "00005E", "HNB", "1")
        inform = rpc.Inform(device, tuple(map(rpc.Event, events)), parameters=_named(told))
        connection.posts(inform).answers(rpc.InformResponse()).posts()
        for call, answer in calls:
            connection.answers(call, "2").posts(answer, "2")
        connection.answers().closed()
        return self

    def is_set(self, **values: object) -> CpeStory:
        """The ACS sets parameters of ManagementServer."""
        call = rpc.SetParameterValues(_named(values))
        return self.session((call, rpc.SetParameterValuesResponse()))

    def tells(self, *events: str, **values: object) -> CpeStory:
        """The CPE tells parameters of ManagementServer in an Inform."""
        return self.session(events=events or (PERIODIC,), **values)

    def binds(
        self,
        *attributes: Attribute,
        port: int = PRIMARY,
        outside: int = OUTSIDE,
        sees: tuple[str, int] | None = None,
        answer: stun.Message | None = None,
        number: int | None = None,
        answered: bool = True,
        own: str = LAN["hnb"],
    ) -> CpeStory:
        """A Binding Request through the NAT, and its answer.

        Args:
            attributes: of the request.
            port: the CPE's.
            outside: what the NAT makes of it.
            sees: MAPPED-ADDRESS; None: what the NAT has made of it.
            answer: another one than a Binding Response with that.
            number: of the transaction; None: the next one.
            answered: whether there is an answer.
            own: the CPE's address.
        """
        self.count += 1
        identifier = (number or self.count).to_bytes(16, "big")
        request = stun.BindingRequest(identifier, attributes)
        seen = Endpoint(*(sees or (WAN, outside)))
        mapped = Attribute(Kind.MAPPED_ADDRESS, address_value(seen))
        answer = answer or stun.BindingResponse(identifier, (mapped,))
        ways = [((own, port), "home"), ((WAN, outside), "internet")]
        for from_hnb, message in ((True, request), (False, answer if answered else None)):
            for ours, link in ways if from_hnb else reversed(ways):
                if message is None:
                    continue
                source, destination = (ours, SERVER) if from_hnb else (SERVER, ours)
                data = udp(source, destination, message.encode())
                packet = ipv4(source[0], destination[0], 17, data)
                self.route(link, "hnb", "time_server", from_hnb, packet)
        return self

    def leases(self, address: str) -> CpeStory:
        """The CPE is given that address by DHCP."""
        ack = dhcp.Ack.build(hardware_address=MAC["hnb"], yiaddr=address, siaddr="192.168.1.1")
        source, destination = ("192.168.1.1", 67), (address, 68)
        packet = ipv4(source[0], destination[0], 17, udp(source, destination, ack.encode()))
        self.put("home", "gateway", MAC["gateway"], MAC["hnb"], packet)
        return self

    def sends_from(self, own: str) -> CpeStory:
        """The CPE asks for a name from that address."""
        source, destination = (own, 50000), (ADDRESSES["outer_dns"], 53)
        query = dns.query("time.example", "A", 7).encode()
        packet = ipv4(own, destination[0], 17, udp(source, destination, query))
        self.route("home", "hnb", "outer_dns", True, packet)
        return self

    def is_asked(self, octets: bytes, outside: int = OUTSIDE, source: int = 3478) -> CpeStory:
        """A datagram from the STUN server to the binding, and through the NAT to the CPE."""
        sender = (SERVER[0], source)
        for ours, link in (((WAN, outside), "internet"), ((LAN["hnb"], PRIMARY), "home")):
            packet = ipv4(sender[0], ours[0], 17, udp(sender, ours, octets))
            self.route(link, "hnb", "time_server", False, packet)
        return self

    def is_called(self, port: int, *flags: int) -> CpeStory:
        """The ACS opens a connection to that port; the CPE's segments have these flags."""
        there, here = (ADDRESSES["initial_hms"], 45000), (LAN["hnb"], port)
        opening = tcp(there, here, 1, SYN, b"", 0)
        self.route("home", "hnb", "initial_hms", False, ipv4(there[0], here[0], 6, opening))
        for each in flags:
            answer = ipv4(here[0], there[0], 6, tcp(here, there, 9, each, b"", 2))
            self.route("home", "hnb", "initial_hms", True, answer)
        return self

    def says(self, octets: bytes) -> CpeStory:
        """A datagram from the CPE's primary port to the STUN server."""
        for ours, link in (((LAN["hnb"], PRIMARY), "home"), ((WAN, OUTSIDE), "internet")):
            packet = ipv4(ours[0], SERVER[0], 17, udp(ours, SERVER, octets))
            self.route(link, "hnb", "time_server", True, packet)
        return self

    def keeps_alive(self, times: int, period_s: float) -> CpeStory:
        """Keep-alives at a period, each answered."""
        for _ in range(times):
            self.waits(period_s).binds(MARK)
        return self


def request(ahead_s: int = 0, number: int = 1, cnonce: str = "C", un: str = CPE_NAME) -> bytes:
    """A UDP Connection Request of so many seconds after the story's beginning."""
    made = build(f"{WAN}:{OUTSIDE}", START_NS // 10**9 + ahead_s, number, un, cnonce, KEY)
    return made.encode()


def reachable(**more: object) -> CpeStory:
    """A CPE that has found out its binding, and has name and password."""
    names = {"ConnectionRequestUsername": CPE_NAME, "ConnectionRequestPassword": KEY}
    return switched_on(**names, **more).waits(2)


def switched_on(**more: object) -> CpeStory:
    """A CPE that has found out its binding, and has told it by STUN."""
    values = {"STUNEnable": 1, "STUNServerAddress": SERVER[0], **more}
    return CpeStory().is_set(**values).binds(MARK).binds(MARK, CHANGE)
