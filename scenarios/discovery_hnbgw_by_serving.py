"""Discovery where HMS (serving) names the HNB-GW, in the registration (TS 32.583, 5.1.1 and 5.1.2).

AMB-3G-06: one of the two HMSs must name it; where both do, the later one wins.
"""

from __future__ import annotations

import dataclasses

from scenarios.discovery_intranet import (
    discovered,
    hnbgw_by_serving,
    in_the_south,
    registered,
)
from scenarios.discovery_public import STEP_S, sets
from scenarios.discovery_public import discovered as discovered_in_public
from scenarios.discovery_public import hnbgw_by_serving as public_by_serving
from testbed.protocols import sctp
from testbed.protocols.cwmp import rpc
from testbed.roles.hms_policy import Assignment
from testbed.scenario import Stage, scenario
from topologies.intranet import hms_on_intranet
from topologies.public import SOUTH, SOUTH_HNB_GW, hms_on_internet


@scenario(hms_on_intranet, step_s=STEP_S, hnb_gw=False)
async def discovery_hnbgw_by_serving(at: Stage) -> None:
    """HMS (initial) on the intranet names no HNB-GW: HMS (serving) does."""
    await hnbgw_by_serving(at)


@discovery_hnbgw_by_serving.variant("by_initial", hnb_gw=True)
async def by_initial(at: Stage) -> None:
    """HMS (initial) on the intranet names it: HMS (serving) has nothing to set."""
    at.never(at.hnb, "<-", at.serving_hms, rpc.SetParameterValues)
    at.hnb.power_on()
    await discovered(at, at.hnb, at.serving_segw.node.names[0])
    await registered(at, at.hnb, in_the_south(at))


@discovery_hnbgw_by_serving.variant("both", hnb_gw=True)
async def both(at: Stage) -> None:
    """Both name one, each another: that of HMS (serving) wins, and the HNB says so."""
    hnb, initial = at.hnb, at.initial_hms
    initial.assignments[:] = [
        dataclasses.replace(each, hnb_gw="hnbgw.dead.operator.example")
        for each in initial.assignments
    ]
    at.serving_hms.assignments.append(Assignment("south", SOUTH, hnb_gw=SOUTH_HNB_GW))
    hnb.power_on()
    await discovered(at, hnb, at.serving_segw.node.names[0])
    given = sets(hnb.paths.hnb_gw, SOUTH_HNB_GW)
    await at.sees(hnb, "<-", at.serving_hms, rpc.SetParameterValues, parameters=given)  # 6, note
    await at.tells(hnb, "HNB_GW_OVERRULED", hnb_gw=SOUTH_HNB_GW)
    await at.sees(hnb, "->", at.hnb_gw, sctp.Init)  # 10
    await at.tells(hnb, "HNB_GW_CONTACTED", hnb_gw=SOUTH_HNB_GW)


@discovery_hnbgw_by_serving.variant("public", topology=hms_on_internet, hnb_gw=False)
async def public(at: Stage) -> None:
    """HMS (initial) on the Internet names none: HMS (serving) does."""
    await public_by_serving(at)


@discovery_hnbgw_by_serving.variant("public_by_initial", topology=hms_on_internet)
async def public_by_initial(at: Stage) -> None:
    """HMS (initial) on the Internet names it."""
    at.hnb.power_on()
    await discovered_in_public(at, at.hnb, at.initial_hms, at.serving_segw.node.names[0])
    await at.tells(at.hnb, "SERVED", hnb_gw=SOUTH_HNB_GW)
