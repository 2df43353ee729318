"""Reads the content of elements into fields, and gathers what was odd about it on the way.

Refuses only what is not of its field's kind at all: a number that is none, text with elements in.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from testbed.errors import DecodeError
from testbed.protocols.cwmp.structs import Element, Kind, ParameterValue, elements

ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

_INTEGER = re.compile(r"^[+-]?[0-9]{1,20}$")
_COUNT = re.compile(r"\[\s*([0-9]{1,9})\s*\]\s*$")
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}
_SPACE = " \t\r\n"
_MOST_DEVIATIONS = 50


def local_name(element: etree._Element) -> str:
    """An element's name without its namespace."""
    name = element.tag
    # Cut: nobody knows a longer name, and errors and notes repeat it.
    return name.rpartition("}")[2][:100] if isinstance(name, str) else ""


def namespace(element: etree._Element) -> str:
    """The namespace of an element; "": none."""
    return str(element.tag)[1:].partition("}")[0] if str(element.tag).startswith("{") else ""


class FieldReader:
    """Reads fields; `notes` are the deviations from the schema that it met, each once."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        """Keep a deviation, unless it is known or there are too many."""
        sentence = sentence[:300]
        if len(self.notes) < _MOST_DEVIATIONS and sentence not in self.notes:
            self.notes.append(sentence)

    def optional(self, element: etree._Element | None, where: str) -> str:
        """The text of an element that may be missing."""
        return "" if element is None else self.text(element, where)

    def struct(self, element: etree._Element, of: type[Any], where: str) -> Any:
        """A struct or call, field by field."""
        if of is ParameterValue:
            return self.parameter(element, where)
        wanted = elements(of)
        found: dict[str, Any] = {}
        for child in element:
            name = local_name(child)
            if name not in wanted:
                self.note(f"{where} holds {name}, which is not of the schema")
                continue
            attribute, xml = wanted[name]
            if attribute in found:
                self.note(f"{where} holds {name} twice; the first counts")
                continue
            if namespace(child):
                self.note(f"{name} in {where} is in a namespace; the schema's elements are in none")
            found[attribute] = self.content(child, xml, where)
        for attribute, xml in wanted.values():
            if xml.required and attribute not in found:
                self.note(f"{where} has no {xml.name}")
        return of(**found)

    def content(self, element: etree._Element, xml: Element, where: str) -> Any:
        """One field's value."""
        match xml.kind:
            case Kind.TEXT:
                return self.text(element, where)
            case Kind.INTEGER:
                return self.integer(element, where)
            case Kind.BOOLEAN:
                return self.boolean(element, where)
            case Kind.STRUCT:
                assert xml.of is not None
                return self.struct(element, xml.of, xml.name)
            case _:
                return self.items(element, xml)

    def items(self, element: etree._Element, xml: Element) -> tuple[Any, ...]:
        """The items of an array; its count is not believed."""
        if (element.text or "").strip(_SPACE):
            raise DecodeError(
                f"CWMP {xml.name}: holds text {str(element.text)[:40]!r}, not an array"
            )
        count = _COUNT.search(element.get(f"{{{ENCODING}}}arrayType") or "")
        if count and int(count.group(1)) != len(element):
            self.note(f"{xml.name}: arrayType says {int(count.group(1))}, {len(element)} follow")
        for child in element:
            if local_name(child) != xml.item:
                self.note(f"{xml.name} holds {local_name(child)}, not {xml.item}")
        if xml.kind is Kind.TEXTS:
            return tuple(self.text(child, xml.name) for child in element)
        assert xml.of is not None
        return tuple(self.struct(child, xml.of, xml.item) for child in element)

    def parameter(self, element: etree._Element, where: str) -> ParameterValue:
        """A ParameterValueStruct."""
        name, value, kind = "", "", ""
        seen: list[str] = []
        for child in element:
            tag = local_name(child)
            if tag == "Name" and tag not in seen:
                name = self.text(child, where)
            elif tag == "Value" and tag not in seen:
                kind = (child.get(f"{{{XSI}}}type") or "").strip().rpartition(":")[2]
                value = self.value(child, name, kind)
            else:
                self.note(f"{where} {name!r} holds another {tag}")
            seen.append(tag)
        if not {"Name", "Value"} <= set(seen):
            missing = "Value" if "Name" in seen else "Name"
            self.note(f"{where} {name!r} has no {missing}")
        elif not kind:
            self.note("a Value has no xsi:type")
        return ParameterValue(name, value, kind)

    def value(self, element: etree._Element, name: str, kind: str) -> str:
        """A parameter's text.

        White space belongs to a string, unless it is the pretty-printing of the sender: with a line
        break in it, or without a type that says "string".
        """
        text = self.raw_text(element, name)
        stripped = text.strip(_SPACE)
        if stripped == text:
            return text
        leading = text[: len(text) - len(text.lstrip(_SPACE))]
        around = leading + text[len(text.rstrip(_SPACE)) :]
        if kind == "string" and "\n" not in around and "\r" not in around:
            return text
        self.note("white space around a Value")
        return stripped

    def raw_text(self, element: etree._Element, where: str) -> str:
        """The text of a leaf, white space and all."""
        if len(element):
            raise DecodeError(
                f"CWMP {where}: {local_name(element)} holds the element {local_name(element[0])}, "
                "text is expected"
            )
        return element.text or ""

    def text(self, element: etree._Element, where: str) -> str:
        """The text of a leaf."""
        text = self.raw_text(element, where)
        stripped = text.strip(_SPACE)
        if stripped != text:
            self.note(f"white space around {local_name(element)}")
        return stripped

    def integer(self, element: etree._Element, where: str) -> int:
        """A whole number."""
        text = self.text(element, where)
        if not _INTEGER.match(text):
            shown = text if len(text) <= 40 else text[:40] + "..."
            raise DecodeError(
                f"CWMP {where}: {local_name(element)} says {shown!r}, a number is expected"
            )
        return int(text)

    def boolean(self, element: etree._Element, where: str) -> bool:
        """A boolean in any of its four spellings."""
        text = self.text(element, where)
        if text.lower() not in _BOOLEANS:
            raise DecodeError(
                f"CWMP {where}: {local_name(element)} says {text[:40]!r}, a boolean is expected"
            )
        if text not in _BOOLEANS:
            self.note(f"{local_name(element)} says {text}; a boolean is 0, 1, true or false")
        return _BOOLEANS[text.lower()]
