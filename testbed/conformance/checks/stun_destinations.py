"""Where a CPE's Binding Requests go, and when they may (TR-111 Part 2, 2.2.1, 2.2.1.1, Table 6)."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.bindings import (
    ENABLE,
    PORT,
    SERVER,
    Setting,
    Transaction,
    all_transactions,
    cpes,
    is_off,
    is_on,
    lasts,
    readings,
    seconds,
    settings,
    transactions,
    value_at,
    was_on,
)
from testbed.conformance.check import check
from testbed.conformance.checks.datamodel_stun import other_values_are_refused
from testbed.conformance.reading import has_lost, host_of, is_address, lookups, plain_name
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.trace.record import Record
from testbed.trace.trace import Trace

SWITCHED_ON_S = 2.0
"""Within which a CPE whose STUN is switched on sends its first request."""
SWITCHED_OFF_S = 0.5
"""What a CPE may need to stop: the session in which it is told so has to end first."""
MOVED_S = 5.0
"""After which a CPE that was told another ACS goes there."""
DEFAULT_PORT = 3478


@check("TR111-2.2-P4", supposes=("whole",))
def requests_wait_for_stun_to_be_enabled(trace: Trace) -> Iterator[Finding]:
    """The ACS sets STUNEnable before the first Binding Request, and none is sent while it is off.

    A CPE whose ACS never sets it may have it on by factory default: it shows nothing, nor does one
    that has told so before it was set.
    """
    for cpe in cpes(trace):
        said = [each for each in settings(trace, cpe) if ENABLE in each.values]
        told = [each for each in readings(trace, cpe, ENABLE) if is_on(each.value)]
        for each in transactions(trace, cpe) if said else ():
            before = [s for s in said if s.record.number < each.first.number]
            if not before and any(reading.record.number < each.first.number for reading in told):
                continue
            yield from _sent_while_on(trace, each, before)


def _sent_while_on(trace: Trace, each: Transaction, before: list[Setting]) -> Iterator[Finding]:
    """A request and its copies against the settings of STUNEnable before it.  A CPE that has just
    been told to stop may have sent what leaves it now."""
    off = before[-1] if before and is_off(before[-1]) else None
    is_late = off is not None and trace.spent_s(off.answer, each.first) > SWITCHED_OFF_S
    if not before or is_late:
        yield fault(each.first, "a Binding Request, and STUNEnable is not set")
    elif off is None:
        yield ok(each.first)


@check("TR111-2.2.4-T6-3", supposes=("whole",))
def enabling_switches_stun(trace: Trace) -> Iterator[Finding]:
    """STUNEnable starts Binding Requests, and ends them: none is sent once it is false again, and
    what was not answered is not sent again."""
    yield from enabling_starts_discovery(trace)
    for cpe in cpes(trace):
        said = [each for each in settings(trace, cpe) if ENABLE in each.values]
        for place, setting in enumerate(said):
            if not is_off(setting):
                continue
            until = said[place + 1].record.number if place + 1 < len(said) else None
            late = [
                copy
                for each in transactions(trace, cpe)
                for copy in each.copies
                if copy.number > setting.answer.number
                and (until is None or copy.number < until)
                and trace.spent_s(setting.answer, copy) > SWITCHED_OFF_S
            ]
            if late:
                yield fault(late[0], "STUNEnable is false, and a Binding Request is sent")
            elif lasts(trace, setting.answer, SWITCHED_OFF_S):
                yield ok(setting.answer, "switched off")


@check("TR111-2.2.1-C1", supposes=("whole",))
def enabling_starts_discovery(trace: Trace) -> Iterator[Finding]:
    """Once STUNEnable is set, a Binding Request follows within two seconds, without a reboot."""
    for cpe in cpes(trace):
        for setting in settings(trace, cpe):
            if not is_on(setting.values.get(ENABLE)):
                continue
            before = [e for e in transactions(trace, cpe) if e.first.number < setting.record.number]
            if before and value_at(trace, cpe, ENABLE, setting.record) is None:
                continue  # it was on already, by factory default
            sent = [
                each.first
                for each in transactions(trace, cpe)
                if each.first.number > setting.record.number
            ]
            if sent and trace.spent_s(setting.record, sent[0]) <= SWITCHED_ON_S:
                yield ok(sent[0], f"{seconds(setting.record, sent[0]):.3f} s after it was enabled")
            elif sent and has_lost(trace, cpe, setting.record, sent[0]):
                continue  # whose name it asked for again, or whose setting came late
            elif sent or lasts(trace, setting.record, SWITCHED_ON_S):
                yield fault(
                    setting.answer,
                    f"STUNEnable is set, and no Binding Request follows in {SWITCHED_ON_S:g} s",
                )


def _servers(trace: Trace, cpe: str, host: str, moment: Record) -> set[str]:
    """The addresses that a host may mean: itself, or what the CPE was answered for the name."""
    if is_address(host):
        return {host}
    return {
        address
        for lookup in lookups(trace, cpe)
        if lookup.name == plain_name(host) and lookup.query.number < moment.number
        for address in lookup.addresses
    }


def _destinations(trace: Trace) -> Iterator[tuple[Transaction, str, int]]:
    """Transactions of CPEs that were told a STUN server: that host, and the port."""
    for transaction in all_transactions(trace):
        cpe, moment = transaction.cpe, transaction.first
        host = value_at(trace, cpe, SERVER, moment)
        if host:
            port = int(value_at(trace, cpe, PORT, moment) or 0) or DEFAULT_PORT
            yield transaction, host, port


@check("TR111-2.2.1.1-C1")
def requests_go_where_the_acs_says(trace: Trace) -> Iterator[Finding]:
    """Destination: STUNServerAddress (resolved, where it is a name) and STUNServerPort."""
    for transaction, host, port in _destinations(trace):
        yield from _goes(trace, transaction, host, port)


@check("TR111-2.2.4-T6-4", needs=("", "by_address"))
def server_may_be_a_name_or_an_address(trace: Trace) -> Iterator[Finding]:
    """STUNServerAddress works as a name, which is resolved first, and as an address."""
    for transaction, host, _ in _destinations(trace):
        yield from _goes(trace, transaction, host, None)


@check("TR111-2.2.4-T6-5")
def requests_go_to_the_port(trace: Trace) -> Iterator[Finding]:
    """The UDP destination port is STUNServerPort, which no number above 65535 can be."""
    yield from other_values_are_refused(trace, PORT)
    for transaction, _, port in _destinations(trace):
        destination = transaction.first.destination
        if destination is not None and destination.port == port:
            yield ok(transaction.first)
        else:
            yield fault(transaction.first, f"it goes to {destination}, STUNServerPort is {port}")


def _goes(trace: Trace, transaction: Transaction, host: str, port: int | None) -> Iterator[Finding]:
    record = transaction.first
    addresses = _servers(trace, transaction.cpe, host, record)
    there = record.destination
    assert there is not None
    if there.address in addresses and port in (None, there.port):
        yield ok(record)
    else:
        known = ", ".join(sorted(addresses)) or "not resolved"
        yield fault(record, f"it goes to {there}, the STUN server is {host} ({known}), port {port}")


@check("TR111-2.2.1.1-C2", "TR111-2.2.4-T6-4b")
def without_a_server_the_acs_is_asked(trace: Trace) -> Iterator[Finding]:
    """Without STUNServerAddress the host of the ACS's URL is the STUN server, at STUN's port.

    The ACS is known by where the CPE has its sessions.
    """
    for cpe in cpes(trace):
        for setting in settings(trace, cpe):
            if not is_on(setting.values.get(ENABLE)) or setting.values.get(SERVER):
                continue
            if value_at(trace, cpe, SERVER, setting.answer):
                continue
            port = int(value_at(trace, cpe, PORT, setting.answer) or 0) or DEFAULT_PORT
            sent = [e for e in transactions(trace, cpe) if e.first.number > setting.record.number]
            if not sent and lasts(trace, setting.record, SWITCHED_ON_S):
                yield fault(setting.answer, "no STUN server is named, and the ACS is not asked")
            for each in sent:
                there = each.first.destination
                if value_at(trace, cpe, SERVER, each.first) or not was_on(trace, cpe, each.first):
                    break
                acs = _acs_addresses(trace, cpe, each.first)
                if there is not None and there.address in acs and there.port == port:
                    yield ok(each.first)
                else:
                    yield fault(
                        each.first, f"it goes to {there}, the ACS is at {', '.join(sorted(acs))}"
                    )


def _acs_addresses(trace: Trace, cpe: str, moment: Record) -> set[str]:
    """Where a CPE's ACS is: where it has its sessions.  Where it was told another URL long enough
    ago, where that leads."""
    found = set()
    moved = [each for each in settings(trace, cpe) if each.values.get("URL")]
    moved = [each for each in moved if each.record.number < moment.number]
    if moved:
        found = _servers(trace, cpe, host_of(moved[-1].values["URL"]), moment)
        if found and trace.spent_s(moved[-1].answer, moment) > MOVED_S:
            return found
    for session in sessions(trace, cpe):
        first = session.turns[0]
        if first.number < moment.number:
            if first.destination is not None:
                found.add(first.destination.address)
            host = host_of(f"http://{first.message.header('Host') or ''}")
            if host:
                found |= _servers(trace, cpe, host, moment)
    return found
