"""The types of parameters: what each allows, and its one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.datamodel.types import ValueRefused, ValueType

TYPES = (
    *("string(256)", "string(6:6)", "string{DHCP}{Static}", "int[-90000000:90000000]", "int"),
    *("unsignedInt[1:]", "unsignedInt[:65535]", "boolean", "dateTime", "base64(16)"),
)


@pytest.mark.parametrize(
    ("kind", "value", "canonical"),
    [
        ("string(3)", "abc", "abc"),
        ("string(6:6)", "", ""),
        ("string{Open Access}{Closed Access}", "Closed Access", "Closed Access"),
        ("int[-5:5]", "-05", "-5"),
        ("int", "+7", "7"),
        ("unsignedInt", "4294967295", "4294967295"),
        ("unsignedInt", " 5\n", "5"),
        ("boolean", "true", "1"),
        ("boolean", "0", "0"),
        ("dateTime", "2026-11-21T02:00:00Z", "2026-11-21T02:00:00Z"),
        ("dateTime", "1970-01-02T00:01:05.021239+00:00", "1970-01-02T00:01:05.021239+00:00"),
        ("dateTime", "0001-01-01T00:00:00", "0001-01-01T00:00:00"),
        ("base64", "aGk=", "aGk="),
    ],
)
def test_value_is_accepted_in_its_one_spelling(kind: str, value: str, canonical: str) -> None:
    assert ValueType.parse(kind).canonical(value) == canonical


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("string(3)", "abcd", "4 characters, at most 3 are allowed"),
        ("string(6:6)", "00D", "3 characters, at least 6 are needed"),
        ("string{DHCP}{Static}", "dhcp", "'dhcp' is none of DHCP, Static"),
        ("int[-5:5]", "6", "6 is outside -5 to 5"),
        ("int", "2147483648", "2147483648 is outside -2147483648 to 2147483647"),
        ("int", "five", "'five' is no int"),
        ("int", "\u0665", "is no int"),
        ("unsignedInt", "-1", "-1 is outside 0 to 4294967295"),
        ("unsignedInt[1:]", "0", "0 is outside 1 to 4294967295"),
        ("boolean", "Enabled", "'Enabled' is no boolean; 0, 1, true and false are"),
        ("dateTime", "yesterday", "'yesterday' is no dateTime; 2026-11-21T02:00:00Z is one"),
        ("dateTime", "2026-02-30T00:00:00Z", "is no dateTime: day"),
        ("base64", "a", "'a' is not base64"),
        ("base64(1)", "aGk=", "2 octets, at most 1 are allowed"),
    ],
)
def test_value_is_refused_with_its_reason(kind: str, value: str, reason: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        ValueType.parse(kind).canonical(value)

    assert reason in str(refused.value)


@pytest.mark.parametrize("kind", TYPES)
def test_the_empty_value_of_a_type_is_one_of_its_values(kind: str) -> None:
    value_type = ValueType.parse(kind)

    assert value_type.canonical(value_type.empty) == value_type.empty


@pytest.mark.parametrize("kind", ["text", "string(", "int[a:b]", "boolean(1)x", ""])
def test_what_is_no_type_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="is no parameter type"):
        ValueType.parse(kind)


@given(st.sampled_from(TYPES), st.text(max_size=30))
def test_any_text_has_one_spelling_or_is_refused(kind: str, text: str) -> None:
    value_type = ValueType.parse(kind)
    try:
        once = value_type.canonical(text)
    except ValueRefused:
        return

    assert value_type.canonical(once) == once
