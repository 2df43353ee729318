"""What a NAT does, found out by packets alone and without waiting.

A table of ours and a kernel's rules are probed alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from testbed.nat.behaviour import ONE_ADDRESS, Behaviour
from testbed.nat.ground import Ground
from testbed.protocols.wire import Endpoint
from testbed.topology import MOST_ADDRESSES, Dependence, Hairpinning, Pooling, Ports


def probe_quickly(ground: Ground) -> Behaviour:
    """Mapping and filtering alone: some packets, no waiting."""
    places = ground.places
    asker = places.at(0)
    outside = ground.outbound(asker, places.one)
    if outside is None:
        return Behaviour(udp="blocked")
    lets_in = [ground.inbound(each, outside, [asker]) for each in places.others]
    filtering = _dependence(lets_in)
    if outside == asker:
        silent = places.at(1)
        if ground.inbound(places.one, silent, [silent]):
            filtering = "none"
        return Behaviour(udp="passed", translation="no", filtering=filtering)
    mapped = places.at(1)
    first = ground.outbound(mapped, places.one)
    same = [ground.outbound(mapped, each) == first for each in places.others]
    return Behaviour(
        udp="passed", translation="yes", mapping=_dependence(same), filtering=filtering
    )


def _dependence(for_others: Sequence[bool]) -> str:
    """Of what something depends that is the same, or not, for another port and another address.

    Where there is no other address the other port speaks for it.
    """
    for_others = [for_others[0], for_others[-1]]
    words: Mapping[tuple[bool, ...], str] = {
        (True, True): Dependence.ENDPOINT_INDEPENDENT.value,
        (True, False): Dependence.ADDRESS.value,
        (False, False): Dependence.ADDRESS_AND_PORT.value,
    }
    return words.get(tuple(for_others), "port-dependent")


def probe_at_once(ground: Ground) -> Behaviour:
    """All that needs no waiting.

    Args:
        ground: of a NAT that has not been probed yet.
    """
    quick = probe_quickly(ground)
    if quick.translation != "yes":
        return quick
    found = quick.told()
    found["ports"] = probe_ports(ground)
    found["hairpinning"] = probe_hairpinning(ground)
    found["pooling"] = probe_pooling(ground)
    if found["pooling"] == Pooling.ARBITRARY.value:
        found["addresses"] = probe_addresses(ground)
    return Behaviour(**found)


def _word(value: Enum) -> str:
    return str(value.value)


def probe_ports(ground: Ground) -> str:
    """How outside ports are given: a word of `Ports`, or "none free"."""
    places = ground.places
    asked = [places.at(10 + number) for number in range(4)]
    given = [ground.outbound(each, places.one) for each in asked]
    if None in given:
        return "none free"
    outsides = [each for each in given if each is not None]
    if all(out.port == each.port for out, each in zip(outsides, asked, strict=True)):
        rival = Endpoint(places.neighbour, asked[0].port)
        if rival == asked[0]:
            return _word(Ports.PRESERVING)
        shared = ground.outbound(rival, places.others[-1])
        return _word(Ports.OVERLOADING if shared == outsides[0] else Ports.PRESERVING)
    last: dict[str, int] = {}
    steps = []
    for each in outsides:
        if each.address in last:
            steps.append(each.port - last[each.address])
        last[each.address] = each.port
    return _word(Ports.CONTIGUOUS if set(steps) == {1} else Ports.RANDOM)


def probe_hairpinning(ground: Ground) -> str:
    """What becomes of a packet from inside to a mapping: a word of `Hairpinning`."""
    places = ground.places
    target, asker = places.at(20), Endpoint(places.neighbour, places.first_port + 21)
    outside = ground.outbound(target, places.one)
    seen = None if outside is None else ground.hairpin(asker, outside, target)
    if seen is None:
        return _word(Hairpinning.OFF)
    return _word(Hairpinning.INTERNAL if seen == asker else Hairpinning.EXTERNAL)


def probe_pooling(ground: Ground) -> str:
    """Which outside addresses insides get: a word of `Pooling`, or `ONE_ADDRESS`."""
    places = ground.places
    own = [ground.outbound(places.at(24 + number), places.one) for number in range(5)]
    neighbour = Endpoint(places.neighbour, places.first_port + 29)
    other = ground.outbound(neighbour, places.one)
    addresses = {each.address for each in own if each is not None}
    if len(addresses) > 1:
        return _word(Pooling.ARBITRARY)
    return ONE_ADDRESS if other is None or other.address in addresses else _word(Pooling.PAIRED)


def probe_addresses(ground: Ground) -> int:
    """How many outside addresses mappings get that choose one arbitrarily."""
    asked = (ground.places.at(100 + number) for number in range(2 * MOST_ADDRESSES))
    given = [ground.outbound(each, ground.places.one) for each in asked]
    return len({each.address for each in given if each is not None})
