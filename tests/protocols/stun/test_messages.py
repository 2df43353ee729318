import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from testbed.errors import DecodeError
from testbed.protocols import stun
from testbed.protocols.stun import attributes as field
from testbed.protocols.stun.attributes import Attribute, Kind
from testbed.protocols.wire import Endpoint
from testbed.protocols.wire import Message as AnyMessage

ID = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
MARK = Attribute(Kind.CONNECTION_REQUEST_BINDING, b"dslforum.org/TR-111 ")

# RFC 5769, 2.1 and 2.2
RFC5769_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
RFC5769_RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
RFC5769_PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"

KEY = b"5f0e1d2c3b4a59687786958493a2b1c0"
# CONNECTION-REQUEST-BINDING, BINDING-CHANGE, USERNAME HNB-0007: 60 octets before the signature.
# The signatures are what `openssl dgst -sha1 -mac HMAC` makes of the texts, put together by hand.
UNSIGNED = bytes.fromhex(
    "00010028a1b2c3d4e5f60718293a4b5c6d7e8f90"
    "c001001464736c666f72756d2e6f72672f54522d31313120c0020000"
    "00060008484e422d30303037"
)
SIGNATURES = {
    "rfc3489": "fae23d7f73d13344cbb1797123e81e6f216b9ad5",
    "rfc5389": "c195ca59ae31835221719243508bef27a46be239",
    "short-padded": "b1df3dbc059d4e99cf5ad1cd171cf7152b5a0d5b",
    "short": "ad5ec5a9e1a29433b0d40e8772a5a4ed2a3d1926",
    "zero": "1eec0d344ed8221945a896311fc417bf233fabcd",
    "swapped": "636e03c3fd17784c99515ea996be11cc8886fbe0",
}


def message(*attributes: Attribute, kind: type[stun.Message] = stun.BindingRequest):
    return kind(ID, attributes)


# Golden octets


def test_the_samples_of_rfc_5769_are_read_and_come_back():
    request, response = stun.decode(RFC5769_REQUEST), stun.decode(RFC5769_RESPONSE)

    assert request.encode() == RFC5769_REQUEST
    assert response.encode() == RFC5769_RESPONSE
    assert isinstance(request, stun.BindingRequest)
    assert request.has_cookie
    assert request.username == "evtj:h6vY"
    assert [each.padding for each in request.attributes if each.type == 6] == [b"   "]
    assert response.xor_mapped_address == Endpoint("192.0.2.1", 32853)
    assert response.mapped_address is None


@pytest.mark.parametrize("data", [RFC5769_REQUEST, RFC5769_RESPONSE])
def test_the_samples_of_rfc_5769_are_signed_as_rfc_5389_says(data):
    assert stun.signed_by(stun.decode(data), RFC5769_PASSWORD) is stun.Computation.RFC5389


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_of_openssl(name):
    how = stun.Computation(name)

    signed = stun.sign(stun.decode(UNSIGNED), KEY, how)

    assert signed.attributes[-1] == Attribute(8, bytes.fromhex(SIGNATURES[name]))
    assert signed.encode()[2:4] == b"\0\x40"
    assert stun.signed_by(signed, KEY, [how]) is how
    assert stun.signed_by(signed, b"another key") is None


def test_an_extra_block_is_added_only_where_the_text_is_even():
    even = message(MARK, Attribute(6, b"00005E-HNB-00007"))
    odd = stun.decode(UNSIGNED)
    extra, short = stun.Computation.EXTRA_BLOCK, stun.Computation.SHORT_PADDED

    assert stun.sign(even, KEY, extra) != stun.sign(even, KEY, short)
    assert stun.sign(odd, KEY, extra) == stun.sign(odd, KEY, short)


def test_both_rfcs_agree_where_the_text_is_a_multiple_of_64_octets():
    even = message(MARK, Attribute(6, b"00005E-HNB-00007"))
    value = stun.sign(even, KEY).attributes[-1].value

    assert value.hex() == "befda785d401013a477607cc02749573b262bdbe"
    assert stun.sign(even, KEY, stun.Computation.RFC5389) == stun.sign(even, KEY)


def test_a_changed_octet_breaks_every_signature():
    signed = stun.sign(stun.decode(UNSIGNED), KEY)
    octets = bytearray(signed.encode())
    octets[30] ^= 1

    assert stun.signed_by(stun.decode(bytes(octets)), KEY) is None


def test_without_message_integrity_nothing_is_signed():
    assert stun.signed_by(message(MARK), KEY) is None


# Reading


def test_a_request_of_tr_111_is_read():
    request = stun.decode(UNSIGNED)

    assert isinstance(request, stun.BindingRequest)
    assert request.transaction_id == ID
    assert not request.has_cookie
    assert request.first(Kind.CONNECTION_REQUEST_BINDING) == b"dslforum.org/TR-111 "
    assert request.is_marked
    assert request.is_change
    assert not request.is_signed
    assert request.username == "HNB-0007"
    assert request.summary() == "STUN Binding Request BINDING-CHANGE HNB-0007"


