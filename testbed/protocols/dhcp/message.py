"""DHCP messages: octets to fields and back, without loss and without judgement.

RFC 2131 section 2 (the format), RFC 2132 section 9.3 (overload), RFC 3396 (joining what is split).
A decoded message keeps the order of its options, duplicates, unknown ones, padding and whatever
follows the End option; only what cannot be cut into fields is refused.  Knows no exchange.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

from testbed.errors import BadInput
from testbed.protocols.dhcp.options import (
    END,
    Code,
    Option,
    address_octets,
    address_text,
    cut_options,
    encode_options,
)
from testbed.protocols.dhcp.readings import IN_FILE, IN_SERVER_NAME, NO_ADDRESS, Readings
from testbed.protocols.wire import DecodeError, Endpoint, Reader

MAGIC_COOKIE = bytes((99, 130, 83, 99))
MINIMUM_OCTETS = 300
"""What a BOOTP relay may insist on (RFC 1542 section 2.1); shorter built messages are padded."""
REQUEST, REPLY = 1, 2
ETHERNET = 1

_HEADER = struct.Struct("!4BIHH4s4s4s4s16s64s128s")
_SERVER_NAME_OCTETS = 64
_FILE_OCTETS = 128

_BY_TYPE: dict[int, type[Message]] = {}
"""The class of each message type; filled by `kinds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Readings):
    """One message, field by field as on the wire; of this very class only where option 53 says
    nothing known (BOOTP, LEASEQUERY, ...).

    Attributes:
        op: 1 request, 2 reply.
        htype: kind of hardware address, 1 Ethernet.
        hlen: its octets, as told.
        hops: relays passed.
        xid: transaction.
        secs: seconds since the client began.
        flags: 16 bits, 0x8000 broadcast.
        ciaddr: address the client holds, as text; "0.0.0.0" none.
        yiaddr: address for the client.
        siaddr: address of the next server of a boot.
        giaddr: address of the relay.
        chaddr: 16 octets; shorter ones are filled up with zeros.
        sname: 64 octets, likewise.
        file: 128 octets, likewise.
        cookie: what says that options follow; empty in BOOTP without it.
        options: as they lie in the options field, Pad and End included.
        rest: what follows End; without cookie, all that follows the header.
    """

    op: int = REQUEST
    htype: int = ETHERNET
    hlen: int = 6
    hops: int = 0
    xid: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: str = NO_ADDRESS
    yiaddr: str = NO_ADDRESS
    siaddr: str = NO_ADDRESS
    giaddr: str = NO_ADDRESS
    chaddr: bytes = bytes(16)
    sname: bytes = bytes(_SERVER_NAME_OCTETS)
    file: bytes = bytes(_FILE_OCTETS)
    cookie: bytes = MAGIC_COOKIE
    options: tuple[Option, ...] = (END,)
    rest: bytes = b""

    TYPE: ClassVar[int] = 0
    WORD: ClassVar[str] = "message"
    OP: ClassVar[int] = REQUEST

    def __init_subclass__(cls) -> None:
        if cls.TYPE:
            _BY_TYPE[cls.TYPE] = cls

    @classmethod
    def build(
        cls,
        *,
        hardware_address: str,
        options: Sequence[Option] = (),
        most_octets: int | None = None,
        **header: Any,
    ) -> Self:
        """A message in canonical form: cookie, option 53 first, End, zeros up to 300 octets.

        Args:
            hardware_address: "02:00:00:00:00:01", up to 16 octets.
            options: what follows option 53, without Pad and End.
            most_octets: what the receiver takes; where the options do not fit, some go into
                `file` and `sname` and option 52 says so (RFC 2132 section 9.3).
            **header: `xid`, `secs`, `flags`, `ciaddr`, ... as the attributes are called.

        Raises:
            BadInput: the hardware address is none.
        """
        octets = hardware_octets(hardware_address)
        all_options = list(options)
        if cls.TYPE:
            all_options.insert(0, Option(Code.MESSAGE_TYPE, bytes((cls.TYPE,))))
        if most_octets is not None:
            all_options, overload = _spread(all_options, most_octets)
            header |= overload
        message = cls(
            op=cls.OP,
            hlen=len(octets),
            chaddr=octets.ljust(16, b"\0"),
            options=(*all_options, END),
            **header,
        )
        return replace(message, rest=message._padding())

    def _padding(self) -> bytes:
        bare = _HEADER.size + len(self.cookie) + len(encode_options(self.options))
        return bytes(max(MINIMUM_OCTETS - bare, 0))

    def encode(self) -> bytes:
        """The octets on the wire; of a decoded message exactly those it came from."""
        header = _HEADER.pack(
            self.op,
            self.htype,
            self.hlen,
            self.hops,
            self.xid,
            self.secs,
            self.flags,
            *map(address_octets, (self.ciaddr, self.yiaddr, self.siaddr, self.giaddr)),
            self.chaddr,
            self.sname,
            self.file,
        )
        return header + self.cookie + encode_options(self.options) + self.rest

    def with_option(self, option: Option) -> Message:
        """The same with this option in the place of all of its code in the options field.

        Where there was none it goes before End.  Another option 53 gives another class.
        """
        kept: list[Option] = []
        placed = False
        for each in self.options:
            if not placed and each.code in (option.code, Code.END):
                kept.append(option)
                placed = True
            if each.code != option.code:
                kept.append(each)
        return self._with(kept if placed else [*kept, option])

    def without_option(self, code: int) -> Message:
        """The same without any option of that code in the options field."""
        return self._with([each for each in self.options if each.code != code])

    def _with(self, options: Sequence[Option]) -> Message:
        values = {field.name: getattr(self, field.name) for field in fields(Message)}
        values["options"] = tuple(options)
        changed = _class_of(Message(**values))(**values)
        if any(self.rest):
            return changed
        return replace(changed, rest=changed._padding())

    def summary(self) -> str:
        """One line: "DHCP OFFER 192.168.1.100 lease 3600 s"."""
        if self.message_type is None:
            word = "REQUEST" if self.op == REQUEST else "REPLY"
            return f"BOOTP {word} {self.hardware_address}"
        detail = self._detail()
        if not self.TYPE:
            return f"DHCP type {self.message_type} {detail}"
        return f"DHCP {self.WORD} {detail}"

    def _detail(self) -> str:
        return self.hardware_address


@dataclass(frozen=True, slots=True)
class Malformed:
    """An event of client and server: a datagram that is no DHCP message."""

    error: DecodeError
    source: Endpoint


def decode(data: bytes) -> Message:
    """The message in a datagram, of the class that its option 53 says.

    Raises:
        DecodeError: shorter than a header, or an option is longer than the field it lies in.
    """
    reader = Reader(data, "DHCP message")
    (
        op,
        htype,
        hlen,
        hops,
        xid,
        secs,
        flags,
        ciaddr,
        yiaddr,
        siaddr,
        giaddr,
        chaddr,
        sname,
        file,
    ) = _HEADER.unpack(reader.take(_HEADER.size, "header"))
    cookie, rest = b"", reader.rest()
    options: tuple[Option, ...] = ()
    if rest.startswith(MAGIC_COOKIE):
        cookie = MAGIC_COOKIE
        start = _HEADER.size + len(cookie)
        options, rest = cut_options(rest[len(cookie) :], "DHCP message", start)
    values = {
        "op": op,
        "htype": htype,
        "hlen": hlen,
        "hops": hops,
        "xid": xid,
        "secs": secs,
        "flags": flags,
        "ciaddr": address_text(ciaddr),
        "yiaddr": address_text(yiaddr),
        "siaddr": address_text(siaddr),
        "giaddr": address_text(giaddr),
        "chaddr": chaddr,
        "sname": sname,
        "file": file,
        "cookie": cookie,
        "options": options,
        "rest": rest,
    }
    # `_class_of` cuts overloaded fields too, and refuses those that cannot be.
    return _class_of(Message(**values))(**values)


def _class_of(message: Message) -> type[Message]:
    return _BY_TYPE.get(message.message_type or 0, Message)


def hardware_octets(address: str) -> bytes:
    """A link-layer address ("02:00:00:00:00:01") as octets.

    Raises:
        BadInput: it is none, or has more than the 16 octets that a message can hold.
    """
    try:
        octets = bytes.fromhex(address.replace(":", " "))
    except ValueError:
        octets = b""
    if not 0 < len(octets) <= 16:
        raise BadInput(
            f"DHCP: {address!r} is no hardware address; write up to 16 octets as 02:00:00:00:00:01"
        )
    return octets


def _spread(options: list[Option], most_octets: int) -> tuple[list[Option], dict[str, bytes]]:
    """Move options, the last ones first, into `file` and `sname` until the rest fits.

    An option 53, a split one, and one that occurs twice stay: their order must not change.
    """

    def size(of: Sequence[Option]) -> int:
        return _HEADER.size + len(MAGIC_COOKIE) + len(encode_options(of)) + 1

    if size(options) <= most_octets:
        return options, {}
    flag = Option(Code.OVERLOAD, b"\0")
    codes = [option.code for option in options]
    field = list(options)
    areas: dict[str, list[Option]] = {"file": [], "sname": []}
    octets = {"file": _FILE_OCTETS, "sname": _SERVER_NAME_OCTETS}
    for option in reversed(options):
        if size([*field, flag]) <= most_octets:
            break
        if option.code == Code.MESSAGE_TYPE or codes.count(option.code) > 1:
            continue
        for name, area in areas.items():
            if len(encode_options([option, *area])) < octets[name]:
                area.insert(0, option)
                field.remove(option)
                break
    used = {name: area for name, area in areas.items() if area}
    if not used:
        return options, {}
    bits = (IN_FILE if "file" in used else 0) | (IN_SERVER_NAME if "sname" in used else 0)
    field.insert(1, Option(Code.OVERLOAD, bytes((bits,))))
    return field, {
        name: encode_options([*area, END]).ljust(octets[name], b"\0") for name, area in used.items()
    }
