"""The SOAP envelope around every CWMP message: read in every shape of the field, written in one.

`decode` accepts any prefixes, declarations anywhere, a missing or empty Header, values without
type, wrong array counts, white space around values.  What it had to overlook it names in
`deviations`; judging is left to checks.  It refuses what cannot be cut into a message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from testbed.errors import DecodeError, LocalError
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.reading import ENCODING, XSI, FieldReader, local_name, namespace
from testbed.protocols.cwmp.rpc import ParameterValue, Rpc
from testbed.protocols.cwmp.structs import Element, Kind, elements
from testbed.protocols.markup import MOST_OCTETS, illegal_character, parse

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
XSD = "http://www.w3.org/2001/XMLSchema"

VERSIONS = ("cwmp-1-0", "cwmp-1-1", "cwmp-1-2", "cwmp-1-3", "cwmp-1-4")
"""The ends of the namespaces that TR-069 has had so far."""

_NAMESPACE = re.compile(r"^urn:dslforum-org:(cwmp-[0-9]{1,3}-[0-9]{1,3})$")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One CWMP message with its SOAP Header.

    Attributes:
        message: the call, response or fault.
        id: cwmp:ID; a response carries its call's; None: there is none.
        version: "cwmp-1-0" to "cwmp-1-4", or what the peer claims; "": no CWMP namespace at all.
        hold_requests: cwmp:HoldRequests, deprecated; kept, never obeyed.
        no_more_requests: cwmp:NoMoreRequests, deprecated; likewise.
        session_timeout_s: cwmp:SessionTimeout (1-1 and later).
        must_understand: Header elements that ask to be understood, and are not.
        deviations: what the sender did otherwise than the schema, as sentences.
        raw: the octets as they came; b"" for one of our own.
    """

    message: Rpc
    id: str | None = None
    version: str = VERSIONS[0]
    hold_requests: bool | None = None
    no_more_requests: bool | None = None
    session_timeout_s: int | None = None
    must_understand: tuple[str, ...] = field(default=(), compare=False)
    deviations: tuple[str, ...] = field(default=(), compare=False)
    raw: bytes = field(default=b"", compare=False, repr=False)

    def encode(self) -> bytes:
        """The octets, canonically.

        Raises:
            LocalError: a text holds a character that XML 1.0 cannot carry.
        """
        return _Writer(self).octets()

    def summary(self) -> str:
        """One line for a ladder."""
        return self.message.summary()


def decode(body: bytes, most_octets: int = MOST_OCTETS, charset: str = "") -> Envelope:
    """Read one envelope.

    Args:
        body: the octets.
        most_octets: refuse more than this.
        charset: of a body that does not declare its own, as the Content-Type has it.

    Raises:
        DecodeError: the body cannot be cut into a message; says what was there instead.
    """
    root = parse(body, "CWMP body", most_octets, charset=charset)
    return _Reader(root, body).envelope()


