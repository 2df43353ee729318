"""What a CPE's Binding Requests hold, and whence they come (TR-111 Part 2, 2.2.1)."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.bindings import (
    ADDRESS,
    USERNAME,
    Transaction,
    all_transactions,
    cpes,
    is_off,
    lasts,
    readings,
    seconds,
    settings,
    starts_anew,
    transactions,
    value_at,
)
from testbed.conformance.check import check
from testbed.conformance.checks.stun_state import address_is_the_binding
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.trace.record import Record
from testbed.trace.trace import Trace

AT_ONCE_S = 1.0
"""What "immediately" means (AMB-P2-30)."""
READ_WITHIN_S = 0.25
"""For how long a busy CPE may leave a response unread."""


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
    """Marked requests carry USERNAME, equal to STUNUsername; none where that is empty.

    A name that nobody was seen to set may be the CPE's own: then nothing is said.
    """
    for transaction in all_transactions(trace):
        known = value_at(trace, transaction.cpe, USERNAME, transaction.first)
        wanted, supposes = known or "", ("whole",) if known is None else ()
        for record in transaction.copies:
            message = record.message
            if not message.is_marked or (known is None and message.username):
                continue
            if (message.username or "") == wanted:
                yield ok(record)
            else:
                told = "no USERNAME" if message.username is None else repr(message.username)
                yield fault(record, f"it has {told}, STUNUsername is {wanted!r}", supposes)


@check("TR111-2.2.1.3-C6", supposes=("whole",))
def changes_are_told_at_once(trace: Trace) -> Iterator[Finding]:
    """The next request from the primary endpoint after a response that shows a first or another
    translated binding is marked and has BINDING-CHANGE, within a second (AMB-P2-30).  The first one
    after STUN was off is a first one again.

    Responses to BINDING-CHANGE itself that show nothing new ask for nothing.  A copy of a request
    that was under way already is no next one, nor is a keep-alive that was just due: either may
    cross the response.
    """
    for cpe in cpes(trace):
        known, since = None, -1
        off = [e.answer.number for e in settings(trace, cpe) if is_off(e)]
        primary = [each for each in transactions(trace, cpe) if each.is_primary]
        for transaction in primary:
            success = transaction.success
            mapped = None if success is None else success.message.mapped_address
            if any(since < number < _at(transaction) for number in off):
                known = None
            since = _at(transaction)
            if success is None or mapped is None or mapped == known:
                continue
            is_first, known = known is None, mapped
            if is_first and mapped == transaction.source:
                continue  # AMB-P2-09: without translation it is left to the CPE
            later = [
                each.first
                for each in primary
                if each.first.number > success.number and not _crosses(trace, success, each)
            ]
            following = min(later, key=lambda record: record.number, default=None)
            if following is None:
                if lasts(trace, success, AT_ONCE_S):
                    yield fault(success, f"{mapped} is new, and no BINDING-CHANGE follows")
                continue
            message, passed_s = following.message, seconds(success, following)
            is_at_once = trace.spent_s(success, following) <= AT_ONCE_S
            if message.is_change and message.is_marked and is_at_once:
                yield ok(following, f"{passed_s * 1000:.1f} ms after {mapped} was learnt")
            else:
                yield fault(
                    following,
                    f"{mapped} was learnt {passed_s:.3f} s before; the next request is "
                    f"{message.summary()!r}",
                )


def _crosses(trace: Trace, success: Record, other: Transaction) -> bool:
    """Whether a keep-alive may have been sent before the CPE had read a response."""
    return other.is_keep_alive and trace.spent_s(success, other.first) < READ_WITHIN_S


@check("TR111-2.2.1-C4", supposes=("whole",))
def binding_is_indicated_and_told(trace: Trace) -> Iterator[Finding]:
    """Both attributes are there, the one on every request from the primary endpoint and the other
    on a changed binding, and UDPConnectionRequestAddress is the binding."""
    yield from primary_requests_are_marked(trace)
    yield from changes_are_told_at_once(trace)
    yield from address_is_the_binding(trace)


@check("TR111-2.2.1.3-C8", supposes=("whole",))
def only_changes_say_change(trace: Trace) -> Iterator[Finding]:
    """There are no more BINDING-CHANGE transactions than changes, and none from elsewhere than the
    primary endpoint; answers to a challenge belong to what was challenged, which said so too.

    After a start, and after STUN was off, the binding is determined for the first time again.
    """
    for cpe in cpes(trace):
        shown: list[tuple[int, object]] = []
        for each in transactions(trace, cpe):
            success = each.success
            if each.is_primary and success is not None and not each.is_probe:
                shown.append(
                    (success.number, (each.source.address, success.message.mapped_address))
                )
        said, address = 0, None
        again = starts_anew(trace, cpe)
        for each in transactions(trace, cpe):
            message = each.request
            if not message.is_change:
                yield ok(each.first)
                continue
            if message.is_signed:
                asked = _challenged_before(trace, each)
                if asked is not None and not asked.request.is_change:
                    yield fault(each.first, "BINDING-CHANGE, and what was challenged had none")
                continue
            if address in (None, each.source.address):
                said += 1  # from another address of its own everything is new
            address = each.source.address
            before = [mapped for number, mapped in sorted(shown, key=_number) if number < _at(each)]
            changes = sum(a != b for a, b in zip([None, *before], before, strict=False))
            changes += sum(number < _at(each) for number in again)
            if said <= changes and each.is_primary:
                yield ok(each.first, f"change {said}")
            else:
                yield fault(
                    each.first, f"BINDING-CHANGE number {said}, and {changes} changes were seen"
                )


def _challenged_before(trace: Trace, signed: Transaction) -> Transaction | None:
    """The unsigned request from the same endpoint whose 401 came last before a signed one."""
    asked = None
    for each in transactions(trace, signed.cpe):
        is_asked = any(r.message.error_code == 401 and r.number < _at(signed) for r in each.arrived)
        if is_asked and each.source == signed.source and not each.request.is_signed:
            asked = each
    return asked


def _number(entry: tuple[int, object]) -> int:
    return entry[0]


def _at(transaction: Transaction) -> int:
    return transaction.first.number


@check("TR111-2.2.1.1-C3", supposes=("whole",))
def discovery_and_probes_have_a_port_each(trace: Trace) -> Iterator[Finding]:
    """Discovery and maintenance come from one endpoint, tests of the lifetime from another; where
    the CPE has told its own address before it was answered, that is where it listens."""
    for cpe in cpes(trace):
        every = transactions(trace, cpe)
        yield from _comes_from_where_it_listens(trace, cpe, every)
        primary = next((each.source.port for each in every if not each.is_probe), None)
        for each in every:
            is_same = each.source.port == primary
            if is_same != each.is_test:
                yield ok(each.first)
            elif each.is_test:
                yield fault(each.first, f"a test comes from port {primary}, as all else does")
            else:
                yield fault(each.first, f"it comes from {each.source}, the first from {primary}")


def _comes_from_where_it_listens(
    trace: Trace, cpe: str, every: list[Transaction]
) -> Iterator[Finding]:
    marked = [each for each in every if each.request.is_marked]
    if not marked:
        return
    first = marked[0]
    told = [
        each.value
        for each in readings(trace, cpe, ADDRESS)
        if each.record.number < first.first.number
    ]
    host, _, port = told[-1].rpartition(":") if told else ("", "", "")
    if host == first.source.address and port.isdecimal() and int(port) != first.source.port:
        yield fault(first.first, f"it comes from {first.source}, the CPE listens at {told[-1]}")


@check("TR111-2.2.1.1-C10", supposes=("whole",))
def nothing_is_signed_unasked(trace: Trace) -> Iterator[Finding]:
    """A signed request follows a 401 that reached the same endpoint, one for each request that was
    so answered: copies of a 401 ask for nothing more."""
    for cpe in cpes(trace):
        asked: dict[object, list[int]] = {}
        for each in transactions(trace, cpe):
            refused = [r.number for r in each.arrived if r.message.error_code == 401]
            if refused:
                asked.setdefault(each.source, []).append(refused[0])
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
