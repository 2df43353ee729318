"""A device outside the lab on a link of it: its frames are carried between an interface of this
machine and the node that it plays.

The node has its namespace and its interfaces as any other has, and no address: a packet socket on
each gives what comes for it to the machine's interface, and puts what comes from there on the link.
So links, their qualities, cables and the capture are what they always are.  The machine's interface
stays where it is: nothing of it has to be put back, however a run ends.

Frames are carried with the kernel's own notes of them (`virtio_net_hdr`): a network card gives
several segments of a TCP stream as one, and leaves checksums to be filled in.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import struct
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.packets import ETHERTYPE_ARP
from testbed.engines.emulation.ports import close_aside, enlarge_receive_buffer
from testbed.errors import BadInput, MissingFeature, unknown
from testbed.topology import Topology
from testbed.trace.addresses import Place
from testbed.trace.record import Frame
from testbed.trace.trace import ADDRESS_EVENT, HARDWARE_ADDRESS_EVENT, Trace

Wires = Mapping[str, Sequence[socket.socket]]
"""Sockets on interfaces of this machine, by the node that is played there, in its own order."""

_AT_A_TIME = 64
_LONGEST = 10 + 65536 + 64
_BUFFER_OCTETS = 4 << 20
# linux/if_packet.h, linux/if_ether.h
_SOL_PACKET, _ADD_MEMBERSHIP, _VIRTIO_HEADER, _IGNORE_OUTGOING = 263, 1, 15, 23
_PROMISCUOUS = 1
_ALL_PROTOCOLS = 3
_ARP_OF_IPV4 = struct.pack("!HHBB", 1, 0x0800, 6, 4)


def open_wires(
    devices: Mapping[str, Sequence[str]], topology: Topology
) -> dict[str, list[socket.socket]]:
    """A socket on each of these interfaces of the namespace that this thread is in.

    Args:
        devices: interfaces of this machine by the node that is played behind them.
        topology: has the nodes.

    Raises:
        BadInput: no such interface, one that is down, or one that this machine itself uses.
        MissingFeature: only root may read the frames of an interface.
    """
    wires: dict[str, list[socket.socket]] = {}
    machine = Namespace.current("this machine")
    try:
        netlink = Netlink(machine)
    except PermissionError:
        machine.close()
        node, interfaces = next(iter(devices.items()))
        raise _only_root(node, interfaces[0]) from None
    try:
        for node, interfaces in devices.items():
            for interface, attachment in zip(
                interfaces, topology.nodes[node].attachments, strict=True
            ):
                subnet = topology.links[attachment.link].subnet
                _require_free(netlink, node, interface, subnet)
                wires.setdefault(node, []).append(_open(machine, node, interface))
    except BaseException:
        close_wires(wires)
        raise
    finally:
        netlink.close()
        machine.close()
    return wires


def close_wires(wires: Wires) -> None:
    """Let go of the machine's interfaces."""
    for sockets in wires.values():
        for each in sockets:
            each.close()


def _require_free(
    netlink: Netlink, node: str, interface: str, subnet: ipaddress.IPv4Network
) -> None:
    """The interface is there, is up, and nobody else uses it.

    Raises:
        BadInput: it is not; says what to do.
    """
    links = netlink.links()
    if interface not in links:
        raise unknown(f"interface of this machine (--dut {node}={interface})", interface, links)
    if not links[interface].up:
        raise BadInput(
            f"--dut {node}={interface}: the interface is down; as root run: "
            f"ip link set {interface} up"
        )
    own = netlink.addresses(interface)
    if own:
        raise BadInput(
            f"--dut {node}={interface}: the interface has this machine's own address {own[0][0]}, "
            f"and would answer beside the device; use a spare one, or as root run: "
            f"ip address flush dev {interface}"
        )
    if _answers_for_itself_only(interface):
        return
    for other in links:
        for address, _ in netlink.addresses(other):
            if ipaddress.ip_address(address) in subnet:
                raise BadInput(
                    f"--dut {node}={interface}: this machine's {other} has {address}, an address "
                    f"of the run's own {subnet}, and Linux would answer for it on {interface} too; "
                    f"take it away, or as root run: sysctl net.ipv4.conf.{interface}.arp_ignore=1"
                )


def _answers_for_itself_only(interface: str) -> bool:
    """Whether Linux has been told not to answer there for addresses of other interfaces."""
    told = (Path(f"/proc/sys/net/ipv4/conf/{name}/arp_ignore") for name in ("all", interface))
    return any(each.read_text().strip() != "0" for each in told)


