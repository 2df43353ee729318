"""Envelopes: every shape of the field is read, one is written, bad ones are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DecodeError, LocalError
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import VERSIONS, Envelope, decode
from testbed.protocols.cwmp.faults import FAULTS, meaning
from testbed.protocols.markup import MOST_OCTETS
from testbed.protocols.wire import Message

GPS = "Device.Services.FAPService.1.GPS.LockedLatitude"
INFORM = rpc.Inform(
    device_id=rpc.DeviceId("Hill & Dale", "00D0C9", "HNB", "A<1>"),
    events=(rpc.Event("0 BOOTSTRAP"), rpc.Event("M Reboot", "night")),
    current_time="2026-11-21T02:00:00Z",
    retry_count=2,
    parameters=(
        rpc.ParameterValue("Device.DeviceInfo.HardwareVersion", "1"),
        rpc.ParameterValue(GPS, "-1200000", "int"),
    ),
)


def soap(
    body: str, header: str = "<s:Header><c:ID>7</c:ID></s:Header>", version: str = "1-0"
) -> bytes:
    """An envelope in another hand than our encoder's."""
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:e="http://schemas.xmlsoap.org/soap/encoding/" '
        'xmlns:x="http://www.w3.org/2001/XMLSchema-instance" '
        f'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:c="urn:dslforum-org:cwmp-{version}">'
        f"{header}<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def outcome(body: bytes) -> str:
    """ "read", or the sentence of the refusal; any other exception comes through."""
    try:
        decode(body)
    except DecodeError as error:
        return str(error)
    return "read"


def inform(inner: str = "", events: str = "", parameters: str = "") -> str:
    return (
        "<c:Inform><DeviceId><Manufacturer>Hill</Manufacturer><OUI>00D0C9</OUI>"
        "<ProductClass>HNB</ProductClass><SerialNumber>1</SerialNumber></DeviceId>"
        f"<Event>{events}</Event><MaxEnvelopes>1</MaxEnvelopes>"
        "<CurrentTime>2026-11-21T02:00:00Z</CurrentTime><RetryCount>0</RetryCount>"
        f"<ParameterList>{parameters}</ParameterList>{inner}</c:Inform>"
    )


def entry(name: str, value: str, attributes: str = ' x:type="xs:string"') -> str:
    return (
        f"<ParameterValueStruct><Name>{name}</Name><Value{attributes}>{value}</Value>"
        "</ParameterValueStruct>"
    )


def test_inform_is_written_as_tr_069_shows_it() -> None:
    written = Envelope(INFORM, id="1", version="cwmp-1-2").encode().decode()

    assert written == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<soap-env:Envelope xmlns:soap-env="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:soap-enc="http://schemas.xmlsoap.org/soap/encoding/"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xmlns:cwmp="urn:dslforum-org:cwmp-1-2">'
        '<soap-env:Header><cwmp:ID soap-env:mustUnderstand="1">1</cwmp:ID></soap-env:Header>'
        "<soap-env:Body><cwmp:Inform>"
        "<DeviceId><Manufacturer>Hill &amp; Dale</Manufacturer><OUI>00D0C9</OUI>"
        "<ProductClass>HNB</ProductClass><SerialNumber>A&lt;1&gt;</SerialNumber></DeviceId>"
        '<Event soap-enc:arrayType="cwmp:EventStruct[2]">'
        "<EventStruct><EventCode>0 BOOTSTRAP</EventCode><CommandKey></CommandKey></EventStruct>"
        "<EventStruct><EventCode>M Reboot</EventCode><CommandKey>night</CommandKey></EventStruct>"
        "</Event><MaxEnvelopes>1</MaxEnvelopes><CurrentTime>2026-11-21T02:00:00Z</CurrentTime>"
        "<RetryCount>2</RetryCount>"
        '<ParameterList soap-enc:arrayType="cwmp:ParameterValueStruct[2]">'
        "<ParameterValueStruct><Name>Device.DeviceInfo.HardwareVersion</Name>"
        '<Value xsi:type="xsd:string">1</Value></ParameterValueStruct>'
        f"<ParameterValueStruct><Name>{GPS}</Name>"
        '<Value xsi:type="xsd:int">-1200000</Value></ParameterValueStruct></ParameterList>'
        "</cwmp:Inform></soap-env:Body></soap-env:Envelope>\n"
    )


