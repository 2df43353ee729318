"""The kernel's NAT is what its kind says, and what `NatTable` says, packet for packet."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from testbed.protocols.wire import Endpoint
from testbed.topology import (
    KINDS,
    Dependence,
    Nat,
    Ports,
    Rebinding,
    Refresh,
    find_nat,
)
from tests.emulation.street import HNB, INSIDES, REMOTES, Street, Twin
from tests.emulation.wires import Wires, on_wires
from tests.test_nat import NINE

pytestmark = pytest.mark.emulation

TRANSLATING = [
    each
    for each in KINDS.values()
    if each.filtering is not None and each.carrier is None and each.rebinding is Rebinding.NEVER
]


@pytest.mark.parametrize(("kind", "maps", "filters"), NINE)
@on_wires
async def test_each_of_the_nine_kinds_maps_and_filters_in_the_kernel_as_its_name_says(
    wires: Wires, kind: str, maps: tuple[bool, ...], filters: tuple[bool, ...]
) -> None:
    street = await Street.build(wires, find_nat(kind))
    hnb, one = INSIDES[0], REMOTES[0]
    outside = await street.came(street.send(hnb, one), one)

    let_in = []
    for remote in REMOTES:
        data = street.send(remote, outside)
        await street.drained(HNB, remote.address)
        let_in.append(street.has(data, hnb) == remote)
    again = await street.came(street.send(INSIDES[1], one), one)
    same = [
        await street.came(street.send(INSIDES[1], remote), remote) == again
        for remote in REMOTES[1:]
    ]

    assert tuple(let_in) == filters
    assert tuple(same) == maps


@pytest.mark.parametrize("kind", TRANSLATING, ids=str)
@pytest.mark.parametrize("seed", [1, 2])
@on_wires
async def test_kernel_and_table_agree_on_every_packet(wires: Wires, kind: Nat, seed: int) -> None:
    """Packets to and fro at random, close together."""
    street = await Street.build(wires, kind)
    twin = Twin(street, kind)
    await play(twin, Random(seed), packets=30, pauses_s=(0.0,))

    assert not twin.differences, "\n".join(twin.differences)


async def play(twin: Twin, random: Random, packets: int, pauses_s: tuple[float, ...]) -> None:
    last: dict[Endpoint, Endpoint] = {}
    for _ in range(packets):
        await twin.street.until(twin.street.now() + random.choice(pauses_s))
        inside, remote = random.choice(INSIDES), random.choice(REMOTES)
        if inside in last and random.random() < 0.5:
            await twin.inbound(remote, last[inside])
        else:
            seen = await twin.outbound(inside, remote)
            if seen is not None:
                last[inside] = seen


@on_wires
async def test_a_port_whose_binding_has_died_is_given_to_another_inside_at_once(
    wires: Wires,
) -> None:
    """Connection tracking keeps the dead flow for up to a minute, and drops what takes its place
    unseen."""
    nat = brief(Dependence.ADDRESS, Dependence.ADDRESS, Refresh.BOTH, Ports.PRESERVING)
    street = await Street.build(wires, nat)
    one = REMOTES[0]
    first = await street.came(street.send(INSIDES[0], one), one)
    await street.until(street.now() + 1.2)

    second = await street.came(street.send(INSIDES[2], one), one)
    data = street.send(one, second)
    await street.came(data, INSIDES[2])

    assert INSIDES[0].port == INSIDES[2].port
    assert first == second


@pytest.mark.parametrize("refresh", [Refresh.OUTBOUND, Refresh.INBOUND])
@on_wires
async def test_what_keeps_no_binding_alive_lets_nobody_in_after_its_death(
    wires: Wires, refresh: Refresh
) -> None:
    """Connection tracking knows the flow for a second more; each of the nine kinds."""
    twins = await nine_twins(wires, refresh, Ports.CONTIGUOUS)

    async def outlive(twin: Twin) -> None:
        inside, remote = INSIDES[0], REMOTES[0]
        began = twin.street.now()
        outside = await twin.outbound(inside, remote)
        assert outside is not None
        await twin.street.until(began + 0.6)
        if refresh is Refresh.OUTBOUND:
            await twin.inbound(remote, outside)
        else:
            await twin.outbound(inside, remote)
        await twin.street.until(began + 1.2)
        await twin.inbound(remote, outside)

    async with asyncio.TaskGroup() as players:
        for twin in twins:
            players.create_task(outlive(twin))

    assert [each for twin in twins for each in twin.differences] == []


async def nine_twins(wires: Wires, refresh: Refresh, ports: Ports) -> list[Twin]:
    """The nine kinds with bindings of a second, each on a street of its own."""
    nine = [brief(maps, filters, refresh, ports) for maps in Dependence for filters in Dependence]
    streets = [wires, *(wires.beside() for _ in nine[1:])]
    return [
        Twin(await Street.build(each, kind), kind) for each, kind in zip(streets, nine, strict=True)
    ]


def brief(mapping: Dependence, filtering: Dependence, refresh: Refresh, ports: Ports) -> Nat:
    return Nat(
        name=f"{mapping.value},{filtering.value},{refresh.value}",
        mapping=mapping,
        filtering=filtering,
        refresh=refresh,
        ports=ports,
        lifetime_s=1.0,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refresh", "ports"),
    [
        (Refresh.OUTBOUND, Ports.CONTIGUOUS),
        (Refresh.INBOUND, Ports.CONTIGUOUS),
        (Refresh.BOTH, Ports.PRESERVING),
    ],
)
@on_wires
async def test_kernel_and_table_agree_while_bindings_come_and_go(
    wires: Wires, refresh: Refresh, ports: Ports
) -> None:
    """Packets to and fro at random, with pauses that let bindings of a second die; each of the nine
    kinds on a street of its own, all at the same time."""
    twins = await nine_twins(wires, refresh, ports)

    async with asyncio.TaskGroup() as players:
        for twin in twins:
            pauses_s = (0.0, 0.0, 0.4, 1.3)
            random = Random(twin.nat.name)
            players.create_task(play(twin, random, packets=24, pauses_s=pauses_s))

    differences = [each for twin in twins for each in twin.differences]
    assert not differences, "\n".join(differences)
