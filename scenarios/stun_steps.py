"""What the scenarios of TR-111 Part 2 have in common: what the ACS sets, and reads back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.structs import AttributeChange
from testbed.scenario import Player, Stage
from topologies.stun import STUN

USERNAME = "00005E-DEVICE-01"
PASSWORD = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
OTHER_OUTSIDE = "203.0.113.150"
"""What the gateway's outside address becomes."""
ADDRESS = "UDPConnectionRequestAddress"
ACTIVE = 2

TYPES = {
    **dict.fromkeys(("STUNEnable", "PeriodicInformEnable"), "boolean"),
    **dict.fromkeys(
        (
            *("STUNServerPort", "STUNMinimumKeepAlivePeriod", "PeriodicInformInterval"),
            f"{ADDRESS}NotificationLimit",
        ),
        "unsignedInt",
    ),
    "STUNMaximumKeepAlivePeriod": "int",
}
"""Of those parameters of the object ManagementServer that are no strings."""


def server(cpe: Player) -> str:
    """The object ManagementServer below the CPE's root."""
    return f"{cpe.tree.model.root}ManagementServer."


def sets(at: Stage, cpe: Player, **values: object) -> asyncio.Future[rpc.Rpc]:
    """The ACS sets parameters of ManagementServer in the CPE's next session."""
    parameters = tuple(
        rpc.ParameterValue(f"{server(cpe)}{name}", str(value), TYPES.get(name, "string"))
        for name, value in values.items()
    )
    answer: asyncio.Future[rpc.Rpc] = at.initial_hms.call(
        cpe.label.serial_number, rpc.SetParameterValues(parameters)
    )
    return answer


def enables_stun(at: Stage, cpe: Player, **more: object) -> asyncio.Future[rpc.Rpc]:
    """The ACS names its STUN server and credentials, and switches STUN on."""
    named = {"STUNServerAddress": STUN, "STUNUsername": USERNAME, "STUNPassword": PASSWORD}
    return sets(at, cpe, STUNEnable=1, **named, **more)


def reads(at: Stage, cpe: Player, *names: str) -> asyncio.Future[rpc.Rpc]:
    """The ACS reads parameters of ManagementServer in the CPE's next session."""
    paths = tuple(f"{server(cpe)}{name}" for name in names)
    answer: asyncio.Future[rpc.Rpc] = at.initial_hms.call(
        cpe.label.serial_number, rpc.GetParameterValues(paths)
    )
    return answer


def is_notified(at: Stage, cpe: Player, *names: str) -> asyncio.Future[rpc.Rpc]:
    """The ACS asks for active notification of parameters of ManagementServer."""
    wanted = tuple(AttributeChange(f"{server(cpe)}{name}", True, ACTIVE) for name in names)
    answer: asyncio.Future[rpc.Rpc] = at.initial_hms.call(
        cpe.label.serial_number, rpc.SetParameterAttributes(wanted)
    )
    return answer


def says(name: str, value: str | None = None) -> Callable[[tuple[rpc.ParameterValue, ...]], bool]:
    """What fits a list of parameters that has this one, with this value."""

    def holds(parameters: tuple[rpc.ParameterValue, ...]) -> bool:
        return any(
            each.name.endswith(f".{name}") and value in (None, each.value) for each in parameters
        )

    holds.__doc__ = f"{name} = {value}" if value is not None else name
    return holds


def quick(cpe: Player) -> None:
    """A CPE that goes about its binding as fast as a scenario wants to see it."""
    cpe.stun.set_policy(
        first_s=1.0, assure_s=2.1, longest_s=8.0, probe_sends=3, probe_wait_s=0.6, rung_s=0.5
    )
