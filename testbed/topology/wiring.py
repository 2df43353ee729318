"""Links, nodes and attachments; plain data, no behaviour.

A topology is a function that returns a `Topology`; its keyword arguments are what `--set` may
change. Every engine reads the same data.  Knows no engine, no role and no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from ipaddress import IPv4Network
from typing import Any

from testbed.errors import BadInput, unknown
from testbed.topology.nat import Nat
from testbed.topology.quality import Quality


class Esp(StrEnum):
    """Who encrypts what goes through tunnels, where the world is made of real kernels."""

    USER = "user"
    """charon itself (kernel-libipsec), always in UDP; works with every kernel."""
    KERNEL = "kernel"
    """The kernel, in UDP where there is a NAT on the way."""


class Algorithms(Enum):
    """What a responder of tunnels lets initiators have; they offer what TS 33.310 profiles."""

    PROFILE = "profile"
    """The same: there is always one in common."""
    OTHER_IKE = "other-ike"
    """Others for IKE: there is none in common, and not even an IKE SA."""
    OTHER_ESP = "other-esp"
    """Others for ESP only: both sides prove who they are, and there is no tunnel."""


class Certificate(Enum):
    """What a node that has names shows who asks for them: one defect each."""

    GOOD = "good"
    """For all its names, by the operator's root, valid now."""
    ADDRESS = "address"
    """Likewise, and for its address too."""
    WRONG_NAME = "wrong-name"
    WRONG_ROOT = "wrong-root"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    COMMON_NAME_ONLY = "common-name-only"
    """The name is the subject's common name; there is no subjectAltName."""
    NONE = "none"
    """No certificate at all: it speaks in clear where TLS is expected."""


class By(Enum):
    """How an interface comes by its address."""

    STATIC = "static"
    DHCP = "dhcp"


