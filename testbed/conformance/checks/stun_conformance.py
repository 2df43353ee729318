"""What a STUN server answers to whatever RFC 3489 lets one ask, and what it may leave out (TR-111
Part 2, 2.2.2, 2.2.2.1, 2.3).

Judged from the wire alone, whoever the server is: what one need not do gives no finding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from testbed.conformance.bindings import (
    ADDRESS,
    USERNAME,
    Transaction,
    cpes,
    credentials_of,
    of_every_client,
    readings,
    seconds,
    testers,
    transactions,
    value_at,
    was_on,
)
from testbed.conformance.check import check
from testbed.conformance.checks.stun_auth import unproven_responses_do_not_count
from testbed.conformance.index import index_of
from testbed.conformance.reading import events_of, staged
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.protocols.stun import Kind
from testbed.protocols.stun.attributes import MANDATORY_MOST
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Record
from testbed.trace.trace import Trace

ANSWERED_S = 0.4
"""Within which a server that is asked once answers."""
SERVED_S = 2.0
"""Within which a CPE that asks again and again is answered."""
UNAUTHORIZED, UNKNOWN_ATTRIBUTE = 401, 420
_KNOWN = range(Kind.MAPPED_ADDRESS, Kind.REFLECTED_FROM + 1)


# RFC 3489 as a whole


@check("TR111-2.2.2.1-S1")
def responses_are_what_rfc_3489_wants(trace: Trace) -> Iterator[Finding]:
    """MAPPED-ADDRESS is where the request came from, SOURCE-ADDRESS where the response does,
    CHANGED-ADDRESS is there, and a signed request's response is signed.  A tester's requests are
    answered as section 8.1 has it: errors by their codes, unknown attributes listed, the response
    sent where RESPONSE-ADDRESS and from where CHANGE-REQUEST say."""
    yield from _forms(trace)
    for tester in testers(trace):
        for each in transactions(trace, tester):
            is_request = isinstance(each.request, stun.BindingRequest)
            if is_request and not _may_be_ignored(trace, each):
                yield from _answered(trace, each)


def _forms(trace: Trace) -> Iterator[Finding]:
    for transaction in of_every_client(trace):
        for reply in transaction.replies:
            yield from _form(trace, transaction, reply)


def _form(trace: Trace, transaction: Transaction, reply: Record) -> Iterator[Finding]:
    message, outer = reply.message, transaction.outer
    is_success = isinstance(message, stun.BindingResponse)
    if not is_success or staged(trace, reply.sender, "responses"):
        return
    if outer is not None and message.mapped_address != outer:
        yield fault(reply, f"MAPPED-ADDRESS is {message.mapped_address}, it came from {outer}")
    elif message.source_address != reply.source:
        yield fault(
            reply, f"SOURCE-ADDRESS is {message.source_address}, it is sent from {reply.source}"
        )
    elif message.changed_address is None:
        yield fault(reply, "it has no CHANGED-ADDRESS")
    elif transaction.request.is_signed and not message.is_signed:
        yield fault(reply, "the request is signed, and the response is not")
    else:
        yield ok(reply)


def _is_lost(trace: Trace, each: Transaction) -> bool:
    """Whether a link has lost the request, or what was said to it."""
    identifier = each.request.transaction_id
    return any(
        getattr(record.message, "transaction_id", None) == identifier
        and trace.arrow_of(record).delivered is False
        for record in trace.records[each.first.number :]
    )


def _answered(trace: Trace, each: Transaction) -> Iterator[Finding]:
    """What a tester's request deserves, and what it got."""
    request, replies = each.request, each.replies
    if not replies:
        is_over = trace.spent_s(each.first, trace.records[-1]) > ANSWERED_S
        if is_over and not _is_lost(trace, each) and not _is_malformed(request):
            yield fault(each.first, "it is not answered")
        return
    reply = replies[0]
    code = reply.message.error_code
    wanted = _code(trace, each)
    if code == UNAUTHORIZED and not request.is_signed:
        return  # a server may challenge whom it likes (2.2.2.1)
    if wanted is None:
        return
    if wanted != (code or 0):
        told = f"error {wanted}" if wanted else "a Binding Response"
        yield fault(reply, f"{reply.message.summary()!r}, where {told} is due")
    elif wanted == UNKNOWN_ATTRIBUTE and {*(reply.message.unknown_attributes or ())} != {
        *_unknown(request)
    }:
        yield fault(reply, f"UNKNOWN-ATTRIBUTES lists {reply.message.unknown_attributes}")
    elif wanted:
        yield ok(reply, f"error {wanted}")
    else:
        yield from _sent_as_wanted(trace, each, reply)


def _may_be_ignored(trace: Trace, each: Transaction) -> bool:
    """CHANGE-REQUEST at a server without a second address: judged by itself."""
    node = each.first.receiver
    return each.request.change_request is not None and node is not None and _is_alone(trace, node)


