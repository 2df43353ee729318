"""Discovery with HMS (initial) on the public Internet (TS 32.583, 5.1.2), line by line."""

from __future__ import annotations

from testbed.protocols import dns
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Request, Response
from testbed.scenario import Player, Stage, scenario
from topologies.public import hms_on_internet


def is_empty(body: bytes) -> bool:
    """an empty body"""
    return not body.strip()


async def resolved(at: Stage, hnb: Player, hms: Player) -> None:
    """Step 2: the name of HMS (initial) at the outer DNS."""
    name = hms.node.names[0]
    await at.sees(hnb, "->", at.outer_dns, dns.Query, name=name)  # 2
    await at.sees(hnb, "<-", at.outer_dns, dns.Answer, address=hms.node.address)  # 2


@scenario(hms_on_internet, step_s=10)
async def discovery_public(at: Stage) -> None:
    """The HNB finds its HMS by the outer DNS, tells where it is, and is given who serves it."""
    hnb, hms = at.hnb, at.initial_hms
    hnb.power_on()
    await at.tells(hnb, "CONNECTED")  # 1
    await resolved(at, hnb, hms)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    await at.sees(hnb, "<-", hms, rpc.InformResponse)  # 5
    await at.sees(hnb, "->", hms, Request, body=is_empty)  # 6, nothing more to ask
    await at.sees(hnb, "<-", hms, rpc.SetParameterValues)  # 6
    await at.sees(hnb, "->", hms, rpc.SetParameterValuesResponse, status=0)  # 7
    await at.sees(hnb, "<-", hms, Response, status=204)  # 8
    await at.tells(hnb, "REGISTRATION_START")  # 9
    await at.tells(hnb, "SERVED")  # 9
