"""When two ladders are the same, and that they are not where anything but chance differs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pytest

from testbed.protocols import ike
from testbed.protocols.ike import parts, payloads
from testbed.trace.record import Event
from tests.trace.trace_frames import MILLISECOND, START_NS, Home
from vm.ladders import FREE_FIELDS_OF, differences, fields, ladder


class Kind(Enum):
    ASK = 1


@dataclass(frozen=True)
class Inner:
    value: str
    random: bytes = b"\x01"


@dataclass(frozen=True)
class Outer:
    kind: Kind
    data: bytes
    parts: tuple[Inner, ...]
    headers: dict[str, str]
    absent: str | None = None


def home(*words: bytes, port: int = 40000, late_ms: int = 0) -> Home:
    made = Home()
    made.now_ms = late_ms
    for word in words:
        made.out(word, source=("192.168.1.100", port))
    return made


def compared(one: Home, other: Home) -> list[str]:
    for each in (one, other):
        each.trace.close()
    return differences(ladder(one.trace), ladder(other.trace))


def test_time_and_ports_of_the_kernel_are_free() -> None:
    assert compared(home(b"hello"), home(b"hello", port=51234, late_ms=900)) == []


def test_a_port_that_was_drawn_twice_is_free() -> None:
    again, another = home(b"hello"), home(b"hello")
    again.out(b"there")
    another.out(b"there", source=("192.168.1.100", 51234))

    assert compared(again, another) == []


def test_a_port_that_a_role_chose_is_not_free() -> None:
    assert compared(home(b"hello"), home(b"hello", port=4500)) != []


def test_a_message_that_differs_is_told_from_both_sides() -> None:
    told = compared(home(b"hello"), home(b"help"))

    assert told[0].endswith("hnb - segw")
    assert [line[:1] for line in told] == ["-", "-", "+"]
    assert "WORD hello" in told[1]
    assert "WORD help" in told[2]


def test_an_arrow_that_is_missing_is_told() -> None:
    told = compared(home(b"one", b"two", b"three"), home(b"one", b"three"))

    assert [line[:1] for line in told] == ["-", "-"]
    assert "WORD two" in told[1]


def test_what_comes_after_the_last_arrow_of_both_is_left_out() -> None:
    assert compared(home(b"one", b"two"), home(b"one")) == []


def test_an_answer_that_is_missing_is_told_where_something_came_after_it() -> None:
    whole, cut = home(b"one", b"two"), home(b"one")
    for each in (whole, cut):
        each.trace.add_event("segw", "LAST", {}, START_NS + 900 * MILLISECOND)

    (_, line, *_) = compared(whole, cut)

    assert "WORD two" in line


def test_ladders_with_nothing_in_common_differ() -> None:
    one, other = home(), home()
    one.out(b"hello")
    other.out(b"other")

    assert compared(one, other) != []


def test_order_counts_within_a_conversation() -> None:
    assert compared(home(b"one", b"two"), home(b"two", b"one")) != []


def test_order_is_free_between_conversations() -> None:
    first, second = home(b"hello"), home(b"hello")
    first.trace.add_event("segw", "UP", {}, START_NS)
    second.trace.add_event("segw", "UP", {}, START_NS + 900 * MILLISECOND)

    assert compared(first, second) == []


def test_an_arrow_that_was_lost_differs_from_one_that_arrived() -> None:
    lost = Home()
    lost.out(b"hello", second=0)

    assert compared(home(b"hello"), lost) != []


def stream(*, repeated: bool) -> Home:
    made = Home()
    made.connect()
    for _ in range(2 if repeated else 1):
        made.segment(True, 1001, 24, b"\0\5hello", ack=5001)
    return made


def test_a_segment_that_a_slow_machine_repeats_is_left_out() -> None:
    assert compared(stream(repeated=False), stream(repeated=True)) == []


@pytest.mark.parametrize("name", ["valid_from", "valid_to"])
def test_the_dates_of_a_certificate_are_free(name: str) -> None:
    one, other = home(), home()
    one.trace.add_event("segw", "CERTIFICATE", {name: 1795152573.0}, START_NS)
    other.trace.add_event("segw", "CERTIFICATE", {name: 1795152999.0}, START_NS)

    assert compared(one, other) == []


def test_what_an_event_tells_is_not_free() -> None:
    one, other = home(), home()
    one.trace.add_event("segw", "FAILED", {"step": "3"}, START_NS)
    other.trace.add_event("segw", "FAILED", {"step": "4"}, START_NS)

    assert compared(one, other) != []


def test_fields_are_found_at_every_depth_but_those_of_chance() -> None:
    message = Outer(Kind.ASK, b"\x0a", (Inner("x"),), {"Host": "hms", "Date": "today"})

    assert list(fields(message)) == [
        ("kind", "ASK"),
        ("data", "0a"),
        ("parts[0].value", "x"),
        ("headers[Host]", "hms"),
    ]


def test_what_charon_draws_is_free_and_what_it_proposes_is_not() -> None:
    def message(spi: bytes, nonce: bytes, vendor: bytes) -> ike.IkeMessage:
        told = (payloads.Nonce(data=nonce), payloads.Vendor(data=vendor))
        return ike.SaInit(spi * 8, spi * 8, 34, 0, 8, told)

    sent, again = message(b"a", b"x", b"v"), message(b"b", b"y", b"v")
    other = message(b"b", b"y", b"w")

    assert list(fields(sent)) == list(fields(again)) != list(fields(other))


def test_every_class_with_free_fields_exists_and_has_them() -> None:
    for name, free in FREE_FIELDS_OF.items():
        (found,) = {getattr(each, name) for each in (ike, payloads, parts) if hasattr(each, name)}
        assert free <= set(found.__dataclass_fields__), name


def test_no_message_has_no_fields() -> None:
    assert list(fields(None)) == []
    assert list(fields(Event("UP"))) == [("name", "UP")]
