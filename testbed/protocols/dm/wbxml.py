"""WAP Binary XML (W3C Note, WBXML 1.1 to 1.3): documents of the known vocabularies.

Read: tags and attributes of all code pages, literals, inline and table strings, character
entities, opaque data.  Written: canonically, without a string
table (but for a document type that has no number).
Extension tokens and processing instructions are refused: no OMA document has any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from testbed.errors import DecodeError
from testbed.protocols.dm.element import MOST_DEPTH, Element
from testbed.protocols.dm.vocabularies import SYNCML_1_2, VOCABULARIES, Page, Vocabulary
from testbed.protocols.wire import Reader

SWITCH_PAGE, END, ENTITY, STR_I, LITERAL = 0x00, 0x01, 0x02, 0x03, 0x04
STR_T, OPAQUE = 0x83, 0xC3
_HAS_ATTRIBUTES, _HAS_CONTENT, _TAG = 0x80, 0x40, 0x3F
_REFUSED = {
    0x40: "EXT_I_0",
    0x41: "EXT_I_1",
    0x42: "EXT_I_2",
    0x43: "PI",
    0x80: "EXT_T_0",
    0x81: "EXT_T_1",
    0x82: "EXT_T_2",
    0xC0: "EXT_0",
    0xC1: "EXT_1",
    0xC2: "EXT_2",
}
UTF_8 = 106
_CHARSETS = {0: "utf-8", 3: "ascii", 4: "iso8859-1", UTF_8: "utf-8"}
"""By IANA's MIB number; 0 says nothing."""


@dataclass(frozen=True, slots=True)
class Document:
    """A WBXML document.

    Attributes:
        root: its element.
        vocabulary: what it is written with.
        version: of WBXML: 0x03 is 1.3.
    """

    root: Element
    vocabulary: Vocabulary
    version: int


def decode(octets: bytes, subject: str = "WBXML document") -> Document:
    """Read a document.

    Raises:
        DecodeError: names subject, offset and measure.
    """
    return _Decoder(octets, subject).document()


def encode(root: Element, vocabulary: Vocabulary, version: int | None = None) -> bytes:
    """Write a document.

    Args:
        root: its element; names that the vocabulary has no token for are refused.
        vocabulary: what to write with.
        version: of WBXML; None: the vocabulary's.

    Raises:
        ValueError: the vocabulary has no such tag or attribute.
    """
    return _Encoder(vocabulary).document(root, version or vocabulary.version)


