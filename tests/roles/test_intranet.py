"""Discovery through a tunnel and the start of registration, on fake hosts."""

from __future__ import annotations

import asyncio

from testbed.protocols import sctp
from testbed.protocols.wire import Endpoint
from testbed.roles.hms_policy import Assignment
from tests.roles.intranet_scene import (
    DEAD_HNB_GW,
    DEAD_SEGW,
    HMS_URL,
    HNB_GW,
    SEGW,
    SERVING_SEGW,
    SERVING_URL,
    IntranetScene,
    identity,
)
from tests.virtual_time import virtual_time

LADDER = (
    *("TUNNEL_UP", "DISCOVERED", "TUNNEL_DOWN", "REGISTRATION_START", "SERVED"),
    "HNB_GW_CONTACTED",
)


@virtual_time
async def test_discovery_leads_through_both_tunnels_to_the_hnb_gw() -> None:
    scene = await IntranetScene().start()

    await scene.boot()
    await scene.until("HNB_GW_CONTACTED")

    told = ["TUNNEL_UP", "DISCOVERED", "TUNNEL_DOWN", "REGISTRATION_START", "TUNNEL_UP", "SERVED"]
    assert scene.names(*LADDER) == [*told, "HNB_GW_CONTACTED"]
    assert [each["segw"] for each in scene.told("hnb", "TUNNEL_UP")] == [SEGW, SERVING_SEGW]


@virtual_time
async def test_the_hms_sees_the_inner_address_alone() -> None:
    scene = await IntranetScene().start()

    await scene.boot()
    await scene.until("SERVED")

    assert scene.hms.devices["HNB"].line_address == "10.110.0.1"
    assert scene.serving_hms.devices["HNB"].line_address == "10.120.0.1"


@virtual_time
async def test_a_connection_request_reaches_the_inner_address() -> None:
    scene = await IntranetScene().start()
    await scene.boot()
    await scene.until("HNB_GW_CONTACTED")

    names = ("ConnectionRequestUsername", "ConnectionRequestPassword")
    credentials = (scene.hnb.cpe.setting(name) for name in names)
    status = await scene.serving_hms.request_connection("HNB", *credentials)

    assert status == 200
    url = scene.serving_hms.devices["HNB"].connection_request_url
    assert url is not None
    assert url.startswith("http://10.120.0.1:7547/")


@virtual_time
async def test_nobody_listens_for_connection_requests_outside() -> None:
    scene = await IntranetScene().start()
    await scene.boot()
    await scene.until("HNB_GW_CONTACTED")

    assert scene.network.hosts["hnb"].listeners == []


@virtual_time
async def test_a_segw_of_another_name_gets_no_tunnel() -> None:
    scene = IntranetScene()
    scene.segw.set_policy(identity=identity("other.example"))
    await scene.start()

    await scene.boot()
    failed = await scene.until("FAILED")

    assert failed["step"] == "2.3"
    assert failed["cause"].startswith("name: ")
    assert scene.hms.devices == {}


@virtual_time
async def test_a_lenient_hnb_takes_a_segw_of_another_name() -> None:
    scene = IntranetScene()
    scene.segw.set_policy(identity=identity("other.example"))
    scene.hnb.set_security(verifies_name=False)
    await scene.start()

    await scene.boot()

    assert (await scene.until("TUNNEL_UP"))["segw"] == SEGW


@virtual_time
async def test_a_segw_of_another_root_gets_no_tunnel() -> None:
    scene = IntranetScene()
    scene.segw.set_policy(identity=identity(SEGW, b"somebody else's root"))
    await scene.start()

    await scene.boot()

    assert (await scene.until("TUNNEL_REFUSED"))["cause"] == "chain"


@virtual_time
async def test_a_segw_name_that_is_not_known_fails_at_step_2_2_and_is_asked_for_again() -> None:
    scene = await IntranetScene().start()
    scene.outer_dns.misbehave(SEGW, "nxdomain")

    await scene.boot()
    failed = await scene.until("FAILED")
    scene.outer_dns.zone.behave(SEGW)
    await scene.until("HNB_GW_CONTACTED")

    assert failed["step"] == "2.2"


@virtual_time
async def test_an_hms_name_that_is_not_known_inside_fails_at_step_2_5() -> None:
    scene = await IntranetScene().start()
    scene.inner_dns.misbehave("hms.core.example", "nxdomain")

    await scene.boot()

    assert (await scene.until("FAILED"))["step"] == "2.5"


@virtual_time
async def test_an_hms_that_serves_too_is_registered_with_in_its_session() -> None:
    given = Assignment("here", segw=SEGW, hms_url=HMS_URL, hnb_gw=HNB_GW)
    scene = await IntranetScene(given).start()

    await scene.boot()
    await scene.until("HNB_GW_CONTACTED")

    told = ["TUNNEL_UP", "DISCOVERED", "REGISTRATION_START", "SERVED", "HNB_GW_CONTACTED"]
    assert scene.names(*LADDER) == told
    assert scene.hms.sessions_ended == 1


