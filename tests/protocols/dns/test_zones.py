from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import BadInput
from testbed.protocols import dns

ZONE_FILE = Path(__file__).parents[2] / "captures" / "operator.example.zone"


@pytest.fixture
def zone() -> dns.Zone:
    return dns.Zone.from_text(ZONE_FILE.read_text())


def values(records: tuple[dns.ResourceRecord, ...]) -> list[str]:
    return [each.value for each in records]


def test_zone_text_that_bind_loads_is_read(zone: dns.Zone) -> None:
    assert zone.origin == "operator.example"
    assert values(zone.find("segw.operator.example", "A").answers) == [
        "203.0.113.50",
        "203.0.113.51",
    ]
    assert values(zone.find("_dm-bootstrap._tcp.operator.example", "SRV").answers) == [
        "10 5 443 segw.operator.example",
        "20 0 8443 hms-1.serving.operator.example",
    ]
    assert [each.ttl_s for each in zone.find("hms.operator.example", "A").answers] == [300, 60]


def test_services_come_with_the_addresses_of_their_targets(zone: dns.Zone) -> None:
    found = zone.find("_dm-bootstrap._tcp.operator.example", "SRV")

    assert values(found.additionals) == [
        "203.0.113.50",
        "203.0.113.51",
        "2001:db8::50",
        "203.0.113.20",
    ]


def test_aliases_are_followed_inside_the_zone(zone: dns.Zone) -> None:
    found = zone.find("hms.operator.example", "A")

    assert values(found.answers) == ["hms-1.serving.operator.example", "203.0.113.20"]


def test_an_alias_out_of_the_zone_is_left_to_the_asker(zone: dns.Zone) -> None:
    zone.add("out.operator.example", "CNAME", "hms.elsewhere.example")

    assert zone.find("out.operator.example", "A") == dns.Found(
        "NOERROR", (dns.record("out.operator.example", "CNAME", "hms.elsewhere.example"),)
    )


def test_aliases_in_a_circle_end(zone: dns.Zone) -> None:
    zone.add("one.operator.example", "CNAME", "two.operator.example")
    zone.add("two.operator.example", "CNAME", "one.operator.example")

    assert len(zone.find("one.operator.example", "A").answers) == 2


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("missing.operator.example", "A", "NXDOMAIN"),
        ("segw.operator.example", "TXT", "NOERROR"),
        ("serving.operator.example", "A", "NOERROR"),
        ("_tcp.operator.example", "A", "NOERROR"),
    ],
    ids=["no-name", "no-data", "only-names-below", "only-services-below"],
)
def test_nothing_found_comes_with_the_authority(
    zone: dns.Zone, name: str, kind: str, code: str
) -> None:
    found = zone.find(name, kind)
    [soa] = found.authorities

    assert (found.code, found.answers) == (code, ())
    assert (soa.name, soa.kind, soa.ttl_s) == ("operator.example", "SOA", 60)


def test_a_zone_without_soa_makes_one_up() -> None:
    zone = dns.Zone("core.example")

    assert zone.find("x.core.example", "A").authorities[0].kind == "SOA"
    assert values(zone.find("core.example", "SOA").answers) == [
        "ns.core.example hostmaster.core.example 1 3600 600 86400 60"
    ]


def test_wildcards_cover_names_that_do_not_exist() -> None:
    zone = dns.Zone("example")
    zone.add("*.example", "A", "10.0.0.1")
    zone.add("there.example", "TXT", '"x"')
    zone.add("a.below.example", "A", "10.0.0.2")

    assert zone.find("any.example", "A").answers == (dns.record("any.example", "A", "10.0.0.1"),)
    assert zone.find("there.example", "A").answers == ()
    assert zone.find("there.example", "A").code == "NOERROR"
    assert zone.find("b.below.example", "A").code == "NXDOMAIN"


def test_records_may_be_added_and_removed_at_any_time(zone: dns.Zone) -> None:
    zone.add("new.operator.example", "A", "10.0.0.9", ttl_s=5)
    zone.remove("segw.operator.example", "A")
    zone.remove("hms-1.serving.operator.example")

    assert zone.find("new.operator.example", "A").answers[0].ttl_s == 5
    assert values(zone.find("segw.operator.example", "AAAA").answers) == ["2001:db8::50"]
    assert zone.find("segw.operator.example", "A").code == "NOERROR"
    assert zone.find("serving.operator.example", "A").code == "NXDOMAIN"


def test_all_kinds_are_answered_when_asked_for_any(zone: dns.Zone) -> None:
    found = zone.find("segw.operator.example", "ANY")

    assert [each.kind for each in found.answers] == ["A", "A", "AAAA"]