def test_a_response_is_read():
    here, there, other = (Endpoint("203.0.113.9", port) for port in (1, 2, 3))
    kinds = {
        Kind.MAPPED_ADDRESS: here,
        Kind.SOURCE_ADDRESS: there,
        Kind.CHANGED_ADDRESS: other,
        Kind.REFLECTED_FROM: here,
    }
    response = message(
        *(Attribute(kind, field.address_value(each)) for kind, each in kinds.items()),
        kind=stun.BindingResponse,
    )

    again = stun.decode(response.encode())

    assert again == response
    assert again.mapped_address == again.reflected_from == here
    assert (again.source_address, again.changed_address) == (there, other)
    assert again.response_address is None
    assert again.summary() == "STUN Binding Response 203.0.113.9:1"


def test_an_error_response_is_read():
    response = message(
        field.error_code(420, "Unknown Attribute"),
        field.unknown_attributes([0x0030]),
        kind=stun.BindingErrorResponse,
    )

    again = stun.decode(response.encode())

    assert (again.error_code, again.reason) == (420, "Unknown Attribute")
    assert again.unknown_attributes == (0x30, 0x30)
    assert again.summary() == "STUN Binding Error Response 420 Unknown Attribute"
    assert len(response.encode()) % 4 == 0


def test_ipv6_addresses_are_read():
    endpoint = Endpoint("2001:db8::1", 3478)
    response = message(Attribute(1, field.address_value(endpoint)), kind=stun.BindingResponse)

    assert stun.decode(response.encode()).mapped_address == endpoint


@pytest.mark.parametrize("endpoint", [Endpoint("192.0.2.1", 1), Endpoint("2001:db8::1", 65535)])
def test_a_hidden_address_comes_back(endpoint):
    hidden = field.xor_address_value(endpoint, ID)

    assert field.xor_address_of(hidden, ID) == endpoint
    assert hidden != field.address_value(endpoint)


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        (Kind.MAPPED_ADDRESS, b"\0\1\0\1\1\2\3", "mapped_address"),
        (Kind.RESPONSE_ADDRESS, b"\0\3\0\1\1\2\3\4", "response_address"),
        (Kind.CHANGE_REQUEST, b"\0\0\6", "change_request"),
        (Kind.ERROR_CODE, b"\0\0\4", "error_code"),
        (Kind.UNKNOWN_ATTRIBUTES, b"\0\1\0", "unknown_attributes"),
    ],
)
def test_a_value_without_the_form_of_its_type_reads_as_none(kind, value, name):
    odd = message(Attribute(kind, value))

    assert getattr(odd, name) is None
    assert stun.decode(odd.encode()) == odd
    assert odd.summary()


@pytest.mark.parametrize(
    ("address", "port"), [(True, False), (False, True), (True, True), (False, False)]
)
def test_change_request_comes_back(address, port):
    request = message(field.change_request(address, port))

    assert stun.decode(request.encode()).change_request == (address, port)


@pytest.mark.parametrize(
    ("padding", "length", "octets"),
    [("nul", 8, 8), ("space", 8, 8), ("none", 5, 5), ("aligned", 5, 8)],
)
def test_a_username_is_filled_up_as_the_policy_says(padding, length, octets):
    attribute = field.username("cpe-5", padding)

    assert len(attribute.value) == length
    assert len(attribute.encode()) == 4 + octets
    assert field.username_of(attribute.value) == "cpe-5"


# What is odd is kept


def test_order_duplicates_and_unknown_attributes_are_kept():
    odd = message(Attribute(0x7777, b"abcd"), MARK, Attribute(0x7777, b""), MARK)

    assert stun.decode(odd.encode()) == odd
    assert odd.values(0x7777) == (b"abcd", b"")
    assert [each.name for each in odd.attributes[:2]] == ["0x7777", "CONNECTION-REQUEST-BINDING"]


def test_octets_behind_the_length_are_kept():
    longer = UNSIGNED + b"more"

    assert stun.decode(longer).trailing == b"more"
    assert stun.decode(longer).encode() == longer


@pytest.mark.parametrize("behind", [b"", b"\0\6\0\4cpe1"], ids=["last", "followed"])
@pytest.mark.parametrize("padding", [b"", b"\0"], ids=["bare", "padded"])
def test_an_odd_length_is_read_with_and_without_padding(padding, behind):
    """Devices in the field forget the space at the end of CONNECTION-REQUEST-BINDING."""
    body = b"\xc0\1\0\x13dslforum.org/TR-111" + padding + behind
    octets = b"\0\1" + len(body).to_bytes(2, "big") + ID + body

    odd = stun.decode(octets)

    assert odd.encode() == octets
    assert odd.attributes[0] == (0xC001, b"dslforum.org/TR-111", padding)
    assert odd.username == ("cpe1" if behind else None)