def test_canonical_envelopes_have_no_deviations() -> None:
    assert decode(Envelope(INFORM, id="1").encode()).deviations == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_read_and_written(version: str) -> None:
    envelope = Envelope(INFORM, id="1", version=version)

    assert decode(envelope.encode()) == envelope


def test_an_envelope_is_a_message() -> None:
    assert isinstance(Envelope(INFORM), Message)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (INFORM, "CWMP Inform 0 BOOTSTRAP,M Reboot"),
        (rpc.InformResponse(), "CWMP InformResponse"),
        (
            rpc.SetParameterValues((rpc.ParameterValue("Device.ManagementServer.URL", "u"),)),
            "CWMP SetParameterValues URL",
        ),
        (rpc.GetParameterValues(("Device.", "A.B", "A.C", "A.D", "A.E")), None),
        (rpc.GetParameterNames("", True), "CWMP GetParameterNames (all)"),
        (rpc.fault(9005), "CWMP Fault 9005 Invalid parameter name"),
        (rpc.Fault(soap_code="Server", soap_text="no"), "SOAP Fault Server no"),
        (rpc.Unknown("X_ACME_Kick"), "CWMP X_ACME_Kick"),
    ],
)
def test_summary_is_one_line_that_tells_a_message_from_its_like(
    message: rpc.Rpc, line: str | None
) -> None:
    expected = line or "CWMP GetParameterValues Device,B,C,D,+1"

    assert Envelope(message).summary() == expected


