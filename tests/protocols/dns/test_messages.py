import json
from pathlib import Path

import pytest
from dnslib.dns import DNSRecord
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dns import DNS

from testbed.errors import BadInput, DecodeError
from testbed.protocols import dns
from testbed.protocols.dns.cutting import Cutter
from testbed.protocols.dns.names import name_text, name_wire

CAPTURES = Path(__file__).parents[2] / "captures"
BIND = {
    name: bytes.fromhex(value)
    for name, value in json.loads((CAPTURES / "dns_bind_9_18.json").read_text()).items()
    if name != "origin"
}
HEADER = bytes.fromhex("00010100 0001 0000 0000 0000".replace(" ", ""))
NAMES = ["segw.operator.example", "a.example", "_dm-bootstrap._tcp.example", "."]


def bind_answer(name: str) -> dns.Answer:
    message = dns.decode(BIND[f"answer_{name}"])
    assert isinstance(message, dns.Answer)
    return message


def refused(data: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        dns.decode(data)
    return str(caught.value)


def test_query_of_dig_is_cut_into_its_fields() -> None:
    query = dns.decode(BIND["query_a"])

    assert isinstance(query, dns.Query)
    assert (query.identifier, query.name, query.kind) == (0x75E6, "segw.operator.example", "A")
    assert query.recursion_desired
    assert not query.truncated
    assert query.udp_octets == 512
    assert query.summary() == "DNS A segw.operator.example ?"


def test_query_built_is_the_one_that_dig_builds() -> None:
    assert dns.query("segw.operator.example", "A", 0x75E6).encode() == BIND["query_a"]


def test_edns_says_how_long_an_answer_may_be() -> None:
    query = dns.decode(BIND["query_a_edns"])

    assert query.udp_octets == 1232
    assert bind_answer("a_edns").code == "NOERROR"


def test_answer_of_bind_gives_its_addresses_in_order() -> None:
    answer = bind_answer("a")

    assert answer.address == answer.addresses == ("203.0.113.51", "203.0.113.50")
    assert answer.authoritative
    assert answer.summary() == "DNS A segw.operator.example = 203.0.113.51, 203.0.113.50"


def test_answer_of_bind_with_an_alias_gives_both() -> None:
    answer = bind_answer("cname")

    assert answer.canonical_names == ("hms-1.serving.operator.example",)
    assert answer.addresses == ("203.0.113.20",)
    assert answer.summary() == "DNS A hms.operator.example = 203.0.113.20"


def test_answer_of_bind_gives_services_and_not_the_addresses_of_their_targets() -> None:
    answer = bind_answer("srv")

    assert answer.services == (
        dns.Service(10, 5, 443, "segw.operator.example"),
        dns.Service(20, 0, 8443, "hms-1.serving.operator.example"),
    )
    assert answer.addresses == ()
    assert [each.value for each in answer.additionals] == [
        "203.0.113.50",
        "203.0.113.51",
        "203.0.113.20",
        "2001:db8::50",
    ]
    assert answer.summary() == (
        "DNS SRV _dm-bootstrap._tcp.operator.example = 10 5 443 segw.operator.example, "
        "20 0 8443 hms-1.serving.operator.example"
    )


@pytest.mark.parametrize(
    ("name", "code", "summary"),
    [
        ("nxdomain", "NXDOMAIN", "DNS A missing.operator.example NXDOMAIN"),
        ("no_data", "NOERROR", "DNS TXT segw.operator.example = nothing"),
        ("refused", "REFUSED", "DNS A other.test REFUSED"),
    ],
)
def test_negative_answers_of_bind_tell_their_code(name: str, code: str, summary: str) -> None:
    assert bind_answer(name).code == code
    assert bind_answer(name).summary() == summary


def test_soa_of_bind_is_told_as_zone_text() -> None:
    [soa] = bind_answer("nxdomain").authorities

    assert soa.value == ("ns.operator.example hostmaster.operator.example 2024 3600 600 86400 60")


def test_data_of_an_unknown_form_is_told_in_hexadecimal() -> None:
    [text] = bind_answer("txt").answers

    assert text.value == "\\# 15 0c68656c6c6f3b20776f726c640178"


@pytest.mark.parametrize("name", BIND)
def test_messages_of_bind_keep_their_octets(name: str) -> None:
    assert dns.decode(BIND[name]).encode() == BIND[name]


@pytest.mark.parametrize("name", [name for name in BIND if name != "answer_refused"])
def test_messages_of_bind_are_read_as_scapy_reads_them(name: str) -> None:
    message, other = dns.decode(BIND[name]), DNS(BIND[name])

    assert message.identifier == other.id
    assert (other.rd, other.tc) == (message.recursion_desired, message.truncated)
    assert other.qd[0].qname.decode().rstrip(".").lower() == message.name
    assert other.ancount == len(message.answers)
    theirs = [each.rdata for each in other.an or () if each.type in (1, 28)]
    assert theirs == list(message.addresses if isinstance(message, dns.Answer) else ())


def test_names_of_rfc_1035_are_read_through_their_pointers() -> None:
    """The example of RFC 1035 section 4.1.4, octet for octet and at its offsets."""
    data = bytearray(93)
    data[20:32] = b"\1F\3ISI\4ARPA\0"
    data[40:46] = b"\3FOO\xc0\x14"
    data[64:66] = b"\xc0\x1a"
    cutter = Cutter(bytes(data))
    found = {}
    for offset in (20, 40, 64, 92):
        cutter.reader.position = offset
        name = name_text(cutter.name("name"))
        found[name] = cutter.reader.position

    assert found == {"f.isi.arpa": 32, "foo.f.isi.arpa": 46, "arpa": 66, ".": 93}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "DNS message: header at offset 0 needs 12 octets, 0 remain"),
        (HEADER[:11], "DNS message: header at offset 0 needs 12 octets, 11 remain"),
        (HEADER, "DNS message: question's name at offset 12 needs 1 octet, 0 remain"),
        (
            HEADER + b"\3ab",
            "DNS message: question's name at offset 12 has a label at offset 12 that says 3 "
            "octets, 2 remain",
        ),
        (
            HEADER + b"\xc0\x0c\0\1\0\1",
            "DNS message: question's name at offset 12 has a pointer at offset 12 to offset 12; "
            "pointers go back, here to before offset 12",
        ),
        (
            HEADER + b"\1a\xc0\x0c\0\1\0\1",
            "DNS message: question's name at offset 12 has a pointer at offset 14 to offset 12; "
            "pointers go back, here to before offset 12",
        ),
        (
            HEADER + b"\x80\0\0\1\0\1",
            "DNS message: question's name at offset 12 has a label of unknown type 0x80 at "
            "offset 12",
        ),
        (
            HEADER + b"\x3f" + b"a" * 63 + (b"\x3f" + b"b" * 63) * 3 + b"\0\0\1\0\1",
            "DNS message: question's name at offset 12 has more than 255 octets",
        ),
        (
            HEADER + b"\0\0\1",
            "DNS message: question's class at offset 15 needs 2 octets, 0 remain",
        ),
        (bytes(65536), "DNS message has 65536 octets, at most 65535 fit"),
    ],
    ids=[
        "empty",
        "short-header",
        "no-question",
        "short-label",
        "pointer-to-itself",
        "pointer-loop",
        "label-type",
        "long-name",
        "no-class",
        "giant",
    ],
)
def test_what_cannot_be_cut_is_refused_with_place_and_measure(data: bytes, sentence: str) -> None:
    assert refused(data) == sentence


