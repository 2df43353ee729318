"""A STUN server is tried by everything that RFC 3489 and TR-111 Part 2, 2.2.2.1 say of it.

What it answers is judged, not waited for: a server that is silent is as good a sub-run.
"""

from __future__ import annotations

from typing import Any

from scenarios.stun_steps import PASSWORD, USERNAME, quick, says, sets
from testbed.errors import StepMissed
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.stun import Attribute, Kind
from testbed.protocols.stun.attributes import address_value, change_request, username
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage, scenario
from testbed.topology import find_nat
from topologies.stun import STUN, acs_with_stun, acs_with_stun_and_tester

STEP_S = 10
ANSWERED_S = 0.5
MOST_TIMES = 3
"""So often is sent what may be lost, where something must come of it."""
MARK = Attribute(Kind.CONNECTION_REQUEST_BINDING, stun.CONNECTION_REQUEST_BINDING_VALUE)
CHANGE = Attribute(Kind.BINDING_CHANGE, b"")
UNKNOWN, UNKNOWN_TOO, OPTIONAL = 0x0030, 0x7F01, 0x8888
SOME_PORT = 9999
NAME, SECRET = "00005E-TESTER-001", "a1b2c3d4e5f60718293a4b5c6d7e8f90"
"""A name whose length is no multiple of 4."""


def asked(at: Stage, *attributes: Attribute) -> stun.BindingRequest:
    """A Binding Request of the tester's."""
    return stun.BindingRequest(at.stun_tester.new_id(), attributes)


def signed(
    at: Stage,
    *attributes: Attribute,
    secret: str = SECRET,
    how: stun.Computation = stun.Computation.RFC3489,
) -> stun.BindingRequest:
    """The same with MESSAGE-INTEGRITY."""
    return stun.sign(asked(at, *attributes), secret.encode(), how)


def server_of(at: Stage) -> Endpoint:
    """Where the server is: its first address, STUN's port."""
    address = at.stun_server.node.address
    assert address is not None
    return Endpoint(address, stun.PORT)


async def tried(at: Stage, *messages: stun.Message) -> list[Any]:
    """Send one after the other; gives the records of what came back, None where that took more than
    half a second."""
    tester, server = at.stun_tester, at.stun_server
    answers: list[Any] = []
    for message in messages:
        tester.send(message, server_of(at))
        try:
            answer = await at.sees(
                *(tester, "<-", server, stun.Message, ANSWERED_S),
                transaction_id=message.transaction_id,
            )
        except StepMissed:
            answers.append(None)
        else:
            answers.append(answer)
    return answers


async def answered(at: Stage, message: stun.Message) -> Any:
    """Send a request until it is answered, as whoever asks over UDP has to; gives the record of the
    answer, None where none came."""
    for _ in range(MOST_TIMES):
        (answer,) = await tried(at, message)
        if answer is not None:
            return answer
    return None


async def a_cpe_is_served(at: Stage) -> None:
    """The ACS switches STUN on at a CPE, which asks the server that is to be tried; nobody is
    challenged."""
    cpe, server = at.device, at.stun_server
    quick(cpe)
    server.set_policy(challenge="none")
    period = {"STUNMinimumKeepAlivePeriod": 1, "STUNMaximumKeepAlivePeriod": 1}
    sets(at, cpe, STUNEnable=1, STUNServerAddress=STUN, **period)
    cpe.power_on()
    await at.sees(
        cpe, "<-", at.initial_hms, rpc.SetParameterValues, parameters=says("STUNEnable", "1")
    )
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
    await at.sees(cpe, "<-", server, stun.BindingResponse)
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=True)


async def changes_are_asked_for(at: Stage) -> None:
    """CHANGE-REQUEST in each combination."""
    flags = [(False, False), (False, True), (True, False), (True, True)]
    await tried(at, *(asked(at, change_request(*each)) for each in flags))


@scenario(acs_with_stun_and_tester, step_s=STEP_S)
async def stun_server_conformance(at: Stage) -> None:
    """A CPE is served; then whatever RFC 3489 lets one ask unsigned is asked, right and wrong."""
    tester = at.stun_tester
    await a_cpe_is_served(at)
    elsewhere = Endpoint(at.stranger.node.address, SOME_PORT)
    response_address = [
        Attribute(Kind.RESPONSE_ADDRESS, address_value(each)) for each in (tester.other, elsewhere)
    ]
    await tried(at, asked(at), asked(at, MARK), asked(at, MARK, CHANGE))
    await tried(at, *(asked(at, each) for each in response_address))
    await changes_are_asked_for(at)
    await tried(
        at,
        asked(at, Attribute(UNKNOWN, bytes(4))),
        asked(at, Attribute(UNKNOWN, b""), Attribute(UNKNOWN_TOO, bytes(4))),
        asked(at, Attribute(OPTIONAL, bytes(4))),
        stun.SharedSecretRequest(tester.new_id(), ()),
        asked(at, Attribute(Kind.RESPONSE_ADDRESS, bytes(4))),
        asked(at, Attribute(Kind.CHANGE_REQUEST, bytes(2) + bytes(6))),
    )
    await tried(at, asked(at), asked(at))