class TestQuirks:
    """Each is a real device's or ACS's, rewritten by hand and named after what is odd in it."""

    def test_femtocell_with_empty_header_and_values_on_their_own_lines(self) -> None:
        quirk = soap(
            inform(
                events="<EventStruct>\n<EventCode>\n 1 BOOT</EventCode><CommandKey/></EventStruct>",
                parameters=entry("\n  Device.DeviceSummary", "\n   Device:1.1[](Base:1", ""),
            ),
            header="<s:Header/>",
        )

        envelope = decode(quirk)

        assert isinstance(envelope.message, rpc.Inform)
        assert envelope.id is None
        assert envelope.message.events == (rpc.Event("1 BOOT"),)
        assert envelope.message.parameters == (
            rpc.ParameterValue("Device.DeviceSummary", "Device:1.1[](Base:1", ""),
        )
        assert envelope.deviations[-1] == "no cwmp:ID: the Header is empty"
        assert {"white space around EventCode", "a Value has no xsi:type"} <= set(
            envelope.deviations
        )

    def test_header_missing(self) -> None:
        envelope = decode(soap(inform(), header=""))

        assert envelope.id is None
        assert "no cwmp:ID: the Header is missing" in envelope.deviations

    def test_cwmp_declared_on_the_inner_element_only(self) -> None:
        quirk = (
            b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
            b'<n:InformResponse xmlns:n="urn:dslforum-org:cwmp-1-1"><MaxEnvelopes xmlns="">1'
            b"</MaxEnvelopes></n:InformResponse></Body></Envelope>"
        )

        envelope = decode(quirk)

        assert envelope.message == rpc.InformResponse(1)
        assert envelope.version == "cwmp-1-1"

    def test_every_element_in_the_namespace_of_cwmp(self) -> None:
        quirk = soap("<c:InformResponse><c:MaxEnvelopes>1</c:MaxEnvelopes></c:InformResponse>")

        envelope = decode(quirk)

        assert envelope.message == rpc.InformResponse(1)
        assert envelope.deviations == (
            "MaxEnvelopes in InformResponse is in a namespace; the schema's elements are in none",
        )

    def test_body_in_another_version_than_its_header(self) -> None:
        quirk = soap('<n1:GetRPCMethods xmlns:n1="urn:dslforum-org:cwmp-1-2"/>')

        envelope = decode(quirk)

        assert envelope.version == "cwmp-1-2"
        assert envelope.deviations == ("two CWMP versions in one envelope: cwmp-1-2 and cwmp-1-0",)

    @pytest.mark.parametrize("count", ["04", "16", " 1 ", "x", ""])
    def test_array_count_is_not_believed(self, count: str) -> None:
        quirk = soap(
            f'<c:GetParameterValues><ParameterNames e:arrayType="xs:string[{count}]">'
            "<string>Device.</string></ParameterNames></c:GetParameterValues>"
        )

        assert decode(quirk).message == rpc.GetParameterValues(("Device.",))

    def test_wrong_array_count_is_told(self) -> None:
        quirk = soap(
            '<c:GetParameterValues><ParameterNames e:arrayType="xs:string[16]">'
            "<string>Device.</string></ParameterNames></c:GetParameterValues>"
        )

        assert decode(quirk).deviations == ("ParameterNames: arrayType says 16, 1 follow",)

    def test_leading_zeros_and_max_envelopes_of_two(self) -> None:
        quirk = soap(inform().replace(">0<", ">05<").replace(">1</Max", ">2</Max"))

        message = decode(quirk).message

        assert isinstance(message, rpc.Inform)
        assert (message.retry_count, message.max_envelopes) == (5, 2)

    def test_type_prefix_is_only_a_prefix(self) -> None:
        quirk = soap(inform(parameters=entry("Device.A", "5", ' x:type="whatever:unsignedInt"')))

        message = decode(quirk).message

        assert isinstance(message, rpc.Inform)
        assert message.parameters[0].type == "unsignedInt"

    def test_parameter_name_without_its_path(self) -> None:
        message = decode(soap(inform(parameters=entry(".ExternalIPAddress", "10.0.0.2")))).message

        assert isinstance(message, rpc.Inform)
        assert message.value(".ExternalIPAddress") == "10.0.0.2"

    def test_boolean_in_capitals(self) -> None:
        quirk = soap(
            "<c:GetParameterNames><ParameterPath/><NextLevel>TRUE</NextLevel></c:GetParameterNames>"
        )

        envelope = decode(quirk)

        assert envelope.message == rpc.GetParameterNames("", True)
        assert envelope.deviations == ("NextLevel says TRUE; a boolean is 0, 1, true or false",)

    def test_fault_with_another_soap_prefix_and_faultcode_without_one(self) -> None:
        quirk = soap(
            "<s:Fault><faultcode>Client</faultcode><faultstring>CWMP fault</faultstring><detail>"
            "<c:Fault><FaultCode>9003</FaultCode><FaultString>Invalid arguments</FaultString>"
            "<SetParameterValuesFault><ParameterName>Device.A</ParameterName>"
            "<FaultCode>9007</FaultCode><FaultString>too long</FaultString>"
            "</SetParameterValuesFault></c:Fault></detail></s:Fault>"
        )

        assert decode(quirk).message == rpc.fault(
            9003, parameters=(rpc.ParameterFault("Device.A", 9007, "too long"),)
        )

    def test_plain_soap_fault(self) -> None:
        quirk = soap("<s:Fault><faultcode>s:MustUnderstand</faultcode></s:Fault>")

        envelope = decode(quirk)

        assert envelope.message == rpc.Fault(soap_code="MustUnderstand", soap_text="")
        assert "Fault has no detail of CWMP" in envelope.deviations

    def test_deprecated_header_elements_are_kept(self) -> None:
        quirk = soap(
            "<c:Reboot><CommandKey/></c:Reboot>",
            "<s:Header><c:ID>x</c:ID><c:HoldRequests>1</c:HoldRequests>"
            "<c:NoMoreRequests>0</c:NoMoreRequests><c:SessionTimeout>60</c:SessionTimeout></s:Header>",
            version="1-4",
        )

        assert decode(quirk) == Envelope(rpc.Reboot(), "x", "cwmp-1-4", True, False, 60)

    def test_header_that_must_be_understood_and_is_not(self) -> None:
        quirk = soap(
            "<c:GetRPCMethods/>",
            '<s:Header><c:ID>1</c:ID><Secret xmlns="urn:acme" s:mustUnderstand="1"/></s:Header>',
        )

        assert decode(quirk).must_understand == ("Secret",)
        assert decode(quirk.replace(b'stand="1"', b'stand="0"')).must_understand == ()

    def test_vendor_method(self) -> None:
        assert decode(soap("<c:X_ACME_Kick><A/></c:X_ACME_Kick>")).message == rpc.Unknown(
            "X_ACME_Kick"
        )

    def test_method_in_no_namespace(self) -> None:
        envelope = decode(soap("<GetRPCMethods/>", header=""))

        assert envelope.message == rpc.GetRPCMethods()
        assert envelope.version == ""
        assert "no element is in a namespace of CWMP" in envelope.deviations

    def test_latin_1_that_says_so(self) -> None:
        quirk = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + soap(inform()).replace(
            b"Hill", b"H\xfcgel"
        )

        message = decode(quirk).message

        assert isinstance(message, rpc.Inform)
        assert message.device_id.manufacturer == "Hügel"

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_byte_order_mark(self, encoding: str) -> None:
        quirk = soap("<c:GetRPCMethods/>").decode().encode(encoding)

        assert decode(quirk).message == rpc.GetRPCMethods()

    def test_comments_and_cdata(self) -> None:
        quirk = b"<!-- <!DOCTYPE --> <?pi?>\n" + soap(
            inform(parameters=entry("Device.A", "<?no?><!-- no --><![CDATA[<!DOCTYPE a>]]>"))
        )

        message = decode(quirk).message

        assert isinstance(message, rpc.Inform)
        assert message.value("Device.A") == "<!DOCTYPE a>"

    def test_missing_and_repeated_and_foreign_elements(self) -> None:
        quirk = soap(
            "<c:AddObject><ObjectName>A.</ObjectName><ObjectName>B.</ObjectName><Colour/></c:AddObject>"
        )

        envelope = decode(quirk)

        assert envelope.message == rpc.AddObject("A.")
        assert envelope.deviations == (
            "AddObject holds ObjectName twice; the first counts",
            "AddObject holds Colour, which is not of the schema",
            "AddObject has no ParameterKey",
        )

    def test_items_and_fields_of_other_names(self) -> None:
        quirk = soap(
            "<c:GetParameterValues><ParameterNames><Name>Device.</Name></ParameterNames>"
            "</c:GetParameterValues>"
        )

        envelope = decode(quirk)

        assert envelope.message == rpc.GetParameterValues(("Device.",))
        assert envelope.deviations == ("ParameterNames holds Name, not string",)

    def test_a_parameter_with_two_names_and_two_values(self) -> None:
        quirk = soap(inform(parameters=entry("A</Name><Name>B", "1</Value><Value>2")))

        envelope = decode(quirk)

        assert isinstance(envelope.message, rpc.Inform)
        assert envelope.message.value("A") == "1"
        assert "ParameterValueStruct 'A' holds another Name" in envelope.deviations
        assert "ParameterValueStruct 'A' holds another Value" in envelope.deviations

    def test_soap_1_2_and_more_than_header_and_body(self) -> None:
        quirk = (
            soap("<c:GetRPCMethods/>")
            .replace(b"http://schemas.xmlsoap.org/soap/envelope/", b"http://www.w3.org/2003/05/x")
            .replace(b"<s:Body>", b"<Extra/><s:Body>")
        )

        envelope = decode(quirk)

        assert envelope.message == rpc.GetRPCMethods()
        assert envelope.deviations == (
            "Envelope is in the namespace 'http://www.w3.org/2003/05/x', not SOAP 1.1's",
            "Envelope holds Extra besides its Header and Body",
        )

    def test_parameter_without_value(self) -> None:
        quirk = soap(
            inform(parameters="<ParameterValueStruct><Name>A</Name></ParameterValueStruct>")
        )

        assert "ParameterValueStruct 'A' has no Value" in decode(quirk).deviations


