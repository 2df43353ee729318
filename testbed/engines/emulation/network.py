"""A topology as a Mininet network: Mininet's `Topo`, API and prompt, our nodes and links under it.

Every link of the topology is a switch, point-to-point links as well: pulling a cable is then what
it is outside, a carrier lost while the interface stays up with its address and its routes; an
interface set down (all that a bare pair of virtual interfaces could do) loses its routes.
"""
# ruff: noqa: N802, N803 -- the names of overridden methods and arguments are Mininet's

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from mininet.log import output
from mininet.net import Mininet
from mininet.topo import Topo

from testbed.engines.emulation.carriage import BackEnd, Wanted, as_netem, choose
from testbed.engines.emulation.descriptors import allow_descriptors
from testbed.engines.emulation.links import LabIntf, LabLink
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.nodes import LabNode, LabSwitch, RelayedSwitch, fresh_namespace
from testbed.engines.emulation.relay import RelayedLink, RelayPort
from testbed.engines.emulation.relay_process import RelayProcess, port_socket
from testbed.engines.emulation.traffic import set_netem
from testbed.errors import BadInput, LocalError, unknown
from testbed.topology import Quality, Topology, hardware_address, interface_name

_PORTS_MOST = 1023
"""Ports of a Linux bridge (BR_MAX_PORTS less the one it keeps)."""

_READY_WITHIN_S = 10.0
"""After this long without carrier something is broken; it takes milliseconds."""

_IPERF_WITHIN_MS = 10_000
"""iperf's server reports within moments after its client has."""

_DESCRIPTORS_EACH = 8
"""What a node may hold open: namespaces, netlink, shell, and its role's sockets."""


class _InOrder(Topo):  # type: ignore[misc]  # Mininet has no types
    """Nodes and links in the order in which they were named, not in that of their names."""

    @staticmethod
    def sorted(items: Any) -> list[Any]:
        """Mininet sorts here."""
        return list(items)


def to_mininet(topology: Topology) -> Topo:
    """The topology for Mininet: a host for each node and a switch for each link.

    Stock Mininet can build it too, with its own `Host` and `LinuxBridge`.  Interfaces inside the
    hosts are eth0, eth1, ... with the topology's hardware addresses; static addresses and default
    routes are given, others left out.

    Raises:
        BadInput: a link and a node have the same name, or a link has more attachments than a bridge
            has ports.
    """
    topo = _InOrder()
    for node in topology.nodes.values():
        route = f"via {node.router}" if node.router else None
        topo.addHost(node.name, ip=None, defaultRoute=route)
    for number, link in enumerate(topology.links, 1):
        if link in topology.nodes:
            raise BadInput(
                f"topology: a node and a link are both called {link!r}; at Mininet's prompt they "
                "share their names: rename one"
            )
        attachments = topology.on_link(link)
        if len(attachments) > _PORTS_MOST:
            raise BadInput(
                f"link {link}: {len(attachments)} attachments, and a Linux bridge has "
                f"{_PORTS_MOST} ports; use --engine simulation for more"
            )
        topo.addSwitch(link, dpid=f"{number:016x}")
    ports = {link: itertools.count(1) for link in topology.links}
    for node in topology.nodes.values():
        for number, attachment in enumerate(node.attachments):
            address = attachment.address
            topo.addLink(
                node.name,
                attachment.link,
                port1=number,
                port2=next(ports[attachment.link]),
                intfName1=interface_name(number),
                addr1=hardware_address(topology, node.name, number),
                params1={"ip": f"{address}/{attachment.prefix_length}" if address else None},
            )
    return topo