def record_octets(kind: int, data: bytes, claimed: int | None = None) -> bytes:
    head = bytes.fromhex("000184000000000100000000")
    octets = len(data) if claimed is None else claimed
    return head + b"\0" + bytes([0, kind, 0, 1, 0, 0, 0, 9]) + octets.to_bytes(2, "big") + data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            record_octets(1, b"\1\2\3"),
            "DNS message: A data at offset 23 says 3 octets, an address of this kind has 4",
        ),
        (
            record_octets(28, bytes(15)),
            "DNS message: AAAA data at offset 23 says 15 octets, an address of this kind has 16",
        ),
        (
            record_octets(1, b"\1\2\3\4", claimed=400),
            "DNS message: answer record's data at offset 23 needs 400 octets, 4 remain",
        ),
        (
            record_octets(5, b"\1a\0tail"),
            "DNS message: CNAME data at offset 23 says 7 octets, its fields take 3",
        ),
        (
            record_octets(33, b"\0\1\0\2"),
            "DNS message: number in SRV data at offset 27 needs 2 octets, 0 remain",
        ),
        (
            record_octets(5, b"\xc0\x17"),
            "DNS message: name in CNAME data at offset 23 has a pointer at offset 23 to offset 23; "
            "pointers go back, here to before offset 23",
        ),
    ],
    ids=["short-a", "short-aaaa", "length-lies", "cname-tail", "short-srv", "cname-loop"],
)
def test_records_that_cannot_be_cut_are_refused(data: bytes, sentence: str) -> None:
    assert refused(data) == sentence