class _Decoder:
    def __init__(self, octets: bytes, subject: str) -> None:
        self.reader = Reader(octets, subject)
        self.subject = subject
        self.table = b""
        self.charset = "utf-8"
        self.vocabulary = SYNCML_1_2
        self.tag_page = 0
        self.attribute_page = 0

    def document(self) -> Document:
        version = self.reader.uint8("version")
        public_id = self.integer("public identifier")
        public_index = self.integer("index of the public identifier") if public_id == 0 else None
        charset = self.integer("character set")
        if charset not in _CHARSETS:
            raise DecodeError(f"{self.subject}: character set {charset} is not known")
        self.charset = _CHARSETS[charset]
        self.table = self.reader.take(self.integer("length of the string table"), "string table")
        self.vocabulary = self.known(public_id, public_index)
        root = self.tag(self.reader.uint8("root element"), 0)
        if self.reader.remaining:
            raise DecodeError(
                f"{self.subject}: {self.reader.remaining} octets behind the root element"
            )
        return Document(root, self.vocabulary, version)

    def known(self, public_id: int, index: int | None) -> Vocabulary:
        text = self.table_string(index) if index is not None else ""
        for vocabulary in VOCABULARIES:
            if (index is None and public_id == vocabulary.public_id) or (
                text and text.upper() == vocabulary.public_text.upper()
            ):
                return vocabulary
        told = repr(text) if index is not None else f"0x{public_id:x}"
        raise DecodeError(f"{self.subject}: the document type {told} is not known")

    def integer(self, field: str) -> int:
        """A multi-octet integer: seven bits an octet, the highest first."""
        value = 0
        for _ in range(5):
            octet = self.reader.uint8(field)
            value = value << 7 | octet & 0x7F
            if not octet & 0x80:
                return value
        raise DecodeError(
            f"{self.subject}: {field} before offset {self.reader.position} is longer than 5 octets"
        )

    def page(self, number: int) -> Page:
        pages = self.vocabulary.pages
        if number not in pages:
            raise DecodeError(
                f"{self.subject}: code page {number} before offset {self.reader.position} is not "
                f"one of {self.vocabulary.name}"
            )
        return pages[number]

    def tag(self, token: int, depth: int) -> Element:
        while token == SWITCH_PAGE:
            self.tag_page = self.reader.uint8("code page")
            token = self.reader.uint8("tag")
        if depth > MOST_DEPTH:
            raise DecodeError(f"{self.subject}: elements lie deeper than {MOST_DEPTH}")
        page = self.page(self.tag_page)
        identity = token & _TAG
        if identity == LITERAL:
            name = self.table_string(self.integer("name of a literal"))
        elif identity in page.names:
            name = page.names[identity]
        else:
            raise DecodeError(
                f"{self.subject}: token 0x{token:02x} at offset {self.reader.position - 1} is no "
                f"tag of code page {self.tag_page} of {self.vocabulary.name}"
            )
        attributes = tuple(self.attributes()) if token & _HAS_ATTRIBUTES else ()
        element = Element(name, (), "", attributes, page.namespace)
        return self.content(element, depth) if token & _HAS_CONTENT else element

    def content(self, element: Element, depth: int) -> Element:
        children: list[Element] = []
        text = ""
        octets: bytes | None = None
        while (token := self.reader.uint8(f"content of {element.name}")) != END:
            if token == OPAQUE:
                length = self.integer("length of opaque data")
                octets = (octets or b"") + self.reader.take(length, "opaque data")
            elif (characters := self.characters(token)) is not None:
                text += characters
            else:
                children.append(self.tag(token, depth + 1))
        if octets is not None and text:
            octets, text = text.encode() + octets, ""
        return replace(element, children=tuple(children), text=text, octets=octets)

    def characters(self, token: int) -> str | None:
        """The text of a string or entity token; None: it is none."""
        if token == STR_I:
            return self.inline_string()
        if token == STR_T:
            return self.table_string(self.integer("index of a string"))
        if token == ENTITY:
            number = self.integer("character entity")
            if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                raise DecodeError(f"{self.subject}: character entity {number} is no character")
            return chr(number)
        if token in _REFUSED:
            raise DecodeError(
                f"{self.subject}: {_REFUSED[token]} at offset {self.reader.position - 1}, which no "
                "document of OMA has"
            )
        return None

    def attributes(self) -> Iterator[tuple[str, str]]:
        token = self.reader.uint8("attribute")
        while token != END:
            if token == SWITCH_PAGE:
                self.attribute_page = self.reader.uint8("code page")
                token = self.reader.uint8("attribute")
                continue
            starts = self.page(self.attribute_page).starts
            if token == LITERAL:
                name, value = self.table_string(self.integer("name of an attribute")), ""
            elif token in starts:
                name, value = starts[token]
            else:
                raise DecodeError(
                    f"{self.subject}: token 0x{token:02x} at offset {self.reader.position - 1} "
                    f"begins no attribute of code page {self.attribute_page}"
                )
            token = self.reader.uint8("attribute")
            while (part := self.value(token)) is not None:
                value += part
                token = self.reader.uint8("attribute")
            yield name, value

    def value(self, token: int) -> str | None:
        """Part of an attribute's value; None: the token is none."""
        if token == SWITCH_PAGE:
            self.attribute_page = self.reader.uint8("code page")
            return ""
        if token == OPAQUE:
            return self.text(self.reader.take(self.integer("length of opaque data"), "opaque data"))
        characters = self.characters(token)
        if characters is not None or token < 0x80:
            return characters
        texts = self.page(self.attribute_page).value_texts
        if token not in texts:
            raise DecodeError(
                f"{self.subject}: token 0x{token:02x} at offset {self.reader.position - 1} is no "
                f"value of code page {self.attribute_page}"
            )
        return texts[token]

    def inline_string(self) -> str:
        start = self.reader.position
        end = self.reader.data.find(b"\0", start)
        if end < 0:
            raise DecodeError(f"{self.subject}: the string at offset {start} has no end")
        text = self.text(self.reader.take(end - start, "string"))
        self.reader.take(1, "end of a string")
        return text

    def table_string(self, index: int) -> str:
        if index >= len(self.table):
            raise DecodeError(
                f"{self.subject}: string {index} of a string table of {len(self.table)} octets"
            )
        return self.text(self.table[index:].partition(b"\0")[0])

    def text(self, octets: bytes) -> str:
        try:
            return octets.decode(self.charset)
        except UnicodeDecodeError as error:
            raise DecodeError(
                f"{self.subject}: a string before offset {self.reader.position} is not "
                f"{self.charset.upper()}"
            ) from error


