"""Discovery over IPsec that fails: variants of the failing scenarios, with a tunnel (5.1.1).

Each stops at its step, nothing later is on the wire (AMB-3G-10), and a later try discovers.
"""

from __future__ import annotations

from typing import Any

from scenarios.discovery_cert_mismatch import begins_with, discovery_cert_mismatch
from scenarios.discovery_dns_failure import SOON, discovery_dns_failure
from scenarios.discovery_intranet import (
    connected,
    discovery_intranet,
    in_the_south,
    not_tunnelled,
    registered,
    resolved_inside,
)
from scenarios.discovery_provisioning_fault import UNKNOWN, discovery_provisioning_fault
from scenarios.discovery_public import discovery_public, informed, is_empty, reads_back, sets, told
from testbed.host import Pause
from testbed.protocols import dns, ike, tls
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOTSTRAP
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.http import Request
from testbed.protocols.wire import Endpoint
from testbed.scenario import Player, Stage
from testbed.topology import Algorithms, Certificate
from topologies.intranet import hms_on_intranet
from topologies.public import SERVING_SEGW

HELD_S = 60.0
"""Longer than anything lasts that goes on meanwhile."""


@discovery_public.variant("other_mode", topology=hms_on_intranet)
async def other_mode(at: Stage) -> None:
    """The same HNB with factory data for the operator's intranet: a tunnel comes first."""
    at.hnb.power_on()
    await connected(at, at.hnb, at.segw)
    await resolved_inside(at, at.hnb, at.inner_dns, at.initial_hms)
    await informed(at, at.hnb, at.initial_hms)
    await at.tells(at.hnb, "REGISTRATION_START")
    await registered(at, at.hnb, in_the_south(at))


# The SeGW's certificate, and the HMS's inside the tunnel.


@discovery_cert_mismatch.variant(
    "segw_wrong_name", topology=hms_on_intranet, certificate=Certificate.WRONG_NAME
)
async def segw_wrong_name(at: Stage) -> None:
    """The SeGW's certificate is for another name, by the right root: no tunnel."""
    await not_tunnelled(at, "name")


@discovery_cert_mismatch.variant(
    "segw_wrong_root", topology=hms_on_intranet, certificate=Certificate.WRONG_ROOT
)
async def segw_wrong_root(at: Stage) -> None:
    """The SeGW's certificate is for the right name, by an unknown root: no tunnel."""
    await not_tunnelled(at, "chain")


@discovery_cert_mismatch.variant(
    "segw_expired", topology=hms_on_intranet, certificate=Certificate.EXPIRED
)
async def segw_expired(at: Stage) -> None:
    """The SeGW's certificate was valid until yesterday: no tunnel."""
    await not_tunnelled(at, "expired")


@discovery_cert_mismatch.variant(
    "segw_not_yet_valid", topology=hms_on_intranet, certificate=Certificate.NOT_YET_VALID
)
async def segw_not_yet_valid(at: Stage) -> None:
    """The SeGW's certificate will be valid from tomorrow on: no tunnel."""
    await not_tunnelled(at, "not yet valid")


@discovery_cert_mismatch.variant("segw_clock_1970", topology=hms_on_intranet, clock="1970")
async def segw_clock_1970(at: Stage) -> None:
    """The HNB has never learnt what the date is: a good SeGW is not yet valid to it; no tunnel."""
    await not_tunnelled(at, "not yet valid")


@discovery_cert_mismatch.variant(
    "segw_common_name_only", topology=hms_on_intranet, certificate=Certificate.COMMON_NAME_ONLY
)
async def segw_common_name_only(at: Stage) -> None:
    """The SeGW's name is its certificate's common name only: no tunnel."""
    await not_tunnelled(at, "name")


@discovery_cert_mismatch.variant(
    "segw_lenient", topology=hms_on_intranet, certificate=Certificate.WRONG_NAME
)
async def segw_lenient(at: Stage) -> None:
    """An HNB that checks only the SeGW's chain (AMB-3G-07, lenient) accepts another name."""
    hnb = at.hnb
    hnb.set_security(verifies_name=False)
    hnb.power_on()
    await at.tells(hnb, "TUNNEL_UP", segw=at.segw.node.names[0])  # 2.3
    await at.sees(hnb, "->", at.initial_hms, rpc.Inform)  # 4
    await at.tells(hnb, "REGISTRATION_START")  # 10


@discovery_cert_mismatch.variant(
    "inside_wrong_name",
    topology=hms_on_intranet,
    scheme="https",
    hms_certificate=Certificate.WRONG_NAME,
)
async def inside_wrong_name(at: Stage) -> None:
    """By https inside the tunnel, HMS (initial) shows a certificate for another name."""
    hnb, hms = at.hnb, at.initial_hms
    at.never(hnb, "->", hms, Request)
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await at.sees(hnb, "->", hms, tls.ClientHello)  # 3
    await at.tells(hnb, "FAILED", step="3", cause=begins_with("name"))