class TestWhiteSpaceAroundValues:
    @pytest.mark.parametrize(
        ("attributes", "written", "read"),
        [
            (' x:type="xs:string"', " a ", " a "),
            (' x:type="xs:string"', "\n   a\n  ", "a"),
            ("", "  a", "a"),
            (' x:type="xs:int"', " 5 ", "5"),
        ],
        ids=["a string's own", "pretty-printed string", "no type", "a number's"],
    )
    def test_only_a_strings_own_is_kept(self, attributes: str, written: str, read: str) -> None:
        message = decode(soap(inform(parameters=entry("A", written, attributes)))).message

        assert isinstance(message, rpc.Inform)
        assert message.value("A") == read


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            (b"", "CWMP body: not XML: the end at character 0, no element"),
            (b"{}", "CWMP body: not XML: '{}' at character 0, no element"),
            (b"<html/>", "CWMP body: the root is 'html', not a SOAP Envelope"),
            (b"<Envelope/>", "CWMP body: the SOAP Envelope has no Body"),
            (soap(""), "CWMP body: the SOAP Body holds nothing; one message is expected"),
            (
                soap("<c:Reboot/><c:Reboot/>"),
                "CWMP body: the SOAP Body holds Reboot, Reboot; one message is expected",
            ),
            (soap("<c:Reboot>")[:-60], "CWMP body: not well-formed XML"),
            (
                soap(inform()).replace(b"<RetryCount>0", b"<RetryCount>soon"),
                "CWMP Inform: RetryCount says 'soon', a number is expected",
            ),
            (
                soap("<c:GetParameterNames><NextLevel>maybe</NextLevel></c:GetParameterNames>"),
                "CWMP GetParameterNames: NextLevel says 'maybe', a boolean is expected",
            ),
            (
                soap("<c:Reboot><CommandKey>a<b/></CommandKey></c:Reboot>"),
                "CWMP Reboot: CommandKey holds the element b, text is expected",
            ),
            (
                soap(
                    "<c:GetParameterValues><ParameterNames>A</ParameterNames></c:GetParameterValues>"
                ),
                "CWMP ParameterNames: holds text 'A', not an array",
            ),
            (b"<a>\xff</a>", "CWMP body: octet 0xff at offset 3 is not UTF-8"),
            (
                b"<a>\x02</a>",
                "CWMP body: character 0x02 at character 3, which XML 1.0 does not allow",
            ),
            (b"<a>&#2;</a>", "CWMP body: not well-formed XML"),
            (b"<a>&nbsp;</a>", "CWMP body: not well-formed XML"),
            (
                b'<?xml version="1.0" encoding="EBCDIC-CP-US"?><a/>',
                "CWMP body: declares encoding 'EBCDIC-CP-US'; TR-069 wants UTF-8",
            ),
            (
                b'<?xml version="1.0" encoding="klingon"?><a/>',
                "CWMP body: declares encoding 'klingon'; TR-069 wants UTF-8",
            ),
            (b"<?xml", "CWMP body: not well-formed XML: no '?>' after 0"),
            (b"<x:a/>", "CWMP body: not well-formed XML"),
        ],
    )
    def test_what_is_no_message_is_refused_in_a_sentence(self, body: bytes, sentence: str) -> None:
        with pytest.raises(DecodeError) as refused:
            decode(body)

        assert str(refused.value).startswith(sentence)
        assert "\n" not in str(refused.value)

    def test_entity_bomb(self) -> None:
        levels = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 10))
        bomb = f'<!DOCTYPE a [<!ENTITY b0 "ha">{levels}]><a>&b9;</a>'.encode()

        with pytest.raises(DecodeError, match="a document type at character 0"):
            decode(bomb)

    def test_external_entity(self) -> None:
        with pytest.raises(DecodeError, match="a document type"):
            decode(b'<!-- hi --><!doctype a SYSTEM "http://192.0.2.1/a"><a/>')

    def test_body_above_the_bound(self) -> None:
        with pytest.raises(DecodeError, match=f"{MOST_OCTETS + 1} octets, at most {MOST_OCTETS}"):
            decode(b" " * (MOST_OCTETS + 1))

    def test_body_at_the_bound(self) -> None:
        octets = soap("<c:GetRPCMethods/>")

        assert decode(octets, most_octets=len(octets)).message == rpc.GetRPCMethods()

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            (b"<a>" * 200_001, "200001 tags, at most 200000 are read"),
            (b"<a " + b'b="" ' * 50_001 + b"/>", "50001 attributes, at most 50000 are read"),
            (b"<a>" * 1000, "Excessive depth"),
        ],
        ids=["tags", "attributes", "depth"],
    )
    def test_a_small_body_that_is_a_huge_tree(self, body: bytes, sentence: str) -> None:
        with pytest.raises(DecodeError, match=sentence):
            decode(body)

    def test_many_equal_signs_in_a_value_are_no_attributes(self) -> None:
        message = decode(soap(inform(parameters=entry("A", "=" * 60_000)))).message

        assert isinstance(message, rpc.Inform)

    def test_control_characters_cannot_be_written_either(self) -> None:
        with pytest.raises(LocalError, match="Reboot: a text holds the character 0x02"):
            Envelope(rpc.Reboot("\x02")).encode()

    @given(st.binary(max_size=300))
    def test_any_octets_give_a_message_or_a_decode_error(self, octets: bytes) -> None:
        for body in (octets, b"<a>" + octets, soap("@").replace(b"@", octets)):
            assert outcome(body) == "read" or outcome(body).startswith("CWMP")

    @given(st.data())
    def test_any_change_of_a_message_gives_a_message_or_a_decode_error(self, data: Any) -> None:
        octets = bytearray(Envelope(INFORM, id="1").encode())
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(octets)))
            end = data.draw(st.integers(start, min(start + 40, len(octets))))
            octets[start:end] = data.draw(st.binary(max_size=8))
        assert "\n" not in outcome(bytes(octets))


