"""A document as XML and WBXML share it: elements, their text, their attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from testbed.errors import DecodeError
from testbed.protocols.markup import illegal_character, parse

MOST_DEPTH = 64
"""Elements inside one another; the deepest documents of OMA have some fifteen."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element.

    Attributes:
        name: without namespace.
        children: in order.
        text: what it holds as characters; beside children it is dropped when it is blank.
        attributes: name and value each, in order.
        namespace: "" where the document has none.
        octets: what it holds as octets (WBXML's OPAQUE); None: characters.
    """

    name: str
    children: tuple[Element, ...] = ()
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    octets: bytes | None = None

    def find(self, *path: str) -> Element | None:
        """The first descendant along these names."""
        here = self
        for name in path:
            below = next((child for child in here.children if child.name == name), None)
            if below is None:
                return None
            here = below
        return here

    def all(self, name: str) -> Iterator[Element]:
        """The children of that name, in order."""
        return (child for child in self.children if child.name == name)

    def read(self, *path: str) -> str:
        """The characters of the descendant along these names, without blanks around; "" without
        one.  Octets that are UTF-8 count as characters."""
        found = self.find(*path)
        if found is None:
            return ""
        if found.octets is not None:
            return found.octets.decode("utf-8", "replace").strip()
        return found.text.strip()

    def attribute(self, name: str) -> str:
        """That attribute's value; "" without one."""
        return next((value for each, value in self.attributes if each == name), "")


def from_xml(octets: bytes, subject: str) -> Element:
    """Read a document.

    Args:
        octets: of the document.
        subject: what it is, for the error's sentence.

    Raises:
        DecodeError: not well-formed, or beyond the bounds of `testbed.protocols.markup`.
    """
    return _element(parse(octets, subject, document_type="skipped"), subject, 0)


def _element(node: etree._Element, subject: str, depth: int) -> Element:
    if depth > MOST_DEPTH:
        raise DecodeError(f"{subject}: elements lie deeper than {MOST_DEPTH}")
    name = etree.QName(node)
    children = tuple(
        _element(child, subject, depth + 1) for child in node if isinstance(child.tag, str)
    )
    text = node.text or ""
    if children:
        text += "".join(child.tail or "" for child in node)
        text = text if text.strip() else ""
    return Element(
        name.localname,
        children,
        text,
        tuple((str(etree.QName(str(key)).localname), str(value)) for key, value in node.items()),
        name.namespace or "",
    )


def to_xml(root: Element) -> bytes:
    """Write a document, canonically: declaration, no blanks between elements, namespaces declared
    where they begin.  Octets are written as the characters that they are in UTF-8.

    Raises:
        ValueError: a text holds what XML 1.0 cannot carry.
    """
    node = _node(root, "")
    body: bytes = etree.tostring(node, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + body


def _node(element: Element, outer: str) -> etree._Element:
    namespaces: Any = None
    if element.namespace and element.namespace != outer:
        namespaces = {None: element.namespace}
    node = etree.Element(etree.QName(element.namespace or None, element.name), nsmap=namespaces)
    for key, value in element.attributes:
        node.set(key, value)
    text = element.text if element.octets is None else element.octets.decode("utf-8")
    found = illegal_character(text)
    if found:
        raise ValueError(f"{element.name}: XML 1.0 cannot carry 0x{ord(found.group()):02x}")
    if text:
        node.text = text
    for child in element.children:
        node.append(_node(child, element.namespace))
    return node