def _open(machine: Namespace, node: str, interface: str) -> socket.socket:
    try:
        wire = _packets(machine, interface)
        membership = struct.pack("=iHH8s", socket.if_nametoindex(interface), _PROMISCUOUS, 0, b"")
        wire.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
    except PermissionError:
        raise _only_root(node, interface) from None
    return wire


def _only_root(node: str, interface: str) -> MissingFeature:
    return MissingFeature(
        f"--dut {node}={interface}: only root may carry frames of this machine's interfaces; "
        "run it by sudo"
    )


def _packets(namespace: Namespace, interface: str) -> socket.socket:
    """A socket that takes and gives the frames of an interface, and does not hear itself."""
    packets = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
    try:
        packets.setsockopt(_SOL_PACKET, _VIRTIO_HEADER, 1)
        packets.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        enlarge_receive_buffer(packets, _BUFFER_OCTETS)
        packets.bind((interface, _ALL_PROTOCOLS))
    except BaseException:
        packets.close()
        raise
    return packets


class DeviceCable:
    """Carries frames between an interface of a node and one of this machine, while it is in.

    Args:
        node: the node's namespace.
        interface: of the node.
        wire: on the machine's interface; stays open.
        loop: carries.
    """

    def __init__(
        self,
        node: Namespace,
        interface: str,
        wire: socket.socket,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._loop = loop
        self._wire = wire
        self._link = _packets(node, interface)
        self._drain()
        loop.add_reader(self._wire, self._carry, self._wire, self._link)
        loop.add_reader(self._link, self._carry, self._link, self._wire)

    def close(self) -> None:
        """Pull it out."""
        self._loop.remove_reader(self._wire)
        self._loop.remove_reader(self._link)
        close_aside(self._link)

    def _drain(self) -> None:
        """What the device has said before is not on the link."""
        while self._received(self._wire) is not None:
            pass

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        for _ in range(_AT_A_TIME):
            frame = self._received(source)
            if frame is None:
                return
            try:
                target.send(frame)
            except OSError:
                continue  # its link is down, or has no room: lost, as on any cable

    @staticmethod
    def _received(source: socket.socket) -> bytes | None:
        """The next frame; None: there is none now."""
        while True:
            try:
                return source.recv(_LONGEST)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # which the socket says once
                    return None


class DeviceWatch:
    """Learns from a device's frames which addresses it has, and tells them in its place.

    Link-layer addresses are all that it sends from; IPv4 addresses those that it tells by ARP,
    which every host does before its first packet: a router's packets have the sources of others.

    Args:
        devices: nodes that are played by devices.
        trace: is told.
    """

    def __init__(self, devices: Collection[str], trace: Trace) -> None:
        self._devices = frozenset(devices)
        self._trace = trace

    def heard(self, frame: Frame) -> None:
        """A node has sent that frame, which is about to go into the trace.

        Raises:
            BadInput: a device has a link-layer address that a node of the lab has too.
        """
        if frame.node not in self._devices or len(frame.data) < 14:
            return
        source = frame.data[6:12].hex(":")
        place = Place(frame.node, frame.interface, frame.link)
        addresses = self._trace.addresses
        known = addresses.places.get(source)
        if known is not None and known.node != frame.node:
            raise BadInput(
                f"the device that plays {frame.node} has the link-layer address {source}, which "
                f"the testbed has given its {known.node}: give the device another"
            )
        if known != place:
            told = {"interface": frame.interface, "link": frame.link, "address": source}
            self._trace.add_event(frame.node, HARDWARE_ADDRESS_EVENT, told, frame.time_ns)
        address = _told_by_arp(frame.data)
        if address and address not in addresses.addresses_of(*place[:2], frame.time_ns):
            told = {"interface": frame.interface, "address": address}
            self._trace.add_event(frame.node, ADDRESS_EVENT, told, frame.time_ns)


def _told_by_arp(frame: bytes) -> str | None:
    """The IPv4 address that the sender of an ARP packet says it has."""
    if len(frame) < 42 or int.from_bytes(frame[12:14]) != ETHERTYPE_ARP:
        return None
    packet = frame[14:]
    if packet[:6] != _ARP_OF_IPV4 or packet[8:14] != frame[6:12] or packet[14:18] == bytes(4):
        return None
    return socket.inet_ntoa(packet[14:18])
