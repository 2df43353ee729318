"""Interfaces, addresses and routes of one namespace, by the kernel's route netlink, in batches.

Every call is synchronous and takes microseconds, so it may stand in an asyncio callback (pyroute2's
`IPRoute` may not: it runs a loop of its own, which a thread with a running loop refuses).  Knows
nothing of nodes and links.
"""

from __future__ import annotations

import array
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Interface

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.rtnetlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    NetlinkError,
    RouteSocket,
    attribute,
    number_attribute,
    read_attributes,
    text_attribute,
)

__all__ = ["LinkState", "Netlink", "NetlinkError"]

# linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/fib_rules.h
_NEW_LINK, _DELETE_LINK, _GET_LINK = 16, 17, 18
_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_LINK_ADDRESS, _LINK_NAME, _LINK_MASTER, _LINK_OPERSTATE, _LINK_INFO = 1, 3, 10, 16, 18
_LINK_MTU = 4
_LINK_NAMESPACE, _LINK_EXT_MASK = 28, 29
_LINK_TX_QUEUES, _LINK_RX_QUEUES, _LINK_CARRIER = 31, 32, 33
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_BRIDGE_FORWARD_DELAY, _BRIDGE_STP, _BRIDGE_SNOOPING = 1, 5, 23
_XFRM_INTERFACE_ID = 2
_SKIP_STATISTICS = 1 << 3
_OPERSTATE_UP = 6
_IFF_UP = 1
_ADDRESS_REMOTE, _ADDRESS_LOCAL, _ADDRESS_BROADCAST = 1, 2, 4
_ROUTE_DESTINATION, _ROUTE_DEVICE, _ROUTE_GATEWAY = 1, 4, 5
_NEW_RULE, _DELETE_RULE, _RULE_SOURCE, _RULE_TO_TABLE = 32, 33, 2, 1
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _UNICAST = 254, 4, 0, 253, 1
# linux/sockios.h, linux/ethtool.h
_GET_INDEX, _ETHTOOL = 0x8933, 0x8946
_SET_TX_CHECKSUM, _SET_TSO, _SET_GSO, _SET_GRO = 0x17, 0x1F, 0x24, 0x2C
_SET_SCATTER_GATHER = 0x19


@dataclass(frozen=True, slots=True)
class LinkState:
    """One interface as the kernel sees it.

    Attributes:
        name: "eth0".
        index: its number in its namespace.
        up: an administrator has it up.
        carrier: the cable is in and the far end is up.
        ready: frames pass (its operational state is UP); carrier alone comes a moment earlier.
        hardware_address: "02:00:00:00:00:00".
        master: index of the bridge that it is a port of, 0 for none.
    """

    name: str
    index: int
    up: bool
    carrier: bool
    ready: bool
    hardware_address: str
    master: int


def _hardware_address(value: str | None) -> bytes:
    if value is None:
        return b""
    return attribute(_LINK_ADDRESS, bytes.fromhex(value.replace(":", "")))


