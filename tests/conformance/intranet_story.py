"""A discovery over IPsec made up message by message, as a trace.

hnb - home - gateway (NAT) - internet - outer_dns, segw, serving_segw; behind segw, seen on the
link "ipsec": inner_dns, initial_hms.
"""

from __future__ import annotations

from dataclasses import replace

from discovery_story import ADDRESSES, HMS, MAC, ROOT, SEGW, Story, Tcp, inform
from trace_frames import ipv4, tcp, udp

from testbed.protocols import dns, ike
from testbed.protocols.cwmp import rpc
from testbed.protocols.ike import names
from testbed.protocols.ike.keys import IkeKeys
from testbed.protocols.ike.message import FROM_INITIATOR, RESPONSE, IkeMessage
from testbed.protocols.ike.opening import seal
from testbed.protocols.ike.parts import ConfigurationAttribute
from testbed.protocols.ike.payloads import (
    Configuration,
    Delete,
    Identification,
    Nonce,
    Notify,
    Payload,
)
from testbed.protocols.ike.port_4500 import EspPacket
from testbed.trace.dissect import RAW_IP
from testbed.trace.opened import INSIDE
from testbed.trace.record import Frame

INITIAL_SEGW = "segw.operator.example"
OWN = "10.110.0.1"
BEHIND = {"inner_dns": "10.10.0.53", "initial_hms": "10.10.0.20"}
REFUSED = Notify(24)
"""AUTHENTICATION_FAILED."""


class Inner(Tcp):
    """One connection of the HNB, through the tunnel."""

    def __init__(self, story: IntranetStory, server: str, port: int, number: int) -> None:
        super().__init__(story, "hnb", server, port, number)
        self.here = self.outside = (story.own, 40000 + number)
        self.there = (BEHIND.get(server, server), port)

    def segment(self, from_hnb: bool, flags: int, payload: bytes = b"") -> None:
        sequence, ack = self.sent[from_hnb], self.sent[not from_hnb]
        self.sent[from_hnb] += len(payload) + bool(flags & 3)
        ends = (self.here, self.there) if from_hnb else (self.there, self.here)
        data = tcp(*ends, sequence, flags, payload, ack)
        self.story.inside(from_hnb, ipv4(ends[0][0], ends[1][0], 6, data))


