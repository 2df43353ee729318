"""Step 1 of both discovery flows (TS 32.583, 5.1.1 and 5.1.2): LAN connectivity to the Internet.

Address, default route and DNS server by DHCP from the home's gateway; then a name of the Internet
resolved through the gateway's NAT.  Timers of the HNB are shortened where a variant waits for them.
"""

from __future__ import annotations

from testbed.protocols import dhcp, dns
from testbed.protocols.wire import BROADCAST, Endpoint
from testbed.scenario import Stage, scenario
from topologies.homes import home_on_internet

IMPATIENT = {"first_timeout_s": 0.2, "longest_timeout_s": 0.4, "jitter_s": 0.0}


async def _leased(at: Stage) -> None:
    """The four messages of a lease."""
    hnb, gateway = at.hnb, at.gateway
    await at.sees(hnb, "->", gateway, dhcp.Discover)  # 1, DISCOVER
    await at.sees(hnb, "<-", gateway, dhcp.Offer)  # 1, OFFER
    await at.sees(hnb, "->", gateway, dhcp.Request)  # 1, REQUEST
    await at.sees(hnb, "<-", gateway, dhcp.Ack)  # 1, ACK


@scenario(home_on_internet, step_s=10)
async def lan_connectivity(at: Stage) -> None:
    """The HNB gets an address from its gateway and resolves a name through the NAT."""
    hnb, outer_dns = at.hnb, at.outer_dns
    hnb.power_on()
    await _leased(at)
    await at.tells(hnb, "CONNECTED")  # 1
    await at.sees(hnb, "->", outer_dns, dns.Query, name=hnb.factory.segw)  # 2.1
    await at.sees(hnb, "<-", outer_dns, dns.Answer, address="203.0.113.50")  # 2.2
    await at.tells(hnb, "RESOLVED", name=hnb.factory.segw)


@lan_connectivity.variant("dns_proxy", dns_proxy=True)
async def dns_proxy(at: Stage) -> None:
    """The gateway names itself as DNS server and forwards."""
    hnb, gateway, outer_dns = at.hnb, at.gateway, at.outer_dns
    hnb.power_on()
    await _leased(at)
    await at.sees(hnb, "->", gateway, dns.Query, name=hnb.factory.segw)  # 2.1, to the proxy
    await at.sees(gateway, "->", outer_dns, dns.Query, name=hnb.factory.segw)
    await at.sees(gateway, "<-", outer_dns, dns.Answer, address="203.0.113.50")
    await at.sees(hnb, "<-", gateway, dns.Answer, address="203.0.113.50")  # 2.2
    await at.tells(hnb, "RESOLVED")


@lan_connectivity.variant("no_lease")
async def no_lease(at: Stage) -> None:
    """No DHCP server answers: the HNB fails at step 1 and nothing later appears."""
    hnb, gateway, outer_dns = at.hnb, at.gateway, at.outer_dns
    gateway.set_dhcp(silent=True)
    hnb.set_dhcp(**IMPATIENT, attempts=3)
    at.never(hnb, "->", outer_dns, dns.Query)
    hnb.power_on()
    await at.sees(hnb, "->", gateway, dhcp.Discover)  # 1, DISCOVER
    await at.sees(hnb, "->", gateway, dhcp.Discover)  # 1, DISCOVER again
    await at.sees(hnb, "->", gateway, dhcp.Discover)  # 1, DISCOVER for the last time
    await at.tells(hnb, "FAILED", step="1")


@lan_connectivity.variant("nak")
async def nak(at: Stage) -> None:
    """The gateway refuses the first request: the HNB begins anew and is connected."""
    hnb, gateway = at.hnb, at.gateway
    gateway.set_dhcp(nak_requests=1)
    hnb.set_dhcp(**IMPATIENT)
    hnb.power_on()
    await at.sees(hnb, "->", gateway, dhcp.Discover)
    await at.sees(hnb, "<-", gateway, dhcp.Offer)
    await at.sees(hnb, "->", gateway, dhcp.Request)
    await at.sees(hnb, "<-", gateway, dhcp.Nak)
    await _leased(at)
    await at.tells(hnb, "RESOLVED")


