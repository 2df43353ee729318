"""The gateway's side of TR-111 Part 1: which devices of its LAN it knows, and how it tells them.

`ManageableDevices` keeps the table `ManagementServer.ManageableDevice.` true: an entry comes with
the DHCPACK that completes an exchange in which a client has told its Device Identity, and goes with
its lease, with a release, or when the client answers no ARP request any more.  `CountNotification`
keeps active notifications of the table's size as rare as the ACS wants them (AMB-P1-08).
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from testbed.datamodel.model import Notification
from testbed.datamodel.tree import MOST_INSTANCES, Tree
from testbed.host import Host, Timer
from testbed.protocols import dhcp
from testbed.protocols.association import Identity, device_in, gateway_option
from testbed.protocols.dhcp import server_events as events
from testbed.protocols.dhcp.server import client_key

OUI = re.compile(r"[0-9A-F]{6}")
LONGEST = 64
"""Characters of SerialNumber and ProductClass (Table 2)."""
MOST_CLIENTS = 1024
"""Clients whose identity is remembered; strangers cannot make a gateway grow without end."""


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """How the gateway finds that a device is no longer connected (1.2.1: its own choice).

    Attributes:
        interval_s: between two rounds of ARP requests; 0: none are sent.
        attempts: unanswered requests, one after the other, that mean it is gone.
        answer_within_s: for each.
    """

    interval_s: float = 30.0
    attempts: int = 3
    answer_within_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A DHCP client that has told who it is, and was acknowledged.

    Attributes:
        identity: as it told it.
        address: where it can be asked whether it is there.
    """

    identity: Identity
    address: str


class ManageableDevices:
    """The table, and what belongs into DHCP's answers.

    Attributes:
        gateway: the identity that clients are told.
        probes: how connectivity is detected.
        admitted: identities that the owner lets onto the list; None: every one.

    Args:
        host: for time, ARP and events.
        interface: the LAN.
        tree: the gateway's parameters.
        gateway: its identity.
        probes: how connectivity is detected.
        changed: called when the table has another size.
    """

    def __init__(
        self,
        host: Host,
        interface: str,
        tree: Tree,
        gateway: Identity,
        probes: ProbePolicy,
        changed: Callable[[], None],
    ) -> None:
        self.host = host
        self.interface = interface
        self.tree = tree
        self.gateway = gateway
        self.probes = probes
        self.admitted: Sequence[Identity] | None = None
        self.table = f"{tree.model.root}ManagementServer.ManageableDevice."
        self._changed = changed
        self._told: dict[bytes, Identity] = {}
        self._holders: dict[bytes, Holder] = {}
        self._probing: asyncio.Task[None] | None = None

    # Power.

    def start(self) -> None:
        """Detect connectivity from now on; the table begins empty, as the leases do."""
        for number in self.tree.rows(self.table):
            self.tree.remove_row(self.table, number)
        if self.probes.interval_s > 0:
            self.host.tell("PROBES", **dataclasses.asdict(self.probes))
            self._probing = self.host.spawn(self._probe(), f"{self.host.name} probes its LAN")

    def stop(self) -> None:
        """Power is about to go."""
        if self._probing is not None:
            self._probing.cancel()
        self._probing = None
        self._told.clear()
        self._holders.clear()

    # DHCP.

    def answer_options(self, request: dhcp.Message) -> Sequence[dhcp.Option]:
        """The gateway's identity, for whoever has told its own (AMB-P1-04: once is enough)."""
        key = client_key(request)
        identity = device_in(request.vendor_identity)
        if identity is not None:
            self._told.pop(key, None)
            self._told[key] = identity
            if len(self._told) > MOST_CLIENTS:
                del self._told[next(iter(self._told))]
        return (gateway_option(self.gateway),) if key in self._told else ()

    def happened(self, event: dhcp.ServerEvent) -> None:
        """The DHCP server reports: entries come and go."""
        match event:
            case events.Leased(binding, request, _) | events.Renewed(binding, request, _):
                self._acknowledged(client_key(request), binding.address)
            case events.InformAnswered(address, request, _):
                self._acknowledged(client_key(request), address)
            case events.Expired(binding):
                self._gone(binding.client, "its lease has expired")
            case events.Released(binding, _):
                self._gone(binding.client, "it has released its lease")
            case events.Declined(_, request):
                self._gone(client_key(request), "it has declined its address")
            case _:
                pass

    def _acknowledged(self, client: bytes, address: str) -> None:
        identity = self._told.get(client)
        if identity is None:
            return
        reason = self._why_not(identity)
        if reason is not None:
            self.host.tell("NOT_LISTED", identity=str(identity), address=address, reason=reason)
            return
        before = self._holders.get(client)
        self._holders[client] = Holder(identity, address)
        if before is not None and before.identity != identity:
            self._remove(before.identity, "its client tells another identity")
        if self._row_of(identity) is None:
            self._add(identity)

    def _why_not(self, identity: Identity) -> str | None:
        """Why an identity gets no entry; None: it does."""
        if self.admitted is not None and identity not in self.admitted:
            return "the owner has not admitted it"
        if OUI.fullmatch(identity.oui) is None:
            return "its OUI is not six upper-case hexadecimal digits"
        if max(len(identity.serial_number), len(identity.product_class)) > LONGEST:
            return f"its serial number or product class has more than {LONGEST} characters"
        if not identity.fits_xml:
            return "it holds a character that CWMP cannot carry"
        if len(self.tree.rows(self.table)) >= MOST_INSTANCES:
            return "the table is full"
        return None

    def _gone(self, client: bytes, reason: str) -> None:
        self._told.pop(client, None)
        holder = self._holders.pop(client, None)
        if holder is not None:
            self._remove(holder.identity, reason)

    # The table.

    def _row_of(self, identity: Identity) -> int | None:
        for number in self.tree.rows(self.table):
            row = f"{self.table}{number}."
            names = ("ManufacturerOUI", "SerialNumber", "ProductClass")
            if Identity(*(self.tree.value(f"{row}{name}") for name in names)) == identity:
                return number
        return None

    def _add(self, identity: Identity) -> None:
        values = {
            "ManufacturerOUI": identity.oui,
            "SerialNumber": identity.serial_number,
            "ProductClass": identity.product_class,
        }
        number = self.tree.add_row(self.table, values)
        self._tell("LISTED", identity, number=number)

    def _remove(self, identity: Identity, reason: str) -> None:
        """One holder is gone; the entry stays while another one tells the same identity."""
        if any(each.identity == identity for each in self._holders.values()):
            return
        number = self._row_of(identity)
        if number is not None:
            self.tree.remove_row(self.table, number)
            self._tell("UNLISTED", identity, reason=reason)

    def _tell(self, event: str, identity: Identity, **fields: object) -> None:
        entries = len(self.tree.rows(self.table))
        self.host.tell(event, identity=str(identity), entries=entries, **fields)
        self._changed()

    # Connectivity.

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(self.probes.interval_s)
            for client, holder in list(self._holders.items()):
                is_there = await self._is_there(holder.address)
                if not is_there and self._holders.get(client) == holder:
                    self._gone(client, "it answers no ARP request any more")

    async def _is_there(self, address: str) -> bool:
        probes = self.probes
        for _ in range(probes.attempts):
            if await self.host.reaches(self.interface, address, probes.answer_within_s):
                return True
        return False


