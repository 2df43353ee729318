"""Ports below UDP and TCP: what IP carries under a protocol number, for kernels without SCTP.

Kernels with SCTP are kept from answering too, so that all show the same.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from testbed.engines.emulation import kernel_sctp
from testbed.engines.emulation.ports import AT_A_TIME, LOST, PortOwner, require_address
from testbed.host import DatagramHandler, Port
from testbed.protocols.wire import Endpoint

MOST_OCTETS = 65536


class RawPort:
    """A raw socket.  Fits `testbed.host.Port`; endpoints have port 0.

    Args:
        owner: the node.
        protocol: the number above IP.
        local: only what comes to this address; "0.0.0.0" for any.
        handler: called with each packet without its IP header.

    Raises:
        OSError: the address is not the node's.
        MissingFeature: the kernel's own SCTP cannot be kept quiet.
    """

    def __init__(
        self, owner: PortOwner, protocol: int, local: str, handler: DatagramHandler
    ) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        bound = owner.namespace.socket(socket.AF_INET, kind, protocol)
        try:
            if protocol == kernel_sctp.PROTOCOL and kernel_sctp.kernel_has_it():
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, kernel_sctp.MARK)
                kernel_sctp.silence(owner.namespace)
            bound.bind((require_address(local), 0))
        except BaseException:
            bound.close()
            raise
        self.local = Endpoint(local, 0)
        self._owner = owner
        self._socket = bound
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(bound, self._readable)

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        """Send one packet; the kernel adds the IP header.  What the network refuses is lost."""
        if self._socket.fileno() < 0:
            return
        try:
            self._socket.sendto(data, (require_address(destination.address), 0))
        except OSError as error:
            if error.errno not in LOST:
                raise

    def close(self) -> None:
        """Give the socket back."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._owner.forget(self)

    def forget_addresses(self) -> None:
        """Nothing was learnt."""

    def _readable(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                packet, source = self._socket.recvfrom(MOST_OCTETS)
            except OSError:
                return
            header_octets = (packet[0] & 15) * 4
            sender = Endpoint(source[0], 0)
            self._owner.guard(self._handler, packet[header_octets:], sender)
            if self._socket.fileno() < 0:
                return  # the handler has closed it


if TYPE_CHECKING:
    _FITS: type[Port] = RawPort
