"""Domain names, kinds of records and codes: their numbers on the wire and their words.

A name is written in lower case, without the last dot, the root as "."; octets that are no plain
characters as RFC 1035 section 5.1 writes them ("\\.", "\\032"), so that nothing of them is lost.
"""

from __future__ import annotations

from dnslib.dns import QTYPE, RCODE

from testbed.errors import BadInput

ROOT = "."
MOST_NAME_OCTETS = 255
MOST_LABEL_OCTETS = 63
CLASS_IN = 1
KIND_OPT = 41
CODE_BADVERS = 16
ADDRESS_OCTETS = {"A": 4, "AAAA": 16}
LAYOUTS = {
    "NS": "n",
    "CNAME": "n",
    "PTR": "n",
    "DNAME": "n",
    "MX": "hn",
    "SRV": "hhhn",
    "SOA": "nniiiii",
}
"""Kinds whose data are names (n), 16-bit (h) and 32-bit (i) numbers, in order."""


_KIND_BY_NUMBER: dict[int, str] = dict(QTYPE.forward)
_NUMBER_BY_KIND = {kind: number for number, kind in _KIND_BY_NUMBER.items()}
_CODE_BY_NUMBER: dict[int, str] = {**RCODE.forward, CODE_BADVERS: "BADVERS"}
_NUMBER_BY_CODE = {code: number for number, code in _CODE_BY_NUMBER.items()}
_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b'.\\"();$')


def kind_text(number: int) -> str:
    """The word for a type of record: "A"; "TYPE65280" (RFC 3597) where there is none."""
    return _KIND_BY_NUMBER.get(number) or f"TYPE{number}"


def kind_number(kind: str) -> int:
    """The number of a type of record.

    Raises:
        BadInput: no such type.
    """
    number = _NUMBER_BY_KIND.get(kind.upper())
    if number is not None:
        return number
    digits = kind[4:]
    if kind.upper().startswith("TYPE") and digits.isascii() and digits.isdigit():
        number = int(digits)
        if number <= 0xFFFF:
            return number
    raise BadInput(
        f"DNS has no type of record {kind!r}; write A, AAAA, SRV, ... or TYPE and a number"
    )


def code_text(number: int) -> str:
    """The word for a response code: "NOERROR"; "CODE11" where there is none."""
    return _CODE_BY_NUMBER.get(number) or f"CODE{number}"


def code_number(code: str) -> int:
    """The number of a response code.

    Raises:
        BadInput: no such code.
    """
    if code not in _NUMBER_BY_CODE:
        raise BadInput(f"DNS has no response code {code!r} (it has {', '.join(_NUMBER_BY_CODE)})")
    return _NUMBER_BY_CODE[code]


def labels_of(wire: bytes) -> list[bytes]:
    """The labels of an uncompressed name, without the root's."""
    labels = []
    position = 0
    while wire[position]:
        end = position + 1 + wire[position]
        labels.append(wire[position + 1 : end])
        position = end
    return labels


def _label_text(label: bytes) -> str:
    if _PLAIN.issuperset(label):
        return label.decode("ascii").lower()
    return "".join(
        chr(octet).lower()
        if octet in _PLAIN
        else f"\\{chr(octet)}"
        if octet in b'.\\"();$'
        else f"\\{octet:03d}"
        for octet in label
    )


def name_text(wire: bytes) -> str:
    """The text of an uncompressed name."""
    return ".".join(_label_text(label) for label in labels_of(wire)) or ROOT


def _unescape(text: str, at: int) -> tuple[int, int]:
    """The octet that the backslash before `at` means, and where the text goes on."""
    digits = text[at : at + 3]
    if len(digits) == 3 and digits.isascii() and digits.isdigit() and int(digits) <= 255:
        return int(digits), at + 3
    if at < len(text) and not text[at].isdigit() and text[at].isascii():
        return ord(text[at]), at + 1
    raise BadInput(
        f"DNS name {text!r}: a backslash stands before a character or before three digits up to 255"
    )


def name_wire(text: str) -> bytes:
    """The uncompressed octets of a name; the last dot may be there or not; case is kept.

    Raises:
        BadInput: no domain name (RFC 1035 section 2.3.4: labels of 1 to 63 octets, 255 in all).
    """
    if not text.isascii():
        raise BadInput(
            f"DNS name {text!r} is not ASCII; write its internationalized form (xn--...)"
        )
    if text == ROOT:
        return b"\0"
    labels: list[bytearray] = [bytearray()]
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == ".":
            labels.append(bytearray())
        elif character == "\\":
            octet, position = _unescape(text, position)
            labels[-1].append(octet)
        else:
            labels[-1].append(ord(character))
    if len(labels) > 1 and not labels[-1]:
        labels.pop()
    for label in labels:
        if not 1 <= len(label) <= MOST_LABEL_OCTETS:
            raise BadInput(
                f"DNS name {text!r} has a label of {len(label)} octets; labels have 1 to "
                f"{MOST_LABEL_OCTETS}"
            )
    wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(wire) > MOST_NAME_OCTETS:
        raise BadInput(f"DNS name {text!r} has {len(wire)} octets, at most {MOST_NAME_OCTETS} fit")
    return wire


def same_name(text: str) -> str:
    """A name as this module writes it: lower case, no last dot.

    Raises:
        BadInput: no domain name.
    """
    return name_text(name_wire(text))


def is_within(name: str, origin: str) -> bool:
    """Whether `name` is `origin` or below it; both as this module writes them."""
    return origin == ROOT or name == origin or name.endswith("." + origin)


def parent(name: str) -> str:
    """The name without its first label; the root's is the root."""
    position = 0
    while position < len(name):
        if name[position] == "\\":
            position += 1
        elif name[position] == ".":
            return name[position + 1 :] or ROOT
        position += 1
    return ROOT
