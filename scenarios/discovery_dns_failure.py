"""Discovery over the public Internet where the outer DNS does not give the HMS (5.1.2, step 2).

The HNB fails at step 2, and no connection follows (AMB-3G-10).  Its patience is shortened.
"""

from __future__ import annotations

from scenarios.discovery_public import STEP_S
from testbed.protocols import dns, tls
from testbed.scenario import Stage, scenario
from topologies.public import hms_on_internet

SOON = {"retry_minimum_s": 0.2, "retry_multiplier": 1000}


async def _fails(at: Stage, misbehaviour: str) -> None:
    """Steps 1 and 2, which fails; nothing later is on the wire."""
    hnb, name = at.hnb, at.initial_hms.node.names[0]
    at.outer_dns.misbehave(name, misbehaviour)
    hnb.set_resolver(timeout_s=0.2, attempts=2)
    for hms in at.all("hms"):
        at.never(hnb, "->", hms, tls.ClientHello)
    hnb.power_on()
    await at.tells(hnb, "CONNECTED")  # 1
    await at.sees(hnb, "->", at.outer_dns, dns.Query, name=name)  # 2


@scenario(hms_on_internet, step_s=STEP_S)
async def discovery_dns_failure(at: Stage) -> None:
    """The operator has not published the name of its HMS: NXDOMAIN."""
    await _fails(at, "nxdomain")
    await at.sees(at.hnb, "<-", at.outer_dns, dns.Answer, code="NXDOMAIN")  # 2
    await at.tells(at.hnb, "FAILED", step="2")


@discovery_dns_failure.variant("servfail")
async def servfail(at: Stage) -> None:
    """The outer DNS has a failure of its own: SERVFAIL."""
    await _fails(at, "servfail")
    await at.sees(at.hnb, "<-", at.outer_dns, dns.Answer, code="SERVFAIL")  # 2
    await at.tells(at.hnb, "FAILED", step="2")


@discovery_dns_failure.variant("silent")
async def silent(at: Stage) -> None:
    """The outer DNS does not answer: the HNB asks again, then fails."""
    name = at.initial_hms.node.names[0]
    await _fails(at, "silent")
    at.never(at.hnb, "<-", at.outer_dns, dns.Answer)
    await at.sees(at.hnb, "->", at.outer_dns, dns.Query, name=name)  # 2, again
    await at.tells(at.hnb, "FAILED", step="2")


@discovery_dns_failure.variant("malformed")
async def malformed(at: Stage) -> None:
    """The outer DNS answers what cannot be decoded: no address comes out of it."""
    await _fails(at, "malformed")
    await at.tells(at.hnb, "MALFORMED")
    await at.tells(at.hnb, "FAILED", step="2")


@discovery_dns_failure.variant("published_late")
async def published_late(at: Stage) -> None:
    """The name is published while the HNB waits: its next try discovers."""
    hnb, name = at.hnb, at.initial_hms.node.names[0]
    at.outer_dns.misbehave(name, "nxdomain")
    hnb.set_policy(**SOON)
    hnb.power_on()
    await at.tells(hnb, "FAILED", step="2")
    at.outer_dns.zone.behave(name)
    await at.sees(hnb, "<-", at.outer_dns, dns.Answer, address=at.initial_hms.node.address)  # 2
    await at.tells(hnb, "REGISTRATION_START")  # 9
