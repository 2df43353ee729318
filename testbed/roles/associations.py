"""The ACS's side of TR-111 Part 1: which device is behind which gateway (1.2.3).

A device says by its Inform who its gateway is.  That is a claim, as DHCP protects nothing: it
counts only when the gateway's own table lists the device.  The table is read at a Connection
Request, or whenever the gateway notifies of its size.  ACSs that are coupled share what they know;
others know nothing of each other (1.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from testbed.errors import PeerError
from testbed.host import Host
from testbed.protocols.association import NOBODY, Identity
from testbed.protocols.cwmp import rpc
from testbed.roles.connection_request import request_connection
from testbed.roles.known_cpe import KnownCpe

GATEWAY_ROOT = "InternetGatewayDevice."
SERVER = f"{GATEWAY_ROOT}ManagementServer."
TABLE = f"{SERVER}ManageableDevice."
COUNT = f"{SERVER}ManageableDeviceNumberOfEntries"
INFO = "Device.GatewayInfo."
ELEMENTS = ("ManufacturerOUI", "SerialNumber", "ProductClass")
"""The parameters of an identity, in the order of `Identity`."""
ACTIVE = 2
NOT_LISTED = "its table does not list the device"

Call = Callable[[rpc.DeviceId, rpc.Rpc], "asyncio.Future[rpc.Rpc]"]
"""Calls a method of a CPE in its next session."""


@dataclass(frozen=True, slots=True)
class AssociationPolicy:
    """How an ACS finds out whether a device's claim is true.

    Attributes:
        validates: whether it does; else a claim counts at once (1.3: not protected).
        learns_by: "request": it asks the gateway for a session by a Connection Request;
            "notification": it has every change of the table's size notified, and reads it then.
        notified_within_s: so long it waits for a notification before it asks after all.
        limit_s: ManageableDeviceNotificationLimit that it sets; None: it leaves it as it is.
    """

    validates: bool = True
    learns_by: Literal["request", "notification"] = "request"
    notified_within_s: float = 5.0
    limit_s: int | None = None


@dataclass
class KnownGateway:
    """A gateway that is managed by this ACS.

    Attributes:
        device_id: as it informs.
        url: where it takes Connection Requests; None: it has not told.
        username, password: for these; the ACS has set them.
        ready: whether the gateway has them.
        listed: the devices of its table, as read last; None: never read.
        asked: whether a Connection Request is under way.
    """

    device_id: rpc.DeviceId
    url: str | None
    username: str
    password: str
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    listed: frozenset[Identity] | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claim that waits for its decision: which gateway, and which ACS the device has told."""

    gateway: Identity
    told: Associations


