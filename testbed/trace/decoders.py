"""Which port, and which number above IP, speaks which protocol: the registry of payload decoders.

Decoders are imported when their port is first seen, so that a trace costs nothing that it does not
show.  Whoever adds a protocol adds one line here, or calls `register_datagram` / `register_stream`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from testbed.trace.pieces import DatagramDecoder, LengthPrefixed, StreamDecoder

StreamFactory = Callable[[bool], StreamDecoder]
"""Makes the decoder of one direction; its argument: whether the octets go to the port."""


def _late(module: str, function: str = "decode") -> DatagramDecoder:
    """A function of a protocol module, imported when it is first called."""

    def decode(data: bytes) -> Any:
        return getattr(import_module(module), function)(data)

    return decode


_dns = _late("testbed.protocols.dns")
_dhcp = _late("testbed.protocols.dhcp")
_sctp = _late("testbed.protocols.sctp")
_ike = _late("testbed.protocols.ike")
_port_4500 = _late("testbed.protocols.ike", "decode_4500")
_esp = _late("testbed.protocols.ike", "decode_esp")

ESP = 50
"""The IP protocol number of ESP (RFC 4303)."""
_stun_message = _late("testbed.protocols.stun")
_udp_connection_request = _late("testbed.protocols.udp_connection_request")


def _stun(data: bytes) -> Any:
    """STUN, or a UDP Connection Request, by the first octet (TR-111 2.2.1.4)."""
    return _udp_connection_request(data) if data[:1].isalpha() else _stun_message(data)


STUN_PORT = 3478
BINDING_PORT = 7547
"""Where CPEs usually keep their binding."""
WEB_PORTS = (80, 443, 7547)
"""HTTP's, HTTPS's, and the one that IANA gave to CWMP."""


def _web(to_server: bool) -> StreamDecoder:
    decoder: StreamDecoder = import_module("testbed.trace.web").WebStream(to_server)
    return decoder


class Decoders:
    """Payload decoders by port, and by protocol number for what has no ports of UDP or TCP.

    Args:
        usual: begin with the protocols that the testbed knows at their registered ports.

    Attributes:
        web_ports: where HTTP is spoken, in clear or by TLS.
        stun_ports: where STUN is.
    """

    def __init__(self, usual: bool = True) -> None:
        self._datagrams: dict[int, DatagramDecoder] = {}
        self._streams: dict[int, StreamFactory] = {}
        self._protocols: dict[int, DatagramDecoder] = {}
        self.web_ports: set[int] = set()
        self.stun_ports: set[int] = set()
        if usual:
            self.register_datagram(53, _dns)
            self.register_datagram(67, _dhcp)
            self.register_datagram(68, _dhcp)
            self.register_datagram(500, _ike)
            self.register_datagram(4500, _port_4500)
            self.register_protocol(ESP, _esp)
            self.register_stun(STUN_PORT, BINDING_PORT)
            self.register_stream(53, lambda _: LengthPrefixed(_dns, "DNS message over TCP"))
            self.register_web(*WEB_PORTS)
            self.register_protocol(132, _sctp)

    def register_datagram(self, port: int, decode: DatagramDecoder) -> None:
        """Decode UDP payloads to or from that port by `decode`; the last registration counts."""
        self._datagrams[port] = decode

    def register_protocol(self, number: int, decode: DatagramDecoder) -> None:
        """Decode the payloads of that IP protocol by `decode`."""
        self._protocols[number] = decode

    def register_stun(self, *ports: int) -> None:
        """Decode UDP payloads to or from those ports as STUN."""
        for port in ports:
            self.stun_ports.add(port)
            self.register_datagram(port, _stun)

    def register_stream(self, port: int, factory: StreamFactory) -> None:
        """Decode TCP connections to that port by decoders of `factory`, one a direction."""
        self._streams[port] = factory

    def register_web(self, *ports: int) -> None:
        """Decode TCP connections to those ports as TLS or as HTTP, by their first octet."""
        for port in ports:
            self.web_ports.add(port)
            self.register_stream(port, _web)

    def datagram(self, source_port: int, destination_port: int) -> DatagramDecoder | None:
        """The decoder of a datagram: by destination port first, as most go to a server."""
        return self._datagrams.get(destination_port) or self._datagrams.get(source_port)

    def protocol(self, number: int) -> DatagramDecoder | None:
        """The decoder of an IP protocol that has no ports."""
        return self._protocols.get(number)

    def stream(self, source_port: int, destination_port: int) -> StreamDecoder | None:
        """A new decoder for one direction of a connection."""
        if destination_port in self._streams:
            return self._streams[destination_port](True)
        if source_port in self._streams:
            return self._streams[source_port](False)
        return None

    def knows_stream(self, source_port: int, destination_port: int) -> bool:
        """Whether connections between these ports are decoded."""
        return source_port in self._streams or destination_port in self._streams
