"""The kernel's NATs under the probe that stands before every run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.engines.emulation.lab import launch
from testbed.engines.emulation.nat_ground import kernel_ground
from testbed.errors import EXIT_OK
from testbed.nat.behaviour import Behaviour, declared, differences
from testbed.nat.ground import INSIDE, ONE
from testbed.nat.probe import probe_at_once
from testbed.probing.measuring import measure_kernels
from testbed.protocols.wire import Endpoint
from testbed.topology import (
    KINDS,
    Dependence,
    Hairpinning,
    Nat,
    Pooling,
    Ports,
    Refresh,
    find_nat,
)

pytestmark = pytest.mark.emulation

BRIEF = [
    replace(find_nat("masquerade"), lifetime_s=2.0, confirmed_lifetime_s=4.0),
    replace(find_nat("port-restricted"), lifetime_s=1.5, confirmed_lifetime_s=4.0),
    replace(find_nat("firewall"), name="firewall-staged", lifetime_s=2.0, confirmed_lifetime_s=4.0),
    replace(find_nat("tr111-aware"), lifetime_s=1.5, binding_request_lifetime_s=4.0),
    replace(find_nat("rebinding-port"), lifetime_s=4.0, rebinds_after_s=5.0),
    replace(find_nat("rebinding-address"), lifetime_s=4.0, rebinds_after_s=5.0),
    replace(find_nat("symmetric"), lifetime_s=2.0, refresh=Refresh.INBOUND),
    replace(find_nat("rfc4787"), lifetime_s=2.0),
    replace(find_nat("port-restricted"), lifetime_s=2.0, hairpinning=Hairpinning.INTERNAL),
    replace(find_nat("pool-arbitrary"), lifetime_s=2.0, ports=Ports.CONTIGUOUS),
    replace(find_nat("firewall"), lifetime_s=2.0),
    replace(find_nat("adm-adf"), lifetime_s=2.0, pooling=Pooling.PAIRED, addresses=2),
    replace(find_nat("udp-rejected"), lifetime_s=2.0),
]


def told_by_lab(work) -> list[dict[str, object]]:
    """What the work tells from inside a lab."""

    def do(lab) -> int:
        for each in work():
            lab.tell(each)
        return EXIT_OK

    with launch(do, "probe") as process:
        process.wait()
        return process.messages()


def told_of(nat: Nat, found: Behaviour) -> dict[str, object]:
    return {"found": found.told(), "wrong": differences(declared(nat), found)}


def found_at_once(nat: Nat) -> Behaviour:
    with kernel_ground(nat) as ground:
        return probe_at_once(ground)


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_every_kind_does_at_once_in_the_kernel_what_it_declares(kind: Nat) -> None:
    (message,) = told_by_lab(lambda: [told_of(kind, found_at_once(kind))])

    assert message.get("wrong") == [], message


def test_full_probes_of_kernels_side_by_side_find_what_is_declared() -> None:
    def work():
        for nat, found in measure_kernels(BRIEF):
            yield {"nat": BRIEF.index(nat), **told_of(nat, found)}

    told = told_by_lab(work)

    assert {each["nat"] for each in told} == set(range(len(BRIEF))), told
    for each in told:
        nat = BRIEF[each["nat"]]
        assert each["wrong"] == [], nat
        assert each["found"].keys() == declared(nat).told().keys(), nat


def test_another_nat_than_the_declared_one_is_found_out() -> None:
    promised = declared(replace(find_nat("symmetric"), mapping=Dependence.ADDRESS))
    (message,) = told_by_lab(
        lambda: [{"wrong": differences(promised, found_at_once(find_nat("symmetric")))}]
    )

    assert message["wrong"] == ["mapping is address-and-port-dependent, declared address-dependent"]


def test_random_ports_are_nobodys_although_their_bindings_are_silent() -> None:
    """Each is one inside's and lets its answer in, when connection tracking knows of few."""
    nat = find_nat("symmetric")
    insides = [Endpoint(INSIDE, 20_000 + number) for number in range(2000)]

    def work():
        with kernel_ground(nat) as ground:
            outsides = []
            for inside in insides:
                outsides.append(ground.outbound_alone(inside, ONE))
                ground.release(inside)
            reached = 0
            for inside, outside in zip(insides, outsides, strict=True):
                ground.listen(inside)
                reached += ground.inbound_alone(ONE, outside, inside)
                ground.release(inside)
            yield {"different": len(set(outsides)), "reached": reached}

    (message,) = told_by_lab(work)

    assert message == {"different": len(insides), "reached": len(insides)}
