"""What a CPE's Binding Requests hold, whence they come and where they go (TR-111 Part 2, 2.2.1)."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.asked import BOOT
from testbed.conformance.associations import event_codes
from testbed.conformance.bindings import (
    ENABLE,
    PORT,
    SERVER,
    USERNAME,
    Transaction,
    all_transactions,
    cpes,
    is_on,
    seconds,
    settings,
    transactions,
    value_at,
    was_on,
)
from testbed.conformance.check import check
from testbed.conformance.reading import has_lost, host_of, is_address, lookups, plain_name
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.trace.record import Record
from testbed.trace.trace import Trace

AT_ONCE_S = 1.0
"""What "immediately" means (AMB-P2-30)."""
SWITCHED_ON_S = 2.0
"""Within which a CPE whose STUN is switched on sends its first request."""
DEFAULT_PORT = 3478


def _marks(trace: Trace) -> Iterator[tuple[Record, stun.Attribute]]:
    """Every CONNECTION-REQUEST-BINDING, in each copy."""
    for transaction in all_transactions(trace):
        for record in transaction.copies:
            for each in record.message.attributes:
                if each.type == stun.Kind.CONNECTION_REQUEST_BINDING:
                    yield record, each


@check("TR111-2.2.1.3-T5-1")
def mark_has_its_value(trace: Trace) -> Iterator[Finding]:
    """CONNECTION-REQUEST-BINDING is "dslforum.org/TR-111 ", octet by octet.

    Devices in the field lose the space at its end, or end it with a NUL.
    """
    for record, mark in _marks(trace):
        if mark.value == stun.CONNECTION_REQUEST_BINDING_VALUE:
            yield ok(record)
        else:
            yield fault(record, f"CONNECTION-REQUEST-BINDING holds {mark.value!r}")


@check("TR111-2.2.1.3-T5-1b")
def mark_has_its_length(trace: Trace) -> Iterator[Finding]:
    """Its Length is 20, and the next attribute begins right behind it."""
    for record, mark in _marks(trace):
        if len(mark.value) == 20 and not mark.padding:
            yield ok(record)
        else:
            padding = f", {len(mark.padding)} of padding follow" if mark.padding else ""
            yield fault(record, f"its Length is {len(mark.value)}{padding}; it is to be 20")


@check("TR111-2.2.1.3-C3", supposes=("whole",))
def primary_requests_are_marked(trace: Trace) -> Iterator[Finding]:
    """Every request from the primary endpoint has CONNECTION-REQUEST-BINDING, copies included."""
    for transaction in all_transactions(trace):
        is_binding = isinstance(transaction.request, stun.BindingRequest)
        if not (transaction.is_primary and is_binding):
            continue
        for record in transaction.copies:
            if record.message.is_marked:
                yield ok(record)
            else:
                yield fault(
                    record, f"a request from {record.source} has no CONNECTION-REQUEST-BINDING"
                )


@check("TR111-2.2.1.3-C5")
def marked_requests_name_the_cpe(trace: Trace) -> Iterator[Finding]:
    """Marked requests carry USERNAME, equal to STUNUsername; none where that is empty."""
    for transaction in all_transactions(trace):
        known = value_at(trace, transaction.cpe, USERNAME, transaction.first)
        wanted, supposes = known or "", ("whole",) if known is None else ()
        for record in transaction.copies:
            message = record.message
            if not message.is_marked:
                continue
            if (message.username or "") == wanted:
                yield ok(record)
            else:
                told = "no USERNAME" if message.username is None else repr(message.username)
                yield fault(record, f"it has {told}, STUNUsername is {wanted!r}", supposes)


@check("TR111-2.2.1.3-C6", "TR111-2.2.1-C4", supposes=("whole",))
def changes_are_told_at_once(trace: Trace) -> Iterator[Finding]:
    """The next request from the primary endpoint after a response that shows a first or another
    translated binding is marked and has BINDING-CHANGE, within a second (AMB-P2-30).

    Responses to BINDING-CHANGE itself that show nothing new ask for nothing.  A copy of a request
    that was under way already is no next one: it may cross the response.
    """
    for cpe in cpes(trace):
        known = None
        primary = [each for each in transactions(trace, cpe) if each.is_primary]
        for transaction in primary:
            success = transaction.success
            mapped = None if success is None else success.message.mapped_address
            if success is None or mapped is None or mapped == known:
                continue
            is_first, known = known is None, mapped
            if is_first and mapped == transaction.source:
                continue  # AMB-P2-09: without translation it is left to the CPE
            later = [each.first for each in primary if each.first.number > success.number]
            following = min(later, key=lambda record: record.number, default=None)
            if following is None:
                if _lasts(trace, success, AT_ONCE_S):
                    yield fault(success, f"{mapped} is new, and no BINDING-CHANGE follows")
                continue
            message, passed_s = following.message, seconds(success, following)
            if message.is_change and message.is_marked and passed_s <= AT_ONCE_S:
                yield ok(following, f"{passed_s * 1000:.1f} ms after {mapped} was learnt")
            else:
                yield fault(
                    following,
                    f"{mapped} was learnt {passed_s:.3f} s before; the next request is "
                    f"{message.summary()!r}",
                )


def _lasts(trace: Trace, since: Record, how_long_s: float) -> bool:
    """Whether the trace goes on for so long after a record."""
    return bool(trace.records) and seconds(since, trace.records[-1]) > how_long_s


@check("TR111-2.2.1.3-C8", supposes=("whole",))
def only_changes_say_change(trace: Trace) -> Iterator[Finding]:
    """There are no more BINDING-CHANGE transactions than changes, and none from elsewhere than the
    primary endpoint; answers to a challenge belong to what was challenged."""
    for cpe in cpes(trace):
        shown: list[tuple[int, object]] = [
            (each.inform.number, None)  # whoever starts anew has forgotten what he knew
            for each in sessions(trace, cpe)
            if each.inform is not None and BOOT in event_codes(each)
        ]
        for each in transactions(trace, cpe):
            success = each.success
            if each.is_primary and success is not None and not each.is_probe:
                shown.append(
                    (success.number, (each.source.address, success.message.mapped_address))
                )
        said, address = 0, None
        for each in transactions(trace, cpe):
            message = each.request
            if not message.is_change or message.is_signed:
                if not message.is_change:
                    yield ok(each.first)
                continue
            if address in (None, each.source.address):
                said += 1  # from another address of its own everything is new
            address = each.source.address
            before = [mapped for number, mapped in sorted(shown, key=_number) if number < _at(each)]
            changes = sum(b not in (None, a) for a, b in zip([None, *before], before, strict=False))
            if said <= changes and each.is_primary:
                yield ok(each.first, f"change {said}")
            else:
                yield fault(
                    each.first, f"BINDING-CHANGE number {said}, and {changes} changes were seen"
                )


def _number(entry: tuple[int, object]) -> int:
    return entry[0]


def _at(transaction: Transaction) -> int:
    return transaction.first.number


@check("TR111-2.2.1.1-C3", supposes=("whole",))
def discovery_and_probes_have_a_port_each(trace: Trace) -> Iterator[Finding]:
    """Discovery and maintenance come from one endpoint, tests of the lifetime from another."""
    for cpe in cpes(trace):
        every = transactions(trace, cpe)
        primary = next((each.source.port for each in every if not each.is_probe), None)
        for each in every:
            is_same = each.source.port == primary
            if is_same != each.is_test:
                yield ok(each.first)
            elif each.is_test:
                yield fault(each.first, f"a test comes from port {primary}, as all else does")
            else:
                yield fault(each.first, f"it comes from {each.source}, the first from {primary}")


@check("TR111-2.2.1.1-C10", supposes=("whole",))
def nothing_is_signed_unasked(trace: Trace) -> Iterator[Finding]:
    """A signed request follows a 401 that reached the same endpoint, one for each."""
    for cpe in cpes(trace):
        asked: dict[object, list[int]] = {}
        for each in transactions(trace, cpe):
            for reply in each.arrived:
                if reply.message.error_code == 401:
                    asked.setdefault(each.source, []).append(reply.number)
        for each in transactions(trace, cpe):
            if not each.request.is_signed:
                yield ok(each.first)
                continue
            before = [number for number in asked.get(each.source, []) if number < _at(each)]
            if before:
                asked[each.source].remove(before[0])
                yield ok(each.first, "after a 401")
            else:
                yield fault(each.first, "MESSAGE-INTEGRITY, and no 401 asked for it")


@check("TR111-2.2-P5", supposes=("whole",))
def probes_wait_for_a_translation(trace: Trace) -> Iterator[Finding]:
    """The lifetime is tested only once a translation has been found."""
    for cpe in cpes(trace):
        for each in transactions(trace, cpe):
            if not each.is_probe:
                continue
            found = [
                other
                for other in transactions(trace, cpe)
                if not other.is_probe
                and other.success is not None
                and other.success.number < _at(each)
                and other.success.message.mapped_address != other.source
            ]
            if found:
                yield ok(each.first)
            else:
                yield fault(each.first, "the lifetime is tested, and no translation was found yet")


# Where they go


@check("TR111-2.2-P4", supposes=("whole",))
def requests_wait_for_stun_to_be_enabled(trace: Trace) -> Iterator[Finding]:
    """The ACS sets STUNEnable before the first Binding Request, and none is sent while it is off.

    A CPE whose ACS never sets it may have it on by factory default: it shows nothing.
    """
    for cpe in cpes(trace):
        ever = any(ENABLE in each.values for each in settings(trace, cpe))
        for each in transactions(trace, cpe) if ever else ():
            if was_on(trace, cpe, each.first):
                yield ok(each.first)
            else:
                yield fault(each.first, "a Binding Request, and STUNEnable is not set")


@check("TR111-2.2.1-C1", "TR111-2.2.4-T6-3")
def enabling_starts_discovery(trace: Trace) -> Iterator[Finding]:
    """Once STUNEnable is set, a Binding Request follows within two seconds, without a reboot."""
    for cpe in cpes(trace):
        for setting in settings(trace, cpe):
            if not is_on(setting.values.get(ENABLE)):
                continue
            before = [e for e in transactions(trace, cpe) if _at(e) < setting.record.number]
            if before and value_at(trace, cpe, ENABLE, setting.record) is None:
                continue  # it was on already, by factory default
            sent = [
                each.first for each in transactions(trace, cpe) if _at(each) > setting.record.number
            ]
            if sent and seconds(setting.record, sent[0]) <= SWITCHED_ON_S:
                yield ok(sent[0], f"{seconds(setting.record, sent[0]):.3f} s after it was enabled")
            elif sent and has_lost(trace, cpe, setting.record, sent[0]):
                continue  # whose name it asked for again, or whose setting came late
            elif sent or _lasts(trace, setting.record, SWITCHED_ON_S):
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
    """The UDP destination port is STUNServerPort."""
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
            acs = _acs_addresses(trace, cpe, setting.record)
            sent = [e for e in transactions(trace, cpe) if _at(e) > setting.record.number]
            if not sent and _lasts(trace, setting.record, SWITCHED_ON_S):
                yield fault(setting.answer, "no STUN server is named, and the ACS is not asked")
            for each in sent:
                there = each.first.destination
                if there is not None and there.address in acs and there.port == port:
                    yield ok(each.first)
                else:
                    yield fault(
                        each.first, f"it goes to {there}, the ACS is at {', '.join(sorted(acs))}"
                    )


def _acs_addresses(trace: Trace, cpe: str, moment: Record) -> set[str]:
    found = set()
    for session in sessions(trace, cpe):
        first = session.turns[0]
        if first.number < moment.number:
            if first.destination is not None:
                found.add(first.destination.address)
            host = host_of(f"http://{first.message.header('Host') or ''}")
            if host:
                found |= _servers(trace, cpe, host, moment)
    return found
