"""Faults of an ACS that is to believe no device without its gateway (TR-111 Part 1, 1.2.3)."""

from __future__ import annotations

import dataclasses
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols.association import Identity
from testbed.roles.associations import Associations
from testbed.roles.hms import Hms

DISCOVER, CHANGE = "association_discover/", "association_gateway_change/"
SPOOFED = "association_spoofed_identity/"


def _claims(hms: Hms, claim: Any) -> None:
    hms.associations._claim = claim  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.acs-believes",
    role="hms",
    breaks=(
        "TR111-1.2-S3",
        "TR111-1.2.3-A2",
        "TR111-1.2.3-A3",
        "TR111-1.2.4-F1",
    ),
    shown_in=(DISCOVER,),
)
def acs_believes(hms: Hms) -> None:
    """A device's word is enough to the ACS, and it says that it has validated it."""
    known = hms.associations
    _claims(hms, lambda device, gateway: known._associate(device, gateway, validated=True))


@fault(
    "association.acs-associates-unasked",
    role="hms",
    breaks=(
        "TR111-1.2-S3",
        "TR111-1.2.3-A0",
        "TR111-1.2.3-A2",
        "TR111-1.2.3-A4",
    ),
    shown_in=(DISCOVER,),
)
def acs_associates_unasked(hms: Hms) -> None:
    """A gateway informs, and the ACS associates with it a device that has said nothing."""
    known = hms.associations
    informed = known._gateway_informed

    def associate(who: Identity, device: Any) -> None:
        informed(who, device)
        known._associate(Identity("00005E", "NOBODY"), who, validated=True)

    known._gateway_informed = associate  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.acs-validates-again",
    role="hms",
    breaks=("TR111-1.2.3-A1",),
    shown_in=(f"{CHANGE}same_again",),
)
def acs_validates_again(hms: Hms) -> None:
    """The ACS forgets at once what it has found out, and asks again each time."""
    known = hms.associations
    associate = known._associate

    def forget(device: Identity, gateway: Identity, validated: bool) -> None:
        associate(device, gateway, validated)
        del known.of[device]

    known._associate = forget  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.acs-overlooks-change",
    role="hms",
    breaks=(
        "TR111-1.1.1-2",
        "TR111-1.2.3-A1",
    ),
    shown_in=(CHANGE,),
)
def acs_overlooks_change(hms: Hms) -> None:
    """To the ACS gateways of one serial number are one."""
    known = hms.associations
    informed = known._device_informed

    def overlook(who: Identity, inform: Any) -> None:
        prior = known.of.get(who)
        if prior is None:
            informed(who, inform)
        else:
            known.host.tell("ASSOCIATION_KEPT", device=str(who), gateway=str(prior))

    known._device_informed = overlook  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.acs-asks-the-twin",
    role="hms",
    breaks=("TR111-1.1.1-2",),
    shown_in=(CHANGE,),
    seen_in="ACSs that know a CPE by OUI and serial number alone",
)
def acs_asks_the_twin(hms: Hms) -> None:
    """Of gateways that share OUI and serial number the ACS asks always the same one."""
    known = hms.associations
    validate = known._validate

    def mixed_up(device: Identity, claim: Any) -> None:
        wanted = claim.gateway
        twins = [
            each
            for each in known.gateways
            if (each.oui, each.serial_number) == (wanted.oui, wanted.serial_number)
        ]
        first = min(twins, key=lambda each: each.product_class)
        validate(device, dataclasses.replace(claim, gateway=first))

    known._validate = mixed_up  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.acs-compares-serials",
    role="hms",
    breaks=(
        "TR111-1.2.3-A3",
        "TR111-1.3-S1",
    ),
    shown_in=(f"{SPOOFED}device_class", f"{SPOOFED}device_oui"),
)
def acs_compares_serials(hms: Hms) -> None:
    """An entry with the device's serial number is enough, whatever its OUI and product class."""
    known: Associations = hms.associations
    refuse = known._refuse

    def lenient(device: Identity, gateway: Identity, cause: str) -> None:
        table = known.gateways[gateway].listed or frozenset()
        if any(each.serial_number == device.serial_number for each in table):
            known._associate(device, gateway, validated=True)
        else:
            refuse(device, gateway, cause)

    known._refuse = lenient  # type: ignore[method-assign]  # that is the fault


@fault(
    "association.acs-refuses-strangers",
    role="hms",
    breaks=("TR111-1.1-1",),
    shown_in=(f"{DISCOVER}uncoupled",),
)
def acs_refuses_strangers(hms: Hms) -> None:
    """A gateway that another ACS manages is an error to this one."""
    known = hms.associations
    claim = known._claim

    def strict(device: Identity, gateway: Identity) -> None:
        if gateway in known.gateways:
            claim(device, gateway)
        else:
            known._refuse(device, gateway, "nobody of that identity has been here")

    _claims(hms, strict)


@fault(
    "association.acs-forgets-at-refusal",
    role="hms",
    breaks=("TR111-1.2.3-A2",),
    shown_in=(f"{CHANGE}class_dropped",),
)
def acs_forgets_at_refusal(hms: Hms) -> None:
    """A claim that cannot be validated ends what was known before."""
    known = hms.associations

    def forget(device: Identity, gateway: Identity) -> None:
        if gateway.product_class:
            Associations._claim(known, device, gateway)
            return
        known.of.pop(device, None)
        known._refuse(device, gateway, "nobody of that identity has been here")

    _claims(hms, forget)


@fault(
    "association.acs-trusts-old-table",
    role="hms",
    breaks=(
        "TR111-1.2-S3",
        "TR111-1.2.3-A2",
        "TR111-1.2.3-A3",
        "TR111-1.2.3-A4",
        "TR111-1.2.4-F1",
    ),
    shown_in=(f"{DISCOVER}notified",),
)
def acs_trusts_old_table(hms: Hms) -> None:
    """The ACS is told of a change and does not read the table, but believes."""
    known = hms.associations
    informed = known._gateway_informed

    def stale(who: Identity, device: Any) -> None:
        if who in known.gateways:
            return
        informed(who, device)

    def believe(device: Identity, gateway: Identity) -> None:
        due = known.host.now() + 0.2
        known.host.call_at(due, lambda: known._associate(device, gateway, validated=True))

    known._gateway_informed = stale  # type: ignore[method-assign]  # that is the fault
    _claims(hms, believe)
