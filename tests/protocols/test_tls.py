"""What is read of TLS in clear; the octets are OpenSSL's own."""

from __future__ import annotations

import ssl
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DecodeError
from testbed.protocols.pki import Authority
from testbed.protocols.tls import ALERTS, Alert, ClientHello, Decoder, ServerHello, TlsMessage

MOMENT = 1_700_000_000.0


def openssl(version: ssl.TLSVersion, tmp_path, curves: str | None = None) -> list[list[bytes]]:
    """What a client and a server of OpenSSL say in a handshake, by turns; client first."""
    root = Authority("root", "seed", MOMENT)
    identity = root.issue("hms.example")
    pem = tmp_path / "hms.pem"
    pem.write_bytes(identity.certificate + identity.key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(pem)
    if curves:
        server_context.set_ecdh_curve(curves)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.verify_flags |= 0x200000  # the certificate is of another time
    client_context.minimum_version = ssl.TLSVersion.TLSv1_2
    client_context.maximum_version = version
    client_context.load_verify_locations(cadata=root.certificate.decode())
    bios = [ssl.MemoryBIO() for _ in range(4)]
    ends = [
        client_context.wrap_bio(bios[0], bios[1], False, "hms.example"),
        server_context.wrap_bio(bios[2], bios[3], True),
    ]
    said: list[list[bytes]] = [[], []]
    for turn in range(8):
        with suppress(ssl.SSLWantReadError):
            ends[turn % 2].do_handshake()
        octets = bios[1 + 2 * (turn % 2)].read()
        said[turn % 2].append(octets)
        bios[2 - 2 * (turn % 2)].write(octets)
    return said


def read(octets: bytes, size: int = 1 << 20) -> list[TlsMessage]:
    decoder = Decoder()
    found: list[TlsMessage] = []
    for start in range(0, len(octets), size):
        found += decoder.feed(octets[start : start + size])
    return found


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("version", "offers", "chosen"),
    [
        (ssl.TLSVersion.TLSv1_2, ("1.2",), "1.2"),
        (ssl.TLSVersion.TLSv1_3, ("1.3", "1.2"), "1.3"),
    ],
    ids=["1.2", "1.3"],
)
def test_the_hellos_of_a_handshake_are_read(version, offers, chosen, size, tmp_path):
    client, server = (b"".join(said) for said in openssl(version, tmp_path))
    (hello,) = read(client, size)
    (answer,) = read(server, size)

    assert isinstance(hello, ClientHello)
    assert (hello.server_name, hello.versions) == ("hms.example", offers)
    assert hello.random == client[11:43]
    assert hello.encode() == client[5 : 9 + int.from_bytes(client[6:9], "big")]
    assert hello.summary() == f"TLS ClientHello for hms.example, {' '.join(offers)}"
    assert isinstance(answer, ServerHello)
    assert answer.version == chosen
    assert answer.summary() == f"TLS ServerHello {chosen}"


def test_a_retry_and_the_hello_after_it_are_read(tmp_path):
    client, server = openssl(ssl.TLSVersion.TLSv1_3, tmp_path, curves="secp521r1")
    first, second = read(b"".join(client))
    retry, answer = read(b"".join(server))

    assert isinstance(first, ClientHello)
    assert isinstance(second, ClientHello)
    assert first.random == second.random
    assert retry.summary() == "TLS HelloRetryRequest 1.3"
    assert answer.summary() == "TLS ServerHello 1.3"


def test_an_alert_is_read_and_written():
    alert = Alert.fatal("unknown_ca")

    assert alert.record() == bytes.fromhex("15 0303 0002 02 30")
    assert read(alert.record()) == [alert]
    assert alert.summary() == "TLS alert unknown_ca"
    assert Alert(2, 99).summary() == "TLS alert 99"


def test_every_known_alert_has_one_number():
    assert all(Alert.fatal(name).number == number for number, name in ALERTS.items())
    assert all(one < other for one, other in pairwise(ALERTS))


def test_encrypted_alerts_and_messages_are_stepped_over():
    change, sealed_alert = bytes.fromhex("140303000101"), bytes.fromhex("150303001a") + bytes(26)
    sealed = bytes.fromhex("1603030028 01000100") + bytes(36)  # looks like a hello, but in length

    assert read(change + sealed + sealed_alert) == []


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (b"GET /", "begins with 47 45 54 20 2f"),
        (bytes.fromhex("16 0301 ffff"), "length at offset 3 says 65535"),
        (bytes.fromhex("16 0301 0004 01ffffff"), "length at offset 1 says 16777215"),
        (bytes.fromhex("16 0301 0006 01000002 0303"), "random at offset 6 needs 32 octets"),
    ],
    ids=["no record", "a long record", "a long message", "a short hello"],
)
def test_what_is_no_tls_is_refused_with_its_place(octets, sentence):
    with pytest.raises(DecodeError, match=sentence):
        read(octets)


@given(st.lists(st.binary(max_size=80), max_size=5), st.booleans())
def test_any_octets_give_messages_or_a_decode_error(parts, with_header):
    octets = b"".join(
        bytes.fromhex("160303") + len(part).to_bytes(2, "big") + part if with_header else part
        for part in parts
    )
    try:
        found = read(octets)
    except DecodeError:
        return
    assert all(each.summary() for each in found)


@given(st.binary(max_size=120), st.sampled_from([1, 2]))
def test_any_hello_is_cut_or_refused(body, kind):
    message = bytes([kind]) + len(body).to_bytes(3, "big") + body
    try:
        found = read(bytes.fromhex("160303") + len(message).to_bytes(2, "big") + message)
    except DecodeError:
        return
    assert [each.encode() for each in found] == [message]
