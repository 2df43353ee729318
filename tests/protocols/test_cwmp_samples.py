"""Messages of real devices and ACSs, each with one quirk, rewritten as small samples."""

from __future__ import annotations

import pytest

from testbed.errors import DecodeError
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope, decode
from testbed.protocols.cwmp.over_http import envelope_in
from testbed.protocols.http import Request
from tests.protocols.test_cwmp_envelope import entry, inform, soap


def informed(body: bytes) -> rpc.Inform:
    message = decode(body).message
    assert isinstance(message, rpc.Inform)
    return message


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-21T02:00:00.908Z",
        "1970-01-02T00:01:05.021239+00:00",
        "2016-12-05T11:55:36+05:30",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00",
        "",
    ],
    ids=["milliseconds", "microseconds", "offset", "unknown", "unknown-without-zone", "empty"],
)
def test_times_of_every_spelling_stay_as_they_were_written(written: str) -> None:
    typed = ' x:type="xs:dateTime"'
    quirk = inform(parameters=entry("Device.Since", written, typed)).replace(
        "2026-11-21T02:00:00Z</CurrentTime>", f"{written}</CurrentTime>"
    )

    message = informed(soap(quirk))

    assert message.current_time == written
    assert message.value("Device.Since") == written


def test_three_versions_are_declared_and_the_body_says_which() -> None:
    quirk = (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        b'xmlns:ns1="urn:dslforum-org:cwmp-1-2" xmlns:ns2="urn:dslforum-org:cwmp-1-1" '
        b'xmlns:ns3="urn:dslforum-org:cwmp-1-0"><s:Header/><s:Body><ns1:GetRPCMethods/>'
        b"</s:Body></s:Envelope>"
    )

    assert decode(quirk).version == "cwmp-1-2"


def test_fields_out_of_the_schemas_order_are_read() -> None:
    quirk = soap(
        "<c:Download><URL>http://files.example/image</URL><FileSize>5</FileSize>"
        "<CommandKey>k</CommandKey><FileType>1 Firmware Upgrade Image</FileType></c:Download>"
    )

    message = decode(quirk).message

    assert isinstance(message, rpc.Download)
    assert (message.command_key, message.url) == ("k", "http://files.example/image")


def test_an_id_that_reads_null_is_an_id() -> None:
    quirk = soap("<c:GetRPCMethods/>", "<s:Header><c:ID>null</c:ID></s:Header>")

    assert decode(quirk).id == "null"


def test_a_type_on_a_parameter_key_is_overlooked() -> None:
    quirk = soap(
        f"<c:SetParameterValues><ParameterList>{entry('Device.A', '1')}</ParameterList>"
        '<ParameterKey x:type="xs:string">set 1</ParameterKey></c:SetParameterValues>'
    )

    message = decode(quirk).message

    assert isinstance(message, rpc.SetParameterValues)
    assert message.key == "set 1"


def test_a_fault_names_every_parameter_that_was_refused() -> None:
    one = (
        "<SetParameterValuesFault><ParameterName>Device.{}</ParameterName>"
        "<FaultCode>9003</FaultCode><FaultString>no</FaultString></SetParameterValuesFault>"
    )
    quirk = soap(
        "<s:Fault><faultcode>Client</faultcode><faultstring>CWMP fault</faultstring><detail>"
        "<c:Fault><FaultCode>9003</FaultCode><FaultString>no</FaultString>"
        f"{one.format('Username')}{one.format('Password')}</c:Fault></detail></s:Fault>"
    )

    message = decode(quirk).message

    assert isinstance(message, rpc.Fault)
    assert [each.name for each in message.parameters] == ["Device.Username", "Device.Password"]


def test_methods_in_an_array_whose_type_has_no_prefix() -> None:
    quirk = soap(
        '<c:GetRPCMethodsResponse><MethodList e:arrayType="string[02]"><string>Reboot</string>'
        "<string>Download</string></MethodList></c:GetRPCMethodsResponse>",
        "<s:Header><c:ID>5</c:ID><c:NoMoreRequests>1</c:NoMoreRequests></s:Header>",
    )

    envelope = decode(quirk)

    assert envelope.message == rpc.GetRPCMethodsResponse(("Reboot", "Download"))
    assert envelope.no_more_requests is True
    assert envelope.deviations == ()


def test_access_lists_within_attributes() -> None:
    quirk = soap(
        "<c:GetParameterAttributesResponse><ParameterList><ParameterAttributeStruct>"
        "<Name>Device.A</Name><Notification>0</Notification>"
        '<AccessList e:arrayType="c:string[01]"><string>subscriber</string></AccessList>'
        "</ParameterAttributeStruct></ParameterList></c:GetParameterAttributesResponse>"
    )

    assert decode(quirk).message == rpc.GetParameterAttributesResponse(
        (rpc.ParameterAttributes("Device.A", 0, ("subscriber",)),)
    )


def test_thousands_of_names_in_one_response() -> None:
    name = "InternetGatewayDevice.LANDevice.1.Hosts.Host.{}.LeaseTimeRemaining"
    names = tuple(rpc.ParameterInfo(name.format(number), False) for number in range(3263))
    whole = Envelope(rpc.GetParameterNamesResponse(names), "22").encode()

    assert len(whole) > 400_000
    assert decode(whole).message == rpc.GetParameterNamesResponse(names)


def test_names_of_products_hold_spaces_slashes_and_percent_signs() -> None:
    message = informed(soap(inform().replace(">HNB<", ">WCDMA HNB / 50%<")))

    assert message.device_id.product_class == "WCDMA HNB / 50%"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (soap(inform().replace(">0<", "><")), "RetryCount says '', a number is expected"),
        (soap(""), "the SOAP Body holds nothing; one message is expected"),
    ],
    ids=["template-not-filled-in", "body-not-filled-in"],
)
def test_a_template_that_was_not_filled_in_is_refused(body: bytes, sentence: str) -> None:
    with pytest.raises(DecodeError, match=sentence):
        decode(body)


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("text/xml; charset=ISO-8859-1", "Hügel"),
        ('text/xml; charset="iso-8859-1"', "Hügel"),
        ("text/xml; charset=windows-1252", "Hügel"),
    ],
)
def test_latin_1_that_only_the_content_type_tells_of(kind: str, read: str) -> None:
    body = soap(inform()).replace(b"Hill", b"H\xfcgel")

    envelope = envelope_in(Request((("Content-Type", kind),), body))

    assert envelope is not None
    assert isinstance(envelope.message, rpc.Inform)
    assert envelope.message.device_id.manufacturer == read
    assert envelope.raw == body


@pytest.mark.parametrize("kind", ["text/xml", "text/xml; charset=utf-8", "text/xml; charset=x-odd"])
def test_latin_1_that_nothing_tells_of_is_refused(kind: str) -> None:
    body = soap(inform()).replace(b"Hill", b"H\xfcgel")
    with pytest.raises(DecodeError, match=r"octet 0xfc at offset .* is not UTF-8"):
        envelope_in(Request((("Content-Type", kind),), body))
