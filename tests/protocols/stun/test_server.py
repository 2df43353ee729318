import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols import stun
from testbed.protocols.stun import attributes as field
from testbed.protocols.stun.attributes import Attribute, Kind
from testbed.protocols.wire import Endpoint

ID = bytes(range(1, 17))
COOKIE_ID = bytes.fromhex("2112a442") + bytes(range(12))
MARK = Attribute(Kind.CONNECTION_REQUEST_BINDING, b"dslforum.org/TR-111 ")
CHANGE = Attribute(Kind.BINDING_CHANGE, b"")
NAME = field.username("cpe-1")
KEY = b"0f1e2d3c4b5a69788796a5b4c3d2e1f0"
CPE = Endpoint("203.0.113.100", 40000)
ADDRESSES = ("203.0.113.30", "203.0.113.31")
ONE = {stun.ServerSide.MAIN: Endpoint(ADDRESSES[0], 3478)}
FOUR = {
    stun.ServerSide.MAIN: Endpoint(ADDRESSES[0], 3478),
    stun.ServerSide.OTHER_PORT: Endpoint(ADDRESSES[0], 3479),
    stun.ServerSide.OTHER_ADDRESS: Endpoint(ADDRESSES[1], 3478),
    stun.ServerSide.OTHER_BOTH: Endpoint(ADDRESSES[1], 3479),
}


def server(sides=ONE, **policy) -> stun.StunServer:
    return stun.StunServer(sides, {"cpe-1": KEY.decode()}.get, stun.ServerPolicy(**policy))


def request(*attributes: Attribute, identifier: bytes = ID) -> stun.BindingRequest:
    return stun.BindingRequest(identifier, attributes)


def ask(
    machine: stun.StunServer,
    message: stun.Message | bytes,
    source: Endpoint = CPE,
    side: stun.ServerSide = stun.ServerSide.MAIN,
    now: float = 0.0,
):
    """What comes back: (message, destination, side); None: nothing."""
    data = message if isinstance(message, bytes) else message.encode()
    machine.receive(data, source, now, side)
    outgoing = machine.to_send()
    assert len(outgoing) <= 1
    if not outgoing:
        return None
    again = stun.decode(outgoing[0].message.encode())
    assert again == outgoing[0].message
    return again, outgoing[0].destination, outgoing[0].side


def stored(machine: stun.StunServer) -> list[stun.BindingStored]:
    return [each for each in machine.events() if isinstance(each, stun.BindingStored)]


# Binding Responses


def test_a_request_is_answered_with_the_address_that_it_came_from():
    response, destination, side = ask(server(), request(MARK))

    assert isinstance(response, stun.BindingResponse)
    assert response.transaction_id == ID
    assert response.mapped_address == destination == CPE
    assert side is stun.ServerSide.MAIN
    assert [each.type for each in response.attributes] == [1, 4, 5]


def test_without_other_sockets_changed_address_is_the_server_s_own():
    """TR-111 2.2.2.1."""
    response, _, _ = ask(server(), request())

    assert response.source_address == response.changed_address == ONE[stun.ServerSide.MAIN]


@pytest.mark.parametrize(
    ("address", "port", "answering"),
    [
        (False, False, stun.ServerSide.MAIN),
        (False, True, stun.ServerSide.OTHER_PORT),
        (True, False, stun.ServerSide.OTHER_ADDRESS),
        (True, True, stun.ServerSide.OTHER_BOTH),
    ],
)
def test_change_request_chooses_the_socket(address, port, answering):
    response, _, side = ask(server(FOUR), request(field.change_request(address, port)))

    assert side is answering
    assert response.source_address == FOUR[answering]


def test_changed_address_is_the_other_address_and_port():
    for side, other in ((stun.ServerSide.MAIN, 3479), (stun.ServerSide.OTHER_PORT, 3478)):
        response, _, answering = ask(server(FOUR), request(), side=side)

        assert answering is side
        assert response.changed_address == Endpoint(ADDRESSES[1], other)


def test_change_request_is_ignored_where_there_is_no_other_socket():
    """TR-111 2.2.2.1: it MAY be ignored."""
    response, _, side = ask(server(), request(field.change_request(True, True)))

    assert side is stun.ServerSide.MAIN
    assert isinstance(response, stun.BindingResponse)


def test_response_address_of_the_same_host_is_honoured():
    primary = Endpoint(CPE.address, 50000)
    asked = request(Attribute(Kind.RESPONSE_ADDRESS, field.address_value(primary)))

    response, destination, _ = ask(server(), asked)

    assert destination == primary
    assert response.mapped_address == response.reflected_from == CPE


