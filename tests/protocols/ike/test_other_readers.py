"""What tshark and scapy read in the same octets, with the keys that we write for Wireshark."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import BadInput
from testbed.protocols import ike
from testbed.protocols.ike import names, wireshark
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.ike.opening import open_esp
from testbed.protocols.ike.payloads import (
    Certificate,
    Configuration,
    Delete,
    Identification,
    Notify,
    Payload,
    SecurityAssociation,
)
from testbed.trace.record import Record
from tests.protocols.ike import charons

FIELDS = (
    *("ispi", "rspi", "exchangetype", "messageid", "typepayload", "notify.msgtype"),
    *("id.data.fqdn", "cert.encoding", "frag.number", "delete.spi"),
    *("cfg.attr.internal_ip4_address", "cfg.attr.internal_ip4_dns"),
)


def told(message: ike.IkeMessage) -> str:
    """The line that tshark prints of these fields."""
    payloads = [*message.payloads, *(message.inner or ())]
    columns = [
        [message.initiator_spi.hex()],
        [message.responder_spi.hex()],
        [message.exchange],
        [f"0x{message.message_id:08x}"],
        [number for each in payloads for number in types(each)],
        [each.number for each in message.every(Notify)],
        [each.text for each in message.every(Identification)],
        [each.encoding for each in message.every(Certificate)],
        [message.fragment[0]] if message.fragment else [],
        [spi.hex() for payload in message.every(Delete) for spi in payload.each],
        attributes(message, names.INTERNAL_IP4_ADDRESS),
        attributes(message, names.INTERNAL_IP4_DNS),
    ]
    return "|".join(",".join(str(each) for each in column) for column in columns)


def types(payload: Payload) -> list[int]:
    """tshark tells proposals (2) and transforms (3) as payloads too."""
    found = [payload.type]
    if isinstance(payload, SecurityAssociation):
        for proposal in payload.proposals:
            found += [2, *(3 for _ in proposal.transforms)]
    return found


def attributes(message: ike.IkeMessage, number: int) -> list[str]:
    return [value for each in message.every(Configuration) for value in each.values(number)]


@pytest.mark.parametrize("name", charons.NAMES)
def test_tshark_reads_the_same_in_every_message_and_inside_it(name: str) -> None:
    columns = [word for field in FIELDS for word in ("-e", f"isakmp.{field}")]
    lines = charons.tshark(
        name, "-Y", "isakmp", "-T", "fields", "-E", "separator=|", "-E", "aggregator=,", *columns
    )
    trace = charons.opened(name)

    assert [told(each.message) for each in trace.all(ike.IkeMessage)] == lines
    assert len(lines) >= 28


@pytest.mark.parametrize("name", charons.NAMES)
def test_tshark_opens_the_same_esp_packets(name: str) -> None:
    columns = ["-e", "esp.spi", "-e", "esp.sequence", "-e", "data.data"]
    lines = charons.tshark(name, "-Y", "esp", "-T", "fields", "-E", "separator=|", *columns)
    by_spi = {each.spi: each for each in charons.keys(name)[1]}

    def line(record: Record) -> str:
        packet = record.message
        inside = open_esp(packet, by_spi[packet.spi]).payload[28:]
        return f"0x{packet.spi:08x}|{packet.sequence}|{inside.hex()}"

    assert [line(each) for each in charons.closed(name).all(ike.EspPacket)] == lines
    assert len(lines) == 12


@pytest.mark.parametrize("name", charons.NAMES)
def test_scapy_reads_the_same_payloads(name: str) -> None:
    from scapy.contrib.ikev2 import IKEv2, IKEv2_Notify

    for message in charons.messages(charons.closed(name))[:2]:
        read = IKEv2(message.signed_octets())
        layers = [type(each).__name__ for each in layers_of(read)]

        assert (read.init_SPI, read.resp_SPI) == (message.initiator_spi, message.responder_spi)
        assert (read.exch_type, read.id) == (message.exchange, message.message_id)
        assert len(layers) == len(message.payloads)
        assert [each.type for each in layers_of(read) if isinstance(each, IKEv2_Notify)] == [
            each.number for each in message.every(Notify)
        ]


def layers_of(packet: object) -> list[object]:
    """scapy's payloads of an IKEv2 message, without the header."""
    found = []
    layer = packet.payload  # type: ignore[attr-defined]
    while layer:
        found.append(layer)
        layer = layer.payload
    return found


@pytest.mark.parametrize("name", charons.NAMES)
def test_keys_keep_their_forms_for_wireshark(name: str) -> None:
    ike_keys, esp_keys = charons.keys(name)
    text = charons.path(name, wireshark.IKE_TABLE).read_text()

    assert wireshark.table(map(wireshark.ike_line, ike_keys)) == text
    assert wireshark.table(map(wireshark.esp_line, esp_keys)) == (
        charons.path(name, wireshark.ESP_TABLE).read_text()
    )


def test_both_tables_may_be_in_one_file_with_comments(tmp_path: Path) -> None:
    ike_keys, esp_keys = charons.keys("cbc")
    lines = [
        "# keys of a field test",
        "",
        *(str(wireshark.esp_line(each)) for each in esp_keys),
        *(str(wireshark.ike_line(each)) for each in ike_keys),
    ]

    assert wireshark.read_tables("\n".join(lines), "keys") == (ike_keys, esp_keys)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "00,11,22,33,44",
        '0102030405060708,0102030405060708,aa,aa,"3DES [RFC2451]",aa,aa,"HMAC_SHA1_96 [RFC2404]"',
        '"IPv4","*","*","0x01","AES-CBC [RFC3602]","0xzz","NULL",""',
    ],
    ids=["word", "too few", "cipher", "digits"],
)
def test_a_line_that_is_none_is_told_with_its_number(line: str) -> None:
    with pytest.raises(BadInput, match=r"^keys: line 2 is no line of Wireshark's tables"):
        wireshark.read_tables(f"# first\n{line}\n", "keys")


def test_what_wireshark_has_no_form_for_gives_no_line() -> None:
    strange = IkeKeys(bytes(8), bytes(8), "CHACHA20_POLY1305", "", b"k" * 36, b"k" * 36)

    assert wireshark.ike_line(strange) is None
    assert wireshark.esp_line(EspKeys(1, "", "", "CHACHA20_POLY1305", b"k" * 36)) is None
    assert wireshark.table([None, "line", "line"]) == "line\n"
