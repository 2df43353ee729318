"""Discovery over IPsec where HMS (initial) is HMS (serving) too (TS 32.583, 5.1.1, step 7)."""

from __future__ import annotations

from scenarios.discovery_intranet import (
    connected,
    discovered,
    in_the_south,
    registered,
    resolved_inside,
    stays,
)
from scenarios.discovery_public import STEP_S, informed, sets, told
from testbed.protocols import dns, ike, sctp
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOTSTRAP
from testbed.protocols.http import Response
from testbed.scenario import Stage, scenario
from topologies.intranet import HMS_ALIAS, hms_on_intranet
from topologies.public import SOUTH_HNB_GW


@scenario(hms_on_intranet, step_s=STEP_S, shared_hms=True)
async def discovery_intranet_shared_hms(at: Stage) -> None:
    """The HMS serves too: no release, no tear-down; the HNB registers in session and tunnel."""
    await stays(at)


@discovery_intranet_shared_hms.variant("other_name", shared_hms=True, serving_name=HMS_ALIAS)
async def other_name(at: Stage) -> None:
    """The set URL has another name of the same HMS: its address decides, the HNB stays.

    Its URL has changed, so the HMS is told "0 BOOTSTRAP" once more (TR-069, 3.7.1.5).
    """
    hnb, hms = at.hnb, at.initial_hms
    at.never(hnb, "->", at.segw, ike.Informational, inner=lambda inner: bool(inner))
    url = f"http://{HMS_ALIAS}/acs"
    hnb.power_on()
    await informed(at, hnb, hms)
    await at.sees(hnb, "<-", hms, rpc.SetParameterValues, parameters=sets(hnb.paths.hms_url, url))
    await at.sees(hnb, "->", at.inner_dns, dns.Query, name=HMS_ALIAS)  # who is that?
    await at.sees(hnb, "<-", at.inner_dns, dns.Answer, address=hms.node.address)
    start = at.cursor
    await at.sees(hnb, "->", hms, rpc.SetParameterValuesResponse, status=0)  # 7
    at.cursor = start  # said while it is put on the wire
    await at.tells(hnb, "REGISTRATION_START", hms_url=url)  # 10
    await at.sees(hnb, "<-", hms, Response, status=204)
    start = at.cursor
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(BOOTSTRAP))
    at.cursor = start  # beside that session
    await at.tells(hnb, "HNB_GW_CONTACTED")


@discovery_intranet_shared_hms.variant("hnb_gw_later", shared_hms=True, hnb_gw=False)
async def hnb_gw_later(at: Stage) -> None:
    """The HMS names the HNB-GW as serving HMS: by a second call, in the same session."""
    hnb, hms = at.hnb, at.initial_hms
    named = rpc.ParameterValue(hnb.paths.hnb_gw, SOUTH_HNB_GW)
    answer = hms.call(hnb.label.serial_number, rpc.SetParameterValues((named,), "later"))
    hnb.power_on()
    await connected(at, hnb, at.segw)
    await resolved_inside(at, hnb, at.inner_dns, hms)
    await informed(at, hnb, hms)
    await at.sees(hnb, "<-", hms, rpc.SetParameterValues)  # 6
    await at.tells(hnb, "REGISTRATION_START", hms_url=hms.url)  # 10
    given = sets(hnb.paths.hnb_gw, SOUTH_HNB_GW)
    await at.sees(hnb, "<-", hms, rpc.SetParameterValues, parameters=given)  # 6, note
    await at.tells(hnb, "SERVED", hnb_gw=SOUTH_HNB_GW)
    await at.sees(hnb, "->", at.hnb_gw, sctp.Init)  # 10
    await at.answered(answer)


@discovery_intranet_shared_hms.variant("separate_hms", shared_hms=False)
async def separate_hms(at: Stage) -> None:
    """Another HMS serves: the same HNB releases its session first, and leaves the tunnel."""
    hnb = at.hnb
    hnb.power_on()
    await discovered(at, hnb, at.serving_segw.node.names[0])
    await registered(at, hnb, in_the_south(at))
