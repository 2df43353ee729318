from dataclasses import dataclass

import pytest
from trace_frames import START_NS, Word

from testbed.errors import BadInput
from testbed.trace.record import Event
from testbed.trace.select import matches


@dataclass(frozen=True)
class Named:
    name: str


def test_type_and_attribute_must_fit(home):
    record = home.out(b"hello")[0]

    assert matches(record, Word, text="hello")
    assert not matches(record, Word, text="other")
    assert not matches(record, Event)
    assert matches(record, (Event, Word))
    assert matches(record, None)


def test_an_attribute_that_holds_several_fits_by_one_of_them(home):
    record = home.out(b"hi")[0]

    assert matches(record, Word, letters="h")
    assert matches(record, Word, letters=("h", "i"))
    assert not matches(record, Word, letters="x")


def test_a_text_is_not_searched(home):
    assert not matches(home.out(b"hello")[0], Word, text="hell")


def test_a_callable_is_asked(home):
    record = home.out(b"hello")[0]

    assert matches(record, Word, text=lambda text: text.startswith("he"))
    assert not matches(record, Word, text=lambda text: len(text) > 9)


def test_ports_are_those_of_the_record(home):
    record = home.out()[0]

    assert matches(record, Word, port=7000, source_port=40000)
    assert matches(record, None, port=lambda port: port > 6999)
    assert not matches(record, Word, port=40000)


def test_an_event_is_matched_by_its_name_and_its_fields(home):
    record = home.trace.add_event("hnb", "FAILED", {"step": "2.3"}, START_NS)

    assert matches(record, Event, name="FAILED", step="2.3")
    assert not matches(record, Event, name="failed")
    assert not matches(record, Event, cause="none")
    assert not matches(record, Event, port=1)


@pytest.mark.parametrize("wanted", ["segw.example", "SEGW.Example."])
def test_names_are_compared_as_dns_names(home, wanted):
    home.trace.decoders.register_datagram(7000, lambda data: Named("segw.example."))

    assert matches(home.out()[0], Named, name=wanted)


def test_an_attribute_that_no_such_message_has_is_bad_input(home):
    with pytest.raises(BadInput, match="no attribute of Word is called 'txet'; did you mean text"):
        matches(home.out()[0], Word, txet="hello")


def test_a_record_without_message_has_no_attributes(home):
    assert not matches(home.out(b"no1")[0], None, text="x")


def test_all_gives_every_record_that_fits_in_order(home):
    home.out(b"one")
    home.out(b"two")

    assert [each.message.text for each in home.trace.all(Word, source_port=40000)] == [
        "one",
        "one",
        "two",
        "two",
    ]
    assert [each.link for each in home.trace.all(Word, text="two")] == ["home", "internet"]
