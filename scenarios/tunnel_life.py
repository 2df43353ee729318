"""A tunnel's life after discovery: dead peers, new keys, NAT keep-alives, other addresses.

Timers are shortened, so that each takes seconds.  Judged as `discovery_intranet`: whatever happens
to the tunnel, discovery and registration keep their rules.
"""

from __future__ import annotations

from scenarios.discovery_intranet import asks_for_session, asks_who_leaves
from scenarios.discovery_public import told
from testbed.protocols import ike
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import CONNECTION_REQUEST, VALUE_CHANGE
from testbed.scenario import Player, Stage, scenario
from topologies.intranet import hms_on_intranet

STEP_S = 20


async def registered(at: Stage) -> tuple[Player, Player, Player]:
    """The HNB with its tunnel to the serving SeGW; it, the SeGW and the HMS."""
    at.hnb.power_on()
    await at.tells(at.hnb, "HNB_GW_CONTACTED")
    return at.hnb, at.serving_segw, at.serving_hms


async def is_reached(at: Stage, hnb: Player, hms: Player) -> None:
    """The tunnel carries: a connection request inside brings a session."""
    status = await asks_for_session(at, hnb, hms)
    assert status == 200, f"the connection request is answered {status}"
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(CONNECTION_REQUEST))


@scenario(
    hms_on_intranet,
    step_s=STEP_S,
    judged_as="discovery_intranet",
    dead_peer_s=1.0,
    retransmit_s=0.2,
)
async def tunnel_life(at: Stage) -> None:
    """The serving SeGW dies without a word and comes back with other inner addresses.

    The HNB notices by dead peer detection, builds another tunnel, tells its new address by
    "4 VALUE CHANGE", and is reached there.
    """
    hnb, segw, hms = await registered(at)
    segw.hang()
    await at.sees(hnb, "->", segw, ike.Informational)  # does it live?
    await at.tells(hnb, "TUNNEL_DOWN", cause="dead")
    segw.set_policy(pool="10.121.0.0/16")
    await segw.restart()
    await at.tells(hnb, "TUNNEL_UP", address="10.121.0.1")
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(VALUE_CHANGE))
    await at.sees(hnb, "<-", hms, rpc.InformResponse)  # from here on it knows the address
    await is_reached(at, hnb, hms)


@tunnel_life.variant("esp_rekey", rekey_s=2.0)
async def esp_rekey(at: Stage) -> None:
    """The ESP keys are changed, and the tunnel carries as before."""
    hnb, segw, hms = await registered(at)
    await at.sees(hnb, "->", segw, ike.CreateChild)
    await at.tells(hnb, "TUNNEL_CHANGED", kind="rekeyed")
    await is_reached(at, hnb, hms)


@tunnel_life.variant("ike_rekey", ike_rekey_s=2.0)
async def ike_rekey(at: Stage) -> None:
    """The IKE keys are changed, and the tunnel carries as before."""
    hnb, segw, hms = await registered(at)
    await at.sees(hnb, "->", segw, ike.CreateChild)
    await at.tells(hnb, "TUNNEL_CHANGED", kind="ike rekeyed")
    await is_reached(at, hnb, hms)


@tunnel_life.variant("nat_keepalive", keepalive_s=1.0)
async def nat_keepalive(at: Stage) -> None:
    """Nothing is said, but an octet a second keeps the NAT's binding: the HNB can be reached."""
    hnb, segw, hms = await registered(at)
    await at.sees(hnb, "->", segw, ike.NatKeepalive, port=4500)
    await at.sees(hnb, "->", segw, ike.NatKeepalive, port=4500)
    await is_reached(at, hnb, hms)


@tunnel_life.variant("reboot")
async def reboot(at: Stage) -> None:
    """The HNB reboots: it leaves its tunnel in order, and builds another one."""
    hnb, segw, hms = await registered(at)
    answer = hms.call(hnb.label.serial_number, rpc.Reboot("night"))
    await asks_who_leaves(at, hnb, hms)
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(CONNECTION_REQUEST))
    await at.tells(hnb, "REBOOT")
    await at.tells(segw, "TUNNEL_DOWN", cause="deleted")
    await at.tells(hnb, "TUNNEL_UP")
    await at.sees(hnb, "->", hms, rpc.Inform, events=told("M Reboot"))
    await at.answered(answer)


@tunnel_life.variant("moved")
async def moved(at: Stage) -> None:
    """The HNB gets another address at home: MOBIKE moves the tunnel, the inner address stays."""
    hnb, _, hms = await registered(at)
    hnb.unplug()
    await at.tells(hnb, "LINK", up=False)
    at.gateway.set_dhcp(pool=("192.168.1.150",))
    hnb.plug()
    await at.tells(hnb, "CONNECTED", address="192.168.1.150")
    await at.tells(hnb, "TUNNEL_CHANGED", kind="moved")
    await is_reached(at, hnb, hms)
