"""What is written as a CWMP envelope is read back, whatever it holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import VERSIONS, Envelope, decode
from testbed.protocols.cwmp.structs import Kind, elements

GPS = "Device.Services.FAPService.1.GPS.LockedLatitude"

# Text as it survives: white space around it is the schema's, not the value's.
TEXT = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"
    ),
    max_size=20,
).map(lambda text: text.strip(" \t\r\n"))
NUMBER = st.integers(-(10**9), 10**9)


def struct(of: type[Any]) -> st.SearchStrategy[Any]:
    if of is rpc.ParameterValue:
        return st.builds(of, TEXT, TEXT, st.sampled_from(["", "string", "int", "boolean"]))
    strategies: dict[str, st.SearchStrategy[Any]] = {}
    for attribute, xml in elements(of).values():
        match xml.kind:
            case Kind.TEXT:
                strategies[attribute] = TEXT
            case Kind.INTEGER:
                strategies[attribute] = NUMBER
            case Kind.BOOLEAN:
                strategies[attribute] = st.booleans()
            case Kind.STRUCT:
                assert xml.of is not None
                strategies[attribute] = struct(xml.of)
            case _:
                items = struct(xml.of) if xml.of is not None else TEXT
                strategies[attribute] = st.lists(items, max_size=3).map(tuple)
    return st.builds(of, **strategies)


FAULT = st.builds(
    rpc.Fault,
    st.integers(8000, 9899),
    TEXT,
    st.lists(struct(rpc.ParameterFault), max_size=2).map(tuple),
    st.sampled_from(["Client", "Server"]),
    TEXT,
)
MESSAGE = st.one_of(FAULT, *(struct(each) for each in rpc.METHODS.values()))


@given(
    st.builds(
        Envelope,
        MESSAGE,
        id=st.none() | TEXT,
        version=st.sampled_from(VERSIONS),
        hold_requests=st.none() | st.booleans(),
        no_more_requests=st.none() | st.booleans(),
        session_timeout_s=st.none() | st.integers(0, 10**6),
    )
)
def test_what_is_written_is_read_back(envelope: Envelope) -> None:
    assert decode(envelope.encode()) == envelope


@pytest.mark.parametrize(
    "fault",
    [
        rpc.fault(9003, parameters=(rpc.ParameterFault("Device.A", 9007, "too <long>"),)),
        rpc.Fault(soap_code="Server", soap_text="busy"),
    ],
    ids=["with parameters", "plain SOAP"],
)
def test_faults_are_read_back(fault: rpc.Fault) -> None:
    assert decode(Envelope(fault, id="1").encode()).message == fault


@given(struct(rpc.SetParameterValues))
def test_line_ends_in_the_middle_of_a_value_survive(message: rpc.SetParameterValues) -> None:
    parameters = (*message.parameters, rpc.ParameterValue("Device.A", 'a\r\nb\t"c" ]]> d'))
    envelope = Envelope(replace(message, parameters=parameters))

    assert decode(envelope.encode()) == envelope