def test_a_record_without_data_of_an_unknown_form_is_kept() -> None:
    answer = dns.decode(record_octets(10, b""))

    assert answer.answers[0].value == "\\# 0"


def test_octets_behind_the_last_record_are_kept_and_counted() -> None:
    message = dns.decode(BIND["query_a"] + b"tail")

    assert message.trailing_octets == 4
    assert message.encode().endswith(b"tail")


def test_labels_of_any_octets_are_kept() -> None:
    message = dns.decode(HEADER + b"\4A.\xff \0\0\1\0\1")

    assert message.name == "a\\.\\255\\032"


def test_many_records_behind_long_chains_of_pointers_are_cut_in_linear_work() -> None:
    """64 KiB of pointers, each to the one before: each offset is looked at once."""
    head = bytearray(bytes.fromhex("0001 8400 0000 0001 0000 0000".replace(" ", "")))
    body = b"\0" + (65280).to_bytes(2, "big") + b"\0\1\0\0\0\0"
    chain = bytearray(b"\1a\0")
    start = 12 + len(body) + 2
    last = start
    while start + len(chain) < 16000:
        chain += (0xC000 | last).to_bytes(2, "big")
        last = start + len(chain) - 2
    data = bytes(head) + body + len(chain).to_bytes(2, "big") + bytes(chain)
    one = (0xC000 | last).to_bytes(2, "big") + b"\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
    count = (65535 - len(data)) // len(one)
    data = data[:6] + (count + 1).to_bytes(2, "big") + data[8:] + one * count
    steps = 0

    class Counted(bytes):
        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            nonlocal steps
            steps += 1
            return super().__getitem__(index)

    answer = dns.decode(Counted(data))

    assert len(answer.answers) == count + 1
    assert answer.answers[-1].name == "a"
    assert steps < 4 * len(data)


def test_builders_and_cutter_agree_beyond_16_kib() -> None:
    """dnslib 0.9.26 by itself writes wrong pointers to names beyond offset 16383."""
    query = dns.query("big.example", "A", 7)
    records = [dns.record(f"n{number}.big.example", "A", "1.2.3.4") for number in range(1100)]
    answer = dns.answer(query, [*records, *records])

    assert len(answer.encode()) > 0x4000
    assert [each.name for each in answer.answers] == [each.name for each in records] * 2


def test_answer_echoes_the_spelling_of_the_question() -> None:
    query = dns.query("SeGW.Operator.EXAMPLE", "A", 9)
    answer = dns.answer(query, [dns.record("segw.operator.example", "A", "203.0.113.50")])

    assert b"\4SeGW\x08Operator\7EXAMPLE" in answer.encode()
    assert answer.name == answer.answers[0].name == "segw.operator.example"
    assert len(answer.encode()) == len(query.encode()) + 16  # the owner is a pointer