def _unknown(request: stun.Message) -> list[int]:
    return [e.type for e in request.attributes if e.type <= MANDATORY_MOST and e.type not in _KNOWN]


def _is_malformed(request: stun.Message) -> bool:
    for kind, value in (
        (Kind.RESPONSE_ADDRESS, request.response_address),
        (Kind.CHANGE_REQUEST, request.change_request),
    ):
        if request.first(kind) is not None and value is None:
            return True
    return False


def _code(trace: Trace, each: Transaction) -> int | None:
    """The error code that a request deserves; 0: none; None: that is left open."""
    request = each.request
    if request.is_signed:
        if request.username is None:
            return 432
        known = credentials_of(trace, each.cpe)
        if trace.is_excerpt and not known:
            return None  # nobody tells the secrets
        secret = known.get(request.username)
        if secret is None:
            return 430
        how = stun.signed_by(request, secret.encode())
        if how is None:
            return 431
        return 0 if how is stun.Computation.RFC3489 else None
    if _unknown(request):
        return UNKNOWN_ATTRIBUTE
    return 400 if _is_malformed(request) else 0


def _sent_as_wanted(trace: Trace, each: Transaction, reply: Record) -> Iterator[Finding]:
    """Whither and whence a Binding Response goes."""
    wanted, change = each.request.response_address, each.request.change_request
    if wanted is not None and wanted.address == each.source.address:
        if reply.destination != wanted:
            yield fault(reply, f"it goes to {reply.destination}, RESPONSE-ADDRESS is {wanted}")
        elif reply.message.reflected_from != each.outer:
            yield fault(reply, f"REFLECTED-FROM is {reply.message.reflected_from}")
        else:
            yield ok(reply, "by RESPONSE-ADDRESS")
    elif change is not None:
        asked, source = each.first.destination, reply.source
        assert asked is not None
        assert source is not None
        moved = (source.address != asked.address, source.port != asked.port)
        if moved == (change.address, change.port):
            yield ok(reply, f"from {source}")
        else:
            yield fault(reply, f"it comes from {source}, {asked} was asked and CHANGE-REQUEST set")
    elif wanted is None and change is None:
        yield ok(reply)


def _is_alone(trace: Trace, node: str) -> bool:
    """Whether a node has one address only."""
    return sum(place.node == node for place in trace.addresses.places.values()) == 1


# What a server may leave out


@check("TR111-2.2.2.1-S2", needs_in={"stun_server_conformance": ("",)})
def shared_secrets_may_be_left_out(trace: Trace) -> Iterator[Finding]:
    """A Shared Secret Request by UDP gets no secret, and the server serves on."""
    for tester in testers(trace):
        every = transactions(trace, tester)
        for each in every:
            if not isinstance(each.request, stun.SharedSecretRequest):
                continue
            later = [e for e in every if e.first.number > each.first.number]
            secrets = [r for r in each.replies if isinstance(r.message, stun.SharedSecretResponse)]
            if secrets:
                yield fault(secrets[0], "a secret by UDP, which anybody may read")
            elif any(e.replies for e in later):
                yield ok(each.first, each.replies[0].summary() if each.replies else "no answer")
            elif later and trace.spent_s(later[0].first, trace.records[-1]) > ANSWERED_S:
                yield fault(later[0].first, "since a Shared Secret Request nobody is served")


@check("TR111-2.2.2.1-S6", needs=("one_address",), supposes=("one_address",))
def change_request_may_be_ignored(trace: Trace) -> Iterator[Finding]:
    """A server without a second address answers CHANGE-REQUEST from its only one."""
    for tester in testers(trace):
        for each in transactions(trace, tester):
            if not _may_be_ignored(trace, each):
                continue
            is_over = trace.spent_s(each.first, trace.records[-1]) > ANSWERED_S
            if not each.replies and is_over and not _is_lost(trace, each):
                yield fault(each.first, "CHANGE-REQUEST is not answered")
            for reply in each.replies:
                is_success = isinstance(reply.message, stun.BindingResponse)
                if reply.message.error_code == UNAUTHORIZED:
                    continue
                if is_success and reply.source == each.first.destination:
                    yield ok(reply)
                else:
                    yield fault(reply, f"{reply.message.summary()!r} from {reply.source}")


_CHOSEN = {
    "none": (),
    "binding-change": ("BINDING-CHANGE",),
    "marked": ("BINDING-CHANGE", "marked"),
    "all": ("BINDING-CHANGE", "marked", "plain"),
}
"""Kinds of requests that a policy has challenged."""


def _kind(request: stun.Message) -> str:
    if not request.is_marked:
        return "plain"
    return "BINDING-CHANGE" if request.is_change else "marked"