def test_zone_text_written_is_read_again(zone: dns.Zone) -> None:
    again = dns.Zone.from_text(zone.to_text())

    assert sorted(map(repr, again)) == sorted(map(repr, zone))


def test_zone_text_written_has_what_servers_want_of_a_zone() -> None:
    zone = dns.Zone("core.example")
    zone.add("hms.core.example", "A", "10.10.0.20")

    assert zone.to_text("10.10.0.53").splitlines() == [
        "core.example. 60 IN SOA ns.core.example. hostmaster.core.example. 1 3600 600 86400 60",
        "core.example. 300 IN NS ns.core.example.",
        "ns.core.example. 300 IN A 10.10.0.53",
        "hms.core.example. 300 IN A 10.10.0.20",
    ]


def test_misbehaviour_holds_until_it_is_ended(zone: dns.Zone) -> None:
    zone.misbehave("SEGW.operator.example.", "silent")
    assert zone.misbehaviour("segw.operator.example") == "silent"

    zone.behave("segw.operator.example")
    assert zone.misbehaviour("segw.operator.example") is None


def test_unknown_misbehaviour_is_told_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean silent"):
        dns.Zone("example").misbehave("a.example", "silence")  # type: ignore[arg-type]  # the test


@pytest.mark.parametrize(
    ("name", "kind", "value", "part"),
    [
        ("a.other", "A", "1.2.3.4", "a.other is not in it"),
        ("sub.example", "NS", "ns.example", "does not delegate"),
        ("a.example", "CNAME", "b.example", "has a CNAME record and nothing beside it"),
        ("b.example", "A", "1.2.3.4", "has a CNAME record and nothing beside it"),
    ],
)
def test_records_that_have_no_place_are_refused(
    name: str, kind: str, value: str, part: str
) -> None:
    zone = dns.Zone("example")
    zone.add("a.example", "A", "10.0.0.1")
    zone.add("b.example", "CNAME", "a.example")

    with pytest.raises(BadInput) as caught:
        zone.add(name, kind, value)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a A 1.2.3.4", "zone text, line 1: the name 'a' is relative and no $ORIGIN says to what"),
        ("\n\na.example. A 1.2.3", "zone text, line 3: record a.example A: '1.2.3' is no IPv4"),
        ("a.example. A", "zone text, line 1: a.example has no type or no value"),
        ("  A 1.2.3.4", "zone text, line 1: the first record has no owner"),
        ("$TTL soon", "zone text, line 1: '$TTL soon' is not understood"),
        ("$INCLUDE /etc/passwd", "zone text, line 1: '$INCLUDE /etc/passwd' is not understood"),
        ("a.example. TXT (\n\n", "zone text, line 1: a parenthesis is not closed"),
        ("a.example. TXT )", "zone text, line 1: a parenthesis closes that none opened"),
        ('a.example. TXT "b', "zone text, line 1: a quotation mark is not closed"),
        ("a.example. BOGUS 1", "zone text, line 1: DNS has no type of record 'BOGUS'"),
        ("a.example. A 1.2.3.4", "zone text: no SOA record and no origin given"),
    ],
)
def test_zone_text_that_cannot_be_read_is_refused_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        dns.Zone.from_text(text)

    assert str(caught.value).startswith(sentence)


def test_zone_text_has_parentheses_comments_units_and_quotes() -> None:
    zone = dns.Zone.from_text(
        "$TTL 1h ; an hour\n"
        "@ SOA ns host (1 ; serial\n 1h 10m 1d\n 1m)\n"
        'txt 2h30m IN TXT "a;(b" c\n'
        "  IN 5 A 1.2.3.4\n"
        "mail MX 10 @\n"
        "srv SRV 1 2 3 txt\n",
        origin="example.",
    )

    assert zone.authority.value == "ns.example host.example 1 3600 600 86400 60"
    assert zone.find("txt.example", "TXT").answers[0].ttl_s == 9000
    assert zone.find("txt.example", "TXT").answers[0].data == b"\4a;(b\1c"
    assert zone.find("txt.example", "A").answers[0].ttl_s == 5
    assert zone.find("mail.example", "MX").answers[0].value == "10 example"
    assert zone.find("srv.example", "SRV").answers[0].value == "1 2 3 txt.example"


@given(st.text(alphabet='ab.@$;() \t\n"\\123', max_size=60))
def test_any_zone_text_is_read_or_refused(text: str) -> None:
    try:
        zone = dns.Zone.from_text(text, origin="example")
    except BadInput as error:
        assert str(error)  # noqa: PT017  # either outcome is right, nothing else is
    else:
        assert zone.origin == "example"