@pytest.mark.parametrize(
    ("reflection", "address", "honoured"),
    [
        ("same-address", "198.51.100.1", False),
        ("always", "198.51.100.1", True),
        ("never", CPE.address, False),
    ],
)
def test_a_server_is_no_reflector_unless_its_policy_says_so(reflection, address, honoured):
    victim = Endpoint(address, 50000)
    asked = request(Attribute(Kind.RESPONSE_ADDRESS, field.address_value(victim)))

    response, destination, _ = ask(server(reflection=reflection), asked)

    assert destination == (victim if honoured else CPE)
    assert (response.reflected_from is not None) is honoured


def test_port_0_is_no_place_to_answer_to():
    victim = Endpoint(CPE.address, 0)
    asked = request(Attribute(Kind.RESPONSE_ADDRESS, field.address_value(victim)))

    assert ask(server(), asked)[1] == CPE


def test_only_those_who_know_the_cookie_get_the_xored_address():
    modern, _, _ = ask(server(software="x"), request(identifier=COOKIE_ID))
    classic, _, _ = ask(server(software="x"), request(MARK))

    assert modern.xor_mapped_address == CPE
    assert modern.first(Kind.SOFTWARE) == b"x"
    assert classic.xor_mapped_address is None
    assert classic.first(Kind.SOFTWARE) is None


# Errors


@pytest.mark.parametrize("kind", [0x0030, 0x7FFF])
def test_an_unknown_mandatory_attribute_is_answered_420(kind):
    response, _, _ = ask(server(), request(Attribute(kind, b"abcd"), MARK))

    assert response.error_code == 420
    assert response.unknown_attributes == (kind, kind)


def test_unknown_optional_attributes_are_ignored():
    response, _, _ = ask(server(), request(Attribute(0x8000, b"abcd"), Attribute(0xFFFF, b"")))

    assert isinstance(response, stun.BindingResponse)


@pytest.mark.parametrize(
    "odd",
    [
        request(Attribute(Kind.RESPONSE_ADDRESS, b"abc")),
        request(Attribute(Kind.CHANGE_REQUEST, b"")),
        dataclasses.replace(request(MARK), trailing=b"xx"),
    ],
    ids=["RESPONSE-ADDRESS", "CHANGE-REQUEST", "behind the end"],
)
def test_a_malformed_attribute_is_answered_400(odd):
    response, _, _ = ask(server(), odd)

    assert response.error_code == 400


def test_message_integrity_has_to_be_last():
    signed = stun.sign(request(MARK, NAME), KEY)
    response, _, _ = ask(server(), signed.replacing([*signed.attributes, CHANGE]))

    # Under RFC 3489's own computation the length that is signed is another now.
    assert response.error_code in (400, 431)


def test_a_shared_secret_request_is_sent_to_tls():
    response, _, _ = ask(server(), stun.SharedSecretRequest(ID))

    assert isinstance(response, stun.SharedSecretErrorResponse)
    assert response.error_code == 433


@pytest.mark.parametrize("kind", [stun.BindingResponse, stun.BindingErrorResponse])
def test_responses_get_no_answer(kind):
    assert ask(server(), kind(ID)) is None


def test_what_cannot_be_read_gets_no_answer_and_is_told():
    machine = server()

    assert ask(machine, b"GET http://x HTTP/1.1\r\n\r\n") is None
    (event,) = machine.events()
    assert isinstance(event, stun.ServerMalformed)
    assert event.source == CPE


@given(st.binary(max_size=100), st.booleans())
def test_no_octets_crash_it(data, is_header_good):
    octets = b"\0\1" + len(data).to_bytes(2, "big") + ID + data if is_header_good else data

    answer = ask(server(FOUR, challenge="all"), octets)

    assert answer is None or answer[0].error_code


# Who is challenged


@pytest.mark.parametrize(
    ("challenge", "attributes", "challenged"),
    [
        ("none", (MARK, CHANGE), False),
        ("binding-change", (MARK, CHANGE), True),
        ("binding-change", (MARK,), False),
        ("binding-change", (CHANGE,), False),
        ("binding-change", (), False),
        ("marked", (MARK,), True),
        ("marked", (), False),
        ("all", (), True),
    ],
)
def test_a_challenge_meets_whom_the_policy_names(challenge, attributes, challenged):
    machine = server(challenge=challenge)
    response, destination, _ = ask(machine, request(*attributes))

    assert (response.error_code == 401) is challenged
    assert destination == CPE
    assert stored(machine) == []


def test_a_challenge_does_not_go_to_response_address():
    victim = Endpoint("198.51.100.1", 1)
    asked = request(Attribute(Kind.RESPONSE_ADDRESS, field.address_value(victim)))

    assert ask(server(challenge="all", reflection="always"), asked)[1] == CPE


# Who has proved what