class _Encoder:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.tag_page = 0
        self.attribute_page = 0

    def document(self, root: Element, version: int) -> bytes:
        head = bytes([version])
        public_id = self.vocabulary.public_id
        if public_id:
            head += _integer(public_id) + _integer(UTF_8) + _integer(0)
        else:
            text = self.vocabulary.public_text.encode() + b"\0"
            head += b"\0\0" + _integer(UTF_8) + _integer(len(text)) + text
        return head + self.element(root)

    def element(self, element: Element) -> bytes:
        switch, token = self.tag(element)
        if element.attributes:
            token |= _HAS_ATTRIBUTES
        if element.children or element.text or element.octets:
            token |= _HAS_CONTENT
        out = switch + bytes([token])
        if element.attributes:
            out += b"".join(self.attribute(*each) for each in element.attributes) + bytes([END])
        if token & _HAS_CONTENT:
            if element.octets:
                out += bytes([OPAQUE]) + _integer(len(element.octets)) + element.octets
            elif element.text:
                out += _string(element.text)
            out += b"".join(self.element(child) for child in element.children) + bytes([END])
        return out

    def tag(self, element: Element) -> tuple[bytes, int]:
        for number, page in self.vocabulary.pages.items():
            if element.name in page.tags and page.namespace == element.namespace:
                switch = b"" if number == self.tag_page else bytes([SWITCH_PAGE, number])
                self.tag_page = number
                return switch, page.tags[element.name]
        raise ValueError(f"{self.vocabulary.name} has no tag {element.name!r}")

    def attribute(self, name: str, value: str) -> bytes:
        for wanted, rest in (((name, value), ""), ((name, ""), value)):
            for number, page in self.vocabulary.pages.items():
                if wanted in page.attributes:
                    start = self.attribute_switch(number) + bytes([page.attributes[wanted]])
                    return start + self.attribute_value(rest)
        raise ValueError(f"{self.vocabulary.name} has no attribute {name!r}")

    def attribute_value(self, value: str) -> bytes:
        if not value:
            return b""
        for number, page in self.vocabulary.pages.items():
            if value in page.values:
                return self.attribute_switch(number) + bytes([page.values[value]])
        return _string(value)

    def attribute_switch(self, number: int) -> bytes:
        if number == self.attribute_page:
            return b""
        self.attribute_page = number
        return bytes([SWITCH_PAGE, number])


def _integer(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(0x80 | value & 0x7F)
    return bytes(reversed(octets))


def _string(text: str) -> bytes:
    """An inline string; a NUL, which would end it, becomes a character entity."""
    parts = text.split("\0")
    entity = bytes([ENTITY]) + _integer(0)
    return entity.join(bytes([STR_I]) + part.encode() + b"\0" for part in parts)
