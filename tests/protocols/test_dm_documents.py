"""Documents of OMA DM: octet for octet as libwbxml2 writes them, and read alike by tshark."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DecodeError
from testbed.protocols.dm import wbxml
from testbed.protocols.dm.account import (
    MEDIA_TYPES,
    Account,
    Credentials,
    decode_package,
    encode_package,
)
from testbed.protocols.dm.element import Element, from_xml, to_xml
from testbed.protocols.dm.vocabularies import (
    DMTNDS_1_2,
    PROVISIONING_1_1,
    SYNCML,
    SYNCML_1_2,
    Vocabulary,
)

WBXML_1_3 = 3
PROVISIONING = """\
<?xml version="1.0"?>
<!DOCTYPE wap-provisioningdoc PUBLIC "-//WAPFORUM//DTD PROV 1.0//EN" "prov.dtd">
<wap-provisioningdoc version="1.0"><characteristic type="APPLICATION">\
<parm name="APPID" value="w7"/><parm name="PROVIDER-ID" value="op"/>\
<parm name="NAME" value="Op"/><parm name="ADDR" value="https://dm.example/dm"/>\
<parm name="INIT"/><characteristic type="APPAUTH"><parm name="AAUTHLEVEL" value="APPSRV"/>\
<parm name="AAUTHTYPE" value="DIGEST"/><parm name="AAUTHNAME" value="u"/>\
<parm name="AAUTHSECRET" value="p"/><parm name="AAUTHDATA" value="bm9uY2U="/>\
</characteristic></characteristic></wap-provisioningdoc>
"""
TREE = """\
<?xml version="1.0"?>
<!DOCTYPE MgmtTree PUBLIC "-//OMA//DTD-DM-DDF 1.2//EN" "ddf.dtd">
<MgmtTree xmlns="syncml:dmddf1.2"><VerDTD>1.2</VerDTD><Node><NodeName>op</NodeName>\
<Path>.</Path><RTProperties><Format><node/></Format><Type>\
<DDFName>org.openmobilealliance/1.0/w7</DDFName></Type></RTProperties><Node>\
<NodeName>AppID</NodeName><RTProperties><Format><chr/></Format></RTProperties>\
<Value>w7</Value></Node></Node></MgmtTree>
"""
MESSAGE = """\
<?xml version="1.0"?>
<!DOCTYPE SyncML PUBLIC "-//SYNCML//DTD SyncML 1.2//EN" "syncml.dtd">
<SyncML xmlns="SYNCML:SYNCML1.2"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto>\
<SessionID>1</SessionID><MsgID>1</MsgID><Target><LocURI>https://dm</LocURI></Target>\
<Source><LocURI>IMEI:1</LocURI></Source><Cred><Meta>\
<Type xmlns="syncml:metinf">syncml:auth-md5</Type>\
<Format xmlns="syncml:metinf">b64</Format></Meta><Data>abcd</Data></Cred></SyncHdr>\
<SyncBody><Alert><CmdID>1</CmdID><Data>1201</Data></Alert><Final/></SyncBody></SyncML>
"""
# What `xml2wbxml -n` of libwbxml2 0.11.8 makes of the three.
PROVISIONING_OCTETS = bytes.fromhex(
    "030b6a00c54601c6000155018736000006037737000187000138000006036f700001870706034f7000018700"
    "01340000060368747470733a2f2f646d2e6578616d706c652f646d0001870503494e49540001c60001570187"
    "3000000600018d0187330000060001930187310000060375000187000132000006037000018700012f000006"
    "03626d39755932553d0001010101"
)
TREE_OCTETS = bytes.fromhex(
    "0300006a1b2d2f2f4f4d412f2f4454442d444d2d44444620312e322f2f454e000002607703312e3200016466"
    "036f7000016c032e00016f5c25017551036f72672e6f70656e6d6f62696c65616c6c69616e63652f312e302f"
    "773700010101646603417070494400016f5c0b0101760377370001010101"
)
MESSAGE_OCTETS = bytes.fromhex(
    "03a4016a006d6c7103312e3200017203444d2f312e32000165033100015b033100016e570368747470733a2f"
    "2f646d000101675703494d45493a310001014e5a0001530373796e636d6c3a617574682d6d64350001470362"
    "363400010100004f0361626364000101016b464b033100014f0331323031000101120101"
)
SAMPLES = [
    pytest.param(PROVISIONING, PROVISIONING_OCTETS, PROVISIONING_1_1, id="client provisioning"),
    pytest.param(TREE, TREE_OCTETS, DMTNDS_1_2, id="TNDS"),
    pytest.param(MESSAGE, MESSAGE_OCTETS, SYNCML_1_2, id="SyncML"),
]
ACCOUNT = Account(
    "op",
    "The Operator & Sons",
    "https://dm.operator.example:8443/dm?a=1&b=2",
    Credentials("DIGEST", "device", "s3cret", "bm9uY2U="),
    Credentials("HMAC", "server", "t0p", "AAAA"),
)


@pytest.mark.parametrize(("text", "octets", "vocabulary"), SAMPLES)
def test_documents_are_written_as_libwbxml2_writes_them(
    text: str, octets: bytes, vocabulary: Vocabulary
) -> None:
    assert wbxml.encode(from_xml(text.encode(), "sample"), vocabulary, WBXML_1_3) == octets


@pytest.mark.parametrize(("text", "octets", "vocabulary"), SAMPLES)
def test_both_forms_hold_the_same(text: str, octets: bytes, vocabulary: Vocabulary) -> None:
    document = wbxml.decode(octets)

    assert document.vocabulary is vocabulary
    assert document.root == from_xml(text.encode(), "sample")
    assert from_xml(to_xml(document.root), "again") == document.root


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_an_account_comes_back_from_each_form_of_package(media_type: str) -> None:
    assert decode_package(encode_package(ACCOUNT, media_type), media_type) == ACCOUNT


def test_strings_of_a_string_table_and_literals_are_read() -> None:
    # Public identifier and a tag's name stand in the table: "SyncML" as a literal.
    table = b"-//SYNCML//DTD SyncML 1.2//EN\0SyncML\0text\0"
    index = table.index(b"SyncML\0t")
    octets = bytes([2, 0, 0, 106, len(table)]) + table
    octets += bytes([0x44, index, 0x83, table.index(b"text"), 1])

    assert wbxml.decode(octets).root == Element("SyncML", text="text", namespace=SYNCML)


def test_opaque_data_and_entities_are_read() -> None:
    octets = bytes([2, 0xA4, 1, 106, 0, 0x4F, 0xC3, 3]) + b"a\0b" + bytes([1])
    entity = bytes([2, 0xA4, 1, 106, 0, 0x4F, 2, 0x81, 0x20, 1])

    assert wbxml.decode(octets).root.octets == b"a\0b"
    assert wbxml.decode(entity).root.text == "\u00a0"


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (b"", "WBXML document: version at offset 0 needs 1 octets, 0 remain"),
        (bytes([3, 0x63, 106, 0, 5]), "WBXML document: the document type 0x63 is not known"),
        (bytes([3, 0x0B, 17, 0]), "WBXML document: character set 17 is not known"),
        (
            bytes([3, 0x0B, 106, 0, 0x3F]),
            "WBXML document: token 0x3f at offset 4 is no tag of code page 0 of client "
            "provisioning",
        ),
        (
            bytes([3, 0x0B, 106, 0, 0x45, 0x43]),
            "WBXML document: PI at offset 5, which no document of OMA has",
        ),
        (
            bytes([3, 0x0B, 106, 0, 0x45, 3, 65]),
            "WBXML document: the string at offset 6 has no end",
        ),
        (bytes([3, 0x0B, 106, 0, 5, 7]), "WBXML document: 1 octets behind the root element"),
        (
            bytes([3, 0x0B, 106, 0, 0x45]) + bytes([0x46]) * 70,
            "WBXML document: elements lie deeper than 64",
        ),
        (
            bytes([3, 0x8B, 0x80, 0x80, 0x80, 0x80]),
            "WBXML document: public identifier before offset 6 is longer than 5 octets",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused_with_place_and_measure(octets: bytes, sentence: str) -> None:
    with pytest.raises(DecodeError) as refused:
        wbxml.decode(octets)

    assert str(refused.value) == sentence


@given(st.binary(max_size=200))
def test_any_octets_give_a_document_or_a_decode_error(octets: bytes) -> None:
    for head in (b"", bytes([3, 0x0B, 106, 0]), bytes([2, 0xA4, 1, 106, 0])):
        try:
            wbxml.decode(head + octets)
        except DecodeError:
            continue


@given(st.binary(max_size=300), st.sampled_from(MEDIA_TYPES))
def test_any_octets_give_an_account_or_a_decode_error(octets: bytes, media_type: str) -> None:
    for body in (octets, PROVISIONING_OCTETS[: len(octets)] + octets):
        try:
            decode_package(body, media_type)
        except DecodeError:
            continue


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_texts_survive_both_forms(text: str) -> None:
    root = Element("SyncML", (Element("Data", text=text, namespace=SYNCML),), namespace=SYNCML)

    assert wbxml.decode(wbxml.encode(root, SYNCML_1_2)).root == root
    assert from_xml(to_xml(root), "sample").read("Data") == text.strip()


@pytest.mark.parametrize(
    ("octets", "path", "words"),
    [
        (
            encode_package(ACCOUNT, "application/vnd.wap.connectivity-wbxml"),
            "application/vnd.wap.connectivity-wbxml",
            ["AAUTHSECRET", "s3cret", "APPSRV", "w7"],
        ),
        (
            MESSAGE_OCTETS,
            "application/vnd.syncml.dm+wbxml",
            ["VerProto", "DM/1.2", "syncml:auth-md5", "1201"],
        ),
    ],
)
def test_tshark_reads_the_same(octets: bytes, path: str, words: list[str], tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("no tshark")
    from scapy.all import IP, TCP, Ether, wrpcap  # a foreign writer of captures

    head = f"POST /dm HTTP/1.1\r\nHost: a\r\nContent-Type: {path}\r\n"
    body = head.encode() + b"Content-Length: %d\r\n\r\n" % len(octets) + octets
    ends = IP(src="192.0.2.1", dst="192.0.2.2") / TCP(sport=40000, dport=80, flags="PA", seq=1)
    wrpcap(str(tmp_path / "one.pcap"), [Ether() / ends / body])
    read = subprocess.run(
        ["tshark", "-r", tmp_path / "one.pcap", "-V", "-O", "wbxml"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Malformed" not in read.stdout
    assert [word for word in words if word not in read.stdout] == []
