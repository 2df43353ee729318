"""What holds for every NAT, whatever packets come in whatever order."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from testbed.nat import Forwarded, NatTable
from testbed.protocols.wire import Endpoint
from testbed.topology import Dependence, Hairpinning, Nat, Pooling, Ports, Refresh

INSIDES = [Endpoint(f"192.168.1.{host}", port) for host in (2, 3, 4) for port in (5000, 5001)]
REMOTES = [Endpoint(f"203.0.113.{host}", port) for host in (50, 51) for port in (3478, 3479)]
ADDRESSES = ("203.0.113.7", "203.0.113.8")
LIFETIME_S = 10.0


@dataclass(frozen=True)
class Packet:
    after_s: float
    is_outbound: bool
    inside: int
    remote: int


@dataclass(frozen=True)
class Seen:
    """A packet that passed: who, by which outside endpoint, with whom, when."""

    now: float
    is_outbound: bool
    inside: Endpoint
    outside: Endpoint
    remote: Endpoint


packets = st.lists(
    st.builds(
        Packet,
        after_s=st.sampled_from([0.0, 0.5, 1.5, 4.0, 9.0, 11.0]),
        is_outbound=st.booleans(),
        inside=st.integers(0, len(INSIDES) - 1),
        remote=st.integers(0, len(REMOTES) - 1),
    ),
    max_size=60,
)
mapped_nats = st.builds(
    Nat,
    name=st.just("any"),
    mapping=st.sampled_from(Dependence),
    filtering=st.sampled_from(Dependence),
    ports=st.sampled_from([Ports.PRESERVING, Ports.CONTIGUOUS, Ports.RANDOM]),
    pooling=st.sampled_from(Pooling),
    addresses=st.sampled_from([1, 2]),
    hairpinning=st.sampled_from(Hairpinning),
    refresh=st.sampled_from(Refresh),
    lifetime_s=st.just(LIFETIME_S),
)
masquerade = st.just(Nat(name="any", ports=Ports.OVERLOADING, lifetime_s=LIFETIME_S))


def play(nat: Nat, script: list[Packet]) -> list[Seen]:
    """Send the packets; an inbound one is for the outside endpoint that its inside had last."""
    table = NatTable(nat, ADDRESSES[: nat.addresses], Random(1))
    now = 0.0
    last: dict[Endpoint, Endpoint] = {}
    seen = []
    for packet in script:
        now += packet.after_s
        inside, remote = INSIDES[packet.inside], REMOTES[packet.remote]
        if packet.is_outbound:
            passed = table.outbound(inside, remote, "udp", now)
            assert isinstance(passed, Forwarded)
            last[inside] = passed.source
            seen.append(Seen(now, True, inside, passed.source, remote))
        elif inside in last:
            came = table.inbound(remote, last[inside], "udp", now)
            if isinstance(came, Forwarded):
                seen.append(Seen(now, False, came.destination, last[inside], remote))
    return seen


def part_of(dependence: Dependence | None, remote: Endpoint) -> object:
    return {
        Dependence.ADDRESS: remote.address,
        Dependence.ADDRESS_AND_PORT: remote,
    }.get(dependence or Dependence.ENDPOINT_INDEPENDENT)


def keeps_alive(nat: Nat, packet: Seen) -> bool:
    return nat.refresh.by_outbound if packet.is_outbound else nat.refresh.by_inbound


@given(mapped_nats, packets)
def test_two_insides_never_share_an_outside_endpoint_that_is_in_use(nat, script):
    owner: dict[Endpoint, Seen] = {}
    for packet in play(nat, script):
        before = owner.get(packet.outside)

        assert (
            before is None
            or before.inside == packet.inside
            or packet.now >= before.now + LIFETIME_S
            or not keeps_alive(nat, before)
        )
        owner[packet.outside] = packet


@given(masquerade, packets)
def test_where_ports_are_overloaded_insides_share_them_only_with_other_remotes(nat, script):
    owner: dict[tuple[Endpoint, Endpoint], Seen] = {}
    for packet in play(nat, script):
        before = owner.get((packet.outside, packet.remote))

        assert (
            before is None
            or before.inside == packet.inside
            or packet.now >= before.now + LIFETIME_S
        )
        owner[packet.outside, packet.remote] = packet


@given(mapped_nats | masquerade, packets)
def test_a_packet_from_outside_reaches_whom_its_binding_is_for_and_only_while_it_lives(nat, script):
    seen = play(nat, script)
    for number, packet in enumerate(seen):
        if packet.is_outbound:
            continue
        same = [
            each
            for each in seen[:number]
            if each.outside == packet.outside
            and (nat.ports is not Ports.OVERLOADING or each.remote == packet.remote)
        ]
        asked = [
            each
            for each in same
            if each.is_outbound
            and part_of(nat.filtering, each.remote) == part_of(nat.filtering, packet.remote)
        ]
        alive = [
            each
            for each in same
            if packet.now < each.now + LIFETIME_S and (each.is_outbound or keeps_alive(nat, each))
        ]

        assert asked, "somebody that the filter does not tell from this remote was spoken to"
        assert same[-1].inside == packet.inside
        assert alive, "an expired binding never forwards"


@given(mapped_nats, packets)
def test_a_mapping_that_lives_serves_all_remotes_that_its_dependence_does_not_tell_apart(
    nat, script
):
    last: dict[tuple[Endpoint, object], Seen] = {}
    for packet in play(nat, script):
        if not packet.is_outbound:
            continue
        key = (packet.inside, part_of(nat.mapping, packet.remote))
        before = last.get(key)
        if before is not None and packet.now < before.now + LIFETIME_S and nat.refresh.by_outbound:
            assert packet.outside == before.outside
        last[key] = packet


@given(mapped_nats, packets)
def test_paired_pooling_never_gives_one_inside_two_addresses(nat, script):
    addresses: dict[str, set[str]] = {}
    for packet in play(nat, script):
        addresses.setdefault(packet.inside.address, set()).add(packet.outside.address)

    if nat.pooling is Pooling.PAIRED:
        assert all(len(each) == 1 for each in addresses.values())


@given(mapped_nats, packets)
def test_ports_are_given_as_declared(nat, script):
    fresh = list(dict.fromkeys(p.outside for p in play(nat, script) if p.is_outbound))
    for address in ADDRESSES:
        ports = [each.port for each in fresh if each.address == address]
        allotted = [port for port in ports if port >= 10_000]
        if nat.ports is Ports.CONTIGUOUS:
            assert ports == [10_000 + number for number in range(len(ports))]
        elif nat.ports is Ports.PRESERVING:
            assert allotted == [10_000 + number for number in range(len(allotted))]
            assert {*ports} - {*allotted} <= {inside.port for inside in INSIDES}
        else:
            assert all(10_000 <= port < 30_000 for port in ports)


@given(mapped_nats | masquerade, packets)
def test_the_same_packets_at_the_same_times_give_the_same(nat, script):
    assert play(nat, script) == play(nat, script)