# Algorithms.


@discovery_intranet.variant("other_ike", algorithms=Algorithms.OTHER_IKE)
async def other_ike(at: Stage) -> None:
    """The SeGW has no algorithm for IKE in common with the HNB: IKE_SA_INIT is refused."""
    at.never(at.hnb, "->", at.segw, ike.Auth)
    await not_tunnelled(at, "proposal")
    at.cursor = 0
    await at.sees(at.hnb, "<-", at.segw, ike.SaInit, errors=("NO_PROPOSAL_CHOSEN",))


@discovery_intranet.variant("other_esp", algorithms=Algorithms.OTHER_ESP)
async def other_esp(at: Stage) -> None:
    """Both prove who they are, and have no algorithm for ESP in common: no tunnel."""
    await not_tunnelled(at, "proposal")
    at.cursor = 0
    await at.sees(at.hnb, "<-", at.segw, ike.Auth, errors=("NO_PROPOSAL_CHOSEN",))
    await at.sees(at.hnb, "->", at.segw, ike.Informational)  # the IKE SA alone is of no use


# Names.


async def _segw_unknown(at: Stage, misbehaviour: str) -> None:
    """Steps 1 to 2.1, and no address: no IKE follows."""
    hnb, name = at.hnb, at.segw.node.names[0]
    at.outer_dns.misbehave(name, misbehaviour)
    hnb.set_resolver(timeout_s=0.2, attempts=2)
    at.never(hnb, "->", at.segw, ike.SaInit)
    hnb.power_on()
    await at.tells(hnb, "CONNECTED")  # 1
    await at.sees(hnb, "->", at.outer_dns, dns.Query, name=name)  # 2.1
    await at.tells(hnb, "FAILED", step="2.2")


@discovery_dns_failure.variant("segw_nxdomain", topology=hms_on_intranet)
async def segw_nxdomain(at: Stage) -> None:
    """The operator has not published the name of its SeGW: NXDOMAIN."""
    await _segw_unknown(at, "nxdomain")


@discovery_dns_failure.variant("segw_servfail", topology=hms_on_intranet)
async def segw_servfail(at: Stage) -> None:
    """The outer DNS has a failure of its own: SERVFAIL."""
    await _segw_unknown(at, "servfail")


@discovery_dns_failure.variant("segw_silent", topology=hms_on_intranet)
async def segw_silent(at: Stage) -> None:
    """The outer DNS does not answer: the HNB asks again, then fails."""
    await _segw_unknown(at, "silent")


@discovery_dns_failure.variant("segw_published_late", topology=hms_on_intranet)
async def segw_published_late(at: Stage) -> None:
    """The SeGW's name is published while the HNB waits: its next try discovers."""
    hnb, name = at.hnb, at.segw.node.names[0]
    at.outer_dns.misbehave(name, "nxdomain")
    hnb.set_policy(**SOON)
    hnb.power_on()
    await at.tells(hnb, "FAILED", step="2.2")
    at.outer_dns.zone.behave(name)
    await at.sees(hnb, "<-", at.outer_dns, dns.Answer, address=at.segw.node.address)  # 2.2
    await at.tells(hnb, "REGISTRATION_START")  # 10


async def _hms_unknown(at: Stage, misbehaviour: str) -> None:
    """Steps 1 to 2.4, and no address: no connection follows."""
    hnb, name = at.hnb, at.initial_hms.node.names[0]
    at.inner_dns.misbehave(name, misbehaviour)
    hnb.set_resolver(timeout_s=1.0, attempts=2)  # the outer one is to be heard
    at.never(hnb, "->", at.initial_hms, Request)
    at.never(hnb, "->", at.outer_dns, dns.Query, name=name)
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await at.sees(hnb, "->", at.inner_dns, dns.Query, name=name)  # 2.4
    await at.tells(hnb, "FAILED", step="2.5")


@discovery_dns_failure.variant("inner_nxdomain", topology=hms_on_intranet)
async def inner_nxdomain(at: Stage) -> None:
    """The inner DNS does not know HMS (initial): NXDOMAIN."""
    await _hms_unknown(at, "nxdomain")


@discovery_dns_failure.variant("inner_silent", topology=hms_on_intranet)
async def inner_silent(at: Stage) -> None:
    """The inner DNS does not answer: the HNB asks again, then fails."""
    await _hms_unknown(at, "silent")


