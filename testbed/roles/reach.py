"""How an ACS reaches its CPEs: by UDP through a NAT, by TCP where there is none (TR-111 Part 2,
2.2.2.2).

For each CPE it is chosen how the binding is learnt: from the STUN server that verifies it, or from
the notifications of the CPE.  Name and password are those that the ACS has set: a CPE tells its
password as empty (AMB-P2-24).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from typing import Any, Protocol

from testbed.errors import BadInput, PeerError
from testbed.host import Host
from testbed.protocols import dns, stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.structs import AttributeChange
from testbed.protocols.http import Url
from testbed.protocols.wire import Endpoint
from testbed.roles.udp_requests import UdpRequests

OBJECT = ".ManagementServer."
ADDRESS, NAT_DETECTED, URL = "UDPConnectionRequestAddress", "NATDetected", "ConnectionRequestURL"
ACTIVE = 2


class Approach(Enum):
    """How the ACS learns where a CPE is (2.2.2.2)."""

    STUN_BASED = "stun-based"
    NOTIFICATION_BASED = "notification-based"


class Server(Protocol):
    """The STUN server that an ACS is associated with."""

    on_binding: list[Callable[[stun.BindingStored], None]]

    def provision(self, username: str, password: str) -> None:
        """Give a CPE's STUNUsername and STUNPassword; refuses a name that is taken."""

    def send_connection_request(
        self, destination: Endpoint, datagram: bytes, copies: int = 3
    ) -> None:
        """Send a request from the server's own address and port."""


@dataclass(slots=True)
class Reachable:
    """What an ACS knows of a CPE that it may want to reach.

    Attributes:
        serial_number: whose.
        approach: how its binding is learnt.
        values: parameters below ManagementServer, as they were set or told last.
        binding: what the STUN server has verified; None: nothing yet.
    """

    serial_number: str
    approach: Approach = Approach.STUN_BASED
    values: dict[str, str] = field(default_factory=dict)
    binding: Endpoint | None = None

    def value(self, name: str) -> str:
        """A parameter; "": nobody has told it."""
        return self.values.get(name, "")