@virtual_time
async def test_the_second_segw_and_the_second_hnb_gw_are_tried_in_turn() -> None:
    given = Assignment(
        *("south", Assignment("x").area, DEAD_SEGW, SERVING_URL, DEAD_HNB_GW),
        more_segws=(SERVING_SEGW,),
        more_hnb_gws=(HNB_GW,),
    )
    scene = IntranetScene(given)
    scene.serving_hms.assignments.clear()
    await scene.start()

    await scene.boot()
    contacted = await scene.until("HNB_GW_CONTACTED")

    assert [each["segw"] for each in scene.told("hnb", "TUNNEL_REFUSED")] == [DEAD_SEGW]
    assert contacted["hnb_gw"] == HNB_GW


@virtual_time
async def test_the_hnb_gw_of_the_serving_hms_wins() -> None:
    given = Assignment("south", segw=SERVING_SEGW, hms_url=SERVING_URL, hnb_gw=DEAD_HNB_GW)
    scene = await IntranetScene(given).start()

    await scene.boot()
    contacted = await scene.until("HNB_GW_CONTACTED")

    assert contacted["hnb_gw"] == HNB_GW
    assert scene.told("hnb", "HNB_GW_OVERRULED") == [{"was": DEAD_HNB_GW, "hnb_gw": HNB_GW}]


@virtual_time
async def test_a_dead_serving_side_is_forgotten_and_discovery_begins_again() -> None:
    given = Assignment("south", segw=DEAD_SEGW, hms_url=SERVING_URL)
    scene = await IntranetScene(given).start()

    await scene.boot()
    await scene.until("DISCOVERY_AGAIN")

    assert [each["step"] for each in scene.told("hnb", "FAILED")] == ["10", "10", "10"]
    assert scene.hnb.serving_segw == ""
    assert scene.hnb.hms_url == HMS_URL
    scene.hms.assignments[:] = [Assignment("new", segw=SERVING_SEGW, hms_url=SERVING_URL)]
    await scene.until("HNB_GW_CONTACTED")


@virtual_time
async def test_a_silent_hnb_gw_is_knocked_at_again_and_then_given_up() -> None:
    scene = await IntranetScene().start()
    scene.hnb_gw.is_silent = True
    scene.hnb.set_registration(tries=2)

    await scene.boot()
    await scene.until("DISCOVERY_AGAIN")

    assert len(scene.told("hnb_gw", "CONTACTED")) == 6  # two rounds of three INITs


@virtual_time
async def test_a_new_inner_address_is_told_as_value_change() -> None:
    scene = await IntranetScene().start()
    await scene.boot()
    await scene.until("HNB_GW_CONTACTED")

    scene.serving_segw.set_policy(pool="10.121.0.0/16")
    scene.serving_segw.stop()
    await scene.serving_segw.host.accept_tunnels(
        scene.serving_segw.policy, scene.serving_segw._changed
    )
    await scene.until("HNB_GW_CONTACTED", times=2)

    last = scene.serving_hms.devices["HNB"].inform
    assert "4 VALUE CHANGE" in [event.code for event in last.events]
    url = scene.serving_hms.devices["HNB"].connection_request_url
    assert url is not None
    assert "//10.121.0.1:" in url


@virtual_time
async def test_a_tunnel_that_is_kept_stays_beside_the_second() -> None:
    scene = await IntranetScene(leaves_tunnel=False).start()

    await scene.boot()
    await scene.until("HNB_GW_CONTACTED")

    assert [*scene.segw.tunnels.values()] == ["10.110.0.1"]
    assert [*scene.serving_segw.tunnels.values()] == ["10.120.0.1"]


@virtual_time
async def test_a_factory_reset_leaves_the_tunnel_and_discovers_again() -> None:
    scene = await IntranetScene().start()
    await scene.boot()
    await scene.until("HNB_GW_CONTACTED")

    await scene.hnb.leave()
    scene.hnb.is_discovered = False
    scene.hnb.cpe.reset()

    assert scene.hnb.hms_url == HMS_URL
    assert not scene.hnb.secure.is_up


@virtual_time
async def test_an_entity_is_an_address_and_a_port() -> None:
    """AMB-3G-03: what a name resolves to decides, not its text."""
    scene = await IntranetScene(leaves_tunnel=False).start()
    scene.inner_dns.zone.add("alias.example", "A", "10.10.0.20")
    await scene.boot()
    await scene.until("TUNNEL_UP")
    here, there = Endpoint("10.10.0.20", 80), Endpoint("10.10.0.21", 80)
    is_same = scene.hnb.is_same_entity

    assert await is_same("http://alias.example/a", here)
    assert await is_same(HMS_URL, here)
    assert not await is_same(HMS_URL, there)
    assert not await is_same("https://alias.example/a", here)
    assert not await is_same("http://unknown.example/a", here)
    assert not await is_same("nonsense", here)


@virtual_time
async def test_an_hnb_gw_answers_an_init_and_nothing_else() -> None:
    scene = await IntranetScene().start()
    stranger, _ = scene._node("stranger", scene.home.at(11))
    answers: list[bytes] = []
    port = await stranger.raw(132, lambda data, source: answers.append(data))

    port.send(b"no SCTP", Endpoint("10.20.0.60", 0))
    port.send(sctp.init(1, 29169, 7, 8).encode(), Endpoint("10.20.0.60", 0))
    await asyncio.sleep(1)

    (answer,) = map(sctp.decode, answers)
    assert isinstance(answer, sctp.InitAck)
    assert answer.verification_tag == 7
    assert scene.told("hnb_gw", "MALFORMED")[0]["protocol"] == "SCTP"