def _link_header(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


_ONE_QUEUE = number_attribute(_LINK_TX_QUEUES, 1) + number_attribute(_LINK_RX_QUEUES, 1)
# A default route of table main; the kernel wants family, lengths, table, protocol, scope and type.
_DEFAULT_ROUTE = (
    socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _UNICAST, 0,
)  # fmt: skip
_ANY_DEFAULT_ROUTE = (socket.AF_INET, 0, 0, 0, _TABLE_MAIN, 0, 255, 0, 0)


class Netlink(RouteSocket):
    """Configures one namespace.

    Calls act at once, each raising its own error; inside `with netlink.batch():` requests are
    collected and sent together, and the first refusal is raised at the end of the block.

    Args:
        namespace: whose interfaces; stays open as long as this is used.
    """

    # Interfaces

    def add_veth(
        self,
        name: str,
        peer_name: str,
        peer_namespace: Namespace,
        mac: str | None = None,
        peer_mac: str | None = None,
        *,
        up: bool = False,
    ) -> None:
        """A pair of interfaces: `name` here, `peer_name` in `peer_namespace`.

        Args:
            name: of the end that is in this namespace.
            peer_name: of the other end.
            peer_namespace: where the other end comes into being.
            mac: hardware address of this end; None: the kernel's choice.
            peer_mac: hardware address of the other end, likewise.
            up: set this end up as well (the other end cannot be, in one request).
        """
        peer = (
            _link_header()
            + text_attribute(_LINK_NAME, peer_name)
            + _hardware_address(peer_mac)
            + number_attribute(_LINK_NAMESPACE, peer_namespace.descriptor)
            + _ONE_QUEUE
        )
        data = attribute(_INFO_DATA, attribute(_VETH_PEER, peer))
        flags = _IFF_UP if up else 0
        body = (
            _link_header(flags=flags, change=flags)
            + text_attribute(_LINK_NAME, name)
            + _hardware_address(mac)
            + _ONE_QUEUE
            + attribute(_LINK_INFO, text_attribute(_INFO_KIND, "veth") + data)
        )
        subject = f"add {name} with {peer_name} in {peer_namespace.name}"
        self._ask(_NEW_LINK, CREATE | EXCLUSIVE, body, subject)
        self._makes_names = True

    def add_bridge(self, name: str) -> None:
        """A bridge, up, that forwards at once and sends nothing of its own.

        No spanning tree, no forward delay, and no multicast snooping, whose queries would be in
        every capture.
        """
        data = (
            number_attribute(_BRIDGE_FORWARD_DELAY, 0)
            + number_attribute(_BRIDGE_STP, 0)
            + attribute(_BRIDGE_SNOOPING, b"\0")
        )
        body = (
            _link_header(flags=_IFF_UP, change=_IFF_UP)
            + text_attribute(_LINK_NAME, name)
            + attribute(
                _LINK_INFO, text_attribute(_INFO_KIND, "bridge") + attribute(_INFO_DATA, data)
            )
        )
        self._ask(_NEW_LINK, CREATE | EXCLUSIVE, body, f"add bridge {name}")
        self._makes_names = True

    def add_xfrm(self, name: str, interface_id: int, mtu: int) -> None:
        """An interface, up, for what IPsec policies with that number protect."""
        data = attribute(_INFO_DATA, number_attribute(_XFRM_INTERFACE_ID, interface_id))
        body = (
            _link_header(flags=_IFF_UP, change=_IFF_UP)
            + text_attribute(_LINK_NAME, name)
            + number_attribute(_LINK_MTU, mtu)
            + attribute(_LINK_INFO, text_attribute(_INFO_KIND, "xfrm") + data)
        )
        self._ask(_NEW_LINK, CREATE | EXCLUSIVE, body, f"add XFRM interface {name}")
        self._makes_names = True

    def enslave(self, name: str, bridge: str | None) -> None:
        """Make the interface a port of `bridge`; None: of none."""
        master = self.index(bridge) if bridge else 0
        body = (
            _link_header()
            + text_attribute(_LINK_NAME, name)
            + number_attribute(_LINK_MASTER, master)
        )
        self._ask(_NEW_LINK, 0, body, f"make {name} a port of {bridge}")

    def set_up(self, name: str, up: bool = True) -> None:
        """Set the interface up or down, as an administrator does.

        Down takes its routes away, as the kernel does; up brings back only those of its subnets.
        """
        body = _link_header(flags=_IFF_UP if up else 0, change=_IFF_UP) + text_attribute(
            _LINK_NAME, name
        )
        self._ask(_NEW_LINK, 0, body, f"set {name} {'up' if up else 'down'}")

    def set_mtu(self, name: str, octets: int) -> None:
        """Have it send no IP packet that is longer."""
        body = (
            _link_header() + text_attribute(_LINK_NAME, name) + number_attribute(_LINK_MTU, octets)
        )
        self._ask(_NEW_LINK, 0, body, f"set {name}'s MTU {octets}")

    def set_hardware_address(self, name: str, hardware_address: str) -> None:
        """Change the hardware address; the interface may be up."""
        body = (
            _link_header() + text_attribute(_LINK_NAME, name) + _hardware_address(hardware_address)
        )
        self._ask(_NEW_LINK, 0, body, f"set {name}'s hardware address {hardware_address}")

    def rename(self, name: str, new_name: str) -> None:
        """Rename the interface; it must be down on kernels before 6.3."""
        body = _link_header(self.index(name)) + text_attribute(_LINK_NAME, new_name)
        self._ask(_NEW_LINK, 0, body, f"rename {name} {new_name}")

    def delete(self, name: str) -> None:
        """Remove the interface, and its peer with it."""
        self._ask(
            _DELETE_LINK,
            0,
            _link_header() + text_attribute(_LINK_NAME, name),
            f"delete interface {name}",
        )

    def turn_offloads_off(self, name: str) -> None:
        """Whole checksums and frames no longer than the MTU, as a capture must see them.

        A veth leaves checksums to a receiver that needs none and segments to nobody.  Frames in one
        piece, too: the pages of others are shared by all who hold the frame, and ESP in UDP is
        decrypted there by the kernel (Linux 6.1), while the capture still waits for being read.
        """
        for command in (_SET_TX_CHECKSUM, _SET_TSO, _SET_GSO, _SET_GRO, _SET_SCATTER_GATHER):
            value = array.array("B", struct.pack("=II", command, 0))
            request = struct.pack("16sP8x", name.encode(), value.buffer_info()[0])
            self._control(_ETHTOOL, request, f"turn the offloads of {name} off")

    def index(self, name: str) -> int:
        """The interface's number.

        Raises:
            NetlinkError: there is none of that name (ENODEV).
        """
        request = struct.pack("16s24x", name.encode())
        answer = self._control(_GET_INDEX, request, f"find interface {name}")
        return int(struct.unpack_from("=i", answer, 16)[0])

    def links(self) -> dict[str, LinkState]:
        """Every interface, by name."""
        mask = number_attribute(_LINK_EXT_MASK, _SKIP_STATISTICS)
        found: dict[str, LinkState] = {}
        for data in self._dump(_GET_LINK, _link_header() + mask):
            state = _link_state(data)
            found[state.name] = state
        return found

    def link(self, name: str) -> LinkState:
        """One interface.

        Raises:
            NetlinkError: there is none of that name (ENODEV).
        """
        mask = number_attribute(_LINK_EXT_MASK, _SKIP_STATISTICS)
        body = _link_header(self.index(name)) + mask
        return _link_state(self._dump(_GET_LINK, body, 0, f"look at interface {name}")[0])

    # Addresses

    def set_address(self, name: str, address: str, prefix_length: int) -> None:
        """Give the interface this IPv4 address in place of those it had.

        The routes over the old addresses go with them; where the address is the same already,
        nothing changes.
        """
        wanted = (address, prefix_length)
        present = self.addresses(name)
        if present == [wanted]:
            return
        self._remove_addresses(name, present)
        self._change_address(_NEW_ADDRESS, CREATE | REPLACE, name, *wanted)

    def add_address(self, name: str, address: str, prefix_length: int) -> None:
        """Give the interface one more IPv4 address."""
        self._change_address(_NEW_ADDRESS, CREATE | REPLACE, name, address, prefix_length)

    def flush_addresses(self, name: str) -> None:
        """Take the interface's IPv4 addresses away, and the routes that need them."""
        self._remove_addresses(name, self.addresses(name))

    def addresses(self, name: str) -> list[tuple[str, int]]:
        """The interface's IPv4 addresses with their prefix lengths, the first one first."""
        index = self.index(name)
        found = []
        for data in self._dump(_GET_ADDRESS, struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, index)):
            prefix_length, owner = struct.unpack_from("=xBxxI", data)
            local = read_attributes(data, 8).get(_ADDRESS_LOCAL)
            if owner == index and local is not None:
                found.append((socket.inet_ntoa(local), prefix_length))
        return found

    # Routes

    def set_default_route(self, router: str | None) -> None:
        """Send what is for nobody near to `router`; None: no default route.

        Raises:
            NetlinkError: no interface has a subnet that `router` is in (ENETUNREACH).
        """
        if router is None:
            self.flush_default_routes()
            return
        body = struct.pack("=BBBBBBBBI", *_DEFAULT_ROUTE)
        body += attribute(_ROUTE_GATEWAY, socket.inet_aton(router))
        self._ask(_NEW_ROUTE, CREATE | REPLACE, body, f"set the default route to {router}")

    def flush_default_routes(self) -> None:
        """Remove every default route of the main table."""
        self.flush()
        for _ in range(len(self.default_routes())):
            body = struct.pack("=BBBBBBBBI", *_ANY_DEFAULT_ROUTE)
            self._ask(_DELETE_ROUTE, 0, body, "remove the default route")

    def add_route(
        self,
        destination: str,
        router: str | None = None,
        device: str | None = None,
        table: int = _TABLE_MAIN,
    ) -> None:
        """Send what is for `destination` ("10.0.0.0/8") to a router, over an interface, or both."""
        subnet = IPv4Interface(destination).network
        header = (socket.AF_INET, subnet.prefixlen, 0, 0, table, _PROTOCOL_STATIC)
        scope = _SCOPE_UNIVERSE if router else _SCOPE_LINK
        body = struct.pack("=BBBBBBBBI", *header, scope, _UNICAST, 0)
        if subnet.prefixlen:
            body += attribute(_ROUTE_DESTINATION, subnet.network_address.packed)
        if router:
            body += attribute(_ROUTE_GATEWAY, socket.inet_aton(router))
        if device:
            body += number_attribute(_ROUTE_DEVICE, self.index(device))
        self._ask(_NEW_ROUTE, CREATE | REPLACE, body, f"add a route to {destination}")

    def add_rule(self, source: str, table: int) -> None:
        """What has that source address goes by the routes of `table` (1 to 255)."""
        self._change_rule(_NEW_RULE, CREATE | EXCLUSIVE, source, table)

    def remove_rule(self, source: str, table: int) -> None:
        """What has that source address goes as all else again."""
        self._change_rule(_DELETE_RULE, 0, source, table)

    def _change_rule(self, kind: int, flags: int, source: str, table: int) -> None:
        body = struct.pack("=BBBBBxxBI", socket.AF_INET, 0, 32, 0, table, _RULE_TO_TABLE, 0)
        body += attribute(_RULE_SOURCE, socket.inet_aton(source))
        self._ask(kind, flags, body, f"change the rule for what comes from {source}")

    def default_routes(self) -> list[tuple[str | None, int]]:
        """(router or None, interface index) of each default route of the main table."""
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _TABLE_MAIN, 0, 0, 0, 0)
        found: list[tuple[str | None, int]] = []
        for data in self._dump(_GET_ROUTE, body):
            length, table = struct.unpack_from("=xBxxB", data)
            if length or table != _TABLE_MAIN:
                continue
            fields = read_attributes(data, 12)
            gateway = fields.get(_ROUTE_GATEWAY)
            device = struct.unpack("=I", fields.get(_ROUTE_DEVICE, b"\0\0\0\0"))[0]
            found.append((socket.inet_ntoa(gateway) if gateway else None, device))
        return found

    def _remove_addresses(self, name: str, present: list[tuple[str, int]]) -> None:
        # The last one first: with the first address of a subnet the kernel removes the others.
        for old in reversed(present):
            self._change_address(_DELETE_ADDRESS, 0, name, *old)

    def _change_address(
        self, kind: int, flags: int, name: str, address: str, prefix_length: int
    ) -> None:
        interface = IPv4Interface(f"{address}/{prefix_length}")
        index = self.index(name)
        local = interface.ip.packed
        body = struct.pack("=BBBBI", socket.AF_INET, prefix_length, 0, 0, index)
        body += attribute(_ADDRESS_LOCAL, local) + attribute(_ADDRESS_REMOTE, local)
        if prefix_length < 31:
            body += attribute(_ADDRESS_BROADCAST, interface.network.broadcast_address.packed)
        verb = "remove" if kind == _DELETE_ADDRESS else "set"
        self._ask(kind, flags, body, f"{verb} address {interface} on {name}")


def _link_state(data: bytes) -> LinkState:
    index, flags = struct.unpack_from("=xxxxiI", data)
    fields = read_attributes(data, 16)
    return LinkState(
        name=fields[_LINK_NAME].rstrip(b"\0").decode(),
        index=index,
        up=bool(flags & _IFF_UP),
        carrier=bool(fields.get(_LINK_CARRIER, b"\0")[0]),
        ready=bool(flags & _IFF_UP) and fields[_LINK_OPERSTATE][0] == _OPERSTATE_UP,
        hardware_address=fields.get(_LINK_ADDRESS, b"").hex(":"),
        master=struct.unpack("=I", fields.get(_LINK_MASTER, b"\0\0\0\0"))[0],
    )
