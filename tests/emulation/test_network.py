"""Topologies of ours on the kernel: addresses, cables, processes, and what is left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.engines.emulation.links import kernel_name
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink, NetlinkError
from testbed.engines.emulation.network import Network, to_mininet
from testbed.engines.emulation.nodes import LabNode, LabSwitch
from testbed.errors import BadInput, LocalError
from testbed.topology import Topology
from tests.emulation.inside import command_in_namespaces, in_lab
from tests.emulation.networks import homes, running

emulation = pytest.mark.emulation


def open_namespaces() -> list[str]:
    """What this process holds of namespaces: the kernel keeps none that nobody holds."""
    held = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            held.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [each for each in held if each.startswith(("net:", "mnt:", "socket:"))]


# What needs no namespaces


def test_every_node_is_a_host_and_every_link_a_switch_in_order() -> None:
    topo = to_mininet(homes(2))

    assert topo.hosts() == ["outer_dns", "serving_segw", "gateway", "hnb", "gateway2", "hnb2"]
    assert topo.switches() == ["internet", "home", "home2"]
    assert topo.linkInfo("gateway", "internet")["addr1"] == "02:00:00:00:02:01"
    assert topo.linkInfo("gateway", "internet")["params1"] == {"ip": "203.0.113.100/24"}
    assert topo.linkInfo("hnb", "home")["params1"] == {"ip": None}


def test_node_and_link_of_one_name_are_refused() -> None:
    topology = Topology()
    topology.node("home", topology.link("home", "10.0.0.0/8").at(1))

    with pytest.raises(BadInput, match="a node and a link are both called 'home'"):
        to_mininet(topology)


def test_link_with_more_attachments_than_a_bridge_has_ports_is_refused() -> None:
    topology = Topology()
    link = topology.link("internet", "10.0.0.0/8")
    for number in range(1, 1025):
        topology.node(f"h{number}", link.at(number))

    with pytest.raises(BadInput, match=r"link internet: 1024 attachments, .* has 1023 ports"):
        to_mininet(topology)


@pytest.mark.parametrize(
    ("name", "ending", "made"),
    [
        ("internet", "-eth1", "internet-eth1"),
        ("exactly_fifteen", "", "exactly_fifteen"),
        ("access_network", "-eth400", "acce~da9-eth400"),
    ],
)
def test_names_too_long_for_the_kernel_are_shortened(name: str, ending: str, made: str) -> None:
    assert kernel_name(name, ending) == made
    assert len(made) <= 15


# Addresses, routes, offloads


@emulation
@in_lab
def test_addresses_routes_and_hardware_addresses_are_the_topologys() -> None:
    with running(homes()) as network:
        gateway, hnb = network.nodes["gateway"], network.nodes["hnb"]

        assert list(network.nodes) == ["outer_dns", "serving_segw", "gateway", "hnb"]
        assert isinstance(gateway, LabNode)
        assert isinstance(network.mininet["home"], LabSwitch)
        assert gateway.netlink.addresses("eth0") == [("192.168.1.1", 24)]
        assert gateway.netlink.addresses("eth1") == [("203.0.113.100", 24)]
        assert [router for router, _ in gateway.netlink.default_routes()] == ["203.0.113.53"]
        assert hnb.netlink.addresses("eth0") == []
        assert hnb.netlink.default_routes() == []
        states = gateway.netlink.links()
        assert states["eth0"].hardware_address == gateway.MAC() == "02:00:00:00:02:00"
        assert states["eth1"].hardware_address == "02:00:00:00:02:01"
        assert all(states[name].up for name in ("lo", "eth0", "eth1"))


@emulation
@in_lab
def test_first_frame_after_start_passes() -> None:
    with running(homes(3)) as network:
        server = network.nodes["outer_dns"].namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("203.0.113.53", 53))
        for number in ("", "2", "3"):
            gateway = network.nodes[f"gateway{number}"]
            client = gateway.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.sendto(number.encode() or b"1", ("203.0.113.53", 53))
            # Half the second that ARP would take for another try.
            assert select.select([server], [], [], 0.5)[0]
            client.close()
            server.recv(10)
        server.close()


@emulation
@in_lab
def test_settings_are_a_quiet_networks() -> None:
    with running(homes()) as network:
        check_settings(network)


def check_settings(network: Network) -> None:
    with network.nodes["hnb"].namespace:
        assert Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").read_text() == "1\n"
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"
        assert Path("/proc/sys/net/ipv4/conf/eth0/rp_filter").read_text() == "0\n"
    with network.mininet.root:
        bridging = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
        assert not bridging.exists() or bridging.read_text() == "0\n"
        assert Path("/proc/sys/net/ipv6/conf/internet/disable_ipv6").read_text() == "1\n"


@emulation
@in_lab
def test_nothing_is_made_outside_of_the_networks_namespaces() -> None:
    with running(homes()) as network, running(homes()) as other:
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
        assert network.nodes["gateway"].pexec("ping -c1 -W1 203.0.113.53")[2] == 0
        assert other.nodes["gateway"].pexec("ping -c1 -W1 203.0.113.53")[2] == 0
        assert "home-eth1" in network.mininet["home"].cmd("ip link")


@emulation
@in_lab
def test_everything_is_gone_soon_after_stop() -> None:
    network = Network(homes(2))
    network.start()
    network.nodes["hnb"].cmd("sleep 1000 &")
    held = Namespace(os.dup(network.mininet.root.descriptor), "held")
    network.stop()
    netlink = Netlink(held)
    deadline = time.monotonic() + 30
    # A port is gone with its far end, and that with its namespace, which a process would keep.
    while netlink.links().keys() != {"lo", "internet", "home", "home2"}:
        assert time.monotonic() < deadline
    netlink.close()
    held.close()


@emulation
@in_lab
def test_unused_network_sends_nothing() -> None:
    with running(homes()) as network:
        packets = network.nodes["outer_dns"].namespace.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)
        )
        network.set_link("hnb", "eth0", False)
        network.set_link("hnb", "eth0", True)
        seen = select.select([packets], [], [], 0.5)[0]
        packets.close()

        assert not seen


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@emulation
@pytest.mark.parametrize("place", ["outer_dns", "gateway"])
@in_lab
def test_captured_frames_have_whole_checksums_and_fit_the_mtu(place: str) -> None:
    with running(homes()) as network:
        packets = network.nodes[place].namespace.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)
        )
        packets.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        server = network.nodes["outer_dns"].namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.bind(("203.0.113.53", 80))
        server.listen()
        client = network.nodes["gateway"].namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.connect(("203.0.113.53", 80))
        accepted, _ = server.accept()
        client.sendall(bytes(range(256)) * 200)
        accepted.recv(51200, socket.MSG_WAITALL)
        frames = 0
        while select.select([packets], [], [], 0)[0]:
            frame = packets.recv(65536)
            if frame[12:14] != b"\x08\x00":
                continue
            length = struct.unpack_from("!H", frame, 16)[0]
            segment = frame[34 : 14 + length]
            pseudo_header = frame[26:34] + struct.pack("!HH", 6, len(segment))
            assert length <= 1500
            assert checksum(frame[14:34]) == 0xFFFF
            assert checksum(pseudo_header + segment) == 0xFFFF
            frames += 1
        for each in (packets, server, client, accepted):
            each.close()

        assert frames > 35  # 51200 octets in segments of 1448


@emulation
@in_lab
def test_network_is_configured_inside_a_running_loop() -> None:
    async def main() -> None:
        with running(homes()) as network:
            netlink = network.nodes["hnb"].netlink
            netlink.set_address("eth0", "192.168.1.100", 24)
            netlink.set_default_route("192.168.1.1")

            assert network.nodes["hnb"].IP() == "192.168.1.100"

    asyncio.run(main())


# Cables


@emulation
@in_lab
def test_pulled_cable_takes_the_carrier_and_nothing_else() -> None:
    with running(homes()) as network:
        gateway = network.nodes["gateway"]
        network.set_link("gateway", "eth1", False)
        state = gateway.netlink.links()["eth1"]

        assert state.up
        assert not state.carrier
        assert gateway.netlink.addresses("eth1") == [("203.0.113.100", 24)]
        assert [router for router, _ in gateway.netlink.default_routes()] == ["203.0.113.53"]
        assert gateway.netlink.links()["eth0"].carrier
        assert gateway.pexec("ping -c1 -W1 203.0.113.53")[2] == 1

        network.set_link("gateway", "eth1", True)

        assert gateway.netlink.links()["eth1"].carrier
        assert gateway.pexec("ping -c1 -W1 203.0.113.53")[2] == 0


@emulation
@in_lab
def test_cable_of_unknown_node_or_interface_is_refused() -> None:
    with running(homes()) as network:
        with pytest.raises(BadInput, match="no node is called 'hnbb'; did you mean hnb"):
            network.set_link("hnbb", "eth0", False)
        with pytest.raises(BadInput, match="no interface of hnb is called 'eth7'"):
            network.set_link("hnb", "eth7", False)


@emulation
@in_lab
def test_default_route_comes_back_with_its_interface() -> None:
    with running(homes()) as network:
        gateway = network.nodes["gateway"]
        network.mininet.configLinkStatus("gateway", "internet", "down")

        assert gateway.netlink.default_routes() == []

        network.mininet.configLinkStatus("gateway", "internet", "up")

        assert [router for router, _ in gateway.netlink.default_routes()] == ["203.0.113.53"]
        assert gateway.pexec("ping -c1 -W1 203.0.113.53")[2] == 0


@emulation
@in_lab
def test_two_nodes_alone_on_a_link_are_neighbours() -> None:
    with running(homes()) as network:
        network.mininet.configLinkStatus("hnb", "gateway", "down")

        assert not network.nodes["hnb"].intfIsUp()
        assert not network.nodes["gateway"].intfIsUp()
        assert network.nodes["gateway"].intfIsUp("eth1")

        network.mininet.configLinkStatus("hnb", "gateway", "up")

        assert network.nodes["hnb"].netlink.links()["eth0"].carrier
        with pytest.raises(BadInput, match="say 'link gateway internet down'"):
            network.mininet.configLinkStatus("gateway", "outer_dns", "down")
        with pytest.raises(BadInput, match="hnb and outer_dns are on no common link"):
            network.mininet.configLinkStatus("hnb", "outer_dns", "down")


# Processes and the end


@emulation
@in_lab
def test_no_process_runs_until_it_is_asked_for() -> None:
    with running(homes()) as network:
        repr(network.nodes["hnb"])
        children = Path("/proc/self/task").glob("*/children")

        assert "".join(path.read_text() for path in children) == ""
        assert not network.nodes["hnb"].has_shell
        assert network.nodes["hnb"].pid > 0
        assert network.nodes["hnb"].has_shell


@emulation
@in_lab
def test_starting_a_process_in_a_node_moves_nobody_else() -> None:
    before = os.readlink("/proc/thread-self/ns/net"), os.readlink("/proc/thread-self/ns/mnt")
    with running(homes()) as network:
        network.nodes["hnb"].cmd("true")
        network.nodes["hnb"].pexec("true")

        assert before == (
            os.readlink("/proc/thread-self/ns/net"),
            os.readlink("/proc/thread-self/ns/mnt"),
        )


@emulation
@in_lab
def test_stop_ends_every_process_of_the_nodes() -> None:
    network = Network(homes())
    network.start()
    process = network.nodes["hnb"].popen("sleep 1000")
    network.nodes["hnb"].cmd("nohup sleep 1000 >/dev/null 2>&1 &")
    process.stdout.close()
    process.stderr.close()
    network.stop()

    assert process.returncode == -signal.SIGKILL
    assert open_namespaces() == []
    network.stop()  # once more does no harm


@emulation
@in_lab
def test_failed_start_is_stopped_cleanly() -> None:
    topology = homes()
    topology.link("lo", "10.0.0.0/8")
    network = Network(topology)
    with pytest.raises(NetlinkError, match=r"switches: cannot add bridge lo: .*EEXIST"):
        network.start()
    network.stop()

    assert open_namespaces() == []


@emulation
@in_lab
def test_open_files_beyond_the_limit_are_told_before_anything_is_made() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    network = Network(homes())
    with pytest.raises(LocalError, match=r"needs 288 open files, and this user may have 100"):
        network.start()
    network.stop()


@emulation
def test_unprivileged_user_starts_a_network() -> None:
    command = (
        "import testbed.engines.emulation.network as n, testbed.topology as t\n"
        "topology = t.Topology()\n"
        "link = topology.link('s', '10.0.0.0/8')\n"
        "topology.node('a', link.at(1)), topology.node('b', link.at(2))\n"
        "network = n.Network(topology)\n"
        "network.start()\n"
        "print(network.mininet.pingAll(), network.nodes['a'].cmd('ls /sys/class/net').split())\n"
        "network.stop()\n"
    )
    python = [sys.executable, "-W", "ignore", "-c", command]
    user = ["unshare", "--user", "--map-root-user"]
    namespaces = command_in_namespaces([])[-7:]
    done = subprocess.run(
        [*user, "unshare", *namespaces, *python], capture_output=True, text=True, timeout=60
    )

    assert done.stdout.endswith("0.0 ['eth0', 'lo']\n"), done.stderr
