"""What checks read of IKE, in what charons have said."""

from __future__ import annotations

import pytest

from testbed.conformance.ike_reading import (
    associations,
    certificate_names,
    is_named,
    retransmissions,
)
from testbed.trace.trace import Trace
from tests.protocols.ike import charons


@pytest.mark.parametrize("name", charons.NAMES)
def test_an_association_is_read_from_its_first_request_on(name: str) -> None:
    (found,) = associations(charons.opened(name))

    assert found.initiator == "hnb"
    assert [each.message.is_response for each in found.init] == [False, True]
    assert found.is_established
    assert found.requested_idr == found.idr == "segw.operator.example"
    assert found.responder_names == ("segw.operator.example",)
    assert found.inner_address == "10.20.0.1"
    assert found.inner_dns_servers == ("10.10.0.53",)
    assert found.errors == []
    assert found.ended is not None


def test_without_keys_nothing_is_claimed() -> None:
    (found,) = associations(charons.closed("cbc"))

    assert found.is_established is None
    assert (found.idr, found.responder_names, found.inner_address) == (None, None, None)
    assert found.ended is None


def test_without_an_answer_nothing_is_established() -> None:
    trace = Trace.from_frames(charons.frames("cbc")[:10], keys=charons.keys("cbc")[0])
    (found,) = associations(trace)

    assert found.is_established is False


def test_a_second_copy_is_a_retransmission() -> None:
    frames = charons.frames("cbc")
    trace = Trace.from_frames([*frames[:10], *frames[8:10]], keys=charons.keys("cbc")[0])
    (found,) = associations(trace)
    (request,) = found.auth

    assert [each.link for each in retransmissions(trace, request)] == ["home"]


def test_octets_that_are_no_certificate_have_no_names() -> None:
    assert certificate_names(b"nothing") == ()


@pytest.mark.parametrize(
    ("names", "wanted", "fits"),
    [
        (("segw.operator.example",), "SEGW.operator.example.", True),
        (("*.operator.example",), "segw.operator.example", True),
        (("*.operator.example",), "a.segw.operator.example", False),
        (("203.0.113.50",), "203.0.113.50", True),
        (("2001:db8::1",), "2001:DB8:0::1", True),
        (("segw.elsewhere.example",), "segw.operator.example", False),
        ((), "segw.operator.example", False),
    ],
)
def test_a_certificate_is_that_of_a_name(names: tuple[str, ...], wanted: str, fits: bool) -> None:
    assert is_named(names, wanted) is fits
