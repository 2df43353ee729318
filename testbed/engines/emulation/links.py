"""Mininet's interfaces and links, made and configured by netlink instead of by a shell's commands.

They stand under `mininet.net.Mininet` in the place of `Intf` and `Link`, between nodes of `nodes`.
"""
# ruff: noqa: N802, N803, N815 -- the names of methods, arguments and attributes are Mininet's

from __future__ import annotations

import errno
import zlib
from ipaddress import AddressValueError, IPv4Interface, NetmaskValueError
from typing import Any

from mininet.link import Intf, Link

from testbed.engines.emulation.netlink import NetlinkError
from testbed.errors import BadInput

_NAME_MOST = 15
"""Octets of an interface's name: IFNAMSIZ less the closing zero."""


def kernel_name(name: str, ending: str = "") -> str:
    """`name` + `ending`; a name too long for the kernel is shortened, and marked as such."""
    if len(name) + len(ending) <= _NAME_MOST:
        return name + ending
    mark = f"~{zlib.crc32(name.encode()) & 0xFFF:03x}"
    return name[: _NAME_MOST - len(mark) - len(ending)] + mark + ending


class LabIntf(Intf):  # type: ignore[misc]  # Mininet has no types
    """One interface.  What it says of itself is what the kernel says now, not what was last set."""

    name: str
    ip: str | None
    prefixLen: int | None
    mac: str | None

    def __init__(self, name: str, node: Any = None, **params: Any) -> None:
        self._routers: list[str] = []
        super().__init__(name, node=node, **params)

    @property
    def qualified_name(self) -> str:
        """The name that tells it from the other nodes' interfaces: "hnb-eth0"."""
        if self.name.startswith("eth"):
            return f"{self.node.name}-{self.name}"
        return str(self.name)

    def ifconfig(self, *args: Any) -> str:
        """As the program does.  Up and down, alone, need no program.

        A default route over the interface comes back with it, as it does not after the program.
        """
        if args in (("up",), ("down",)):
            self.set_up(args[0] == "up")
            return ""
        return str(super().ifconfig(*args))

    def set_up(self, up: bool) -> None:
        """Set the interface up or down; its default route comes back with it."""
        netlink = self.node.netlink
        if not up:
            index = netlink.index(self.name)
            routers = [router for router, over in netlink.default_routes() if over == index]
            self._routers = [router for router in routers if router] or self._routers
        netlink.set_up(self.name, up)
        if up and self._routers:
            routers, self._routers = self._routers, []
            if not netlink.default_routes():
                netlink.set_default_route(routers[0])

    def setIP(self, ipstr: str, prefixLen: int | str | None = None) -> str:
        """Give it this IPv4 address in place of the one it had, and set it up."""
        if "/" not in ipstr:
            if prefixLen is None:
                raise BadInput(f"{self.node} {self}: address {ipstr} needs a prefix length")
            ipstr = f"{ipstr}/{prefixLen}"
        try:
            wanted = IPv4Interface(ipstr)
        except (AddressValueError, NetmaskValueError) as error:
            raise BadInput(f"{self.node} {self}: {ipstr} is no IPv4 address: {error}") from None
        self.ip, self.prefixLen = str(wanted.ip), wanted.network.prefixlen
        self.node.netlink.set_address(self.name, self.ip, self.prefixLen)
        self.set_up(True)
        return ""

    def setMAC(self, macstr: str) -> str:
        """Change the hardware address."""
        self.mac = macstr
        self.node.netlink.set_hardware_address(self.name, macstr)
        return ""

    def IP(self) -> str | None:
        """The first IPv4 address it has now."""
        return self.updateIP()

    def updateIP(self) -> str | None:
        """The first IPv4 address it has now."""
        if self.name != "lo":
            addresses = self._ask(self.node.netlink.addresses)
            self.ip, self.prefixLen = addresses[0] if addresses else (None, None)
        return self.ip

    def updateMAC(self) -> str | None:
        """The hardware address it has now."""
        state = self._ask(self.node.netlink.link)
        self.mac = state.hardware_address if state else None
        return self.mac

    def updateAddr(self) -> tuple[str | None, str | None]:
        """The IPv4 address and the hardware address that it has now."""
        return self.updateIP(), self.updateMAC()

    def isUp(self, setUp: bool = False) -> bool:
        """Whether an administrator has it up; with `setUp`, set it up."""
        if setUp:
            self.set_up(True)
            return True
        state = self._ask(self.node.netlink.link)
        return bool(state and state.up)

    def rename(self, newname: str) -> str:
        """Rename it."""
        self.node.nameToIntf[newname] = self.node.nameToIntf.pop(self.name)
        self.set_up(False)
        self.node.netlink.rename(self.name, newname)
        self.name = newname
        self.set_up(True)
        return ""

    def delete(self) -> None:
        """Remove it, and with it the other end of its link."""
        self._ask(self.node.netlink.delete)
        self.node.delIntf(self)
        self.link = None

    def status(self) -> str:
        """OK while the kernel has it, else MISSING."""
        return "OK" if self._ask(self.node.netlink.link) else "MISSING"

    def _ask(self, question: Any) -> Any:
        """The answer about this interface; None when the interface or the node is gone."""
        try:
            return question(self.name)
        except NetlinkError as error:
            if error.errno not in (errno.ENODEV, errno.EBADF):
                raise
            return None


class LabLink(Link):  # type: ignore[misc]  # Mininet has no types
    """A pair of virtual Ethernet interfaces between two of our nodes, offloads off.

    In a node with a namespace of its own the interfaces are eth0, eth1, ...; in the root
    namespace, and on switches, they bear the node's name before it.
    """

    def __init__(self, node1: Any, node2: Any, *args: Any, **params: Any) -> None:
        self._gone = False
        if params.get("intf", Intf) is Intf:
            params["intf"] = LabIntf
        params["fast"] = True
        # The second end is set up as it is made, so that a switch's port is up before its node's
        # interface: whichever comes up last sends at once.
        params["params2"] = {"up": None, **(params.get("params2") or {})}
        super().__init__(node1, node2, *args, **params)

    def intfName(self, node: Any, n: int) -> str:
        """The kernel's name of the node's n-th interface."""
        return f"eth{n}" if node.inNamespace else kernel_name(node.name, f"-eth{n}")

    def makeIntfPair(
        self,
        intfname1: str,
        intfname2: str,
        addr1: str | None = None,
        addr2: str | None = None,
        node1: Any = None,
        node2: Any = None,
        deleteIntfs: bool = False,
    ) -> None:
        """Make both ends where they belong; the second is up."""
        node2.netlink.add_veth(intfname2, intfname1, node1.namespace, addr2, addr1, up=True)
        node1.netlink.turn_offloads_off(intfname1)
        node2.netlink.turn_offloads_off(intfname2)

    def delete(self) -> None:
        """Remove both interfaces."""
        if not self._gone:
            self._gone = True
            self.intf1.delete()
            self.intf2.delete()

    def forget(self) -> None:
        """Leave its interfaces to the end of their namespaces."""
        self._gone = True

    def __str__(self) -> str:
        return f"{self.intf1.qualified_name}<->{self.intf2.qualified_name}"