@pytest.mark.parametrize("how", stun.Computation)
def test_a_proof_stores_the_binding_and_is_answered_in_kind(how):
    machine = server()
    signed = stun.sign(request(MARK, CHANGE, NAME), KEY, how)

    response, _, _ = ask(machine, signed)

    assert isinstance(response, stun.BindingResponse)
    assert response.attributes[-1].type == Kind.MESSAGE_INTEGRITY
    assert stun.signed_by(response, KEY, [how]) is how
    assert stored(machine) == [stun.BindingStored("cpe-1", CPE, ID, True)]


@pytest.mark.parametrize("padding", ["nul", "space", "none", "aligned"])
def test_a_name_is_known_however_it_is_filled_up(padding):
    machine = server()

    ask(machine, stun.sign(request(MARK, field.username("cpe-1", padding)), KEY))

    assert [each.username for each in stored(machine)] == ["cpe-1"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (stun.sign(request(MARK, CHANGE), KEY), 432),
        (stun.sign(request(MARK, CHANGE, field.username("cpe-2")), KEY), 430),
        (stun.sign(request(MARK, CHANGE, field.username("")), KEY), 430),
        (stun.sign(request(MARK, CHANGE, NAME), b"another"), 431),
    ],
    ids=["nameless", "unknown", "empty", "wrong key"],
)
def test_what_proves_nothing_is_refused_and_stores_nothing(message, code):
    machine = server()
    response, _, _ = ask(machine, message)
    (event,) = machine.events()

    assert response.error_code == code
    assert not response.is_signed
    assert isinstance(event, stun.Refused)
    assert event.code == code


def test_a_way_of_signing_that_the_policy_leaves_out_is_refused():
    machine = server(computations=(stun.Computation.RFC3489,))
    signed = stun.sign(request(MARK, NAME), KEY, stun.Computation.RFC5389)

    assert ask(machine, signed)[0].error_code == 431


def test_an_empty_password_proves_nothing():
    machine = stun.StunServer(ONE, {"cpe-1": ""}.get)

    assert ask(machine, stun.sign(request(MARK, NAME), b""))[0].error_code == 430


def test_copies_are_answered_alike_and_store_once():
    machine = server()
    signed = stun.sign(request(MARK, CHANGE, NAME), KEY)

    answers = [ask(machine, signed, now=number / 10) for number in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert len(stored(machine)) == 1


def test_the_same_id_from_elsewhere_is_no_copy():
    machine = server()
    signed = stun.sign(request(MARK, CHANGE, NAME), KEY)

    ask(machine, signed)
    ask(machine, signed, Endpoint(CPE.address, 40001))

    assert [each.endpoint.port for each in stored(machine)] == [40000, 40001]


def test_the_unsigned_request_of_the_same_id_is_no_copy():
    machine = server()

    assert ask(machine, request(MARK, CHANGE, NAME))[0].error_code == 401
    assert isinstance(
        ask(machine, stun.sign(request(MARK, CHANGE, NAME), KEY))[0], stun.BindingResponse
    )


def test_old_transactions_are_forgotten():
    machine = server(remembers_s=10)
    for number in range(100):
        identifier = number.to_bytes(16, "big")
        ask(machine, stun.sign(request(MARK, NAME, identifier=identifier), KEY), now=number)

    machine.tick(200.0)

    assert len(stored(machine)) == 100
    assert machine._done == {}


def test_a_name_alone_is_tentative_and_told_when_its_place_is_new():
    """TR-111 2.2.2.2.1: it stores nothing."""
    machine = server()
    for port in (1, 1, 2):
        ask(machine, request(MARK, NAME), Endpoint(CPE.address, port))

    events = machine.events()

    assert events == [
        stun.Sighted("cpe-1", Endpoint(CPE.address, 1)),
        stun.Sighted("cpe-1", Endpoint(CPE.address, 2)),
    ]


def test_the_acs_may_have_a_keep_alive_prove_its_origin():
    """TR-111 2.2.2.2.1: the procedure may be followed "on any received Binding Request"."""
    machine = server()
    machine.verify_next("cpe-1")
    keep_alive = request(MARK, NAME)

    assert ask(machine, keep_alive)[0].error_code == 401
    ask(machine, stun.sign(keep_alive, KEY))
    assert len(stored(machine)) == 1
    assert isinstance(ask(machine, keep_alive)[0], stun.BindingResponse)


def test_a_signed_request_from_elsewhere_than_the_primary_port_stores_nothing():
    machine = server()

    ask(machine, stun.sign(request(NAME), KEY))

    assert stored(machine) == []


def test_with_the_notification_based_approach_nothing_is_stored():
    machine = server(stores=False)

    ask(machine, stun.sign(request(MARK, NAME), KEY))

    assert stored(machine) == []


def test_an_error_to_a_signed_request_is_signed():
    response, _, _ = ask(server(), stun.sign(request(NAME, Attribute(0x30, b"")), KEY))

    assert response.error_code == 420
    assert stun.signed_by(response, KEY) is not None