class Reach:
    """One ACS's ways to its CPEs.

    Attributes:
        known: what it knows, by serial number.
        requests: makes the requests.

    Args:
        host: for randomness and events.
        requests: makes the requests.
        call: calls a method of a CPE in its next session.
        by_tcp: sends a connection request by TCP: serial number, name, password; gives the status.
        resolve: gives a name's addresses.
    """

    def __init__(
        self,
        host: Host,
        requests: UdpRequests,
        call: Callable[[str, rpc.Rpc], Any],
        by_tcp: Callable[[str, str, str], Awaitable[int]],
        resolve: Callable[[str], Awaitable[dns.Resolution]],
    ) -> None:
        self.known: dict[str, Reachable] = {}
        self.requests = requests
        self._host = host
        self._call = call
        self._by_tcp = by_tcp
        self._resolve = resolve
        self._server: Server | None = None
        self._verified: dict[str, Endpoint] = {}

    def uses(self, server: Server) -> None:
        """Be associated with this STUN server: it tells bindings, and sends requests."""
        self._server = server
        server.on_binding.append(self._bound)

    # What it knows.

    def manage(self, serial_number: str, approach: Approach, root: str = "Device") -> Reachable:
        """Choose how a CPE's binding is learnt; it is followed from its next session on.

        With the notification-based approach that session sets active notification, before anything
        that is called later: a binding that is learnt before that would be told by chance.
        """
        each = self.known.setdefault(serial_number, Reachable(serial_number))
        each.approach = approach
        if approach is Approach.NOTIFICATION_BASED:
            change = AttributeChange(f"{root}{OBJECT}{ADDRESS}", True, ACTIVE)
            self._call(serial_number, rpc.SetParameterAttributes((change,)))
        return each

    def credentials(self) -> tuple[str, str]:
        """A STUNUsername that no other CPE has, and a STUNPassword of 128 bits (AMB-P2-25)."""
        taken = {each.value("STUNUsername") for each in self.known.values()}
        while (username := f"cpe-{self._host.random.getrandbits(32):08x}") in taken:
            pass
        password = f"{self._host.random.getrandbits(128):032x}"
        if self._server is not None:
            self._server.provision(username, password)
        return username, password

    def informed(self, serial_number: str, inform: rpc.Inform) -> None:
        """A CPE has opened a session: where its address is another one, NATDetected is read."""
        each = self.known.get(serial_number)
        if each is None:
            return
        before = each.value(ADDRESS)
        self._told(each, inform.parameters)
        if each.approach is not Approach.NOTIFICATION_BASED or not inform.parameters:
            return
        root = inform.parameters[0].name.partition(".")[0]
        names = [parameter.name.partition(OBJECT)[2] for parameter in inform.parameters]
        if each.value(ADDRESS) != before and NAT_DETECTED not in names:
            self._call(serial_number, rpc.GetParameterValues((f"{root}{OBJECT}{NAT_DETECTED}",)))

    def answered(self, serial_number: str, request: rpc.Rpc, response: rpc.Rpc) -> None:
        """A CPE has answered a call."""
        each = self.known.get(serial_number)
        if each is None:
            return
        if isinstance(request, rpc.SetParameterValues) and not isinstance(response, rpc.Fault):
            self._told(each, request.parameters)
            self._record(each)  # a CPE may be bound before its answer is here
        elif isinstance(response, rpc.GetParameterValuesResponse):
            self._told(each, response.parameters)

    def _told(self, each: Reachable, parameters: Iterable[rpc.ParameterValue]) -> None:
        for parameter in parameters:
            _, is_there, name = parameter.name.partition(OBJECT)
            if is_there:
                each.values[name] = parameter.value

    def _bound(self, event: stun.BindingStored) -> None:
        """The server passes on what it has verified (2.2.2.2.1)."""
        self._verified[event.username] = event.endpoint
        for each in self.known.values():
            if each.value("STUNUsername") == event.username:
                each.binding = None
                self._record(each)

    def _record(self, each: Reachable) -> None:
        """Keep the binding that was verified for the CPE's username, if it is another one."""
        username = each.value("STUNUsername")
        binding = self._verified.get(username)
        if binding is None or binding == each.binding:
            return
        each.binding = binding
        self._host.tell(
            "BINDING_RECORDED",
            serial_number=each.serial_number,
            username=username,
            endpoint=str(binding),
        )

    # Asking for a session.

    async def ask(self, serial_number: str) -> None:
        """Ask a CPE for a session: by UDP, or by TCP where nothing is translated.

        Raises:
            BadInput: nobody has chosen how that CPE's binding is learnt.
        PeerError: where it is is not known, or the way to it cannot be gone.
            OSError: no connection by TCP.
        """
        each = self.known.get(serial_number)
        if each is None:
            raise BadInput(f"the ACS does not manage {serial_number}: choose its approach first")
        name, key = each.value("ConnectionRequestUsername"), each.value("ConnectionRequestPassword")
        if not self._is_translated(each):
            self._host.tell("ASKED", serial_number=serial_number, way="tcp", to=each.value(URL))
            status = await self._by_tcp(serial_number, name, key)
            if status != 200:
                raise PeerError(f"{serial_number} answers {status} to a connection request")
            return
        address = self._address(each)
        to, request = self.requests.request(address, name, key)
        to = Endpoint(await self._resolved(to.address), to.port)
        if self._server is None:
            raise BadInput("the ACS has no STUN server: it can send no UDP Connection Request")
        self._host.tell("ASKED", serial_number=serial_number, way="udp", to=address)
        self._server.send_connection_request(to, request.encode())

    def _address(self, each: Reachable) -> str:
        if each.approach is Approach.NOTIFICATION_BASED:
            address = each.value(ADDRESS)
        else:
            address = str(each.binding) if each.binding is not None else ""
        if not address:
            raise PeerError(f"no binding of {each.serial_number} is known")
        return address

    def _is_translated(self, each: Reachable) -> bool:
        """2.2.2.2.1 and 2.2.2.2.2: the ACS may find that there is no NAT any more."""
        if each.approach is Approach.NOTIFICATION_BASED:
            return each.value(NAT_DETECTED) not in ("0", "false")
        if each.binding is None:
            return True
        try:
            return Url.parse(each.value(URL)).host != each.binding.address
        except BadInput:
            return True

    async def _resolved(self, name: str) -> str:
        """2.2.2.2.2: "if the host portion is a domain name", DNS gives the address, each time."""
        try:
            return str(ip_address(name))
        except ValueError:
            result = await self._resolve(name)
        if isinstance(result, dns.Resolved):
            return result.addresses[0]
        raise PeerError(f"{name}: {result.cause}, {result.detail}")
