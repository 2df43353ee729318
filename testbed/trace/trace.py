"""The trace: every record of a run, in the order in which they came, and what joins them.

Scenarios wait on it, judges read it, ladders draw it.  Knows no engine: whoever captures calls
`add_frame`, whoever reads a file does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.trace.addresses import Addresses, Place
from testbed.trace.arrow import Arrow, Arrows
from testbed.trace.clear import ClearConnections
from testbed.trace.decoders import Decoders
from testbed.trace.delivery import Deliveries
from testbed.trace.dissect import ETHERNET, IPV4, IPV6, Dissection, Dissector, Link
from testbed.trace.lateness import SECOND_NS, Lateness
from testbed.trace.opened import Openings, inside_too
from testbed.trace.record import Clear, Event, Frame, Listener, Record
from testbed.trace.select import matches

ADDRESS_EVENT = "ADDRESS"
"""By which a node tells that an interface has another address now."""
HARDWARE_ADDRESS_EVENT = "HARDWARE_ADDRESS"
"""Likewise, that an interface has that link-layer address."""
BINDING_EVENTS = ("BINDING_CREATED", "BINDING_EXPIRED", "BINDING_FORGOTTEN")
"""By which a NAT tells of its bindings, with `protocol`, `inside` and `outside`."""
LOOPBACK = "lo"
"""Of Linux: what a node sends there comes to itself."""


class Trace:
    """All records of a run.

    Args:
        decoders: payload decoders by port; the usual ones where None.
        arrivals: the receivers' copies are captured on every link, so that a frame without one is
            lost.  Without this a link is believed to be watched once a copy has been seen on it.

    Attributes:
        records: all records; a record's number is its place here.
        listeners: called with each new record, after it has joined its arrow.
        opened_listeners: called with each record that keys opened after it had come; it is in
            `records` and its arrow from then on.
        key_listeners: called with each association's keys.
        opened: how many records keys have opened after they had come.
        clear_listeners: called with all that a tap tells, before the records that it gives.
        addresses: who is where, who held which address when.
        roles: who plays each node ("hnb" for hnb and hnb2), where that is known.
        drops: frames that the capture lost.
        lateness: when the machine that made it had no time for it.
        is_excerpt: it is a capture from the field, of which nobody tells: it may begin in mid-life,
            show some links only, and lack what is lost.
        facts: what holds of an excerpt all the same, as whoever made it has told.
    """

    def __init__(self, decoders: Decoders | None = None, arrivals: bool = False) -> None:
        self.decoders = decoders or Decoders()
        self.records: list[Record] = []
        self.listeners: list[Listener] = []
        self.opened_listeners: list[Listener] = []
        self.key_listeners: list[Callable[[IkeKeys | EspKeys], None]] = []
        self.opened = 0
        self.clear_listeners: list[Callable[[Clear], None]] = []
        self.addresses = Addresses()
        self.roles: dict[str, str] = {}
        self.drops = 0
        self.lateness = Lateness()
        self.is_excerpt = False
        self.facts: frozenset[str] = frozenset()
        self.deliveries = Deliveries(arrivals)
        self._dissector = Dissector(self.decoders)
        self._arrows = Arrows(self.addresses, self.deliveries)
        self._clear = ClearConnections(self.addresses, self._arrows)
        self._openings = Openings()

    @classmethod
    def from_frames(
        cls,
        frames: Iterable[Frame],
        nodes: Mapping[str, tuple[str, str, str]] = MappingProxyType({}),
        decoders: Decoders | None = None,
        addresses: Mapping[tuple[str, str], str | Iterable[str]] = MappingProxyType({}),
        keys: Iterable[IkeKeys | EspKeys] = (),
    ) -> Trace:
        """The trace of frames in time order.

        Args:
            frames: a capture's; `Frame.node` may be "" where the capture does not know it.
            nodes: link-layer address to (node, interface, link).
            decoders: payload decoders by port; the usual ones where None.
            addresses: IP addresses by (node, interface); the interface may be "".
            keys: by which IKE messages are opened, and ESP packets give what is inside.
        """
        trace = cls(decoders)
        trace.set_nodes(nodes, addresses)
        trace.add_keys(keys)
        for frame in inside_too(frames, trace.esp_keys):
            trace.add_frame(frame)
        trace.close()
        return trace

    def add_keys(self, keys: Iterable[IkeKeys | EspKeys]) -> None:
        """Take keys of either kind."""
        for each in keys:
            if isinstance(each, IkeKeys):
                self.add_ike_keys(each)
            else:
                self.add_esp_keys(each)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @property
    def arrows(self) -> list[Arrow]:
        """All arrows, by the time of their first hop."""
        return self._arrows.all

    @property
    def now_ns(self) -> int:
        """How far the trace has come: the latest frame, arrival or event."""
        return self.deliveries.now_ns

    def set_nodes(
        self,
        nodes: Mapping[str, tuple[str, str, str]],
        addresses: Mapping[tuple[str, str], str | Iterable[str]] = MappingProxyType({}),
    ) -> None:
        """Tell who is where, before the first frame.

        Args:
            nodes: link-layer address ("02:00:00:00:00:01") to (node, interface, link).
            addresses: static addresses by (node, interface); one, or several.
        """
        for hardware_address, (node, interface, link) in nodes.items():
            self.addresses.set_place(hardware_address, Place(node, interface, link))
        self.addresses.set_static(addresses)

    def set_roles(self, roles: Mapping[str, str]) -> None:
        """Tell who plays each node."""
        self.roles = dict(roles)

    def nodes_with_role(self, role: str) -> list[str]:
        """The nodes of that role, in the topology's order."""
        return [node for node, played in self.roles.items() if played == role]

    def hardware_addresses(self, node: str) -> set[str]:
        """The link-layer addresses of a node's interfaces."""
        return {mac for mac, place in self.addresses.places.items() if place.node == node}

    def add_frame(self, frame: Frame) -> list[Record]:
        """Take one frame as its sender put it on the link; frames come in time order.

        Returns:
            Its records: at least one.
        """
        receipt = self.deliveries.sent(frame.link, frame.data, frame.time_ns)
        dissection = self._dissector.dissect(frame)
        sender, receiver = self._ends(frame, dissection)
        made = []
        for content in dissection.contents:
            record = Record(
                len(self.records),
                frame.time_ns,
                frame.link,
                sender,
                receiver,
                content.transport,
                content.source,
                content.destination,
                content.message,
                content.error,
                content.payload,
                frame,
                content.marks,
                content.stream,
                content.carried,
            )
            record = self._openings.open(record)
            self.records.append(record)
            self._arrows.add(record, content.key, receipt)
            self._clear.see(record)
            made.append(record)
        self._tell(made)
        return made

    def _ends(self, frame: Frame, dissection: Dissection) -> tuple[str, str | None]:
        """Who sent the frame, and who is to receive it."""
        first = dissection.contents[0]
        source = first.source.address if first.source else None
        destination = first.destination.address if first.destination else None
        if not frame.node:
            return self._ends_in_field(frame, dissection.link, source, destination)
        return frame.node, self._receiver_in_lab(frame, dissection.link, source, destination)

    def _receiver_in_lab(
        self, frame: Frame, link: Link | None, source: str | None, destination: str | None
    ) -> str | None:
        """Who is to receive what a node has sent; where that node is, is learnt from it."""
        addresses = self.addresses
        if frame.interface == LOOPBACK:
            addresses.join(frame.node, LOOPBACK, frame.link)
            return frame.node
        if frame.link_type != ETHERNET:
            addresses.join(frame.node, frame.interface, frame.link)
        elif link is not None and link.source is not None:
            self._learn(link.source, frame)
        if link is None or link.destination is None:
            return addresses.on_link(frame.link, frame.node, source, destination, frame.time_ns)
        place = addresses.places.get(link.destination)
        return place.node if place is not None and not link.is_group else None

    def _ends_in_field(
        self, frame: Frame, link: Link | None, source: str | None, destination: str | None
    ) -> tuple[str, str | None]:
        """The ends of a frame of a field capture: names may be known by IP address alone."""
        addresses = self.addresses
        source = self._name_of(source, frame.time_ns)
        known = self._name_of(destination, frame.time_ns)
        if link is None or link.destination is None:
            sender = source or "unknown"
            receiver = addresses.on_link(frame.link, sender, source, destination, frame.time_ns)
            return sender, receiver or known
        place = addresses.places.get(link.source or "")
        sender = place.node if place else source or link.source or "unknown"
        if link.is_group:
            return sender, None
        place = addresses.places.get(link.destination)
        if place is not None:
            return sender, place.node
        is_ip = link.ethertype in (IPV4, IPV6)
        return sender, (known if is_ip and known else link.destination)

    def _name_of(self, address: str | None, time_ns: int) -> str | None:
        """The holder of an address, or the address where nobody is known to hold it."""
        holders = self.addresses.holders(address, time_ns) if address else ()
        return holders[0].node if holders else address

    def _learn(self, hardware_address: str, frame: Frame) -> None:
        """A device on the bench tells its link-layer address by its first frame."""
        if hardware_address not in self.addresses.places:
            place = Place(frame.node, frame.interface, frame.link)
            self.addresses.set_place(hardware_address, place)

    def arrived(self, frame: Frame) -> None:
        """Take the receiver's copy of a frame; `frame.node` is who received it."""
        self.deliveries.arrived(frame.link, frame.data, frame.node, frame.time_ns)

    def tell_delivery(self, record: Record, copies: int) -> None:
        """Say of a loaded record's frame how many copies of it arrived, where the file tells it."""
        arrow = self.arrow_of(record)
        receipt = arrow.receipts[arrow.hops.index(record)]
        if receipt is None:
            return
        if not copies:
            receipt.lost = True
        elif record.receiver is not None:
            receipt.arrivals[record.receiver] = copies
        else:
            for node in self.addresses.members(record.link):
                if node != record.sender:
                    receipt.arrivals[node] = copies

    def late_s(self, since: Record, until: Record) -> float:
        """Seconds between two records that the machine took from all roles."""
        return self.lateness.between(since.time_ns, until.time_ns)

    def spent_s(self, since: Record, until: Record) -> float:
        """Seconds between two records that a role could use: those are left out."""
        return (until.time_ns - since.time_ns) / SECOND_NS - self.late_s(since, until)

    def add_event(self, node: str, name: str, fields: Mapping[str, Any], time_ns: int) -> Record:
        """Take what a node tells of itself.

        "ADDRESS" with `interface` and `address` (None: none) says that an interface has another
        address from then on; with `link` where the link has no link-layer addresses (a tunnel), and
        `peer`, the outer address of the tunnel's other end.  "HARDWARE_ADDRESS" with `interface`,
        `link` and `address` says that a link-layer address is that interface's, of a device that
        has brought its own.
        """
        if name == HARDWARE_ADDRESS_EVENT and {"interface", "link", "address"} <= fields.keys():
            place = Place(node, str(fields["interface"]), str(fields["link"]))
            self.addresses.set_place(str(fields["address"]), place)
        if name == ADDRESS_EVENT and "interface" in fields:
            interface = str(fields["interface"])
            address = fields.get("address")
            if "link" in fields:
                self.addresses.join(node, interface, str(fields["link"]))
            text = None if address is None else str(address).split("/")[0]
            self.addresses.hold(node, interface, text, time_ns)
            for holding in self.addresses.holders(str(fields.get("peer", "")), time_ns)[:1]:
                if text is not None and "link" in fields:
                    self.addresses.set_peer(str(fields["link"]), text, holding.node)
        if name in BINDING_EVENTS:
            self._see_binding(node, name, fields, time_ns)
        self.deliveries.now_ns = max(self.deliveries.now_ns, time_ns)
        event = Event(name, MappingProxyType(dict(fields)))
        record = Record(len(self.records), time_ns, "", node, None, "event", message=event)
        self.records.append(record)
        self._arrows.add(record, None, None)
        self._tell([record])
        return record

    def _see_binding(self, node: str, name: str, fields: Mapping[str, Any], time_ns: int) -> None:
        """A NAT tells what it has made, or has forgotten, for somebody else's traffic."""
        inside = str(fields.get("inside", "")).rpartition(":")[0]
        if self.addresses.holds(node, inside.strip("[]"), time_ns):
            return  # the gateway's own
        change = self.addresses.bind if name == BINDING_EVENTS[0] else self.addresses.unbind
        change(node, str(fields.get("protocol")), str(fields.get("outside")), time_ns)

    @property
    def ike_keys(self) -> tuple[IkeKeys, ...]:
        """The keys of IKE associations, as they came."""
        return tuple(self._openings.ike.values())

    @property
    def esp_keys(self) -> tuple[EspKeys, ...]:
        """The keys of ESP associations, as they came."""
        return tuple(self._openings.esp.values())

    def add_ike_keys(self, keys: IkeKeys) -> list[Record]:
        """Take the keys of an IKE association: its messages are opened, those to come and those
        that are there already.

        Returns:
            The records that changed; each has its old number, and the mark "opened" or the error
            why the keys do not open it.
        """
        opened = list(self._openings.add(keys))
        for record in opened:
            self.records[record.number] = record
            self._arrows.replace(record)
        self.opened += len(opened)
        for key_listener in tuple(self.key_listeners):
            key_listener(keys)
        for record in opened:
            for listener in tuple(self.opened_listeners):
                listener(record)
        return opened

    def add_esp_keys(self, keys: EspKeys) -> None:
        """Take the keys of an ESP association.

        They open no record: the inside of a tunnel is captured as a link of its own, or made of
        the outside before it comes here (`opened.inside_too`).
        """
        self._openings.esp[keys.spi] = keys
        for listener in tuple(self.key_listeners):
            listener(keys)

    def add_clear(self, clear: Clear) -> list[Record]:
        """Take what an end of a TLS connection tells of it, in clear.

        The records are between the two ends, whatever translates addresses between them, on the
        link on which this end has it; no frame is theirs.

        Returns:
            A record for each message that it completes; where the port says nothing of messages,
            one with the octets.
        """
        self.deliveries.now_ns = max(self.deliveries.now_ns, clear.time_ns)
        for listener in tuple(self.clear_listeners):
            listener(clear)
        made = []
        for record in self._clear.records(clear, self.decoders, len(self.records)):
            self.records.append(record)
            self._arrows.add(record, None, None)
            made.append(record)
        self._tell(made)
        return made

    def peer_of(self, clear: Clear) -> str | None:
        """The node at the other end of a TLS connection; None: not known."""
        return self._clear.peer(clear)

    def _tell(self, records: list[Record]) -> None:
        for record in records:
            for listener in tuple(self.listeners):
                listener(record)

    def all(
        self, message_type: type | tuple[type, ...] | None = None, **fields: Any
    ) -> Iterator[Record]:
        """Every record that `select.matches`, in order."""
        return (each for each in self.records if matches(each, message_type, **fields))

    def arrow_of(self, record: Record) -> Arrow:
        """The arrow that a record of this trace belongs to."""
        return self._arrows.of(record)

    def is_decoded(self, record: Record) -> bool:
        """Whether a TCP record belongs to a stream that is cut into messages."""
        if record.source is None or record.destination is None:
            return False
        return self.decoders.knows_stream(record.source.port, record.destination.port)

    def close(self) -> None:
        """Nothing more comes: what has not arrived by now is lost."""
        self.deliveries.is_closed = True
