"""Discovery with HMS (initial) on the operator's intranet (TS 32.583, 5.1.1), line by line."""

from __future__ import annotations

from testbed.protocols import sctp
from testbed.scenario import Stage, scenario
from topologies.intranet import hms_on_intranet

STEP_S = 10


@scenario(hms_on_intranet, step_s=STEP_S)
async def discovery_intranet(at: Stage) -> None:
    """The HNB finds its HMS through a tunnel."""
    hnb = at.hnb
    hnb.power_on()
    await at.tells(hnb, "SERVED")
    await at.sees(hnb, "->", at.hnb_gw, sctp.Init)
    await at.tells(hnb, "HNB_GW_CONTACTED")
