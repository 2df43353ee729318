"""What becomes of the bindings of a kernel's NAT is told as `NatTable` tells it."""

from __future__ import annotations

import threading
from dataclasses import replace
from random import Random

import pytest

from testbed.nat import NatTable
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat, find_nat
from tests.emulation.street import HNB, INSIDES, OUTSIDE, REMOTES, Street
from tests.emulation.wires import Wires, on_wires

pytestmark = pytest.mark.emulation

ONE, OTHER_PORT = REMOTES[0], REMOTES[1]
FIRST = INSIDES[0]
LIFETIME_S = 1.0

Told = list[tuple[str, dict[str, str]]]

BRIEF = [
    replace(find_nat(name), lifetime_s=LIFETIME_S)
    for name in ("eim-eif", "port-restricted", "symmetric-contiguous", "firewall", "pool-paired")
]


def told_of(wires: Wires, inside: Endpoint, outside: Endpoint) -> Told:
    """What the gateway has told of that binding, without the drains' own."""
    return [
        (event, dict(fields))
        for node, event, fields in wires.told
        if node == "gateway"
        and (fields.get("inside") == str(inside) or fields.get("outside") == str(outside))
    ]


async def until_told(wires: Wires, event: str, **wanted: str) -> None:
    """Wait until the gateway has told it."""
    while not any(
        node == "gateway" and found == event and wanted.items() <= fields.items()
        for node, found, fields in wires.told
    ):
        wires.something_told.clear()
        await wires.something_told.wait()


@pytest.mark.parametrize("kind", BRIEF, ids=str)
@on_wires
async def test_a_binding_is_created_confirmed_and_dies_as_in_the_table(
    wires: Wires, kind: Nat
) -> None:
    street = await Street.build(wires, kind, watches=True)
    table = NatTable(kind, OUTSIDE[: kind.addresses], Random(1))
    outside = await street.came(street.send(FIRST, ONE), ONE)
    table.outbound(FIRST, ONE, "udp", 0.0)
    await street.came(street.send(ONE, outside), FIRST)
    table.inbound(ONE, outside, "udp", 0.01)
    await until_told(wires, "BINDING_EXPIRED", inside=str(FIRST))
    table.tick(2 * LIFETIME_S)

    wanted = [(event.happening.value, event.fields()) for event in table.events()]
    for _, fields in wanted:
        fields.pop("remote", None)  # the kernel's maps do not say whose answer it was
    assert told_of(wires, FIRST, outside) == wanted


@pytest.mark.parametrize("kind", ["port-restricted", "firewall"])
@on_wires
async def test_a_packet_that_the_filter_refuses_is_told(wires: Wires, kind: str) -> None:
    street = await Street.build(wires, find_nat(kind), watches=True)
    outside = await street.came(street.send(FIRST, ONE), ONE)
    data = street.send(OTHER_PORT, outside)
    await until_told(wires, "PACKET_REFUSED")
    await street.drained(HNB, OTHER_PORT.address)

    assert street.has(data, FIRST) is None
    assert told_of(wires, FIRST, outside)[-1] == (
        "PACKET_REFUSED",
        {
            "protocol": "udp",
            "outside": str(outside),
            "remote": str(OTHER_PORT),
            "reason": "filtered",
        },
    )


@on_wires
async def test_a_packet_to_a_binding_that_has_died_is_told_as_such(wires: Wires) -> None:
    kind = replace(find_nat("full-cone"), lifetime_s=LIFETIME_S)
    street = await Street.build(wires, kind, watches=True)
    outside = await street.came(street.send(FIRST, ONE), ONE)
    await until_told(wires, "BINDING_EXPIRED", inside=str(FIRST))
    await street.until(street.now() + LIFETIME_S)  # what connection tracking remembers, too
    street.send(ONE, outside)

    await until_told(
        wires, "PACKET_REFUSED", outside=str(outside), remote=str(ONE), reason="no binding"
    )


@pytest.mark.parametrize("port", [500, 4500])
@on_wires
async def test_a_gateway_without_tunnels_listens_on_no_port_of_ike(wires: Wires, port: int) -> None:
    """Else what comes for a dead binding of a tunnel takes the port away from the next one."""
    street = await Street.build(wires, find_nat("port-restricted"), watches=True)
    outside = Endpoint(OUTSIDE[0], port)
    street.send(ONE, outside)

    await until_told(
        wires, "PACKET_REFUSED", outside=str(outside), remote=str(ONE), reason="no binding"
    )


@on_wires
async def test_masquerade_tells_each_flow_with_its_remote(wires: Wires) -> None:
    street = await Street.build(wires, replace(Nat.MASQUERADE, lifetime_s=1.0), watches=True)
    outside = await street.came(street.send(FIRST, ONE), ONE)
    await until_told(wires, "BINDING_EXPIRED", inside=str(FIRST), remote=str(ONE))

    assert [event for event, _ in told_of(wires, FIRST, outside)] == [
        "BINDING_CREATED",
        "BINDING_EXPIRED",
    ]


@on_wires
async def test_a_gateway_that_forgets_tells_each_binding(wires: Wires) -> None:
    street = await Street.build(wires, find_nat("port-restricted"), watches=True)
    outside = await street.came(street.send(FIRST, ONE), ONE)
    street.gateway.rebind()

    assert [event for event, _ in told_of(wires, FIRST, outside)] == [
        "BINDING_CREATED",
        "BINDING_FORGOTTEN",
    ]


@on_wires
async def test_a_rebinding_forgets_a_binding_that_is_in_use(wires: Wires) -> None:
    """A datagram may come at any moment: between new rules and the end of the old flows, too."""
    street = await Street.build(wires, find_nat("rebinding-port"))
    before = await street.came(street.send(FIRST, ONE), ONE)
    done = threading.Event()

    def talk() -> None:
        while not done.wait(0.001):  # not so many that the server's socket runs over
            street.ports[FIRST].send(b"on and on", ONE)

    talking = threading.Thread(target=talk)
    talking.start()
    street.gateway.rebind()
    done.set()
    talking.join()
    after = await street.came(street.send(FIRST, ONE), ONE)

    assert after.port != before.port


@on_wires
async def test_nothing_is_told_where_nobody_asked(wires: Wires) -> None:
    street = await Street.build(wires, find_nat("port-restricted"))
    await street.came(street.send(FIRST, ONE), ONE)
    await street.drained(HNB, ONE.address)

    assert not [event for _, event, _ in wires.told if event.startswith("BINDING")]
