"""From octets to an XML element tree, within bounds: no DTD, no entities, no network, no size.

Whatever a peer sends, the answer is a tree or a `DecodeError` that says what is wrong and where.
Knows nothing of SOAP, CWMP or SyncML.
"""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from typing import Literal

from lxml import etree

from testbed.errors import DecodeError

MOST_OCTETS = 4 * 1024 * 1024
"""Bodies above this are refused unread.  The largest seen in the field, a GetParameterNamesResponse
with 3263 names, has 0.6 million octets."""
MOST_TAGS = 200_000
"""Opening and closing tags together; each costs memory far beyond its octets."""
MOST_ATTRIBUTES = 50_000

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DECLARED = re.compile(rb"""^<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_SINGLE_OCTET = ("iso8859-1", "iso8859-15", "cp1252", "ascii")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def illegal_character(text: str) -> re.Match[str] | None:
    """The first character that XML 1.0 cannot carry, not even escaped."""
    return _ILLEGAL.search(text)


def parse(
    body: bytes,
    subject: str,
    most_octets: int = MOST_OCTETS,
    document_type: Literal["refused", "skipped"] = "refused",
    charset: str = "",
) -> etree._Element:
    """The root element of a document.

    Args:
        body: the octets.
        subject: what they are, for the error's sentence ("CWMP body").
        most_octets: refuse more than this.
        document_type: what becomes of one: SOAP 1.1 forbids it; OMA's documents have one that only
            names a DTD, which is never fetched.  Declarations inside it are always refused.
        charset: what the transport says of a body that says nothing itself; "": nothing.

    Raises:
        DecodeError: not XML, too large, with a document type, or in octets that are no text.
    """
    if len(body) > most_octets:
        raise DecodeError(f"{subject}: {len(body)} octets, at most {most_octets} are read")
    text = _to_text(body, subject, charset)
    start = _root_offset(text, subject, document_type == "skipped")
    found = illegal_character(text)
    if found:
        raise DecodeError(
            f"{subject}: character 0x{ord(found.group()):02x} at character {found.start()}, "
            "which XML 1.0 does not allow"
        )
    for sign, what, most in (("<", "tags", MOST_TAGS), ("=", "attributes", MOST_ATTRIBUTES)):
        count = text.count(sign)
        if count > most and (sign == "<" or _attributes(text) > most):
            raise DecodeError(f"{subject}: {count} {what}, at most {most} are read")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        # Only from the root element on: no prolog, hence no document type, reaches the parser.
        return etree.fromstring(text[start:].encode(), parser)
    except etree.XMLSyntaxError as error:
        reason = str(error.msg).split("\n")[0]
        raise DecodeError(f"{subject}: not well-formed XML: {reason}") from error


def _attributes(text: str) -> int:
    return text.count('="') + text.count("='")


def _to_text(body: bytes, subject: str, charset: str) -> str:
    """Decode by byte order mark, else by declaration, else by the transport, else as UTF-8."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return _decode(body[len(mark) :], name, subject, len(mark))
    declared = _DECLARED.match(body.lstrip(b" \t\r\n"))
    name = "utf-8"
    if declared:
        asked = declared.group(1).decode("ascii")
        try:
            name = codecs.lookup(asked).name
        except LookupError:
            name = ""
        if name != "utf-8" and name not in _SINGLE_OCTET:
            raise DecodeError(f"{subject}: declares encoding {asked!r}; TR-069 wants UTF-8")
    elif charset.lower() not in ("", "us-ascii"):  # RFC 3023 3.1's default, which nobody means
        with suppress(LookupError):
            name = codecs.lookup(charset).name
        name = name if name in _SINGLE_OCTET else "utf-8"
    return _decode(body, name, subject, 0)


def _decode(octets: bytes, encoding: str, subject: str, offset: int) -> str:
    try:
        return octets.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = octets[error.start : error.start + 1].hex()
        raise DecodeError(
            f"{subject}: octet 0x{wrong} at offset {offset + error.start} is not {encoding.upper()}"
        ) from error


def _root_offset(text: str, subject: str, skips_document_type: bool) -> int:
    """Where the root element begins, behind declaration, comments and instructions."""
    position = 0
    while True:
        while text[position : position + 1] in (" ", "\t", "\r", "\n"):
            position += 1
        end = ""
        if text.startswith("<?", position):
            end = "?>"
        elif text.startswith("<!--", position):
            end = "-->"
        elif text[position : position + 9].upper() == "<!DOCTYPE":
            if not skips_document_type or "[" in text[position : text.find(">", position)]:
                raise DecodeError(
                    f"{subject}: a document type at character {position}; SOAP 1.1 forbids it, "
                    "and entities are never expanded here"
                )
            end = ">"
        elif not text.startswith("<", position):
            what = repr(text[position : position + 20]) if text[position:] else "the end"
            raise DecodeError(f"{subject}: not XML: {what} at character {position}, no element")
        else:
            return position
        closing = text.find(end, position + 2)
        if closing < 0:
            raise DecodeError(f"{subject}: not well-formed XML: no {end!r} after {position}")
        position = closing + len(end)