class LabMininet(Mininet):  # type: ignore[misc]  # Mininet has no types
    """Mininet with our classes under it.

    Hosts have a namespace each, switches have one together, and nothing is made anywhere else: when
    the namespaces are let go, the kernel clears everything away by itself.

    Attributes:
        root: the namespace of the switches.
        netlink: configures it.
        relayed: the links that have no bridge, because a relay carries their frames.
    """

    relayed: Collection[str] = frozenset()

    def __init__(self, topo: Topo | None = None, **params: Any) -> None:
        # Else Mininet writes sysctls of the machine, which outlive it.
        Mininet.inited = True
        self.root = fresh_namespace("switches", for_switches=True)
        self.netlink = Netlink(self.root)
        defaults = {
            "host": LabNode,
            "switch": LabSwitch,
            "link": LabLink,
            "intf": LabIntf,
            "controller": None,
        }
        super().__init__(topo, **{**defaults, **params})

    def addSwitch(self, name: str, cls: Any = None, **params: Any) -> Any:
        """Add a switch; ours are in one namespace."""
        if cls is None and self.switch is LabSwitch:
            params.update(namespace=self.root, netlink=self.netlink)
            cls = RelayedSwitch if name in self.relayed else None
        return super().addSwitch(name, cls, **params)

    def stop(self) -> None:
        """End every process and let every namespace go.

        The kernel clears them away after the return: a bridge takes it 16 ms, a node less than 1.
        """
        if self.root.descriptor < 0:
            return
        for link in self.links:
            if isinstance(link, LabLink):
                link.forget()
        super().stop()
        self.netlink.close()
        self.root.close()

    def configLinkStatus(self, src: str, dst: str, status: str) -> None:
        """Set the links between two nodes up or down: both their interfaces, as in Mininet.

        Two nodes that are alone on a link are neighbours, although its switch is between them.

        Raises:
            BadInput: no such node, or no such link; names the links that both are on.
        """
        for name in (src, dst):
            if name not in self.nameToNode:
                raise unknown("node", name, self.nameToNode)
        first, second = self.nameToNode[src], self.nameToNode[dst]
        pairs = first.connectionsTo(second)
        if not pairs:
            for switch in self._switches_between(first, second):
                pairs += switch.connectionsTo(first) + switch.connectionsTo(second)
        # The far end first, so that the near one, which comes up last, sends at once.
        for one, other in pairs:
            other.ifconfig(status)
            one.ifconfig(status)

    def _switches_between(self, first: Any, second: Any) -> list[Any]:
        both = [
            switch
            for switch in self.switches
            if first.connectionsTo(switch) and second.connectionsTo(switch)
        ]
        alone = [switch for switch in both if len(switch.intfList()) == 3]  # lo and two ports
        if alone:
            return alone
        if both:
            raise BadInput(
                f"others are on link {both[0]} with {first} and {second}: "
                f"say 'link {first} {both[0]} down' for the cable of {first}"
            )
        raise BadInput(f"{first} and {second} are on no common link")

    def ping(self, hosts: Any = None, timeout: Any = None) -> Any:
        """Ping between those hosts; of all hosts, between those that have an address."""
        if not hosts:
            output("*** Ping: testing ping reachability\n")
            hosts = [host for host in self.hosts if host.intfs and host.IP()]
            left_out = [host.name for host in self.hosts if host not in hosts]
            if left_out:
                output(f"*** Without an address, left out: {' '.join(left_out)}\n")
        return super().ping(hosts, timeout)

    def iperf(
        self,
        hosts: Any = None,
        l4Type: str = "TCP",
        udpBw: str = "10M",
        fmt: str | None = None,
        seconds: int = 5,
        port: int = 5001,
    ) -> list[str]:
        """Measure between two hosts; of all hosts, between the first and the last.

        Mininet's own finds the server ready by a connection, waits for iperf's report of it, which
        iperf 2.1 no longer prints, and never returns.

        Returns:
            What the server and the client say ("9.5 Gbits/sec"); with UDP the bandwidth asked for
            before them.

        Raises:
            LocalError: iperf failed; says with what words.
        """
        client, server = hosts or [self.hosts[0], self.hosts[-1]]
        output(f"*** Iperf: testing {l4Type} bandwidth between {client} and {server} \n")
        command = f"iperf -p {port}" + (" -u" if l4Type == "UDP" else "")
        command += f" -f {fmt}" if fmt else ""
        server.sendCmd(f"{command} -s")
        try:
            self._await_words(server, "listening on")
            bandwidth = f" -b {udpBw}" if l4Type == "UDP" else ""
            of_client = client.cmd(f"{command} -t {seconds} -c {server.IP()}{bandwidth}")
            if "/sec" not in of_client:
                raise LocalError(f"iperf on {client}: {of_client.strip()}")
            of_server = self._await_words(server, "/sec")
        finally:
            if server.waiting:
                server.sendInt()
                server.waitOutput()
        results = [self._parseIperf(of_server), self._parseIperf(of_client)]
        if l4Type == "UDP":
            results.insert(0, udpBw)
        output(f"*** Results: {results}\n")
        return results

    @staticmethod
    def _await_words(node: Any, words: str) -> str:
        """What the node's command says up to the line with those words."""
        said = ""
        while words not in said or not said.endswith("\n"):
            more = node.monitor(timeoutms=_IPERF_WITHIN_MS)
            said += more
            if not more or not node.waiting:
                raise LocalError(f"iperf on {node}: {said.strip()}")
        return said


