"""Other programs read what we write: Python's own XML, HTTP and digest, none of it ours."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.request import (
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    parse_http_list,
    parse_keqv_list,
)
from urllib.request import Request as UrllibRequest

import pytest

from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.cwmp.over_http import post, reply
from testbed.protocols.http import Response, Url
from testbed.protocols.http_auth import digest_challenge, verify_digest

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
CWMP = "{urn:dslforum-org:cwmp-1-2}"
TRICKY = 'a & b < c > "d" \u20ac\r\n\t end'


class FakeSocket:
    """What http.client wants of a socket."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def makefile(self, *arguments: Any, **more: Any) -> io.BytesIO:
        return io.BytesIO(self.octets)


def test_expat_finds_the_same_in_an_envelope() -> None:
    value = rpc.ParameterValue("Device.A", TRICKY, "string")
    octets = Envelope(rpc.SetParameterValues((value,), "k1"), "7", "cwmp-1-2").encode()
    root = ElementTree.fromstring(octets)
    call = root.find(f"{SOAP}Body/{CWMP}SetParameterValues")

    assert root.tag == f"{SOAP}Envelope"
    assert root.findtext(f"{SOAP}Header/{CWMP}ID") == "7"
    assert call is not None
    assert call.findtext("ParameterList/ParameterValueStruct/Name") == "Device.A"
    assert call.findtext("ParameterList/ParameterValueStruct/Value") == TRICKY
    assert call.findtext("ParameterKey") == "k1"


def test_expat_finds_the_same_in_a_fault() -> None:
    faults = (rpc.ParameterFault("Device.A", 9007, "too long"),)
    octets = Envelope(rpc.fault(9003, parameters=faults), "7", "cwmp-1-2").encode()
    fault = ElementTree.fromstring(octets).find(f"{SOAP}Body/{SOAP}Fault")

    assert fault is not None
    assert fault.findtext("faultstring") == "CWMP fault"
    assert fault.findtext(f"detail/{CWMP}Fault/FaultCode") == "9003"
    assert fault.findtext(f"detail/{CWMP}Fault/SetParameterValuesFault/FaultCode") == "9007"


@pytest.mark.parametrize(
    "response",
    [
        reply(Envelope(rpc.InformResponse(), "1"), ("session=1; Path=/",)),
        reply(None),
        Response((("Transfer-Encoding", "chunked"),), b"hello"),
        Response(status=503, headers=(("Retry-After", "5"),)),
    ],
    ids=["envelope", "204", "chunked", "503"],
)
def test_http_client_reads_our_responses(response: Response) -> None:
    socket: Any = FakeSocket(response.encode())
    read = HTTPResponse(socket)
    read.begin()

    assert read.status == response.status
    assert read.read() == response.body
    for name, value in response.headers:
        assert read.getheader(name) == value


@pytest.mark.parametrize("envelope", [Envelope(rpc.Inform(), "1"), None], ids=["Inform", "empty"])
def test_http_server_reads_our_requests(envelope: Envelope | None) -> None:
    request = post(Url.parse("http://hms.example:7547/acs?x=1"), envelope)
    handler: Any = BaseHTTPRequestHandler.__new__(BaseHTTPRequestHandler)
    handler.rfile = io.BytesIO(request.encode())
    handler.wfile = io.BytesIO()
    handler.raw_requestline = handler.rfile.readline()

    assert handler.parse_request()
    assert (handler.command, handler.path) == ("POST", "/acs?x=1")
    assert handler.headers["Host"] == "hms.example:7547"
    assert handler.rfile.read(int(handler.headers["Content-Length"])) == request.body


@pytest.mark.parametrize("qop", [None, "auth"])
def test_urllib_answers_our_digest_challenge(qop: str | None) -> None:
    passwords = HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password("hms", "http://hms.example/", "hnb", "secret")
    handler = HTTPDigestAuthHandler(passwords)
    challenge = digest_challenge("hms", "n1", qop=qop, opaque="o").removeprefix("Digest ")
    asked = parse_keqv_list(parse_http_list(challenge))
    request = UrllibRequest("http://hms.example/acs", method="POST")
    value = f"Digest {handler.get_authorization(request, asked)}"

    credentials = verify_digest(value, "POST", "/acs", "hms", {"hnb": "secret"}.get)

    assert credentials.parameters["username"] == "hnb"
    assert credentials.parameters["opaque"] == "o"
