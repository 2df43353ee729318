"""Discovery over links that misbehave: what a network does to the ladder, and no role's fault."""

from __future__ import annotations

from scenarios.discovery_intranet import IMPATIENT, discovery_intranet
from scenarios.discovery_intranet import discovered as discovered_inside
from scenarios.discovery_public import discovered, discovery_public
from testbed.protocols import ike, tls
from testbed.protocols.cwmp import rpc
from testbed.scenario import Stage
from testbed.topology import Passage, find_nat

PATIENT_S = 60.0
"""How long a step may take where what is lost has to be sent again, some of it more than once."""
LOSSY = {"delay_ms": 20.0, "jitter_ms": 5.0, "loss": 0.02, "duplication": 0.01}
SLOW = {"delay_ms": 150.0, "jitter_ms": 30.0, "rate_kbps": 256.0}
"""A satellite, or a mobile network at its edge."""


@discovery_public.variant("slow_link", links={"internet": SLOW})
async def slow_link(at: Stage) -> None:
    """Each way through the Internet takes 150 ms and more, and 256 kbit/s is all there is."""
    at.step_s = PATIENT_S
    at.hnb.power_on()
    await discovered(at, at.hnb, at.initial_hms, at.serving_segw.node.names[0])
    await at.tells(at.hnb, "SERVED")


@discovery_intranet.variant("lossy", links={"home": LOSSY, "internet": LOSSY})
async def lossy(at: Stage) -> None:
    """Of a hundred frames two are lost and one is doubled, at home and on the Internet."""
    at.step_s = PATIENT_S
    at.hnb.power_on()
    await discovered_inside(at, at.hnb, at.serving_segw.node.names[0])


@discovery_intranet.variant(
    "fragments_dropped",
    # At home a relay copies frames: a kernel that fragments anew what it has just put together
    # writes over what it received, and the capture of a mere wire would show that.
    links={"internet": {"mtu": 800, "fragments": Passage.DROPPED}, "home": {"delay_ms": 1.0}},
    retransmit_s=IMPATIENT,
)
async def fragments_dropped(at: Stage) -> None:
    """A network that drops fragments lets IKE_SA_INIT pass, and IKE_AUTH with its certificate not.

    The HNB asks again, in vain, and says so: no role has done anything wrong.
    """
    hnb, segw = at.hnb, at.segw
    at.never(hnb, "<-", segw, ike.Auth)
    hnb.power_on()
    await at.sees(hnb, "->", segw, ike.SaInit, port=500)  # 2.3
    await at.sees(hnb, "<-", segw, ike.SaInit, source_port=500)  # 2.3
    await at.tells(hnb, "FAILED", step="2.3")


@discovery_public.variant(
    "black_hole",
    nat=find_nat("carrier"),
    links={"access": {"mtu": 800}, "home": {"icmp": Passage.DROPPED}},
)
async def black_hole(at: Stage) -> None:
    """The access link takes packets of 800 octets, and no ICMP tells that to the HNB.

    The handshake fits; the Inform does not, and disappears.
    """
    hnb, hms = at.hnb, at.initial_hms
    hnb.set_policy(answer_within_s=3.0)
    at.never(hnb, "<-", hms, rpc.InformResponse)
    hnb.power_on()
    await at.tells(hnb, "CONNECTED")  # 1
    await at.sees(hnb, "->", hms, tls.ClientHello)  # 3
    await at.sees(hnb, "<-", hms, tls.ServerHello)  # 3
    await at.tells(hnb, "SESSION_FAILED")
