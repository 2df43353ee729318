"""What charon's log says of failures, ends and keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from testbed.engines.emulation.tunnel_keys import KeyReader
from testbed.engines.emulation.tunnel_log import LogLine, SaLog, cause_of, read_line, sentence_of
from testbed.host import TunnelCause
from testbed.protocols.ike.keys import EspKeys, IkeKeys

MOMENT = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
DATES = "subject certificate invalid (valid from {} to {})"

CAUSES: dict[str, tuple[list[str], TunnelCause]] = {
    "silence": (["retransmit 3 of request", "giving up after 3 retransmits"], "no answer"),
    "no proposal": (["received NO_PROPOSAL_CHOSEN notify error"], "proposal"),
    "refused": (["received AUTHENTICATION_FAILED notify error"], "peer"),
    "no address": (["received INTERNAL_ADDRESS_FAILURE notify, no CHILD_SA built"], "peer"),
    "no issuer": (
        [
            'no issuer certificate found for "CN=segw.operator.example"',
            "no trusted ECDSA public key found for 'segw.operator.example'",
        ],
        "chain",
    ),
    "no name": (["no trusted ECDSA public key found for 'segw.operator.example'"], "name"),
    "another name": (["constraint check failed: identity 'segw.example' required "], "name"),
    "another root": (["constraint check failed: peer not authenticated by CA 'CN=x'"], "chain"),
    "too late": (
        [
            DATES.format("Jan 01 00:00:00 2024", "Jan 01 00:00:00 2025"),
            "no trusted ECDSA public key found for 'segw.operator.example'",
        ],
        "expired",
    ),
    "too early": (
        [DATES.format("Jan 01 00:00:00 2027", "Jan 01 00:00:00 2028")],
        "not yet valid",
    ),
    "unheard of": (["charon dreams"], "other"),
    "nothing": ([], "other"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_lines_tell_the_cause_of_a_failure(case: str) -> None:
    lines, cause = CAUSES[case]

    assert cause_of(lines, MOMENT)[0] == cause


def test_a_refusal_is_told_in_one_sentence_with_charons_own_line() -> None:
    line = "received NO_PROPOSAL_CHOSEN notify error"

    assert sentence_of("proposal", line, "hnb", "203.0.113.50", "segw.operator.example") == (
        "hnb has no tunnel to segw.operator.example at 203.0.113.50: no proposal suits both sides "
        "(received NO_PROPOSAL_CHOSEN notify error)"
    )


@pytest.mark.parametrize(
    ("text", "sa", "said"),
    [
        ("06:07:34.976 14[MGR2] IKE_SA checked out", 0, "IKE_SA checked out"),
        ("06:07:34.976 14[IKE1] <7> is it he", 7, "is it he"),
        ("14[IKE0] <accept-1|12> it is <he>", 12, "it is <he>"),
    ],
)
def test_a_line_is_cut_into_its_parts(text: str, sa: int, said: str) -> None:
    line = read_line(text)

    assert line is not None
    assert (line.thread, line.sa, line.text) == (14, sa, said)


def test_what_is_no_line_of_charons_is_none() -> None:
    assert read_line("Segmentation fault") is None


def lines(*texts: str) -> Iterable[LogLine]:
    for text in texts:
        line = read_line(text)
        assert line is not None, text
        yield line


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        ("09[IKE1] <t|1> giving up after 3 retransmits", "dead"),
        ("09[IKE1] <t|1> received DELETE for IKE_SA t[1]", "deleted"),
        ("09[IKE1] <t|2> giving up after 3 retransmits", "deleted"),
    ],
)
def test_the_last_lines_of_an_association_tell_why_it_ended(last: str, cause: str) -> None:
    log = SaLog()
    for line in lines("09[IKE0] <t|1> IKE_SA t[1] established", last):
        assert log.add(line) is None

    assert log.end_of(1) == cause


def test_a_responders_failure_is_told_with_its_initiator() -> None:
    log = SaLog()
    told = [
        log.add(line)
        for line in lines(
            "05[NET1] <3> received packet: from 203.0.113.7[500] to 203.0.113.50[500] (324 bytes)",
            "05[IKE0] <3> 203.0.113.7 is initiating an IKE_SA",
            "05[IKE1] <3> no acceptable proposal found",
            "05[IKE2] <3> IKE_SA (unnamed)[3] state change: CONNECTING => DESTROYING",
        )
    ]
    failed = told.pop()

    assert told == [None] * 3
    assert failed is not None
    assert failed.remote == "203.0.113.7:500"
    assert cause_of(failed.lines, MOMENT)[0] == "proposal"


def test_an_initiators_own_failure_is_not_a_responders() -> None:
    log = SaLog()
    end = "05[IKE2] <t|3> IKE_SA t[3] state change: CONNECTING => DESTROYING"

    assert [log.add(line) for line in lines(end)] == [None]


IKE_LOG = (
    "08[CFG1] <t|1> selected proposal: IKE:AES_GCM_16_128/PRF_HMAC_SHA2_256/ECP_256",
    "08[IKE4] <t|1> Sk_ei secret => 20 bytes @ 0x7f73380022f0",
    "08[IKE4] <t|1>    0: 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F  ................",
    "09[IKE4] <u|2>    0: FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF  another thread's",
    "08[IKE4] <t|1>   16: 10 11 12 13                                      ....",
    "08[IKE4] <t|1> Sk_er secret => 20 bytes @ 0x7f7338002300",
    "08[IKE4] <t|1>    0: 20 21 22 23 24 25 26 27 28 29 2A 2B 2C 2D 2E 2F   !\"#$%&'()*+,-./",
    "08[IKE4] <t|1>   16: 30 31 32 33                                      0123",
    "08[MGR2] <t|1> checkin IKEv2 SA t[1] with SPIs 2779562ad3ebcc54_i 39b45ec2df7c201c_r",
)
CHILD_LOG = (
    "08[ENC1] <t|1> parsed IKE_AUTH {} 1 [ SA TSi TSr ]",
    "08[CFG1] <t|1> selected proposal: ESP:AES_CBC_128/HMAC_SHA1_96/NO_EXT_SEQ",
    "08[CHD4] <t|1> encryption initiator key => 16 bytes @ 0x7f7328006f30",
    "08[CHD4] <t|1>    0: 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11  ................",
    "08[CHD4] <t|1> encryption responder key => 16 bytes @ 0x7f7328007020",
    "08[CHD4] <t|1>    0: 22 22 22 22 22 22 22 22 22 22 22 22 22 22 22 22  ................",
    "08[CHD4] <t|1> integrity initiator key => 4 bytes @ 0x7f7328007020",
    "08[CHD4] <t|1>    0: 33 33 33 33                                      3333",
    "08[CHD4] <t|1> integrity responder key => 4 bytes @ 0x7f7328007020",
    "08[CHD4] <t|1>    0: 44 44 44 44                                      DDDD",
    "08[CHD2] <t|1> adding inbound ESP SA",
    "08[CHD2] <t|1>   SPI 0x588d45c1, src 203.0.113.50 dst 192.168.1.10",
    "08[CHD2] <t|1> adding outbound ESP SA",
    "08[CHD2] <t|1>   SPI 0x7738b104, src 192.168.1.10 dst 203.0.113.50",
)


def keys_of(*texts: str) -> list[IkeKeys | EspKeys]:
    keys: list[IkeKeys | EspKeys] = []
    reader = KeyReader(keys.append)
    for line in lines(*texts):
        reader.read(line)
    return keys


def test_a_combined_ciphers_keys_have_their_salt_and_no_integrity() -> None:
    assert keys_of(*IKE_LOG, IKE_LOG[-1]) == [
        IkeKeys(
            bytes.fromhex("2779562ad3ebcc54"),
            bytes.fromhex("39b45ec2df7c201c"),
            "AES_GCM_16",
            "",
            bytes(range(20)),
            bytes(range(0x20, 0x34)),
        )
    ]


@pytest.mark.parametrize(("message", "mine", "its"), [("response", 1, 2), ("request", 2, 1)])
def test_who_began_the_exchange_sends_with_the_initiators_keys(
    message: str, mine: int, its: int
) -> None:
    inbound, outbound = keys_of(CHILD_LOG[0].format(message), *CHILD_LOG[1:])

    check_child(inbound, outbound, mine, its)


def test_keys_that_come_into_use_later_are_told_once() -> None:
    *log, adding, outbound_spi = CHILD_LOG
    registering = adding.replace("adding", "registering")
    later = (registering, outbound_spi, CHILD_LOG[0].format("request"), adding, outbound_spi)
    inbound, outbound = keys_of(log[0].format("request"), *log[1:], *later)

    check_child(inbound, outbound, 2, 1)


def check_child(inbound: object, outbound: object, mine: int, its: int) -> None:
    assert isinstance(inbound, EspKeys)
    assert isinstance(outbound, EspKeys)
    assert (inbound.spi, outbound.spi) == (0x588D45C1, 0x7738B104)
    assert outbound.encryption_key == bytes([mine * 0x11] * 16)
    assert outbound.integrity_key == bytes([(mine + 2) * 0x11] * 4)
    assert inbound.encryption_key == bytes([its * 0x11] * 16)
    assert (inbound.encryption, inbound.integrity) == ("AES_CBC", "HMAC_SHA1_96")
    assert (inbound.source, inbound.destination) == ("203.0.113.50", "192.168.1.10")