@discovery_dns_failure.variant("inner_wrong_address", topology=hms_on_intranet)
async def inner_wrong_address(at: Stage) -> None:
    """The inner DNS gives an address at which nobody is: the HNB fails at step 3."""
    hnb, hms, server = at.hnb, at.initial_hms, at.inner_dns
    zone = server.zone_for(hms.node.names[0])
    zone.remove(hms.node.names[0])
    zone.add(hms.node.names[0], "A", "10.10.0.99")
    hnb.set_policy(connect_within_s=0.5)
    at.never(hnb, "->", hms, Request)
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await at.sees(hnb, "<-", server, dns.Answer, address="10.10.0.99")  # 2.5
    await at.tells(hnb, "FAILED", step="3")


# Provisioning.


def _nobody_serves(at: Stage) -> None:
    """Nothing of step 10 may appear."""
    at.never(at.hnb, "->", at.serving_segw, ike.SaInit)


@discovery_provisioning_fault.variant("intranet", topology=hms_on_intranet)
async def intranet(at: Stage) -> None:
    """Through a tunnel: the HMS sets a parameter that the HNB has not, nothing is applied."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(adds=(UNKNOWN,))
    reading = reads_back(hms, hnb)
    _nobody_serves(at)
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await informed(at, hnb, hms)
    await at.sees(
        *(hnb, "<-", hms, rpc.SetParameterValues), parameters=sets(hnb.paths.segw, SERVING_SEGW)
    )  # 6
    await at.sees(hnb, "->", hms, rpc.Fault, code=9003)  # 7
    unchanged = sets(hnb.paths.hms_url, hms.url)
    await at.sees(hnb, "->", hms, rpc.GetParameterValuesResponse, parameters=unchanged)
    await at.tells(hnb, "FAILED", step="7")
    await at.answered(reading)


@discovery_provisioning_fault.variant("intranet_location_refused", topology=hms_on_intranet)
async def intranet_location_refused(at: Stage) -> None:
    """Through a tunnel: the HMS answers the Inform by a fault, no value is set."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(inform_fault=8002)
    _nobody_serves(at)
    at.never(hnb, "->", hms, Request, body=is_empty)
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    await at.sees(hnb, "<-", hms, rpc.Fault, code=8002)  # 5
    await at.tells(hnb, "FAILED", step="5")


@discovery_provisioning_fault.variant("intranet_no_segw", topology=hms_on_intranet)
async def intranet_no_segw(at: Stage) -> None:
    """Through a tunnel: the HMS sets a serving HMS and no SeGW, half a set is none."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(omits=("segw",))
    _nobody_serves(at)
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await informed(at, hnb, hms)
    await at.sees(hnb, "<-", hms, rpc.SetParameterValues)  # 6
    await at.tells(hnb, "FAILED", step="6")


@discovery_provisioning_fault.variant("intranet_dies_at_inform", topology=hms_on_intranet)
async def intranet_dies_at_inform(at: Stage) -> None:
    """The HMS dies over the Inform; the next try, in the same tunnel, discovers."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(dies_at="Inform")
    hnb.set_policy(**SOON)
    hnb.power_on()
    await connected(at, hnb, at.segw)
    at.never(hnb, "->", at.segw, ike.SaInit)
    await at.tells(hnb, "FAILED", step="5")
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(BOOTSTRAP), retry_count=1)  # 4, again
    await at.tells(hnb, "REGISTRATION_START")  # 10


@discovery_provisioning_fault.variant("intranet_tunnel_deleted", topology=hms_on_intranet)
async def intranet_tunnel_deleted(at: Stage) -> None:
    """The SeGW deletes the tunnel before the serving set is given: half a session is none, and the
    HNB tells the same through a new tunnel."""
    hnb, hms, segw = at.hnb, at.initial_hms, at.segw
    _hold_the_inform(hms)
    hnb.set_policy(**SOON)
    hnb.power_on()
    await connected(at, hnb, segw)
    await at.sees(hnb, "->", hms, rpc.Inform, retry_count=0)  # 4
    await segw.delete_tunnels()
    await at.sees(hnb, "<-", segw, ike.Informational)
    await at.tells(hnb, "TUNNEL_DOWN", cause="deleted")
    await at.sees(hnb, "->", segw, ike.SaInit)  # 2.3, again
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(BOOTSTRAP), retry_count=1)  # 4, again
    await at.sees(hnb, "<-", hms, rpc.SetParameterValues)  # 6
    await at.tells(hnb, "REGISTRATION_START")  # 10


def _hold_the_inform(hms: Player) -> None:
    """Have the HMS take its time over the first Inform, longer than the tunnel lives."""
    held: list[Envelope] = []

    def hold(envelope: Envelope | None, peer: Endpoint) -> list[Any]:
        if held or envelope is None or not isinstance(envelope.message, rpc.InformResponse):
            return [envelope]
        held.append(envelope)
        return [Pause(HELD_S), envelope]

    hms.host.tell("STAGED", holds="InformResponse")
    hms.mend_of("cwmp").message.append(hold)
