"""What is encrypted, opened by its keys and sealed again."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols import ike
from testbed.protocols.ike import names
from testbed.protocols.ike.ciphers import CIPHERS, CannotOpen, check_value, encrypt
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.ike.message import FROM_INITIATOR, RESPONSE
from testbed.protocols.ike.opening import open_esp, open_fragments, open_message, seal
from testbed.protocols.ike.payloads import Encrypted, Identification, Notify, encode_chain
from tests.protocols.ike import charons
from tests.protocols.ike.charons import UNHURRIED

SPI, OTHER_SPI = bytes(range(8)), bytes(range(8, 16))
INSIDE = (Identification(True, names.ID_FQDN, b"hnb1.operator.example"), Notify(16384))


def some_keys(cipher: str, integrity: str) -> IkeKeys:
    octets = 16 + CIPHERS[cipher].salt_octets
    if cipher == "CHACHA20_POLY1305":
        octets = 36
    check = b"i" * 32 if integrity else b""
    return IkeKeys(
        SPI, OTHER_SPI, cipher, integrity, b"a" * octets, b"b" * octets, check, check[::-1]
    )


SUITES = [
    ("AES_CBC", "HMAC_SHA1_96"),
    ("AES_CBC", "HMAC_SHA2_256_128"),
    ("AES_CBC", "HMAC_SHA2_512_256"),
    ("AES_CTR", "HMAC_MD5_96"),
    *((name, "") for name, form in CIPHERS.items() if form.tag_octets),
]


@pytest.mark.parametrize(("cipher", "integrity"), SUITES)
@pytest.mark.parametrize("flags", [FROM_INITIATOR, RESPONSE], ids=["initiator", "responder"])
def test_what_is_sealed_is_opened(cipher: str, integrity: str, flags: int) -> None:
    keys = some_keys(cipher, integrity)
    empty = ike.Auth(SPI, OTHER_SPI, names.IKE_AUTH, 1, flags)
    sealed = seal(empty, INSIDE, keys, bytes(CIPHERS[cipher].iv_octets))
    found = ike.decode(sealed.encode())

    assert open_message(found, keys).inner == INSIDE
    assert b"operator" not in sealed.encode()


@UNHURRIED
@given(st.integers(1, 5), st.randoms(use_true_random=False))
def test_fragments_are_opened_in_any_order(total: int, random: object) -> None:
    keys = some_keys("AES_GCM_16", "")
    empty = ike.Auth(SPI, OTHER_SPI, names.IKE_AUTH, 1, FROM_INITIATOR)
    whole = encode_chain(INSIDE)
    size = -(-len(whole) // total)
    pieces = [
        seal(empty, INSIDE, keys, bytes(8), (number + 1, total), whole[number * size :][:size])
        for number in range(total)
    ]
    random.shuffle(pieces)  # type: ignore[attr-defined]

    assert open_fragments(pieces, keys).inner == INSIDE


def test_a_missing_fragment_is_named() -> None:
    keys = some_keys("AES_CBC", "HMAC_SHA2_256_128")
    empty = ike.Auth(SPI, OTHER_SPI, names.IKE_AUTH, 1, FROM_INITIATOR)
    piece = seal(empty, INSIDE, keys, bytes(16), (1, 2), b"half")
    with pytest.raises(CannotOpen, match="2 fragments: number 2 is missing"):
        open_fragments([piece], keys)


@pytest.mark.parametrize(("cipher", "integrity"), SUITES)
def test_one_wrong_bit_is_seen(cipher: str, integrity: str) -> None:
    keys = some_keys(cipher, integrity)
    empty = ike.Auth(SPI, OTHER_SPI, names.IKE_AUTH, 1, FROM_INITIATOR)
    sealed = seal(empty, INSIDE, keys, bytes(CIPHERS[cipher].iv_octets))
    for changed in (
        dataclasses.replace(sealed, message_id=2),
        dataclasses.replace(
            sealed, payloads=(Encrypted(35, b"\1" + sealed.payloads[0].body()[1:]),)
        ),
    ):
        with pytest.raises(CannotOpen, match="of other keys"):
            open_message(changed, keys)


@UNHURRIED
@given(st.binary(max_size=120))
def test_any_octets_in_sk_are_opened_or_refused(data: bytes) -> None:
    message = ike.Auth(SPI, OTHER_SPI, names.IKE_AUTH, 1, 0, (Encrypted(35, data),))
    for suite in SUITES[:4]:
        with pytest.raises(CannotOpen):
            open_message(message, some_keys(*suite))


def test_charons_identities_and_addresses_are_inside() -> None:
    for name in charons.NAMES:
        auths = [
            each
            for each in charons.messages(charons.opened(name))
            if isinstance(each, ike.Auth) and each.inner is not None
        ]
        request, response = auths

        assert (request.idi, request.idr) == ("hnb1.operator.example", "segw.operator.example")
        assert response.idr == "segw.operator.example"
        assert len(request.certificates) == len(response.certificates) == 1
        assert response.addresses == ("10.20.0.1",)
        assert response.dns_servers == ("10.10.0.53",)
        assert request.addresses == ()


@pytest.mark.parametrize("name", charons.NAMES)
def test_charons_esp_holds_what_was_said_inside(name: str) -> None:
    by_spi = {each.spi: each for each in charons.keys(name)[1]}
    insides = [
        open_esp(each.message, by_spi[each.message.spi])
        for each in charons.closed(name).all(ike.EspPacket)
        if each.link == "home"
    ]

    assert [each.next_header for each in insides] == [4] * 6
    assert [each.payload[28:] for each in insides] == [
        said for number in b"012" for said in (b"question %c" % number, b"answer %c" % number)
    ]


def test_extended_sequence_numbers_are_followed() -> None:
    keys = EspKeys(7, "", "", "AES_CBC", b"k" * 16, "HMAC_SHA2_256_128", b"i" * 32)
    head = struct.pack("!II", 7, 1)
    sealed, _ = encrypt("AES_CBC", keys.encryption_key, bytes(16), b"x" * 14 + b"\0\4", b"")
    value = check_value("HMAC_SHA2_256_128", b"i" * 32, head + bytes(16) + sealed + bytes(4))
    packet = ike.decode_esp(head + bytes(16) + sealed + value)

    assert open_esp(packet, keys).payload == b"x" * 14


def test_esp_of_other_keys_is_refused() -> None:
    keys = EspKeys(7, "", "", "AES_GCM_16", b"k" * 20)
    for data in (b"", b"short", bytes(64)):
        with pytest.raises(CannotOpen):
            open_esp(ike.EspPacket(7, 1, data), keys)


def test_an_unknown_algorithm_is_told_with_those_that_are_known() -> None:
    keys = dataclasses.replace(some_keys("AES_CBC", ""), encryption="BLOWFISH")
    message = ike.Auth(SPI, OTHER_SPI, names.IKE_AUTH, 1, 0, (Encrypted(35, bytes(64)),))
    with pytest.raises(CannotOpen, match=r"cipher 'BLOWFISH' is not known \(NULL, AES_CBC"):
        open_message(message, keys)
