"""SyncML messages as OMA DM 1.2 uses them (OMA-TS-SyncML-RepPro 1.2.2, OMA-TS-DM-RepPro 1.2).

A message keeps its commands in order and what it does not know as it was; it is written in XML or
in WBXML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from testbed.errors import DecodeError
from testbed.protocols.dm import wbxml
from testbed.protocols.dm.element import Element, from_xml, to_xml
from testbed.protocols.dm.vocabularies import META, SYNCML, SYNCML_1_2

DM_XML = "application/vnd.syncml.dm+xml"
DM_WBXML = "application/vnd.syncml.dm+wbxml"

SERVER_INITIATED = "1200"
CLIENT_INITIATED = "1201"
"""Codes of the alert that opens a session."""

_NUMBER = re.compile(r"\d{1,10}")


@dataclass(frozen=True, slots=True)
class Meta:
    """What is told of data.

    Attributes:
        format: "chr", "int", "b64", "node" ...; "": not told.
        type: a media type, or the kind of a proof; "": not told.
        next_nonce: of a challenge, in base 64.
        most_octets: MaxMsgSize of a header.
    """

    format: str = ""
    type: str = ""
    next_nonce: str = ""
    most_octets: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a command.

    Attributes:
        target: URI of the node meant, "./DevInfo/DevId".
        source: URI that the data is of.
        data: its value.
        meta: what is told of the value.
    """

    target: str = ""
    source: str = ""
    data: str = ""
    meta: Meta = Meta()


@dataclass(frozen=True, slots=True)
class Command:
    """One command: Alert, Add, Delete, Exec, Get, Replace, Results, Status ...

    Attributes:
        name: of its element.
        number: CmdID.
        items: in order.
        data: code of an Alert or a Status.
        message_reference: MsgRef of Results and Status.
        command_reference: CmdRef: "0" is the header.
        command: Cmd of a Status: what it answers.
        targets: TargetRef.
        sources: SourceRef.
        challenge: Chal of a Status.
        credential: kind and value of a proof (Cred).
        inner: commands inside Atomic and Sequence.
    """

    name: str
    number: str
    items: tuple[Item, ...] = ()
    data: str = ""
    message_reference: str = ""
    command_reference: str = ""
    command: str = ""
    targets: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    challenge: Meta | None = None
    credential: tuple[Meta, str] | None = None
    inner: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a DM session.

    Attributes:
        session: SessionID.
        number: MsgID.
        target: URI of whom it is for.
        source: URI of who sends it.
        commands: of its body, in order.
        is_final: whether it ends its package.
        source_name: LocName of the source: the name in a digest.
        credential: kind and value of the sender's proof (Cred).
        most_octets: the largest message that the sender takes; "": not told.
        protocol: VerProto.
        media_type: XML or WBXML.
        response_uri: RespURI.
    """

    session: str
    number: str
    target: str
    source: str
    commands: tuple[Command, ...] = ()
    is_final: bool = True
    source_name: str = ""
    credential: tuple[Meta, str] | None = None
    most_octets: str = ""
    protocol: str = "DM/1.2"
    media_type: str = DM_WBXML
    response_uri: str = ""
    raw: bytes = field(default=b"", compare=False, repr=False)

    def encode(self) -> bytes:
        """The octets, in the form of its media type."""
        root = _message(self)
        if self.media_type == DM_XML:
            return to_xml(root)
        return wbxml.encode(root, SYNCML_1_2)

    def summary(self) -> str:
        """ "DM 3/1 Alert 1201, Replace, Final"."""
        parts = [_told(command) for command in self.commands]
        if self.is_final:
            parts.append("Final")
        proof = f" Cred {self.credential[0].type}" if self.credential else ""
        return f"DM {self.session}/{self.number}{proof} {', '.join(parts)}".rstrip()

    def of(self, name: str) -> tuple[Command, ...]:
        """Its commands of that name, those inside others too."""
        return tuple(each for each in self.all_commands() if each.name == name)

    def all_commands(self) -> tuple[Command, ...]:
        """Every command, each before those inside it."""
        found: list[Command] = []
        waiting = list(self.commands)
        while waiting:
            command = waiting.pop(0)
            found.append(command)
            waiting = [*command.inner, *waiting]
        return tuple(found)

    def status_of(self, command_reference: str) -> Command | None:
        """The Status that answers that command of the message before; "0": its header."""
        return next(
            (s for s in self.of("Status") if s.command_reference == command_reference), None
        )


def decode(octets: bytes, media_type: str) -> Message:
    """Read a message.

    Args:
        octets: the body of a request or response.
        media_type: of it, without parameters.

    Raises:
        DecodeError: unknown media type, broken document, or no SyncML message.
    """
    subject = "SyncML message"
    match media_type.lower():
        case "application/vnd.syncml.dm+xml":
            root = from_xml(octets, subject)
        case "application/vnd.syncml.dm+wbxml":
            root = wbxml.decode(octets, subject).root
        case _:
            raise DecodeError(
                f"{subject}: media type {media_type!r} is neither {DM_XML} nor {DM_WBXML}"
            )
    if root.name != "SyncML":
        raise DecodeError(f"{subject}: the root is {root.name}, not SyncML")
    header, body = root.find("SyncHdr"), root.find("SyncBody")
    if header is None or body is None:
        raise DecodeError(f"{subject}: no {'SyncHdr' if header is None else 'SyncBody'}")
    for name in ("SessionID", "MsgID"):
        if not header.read(name):
            raise DecodeError(f"{subject}: SyncHdr has no {name}")
    if not _NUMBER.fullmatch(header.read("MsgID")):
        raise DecodeError(f"{subject}: MsgID is {header.read('MsgID')!r}, not a number")
    return Message(
        session=header.read("SessionID"),
        number=header.read("MsgID"),
        target=header.read("Target", "LocURI"),
        source=header.read("Source", "LocURI"),
        commands=tuple(_read_command(each) for each in body.children if each.name != "Final"),
        is_final=body.find("Final") is not None,
        source_name=header.read("Source", "LocName"),
        credential=_read_credential(header),
        most_octets=header.read("Meta", "MaxMsgSize"),
        protocol=header.read("VerProto"),
        media_type=media_type.lower(),
        response_uri=header.read("RespURI"),
        raw=octets,
    )


def with_credential(message: Message, kind: str, value: str) -> Message:
    """The message with the sender's proof in its header."""
    return replace(message, credential=(Meta("b64", kind), value))


