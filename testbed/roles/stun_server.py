"""The STUN server that an ACS is associated with (TR-111 Part 2, 2.2.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from typing import Any

from testbed.errors import BadInput
from testbed.host import Host, Piece, SidedDrive
from testbed.protocols import stun
from testbed.protocols.stun import ServerSide
from testbed.protocols.wire import Endpoint
from testbed.roles.role import Role
from testbed.topology import Node

OTHER_PORT = 3479
MOST_OCTETS = 1472
"""Of a connection request: TR-111 2.2.2.3 has it "within a single UDP packet"."""


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(_text(each) for each in value)
    return str(value.value) if isinstance(value, Enum) else str(value)


class StunServer(Role):
    """Serves STUN on the node's addresses.

    Settings of the node: `port` (else 3478), `other_port` (else none, or 3479 where the node has
    two addresses), `secrets` (password by STUNUsername).

    Attributes:
        secrets: passwords by username; may change while it runs.
        secret: looks a password up; an ACS that keeps them itself puts its own look-up here.
        policy: may be changed while it runs (`set_policy`).
        bindings: the endpoint that each username has proved last.
        on_binding: called with each proved binding; the ACS puts itself here.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        settings = node.settings
        self.secrets: dict[str, str] = dict(settings.get("secrets", {}))
        self.secret: stun.Secret = self.secrets.get
        self.policy = stun.ServerPolicy()
        self.bindings: dict[str, Endpoint] = {}
        self.on_binding: list[Callable[[stun.BindingStored], None]] = []
        self.machine = stun.StunServer(self._sides(node), self._secret, self.policy)
        self._drive: SidedDrive[stun.Message, stun.ServerEvent, ServerSide] | None = None

    @staticmethod
    def _sides(node: Node) -> dict[ServerSide, Endpoint]:
        addresses = [each.address for each in node.attachments if each.address is not None]
        port = node.settings.get("port", stun.PORT)
        default = OTHER_PORT if len(addresses) > 1 else None
        other_port = node.settings.get("other_port", default)
        sides = {ServerSide.MAIN: Endpoint(addresses[0], port)}
        if other_port is not None:
            sides[ServerSide.OTHER_PORT] = Endpoint(addresses[0], other_port)
        if len(addresses) > 1:
            sides[ServerSide.OTHER_ADDRESS] = Endpoint(addresses[1], port)
            if other_port is not None:
                sides[ServerSide.OTHER_BOTH] = Endpoint(addresses[1], other_port)
        return sides

    def _secret(self, username: str) -> str | None:
        return self.secret(username)

    @property
    def endpoint(self) -> Endpoint:
        """Its main address and port."""
        return self.machine.sides[ServerSide.MAIN]

    # Power.

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: a port is taken, or an address is not this node's.
        """
        mend = self.mend_of("stun")
        self._drive = self.keep(
            await SidedDrive.open(self.machine, self.host, self.machine.sides, self._took, mend)
        )

    def stop(self) -> None:
        """Power off."""
        super().stop()
        self._drive = None

    # What scenarios and the ACS ask of it.

    def set_policy(self, **changes: Any) -> None:
        """Change the policy; holds from the next request."""
        # Told, so that a judge knows what was meant to be.
        self.host.tell("STUN_POLICY", **{name: _text(value) for name, value in changes.items()})
        self.policy = self.machine.policy = dataclasses.replace(self.policy, **changes)

    def provision(self, username: str, password: str) -> None:
        """Give a CPE's STUNUsername and STUNPassword.

        Raises:
            BadInput: the name is empty, or another CPE has it (TR-111 2.2.2.2.1: "MUST be unique").
        """
        if not username or not password:
            raise BadInput(f"{self.name}: STUNUsername and STUNPassword may not be empty")
        if self.secrets.get(username, password) != password:
            raise BadInput(f"{self.name}: STUNUsername {username!r} is taken by another CPE")
        self.secrets[username] = password

    def verify_next(self, username: str) -> None:
        """Have the next request of this CPE from its primary port prove where it comes from."""
        self.machine.verify_next(username)

    def send_connection_request(
        self, destination: Endpoint, datagram: bytes, copies: int = 3
    ) -> None:
        """Send a UDP Connection Request from the server's own address and port.

        Args:
            destination: the CPE's binding.
            datagram: the whole request.
            copies: how often; all are identical.

        Raises:
            BadInput: it does not fit a packet, or the server has no power.
        """
        if len(datagram) > MOST_OCTETS:
            raise BadInput(
                f"{self.name}: a connection request of {len(datagram)} octets does not fit one "
                f"packet, {MOST_OCTETS} do"
            )
        if self._drive is None:
            raise BadInput(f"{self.name} has no power: it can send no connection request")
        port = self._drive.ports[ServerSide.MAIN]
        pieces: list[Piece] = [datagram] * copies
        for cut in self.mend_of("connection request").octets:
            pieces = [
                new
                for old in pieces
                for new in (cut(old, destination) if isinstance(old, bytes) else [old])
            ]
        for each in pieces:
            if isinstance(each, bytes):
                port.send(each, destination)

    # What its machine tells.

    def _took(self, event: stun.ServerEvent) -> None:
        tell = self.host.tell
        match event:
            case stun.BindingStored(username, endpoint, transaction_id):
                self.bindings[username] = endpoint
                told = {"username": username, "endpoint": str(endpoint)}
                tell("BINDING_STORED", **told, transaction_id=transaction_id.hex())
                for call in self.on_binding:
                    call(event)
            case stun.Sighted(username, endpoint):
                # TR-111 2.2.2.2.1: the name "allows the ACS to tentatively determine" who it is.
                tell("TENTATIVE", username=username, endpoint=str(endpoint))
            case stun.Refused(code, source, username):
                tell("STUN_REFUSED", code=code, source=str(source), username=username)
            case stun.ServerMalformed(error, source):
                tell("MALFORMED", protocol="STUN", source=str(source), error=str(error))