LOOPBACK = "lo"
"""Of Linux: what a node sends there comes to itself.  It is captured where a node's setting
`loopback` says so."""
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of a node: the link it is on and how it comes by its address.

    Attributes:
        link: the link's name.
        by: static, DHCP, or no address at all.
        address: "192.168.1.1" where static, else None.
        prefix_length: of the link's subnet.
    """

    link: str
    by: By
    address: str | None
    prefix_length: int


class Link:
    """One broadcast domain with an IPv4 subnet.

    Attributes:
        quality: how it carries frames.

    Raises:
        BadInput: that is no subnet.
    """

    def __init__(self, name: str, subnet: str, quality: Quality | None = None) -> None:
        self.name = name
        try:
            self.subnet = IPv4Network(subnet)
        except ValueError as error:
            what = f"{subnet!r} is no IPv4 subnet such as 192.168.1.0/24"
            raise BadInput(f"link {name}: {what}: {error}") from error
        self.quality = quality or Quality()
        self._taken: set[int] = set()
        self._next = 100

    def __repr__(self) -> str:
        return f"Link({self.name!r}, {str(self.subnet)!r})"

    def at(self, number: int) -> Attachment:
        """The `number`-th address of the subnet, fixed.

        Raises:
            BadInput: outside the subnet, or given twice.
        """
        if not 0 < number < self.subnet.num_addresses - 1:
            raise BadInput(
                f"link {self.name}: {number} is outside {self.subnet}, "
                f"which has the host numbers 1 to {self.subnet.num_addresses - 2}"
            )
        if number in self._taken:
            raise BadInput(f"link {self.name}: address {self.subnet[number]} is given twice")
        self._taken.add(number)
        address = str(self.subnet[number])
        return Attachment(self.name, By.STATIC, address, self.subnet.prefixlen)

    def next_free(self) -> Attachment:
        """The next address that nobody has asked for, from number 100 on."""
        while self._next in self._taken:
            self._next += 1
        return self.at(self._next)

    def by_dhcp(self) -> Attachment:
        """No address until a DHCP server on the link leases one."""
        return Attachment(self.name, By.DHCP, None, self.subnet.prefixlen)


@dataclass(frozen=True, slots=True)
class Node:
    """One box.  Interface number n (`eth0`, `eth1`, ...) is attachment number n.

    Attributes:
        name: unique in the topology; the n-th repetition of `hnb` is `hnb2`, `hnb3`, ...
        role: the role module that plays it ("hnb"): the name without the number.
        attachments: its interfaces, in order.
        nat: what it does to packets that it forwards; None: it forwards nothing.
        router: default router of its static interfaces; None: none (its own link only).
        names: DNS names under which its first static address is published.
        settings: what its role is told ("lease_s"), by name.
        pool: outside addresses that its NAT has beside that of its outside interface.
    """

    name: str
    role: str
    attachments: tuple[Attachment, ...]
    nat: Nat | None = None
    router: str | None = None
    names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    pool: tuple[str, ...] = ()

    @property
    def address(self) -> str | None:
        """Its first static address."""
        return next((a.address for a in self.attachments if a.address), None)


class Topology:
    """Links and nodes, in the order in which they were named.

    Args:
        title: what it is; the first line of a topology function's docstring.

    Attributes:
        esp: who does ESP in it.
    """

    def __init__(self, title: str | None = None) -> None:
        self.title = (title or "").strip().split("\n")[0]
        self.links: dict[str, Link] = {}
        self.nodes: dict[str, Node] = {}
        self.esp = Esp.USER
        self._suffix = ""

    def link(self, name: str, subnet: str, **qualities: object) -> Link:
        """A new link.  Inside `repeat` its name gets the repetition's number.

        Args:
            name: unique in the topology.
            subnet: of all who are on it.
            qualities: how it carries frames, by the names of `Quality`.

        Raises:
            BadInput: the name is taken, that is no subnet, or a quality is unknown or out of its
                range.
        """
        name += self._suffix
        if name in self.links:
            raise BadInput(f"topology: two links are called {name!r}")
        self.links[name] = Link(name, subnet, Quality().changed(qualities))
        return self.links[name]

    def node(
        self,
        name: str,
        *attachments: Attachment,
        nat: Nat | None = None,
        role: str | None = None,
        router: str | None = None,
        names: tuple[str, ...] = (),
        **settings: Any,
    ) -> Node:
        """A new node; its role is its name unless said otherwise.

        Raises:
            BadInput: the name is taken, or too long for a kernel's interface names.
        """
        full = name + self._suffix
        if full in self.nodes:
            raise BadInput(f"topology: two nodes are called {full!r}")
        node = Node(full, role or name, attachments, nat, router, names, settings)
        self.nodes[full] = node
        return node

    def repeat(self, what: str, count: int) -> Iterator[Topology]:
        """The same wiring `count` times; the names of repetition n > 1 end with n.

        Raises:
            BadInput: fewer than one.
        """
        if count < 1:
            raise BadInput(f"topology: {count} of {what!r}: at least 1 is needed")
        for number in range(1, count + 1):
            self._suffix = "" if number == 1 else str(number)
            yield self
        self._suffix = ""

    def on_link(self, link: str) -> list[tuple[Node, int]]:
        """Every (node, interface number) on that link."""
        return [
            (node, number)
            for node in self.nodes.values()
            for number, attachment in enumerate(node.attachments)
            if attachment.link == link
        ]

    def find(self, name: str) -> Node:
        """The node of that name.

        Raises:
            BadInput: there is none; names the nearest.
        """
        if name not in self.nodes:
            raise unknown("node", name, self.nodes)
        return self.nodes[name]


TopologyFunction = Callable[..., Topology]


def interface_name(number: int) -> str:
    """The kernel's name of a node's interface number `number`."""
    return f"eth{number}"


def hardware_address(topology: Topology, node: str, number: int) -> str:
    """The link-layer address of an interface: the same in every run and every engine.

    Locally administered (02); then the node's number in the topology and the interface's.
    """
    return _hardware_address(list(topology.nodes).index(node), number)


def _hardware_address(index: int, number: int) -> str:
    return f"02:00:{index >> 16 & 255:02x}:{index >> 8 & 255:02x}:{index & 255:02x}:{number:02x}"


def hardware_addresses(topology: Topology) -> dict[tuple[str, int], str]:
    """The link-layer addresses of all interfaces, by node and number of the interface."""
    return {
        (name, number): _hardware_address(index, number)
        for index, (name, node) in enumerate(topology.nodes.items())
        for number in range(len(node.attachments))
    }


def ladder_order(topology: Topology) -> list[str]:
    """The nodes from left to right, as the specs draw them: who asks for an address, who
    translates, and then all others."""

    def column(name: str) -> int:
        node = topology.nodes[name]
        if any(each.by is By.DHCP for each in node.attachments):
            return 0
        return 1 if node.nat is not None else 2

    return sorted(topology.nodes, key=column)


def places(topology: Topology) -> dict[str, tuple[str, str, str]]:
    """Who is where: link-layer address to (node, interface, link), in the ladder's order."""
    hardware = hardware_addresses(topology)
    return {
        hardware[name, number]: (name, interface_name(number), attachment.link)
        for name in ladder_order(topology)
        for number, attachment in enumerate(topology.nodes[name].attachments)
    }


def static_addresses(topology: Topology) -> dict[tuple[str, str], str | tuple[str, ...]]:
    """The addresses that nodes have from the start, by (node, interface); those of a loopback for
    the nodes whose loopback is captured."""
    held: dict[tuple[str, str], str | tuple[str, ...]] = {
        (name, interface_name(number)): attachment.address
        for name, node in topology.nodes.items()
        for number, attachment in enumerate(node.attachments)
        if attachment.address is not None
    }
    for name, node in topology.nodes.items():
        if node.settings.get("loopback"):
            held[name, LOOPBACK] = LOOPBACK_ADDRESSES
    return held