class IntranetStory(Story):
    """A trace of an HNB with a Security Gateway in its factory data."""

    own = OWN
    """The source of what the HNB sends inside."""

    def __init__(self, **told: object) -> None:
        known = {"segw": INITIAL_SEGW, "hms_url": f"http://{HMS}/acs", "certificate": False}
        super().__init__(**{**known, **told})
        behind = {(name, "eth1"): address for name, address in BEHIND.items()}
        self.trace.addresses.set_static(behind)
        self.shows()

    def shows(self, *shown: str, issuer: str = ROOT, is_meant: bool = False) -> IntranetStory:
        """What the SeGW says that it shows."""
        names_told = list(shown or (INITIAL_SEGW,))
        told = {"names": names_told, "issuer_key": issuer, "is_meant": is_meant}
        self.tell("segw", "CERTIFICATE", **told)
        return self

    # IKE

    def ike(
        self,
        segw: str,
        exchange: int,
        number: int,
        *answer: Payload,
        request: tuple[Payload, ...] = (),
        is_answered: bool = True,
        tunnel: int = 1,
    ) -> IntranetStory:
        """A request of the HNB and its answer; all but IKE_SA_INIT is encrypted, and opened."""
        spis = tunnel.to_bytes(8, "big"), (100 + tunnel).to_bytes(8, "big")
        keys = IkeKeys(*spis, "AES_GCM_16", "", bytes(20), bytes(20))
        self.trace.add_ike_keys(keys)
        said = []
        for flags, payloads in ((FROM_INITIATOR, request), (RESPONSE, answer)):
            message = IkeMessage(*spis, exchange, number, flags)
            if exchange == names.IKE_SA_INIT:
                message = replace(message, payloads=(*payloads, Nonce(bytes(32))))
            else:
                message = seal(replace(message, is_marked=True), payloads, keys, bytes(8))
            said.append(message.encode())
        port = ike.PORT if exchange == names.IKE_SA_INIT else ike.NAT_PORT
        self.datagram(segw, port, said[0], said[1] if is_answered else None)
        return self

    def tunnels(
        self,
        segw: str = "segw",
        *more: Payload,
        idr: str = INITIAL_SEGW,
        address: str | None = OWN,
        tunnel: int = 1,
    ) -> IntranetStory:
        """Step 2.3, up to the SeGW's IKE_AUTH; and what the HNB says of it."""
        self.ike(segw, names.IKE_SA_INIT, 0, tunnel=tunnel)
        answer: list[Payload] = [Identification(False, names.ID_FQDN, idr.encode()), *more]
        if address is not None:
            octets = bytes(map(int, address.split(".")))
            attribute = ConfigurationAttribute(names.INTERNAL_IP4_ADDRESS, octets)
            answer.append(Configuration(names.CFG_REPLY, (attribute,)))
        self.ike(segw, names.IKE_AUTH, 1, *answer, tunnel=tunnel)
        told = {"interface": "ipsec0", "address": address, "link": INSIDE}
        if address is not None and not more:
            self.tell("hnb", "ADDRESS", **told, peer=ADDRESSES[segw])
        return self

    def uses(self, segw: str = "segw") -> IntranetStory:
        """An ESP packet, outside."""
        self.datagram(segw, ike.NAT_PORT, EspPacket(7, 1, bytes(32)).encode())
        return self

    def deletes(self, segw: str = "segw", tunnel: int = 1) -> IntranetStory:
        """Step 9."""
        ended = Delete(names.IKE_PROTOCOL, 0)
        return self.ike(segw, names.INFORMATIONAL, 2, request=(ended,), tunnel=tunnel)

    # Inside

    def inside(self, from_hnb: bool, packet: bytes) -> None:
        """A packet on the tunnel's inside."""
        node = "hnb" if from_hnb else "segw"
        self.trace.add_frame(Frame(self.tick(), INSIDE, node, "ipsec0", packet, RAW_IP))

    def asks_inside(
        self, name: str = HMS, *addresses: str, code: str = "NOERROR", server: str = ""
    ) -> IntranetStory:
        """A query through the tunnel, and its answer."""
        self.count += 1
        query = dns.query(name, "A", self.count)
        answer = dns.answer(query, [dns.record(name, "A", each) for each in addresses], code)
        here, there = (self.own, 50000 + self.count), (server or BEHIND["inner_dns"], 53)
        for from_hnb, payload in ((True, query.encode()), (False, answer.encode())):
            ends = (here, there) if from_hnb else (there, here)
            self.inside(from_hnb, ipv4(ends[0][0], ends[1][0], 17, udp(*ends, payload)))
        return self

    def connects_inside(self, server: str = "initial_hms", port: int = 80) -> Inner:
        """A connection through the tunnel that is open."""
        self.count += 1
        connection = Inner(self, server, port, self.count)
        connection.opened()
        return connection

    def opened_by_hms(self) -> IntranetStory:
        """A SYN of HMS (initial) to the HNB, on its own link and inside."""
        ends = (BEHIND["initial_hms"], 40999), (OWN, 7547)
        packet = ipv4(ends[0][0], ends[1][0], 6, tcp(*ends, 1, 2))
        self.put("internet", "initial_hms", MAC["initial_hms"], MAC["segw"], packet)
        self.inside(False, packet)
        return self

    # Steps in a row

    def named(self) -> IntranetStory:
        """Steps 1 to 2.2."""
        self.leased()
        self.asks(INITIAL_SEGW, ADDRESSES["segw"])
        return self

    def reached(self) -> IntranetStory:
        """Steps 1 to 2.5."""
        return self.named().tunnels().uses().asks_inside(HMS, BEHIND["initial_hms"])

    def discovered(self, **parts: str | None) -> IntranetStory:
        """Steps 1 to 8."""
        self.reached().connects_inside().discovered(**parts)
        return self

    def begins(self) -> IntranetStory:
        """Step 10, as far as the first contact."""
        self.tell("hnb", "REGISTRATION_START")
        self.asks(SEGW, ADDRESSES["serving_segw"])
        return self.ike("serving_segw", names.IKE_SA_INIT, 0, tunnel=9)

    def informs(self) -> Inner:
        """Steps 1 to 5, in a connection that is open."""
        connection = self.reached().connects_inside()
        connection.posts(inform()).answers(rpc.InformResponse()).posts()
        return connection


def good(**parts: str | None) -> IntranetStory:
    """A discovery as it should be."""
    return IntranetStory().discovered(**parts).deletes().begins()
