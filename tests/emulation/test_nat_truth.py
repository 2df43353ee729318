"""The kernel's NATs under the probe that stands before every run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.engines.emulation.lab import launch
from testbed.engines.emulation.nat_ground import kernel_ground
from testbed.errors import EXIT_OK
from testbed.nat.probe import declared, differences, probe_fully, probe_quickly
from testbed.topology import KINDS, Dependence, Hairpinning, Nat, Pooling, Ports, Refresh, find_nat

pytestmark = pytest.mark.emulation

BRIEF = [
    replace(find_nat("masquerade"), lifetime_s=2.0),
    replace(find_nat("symmetric"), lifetime_s=2.0, refresh=Refresh.INBOUND),
    replace(find_nat("rfc4787"), lifetime_s=2.0),
    replace(find_nat("port-restricted"), lifetime_s=2.0, hairpinning=Hairpinning.INTERNAL),
    replace(find_nat("pool-arbitrary"), lifetime_s=2.0, ports=Ports.CONTIGUOUS),
    replace(find_nat("firewall"), lifetime_s=2.0),
    replace(find_nat("adm-adf"), lifetime_s=2.0, pooling=Pooling.PAIRED, addresses=2),
    replace(find_nat("udp-rejected"), lifetime_s=2.0),
]


def measured_in_lab(kind: Nat, full: bool) -> dict[str, object]:
    def work(lab) -> int:
        with kernel_ground(kind) as ground:
            found = probe_fully(ground, kind.lifetime_s) if full else probe_quickly(ground)
        lab.tell({"found": found.told(), "wrong": differences(declared(kind), found)})
        return EXIT_OK

    with launch(work, "probe") as process:
        process.wait()
        (message,) = process.messages()
    return message


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_every_kind_maps_and_filters_in_the_kernel_as_declared(kind: Nat) -> None:
    message = measured_in_lab(kind, full=False)

    assert message.get("wrong") == [], message


@pytest.mark.parametrize("kind", BRIEF, ids=str)
def test_the_full_probe_of_the_kernel_finds_what_is_declared(kind: Nat) -> None:
    message = measured_in_lab(kind, full=True)

    assert message.get("wrong") == [], message
    assert message["found"].keys() == declared(kind).told().keys()


def test_another_nat_than_the_declared_one_is_found_out() -> None:
    promised = declared(replace(find_nat("symmetric"), mapping=Dependence.ADDRESS))

    def work(lab) -> int:
        with kernel_ground(find_nat("symmetric")) as ground:
            lab.tell({"wrong": differences(promised, probe_quickly(ground))})
        return EXIT_OK

    with launch(work, "probe") as process:
        process.wait()
        (message,) = process.messages()

    assert message["wrong"] == ["mapping is address-and-port-dependent, declared address-dependent"]
