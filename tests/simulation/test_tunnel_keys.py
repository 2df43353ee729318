"""A modelled tunnel goes on while its keys are changed, by whichever end is first."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from scenarios.discovery_intranet import asks_for_session
from scenarios.tunnel_life import registered
from testbed.errors import PeerError
from testbed.protocols import ike
from testbed.protocols.wire import Endpoint
from testbed.scenario import Scenario, Stage
from testbed.simulate import Simulated, simulate
from topologies.intranet import hms_on_intranet

ROUNDS = 8
TOO_OFTEN = 503
"""An answer, too: the tunnel carries."""


def played(
    esp_s: float, ike_s: float, seed: str = "1", least: int = ROUNDS, **links: str
) -> Simulated:
    """The HNB is asked for a session every three seconds, and answers so often at least."""

    async def asks_now_and_then(at: Stage) -> None:
        hnb, _, hms = await registered(at)
        answers = 0
        for _ in range(ROUNDS):
            await asyncio.sleep(3.0)
            with suppress(OSError, PeerError):
                answers += await asks_for_session(at, hnb, hms) in (200, TOO_OFTEN)
        assert answers >= least
        assert hnb.secure.is_up

    scene = Scenario("keys", hms_on_intranet, 600, "discovery_intranet")
    life = {"rekey_s": esp_s, "ike_rekey_s": ike_s, "retransmit_s": 0.2}
    scene.variant("", **life)(asks_now_and_then)
    settings = {f"link.home.{quality}": value for quality, value in links.items()}
    return simulate(scene, seed=seed, settings=settings)


def asked(result: Simulated) -> list[tuple[str, str]]:
    """Who has asked for new keys, and of what."""
    return [
        (arrow.origin, "ike" if arrow.message.proposals[0].protocol == 1 else "esp")
        for arrow in result.trace.arrows
        if isinstance(arrow.message, ike.CreateChild) and not arrow.message.is_response
    ]


@pytest.mark.parametrize("kind", ["esp", "ike"])
def test_the_ends_take_turns_as_each_has_its_keys_first(kind: str) -> None:
    result = played(2.0 if kind == "esp" else 0.0, 2.0 if kind == "ike" else 0.0)

    assert result.is_completed, result.missed
    assert asked(result)[:4] == [("serving_segw", kind), ("hnb", kind)] * 2


def test_both_kinds_of_keys_are_changed_side_by_side() -> None:
    result = played(2.0, 3.0)

    assert result.is_completed, result.missed
    assert set(asked(result)) == {
        (node, kind) for node in ("serving_segw", "hnb") for kind in ("esp", "ike")
    }


@pytest.mark.parametrize("seed", "123456")
def test_it_survives_a_bad_link(seed: str) -> None:
    result = played(1.0, 1.5, seed=seed, least=ROUNDS // 2, loss="0.1", delay_ms="30")

    assert result.is_completed, result.missed


def test_it_survives_both_ends_asking_at_once() -> None:
    """The way takes longer than one end waits for the other."""
    result = played(2.0, 0.0, least=ROUNDS // 2, delay_ms="400")

    assert result.is_completed, result.missed
    assert len(asked(result)) > 2


def test_what_is_under_way_while_esp_keys_are_changed_arrives() -> None:
    """Nothing is said twice here: what one key seals and another one opens would be missing."""
    words, port = [str(number).encode() for number in range(400)], 9000
    heard: dict[str, list[bytes]] = {"hnb": [], "hms": []}

    async def both_talk(at: Stage) -> None:
        hnb, _, hms = await registered(at)
        tunnel = hnb.secure.tunnel
        here, there = Endpoint(tunnel.address, port), Endpoint(hms.node.address, port)
        inside = await tunnel.inside.datagrams(here, lambda data, _: heard["hnb"].append(data))
        behind = await hms.host.datagrams(there, lambda data, _: heard["hms"].append(data))
        for word in words:
            inside.send(word, there)
            behind.send(word, here)
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)

    scene = Scenario("talk", hms_on_intranet, 60, "discovery_intranet")
    scene.variant("", rekey_s=1.0)(both_talk)
    result = simulate(scene, settings={"link.home.delay_ms": "50"})

    assert result.is_completed, result.missed
    assert {origin for origin, _ in asked(result)} == {"hnb", "serving_segw"}
    assert heard == {"hnb": words, "hms": words}
