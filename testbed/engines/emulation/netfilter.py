"""Netfilter's netlink: connection tracking's entries and the elements of nftables' sets, read at
once and without a process."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from testbed.engines.emulation.namespace import Namespace
from testbed.protocols.wire import Endpoint

# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_tables.h, nf_conntrack_common.h
_NETLINK_NETFILTER = 12
_CONNTRACK_GET = 1 << 8 | 1
_SET_ELEMENTS_GET = 10 << 8 | 13
_REQUEST, _DUMP = 1, 0x300
_ERROR, _DONE = 2, 3
_IPV4 = socket.AF_INET
_TUPLE_ORIGINAL, _TUPLE_REPLY, _STATUS = 1, 2, 3
_TUPLE_ADDRESSES, _TUPLE_PROTOCOL = 1, 2
_ADDRESS_SOURCE, _ADDRESS_DESTINATION = 1, 2
_PROTOCOL_NUMBER, _PROTOCOL_SOURCE, _PROTOCOL_DESTINATION, _PROTOCOL_ID = 1, 2, 3, 4
_ELEMENTS_TABLE, _ELEMENTS_SET, _ELEMENTS = 1, 2, 3
_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_EXPIRES = 1, 2, 5
_SEEN_REPLY, _ASSURED = 1 << 1, 1 << 2
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}
_RECEIVE_OCTETS = 1 << 18
# linux/netfilter/nfnetlink_compat.h: groups of connection tracking's new and changed entries
_NEW_FLOWS, _CHANGED_FLOWS = 1 << 0, 1 << 1


@dataclass(frozen=True, slots=True)
class Tracked:
    """One entry of connection tracking.

    Attributes:
        protocol: "udp", "tcp", "icmp", or the number.
        source, destination: of its first packet, before translation.
        answer_source, answer_destination: of an answer, before translation back.
        answered: whether one was seen.
        assured: whether packets went to and fro for more than two seconds.
    """

    protocol: str
    source: Endpoint
    destination: Endpoint
    answer_source: Endpoint
    answer_destination: Endpoint
    answered: bool
    assured: bool


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a set or map of IPv4 endpoints.

    Attributes:
        key: the endpoints in its key.
        value: what a map has for it.
        expires_s: how long it lives yet; None: for ever.
    """

    key: tuple[Endpoint, ...]
    value: Endpoint | None
    expires_s: float | None


class NetfilterSocket:
    """A socket to netfilter in one namespace.

    Raises:
        OSError: the kernel has no netfilter netlink.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._socket = namespace.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
        )

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def tracked(self) -> list[Tracked]:
        """The entries of connection tracking.

        Those that have ended are cleared away by being asked for; else the kernel keeps them for up
        to a minute, and drops a packet that would take their place.
        """
        return [_tracked(each) for each in self._dump(_CONNTRACK_GET, b"")]

    def elements(self, table: str, name: str) -> list[Element]:
        """The elements of a set or map of the table (family ip); none where there is no such."""
        body = _text(_ELEMENTS_TABLE, table) + _text(_ELEMENTS_SET, name)
        return [
            _element(element)
            for each in self._dump(_SET_ELEMENTS_GET, body)
            for kind, listed in _attributes(each)
            if kind == _ELEMENTS
            for _, element in _attributes(listed)
        ]

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        header = struct.pack("=IHHII", 20 + len(body), kind, _REQUEST | _DUMP, 1, 0)
        self._socket.send(header + struct.pack("=BBH", _IPV4, 0, 0) + body)
        found: list[bytes] = []
        while True:
            data = self._socket.recv(_RECEIVE_OCTETS)
            offset = 0
            while offset + 16 <= len(data):
                length, answer = struct.unpack_from("=IH", data, offset)
                if answer == _DONE:
                    return found
                if answer == _ERROR:
                    number = -struct.unpack_from("=i", data, offset + 16)[0]
                    if number == errno.ENOENT:
                        return []
                    raise OSError(number, "netfilter does not answer")
                found.append(data[offset + 20 : offset + length])
                offset += length + 3 & ~3


class FlowNews:
    """Becomes readable when connection tracking has a new entry, or one was answered.

    Raises:
        OSError: the kernel has no netfilter netlink.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._socket = namespace.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            _NETLINK_NETFILTER,
        )
        self._socket.bind((0, _NEW_FLOWS | _CHANGED_FLOWS))

    def fileno(self) -> int:
        """For an event loop."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Take the news; what they are about is read from the tables themselves."""
        while True:
            try:
                self._socket.recv(_RECEIVE_OCTETS)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # news were lost: the tables have them
                    raise

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def _text(kind: int, value: str) -> bytes:
    data = value.encode() + b"\0"
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += length + 3 & ~3


def _tracked(data: bytes) -> Tracked:
    fields = dict(_attributes(data))
    protocol, source, destination = _ends(fields[_TUPLE_ORIGINAL])
    _, answer_source, answer_destination = _ends(fields[_TUPLE_REPLY])
    (status,) = struct.unpack("!I", fields[_STATUS])
    return Tracked(
        _PROTOCOLS.get(protocol, str(protocol)),
        source,
        destination,
        answer_source,
        answer_destination,
        bool(status & _SEEN_REPLY),
        bool(status & _ASSURED),
    )


def _ends(data: bytes) -> tuple[int, Endpoint, Endpoint]:
    fields = dict(_attributes(data))
    addresses = dict(_attributes(fields[_TUPLE_ADDRESSES]))
    ports = dict(_attributes(fields[_TUPLE_PROTOCOL]))
    own = ports.get(_PROTOCOL_ID, b"\0\0")
    return (
        ports[_PROTOCOL_NUMBER][0],
        _endpoint(addresses[_ADDRESS_SOURCE], ports.get(_PROTOCOL_SOURCE, own)),
        _endpoint(addresses[_ADDRESS_DESTINATION], ports.get(_PROTOCOL_DESTINATION, own)),
    )


def _element(data: bytes) -> Element:
    fields = dict(_attributes(data))
    expires = fields.get(_ELEMENT_EXPIRES)
    value = _endpoints(fields[_ELEMENT_DATA]) if _ELEMENT_DATA in fields else ()
    return Element(
        _endpoints(fields[_ELEMENT_KEY]),
        value[0] if value else None,
        struct.unpack("!Q", expires)[0] / 1000 if expires is not None else None,
    )


def _endpoints(data: bytes) -> tuple[Endpoint, ...]:
    """Endpoints in a concatenation: four octets of address, two of port, two of nothing."""
    value = dict(_attributes(data)).get(1, b"")
    return tuple(
        _endpoint(value[start : start + 4], value[start + 4 : start + 6])
        for start in range(0, len(value) - 7, 8)
    )


def _endpoint(address: bytes, port: bytes) -> Endpoint:
    return Endpoint(socket.inet_ntoa(address), int.from_bytes(port, "big"))