def test_answer_too_long_loses_additional_records_first_and_then_all() -> None:
    query = dns.query("big.example", "SRV", 9)
    record = dns.record("big.example", "SRV", "1 2 3 t.example")
    additionals = [dns.record("t.example", "A", f"10.0.0.{number}") for number in range(40)]

    whole = dns.answer(query, [record], additionals=additionals, most_octets=4096)
    less = dns.answer(query, [record], additionals=additionals, most_octets=512)
    least = dns.answer(query, [record] * 40, additionals=additionals, most_octets=512)

    assert (len(whole.additionals), whole.truncated) == (40, False)
    assert (len(less.additionals), less.truncated, len(less.answers)) == (0, False, 1)
    assert (len(least.answers), least.truncated) == (0, True)
    assert least.summary() == "DNS SRV big.example = nothing (truncated)"


def test_answer_speaks_edns_exactly_when_the_query_does() -> None:
    plain, extended = dns.query("a.example"), dns.query("a.example", udp_octets=4096)

    assert dns.answer(plain).options is None
    assert dns.answer(extended, code="BADVERS").options is not None
    assert dns.answer(extended, code="BADVERS").code == "BADVERS"


def test_answers_are_read_by_dnslib_and_scapy_alike() -> None:
    query = dns.query("x.example", "SRV", 77)
    answer = dns.answer(
        query,
        [dns.record("x.example", "SRV", "10 5 443 segw.example")],
        authorities=[dns.record("example", "NS", "ns.example")],
        additionals=[dns.record("segw.example", "AAAA", "2001:db8::1")],
    )
    other = DNS(answer.encode())

    assert "10 5 443 segw.example." in str(DNSRecord.parse(answer.encode()))
    assert (other.an[0].priority, other.an[0].weight, other.an[0].port) == (10, 5, 443)
    assert other.an[0].target == b"segw.example."
    assert other.ar[0].rdata == "2001:db8::1"


def test_another_identifier_changes_no_other_octet() -> None:
    message = dns.decode(BIND["answer_srv"])

    assert message.with_identifier(0x0102).encode() == b"\1\2" + BIND["answer_srv"][2:]
    assert message.with_identifier(0x0102) == dns.decode(b"\1\2" + BIND["answer_srv"][2:])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (BIND["query_a"][:20], "DNS message without question FORMERR"),
        (BIND["answer_a"][:20], None),
        (b"\0" * 11, None),
    ],
    ids=["query", "answer", "no-header"],
)
def test_octets_are_refused_only_as_a_query_whose_header_can_be_read(
    data: bytes, expected: str | None
) -> None:
    answer = dns.refusal_of_octets(data)

    assert (answer.summary() if answer else None) == expected
    assert answer is None or answer.encode()[:2] == data[:2]


@pytest.mark.parametrize(
    ("name", "kind", "value", "part"),
    [
        ("a.example", "A", "300.1.1.1", "'300.1.1.1' is no IPv4 address"),
        ("a.example", "AAAA", "10.0.0.1", "'10.0.0.1' is no IPv6 address"),
        ("a.example", "SRV", "1 2 3", "'1 2 3' is not 4 plain words"),
        ("a.example", "SRV", "1 2 70000 t", "is not of this kind"),
        ("a.example", "CNAME", "a..b", "has a label of 0 octets"),
        ("a.example", "BOGUS", "1", "DNS has no type of record 'BOGUS'"),
        ("a.example", "OPT", "1", "OPT belongs to one message"),
        ("x" * 64, "A", "1.2.3.4", "has a label of 64 octets; labels have 1 to 63"),
        (".".join(["abcdefgh"] * 30), "A", "1.2.3.4", "has 271 octets, at most 255 fit"),
        ("bücher.example", "A", "1.2.3.4", "is not ASCII"),
        ("a.example", "TYPE300", "\\# 3 abcd", "so many octets in hex"),
        ("a.example", "A", "\\# 3 010203", "is no IPv4 address"),
        ("a.example", "MX", "\\# 1 00", "is not of this kind"),
    ],
)
def test_bad_records_are_refused_with_a_sentence(
    name: str, kind: str, value: str, part: str
) -> None:
    with pytest.raises(BadInput) as caught:
        dns.record(name, kind, value)

    assert part in str(caught.value)


