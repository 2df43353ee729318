"""The crafted peers of IKE, back to back: right by default, and deviating one thing at a time."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols import ike
from testbed.protocols.ike.crafted import Conduct, CraftedResponder
from testbed.protocols.ike.crafted_initiator import Asking, CraftedInitiator
from testbed.protocols.ike.derivation import NoneAcceptable, Secret, choose, prf_plus
from testbed.protocols.ike.opening import open_message
from testbed.protocols.ike.payloads import Authentication, Notify
from testbed.protocols.pki import Authority
from testbed.protocols.wire import Endpoint
from tests.protocols.ike import charons
from tests.protocols.ike.charons import UNHURRIED

ROOT = Authority("Operator root", "seed", 1_795_000_000)
HNB, SEGW = ROOT.issue("hnb1.operator.example"), ROOT.issue("segw.operator.example")
RIGHT, USUAL = Conduct(), Asking()
AT_HNB, AT_SEGW = Endpoint("192.168.1.10", 500), Endpoint("203.0.113.50", 500)


@dataclass
class Pair:
    """An initiator and a responder, and every datagram between them."""

    initiator: CraftedInitiator
    responder: CraftedResponder
    sent: list[bytes] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)

    def ask(self, port: int, data: bytes, copies: int = 1) -> tuple[int, bytes] | None:
        """Send a request; what comes of its answers."""
        following = None
        for _ in range(copies):
            self.sent.append(data)
            local = Endpoint(AT_SEGW.address, port)
            self.responder.receive(data, Endpoint(AT_HNB.address, port), local)
            for reply in self.responder.to_send():
                self.received.append(reply.data)
                following = self.initiator.receive(reply.data, reply.local_port) or following
        return following

    def talk(self, copies: int = 1) -> CraftedInitiator:
        """Until the initiator asks for nothing more, or has asked ten times."""
        asked: tuple[int, bytes] | None = self.initiator.start(AT_HNB, AT_SEGW)
        for _ in range(10):
            if asked is None:
                break
            asked = self.ask(*asked, copies=copies)
        return self.initiator


def pair(conduct: Conduct = RIGHT, asking: Asking = USUAL) -> Pair:
    return Pair(
        CraftedInitiator(HNB, "segw.operator.example", asking, Random("hnb")),
        CraftedResponder(SEGW, conduct, Random("segw"), "10.20.0.0/16", ("10.10.0.53",)),
    )


def test_two_that_behave_come_to_a_tunnel() -> None:
    both = pair()
    initiator = both.talk()

    assert (initiator.errors, initiator.idr) == ((), "segw.operator.example")
    assert initiator.address == "10.20.0.1"
    assert both.responder.answered == {"IKE_SA_INIT": 1, "IKE_AUTH": 1}


def test_the_same_seed_gives_the_same_octets() -> None:
    one, other = pair(), pair()
    one.talk()
    other.talk()

    assert (one.sent, one.received) == (other.sent, other.received)


@pytest.mark.parametrize(
    ("conduct", "errors"),
    [
        (Conduct(init_error="NO_PROPOSAL_CHOSEN"), ("NO_PROPOSAL_CHOSEN",)),
        (Conduct(auth_error="AUTHENTICATION_FAILED"), ("AUTHENTICATION_FAILED",)),
        (Conduct(child_error="TS_UNACCEPTABLE"), ("TS_UNACCEPTABLE",)),
        (Conduct(child_error="INTERNAL_ADDRESS_FAILURE"), ("INTERNAL_ADDRESS_FAILURE",)),
    ],
)
def test_an_error_is_what_it_is_told_to_be(conduct: Conduct, errors: tuple[str, ...]) -> None:
    assert pair(conduct).talk().errors == errors


def test_a_cookie_is_wanted_once_and_another_one_each_time() -> None:
    once = pair(Conduct(asks_cookie=True))

    assert once.talk().address == "10.20.0.1"
    assert once.responder.answered == {"IKE_SA_INIT": 2, "IKE_AUTH": 1}

    ever = pair(Conduct(asks_other_cookies=True))
    ever.talk()
    cookies = [notify.data for each in ever.received for notify in ike.decode(each).every(Notify)]

    assert len(set(cookies)) == len(cookies) == 10


def test_port_4500_is_silent_where_it_is_told_to_be() -> None:
    both = pair(Conduct(is_silent_on_nat_port=True))

    assert not both.talk().is_done
    assert both.responder.answered == {"IKE_SA_INIT": 1}


def test_an_answer_that_is_late_comes_to_the_second_copy() -> None:
    both = pair(Conduct(ignores=1))

    assert both.talk(copies=2).address == "10.20.0.1"
    assert (len(both.sent), len(both.received)) == (4, 2)


def test_a_retransmission_is_answered_by_the_same_octets() -> None:
    both = pair()
    both.talk(copies=3)

    assert [both.received.count(each) for each in dict.fromkeys(both.received)] == [3, 3]


def test_answers_come_twice() -> None:
    both = pair(Conduct(copies=2))

    assert both.talk().address == "10.20.0.1"
    assert both.received[0] == both.received[1]


def test_a_lost_fragment_leaves_a_gap() -> None:
    both = pair(Conduct(lost_fragment=2))
    both.talk()
    numbers = [ike.decode_4500(each).fragment for each in both.received[1:]]

    assert [number for number, _ in numbers] == [1, *range(3, numbers[0][1] + 1)]
    assert not both.initiator.is_done


def test_another_name_stands_in_idr() -> None:
    assert pair(Conduct(idr="segw.elsewhere.example")).talk().idr == "segw.elsewhere.example"


def test_no_address_is_given() -> None:
    initiator = pair(Conduct(gives_no_address=True)).talk()

    assert (initiator.is_done, initiator.errors, initiator.address) == (True, (), "")


def test_what_is_offered_in_vain_is_told() -> None:
    assert pair(asking=Asking(ciphers=(3,))).talk().errors == ("NO_PROPOSAL_CHOSEN",)


def test_the_responder_answers_charons_first_request() -> None:
    request = charons.messages(charons.closed("cbc"))[0]
    responder = CraftedResponder(SEGW, Conduct(), Random("segw"))
    responder.receive(request.encode(), Endpoint("203.0.113.7", 500), AT_SEGW)
    (reply,) = responder.to_send()
    response = ike.decode(reply.data)

    assert response.summary() == (
        "IKE_SA_INIT response IKE:AES_CBC_128/HMAC_SHA2_256_128/HMAC_SHA2_256/ECP_256"
    )
    assert (reply.local_port, reply.destination) == (500, Endpoint("203.0.113.7", 500))


@UNHURRIED
@given(st.binary(max_size=120), st.sampled_from([500, 4500]))
def test_no_octets_disturb_either(data: bytes, port: int) -> None:
    both = pair()
    both.initiator.start(AT_HNB, AT_SEGW)
    both.responder.receive(data, AT_HNB, Endpoint(AT_SEGW.address, port))
    both.initiator.receive(data, port)

    assert all(ike.decode(each.data).errors for each in both.responder.to_send())


def test_an_empty_sa_init_is_refused_by_its_syntax() -> None:
    empty = ike.SaInit(bytes(range(8)), bytes(8), 34, 0, 8)
    responder = CraftedResponder(SEGW, Conduct(), Random("segw"))
    responder.receive(empty.encode(), AT_HNB, AT_SEGW)
    (reply,) = responder.to_send()

    assert ike.decode(reply.data).errors == ("INVALID_SYNTAX",)


def test_auth_verifies_with_the_key_of_the_certificate() -> None:
    """A verification of its own, by RFC 7296, 2.15 and RFC 7427, 3."""
    both = pair()
    both.talk()
    initiator = both.initiator
    derived = initiator._derived
    assert derived is not None
    message = open_message(ike.decode_4500(both.received[1]), derived.keys)
    (auth,) = message.every(Authentication)
    certificate = x509.load_der_x509_certificate(message.certificates[0])
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    identity = bytes([2, 0, 0, 0]) + b"segw.operator.example"
    prf = hmac.digest(derived.sk_pr, identity, "sha256")
    octets = both.received[0] + derived.nonces[0] + prf
    algorithm, signature = auth.data[: 1 + auth.data[0]], auth.data[1 + auth.data[0] :]

    assert algorithm.hex() == "0c300a06082a8648ce3d040302"
    key.verify(signature, octets, ec.ECDSA(hashes.SHA256()))


def test_prf_plus_goes_on_as_long_as_is_asked() -> None:
    octets = prf_plus("HMAC_SHA2_256", b"key", b"seed", 100)

    assert len(octets) == 100
    assert prf_plus("HMAC_SHA2_256", b"key", b"seed", 40) == octets[:40]


@pytest.mark.parametrize("group", ["ECP_256", "ECP_384", "CURVE_25519"])
def test_both_sides_come_to_one_secret(group: str) -> None:
    one, other = Secret(group, Random(1)), Secret(group, Random(2))

    assert one.shared(other.public()) == other.shared(one.public())


def test_nothing_acceptable_is_told_with_what_was_offered() -> None:
    with pytest.raises(NoneAcceptable, match="no acceptable proposal among: none"):
        choose([])
