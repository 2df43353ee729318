"""Captures written as pcapng, so that Wireshark shows what the testbed saw.

TLS secrets stand before the packets: Wireshark decrypts nothing that comes before its secret.

The format: draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from testbed.trace.record import Frame

SECTION_HEADER, INTERFACE, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 3, 6
OBSOLETE_PACKET, SECRETS = 2, 10
BYTE_ORDER_MAGIC = 0x1A2B3C4D
TLS_KEY_LOG = 0x544C534B
END, COMMENT, IF_NAME, IF_DESCRIPTION, EPB_FLAGS, IF_TSRESOL = 0, 1, 2, 3, 2, 9
IF_TSOFFSET, SHB_USERAPPL = 14, 4
INBOUND, OUTBOUND = 1, 2
APPLICATION = "HNB testbed"
"""What shb_userappl says, so that the reader knows its own: interfaces are then "node.eth0"."""
NANOSECONDS = 9


class _Interface(NamedTuple):
    node: str
    interface: str
    link: str
    link_type: int


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _options(*options: bytes) -> bytes:
    """Some options and their end; nothing where there are none."""
    joined = b"".join(options)
    return joined + struct.pack("<HH", END, 0) if joined else b""


def block(kind: int, body: bytes) -> bytes:
    """One block: type, total length, body, padding, total length."""
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def section_header(notes: Mapping[str, object]) -> bytes:
    """A Section Header Block.

    Args:
        notes: what the run was (scenario, seed, engine); one "key=value" a line in its comment.
    """
    comment = "\n".join(f"{key}={value}" for key, value in notes.items())
    body = struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)
    options = [_option(SHB_USERAPPL, APPLICATION.encode())]
    if comment:
        options.insert(0, _option(COMMENT, comment.encode()[:65535]))
    return block(SECTION_HEADER, body + _options(*options))


def interface_description(node: str, interface: str, link: str, link_type: int) -> bytes:
    """An Interface Description Block: name "node.eth0", description the link, nanoseconds."""
    body = struct.pack("<HHI", link_type, 0, 0)
    return block(
        INTERFACE,
        body
        + _options(
            _option(IF_NAME, f"{node}.{interface}".encode()),
            _option(IF_DESCRIPTION, link.encode()),
            _option(IF_TSRESOL, bytes([NANOSECONDS])),
        ),
    )


def enhanced_packet(
    number: int, time_ns: int, data: bytes, direction: int = OUTBOUND, comment: str | None = None
) -> bytes:
    """An Enhanced Packet Block.

    Args:
        number: of its interface in the section.
        time_ns: since 1970.
        data: the frame.
        direction: INBOUND or OUTBOUND.
        comment: shown beside the packet.
    """
    header = struct.pack(
        "<IIIII", number, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), len(data)
    )
    options = [_option(EPB_FLAGS, struct.pack("<I", direction))]
    if comment:
        options.insert(0, _option(COMMENT, comment.encode()[:65535]))
    return block(ENHANCED_PACKET, header + data + bytes(-len(data) % 4) + _options(*options))


def tls_secrets(key_log: bytes) -> bytes:
    """A Decryption Secrets Block that holds a TLS key log."""
    return block(SECRETS, struct.pack("<II", TLS_KEY_LOG, len(key_log)) + key_log)


class PcapngWriter:
    """One section of a pcapng file, written block by block.

    Args:
        file: open for writing octets.
        notes: what the run was; told in the section's comment.
        key_logs: TLS key logs, written before any packet.
    """

    def __init__(
        self,
        file: BinaryIO,
        notes: Mapping[str, object] = MappingProxyType({}),
        key_logs: Iterable[bytes] = (),
    ) -> None:
        self._file = file
        self._interfaces: dict[_Interface, int] = {}
        self.packets = 0
        file.write(section_header(notes) + b"".join(tls_secrets(log) for log in key_logs if log))

    def write_frame(
        self, frame: Frame, direction: int = OUTBOUND, comment: str | None = None
    ) -> None:
        """Write one packet; its interface is described before its first one."""
        interface = _Interface(frame.node, frame.interface, frame.link, frame.link_type)
        number = self._interfaces.get(interface)
        octets = b""
        if number is None:
            number = self._interfaces[interface] = len(self._interfaces)
            octets = interface_description(*interface)
        octets += enhanced_packet(number, frame.time_ns, frame.data, direction, comment)
        self._file.write(octets)
        self.packets += 1