def test_raw_octets_stay() -> None:
    octets = soap("<c:X_ACME_Kick><A>1</A></c:X_ACME_Kick>")

    assert decode(octets).raw == octets


def test_every_method_of_either_end_is_known() -> None:
    assert {*rpc.ACS_METHODS, *rpc.CPE_METHODS} <= set(rpc.METHODS)
    assert {rpc.response_to(rpc.METHODS[name]()) for name in rpc.CPE_METHODS} <= set(rpc.METHODS)


def test_responses_and_faults_are_told_from_calls() -> None:
    assert rpc.InformResponse().is_response
    assert rpc.fault(9000).is_response
    assert not rpc.Inform().is_response


class TestFaultCodes:
    def test_all_of_tr_069_are_there(self) -> None:
        assert list(FAULTS) == [*range(8000, 8006), *range(9000, 9020)]

    @pytest.mark.parametrize(
        ("code", "source"), [(8003, "Client"), (8005, "Server"), (9005, "Client"), (9009, "Server")]
    )
    def test_faultcode_follows_the_table(self, code: int, source: str) -> None:
        assert rpc.fault(code).soap_code == source

    def test_vendor_codes_and_unknown_codes_have_a_meaning(self) -> None:
        assert meaning(9801).text == "Vendor-defined fault"
        assert meaning(9100).text == "Unknown fault"