class Network:
    """A topology, wired up in namespaces of its own.

    Args:
        topology: what is wired to what.
        seed: of what chance decides on its links.
        wanted: who carries links that are no mere wires.

    Attributes:
        topology: the same.
        mininet: Mininet's own object for it, built by `start`.
        nodes: the topology's nodes by name, from `start` on.
        back_ends: who carries each link.
        relay: carries the links that it has to, from `start` on; None: there are none.

    Raises:
        BadInput: the topology cannot be wired with bridges.
        MissingFeature: the kernel gives no namespace, or lacks the netem that is wanted.
    """

    def __init__(self, topology: Topology, seed: str = "", wanted: Wanted = Wanted.AUTO) -> None:
        self.topology = topology
        self.mininet = LabMininet(to_mininet(topology), build=False)
        try:
            self.back_ends = choose(topology, wanted, self.mininet.netlink)
        except LocalError:
            self.mininet.stop()
            raise
        self.mininet.relayed = [n for n, end in self.back_ends.items() if end is BackEnd.RELAY]
        self.relay: RelayProcess | None = None
        self._seed = seed
        self._nodes: dict[str, LabNode] = {}

    @property
    def nodes(self) -> Mapping[str, LabNode]:
        """The topology's nodes by name."""
        return MappingProxyType(self._nodes)

    def start(self) -> None:
        """Make namespaces, links, static addresses and default routes; frames pass on return.

        Raises:
            MissingFeature: the kernel gives no namespace.
            NetlinkError: the kernel refused a request.
            LocalError: too few descriptors, or a link stays without carrier.
        """
        allow_descriptors(len(self.topology.nodes) * _DESCRIPTORS_EACH, "network")
        self.mininet.start()
        self._nodes.update((name, self.mininet[name]) for name in self.topology.nodes)
        self._give_qualities()
        self._await_ready({str(link.intf2) for link in self.mininet.links})

    def _give_qualities(self) -> None:
        """Have every link carry as well as its quality says."""
        root = self.mininet.netlink
        relayed: dict[str, RelayedLink] = {}
        for link in self.topology.links.values():
            back_end, quality = self.back_ends[link.name], link.quality
            for node, number in self.topology.on_link(link.name):
                interface = self._nodes[node.name].nameToIntf[interface_name(number)]
                port, station = str(interface.link.intf2), f"{node.name}/{interface.name}"
                if quality.mtu != Quality().mtu:
                    root.set_mtu(port, quality.mtu)
                    interface.node.netlink.set_mtu(interface.name, quality.mtu)
                if back_end is BackEnd.NETEM:
                    # Behind the port: what it drops the sender has sent, and its capture shows it.
                    netem = as_netem(quality, f"{self._seed}/link/{link.name}/{station}")
                    set_netem(root, port, netem)
                elif back_end is BackEnd.RELAY:
                    joined = relayed.setdefault(link.name, RelayedLink(link.name, quality))
                    RelayPort(joined, station, port_socket(self.mininet.root, port), self._seed)
        if relayed:
            self.relay = RelayProcess(list(relayed.values()))

    def stop(self) -> None:
        """End every process and let every namespace go; may follow a start that failed."""
        if self.relay is not None:
            self.relay.kill()
        self.mininet.stop()
        self._nodes.clear()

    def set_link(self, node: str, interface: str, up: bool) -> None:
        """Put the cable into the interface, or pull it out: only its carrier changes.

        Raises:
            BadInput: no such node or interface.
        """
        if node not in self._nodes:
            raise unknown("node", node, self._nodes)
        near = self._nodes[node]
        if interface not in near.nameToIntf:
            raise unknown(f"interface of {node}", interface, near.nameToIntf)
        link = near.nameToIntf[interface].link
        port = str(link.intf2)
        self.mininet.netlink.set_up(port, up)
        if up and near.netlink.link(interface).up:
            self._await_ready({port})
        # To ask makes the kernel tell the node of its carrier now instead of within a second.
        near.netlink.link(interface)

    def await_node(self, node: str) -> None:
        """Wait until the switches pass what the node sends, whose interfaces have just come up.

        A switch's port sees its carrier at once only where it has not changed within the last
        second, and drops what comes before.  Cables that are out stay out.
        """
        states = self.mininet.netlink.links()
        ports = {str(intf.link.intf2) for intf in self._nodes[node].intfList() if intf.link}
        self._await_ready({port for port in ports if states[port].up and states[port].carrier})

    def _await_ready(self, ports: set[str]) -> None:
        """Wait until each of these ports of switches passes frames."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            states = self.mininet.netlink.links()
            missing = sorted(port for port in ports if not states[port].ready)
            if not missing:
                return
            if time.monotonic() > deadline:
                raise LocalError(
                    f"network: {len(missing)} of {len(ports)} ports have no carrier after "
                    f"{_READY_WITHIN_S:.0f} s, the first is {missing[0]}"
                )
            time.sleep(0.001)  # the kernel's own worker does it
