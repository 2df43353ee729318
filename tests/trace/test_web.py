"""HTTP, the CWMP in it, and TLS, on web ports of a made-up home."""

from __future__ import annotations

import pytest
from trace_frames import Home

from testbed.errors import BadInput, DecodeError
from testbed.protocols import tls
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.trace.decoders import Decoders
from testbed.trace.dissect import Dissector
from testbed.trace.ladder import draw
from testbed.trace.select import matches
from testbed.trace.trace import Trace
from testbed.trace.web import WebStream

http = pytest.importorskip("testbed.protocols.http")

INFORM = Envelope(rpc.Inform(events=(rpc.Event("1 BOOT", ""),)), "17")
HEADERS = (("Host", "hms.example"), ("Content-Type", "text/xml"))
POST = http.Request(HEADERS, INFORM.encode(), target="/acs").encode()


@pytest.fixture
def web() -> Home:
    """A home whose segw listens on 7547."""
    home = Home()
    home.server = (home.server[0], 7547)
    trace = Trace(Decoders(), arrivals=True)
    trace.addresses = home.trace.addresses
    home.trace.decoders = trace.decoders
    home.trace._dissector = Dissector(trace.decoders)
    home.connect()
    return home


def test_a_post_is_one_record_with_its_call_inside(web):
    record = web.segment(True, 1001, 24, POST)[0]

    assert isinstance(record.message, http.Request)
    assert record.payload == POST
    assert record.find(rpc.Inform) == INFORM.message
    assert record.find(Envelope) == INFORM
    assert record.find(http.Response) is None
    assert record.summary() == "CWMP Inform 1 BOOT"
    assert [line for line in draw(web.trace, width=120) if "Inform" in line]


def test_a_record_is_found_by_each_layers_type_and_attributes(web):
    record = web.segment(True, 1001, 24, POST)[0]

    assert matches(record, rpc.Inform, retry_count=0, target="/acs", id="17", port=7547)
    assert matches(record, http.Request, target="/acs", retry_count=0)
    assert matches(record, (rpc.Inform, rpc.Fault))
    assert matches(record, Envelope, version="cwmp-1-0")
    assert matches(record, http.Request, version="1.1")
    assert not matches(record, rpc.Inform, retry_count=1)
    assert not matches(record, rpc.InformResponse)
    assert not matches(record, http.Response)
    with pytest.raises(BadInput, match="attribute of Inform in Envelope in Request"):
        matches(record, rpc.Inform, retries=1)


def test_a_message_over_several_segments_is_one_record(web):
    first = web.segment(True, 1001, 24, POST[:100])[0]
    second = web.segment(True, 1101, 24, POST[100:])[0]

    assert first.message is None
    assert second.find(rpc.Inform) is not None
    assert second.payload == POST


def test_a_body_that_is_no_envelope_leaves_the_http_message(web):
    broken = http.Request(HEADERS, INFORM.encode()[:-20]).encode()
    record = web.segment(True, 1001, 24, broken)[0]

    assert isinstance(record.message, http.Request)
    assert isinstance(record.error, DecodeError)
    assert record.carried == ()
    assert record.summary().startswith("HTTP POST /")
    assert any("CWMP body" in line for line in draw(web.trace, width=120))


@pytest.mark.parametrize(
    ("message", "summary"),
    [
        (http.Response(HEADERS, Envelope(rpc.Fault(8001, "no")).encode(), status=500), "HTTP 500"),
        (http.Response(status=503), "HTTP 503 Service Unavailable 0 octets"),
        (http.Response((("Content-Type", "text/html"),), b"<html>busy</html>"), "HTTP 200 OK 17"),
    ],
    ids=["fault", "503", "a page"],
)
def test_a_status_that_is_no_success_is_told(message, summary):
    (piece,) = WebStream(to_server=False).feed(message.encode())
    home = Home()
    record = home.out()[0]
    told = type(record)(0, 0, "", "", None, "tcp", message=piece.message, carried=piece.carried)

    assert piece.error is None
    assert summary in told.summary()
    assert bool(piece.carried) == (message.status == 500)


def test_a_response_that_ends_with_its_stream_is_whole(web):
    web.segment(False, 5001, 24, b"HTTP/1.0 200 OK\r\n\r\nhalf")
    record = web.segment(False, 5024, 17)[0]

    assert matches(record, http.Response, status=200, body=b"half")


def test_tls_on_the_same_port_shows_its_alerts(web):
    record = web.segment(True, 1001, 24, tls.Alert.fatal("unknown_ca").record())[0]

    assert matches(record, tls.Alert, description="unknown_ca")
    assert any("TLS alert unknown_ca" in line for line in draw(web.trace, width=120))


def test_what_is_neither_is_an_error_and_ends_the_decoding(web):
    record = web.segment(True, 1001, 24, b"\0\1\2\3\r\n\r\n")[0]
    after = web.segment(True, 1009, 24, POST)[0]

    assert isinstance(record.error, DecodeError)
    assert (after.message, after.error) == (None, None)


def test_a_connection_joined_midway_is_no_error():
    web = Home()
    web.trace.decoders.register_web(web.server[1])
    record = web.segment(True, 1001, 24, b"half a message\r\n\r\n")[0]

    assert (record.message, record.error) == (None, None)


def test_other_ports_are_registered_by_whoever_names_them():
    decoders = Decoders()

    assert not decoders.knows_stream(40000, 8443)

    decoders.register_web(8443)
    assert decoders.knows_stream(40000, 8443)
    assert decoders.web_ports == {80, 443, 7547, 8443}
