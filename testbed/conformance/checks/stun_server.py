"""What a STUN server answers (TR-111 Part 2, 2.2.2.1), and figure 3 as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.bindings import (
    USERNAME,
    Transaction,
    all_transactions,
    cpes,
    of_every_client,
    transactions,
    value_at,
)
from testbed.conformance.check import check
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Record
from testbed.trace.trace import Trace

UNAUTHORIZED = 401


def _exchanges(trace: Trace) -> Iterator[tuple[Transaction, Record]]:
    """Every reply of a server, where it left that, with what it replies to."""
    for transaction in of_every_client(trace):
        for reply in transaction.replies:
            yield transaction, reply


def _asked(transaction: Transaction) -> Endpoint:
    """Where the request was sent to."""
    assert transaction.first.destination is not None
    return transaction.first.destination


@check("TR111-2.2.1.3-C2")
def servers_ignore_what_is_optional(trace: Trace) -> Iterator[Finding]:
    """A request with 0xC001 or 0xC002 is not answered 420 because of these."""
    for transaction, reply in _exchanges(trace):
        message = reply.message
        if not transaction.request.is_marked:
            continue
        listed = set(message.unknown_attributes or ())
        ours = {stun.Kind.CONNECTION_REQUEST_BINDING, stun.Kind.BINDING_CHANGE}
        if message.error_code == 420 and (not listed or listed & ours):
            yield fault(reply, "420 for attributes above 0x7FFF, which are to be ignored")
        else:
            yield ok(reply)


@check("TR111-2.2.2.1-S4")
def responses_come_from_where_was_asked(trace: Trace) -> Iterator[Finding]:
    """A response comes from the address and port that the request was sent to, unless it had
    CHANGE-REQUEST."""
    for transaction, reply in _exchanges(trace):
        if transaction.request.change_request is not None:
            continue
        if reply.source == _asked(transaction):
            yield ok(reply)
        else:
            yield fault(reply, f"it comes from {reply.source}, {_asked(transaction)} was asked")


@check("TR111-2.2.2.1-S5", supposes=("one_address",))
def changed_address_is_the_primary_one(trace: Trace) -> Iterator[Finding]:
    """A server that has no second address says its own in CHANGED-ADDRESS.

    Whether it has one is known by its addresses in the topology; one that has shows nothing.
    """
    for transaction, reply in _exchanges(trace):
        if isinstance(reply.message, stun.BindingResponse) and _is_alone(trace, reply):
            changed = reply.message.changed_address
            if changed == _asked(transaction):
                yield ok(reply)
            else:
                yield fault(reply, f"CHANGED-ADDRESS is {changed}, not {_asked(transaction)}")


def _is_alone(trace: Trace, reply: Record) -> bool:
    """Whether the sender has one address only."""
    places = trace.addresses.places.values()
    return sum(place.node == reply.sender for place in places) == 1


@check("TR111-2.2.3-0", supposes=("one_address",))
def endpoints_are_what_the_figures_say(trace: Trace) -> Iterator[Finding]:
    """(A1', P1') and (A1', P2') differ; a server without a second address says (A3, P3) in
    CHANGED-ADDRESS."""
    yield from changed_address_is_the_primary_one(trace)
    for cpe in cpes(trace):
        mapped = {
            each.outer
            for each in transactions(trace, cpe)
            if each.is_primary and not each.is_probe and each.outer is not None
        }
        for each in transactions(trace, cpe):
            if not each.is_probe or each.outer is None:
                continue
            if each.outer in mapped:
                yield fault(each.first, f"primary and secondary endpoint are both {each.outer}")
            else:
                yield ok(each.first)


@check("TR111-2.2.3-F3")
def figure_3_is_kept(trace: Trace) -> Iterator[Finding]:
    """A discovery or keep-alive request from the primary port is marked, names the CPE, reaches
    the server, and its Binding Response with (A1', P1') reaches the CPE.  Nobody is challenged.

    Requests that a server never saw, or that are on their way when the trace ends, say nothing.
    """
    for each in all_transactions(trace):
        if not each.is_keep_alive or not each.replies:
            continue
        known = value_at(trace, each.cpe, USERNAME, each.first)
        wanted = each.request.username or "" if known is None else known
        reply = each.replies[0]
        message = reply.message
        if not each.request.is_marked:
            yield fault(each.first, "it has no CONNECTION-REQUEST-BINDING", ("whole",))
        elif (each.request.username or "") != wanted:
            yield fault(each.first, f"USERNAME is not {wanted!r}")
        elif message.error_code == UNAUTHORIZED:
            said = f"it is answered {message.summary()!r}"
            yield fault(reply, said, ("no_challenges",))
        elif not isinstance(message, stun.BindingResponse):
            yield fault(reply, f"it is answered {message.summary()!r}")
        elif each.outer is None and trace.is_excerpt:
            continue  # what a NAT made of it is not to be seen
        elif message.mapped_address != each.outer:
            yield fault(reply, f"MAPPED-ADDRESS is {message.mapped_address}, not {each.outer}")
        elif each.arrived and each.arrived[0].destination != each.source:
            yield fault(each.arrived[0], f"it comes to {each.arrived[0].destination}")
        elif each.arrived:
            yield ok(each.arrived[0])


@check(
    "TR111-2.2.1.1-C11",
    needs=("", "bare_server"),
    needs_in={"nat_timeout_discovery": (), "stun_server_conformance": ()},
)
def clients_need_no_optional_addresses(trace: Trace) -> Iterator[Finding]:
    """A response counts with and without CHANGED-ADDRESS, SOURCE-ADDRESS and REFLECTED-FROM: no
    copy of its request follows it."""
    for each in all_transactions(trace):
        success = each.success
        if success is None or each.is_probe:
            continue
        if (repeated := each.repeated(trace)) is not None:
            yield fault(repeated, f"it is sent again, though {success.summary()!r} has come")
        else:
            yield ok(success)