@lan_connectivity.variant("renewal", lease_s=2)
async def renewal(at: Stage) -> None:
    """A lease of two seconds is renewed at half its time, by unicast, and the address stays."""
    hnb, gateway = at.hnb, at.gateway
    hnb.power_on()
    await _leased(at)
    first = await at.tells(hnb, "RESOLVED")
    leased = hnb.lan.lease.address
    await at.sees(hnb, "->", gateway, dhcp.Request, client_address=leased)  # T1
    await at.sees(hnb, "<-", gateway, dhcp.Ack, address=leased)
    renewed = await at.tells(hnb, "RENEWED", address=leased)
    assert renewed.number > first.number


@lan_connectivity.variant("dns_silent")
async def dns_silent(at: Stage) -> None:
    """The outer DNS does not answer: the HNB asks again, then fails at step 2."""
    hnb, outer_dns = at.hnb, at.outer_dns
    outer_dns.zone.misbehave(hnb.factory.segw, "silent")
    hnb.set_resolver(timeout_s=0.2, attempts=2)
    at.never(hnb, "<-", outer_dns, dns.Answer)
    hnb.power_on()
    await _leased(at)
    await at.sees(hnb, "->", outer_dns, dns.Query, name=hnb.factory.segw)  # 2.1
    await at.sees(hnb, "->", outer_dns, dns.Query, name=hnb.factory.segw)  # 2.1 again
    await at.tells(hnb, "FAILED", step="2")


@lan_connectivity.variant("cable_pulled")
async def cable_pulled(at: Stage) -> None:
    """The cable is pulled and plugged in again: the HNB verifies its address before it uses it."""
    hnb, gateway = at.hnb, at.gateway
    hnb.power_on()
    await _leased(at)
    await at.tells(hnb, "RESOLVED")
    hnb.unplug()
    await at.tells(hnb, "LINK", up=False)
    hnb.plug()
    await at.sees(hnb, "->", gateway, dhcp.Request)  # INIT-REBOOT
    await at.sees(hnb, "<-", gateway, dhcp.Ack)


@lan_connectivity.variant("power_cut")
async def power_cut(at: Stage) -> None:
    """The HNB loses power without a word, and is connected again when power is back."""
    hnb = at.hnb
    hnb.power_on()
    await _leased(at)
    await at.tells(hnb, "RESOLVED")
    at.never(hnb, "->", at.gateway, dhcp.Release)
    hnb.power_off()
    hnb.power_on()
    await at.tells(hnb, "RESOLVED")


@lan_connectivity.variant("malformed", device=True)
async def malformed(at: Stage) -> None:
    """Garbage on the DHCP and DNS ports is recorded, and the next valid request is served."""
    hnb, device, gateway, outer_dns = at.hnb, at.device, at.gateway, at.outer_dns
    device.power_on()
    await at.tells(device, "RESOLVED")
    port = await device.host.datagrams(Endpoint("0.0.0.0", 0), _ignored, broadcast=True)
    for garbage in GARBAGE:
        port.send(garbage, Endpoint(BROADCAST, 67))
        port.send(garbage, Endpoint(outer_dns.node.address, 53))
    await at.tells(gateway, "MALFORMED")
    await at.tells(outer_dns, "MALFORMED")
    hnb.power_on()
    await _leased(at)
    await at.tells(hnb, "RESOLVED")


GARBAGE = (
    b"",
    b"\x00",
    b"\xff" * 12,
    # A DNS name that points at itself.
    bytes.fromhex("123401000001000000000000c00c00010001"),
    # A DNS label that is longer than the message.
    bytes.fromhex("12340100000100000000000000" + "3f61"),
    # A DHCP option that says 200 octets where 2 remain.
    bytes.fromhex("01010600" + "00" * 232 + "63825363" + "35c80101"),
    b"\x01\x01\x06\x00" + b"\xaa" * 1400,
)


def _ignored(data: bytes, source: Endpoint) -> None:
    """Nobody answers garbage; if somebody does, it is in the trace."""
