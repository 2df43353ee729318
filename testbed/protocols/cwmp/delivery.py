"""When a CPE opens sessions and what it tells there: event codes, their delivery, the retry waits.

Rules of TR-069 3.2.1.1 (session retry) and 3.7.1.5 (events), as data and pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from testbed.protocols.cwmp.rpc import Event

BOOTSTRAP = "0 BOOTSTRAP"
BOOT = "1 BOOT"
PERIODIC = "2 PERIODIC"
SCHEDULED = "3 SCHEDULED"
VALUE_CHANGE = "4 VALUE CHANGE"
CONNECTION_REQUEST = "6 CONNECTION REQUEST"
TRANSFER_COMPLETE = "7 TRANSFER COMPLETE"
DIAGNOSTICS_COMPLETE = "8 DIAGNOSTICS COMPLETE"
M_REBOOT = "M Reboot"
M_SCHEDULE_INFORM = "M ScheduleInform"
M_DOWNLOAD = "M Download"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_EVENTS = 64
"""An Inform's Event array holds at most so many (TR-069 A.3.3.1)."""


@dataclass(frozen=True, slots=True)
class EventRule:
    """How one event code is delivered.

    Attributes:
        multiple: each occurrence is told, with its command key; else several count as one.
        retried: a session that failed leaves it to the next one.
        survives_reboot: a reboot leaves it to the next session.
        delivered_by: the response that ends its delivery.
    """

    code: str
    multiple: bool = False
    retried: bool = True
    survives_reboot: bool = True
    delivered_by: str = "InformResponse"


EVENT_RULES: dict[str, EventRule] = {
    rule.code: rule
    for rule in (
        EventRule(BOOTSTRAP),
        EventRule(BOOT, survives_reboot=False),
        EventRule(PERIODIC),
        EventRule(SCHEDULED),
        EventRule(VALUE_CHANGE, survives_reboot=False),
        EventRule(CONNECTION_REQUEST, retried=False, survives_reboot=False),
        EventRule(TRANSFER_COMPLETE, delivered_by="TransferCompleteResponse"),
        EventRule(DIAGNOSTICS_COMPLETE, survives_reboot=False),
        EventRule(M_REBOOT, multiple=True),
        EventRule(M_SCHEDULE_INFORM, multiple=True),
        EventRule(M_DOWNLOAD, multiple=True, delivered_by="TransferCompleteResponse"),
    )
}
"""What TR-069's tables of events say, by code."""


def rule_of(code: str) -> EventRule:
    """The rule of an event code; a vendor's own is told each time and never dropped."""
    return EVENT_RULES.get(code) or EventRule(code, multiple=True)


class EventQueue:
    """The events that the ACS has not been told."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events: list[Event] = list(events)

    def pending(self) -> tuple[Event, ...]:
        """What the next Inform tells, in order of occurrence; at most 64."""
        return tuple(self._events[:MOST_EVENTS])

    def happened(self, code: str, command_key: str = "") -> None:
        """An event occurs.

        TR-069 3.7.1.5: on a bootstrap all other undelivered events are discarded.
        """
        event = Event(code, command_key)
        if code == BOOTSTRAP:
            self._events.clear()
        elif not rule_of(code).multiple:
            self._events = [each for each in self._events if each.code != code]
        self._events.append(event)

    def delivered(self, told: Iterable[Event], by: str = "InformResponse") -> None:
        """The ACS has answered: `by` is the name of its response."""
        for event in told:
            if rule_of(event.code).delivered_by == by and event in self._events:
                self._events.remove(event)

    def failed(self, told: Iterable[Event]) -> None:
        """The session that told these has failed: drop those that are not retried."""
        gone = {event for event in told if not rule_of(event.code).retried}
        self._events = [event for event in self._events if event not in gone]

    def rebooted(self) -> None:
        """The device has lost power: drop those that a reboot makes meaningless."""
        self._events = [each for each in self._events if rule_of(each.code).survives_reboot]


def retry_window_s(
    attempt: int, minimum_s: float = 5, multiplier: int = 2000
) -> tuple[float, float]:
    """Between which waits the retry number `attempt` (from 1) lies, in seconds.

    TR-069 3.2.1.1: m(k/1000)^(n-1) to m(k/1000)^n, and from the tenth retry on as for the tenth.
    With the defaults: 5 to 10, 10 to 20, ... 2560 to 5120.

    Args:
        attempt: how often the session has been tried again, this time included.
        minimum_s: ManagementServer.CWMPRetryMinimumWaitInterval.
        multiplier: ManagementServer.CWMPRetryIntervalMultiplier, in thousandths.
    """
    assert attempt >= 1, "the first retry has the number 1"
    factor = multiplier / 1000
    step = min(attempt, 10)
    return minimum_s * factor ** (step - 1), minimum_s * factor**step


def retry_wait_s(
    attempt: int, random: Random, minimum_s: float = 5, multiplier: int = 2000
) -> float:
    """How long to wait before the retry number `attempt`: drawn evenly from its window."""
    return random.uniform(*retry_window_s(attempt, minimum_s, multiplier))


def periodic_wait_s(interval_s: float, reference: str, date: float | None) -> float:
    """How long from `date` until the next periodic Inform.

    TR-069, PeriodicInformTime: "Each Inform call MUST occur at this reference time plus or minus an
    integer multiple of the PeriodicInformInterval"; the reference may be far in the past or future.
    With the Unknown Time, or where the CPE has no time, it chooses its own: this moment.

    Args:
        interval_s: PeriodicInformInterval.
        reference: PeriodicInformTime; without zone it is UTC.
        date: what the CPE believes the date is, seconds since 1970 (UTC); None: it has no time.
    """
    moment = _moment(reference)
    if moment is None or date is None:
        return interval_s
    return (moment - date) % interval_s or interval_s


def _moment(text: str) -> float | None:
    """Seconds since 1970 of a dateTime; None: the Unknown Time, or none."""
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if read.year == 1:
        return None
    aware = read.replace(tzinfo=UTC) if read.tzinfo is None else read
    return (aware - _EPOCH).total_seconds()
