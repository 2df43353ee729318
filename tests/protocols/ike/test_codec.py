"""IKEv2 messages: cut, kept and put together again."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DecodeError
from testbed.protocols import ike
from testbed.protocols.ike import names
from testbed.protocols.ike.message import FROM_INITIATOR, RESPONSE
from testbed.protocols.ike.parts import (
    Attribute,
    ConfigurationAttribute,
    Proposal,
    Selector,
    Transform,
)
from testbed.protocols.ike.payloads import (
    Authentication,
    Certificate,
    CertificateRequest,
    Configuration,
    Delete,
    Encrypted,
    EncryptedFragment,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Opaque,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Vendor,
)
from tests.protocols.ike import charons
from tests.protocols.ike.charons import UNHURRIED

SPI = bytes(range(8))

octets = st.binary(max_size=24)
octet = st.integers(0, 255)
short = st.integers(0, 65535)
flags = octet
attributes = st.one_of(
    st.builds(Attribute, st.integers(0, 32767), st.binary(min_size=2, max_size=2)),
    st.builds(Attribute, st.integers(0, 32767), octets, st.just(False)),
)
transforms = st.builds(
    Transform,
    octet,
    short,
    st.lists(attributes, max_size=2).map(tuple),
    reserved=st.tuples(octet, octet),
)
proposals = st.builds(
    Proposal,
    octet,
    octet,
    octets,
    st.lists(transforms, max_size=3).map(tuple),
    reserved=octet,
)
ranges = st.one_of(
    st.builds(
        Selector,
        st.just(7),
        octet,
        st.tuples(short, short),
        st.binary(min_size=4, max_size=4),
        st.binary(min_size=4, max_size=4),
    ),
    st.builds(Selector, st.integers(9, 255), octet, data=octets),
)
three = st.binary(min_size=3, max_size=3)
clear = st.one_of(
    st.builds(
        SecurityAssociation, st.lists(proposals, min_size=1, max_size=3).map(tuple), flags=flags
    ),
    st.builds(KeyExchange, short, octets, short, flags=flags),
    st.builds(Identification, st.booleans(), octet, octets, three, flags=flags),
    st.builds(Certificate, octet, octets, flags=flags),
    st.builds(CertificateRequest, octet, octets, flags=flags),
    st.builds(Authentication, octet, octets, three, flags=flags),
    st.builds(Nonce, octets, flags=flags),
    st.builds(Notify, short, octets, octet, octets, flags=flags),
    st.builds(Delete, octet, st.just(4), st.sampled_from([b"", SPI]), flags=flags),
    st.builds(Vendor, octets, flags=flags),
    st.builds(TrafficSelectors, st.booleans(), st.lists(ranges, max_size=3).map(tuple)),
    st.builds(
        Configuration,
        octet,
        st.lists(
            st.builds(ConfigurationAttribute, st.integers(0, 32767), octets, st.booleans()),
            max_size=3,
        ).map(tuple),
        three,
    ),
    st.builds(Opaque, st.integers(60, 255), octets, flags=flags),
)
last = st.one_of(
    st.builds(Encrypted, octet, octets, flags=flags),
    st.builds(EncryptedFragment, octet, short, short, octets, flags=flags),
)


@st.composite
def messages(draw: st.DrawFn) -> ike.IkeMessage:
    payloads: list[Payload] = draw(st.lists(clear, max_size=4))
    payloads += draw(st.lists(last, max_size=1))
    exchange = draw(st.sampled_from([34, 35, 36, 37, 43]))
    kinds = {34: ike.SaInit, 35: ike.Auth, 36: ike.CreateChild, 37: ike.Informational}
    return kinds.get(exchange, ike.IkeMessage)(
        SPI,
        draw(st.binary(min_size=8, max_size=8)),
        exchange,
        draw(st.integers(0, 2**32 - 1)),
        draw(flags),
        tuple(payloads),
        is_marked=draw(st.booleans()),
        surplus=draw(octets),
        trailing=draw(octets),
    )


@UNHURRIED
@given(messages())
def test_what_is_put_together_is_cut_into_the_same(message: ike.IkeMessage) -> None:
    data = message.encode()

    assert message == (ike.decode_4500(data) if message.is_marked else ike.decode(data))


@UNHURRIED
@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_an_error(data: bytes) -> None:
    for decode in (ike.decode, ike.decode_4500, ike.decode_esp):
        try:
            message = decode(data)
        except DecodeError:
            continue
        assert message.encode() == data


@UNHURRIED
@given(st.data())
def test_a_real_message_with_one_wrong_octet_is_a_message_or_an_error(data: st.DataObject) -> None:
    message = charons.messages(charons.closed("cbc"))[data.draw(st.integers(0, 1))]
    damaged = bytearray(message.encode())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(octet)
    try:
        found = ike.decode(bytes(damaged))
    except DecodeError:
        return

    assert found.encode() == bytes(damaged)
    assert found.summary()


@pytest.mark.parametrize("name", charons.NAMES)
def test_every_message_of_charon_is_kept_octet_by_octet(name: str) -> None:
    trace = charons.closed(name)
    records = [each for each in trace if each.transport == "udp" and each.link == "home"]
    decoded = [each for each in records if each.message is not None]

    assert len(decoded) == {"cbc": 20, "gcm": 24}[name]
    assert [each.error for each in records if each.error] == []
    assert all(each.message.encode() == each.payload for each in decoded)


def test_charons_first_request_offers_what_it_was_told_to() -> None:
    (request, response, *_) = charons.messages(charons.closed("cbc"))

    assert isinstance(request, ike.SaInit)
    assert request.is_request
    assert request.is_from_initiator
    assert [str(each) for each in request.proposals] == [
        "IKE:AES_CBC_128/HMAC_SHA2_256_128/HMAC_SHA2_256/ECP_256"
    ]
    assert request.notifies == (
        "NAT_DETECTION_SOURCE_IP",
        "NAT_DETECTION_DESTINATION_IP",
        "IKEV2_FRAGMENTATION_SUPPORTED",
        "SIGNATURE_HASH_ALGORITHMS",
        "REDIRECT_SUPPORTED",
    )
    assert response.is_response
    assert response.summary() == (
        "IKE_SA_INIT response IKE:AES_CBC_128/HMAC_SHA2_256_128/HMAC_SHA2_256/ECP_256"
    )


def test_what_is_encrypted_says_how_long_it_is_and_no_more() -> None:
    request = charons.messages(charons.closed("cbc"))[2]

    assert isinstance(request, ike.Auth)
    assert not request.is_opened
    assert request.summary() == "IKE_AUTH request (encrypted, 800 octets)"
    assert (request.idi, request.idr, request.certificates) == (None, None, ())


def test_port_4500_carries_three_kinds() -> None:
    message = ike.Informational(SPI, SPI, names.INFORMATIONAL, 2, RESPONSE, is_marked=True)

    assert ike.decode_4500(b"\xff") == ike.NatKeepalive()
    assert ike.decode_4500(message.encode()) == message
    assert ike.decode_4500(struct.pack("!II", 0xC0FFEE, 7) + b"rest") == ike.EspPacket(
        0xC0FFEE, 7, b"rest"
    )


def test_an_error_is_told_by_its_name() -> None:
    refusal = ike.SaInit(
        SPI, bytes(8), names.IKE_SA_INIT, 0, RESPONSE, (Notify(14), Notify(16390, b"cookie"))
    )

    assert refusal.errors == ("NO_PROPOSAL_CHOSEN",)
    assert refusal.summary() == "IKE_SA_INIT response N(NO_PROPOSAL_CHOSEN) N(COOKIE)"


def test_ike_version_1_is_told_and_not_cut() -> None:
    head = SPI + bytes(8) + bytes([1, 0x10, 2, 0]) + struct.pack("!II", 0, 32) + b"main"
    message = ike.decode(head)

    assert isinstance(message, ike.OtherVersion)
    assert message.summary() == "IKE version 1.0, exchange 2"
    assert message.encode() == head


def test_claims_that_do_not_fit_are_kept() -> None:
    transform = Transform(1, 12, (), more=7)
    proposal = Proposal(1, 1, b"", (transform,), more=9, claimed=5)
    message = ike.SaInit(SPI, SPI, 34, 0, FROM_INITIATOR, (SecurityAssociation((proposal,)),))

    assert ike.decode(message.encode()) == message


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "IKE message: payload SA: next payload at offset 28 needs 1 octets, 0 remain"),
        (
            bytes([0, 0, 0, 3]),
            "IKE message: length of payload SA at offset 28 says 3 octets, 4 to 4 are possible",
        ),
        (
            bytes([0, 0, 0, 12]) + bytes([0, 0, 0, 99, 1, 1, 0, 0]),
            "IKE payload SA: length of proposal at offset 32 says 99 octets, 8 to 8 are possible",
        ),
    ],
    ids=["nothing", "too short", "proposal too long"],
)
def test_what_cannot_be_cut_is_told_with_its_place(body: bytes, sentence: str) -> None:
    head = SPI + bytes(8) + bytes([33, 0x20, 34, 8]) + struct.pack("!II", 0, 28 + len(body))
    with pytest.raises(DecodeError) as caught:
        ike.decode(head + body)

    assert str(caught.value) == sentence


def test_a_message_that_says_it_is_longer_than_its_datagram_is_refused() -> None:
    head = SPI + bytes(8) + bytes([0, 0x20, 37, 8]) + struct.pack("!II", 0, 400)
    with pytest.raises(DecodeError) as caught:
        ike.decode(head)

    assert str(caught.value) == (
        "IKE message: length at offset 24 says 400 octets, 28 to 28 are possible"
    )
