"""A home whose gateway and devices are managed by one ACS, or by two that know nothing of each
other (TR-111 Part 1).

device, device2 ---[ home ]--- gateway ---[ internet ]--- serving_hms, other_hms
                               (gateway2)
"""

from __future__ import annotations

from typing import Any

from testbed.errors import BadInput, unknown
from testbed.roles.associations import AssociationPolicy
from testbed.roles.manageable import ProbePolicy
from testbed.topology import Attachment, Link, Nat, Topology

ACS, OTHER_ACS = "203.0.113.21", "203.0.113.22"
DEVICE_CLASS, GATEWAY_CLASS = "Phone", "Gateway"
WAYS = ("request", "notification")
"""How an ACS learns a gateway's table."""


def managed_home(
    devices: int = 1,
    gateways: int = 1,
    plain_client: bool = False,
    static: bool = False,
    lan: str = "192.168.1.0/24",
    lease_s: int = 600,
    uncoupled: bool = False,
    learns_by: str = "request",
    validates: bool = True,
    limit_s: int = -1,
    device_class: str = DEVICE_CLASS,
    gateway_class: str = GATEWAY_CLASS,
    same_serial: bool = False,
    is_known: bool = True,
    other_acs: bool = False,
    abroad: bool = False,
    late: bool = False,
    probe_interval_s: float = 30.0,
    nat: Nat = Nat.MASQUERADE,
) -> Topology:
    """A managed gateway with managed devices behind it, and their ACS.

    Args:
        devices: how many.
        gateways: how many are on the LAN; they differ in product class alone.
        plain_client: whether there is a device besides that nobody manages.
        static: whether the devices have fixed addresses.
        lan: subnet of the home.
        lease_s: of the gateways' DHCP servers.
        uncoupled: whether the devices have an ACS of their own.
        learns_by: how the ACS learns the gateway's table: request, or notification.
        validates: whether the ACS validates at all.
        limit_s: ManageableDeviceNotificationLimit that the ACS sets; -1: none.
        device_class: product class of the devices; "": they have none.
        gateway_class: of the gateways, likewise; that of the second one ends with 2.
        same_serial: whether the devices differ in product class alone.
        is_known: whether the devices' ACS was told "0 BOOTSTRAP" before the run.
        other_acs: whether there is another ACS, which manages nobody at first.
        abroad: whether the first device is not at home, but elsewhere in the Internet, and a box at
            home (`proxy`) speaks for it.
        late: whether there is one more device, `late`, that nobody manages.
        probe_interval_s: between the gateways' rounds of ARP requests; 0: none are sent.
        nat: what the gateway does to packets that leave the home.
    """
    if learns_by not in WAYS:
        raise unknown("value of the setting learns_by", learns_by, WAYS)
    _require_positive(devices=devices, gateways=gateways, lease_s=lease_s)
    net = Topology(managed_home.__doc__)
    internet, home = net.link("internet", "203.0.113.0/24"), net.link("home", lan)
    _acs(net, internet, uncoupled or other_acs, learns_by, validates, limit_s)
    for number in range(gateways):
        suffix = str(number + 1) if number else ""
        net.node(
            *(f"gateway{suffix}", home.at(1 + number), internet.next_free()),
            role="gateway",
            nat=nat,
            lease_s=lease_s,
            hms_url=f"http://{ACS}/acs",
            serial_number="GW1",
            product_class=f"{gateway_class}{suffix}",
            probes=ProbePolicy(probe_interval_s, attempts=2, answer_within_s=0.2),
        )
    for number in range(devices):
        suffix = str(number + 1) if number else ""
        net.node(
            *(f"device{suffix}", _place(number, home, internet, static, abroad)),
            role="device",
            router=str(home.subnet[1]) if static else None,
            hms_url=f"http://{OTHER_ACS if uncoupled else ACS}/acs",
            is_known=is_known,
            serial_number="DEVICE" if same_serial else f"DEVICE{suffix}",
            product_class=device_class + (suffix if same_serial else ""),
        )
    for name, wanted in (("plain_client", plain_client), ("late", late), ("proxy", abroad)):
        if wanted:
            net.node(name, home.by_dhcp(), role="device")
    return net


def _require_positive(**settings: int) -> None:
    """Refuse what nobody can have less than one of.

    Raises:
        BadInput: one of them is.
    """
    for name, value in settings.items():
        if value < 1:
            raise BadInput(f"setting {name} is {value}; it is 1 or more")


def _place(number: int, home: Link, internet: Link, static: bool, abroad: bool) -> Attachment:
    if abroad and number == 0:
        return internet.at(50)
    return home.at(50 + number) if static else home.by_dhcp()


def _acs(
    net: Topology, internet: Link, other: bool, learns_by: str, validates: bool, limit_s: int
) -> None:
    """The ACS, and where it is wanted another one."""
    policy = AssociationPolicy(
        validates,
        "notification" if learns_by == "notification" else "request",
        limit_s=None if limit_s < 0 else limit_s,
    )
    acs: dict[str, Any] = {"role": "hms", "associates": True, "associations": policy}
    net.node("serving_hms", internet.at(21), url=f"http://{ACS}/acs", **acs)
    if other:
        net.node("other_hms", internet.at(22), url=f"http://{OTHER_ACS}/acs", **acs)