@stun_server_conformance.variant("secrets")
async def secrets(at: Stage) -> None:
    """USERNAME filled up in each way, and each way of proving nothing."""
    at.stun_server.provision(NAME, SECRET)
    at.stun_tester.knows(NAME, SECRET)
    for padding in ("nul", "space", "none", "aligned"):
        await tried(at, signed(at, MARK, CHANGE, username(NAME, padding)))
    await tried(
        at,
        signed(at, username("nobody")),  # 430
        signed(at, username(NAME), secret="another"),  # 431
        signed(at, MARK),  # 432
    )


@stun_server_conformance.variant("one_address", two_addresses=False)
async def one_address(at: Stage) -> None:
    """The server has one address and one port."""
    value = address_value(at.stun_tester.other)
    await tried(at, asked(at), asked(at, Attribute(Kind.RESPONSE_ADDRESS, value)))
    await changes_are_asked_for(at)


@stun_server_conformance.variant("challenges")
async def challenges(at: Stage) -> None:
    """Each policy by which a server may challenge, and each kind of request under it."""
    for policy in ("none", "binding-change", "marked", "all"):
        at.stun_server.set_policy(challenge=policy)
        await tried(at, asked(at), asked(at, MARK), asked(at, MARK, CHANGE), asked(at, CHANGE))


@stun_server_conformance.variant("computations")
async def computations(at: Stage) -> None:
    """MESSAGE-INTEGRITY in each way; then by a server that takes RFC 3489's alone."""
    at.stun_server.provision(NAME, SECRET)
    at.stun_tester.knows(NAME, SECRET)
    for accepted in (tuple(stun.Computation), (stun.Computation.RFC3489,)):
        at.stun_server.set_policy(computations=accepted)
        for how in stun.Computation:
            request = signed(at, MARK, CHANGE, username(NAME), how=how)
            answer = await answered(at, request)
            if answer is None:
                raise StepMissed(f"MESSAGE-INTEGRITY by {how.value} is not answered")
            found = stun.signed_by(answer.message, SECRET.encode(), (how,))
            is_taken = how in accepted
            if is_taken and found is None:
                raise StepMissed(f"what is signed by {how.value} is not answered so")
            if not is_taken and answer.message.error_code != 431:
                raise StepMissed(f"{how.value} is not accepted, and answered by no 431")


@stun_server_conformance.variant("copies")
async def copies(at: Stage) -> None:
    """A signed request comes twice, and has its effect once."""
    server = at.stun_server
    server.provision(NAME, SECRET)
    at.stun_tester.knows(NAME, SECRET)
    request = signed(at, MARK, CHANGE, username(NAME))
    one, other = await answered(at, request), await answered(at, request)
    at.cursor = 0
    await at.tells(server, "BINDING_STORED", username=NAME)
    stored = [
        record
        for record in at.trace.records
        if record.is_event and record.message.name == "BINDING_STORED"
    ]
    if len(stored) != 1:
        raise StepMissed(f"a request and its copy were taken {len(stored)} times")
    if one is None or other is None or one.payload != other.payload:
        raise StepMissed("a request and its copy were answered differently")


@stun_server_conformance.variant("at_the_acs", acs_with_stun, own_stun=True)
async def at_the_acs(at: Stage) -> None:
    """The ACS is its own STUN server: it names none, and what it sets it believes."""
    cpe, acs = at.device, at.initial_hms
    quick(cpe)
    period = {"STUNMinimumKeepAlivePeriod": 1, "STUNMaximumKeepAlivePeriod": 1}
    sets(at, cpe, STUNEnable=1, STUNUsername=USERNAME, STUNPassword=PASSWORD, **period)
    cpe.power_on()
    await at.sees(cpe, "->", acs, stun.BindingRequest, is_change=True, is_signed=False)
    await at.sees(cpe, "<-", acs, stun.BindingErrorResponse, error_code=401)
    await at.sees(cpe, "->", acs, stun.BindingRequest, is_change=True, is_signed=True)
    answer = await at.sees(cpe, "<-", acs, stun.BindingResponse, is_signed=True)
    endpoint = str(answer.message.mapped_address)
    at.cursor = 0
    await at.tells(acs, "BINDING_KNOWN", device=cpe.label.serial_number, endpoint=endpoint)


@stun_server_conformance.variant("off_path", nat=find_nat("full-cone"))
async def off_path(at: Stage) -> None:
    """Somebody who does not see what the CPE sends answers it all the same, with an address of his
    own choice; the CPE's gateway lets everybody in."""
    await a_cpe_is_served(at)
    cpe, server, tester = at.device, at.stun_server, at.stun_tester
    await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
    await at.sees(cpe, "<-", server, stun.BindingResponse)
    binding = cpe.stun.machine.mapped
    forged = address_value(tester.endpoint)
    for kind in (stun.BindingResponse, stun.BindingErrorResponse):
        lie = kind(tester.new_id(), (Attribute(Kind.MAPPED_ADDRESS, forged),))
        for _ in range(MOST_TIMES):
            tester.send(lie, binding)
            try:
                await at.sees(tester, "->", cpe, kind, ANSWERED_S)
            except StepMissed:
                continue
            break
        else:
            raise StepMissed(f"{kind.__name__} from off the path does not arrive")
    for _ in range(2):
        await at.sees(cpe, "->", server, stun.BindingRequest, is_change=False)
        await at.sees(cpe, "<-", server, stun.BindingResponse)