def test_a_type_that_nobody_knows_is_kept():
    octets = b"\3\7\0\0" + ID

    assert isinstance(stun.decode(octets), stun.OtherMessage)
    assert stun.decode(octets).encode() == octets
    assert stun.decode(octets).summary() == "STUN message of type 0x0307"


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (b"\0\1\0\0", "STUN message: header at offset 0 needs 20 octets, 4 remain"),
        (
            b"GET http://1.2.3.4:5 HTTP/1.1\r\n",
            "STUN message: its first octet is 0x47, of STUN it is 0x00 to 0x03",
        ),
        (
            b"\0\1\0\5" + ID + b"abcd",
            "STUN message: its length at offset 2 says 5 octets behind the header, 4 remain",
        ),
        (
            b"\0\1\0\x0c" + ID + b"\0\1\0\x0cabcdefgh",
            "STUN attribute 0x0001 at offset 20 says 12 octets, 8 remain",
        ),
        (
            b"\0\1\0\6" + ID + b"\0\1\0\0ab",
            "STUN attribute at offset 24: its header needs 4 octets, 2 remain",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused_with_place_and_measure(octets, sentence):
    with pytest.raises(DecodeError) as refused:
        stun.decode(octets)

    assert str(refused.value) == sentence


def test_the_first_octet_tells_stun_from_a_connection_request():
    assert stun.is_stun(UNSIGNED)
    assert not stun.is_stun(b"GET http://203.0.113.1:5?ts=1 HTTP/1.1\r\n")
    assert not stun.is_stun(b"")


def test_a_message_is_a_message_of_the_house():
    assert isinstance(stun.decode(UNSIGNED), AnyMessage)


# Any octets

ALIGNED = st.builds(
    lambda kind, value: Attribute(kind, value).aligned(),
    st.one_of(st.sampled_from(Kind).map(int), st.integers(0, 0xFFFF)),
    st.binary(max_size=40),
)
MESSAGES = st.builds(
    lambda kind, identifier, attributes, trailing: kind(identifier, tuple(attributes), trailing),
    st.sampled_from(
        [
            *(stun.BindingRequest, stun.BindingResponse, stun.BindingErrorResponse),
            *(stun.SharedSecretRequest, stun.SharedSecretResponse),
            stun.SharedSecretErrorResponse,
        ]
    ),
    st.binary(min_size=16, max_size=16),
    st.lists(ALIGNED, max_size=8),
    st.binary(max_size=8),
)


@given(MESSAGES)
def test_a_message_comes_back_from_its_octets(sent):
    again = stun.decode(sent.encode())

    assert again == sent
    assert type(again) is type(sent)
    assert again.summary().startswith("STUN ")


@given(MESSAGES, st.sampled_from(stun.Computation))
def test_a_signed_message_verifies(sent, how):
    signed = stun.sign(sent.without(Kind.MESSAGE_INTEGRITY), KEY, how)

    assert stun.signed_by(stun.decode(signed.encode()), KEY, [how]) is how


@given(st.one_of(st.binary(max_size=120), st.binary(max_size=80).map(lambda b: UNSIGNED[:20] + b)))
def test_any_octets_give_a_message_or_a_decode_error(octets):
    try:
        read = stun.decode(octets)
    except DecodeError:
        return
    assert read.encode() == octets
    assert read.summary()


# A second reader


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_the_same(tmp_path: Path):
    """It takes messages without the cookie for what they are, TR-111's attributes included."""
    where = Endpoint("203.0.113.100", 40000)
    messages = [
        stun.sign(stun.decode(UNSIGNED), KEY),
        message(Attribute(Kind.RESPONSE_ADDRESS, field.address_value(where))),
        message(
            *(
                Attribute(kind, field.address_value(where))
                for kind in (Kind.MAPPED_ADDRESS, Kind.SOURCE_ADDRESS, Kind.CHANGED_ADDRESS)
            ),
            kind=stun.BindingResponse,
        ),
        message(field.error_code(401, "Unauthorized"), kind=stun.BindingErrorResponse),
    ]
    frames = [
        Ether() / IP(dst="203.0.113.30") / UDP(sport=7547, dport=3478) / each.encode()
        for each in messages
    ]
    wrpcap(str(tmp_path / "stun.pcap"), frames)

    words = ["tshark", "-r", str(tmp_path / "stun.pcap"), "-T", "fields", "-E", "separator=;"]
    names = [
        "type",
        "att.type",
        "att.connection_request_binding",
        "att.ipv4",
        "att.port",
        "att.error",
    ]
    for name in names:
        words += ["-e", f"classicstun.{name}"]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    complaint = subprocess.run(
        [*words[:3], "-Y", "_ws.malformed or _ws.expert"],
        capture_output=True,
        text=True,
        check=True,
    )

    four = "203.0.113.100"
    assert told == [
        "0x0001;0xc001,0xc002,0x0006,0x0008;dslforum.org/TR-111 ;;;",
        f"0x0001;0x0002;;{four};40000;",
        f"0x0101;0x0001,0x0004,0x0005;;{four},{four},{four};40000,40000,40000;",
        "0x0111;0x0009;;;;1",
    ]
    assert complaint.stdout == ""