def _told(command: Command) -> str:
    match command.name:
        case "Status":
            return f"Status {command.data} of {command.command or command.command_reference}"
        case "Alert":
            return f"Alert {command.data}"
        case _:
            uris = [item.target or item.source for item in command.items]
            more = f" and {len(uris) - 1} more" if len(uris) > 1 else ""
            return f"{command.name} {uris[0]}{more}" if uris else command.name


# Reading


def _read_meta(element: Element | None) -> Meta:
    if element is None:
        return Meta()
    return Meta(*(element.read(name) for name in ("Format", "Type", "NextNonce", "MaxMsgSize")))


def _read_credential(element: Element) -> tuple[Meta, str] | None:
    found = element.find("Cred")
    return (_read_meta(found.find("Meta")), found.read("Data")) if found is not None else None


def _read_item(element: Element) -> Item:
    return Item(
        element.read("Target", "LocURI"),
        element.read("Source", "LocURI"),
        element.read("Data"),
        _read_meta(element.find("Meta")),
    )


_CONTAINERS = ("Atomic", "Sequence")
_COMMANDS = (
    *("Add", "Alert", "Copy", "Delete", "Exec", "Get", "Replace", "Results", "Status"),
    *_CONTAINERS,
)


def _read_command(element: Element) -> Command:
    challenge = element.find("Chal")
    inner: tuple[Command, ...] = ()
    if element.name in _CONTAINERS:
        inner = tuple(_read_command(each) for each in element.children if each.name in _COMMANDS)
    outer = _read_meta(element.find("Meta"))
    items = tuple(_read_item(each) for each in element.all("Item"))
    if outer != Meta():  # the command's Meta holds for each item that has none
        items = tuple(replace(each, meta=outer) if each.meta == Meta() else each for each in items)
    return Command(
        element.name,
        element.read("CmdID"),
        items,
        element.read("Data"),
        element.read("MsgRef"),
        element.read("CmdRef"),
        element.read("Cmd"),
        tuple(each.text.strip() for each in element.all("TargetRef")),
        tuple(each.text.strip() for each in element.all("SourceRef")),
        _read_meta(challenge.find("Meta")) if challenge is not None else None,
        _read_credential(element),
        inner,
    )


# Writing


def _text(name: str, text: str) -> Element:
    return Element(name, text=text, namespace=SYNCML)


def _node(name: str, *children: Element | None) -> Element:
    return Element(name, tuple(each for each in children if each is not None), namespace=SYNCML)


def _optional(name: str, text: str) -> Element | None:
    return _text(name, text) if text else None


def _place(name: str, uri: str, shown: str = "") -> Element | None:
    return _node(name, _text("LocURI", uri), _optional("LocName", shown)) if uri else None


def _meta(meta: Meta) -> Element | None:
    told = [
        Element(name, text=text, namespace=META)
        for name, text in (
            ("Format", meta.format),
            ("Type", meta.type),
            ("NextNonce", meta.next_nonce),
            ("MaxMsgSize", meta.most_octets),
        )
        if text
    ]
    return _node("Meta", *told) if told else None


def _credential(proof: tuple[Meta, str] | None) -> Element | None:
    return _node("Cred", _meta(proof[0]), _text("Data", proof[1])) if proof else None


def _item(item: Item) -> Element:
    return _node(
        "Item",
        _place("Target", item.target),
        _place("Source", item.source),
        _meta(item.meta),
        _optional("Data", item.data),
    )


def _command(command: Command) -> Element:
    """In the order of the document type: a Status has its Data before its Items."""
    return _node(
        command.name,
        _text("CmdID", command.number),
        _optional("MsgRef", command.message_reference),
        _optional("CmdRef", command.command_reference),
        _optional("Cmd", command.command),
        *(_text("TargetRef", uri) for uri in command.targets),
        *(_text("SourceRef", uri) for uri in command.sources),
        _credential(command.credential),
        _node("Chal", _meta(command.challenge)) if command.challenge is not None else None,
        _optional("Data", command.data),
        *(_item(item) for item in command.items),
        *(_command(each) for each in command.inner),
    )


def _message(message: Message) -> Element:
    header = _node(
        "SyncHdr",
        _text("VerDTD", "1.2"),
        _text("VerProto", message.protocol),
        _text("SessionID", message.session),
        _text("MsgID", message.number),
        _place("Target", message.target),
        _place("Source", message.source, message.source_name),
        _optional("RespURI", message.response_uri),
        _credential(message.credential),
        _meta(Meta(most_octets=message.most_octets)),
    )
    final = _node("Final") if message.is_final else None
    body = _node("SyncBody", *(_command(each) for each in message.commands), final)
    return _node("SyncML", header, body)
