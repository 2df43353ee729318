from __future__ import annotations

import pytest

from testbed.errors import BadInput, Unsupported
from testbed.external.device import Device, check_devices, parse_devices
from testbed.settings import build_topology
from tests.fake_host import FakeHost, FakeNetwork
from tests.virtual_time import virtual_time
from topologies.homes import home_on_internet


class Bench(FakeHost):
    """A host that a device can be plugged into."""

    joined = 0

    def join_device(self) -> None:
        self.joined += 1


def device(node: str, **facts: object) -> tuple[Device, list[str]]:
    asked: list[str] = []
    topology = home_on_internet()
    host = FakeNetwork().host(topology.nodes[node])
    host.__class__ = Bench
    return Device(host, topology.nodes[node], ("enp3s0",), True, asked.append, facts), asked


def test_interfaces_are_told_by_node() -> None:
    assert parse_devices(["hnb=enp3s0", "gateway=enp4s0,enp5s0"]) == {
        "hnb": ("enp3s0",),
        "gateway": ("enp4s0", "enp5s0"),
    }


@pytest.mark.parametrize(
    "words", [["hnb"], ["=enp3s0"], ["hnb="], ["hnb=a,"], ["hnb=a", "hnb=b"], ["hnb=a", "x=a"]]
)
def test_what_names_no_interface_for_each_node_is_refused(words: list[str]) -> None:
    with pytest.raises(BadInput, match="--dut"):
        parse_devices(words)


def test_a_node_of_two_interfaces_needs_two() -> None:
    check_devices({"gateway": ("a", "b")}, [home_on_internet()])
    with pytest.raises(BadInput, match="gateway has 2 interfaces, on the links home, internet"):
        check_devices({"gateway": ("a",)}, [home_on_internet()])


@virtual_time
async def test_whoever_runs_the_scenario_is_asked_for_power_and_told_the_addresses() -> None:
    server, asked = device("outer_dns")

    await server.start()
    server.stop()

    assert asked == [
        "outer_dns: give the device at enp3s0 power now, or have it start anew; it has "
        "203.0.113.53/24 on its link 'internet'",
        "outer_dns: take the power of the device at enp3s0 now",
    ]
    assert server.host.joined == 1


@virtual_time
async def test_what_only_a_role_can_do_is_unsupported_and_what_it_would_know_is_there() -> None:
    hnb, _ = device("hnb", factory="as it left it")

    assert hnb.factory == "as it left it"
    with pytest.raises(Unsupported, match="nobody can ask 'reboot'"):
        hnb.reboot()


def test_a_node_can_be_told_who_it_is() -> None:
    given = {"hnb.serial_number": "4711", "hnb.oui": "00D09E"}
    topology = build_topology(home_on_internet, {}, given)

    assert topology.nodes["hnb"].settings["serial_number"] == "4711"
    assert topology.nodes["hnb"].settings["oui"] == "00D09E"
    with pytest.raises(BadInput, match=r"--set femto\.oui"):
        build_topology(home_on_internet, {}, {"femto.oui": "00D09E"})
