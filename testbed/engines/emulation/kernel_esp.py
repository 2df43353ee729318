"""ESP by the kernel: the XFRM interface that all tunnels of a node go through, and its end.

charon puts the keys into the kernel, where they outlive it; those that it uses itself do not.
"""

from __future__ import annotations

import errno
import struct
from contextlib import suppress

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.rtnetlink import NetlinkError, RouteSocket
from testbed.errors import MissingFeature

# linux/netlink.h, linux/xfrm.h
_NETLINK_XFRM = 6
_FLUSH_ASSOCIATIONS, _FLUSH_POLICIES = 28, 29
_ANY_PROTOCOL = 255
_NOTHING_TO_FLUSH = errno.ESRCH
_MTU = 1400
"""That of kernel-libipsec's interface: there is room for ESP and UDP on every link."""


class KernelEsp:
    """What the kernel holds of a node's tunnels.

    Args:
        namespace: the node's.
        netlink: configures it.
        interface: name of the inside.
        interface_id: ties charon's policies to the interface.
    """

    def __init__(
        self, namespace: Namespace, netlink: Netlink, interface: str, interface_id: int
    ) -> None:
        self._namespace = namespace
        self._netlink = netlink
        self._interface = interface
        self._interface_id = interface_id

    def begin(self) -> None:
        """Make the interface, which charon then gives its addresses.

        Raises:
            MissingFeature: this kernel has no such interfaces.
        """
        try:
            self._netlink.add_xfrm(self._interface, self._interface_id, _MTU)
            self._netlink.turn_offloads_off(self._interface)
        except NetlinkError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            raise MissingFeature(
                f"{self._namespace.name}: this kernel has no XFRM interfaces, which ESP by the "
                "kernel needs (modprobe xfrm_interface as root, or leave out esp=kernel)"
            ) from None

    def end(self) -> None:
        """charon has died: its security associations, its policies and the interface go too."""
        kernel = _XfrmSocket(self._namespace)
        try:
            kernel.clear()
        finally:
            kernel.close()
        with suppress(NetlinkError, OSError):  # it may not have come into being
            self._netlink.delete(self._interface)


class _XfrmSocket(RouteSocket):
    def __init__(self, namespace: Namespace) -> None:
        super().__init__(namespace, _NETLINK_XFRM)

    def clear(self) -> None:
        """No association and no policy is left."""
        any_protocol = struct.pack("=Bxxx", _ANY_PROTOCOL)
        for kind, body in ((_FLUSH_ASSOCIATIONS, any_protocol), (_FLUSH_POLICIES, b"")):
            try:
                self._ask(kind, 0, body, "forget what IPsec knows")
            except NetlinkError as error:
                if error.errno != _NOTHING_TO_FLUSH:
                    raise
