"""CPEs and STUN servers that prove too little, believe too much, or store what nobody proved."""

from __future__ import annotations

import dataclasses
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols import stun
from testbed.protocols.stun import Kind
from testbed.protocols.stun.attributes import username
from testbed.protocols.wire import Endpoint
from testbed.roles.managed_device import ManagedDevice
from testbed.roles.stun_server import StunServer

CHANGE = ("nat_binding_change_stun_auth/",)
FAILURE = "nat_stun_auth_failure/"
LOSS = ("nat_binding_change_loss/",)


@fault(
    "stun.deaf-to-challenges",
    role="device",
    breaks=["TR111-2.2.1.1-C7", "TR111-2.2.3-F5"],
    seen_in="clients without MESSAGE-INTEGRITY",
    shown_in=CHANGE,
)
def deaf_to_challenges(device: ManagedDevice) -> None:
    """A 401 ends the matter."""

    def unsigned(message: stun.Message, to: Endpoint) -> list[stun.Message]:
        return [] if message.is_signed else [message]

    device.mend_of("stun").message.append(unsigned)


@fault(
    "stun.deaf-to-plain-challenges",
    role="device",
    breaks=["TR111-2.2.2.2.1-A4"],
    shown_in=LOSS,
)
def deaf_to_plain_challenges(device: ManagedDevice) -> None:
    """A 401 to a request without BINDING-CHANGE ends the matter."""

    def changes_only(message: stun.Message, to: Endpoint) -> list[stun.Message]:
        return [] if message.is_signed and not message.is_change else [message]

    device.mend_of("stun").message.append(changes_only)


@fault(
    "stun.signs-by-another-password",
    role="device",
    breaks=["TR111-2.2.1.1-C7", "TR111-2.2.4-T6-7", "TR111-2.2.3-F5"],
    acts_on="message stun",
    seen_in="clients that sign by ConnectionRequestPassword",
    shown_in=CHANGE,
)
def signs_by_another_password(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """MESSAGE-INTEGRITY is computed by ConnectionRequestPassword."""
    if not message.is_signed:
        return [message]
    return [stun.sign(message.without(Kind.MESSAGE_INTEGRITY), b"connection-request")]


@fault(
    "stun.names-its-serial-number",
    role="device",
    breaks=[
        *("TR111-2.2.4-T6-6", "TR111-2.2.1.3-C5"),
    ],
    acts_on="message stun",
    shown_in=CHANGE,
)
def names_its_serial_number(message: stun.Message, to: Endpoint) -> list[stun.Message]:
    """USERNAME is the serial number where nothing is signed."""
    if message.is_signed:
        return [message]
    other = username("000001", "nul")
    return [message.replacing([other if e.type == other.type else e for e in message.attributes])]


@fault(
    "stun.signs-without-a-username",
    role="device",
    breaks=["TR111-2.2.4-T6-6b"],
    shown_in=(f"{FAILURE}no_username",),
)
def signs_without_a_username(device: ManagedDevice) -> None:
    """Without STUNUsername a 401 is answered under an empty key."""
    machine: Any = device.stun.machine
    take_error = machine._take_error

    def signing(transaction: Any, response: stun.Message, now: float) -> None:
        request = transaction.request
        if response.error_code == 401 and not request.is_signed and not machine.settings.username:
            machine._begin(request.attributes, transaction.purpose, now, signed=True)
        else:
            take_error(transaction, response, now)

    machine._take_error = signing


@fault(
    "stun.believes-anyone",
    role="device",
    breaks=["TR111-2.2.1.1-C8", "TR111-2.3-S1"],
    shown_in=(f"{FAILURE}forged_response",),
)
def believes_anyone(device: ManagedDevice) -> None:
    """A response's MESSAGE-INTEGRITY is not looked at."""
    machine: Any = device.stun.machine
    machine._is_believed = lambda transaction, response, source: True


# Servers


@fault(
    "stun.server-never-challenges",
    role="stun_server",
    breaks=["TR111-2.2.2.2.1-S1", "TR111-2.2.3-F5"],
    seen_in="servers of RFC 3489 alone",
    shown_in=CHANGE,
)
def server_never_challenges(server: StunServer) -> None:
    """BINDING-CHANGE is answered as any other request."""
    server.set_policy(challenge="none")


@fault(
    "stun.server-has-another-secret",
    role="stun_server",
    breaks=["TR111-2.2.2.1-S3", "TR111-2.2.2.2.1-S2", "TR111-2.2.3-F5"],
    shown_in=CHANGE,
)
def server_has_another_secret(server: StunServer) -> None:
    """The server's password is not STUNPassword."""
    server.secret = lambda name: "0123456789abcdef"


@fault(
    "stun.server-believes-anyone",
    role="stun_server",
    breaks=["TR111-2.2.2.2.1-S3"],
    shown_in=(FAILURE, f"{FAILURE}unknown_user"),
)
def server_believes_anyone(server: StunServer) -> None:
    """Whoever sends a MESSAGE-INTEGRITY is believed."""
    machine: Any = server.machine
    how = stun.Computation.RFC3489
    machine._authenticate = lambda request, name: (0, b"anything", how)


@fault(
    "stun.server-stores-another-port",
    role="stun_server",
    breaks=["TR111-2.2.2.2.1-S4"],
    shown_in=CHANGE,
)
def server_stores_another_port(server: StunServer) -> None:
    """The binding is stored with the port that CPEs commonly listen at."""
    owner: Any = server
    took = owner._took

    def otherwise(event: stun.ServerEvent) -> None:
        if isinstance(event, stun.BindingStored):
            wrong = Endpoint(event.endpoint.address, 30005)
            event = stun.BindingStored(event.username, wrong, event.transaction_id, event.is_change)
        took(event)

    owner._took = otherwise


@fault(
    "stun.server-takes-each-copy",
    role="stun_server",
    breaks=["TR111-2.2.2.2.1-S5"],
    shown_in=LOSS,
)
def server_takes_each_copy(server: StunServer) -> None:
    """Copies of a signed request are taken anew."""
    server.set_policy(remembers_s=0.0)


# ACSs


def set_otherwise(role: Any, **values: str) -> None:
    """Have an ACS set other values of ManagementServer than its operator wants."""
    call = role.call

    def otherwise(serial_number: str, method: Any, *more: Any, **named: Any) -> Any:
        parameters = getattr(method, "parameters", None)
        if parameters and hasattr(parameters[0], "value"):
            changed = tuple(
                dataclasses.replace(
                    each, value=values.get(each.name.rpartition(".")[2], each.value)
                )
                for each in parameters
            )
            method = dataclasses.replace(method, parameters=changed)
        return call(serial_number, method, *more, **named)

    role.call = otherwise


@fault(
    "stun.acs-sets-no-password",
    role="hms",
    breaks=["TR111-2.2.2.2.1-A1", "TR111-2.2.3-F5"],
    shown_in=CHANGE,
)
def acs_sets_no_password(hms: Any) -> None:
    """STUNPassword is left empty."""
    set_otherwise(hms, STUNPassword="")


@fault(
    "stun.acs-sets-a-weak-password",
    role="hms",
    breaks=[
        *("TR111-2.2.2.2.1-A3b", "TR111-2.2.2.1-S3", "TR111-2.2.2.2.1-S2"),
        "TR111-2.2.3-F5",
    ],
    shown_in=CHANGE,
)
def acs_sets_a_weak_password(hms: Any) -> None:
    """STUNPassword is a word, and not the one that the STUN server has."""
    set_otherwise(hms, STUNPassword="femtocell")
