"""STUN servers that are not what RFC 3489 and TR-111 want, a CPE that believes whoever answers, and
an ACS without a STUN server."""

from __future__ import annotations

from itertools import count
from typing import Any

from testbed.faults.fault import fault
from testbed.faults.stun_auth import set_otherwise
from testbed.protocols import stun
from testbed.protocols.stun import Kind
from testbed.protocols.stun.attributes import error_code
from testbed.protocols.wire import Endpoint
from testbed.roles.managed_device import ManagedDevice
from testbed.roles.stun_server import StunServer

CONFORMANCE = ("stun_server_conformance/",)


def _received(server: StunServer, instead: Any) -> None:
    """Have what came be given to `instead`, with what would have been done with it."""
    machine: Any = server.machine
    receive = machine.receive

    def otherwise(data: bytes, source: Endpoint, now: float, side: Any) -> None:
        instead(receive, data, source, now, side)

    machine.receive = otherwise


@fault(
    "stun.server-ignores-response-address",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S1"],
    seen_in="coturn, STUNTMAN",
    shown_in=CONFORMANCE,
)
def server_ignores_response_address(server: StunServer) -> None:
    """Responses go to whoever asks, wherever RESPONSE-ADDRESS says."""
    server.set_policy(reflection="never")


@fault(
    "stun.server-reflects-anonymously",
    role="stun_server",
    breaks=["TR111-2.3-S1", "TR111-2.2.2.1-S1"],
    seen_in="Vovida stund",
    shown_in=CONFORMANCE,
)
def server_reflects_anonymously(server: StunServer) -> None:
    """Responses go to any RESPONSE-ADDRESS, and do not tell who asked."""
    server.set_policy(reflection="always")
    server.mend_of("stun").message.append(
        lambda message, to: [message.without(Kind.REFLECTED_FROM)]
    )


@fault(
    "stun.server-ignores-the-unknown",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S1"],
    seen_in="STUNTMAN",
    shown_in=CONFORMANCE,
)
def server_ignores_the_unknown(server: StunServer) -> None:
    """Unknown attributes below 0x8000 are passed over, as if they were optional."""

    def tolerant(receive: Any, data: bytes, source: Endpoint, *more: Any) -> None:
        message = stun.decode(data)
        known = [e for e in message.attributes if e.type <= Kind.REFLECTED_FROM or e.type > 0x7FFF]
        receive(message.replacing(known).encode(), source, *more)

    _received(server, tolerant)


@fault(
    "stun.server-says-400-to-all",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S1"],
    shown_in=CONFORMANCE,
)
def server_says_400_to_all(server: StunServer) -> None:
    """Every error but a challenge is 400 (Bad Request)."""

    def bad(message: stun.Message, to: Endpoint) -> list[stun.Message]:
        if message.error_code in (None, 401):
            return [message]
        return [message.replacing([error_code(400, "Bad Request")])]

    server.mend_of("stun").message.append(bad)


@fault(
    "stun.server-dies-of-a-shared-secret-request",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S2", "TR111-2.2.2.1-S1"],
    seen_in="Vovida stund",
    shown_in=CONFORMANCE,
)
def server_dies_of_a_shared_secret_request(server: StunServer) -> None:
    """After a Shared Secret Request nobody is answered any more."""
    dead: list[bool] = []

    def mortal(receive: Any, data: bytes, *more: Any) -> None:
        if data[:2] == b"\x00\x02":
            dead.append(True)
        if not dead:
            receive(data, *more)

    _received(server, mortal)


@fault(
    "stun.server-refuses-change-request",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S6"],
    shown_in=("stun_server_conformance/one_address",),
)
def server_refuses_change_request(server: StunServer) -> None:
    """A server without a second address answers CHANGE-REQUEST by 420."""
    machine: Any = server.machine
    bind = machine._bind

    def refusing(request: Any, source: Endpoint, now: float, side: Any) -> None:
        if request.change_request is None:
            bind(request, source, now, side)
        else:
            machine._error(420, request, source, side, [Kind.CHANGE_REQUEST])

    machine._bind = refusing


@fault(
    "stun.server-challenges-at-random",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S7"],
    shown_in=("stun_server_conformance/challenges",),
)
def server_challenges_at_random(server: StunServer) -> None:
    """Every second request is challenged, whatever it is."""
    number = count()
    machine: Any = server.machine
    machine._challenges = lambda held, username: next(number) % 2 == 0


@fault(
    "stun.believes-whoever-answers",
    role="device",
    breaks=["TR111-2.3-S1"],
    seen_in="clients that compare no transaction IDs",
    shown_in=("stun_server_conformance/off_path",),
)
def believes_whoever_answers(device: ManagedDevice) -> None:
    """A Binding Response counts, whatever its transaction ID is."""
    machine: Any = device.stun.machine
    receive = machine.receive

    def credulous(data: bytes, source: Endpoint, now: float, side: Any) -> None:
        message = stun.decode(data) if stun.is_stun(data) else None
        is_strange = message is not None and message.transaction_id not in machine._transactions
        if is_strange and isinstance(message, stun.BindingResponse) and message.mapped_address:
            machine._determined(message.mapped_address, now)
        receive(data, source, now, side)

    machine.receive = credulous


@fault(
    "stun.acs-without-a-stun-server",
    role="hms",
    breaks=["TR111-2.2.2-A1"],
    shown_in=("nat_binding_discovery/",),
)
def acs_without_a_stun_server(hms: Any) -> None:
    """The ACS names itself as STUN server, and is none."""
    set_otherwise(hms, STUNServerAddress="acs.operator.example")