class _Reader(FieldReader):
    """Reads one tree and gathers what was odd about it."""

    def __init__(self, root: etree._Element, raw: bytes) -> None:
        super().__init__()
        self.root = root
        self.raw = raw
        self.versions: list[str] = []

    def envelope(self) -> Envelope:
        if local_name(self.root) != "Envelope":
            raise DecodeError(
                f"CWMP body: the root is {local_name(self.root)!r}, not a SOAP Envelope"
            )
        if namespace(self.root) != SOAP:
            self.note(f"Envelope is in the namespace {namespace(self.root)!r}, not SOAP 1.1's")
        parts: dict[str, etree._Element] = {}
        for part in self.root:
            name = local_name(part)
            if name in ("Header", "Body") and name not in parts:
                parts[name] = part
            else:
                self.note(f"Envelope holds {name} besides its Header and Body")
        if "Body" not in parts:
            raise DecodeError("CWMP body: the SOAP Envelope has no Body")
        message = self.body(parts["Body"])
        header = self.header(parts.get("Header"))
        version = self.versions[0] if self.versions else ""
        if not version:
            self.note("no element is in a namespace of CWMP")
        if any(other != version for other in self.versions):
            self.note(f"two CWMP versions in one envelope: {' and '.join(self.versions)}")
        return Envelope(
            message, version=version, deviations=tuple(self.notes), raw=self.raw, **header
        )

    def header(self, element: etree._Element | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if element is None or len(element) == 0:
            self.note("no cwmp:ID: the Header is " + ("missing" if element is None else "empty"))
            return found
        misunderstood: list[str] = []
        for child in element:
            name = local_name(child)
            self.version_of(child)
            if name == "ID":
                found["id"] = self.text(child, "Header")
            elif name == "HoldRequests":
                found["hold_requests"] = self.boolean(child, "Header")
            elif name == "NoMoreRequests":
                found["no_more_requests"] = self.boolean(child, "Header")
            elif name == "SessionTimeout":
                found["session_timeout_s"] = self.integer(child, "Header")
            elif (child.get(f"{{{SOAP}}}mustUnderstand") or "").strip() in ("1", "true"):
                misunderstood.append(name)
        if "id" not in found:
            self.note("no cwmp:ID in the Header")
        found["must_understand"] = tuple(misunderstood)
        return found

    def version_of(self, element: etree._Element) -> None:
        match = _NAMESPACE.match(namespace(element))
        if match and match.group(1) not in self.versions:
            self.versions.append(match.group(1))

    def body(self, element: etree._Element) -> Rpc:
        if len(element) != 1:
            names = ", ".join(local_name(child) for child in list(element)[:5]) or "nothing"
            raise DecodeError(f"CWMP body: the SOAP Body holds {names}; one message is expected")
        content = element[0]
        name = local_name(content)
        if name == "Fault":
            return self.fault(content)
        self.version_of(content)
        if not _NAMESPACE.match(namespace(content)):
            self.note(f"{name} is in the namespace {namespace(content)!r}, which is not CWMP's")
        if name not in rpc.METHODS:
            return rpc.Unknown(name)
        message = self.struct(content, rpc.METHODS[name], name)
        assert isinstance(message, Rpc)
        return message

    def fault(self, element: etree._Element) -> rpc.Fault:
        """A SOAP fault with CWMP's own in its detail, where the entries of parameters repeat."""
        inner: dict[str, etree._Element] = {local_name(child): child for child in element}
        soap_code = self.optional(inner.get("faultcode"), "Fault").rpartition(":")[2]
        soap_text = self.optional(inner.get("faultstring"), "Fault")
        detail = inner.get("detail")
        cwmp = (
            None if detail is None else next((c for c in detail if local_name(c) == "Fault"), None)
        )
        if cwmp is None:
            self.note("Fault has no detail of CWMP")
            return rpc.Fault(0, "", (), soap_code, soap_text)
        self.version_of(cwmp)
        parts = {
            local_name(child): child
            for child in cwmp
            if local_name(child) != "SetParameterValuesFault"
        }
        code = self.integer(parts["FaultCode"], "Fault") if "FaultCode" in parts else 0
        parameters = tuple(
            self.struct(child, rpc.ParameterFault, "SetParameterValuesFault")
            for child in cwmp
            if local_name(child) == "SetParameterValuesFault"
        )
        text = self.optional(parts.get("FaultString"), "Fault")
        return rpc.Fault(code, text, parameters, soap_code, soap_text)


_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"})


class _Writer:
    """Writes one envelope."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.parts: list[str] = []

    def octets(self) -> bytes:
        envelope = self.envelope
        version = envelope.version or VERSIONS[0]
        add = self.parts.append
        add('<?xml version="1.0" encoding="UTF-8"?>\n')
        add(f'<soap-env:Envelope xmlns:soap-env="{SOAP}" xmlns:soap-enc="{ENCODING}"')
        add(f' xmlns:xsd="{XSD}" xmlns:xsi="{XSI}"')
        add(f' xmlns:cwmp="urn:dslforum-org:{self.escaped(version)}"><soap-env:Header>')
        if envelope.id is not None:
            self.header("ID", envelope.id, must_understand=True)
        if envelope.hold_requests is not None:
            self.header("HoldRequests", str(int(envelope.hold_requests)), must_understand=True)
        if envelope.no_more_requests is not None:
            self.header("NoMoreRequests", str(int(envelope.no_more_requests)), False)
        if envelope.session_timeout_s is not None:
            self.header("SessionTimeout", str(envelope.session_timeout_s), False)
        add("</soap-env:Header><soap-env:Body>")
        if isinstance(envelope.message, rpc.Fault):
            self.fault(envelope.message)
        else:
            name = f"cwmp:{envelope.message.method}"
            add(f"<{name}>")
            self.struct(envelope.message)
            add(f"</{name}>")
        add("</soap-env:Body></soap-env:Envelope>\n")
        return "".join(self.parts).encode()

    def header(self, name: str, text: str, must_understand: bool) -> None:
        self.parts.append(
            f'<cwmp:{name} soap-env:mustUnderstand="{int(must_understand)}">'
            f"{self.escaped(text)}</cwmp:{name}>"
        )

    def escaped(self, text: str) -> str:
        found = illegal_character(text)
        if found:
            raise LocalError(
                f"CWMP {self.envelope.message.method}: a text holds the character "
                f"0x{ord(found.group()):02x}, which XML 1.0 cannot carry"
            )
        return text.translate(_ESCAPES)

    def simple(self, name: str, text: str) -> None:
        self.parts.append(f"<{name}>{self.escaped(text)}</{name}>")

    def struct(self, value: Any) -> None:
        if isinstance(value, ParameterValue):
            self.simple("Name", value.name)
            kind = f' xsi:type="xsd:{self.escaped(value.type)}"' if value.type else ""
            self.parts.append(f"<Value{kind}>{self.escaped(value.value)}</Value>")
            return
        for attribute, xml in elements(type(value)).values():
            content = getattr(value, attribute)
            match xml.kind:
                case Kind.TEXT:
                    self.simple(xml.name, content)
                case Kind.INTEGER | Kind.BOOLEAN:
                    self.simple(xml.name, str(int(content)))
                case Kind.STRUCT:
                    self.parts.append(f"<{xml.name}>")
                    self.struct(content)
                    self.parts.append(f"</{xml.name}>")
                case _:
                    self.items(xml, content)

    def items(self, xml: Element, items: tuple[Any, ...]) -> None:
        kind = f"cwmp:{xml.item}" if xml.of else f"xsd:{xml.item}"
        self.parts.append(f'<{xml.name} soap-enc:arrayType="{kind}[{len(items)}]">')
        for item in items:
            if isinstance(item, str):
                self.simple(xml.item, item)
            else:
                self.parts.append(f"<{xml.item}>")
                self.struct(item)
                self.parts.append(f"</{xml.item}>")
        self.parts.append(f"</{xml.name}>")

    def fault(self, fault: rpc.Fault) -> None:
        add = self.parts.append
        add("<soap-env:Fault>")
        # SOAP 1.1, 4.4.1: the standard codes are names in the envelope's namespace.
        self.simple("faultcode", f"soap-env:{fault.soap_code}")
        self.simple("faultstring", fault.soap_text)
        if fault.code:
            add("<detail><cwmp:Fault>")
            self.simple("FaultCode", str(fault.code))
            self.simple("FaultString", fault.text)
            for each in fault.parameters:
                add("<SetParameterValuesFault>")
                self.struct(each)
                add("</SetParameterValuesFault>")
            add("</cwmp:Fault></detail>")
        add("</soap-env:Fault>")