@check(
    "TR111-2.2.2.1-S7",
    needs_in={"stun_server_conformance": ("challenges",)},
    supposes=("challenges",),
)
def whoever_is_chosen_is_challenged(trace: Trace) -> Iterator[Finding]:
    """401 comes to exactly the kinds of requests that the server's policy names; where the policy
    is not told, requests of a kind are all challenged or none is."""
    seen: dict[tuple[str, int, str], set[bool]] = defaultdict(set)
    for each in of_every_client(trace):
        for reply in each.replies:
            is_asked = isinstance(each.request, stun.BindingRequest) and not each.request.is_signed
            challenged = reply.message.error_code == UNAUTHORIZED
            if not is_asked or reply.sender is None or staged(trace, reply.sender, "responses"):
                continue
            kind, told = _kind(each.request), _policy(trace, reply)
            earlier = seen[reply.sender, told.number if told else -1, kind]
            earlier.add(challenged)
            if told is not None:
                policy = str(told.message.fields["challenge"])
                right = challenged == (kind in _CHOSEN[policy])
            else:
                policy, right = "not told", len(earlier) == 1
            said = f"{kind}, {'challenged' if challenged else 'not challenged'}, policy {policy}"
            yield ok(reply, said) if right else fault(reply, said)


def _policy(trace: Trace, reply: Record) -> Record | None:
    """Where the server was last told whom to challenge."""
    told = [
        each
        for each in events_of(trace, str(reply.sender), "STUN_POLICY")
        if "challenge" in each.message.fields and each.number < reply.number
    ]
    return told[-1] if told else None


# Attacks


@check("TR111-2.3-S1", needs_in={"stun_server_conformance": ("", "off_path")}, supposes=("whole",))
def forgery_and_reflection_lead_nowhere(trace: Trace) -> Iterator[Finding]:
    """Nobody is sent packets for whom no trace leads back to the requester; an answer to nothing
    that was asked, and one that lacks the proof that was given, change nothing."""
    for tester in testers(trace):
        for each in transactions(trace, tester):
            wanted = each.request.response_address
            if wanted is not None and wanted.address != each.source.address:
                yield from _reflected(each, wanted)
    for cpe in cpes(trace):
        yield from _off_path(trace, cpe)
    yield from unproven_responses_do_not_count(trace)


def _reflected(each: Transaction, wanted: Endpoint) -> Iterator[Finding]:
    """RFC 3489 12.1.1: REFLECTED-FROM makes the attacker known; AMB-P2-04: better not at all."""
    for reply in each.replies:
        assert reply.destination is not None
        if reply.destination.address != wanted.address:
            yield ok(reply, f"{wanted} is spared")
        elif reply.message.reflected_from != each.outer:
            yield fault(reply, f"{wanted} is sent a response that tells nobody's address")


def _off_path(trace: Trace, cpe: str) -> Iterator[Finding]:
    asked = {each.request.transaction_id for each in transactions(trace, cpe)}
    for record in index_of(trace).of_node.get(cpe, ()):
        message = record.message
        if not isinstance(message, stun.BindingResponse) or record.receiver != cpe:
            continue
        lie = message.mapped_address
        if message.transaction_id in asked or lie is None:
            continue
        said = [
            reading.record
            for reading in readings(trace, cpe, ADDRESS)
            if reading.record.number > record.number and reading.value == str(lie)
        ]
        changed = [
            each.first
            for each in transactions(trace, cpe)
            if each.request.is_change and 0 < seconds(record, each.first) < 1.0
        ]
        if said or changed:
            yield fault((said or changed)[0], f"{lie} is believed, and nobody had been asked")
        else:
            yield ok(record, "not believed")


# The ACS


@check("TR111-2.2.2-A1", needs_in={"stun_server_conformance": ("", "at_the_acs")})
def acs_has_a_stun_server(trace: Trace) -> Iterator[Finding]:
    """Where an ACS sends a CPE, a STUN server answers, and believes what the ACS has set."""
    if any(staged(trace, node, "stun_server") for node in trace.nodes_with_role("hms")):
        return
    for cpe in cpes(trace):
        asked = [each for each in transactions(trace, cpe) if was_on(trace, cpe, each.first)]
        for each in asked:
            if each.replies and (not each.request.is_signed or _is_proved(each)):
                yield ok(each.replies[0])
            elif each.replies and not staged(trace, each.replies[0].sender, "secrets"):
                name = value_at(trace, cpe, USERNAME, each.first)
                yield fault(each.replies[0], f"the STUN server does not know {name}'s password")
        # What a NAT has refused reached nobody who could have answered.
        reached = [each for each in asked if each.outer is not None]
        if reached and not any(each.replies for each in asked):
            first = reached[0].first
            if trace.spent_s(first, trace.records[-1]) > SERVED_S:
                yield fault(first, f"no STUN server answers at {first.destination}")


def _is_proved(each: Transaction) -> bool:
    return any(isinstance(r.message, stun.BindingResponse) for r in each.replies)