class CountNotification:
    """How often the ACS is told of ManageableDeviceNumberOfEntries, where it wants to be at once.

    Args:
        host: for time.
        tree: the gateway's parameters; changes are held back in it.
        changed: called when the change is due.
    """

    def __init__(self, host: Host, tree: Tree, changed: Callable[[], None]) -> None:
        server = f"{tree.model.root}ManagementServer."
        self.path = f"{server}ManageableDeviceNumberOfEntries"
        self._limit_path = f"{server}ManageableDeviceNotificationLimit"
        self._host = host
        self._tree = tree
        self._changed = changed
        self._told_at = 0.0
        self._told: str | None = None
        self._timer: Timer | None = None

    @property
    def limit_s(self) -> int:
        """Least time between two active notifications; 0: no limit."""
        return int(self._tree.value(self._limit_path))

    def told(self, values: Mapping[str, str]) -> None:
        """The ACS has accepted these changes: for a while it is not told again.

        What it was told is what the Inform said; the table may have changed since.
        """
        if self.path not in values:
            return
        self._told_at, self._told = self._host.now(), values[self.path]
        self.reconsider()

    def reconsider(self) -> None:
        """The ACS may have set another limit."""
        self.stop()
        ends_at = self._told_at + self.limit_s
        is_active = self._tree.notification(self.path) is Notification.ACTIVE
        if self._told is None or not is_active or ends_at <= self._host.now():
            self._release()
        else:
            self._tree.held.add(self.path)
            self._timer = self._host.call_at(ends_at, self._release)

    def stop(self) -> None:
        """Hold nothing back any more, and tell nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _release(self) -> None:
        self._tree.held.discard(self.path)
        if self._told == self._tree.value(self.path):
            # It is again what the ACS was told last: there is nothing to tell.
            self._tree.told([each for each in self._tree.changes() if each.value.path == self.path])
        self._changed()