class Associations:
    """What one ACS knows of who is behind whom.  Another ACS knows nothing of it, unless coupled.

    Attributes:
        of: the gateway that each device is associated with, by the device; coupled ACSs have one.
        gateways: the gateways of this ACS, by their full identity (AMB-P1-12).

    Args:
        host: the ACS's.
        policy: how claims are validated.
        call: calls a method of a CPE in its next session.
    """

    def __init__(self, host: Host, policy: AssociationPolicy, call: Call) -> None:
        self.host = host
        self.policy = policy
        self.of: dict[Identity, Identity] = {}
        self.gateways: dict[Identity, KnownGateway] = {}
        self._call = call
        self._said: dict[Identity, Identity] = {}
        self._claims: dict[Identity, _Claim] = {}
        self._coupled: list[Associations] = [self]

    def couple(self, other: Associations) -> None:
        """Share associations and gateways' tables with another ACS, from now on.

        A device may tell one of them, and its gateway be managed by the other.  How ACSs talk to
        each other is no matter of TR-111: here they just know.
        """
        all_coupled = [*self._coupled, *(e for e in other._coupled if e not in self._coupled)]
        store: dict[Identity, Identity] = {}
        for each in all_coupled:
            store |= each.of
        for each in all_coupled:
            each.of, each._coupled = store, all_coupled
            others = [one.host.name for one in all_coupled if one is not each]
            each.host.tell("COUPLED", acs=others)

    def informed(self, device: KnownCpe) -> None:
        """A CPE has opened a session: what it says, and what it is to be asked in it."""
        who = identity_of(device.device_id)
        if any(each.name.startswith(GATEWAY_ROOT) for each in device.inform.parameters):
            self._gateway_informed(who, device)
        else:
            self._device_informed(who, device.inform)

    # Gateways.

    def _gateway_informed(self, who: Identity, device: KnownCpe) -> None:
        known = self.gateways.get(who)
        events = {each.code for each in device.inform.events}
        if known is None or "0 BOOTSTRAP" in events:
            known = self._make_known(who, device)
        known.url = device.connection_request_url or known.url
        for each in self._coupled:
            mine = {d: c for d, c in each._claims.items() if c.told is each and c.gateway == who}
            self._claims |= mine
        if self._claimants(who) or device.inform.value(COUNT) is not None:
            known.asked = False
            reading = self._call(device.device_id, rpc.GetParameterValues((TABLE, COUNT)))
            self.host.spawn(self._read(who, known, reading), "reads a table")

    def _make_known(self, who: Identity, device: KnownCpe) -> KnownGateway:
        """A gateway's first session: it gets what later sessions need."""
        secret = f"{self.host.random.getrandbits(64):016x}"
        known = KnownGateway(device.device_id, None, f"acs-{who.serial_number}", secret)
        self.gateways[who] = known
        values = [
            rpc.ParameterValue(f"{SERVER}ConnectionRequestUsername", known.username),
            rpc.ParameterValue(f"{SERVER}ConnectionRequestPassword", known.password),
        ]
        limit_s = self.policy.limit_s
        if limit_s is not None:
            path = f"{SERVER}ManageableDeviceNotificationLimit"
            values.append(rpc.ParameterValue(path, str(limit_s), "unsignedInt"))
        setting = self._call(device.device_id, rpc.SetParameterValues(tuple(values), "association"))
        setting.add_done_callback(lambda _: known.ready.set())
        if self.policy.learns_by == "notification":
            wanted = rpc.AttributeChange(COUNT, True, ACTIVE)
            self._call(device.device_id, rpc.SetParameterAttributes((wanted,)))
            reading = self._call(device.device_id, rpc.GetParameterValues((TABLE, COUNT)))
            self.host.spawn(self._read(who, known, reading), "reads a table")
        return known

    async def _read(
        self, who: Identity, known: KnownGateway, reading: asyncio.Future[rpc.Rpc]
    ) -> None:
        """The gateway's table has come: claims of it are decided."""
        answer = await reading
        if not isinstance(answer, rpc.GetParameterValuesResponse):
            for device in self._claimants(who):
                self._decided(device, who, "its table cannot be read")
            return
        known.listed = listed_in(answer.parameters)
        self.host.tell(
            "TABLE_READ", gateway=str(who), listed=sorted(str(each) for each in known.listed)
        )
        for device in self._claimants(who):
            is_listed = device in known.listed
            self._decided(device, who, None if is_listed else NOT_LISTED)

    def _claimants(self, gateway: Identity) -> list[Identity]:
        return [device for device, claim in self._claims.items() if claim.gateway == gateway]

    # Devices.

    def _device_informed(self, who: Identity, inform: rpc.Inform) -> None:
        told = [inform.value(f"{INFO}{name}") for name in ELEMENTS]
        if told == [None, None, None]:
            return
        # What has not changed is not told again; what was never told is empty.
        before = self._said.get(who, NOBODY)
        parts = (before.oui, before.serial_number, before.product_class)
        pairs = zip(told, parts, strict=True)
        claimed = Identity(*(old if new is None else new for new, old in pairs))
        self._said[who] = claimed
        self._claims.pop(who, None)
        prior = self.of.get(who)
        if not claimed:
            if prior is not None:
                del self.of[who]
                self.host.tell("DISSOCIATED", device=str(who), gateway=str(prior))
        elif claimed == prior:
            self.host.tell("ASSOCIATION_KEPT", device=str(who), gateway=str(claimed))
        else:
            self._claim(who, claimed)

    def _claim(self, device: Identity, gateway: Identity) -> None:
        """A device says that it is behind another gateway than before (1.2.3)."""
        self.host.tell("CLAIMED", device=str(device), gateway=str(gateway))
        if not self.policy.validates:
            self._associate(device, gateway, validated=False)
            return
        claim = self._claims[device] = _Claim(gateway, self)
        manager = next((each for each in self._coupled if gateway in each.gateways), None)
        if manager is None:
            # It may be managed by another ACS, of which this one knows nothing (1.1).
            self.host.tell("GATEWAY_UNKNOWN", device=str(device), gateway=str(gateway))
        else:
            manager._validate(device, claim)

    def _validate(self, device: Identity, claim: _Claim) -> None:
        """Find out by the table of a gateway of this ACS whether a claim is true."""
        self._claims[device] = claim
        gateway, known = claim.gateway, self.gateways[claim.gateway]
        if self.policy.learns_by == "request":
            self._ask(gateway, known)
        elif known.listed is not None and device in known.listed:
            self._decided(device, gateway, None)
        else:
            due = self.host.now() + self.policy.notified_within_s
            self.host.call_at(due, lambda: self._ask_after_all(device, claim, known))

    def _ask_after_all(self, device: Identity, claim: _Claim, known: KnownGateway) -> None:
        if self._claims.get(device) is claim:
            self._ask(claim.gateway, known)

    def _ask(self, gateway: Identity, known: KnownGateway) -> None:
        if not known.asked:
            known.asked = True
            self.host.spawn(self._request(gateway, known), "asks a gateway for a session")

    async def _request(self, gateway: Identity, known: KnownGateway) -> None:
        """Ask for a session; the table is read in it."""
        await known.ready.wait()
        cause = "it has told no ConnectionRequestURL"
        if known.url is not None:
            try:
                status = await request_connection(
                    self.host, known.url, known.username, known.password
                )
            except (PeerError, OSError) as error:
                cause = f"it cannot be asked: {error}"
            else:
                if status in (200, 204):
                    return
                cause = f"it answers a Connection Request by {status}"
        known.asked = False
        for device in self._claimants(gateway):
            self._decided(device, gateway, cause)

    # What comes of a claim.

    def _decided(self, device: Identity, gateway: Identity, cause: str | None) -> None:
        """What the table says goes to the ACS that the device has told, if it still says so.

        Args:
            cause: why the claim is refused; None: it is true.
        """
        claim = self._claims.pop(device)
        if claim.told is not self and claim.told._claims.get(device) is not claim:
            return
        if cause is None:
            claim.told._associate(device, gateway, validated=True)
        else:
            claim.told._refuse(device, gateway, cause)

    def _associate(self, device: Identity, gateway: Identity, validated: bool) -> None:
        self._claims.pop(device, None)
        self.of[device] = gateway
        self.host.tell("ASSOCIATED", device=str(device), gateway=str(gateway), validated=validated)

    def _refuse(self, device: Identity, gateway: Identity, cause: str) -> None:
        """Validation has failed: what was known before stays (1.2.3)."""
        self._claims.pop(device, None)
        prior = self.of.get(device)
        self.host.tell(
            "ASSOCIATION_REFUSED",
            device=str(device),
            gateway=str(gateway),
            cause=cause,
            kept=None if prior is None else str(prior),
        )


def identity_of(told: rpc.DeviceId) -> Identity:
    """The identity in the DeviceId of an Inform."""
    return Identity(told.oui, told.serial_number, told.product_class)


def listed_in(parameters: tuple[rpc.ParameterValue, ...]) -> frozenset[Identity]:
    """The identities in the rows of a ManageableDevice table."""
    rows: dict[str, dict[str, str]] = {}
    for each in parameters:
        number, dot, name = each.name.removeprefix(TABLE).partition(".")
        if each.name.startswith(TABLE) and dot:
            rows.setdefault(number, {})[name] = each.value
    return frozenset(Identity(*(row.get(name, "") for name in ELEMENTS)) for row in rows.values())
