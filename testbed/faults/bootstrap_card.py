"""Faults of devices and smart cards in bootstrap from the card's web server (5.4.7, table)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from testbed.faults.fault import fault
from testbed.protocols import dhcp, dns
from testbed.protocols.http import Response, Url
from testbed.protocols.wire import Endpoint
from testbed.roles.dm_device import DmDevice

PRINTED = "0.0.0.0.0.0.0.1"


def _urls(device: DmDevice, **changes: Any) -> None:
    """Have the device go to another URL than that of its card."""
    urls = device._urls

    async def changed(lease: dhcp.Lease) -> list[Url]:
        return [replace(each, **changes) for each in await urls(lease)]

    device._urls = changed  # type: ignore[method-assign]  # that is the fault


@fault(
    "card.another-path",
    role="dm_device",
    breaks=("OMA-5.4.7-S1", "OMA-5.4.7-B1"),
    shown_in=("dm_bootstrap_scws/",),
)
def another_path(device: DmDevice) -> None:
    """The device asks its card for a path in letters of another case."""
    _urls(device, target="/oma/dm/bootstrap.xml")


@fault(
    "card.another-port",
    role="dm_device",
    breaks=("OMA-5.4.7-T1",),
    shown_in=("dm_bootstrap_scws/",),
)
def another_port(device: DmDevice) -> None:
    """The device knows one port of its card only, that of TCP/IP."""
    _urls(device, port=443)


@fault(
    "card.printed-literal",
    role="dm_device",
    breaks=("OMA-5.4.7-T2",),
    shown_in=("dm_bootstrap_scws/bip_ipv6",),
    seen_in="whoever takes the table by its letters",
)
def printed_literal(device: DmDevice) -> None:
    """The device takes what the table prints for a host name, and asks DNS for it."""
    _urls(device, host=PRINTED)


def _asks_the_network(device: DmDevice) -> None:
    """Have the device ask DNS for its card's name, whatever its hosts table says."""
    ask = device._ask

    async def changed(name: str, kind: str, lease: dhcp.Lease) -> dns.Resolution:
        if name == "localuicc":
            await ask("localuicc.mobilecarrier.example", kind, lease)
        return await ask(name, kind, lease)

    device._ask = changed  # type: ignore[method-assign]  # that is the fault


@fault(
    "card.name-on-the-network",
    role="dm_device",
    breaks=("OMA-5.4.7-T3", "OMA-5.4.7-T4"),
    shown_in=("dm_bootstrap_scws/tcp_ipv4",),
)
def name_on_the_network(device: DmDevice) -> None:
    """The device asks the network's DNS for localuicc."""
    _asks_the_network(device)


@fault(
    "card.minds-localhost",
    role="dm_device",
    breaks=("OMA-5.4.7-N1",),
    shown_in=("dm_bootstrap_scws/localhost",),
)
def minds_localhost(device: DmDevice) -> None:
    """The card's web server answers 404 where the Host is no address."""

    def refused(message: Any, _: Endpoint) -> list[Any]:
        is_package = isinstance(message, Response) and message.status == 200
        return [Response(status=404)] if is_package else [message]

    device.mend_of("card").message.append(refused)
