"""An ACS that is its own STUN server: one process, one store of secrets and bindings.

TR-111 Part 2, 2.2.2, leaves that free.
"""

from __future__ import annotations

import asyncio

from testbed.host import Host
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.roles.hms import Hms
from testbed.roles.stun_server import StunServer
from testbed.topology import Node

USERNAME, PASSWORD = ".ManagementServer.STUNUsername", ".ManagementServer.STUNPassword"


class AcsWithStun(Hms):
    """Serves STUN beside CWMP, at the same address; a secret is known from when it was set.

    Attributes:
        stun: its STUN server.
        cpes: the serial number of each CPE by its STUNUsername.
        bindings: what each CPE has proved last, by serial number.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.stun = StunServer(host, node)
        self.cpes: dict[str, str] = {}
        self.bindings: dict[str, Endpoint] = {}
        self.stun.on_binding.append(self._proved)

    async def start(self) -> None:
        """Listen by both protocols.

        Raises:
            OSError: a port is taken, or an address is not this node's.
            LocalError: its URL is https and it has no identity.
        """
        await super().start()
        await self.stun.start()

    def stop(self) -> None:
        """Power off."""
        self.stun.stop()
        super().stop()

    def call(self, serial_number: str, request: rpc.Rpc) -> asyncio.Future[rpc.Rpc]:
        """As of every ACS; what it sets of STUN's secrets its STUN server knows as well.

        Raises:
            BadInput: another CPE has this STUNUsername.
        """
        if isinstance(request, rpc.SetParameterValues):
            username = _value(request, USERNAME)
            password = _value(request, PASSWORD)
            if username and password:
                self.stun.provision(username, password)
                self.cpes[username] = serial_number
        return super().call(serial_number, request)

    def _proved(self, binding: stun.BindingStored) -> None:
        """TR-111 2.2.2.2.1: the binding is that of the CPE with this STUNUsername."""
        serial_number = self.cpes[binding.username]
        self.bindings[serial_number] = binding.endpoint
        self.host.tell("BINDING_KNOWN", device=serial_number, endpoint=str(binding.endpoint))


def _value(request: rpc.SetParameterValues, path: str) -> str:
    return next((each.value for each in request.parameters if each.name.endswith(path)), "")
