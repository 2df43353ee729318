"""SCTP packets: golden octets, what can be cut, and any octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DecodeError
from testbed.protocols import sctp

# Made by scapy 2.8.0: SCTP(sport=49152, dport=29169, tag=0)/SCTPChunkInit(init_tag=0x1234,
# a_rwnd=65536, n_out_streams=2, n_in_streams=2, init_tsn=7).
GOLDEN = bytes.fromhex(
    "c00071f1 00000000 28c7e6cd 01000014 00001234 00010000 0002 0002 00000007".replace(" ", "")
)

numbers = st.integers(0, 0xFFFFFFFF)
ports = st.integers(0, 0xFFFF)
chunks = st.builds(sctp.Chunk, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=40))


def test_the_checksum_is_that_of_the_rfc() -> None:
    assert sctp.crc32c(b"123456789") == 0xE3069283  # RFC 3720, B.4's polynomial


def test_an_init_has_the_octets_that_others_give_it() -> None:
    assert sctp.init(49152, 29169, 0x1234, 7).encode() == GOLDEN


def test_an_init_is_read() -> None:
    packet = sctp.decode(GOLDEN)

    assert isinstance(packet, sctp.Init)
    assert packet.is_intact
    assert packet.opening == sctp.Opening(0x1234, initial_tsn=7)
    assert packet.summary() == "SCTP INIT port 29169"


def test_an_init_ack_carries_the_tag_that_was_asked_for() -> None:
    answer = sctp.decode(sctp.init_ack(sctp.decode(GOLDEN), 9, 8, b"biscuit").encode())

    assert isinstance(answer, sctp.InitAck)
    assert (answer.source_port, answer.destination_port) == (29169, 49152)
    assert answer.verification_tag == 0x1234
    assert answer.opening is not None
    assert answer.opening.parameters == ((sctp.STATE_COOKIE, b"biscuit"),)


def test_a_bit_that_is_flipped_is_noticed() -> None:
    spoilt = GOLDEN[:-1] + bytes([GOLDEN[-1] ^ 1])

    assert not sctp.decode(spoilt).is_intact


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (GOLDEN[:7], "verification tag at offset 4 needs 4 octets, 3 remain"),
        (GOLDEN[:-1], "value of chunk 1 at offset 16 needs 16 octets, 15 remain"),
        (GOLDEN[:14] + b"\0\3" + GOLDEN[16:], "chunk 1 at offset 12 says 3 octets"),
    ],
    ids=["header", "chunk", "length"],
)
def test_what_cannot_be_cut_is_told_with_place_and_measure(data: bytes, sentence: str) -> None:
    with pytest.raises(DecodeError, match=sentence):
        sctp.decode(data)


def test_an_init_whose_parameters_are_cut_off_has_no_opening() -> None:
    chunk = sctp.Chunk(sctp.INIT, value=sctp.Opening(1).encode() + b"\0\7\0\2")

    assert sctp.Init(1, 2, 0, (chunk,)).opening is None


@given(ports, ports, numbers, st.lists(chunks, max_size=4))
def test_what_is_encoded_is_decoded(
    source: int, destination: int, tag: int, held: list[sctp.Chunk]
) -> None:
    packet = sctp.decode(sctp.Packet(source, destination, tag, tuple(held)).encode())

    fields = (packet.source_port, packet.destination_port, packet.verification_tag)
    assert (*fields, packet.chunks) == (source, destination, tag, tuple(held))
    assert packet.is_intact


@given(st.binary(max_size=80))
def test_any_octets_give_a_packet_or_a_decode_error(data: bytes) -> None:
    try:
        packet = sctp.decode(data)
    except DecodeError:
        return
    assert packet.opening is None or packet.chunks
    assert packet.summary()