def test_time_to_live_has_31_bits() -> None:
    with pytest.raises(BadInput, match="time to live of 2147483648 s"):
        dns.record("a.example", "A", "1.2.3.4", ttl_s=2**31)


LABELS = st.binary(min_size=1, max_size=63)


@given(st.lists(LABELS, max_size=3))
def test_names_keep_all_their_octets_but_case(labels: list[bytes]) -> None:
    wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"

    assert (
        name_wire(name_text(wire))
        == b"".join(bytes([len(label)]) + label.lower() for label in labels) + b"\0"
    )


def assert_message_or_decode_error(data: bytes) -> None:
    try:
        message = dns.decode(data)
    except DecodeError:
        return
    assert message.encode() == data
    assert message.summary().startswith("DNS ")


@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_a_decode_error(data: bytes) -> None:
    assert_message_or_decode_error(data)


@given(
    st.sampled_from(sorted(BIND)),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6),
    st.integers(0, 300),
)
def test_damaged_messages_of_bind_are_a_message_or_a_decode_error(
    name: str, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(BIND[name])
    for place, value in changes:
        data[place % len(data)] = value
    octets = bytes(data[: len(data) - cut % len(data)])
    assert_message_or_decode_error(octets)


RECORDS = st.one_of(
    st.builds(dns.record, st.sampled_from(NAMES), st.just("A"), st.ip_addresses(v=4).map(str)),
    st.builds(dns.record, st.sampled_from(NAMES), st.just("AAAA"), st.ip_addresses(v=6).map(str)),
    st.builds(dns.record, st.sampled_from(NAMES), st.just("CNAME"), st.sampled_from(NAMES)),
    st.builds(
        lambda name, *numbers: dns.record(
            name, "SRV", f"{numbers[0]} {numbers[1]} {numbers[2]} t.example"
        ),
        st.sampled_from(NAMES),
        *[st.integers(0, 65535)] * 3,
    ),
)


@given(
    st.sampled_from(NAMES),
    st.sampled_from(["A", "AAAA", "SRV", "TYPE65280", "ANY"]),
    st.integers(0, 65535),
    st.lists(RECORDS, max_size=5),
    st.lists(RECORDS, max_size=3),
    st.sampled_from(["NOERROR", "NXDOMAIN", "SERVFAIL"]),
    st.sampled_from([None, 512, 4096]),
)
def test_what_is_built_is_what_is_cut(
    name: str,
    kind: str,
    identifier: int,
    records: list[dns.ResourceRecord],
    additionals: list[dns.ResourceRecord],
    code: str,
    udp_octets: int | None,
) -> None:
    query = dns.query(name, kind, identifier, udp_octets=udp_octets)
    answer = dns.answer(query, records, code, additionals=additionals)

    assert (query.name, query.kind, query.identifier) == (name, kind, identifier)
    assert answer.answers == tuple(records)
    assert answer.additionals[: len(additionals)] == tuple(additionals)
    assert answer.code == code
    assert dns.decode(answer.encode()) == answer
    assert dns.decode(query.encode()) == query


@given(st.lists(st.binary(max_size=70), max_size=6), st.integers(1, 40))
def test_stream_framing_gives_back_what_was_framed_however_it_is_cut(
    messages: list[bytes], step: int
) -> None:
    stream = b"".join(dns.frame(each) for each in messages)
    frames = dns.Frames()
    found = [
        each
        for start in range(0, len(stream), step)
        for each in frames.feed(stream[start : start + step])
    ]

    assert found == messages
    assert frames.held_octets == 0


def test_a_message_too_long_for_a_stream_is_refused() -> None:
    with pytest.raises(BadInput, match="65536 octets: at most 65535"):
        dns.frame(bytes(65536))
