"""A CPE finds out by STUN how its NAT maps it (TR-111 Part 2, 2.2.1.1, figure 3)."""

from __future__ import annotations

from scenarios.stun_steps import ADDRESS, PASSWORD, USERNAME, is_notified, quick, reads, says, sets
from testbed.protocols import dns, stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.scenario import Player, Stage, scenario
from topologies.stun import (
    ACS,
    OTHER_PORT,
    STUN,
    acs_with_stun,
    home_numbered_as_its_outside,
    managed_gateway_behind_carrier,
)

STEP_S = 10


async def discovered(at: Stage, cpe: Player | None = None, /, **settings: object) -> None:
    """The ACS switches STUN on; the CPE discovers its binding and tells it by both means."""
    cpe, acs, server = cpe or at.device, at.initial_hms, at.stun_server
    quick(cpe)
    is_notified(at, cpe, ADDRESS)
    sets(at, cpe, STUNEnable=1, PeriodicInformEnable=1, PeriodicInformInterval=1, **settings)
    cpe.power_on()
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    await at.sees(cpe, "->", server, stun.BindingRequest, is_marked=True, is_change=False)  # 1, 2
    await at.sees(cpe, "<-", server, stun.BindingResponse)  # 3, 4
    known = at.cursor
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=True)  # 5
    reading = reads(at, cpe, "NATDetected", ADDRESS, "STUNServerPort")
    await at.sees(cpe, "->", acs, rpc.GetParameterValuesResponse)
    await at.answered(reading)
    at.cursor = known  # either server may be told first
    await at.sees(cpe, "->", acs, rpc.Inform, parameters=says(ADDRESS))  # 5


@scenario(acs_with_stun, step_s=STEP_S)
async def nat_binding_discovery(at: Stage) -> None:
    """The ACS names the STUN server by name and the CPE by a username; nobody is challenged."""
    at.stun_server.set_policy(challenge="none")
    named = {"STUNUsername": USERNAME, "STUNPassword": PASSWORD}
    await discovered(at, STUNServerAddress=STUN, **named)
    at.cursor = 0
    await at.sees(at.device, "->", at.outer_dns, dns.Query, name=STUN)


@nat_binding_discovery.variant("by_address")
async def by_address(at: Stage) -> None:
    """The STUN server is named by its address; the CPE has no username."""
    at.stun_server.set_policy(challenge="none")
    await discovered(at, STUNServerAddress=at.stun_server.node.address)


@nat_binding_discovery.variant("other_port")
async def other_port(at: Stage) -> None:
    """The STUN server listens at another port than STUN's own."""
    at.stun_server.set_policy(challenge="none")
    await discovered(at, STUNServerAddress=STUN, STUNServerPort=OTHER_PORT)


@nat_binding_discovery.variant("one_address", two_addresses=False)
async def one_address(at: Stage) -> None:
    """The STUN server has no second address, and says so by CHANGED-ADDRESS."""
    at.stun_server.set_policy(challenge="none")
    await discovered(at, STUNServerAddress=STUN)


@nat_binding_discovery.variant("port_only", home_numbered_as_its_outside)
async def port_only(at: Stage) -> None:
    """The CPE's own address is its public one too: what is translated is the port alone."""
    at.stun_server.set_policy(challenge="none")
    await discovered(at, STUNServerAddress=STUN)


@nat_binding_discovery.variant("bare_server")
async def bare_server(at: Stage) -> None:
    """The STUN server's responses have MAPPED-ADDRESS and nothing else."""
    server = at.stun_server
    server.set_policy(challenge="none")
    optional = (stun.Kind.SOURCE_ADDRESS, stun.Kind.CHANGED_ADDRESS, stun.Kind.REFLECTED_FROM)

    def bare(message: stun.Message, destination: Endpoint) -> list[stun.Message]:
        kept = [each for each in message.attributes if each.type not in optional]
        return [message.replacing(kept)]

    server.host.tell("STAGED", responses="bare")
    server.mend_of("stun").message.append(bare)
    await discovered(at, STUNServerAddress=STUN)


@nat_binding_discovery.variant("at_the_acs")
async def at_the_acs(at: Stage) -> None:
    """No STUN server is named: it is expected where the ACS is, and there is none."""
    cpe, acs = at.device, at.initial_hms
    acs.host.tell("STAGED", stun_server="none")
    sets(at, cpe, STUNEnable=1, PeriodicInformEnable=1, PeriodicInformInterval=1)
    cpe.power_on()
    at.never(cpe, "->", at.stun_server, stun.BindingRequest)
    await at.sees(cpe, "->", at.outer_dns, dns.Query, name=ACS)
    await at.sees(cpe, "<-", acs, rpc.SetParameterValues, parameters=says("STUNEnable", "1"))
    for _ in range(3):
        await at.sees(cpe, "->", acs, stun.BindingRequest, port=stun.PORT)


@nat_binding_discovery.variant("managed_gateway", managed_gateway_behind_carrier)
async def managed_gateway(at: Stage) -> None:
    """The CPE is the gateway itself, behind its carrier's NAT."""
    at.stun_server.set_policy(challenge="none")
    await discovered(at, at.gateway, STUNServerAddress=STUN)
