"""What an ACS asks of Table 6 of TR-111 Part 2 over CWMP, and what CPEs answer: never judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from testbed.conformance.associations import gateways, managed_devices
from testbed.conformance.bindings import (
    ADDRESS,
    ENABLE,
    MAXIMUM,
    MINIMUM,
    NAT_DETECTED,
    NO_MAXIMUM,
    PASSWORD,
    PORT,
    value_at,
)
from testbed.conformance.sessions import Call, sessions
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

DEVICE, GATEWAY = "Device.", "InternetGatewayDevice."
OBJECT = "ManagementServer."
LIMIT = f"{ADDRESS}NotificationLimit"
READ_ONLY = (ADDRESS, NAT_DETECTED)
WRITABLE = (
    *(LIMIT, ENABLE, "STUNServerAddress", "STUNServerPort", "STUNUsername", PASSWORD),
    *("STUNMaximumKeepAlivePeriod", "STUNMinimumKeepAlivePeriod"),
)
TABLE_6 = (*READ_ONLY, *WRITABLE)
LONGEST = 256
"""Characters of string(256)."""
RANGES = {
    LIMIT: (0, 2**32 - 1),
    PORT: (0, 65535),
    MAXIMUM: (NO_MAXIMUM, 2**31 - 1),
    MINIMUM: (0, 2**32 - 1),
}
"""What the numbers of Table 6 can be."""
PATH = re.compile(rf"^((?:InternetGateway)?Device\.){re.escape(OBJECT)}(\w+)$")


class Answered(NamedTuple):
    """A call to a CPE and what came of it.

    Attributes:
        cpe: whom the ACS called.
        call: what it said.
        answer: the CPE's answer.
        refusal: that, where it is a fault.
        done: whether the CPE has carried it out.
    """

    cpe: str
    call: rpc.Rpc
    answer: Record
    refusal: rpc.Fault | None
    done: bool


def all_cpes(trace: Trace) -> list[str]:
    """Managed devices and gateways."""
    return list(dict.fromkeys([*managed_devices(trace), *gateways(trace)]))


def answered(trace: Trace, *kinds: type[rpc.Rpc]) -> Iterator[Answered]:
    """Every call of these kinds that was answered, in order."""
    for cpe in all_cpes(trace):
        calls: list[Call] = [
            call
            for session in sessions(trace, cpe)
            for kind in kinds
            for call in session.calls(kind)
        ]
        for each in sorted(calls, key=lambda call: call.call.number):
            message = each.call.find(rpc.Rpc)
            if each.answer is not None and message is not None:
                refusal = each.answer.find(rpc.Fault)
                yield Answered(cpe, message, each.answer, refusal, each.done)


def leaf_of(path: str) -> str:
    """A parameter's name below ManagementServer; "": it is none of Table 6."""
    match = PATH.match(path)
    return match[2] if match is not None and match[2] in TABLE_6 else ""


class Listing(NamedTuple):
    """What a CPE has listed of all of its object ManagementServer; names with writability."""

    cpe: str
    root: str
    answer: Record
    names: dict[str, bool]


def listings(trace: Trace) -> Iterator[Listing]:
    """Every whole listing of ManagementServer that a CPE has given."""
    for each in answered(trace, rpc.GetParameterNames):
        message, told = each.call, each.answer.find(rpc.GetParameterNamesResponse)
        if not isinstance(message, rpc.GetParameterNames) or told is None or message.next_level:
            continue
        for root in (DEVICE, GATEWAY):
            if message.path in ("", root, f"{root}{OBJECT}"):
                names = {entry.name: entry.writable for entry in told.parameters}
                if any(name.startswith(root) for name in names):
                    yield Listing(each.cpe, root, each.answer, names)


def is_of_type(leaf: str, text: str) -> bool:
    """Whether a value is one of its row's type in Table 6."""
    if leaf not in RANGES:
        return leaf not in ("STUNUsername", PASSWORD) or len(text) <= LONGEST
    least, most = RANGES[leaf]
    try:
        return least <= int(text) <= most
    except ValueError:
        return False


def fits(trace: Trace, each: Answered, leaf: str, text: str) -> bool:
    """Whether a CPE has no reason to refuse a value: its type holds it, and the least period is
    not greater than the greatest (AMB-P2-12)."""
    if not is_of_type(leaf, text):
        return False
    if leaf not in (MINIMUM, MAXIMUM) or each.refusal is None or each.refusal.code != 9007:
        return True
    known = {
        name: text if name == leaf else value_at(trace, each.cpe, name, each.answer)
        for name in (MINIMUM, MAXIMUM)
    }
    least, most = (int(known[name] or NO_MAXIMUM) for name in (MINIMUM, MAXIMUM))
    return most == NO_MAXIMUM or least <= most
