"""Who proves what by MESSAGE-INTEGRITY (TR-111 Part 2, 2.2.1.1, 2.2.2.2.1, figure 5)."""

from __future__ import annotations

from collections.abc import Iterator, Set

from testbed.conformance.bindings import (
    ADDRESS,
    PASSWORD,
    USERNAME,
    Transaction,
    all_transactions,
    cpes,
    credentials_of,
    of_every_client,
    readings,
    seconds,
    transactions,
    value_at,
)
from testbed.conformance.check import check
from testbed.conformance.checks.stun_change import SCHEDULE_S, TOLERANCE_S
from testbed.conformance.reading import (
    Connection,
    connections,
    events_of,
    has_lost,
    is_one_of,
    staged,
)
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import http, stun
from testbed.protocols.stun import Kind
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace

RESENT_S = 1.0
UNAUTHORIZED = 401
REFUSALS = (400, 430, 431, 432)
SERVERS_WORDS = ("BINDING_STORED", "TENTATIVE", "STUN_REFUSED")
"""What our STUN server tells of itself."""
STRONG_CHARACTERS = 22
"""128 bits need so many of 64 letters, and 32 hexadecimal digits are more (AMB-P2-25)."""


def _password(trace: Trace, transaction: Transaction) -> bytes:
    return (value_at(trace, transaction.cpe, PASSWORD, transaction.first) or "").encode()


def _is_right(trace: Trace, transaction: Transaction) -> bool:
    """Whether a request is signed by the STUNPassword that the ACS has set."""
    key = _password(trace, transaction)
    return bool(key) and stun.signed_by(transaction.request, key) is not None


def _challenged(trace: Trace) -> Iterator[tuple[Transaction, Record, Transaction | None]]:
    """Unsigned requests that a 401 answered, each with the next signed one from the same source."""
    for cpe in cpes(trace):
        every = transactions(trace, cpe)
        for each in every:
            refusal = next((r for r in each.arrived if r.message.error_code == UNAUTHORIZED), None)
            if refusal is None or each.request.is_signed:
                continue
            again = [
                other
                for other in every
                if other.request.is_signed
                and other.source == each.source
                and other.first.number > refusal.number
                and trace.spent_s(refusal, other.first) <= RESENT_S
            ]
            if again or trace.spent_s(refusal, trace.records[-1]) > RESENT_S:
                yield each, refusal, next(iter(again), None)


def _kept(message: stun.Message) -> set[tuple[int, bytes]]:
    """What a request must keep when it is signed; USERNAME is judged elsewhere."""
    other = (Kind.MESSAGE_INTEGRITY, Kind.USERNAME)
    return {(each.type, each.value) for each in message.attributes if each.type not in other}


@check("TR111-2.2.1.1-C7")
def challenges_are_answered(trace: Trace) -> Iterator[Finding]:
    """A 401 is followed by the same request with USERNAME and, last, a MESSAGE-INTEGRITY that
    STUNPassword verifies."""
    for each, refusal, again in _challenged(trace):
        username = value_at(trace, each.cpe, USERNAME, refusal)
        if not username or not _password(trace, each):
            continue
        if again is None:
            yield fault(refusal, "nothing signed follows")
        elif not _is_right(trace, again):
            yield fault(again.first, "MESSAGE-INTEGRITY is not that of STUNPassword")
        elif again.request.attributes[-1].type != Kind.MESSAGE_INTEGRITY:
            yield fault(again.first, "MESSAGE-INTEGRITY is not the last attribute")
        elif again.request.username is None:
            yield fault(again.first, "it has no USERNAME")
        elif not _kept(each.request) <= _kept(again.request):
            yield fault(again.first, "attributes of the first request are lost")
        else:
            yield ok(again.first)


@check("TR111-2.2.4-T6-7")
def requests_are_signed_by_stun_password(trace: Trace) -> Iterator[Finding]:
    """A signed request's key is STUNPassword."""
    for each in all_transactions(trace):
        if each.request.is_signed and _password(trace, each):
            if _is_right(trace, each):
                yield ok(each.first)
            else:
                yield fault(each.first, "MESSAGE-INTEGRITY is not that of STUNPassword")


@check("TR111-2.2.4-T6-6", supposes=("whole",))
def username_is_stun_username(trace: Trace) -> Iterator[Finding]:
    """Where USERNAME is sent it is STUNUsername."""
    for each in all_transactions(trace):
        wanted = value_at(trace, each.cpe, USERNAME, each.first)
        for record in each.copies:
            told = record.message.username
            if told is not None and told == wanted:
                yield ok(record)
            elif told is not None and wanted is not None:
                yield fault(record, f"USERNAME is {told!r}, STUNUsername is {wanted!r}")


@check(
    "TR111-2.2.4-T6-6b", needs_in={"nat_stun_auth_failure": ("no_username",)}, supposes=("whole",)
)
def nobody_signs_without_a_username(trace: Trace) -> Iterator[Finding]:
    """Without STUNUsername a 401 is answered by nothing signed."""
    for each, refusal, again in _challenged(trace):
        if value_at(trace, each.cpe, USERNAME, refusal):
            continue
        if value_at(trace, each.cpe, USERNAME, refusal) is None and each.request.username:
            continue  # it has a name that nobody was seen to set
        if again is None:
            yield ok(refusal)
        else:
            yield fault(again.first, "MESSAGE-INTEGRITY, and STUNUsername is empty")


@check("TR111-2.2.1.1-C8", needs_in={"nat_stun_auth_failure": ("forged_response",)})
def unproven_responses_do_not_count(trace: Trace) -> Iterator[Finding]:
    """A signed request whose response has a wrong MESSAGE-INTEGRITY, or none, is sent again."""
    for each in all_transactions(trace):
        key = _password(trace, each)
        success = each.success
        if not each.request.is_signed or success is None or not key:
            continue
        if stun.signed_by(success.message, key) is not None:
            yield ok(success)
            continue
        later = [copy for copy in each.copies if copy.number > success.number]
        lie = str(success.message.mapped_address)
        if believed := _told_later(trace, each, success, lie):
            yield fault(believed, f"{lie} is told, and its MESSAGE-INTEGRITY proved nothing")
        elif any(stun.signed_by(reply.message, key) is not None for reply in each.arrived):
            yield ok(success, "one that proves itself follows")
        elif later:
            yield ok(later[0], "it asks again")
        elif trace.spent_s(success, trace.records[-1]) > _next_copy_s(each, success) + TOLERANCE_S:
            yield fault(success, "its MESSAGE-INTEGRITY proves nothing, and it was believed")


def _next_copy_s(transaction: Transaction, moment: Record) -> float:
    """How long after a moment the next copy of a request is due (RFC 3489 9.3)."""
    passed_s = seconds(transaction.first, moment)
    return next((each for each in SCHEDULE_S if each > passed_s), passed_s) - passed_s


def _told_later(trace: Trace, transaction: Transaction, forged: Record, lie: str) -> Record | None:
    """Where a CPE tells its ACS what only an unproven response has said; None: nowhere."""
    honest = {
        str(reply.message.mapped_address)
        for each in transactions(trace, transaction.cpe)
        for reply in each.arrived
        if reply is not forged and isinstance(reply.message, stun.BindingResponse)
    }
    told = [
        each.record
        for each in readings(trace, transaction.cpe, ADDRESS)
        if each.record.number > forged.number and each.value == lie
    ]
    return told[0] if told and lie not in honest else None


@check("TR111-2.2.1.1-C12")
def nobody_waits_for_a_shared_secret(trace: Trace) -> Iterator[Finding]:
    """No Shared Secret Request is sent, and no TLS connection is opened to the STUN server for one:
    the secrets are provisioned."""
    for each in all_transactions(trace):
        if isinstance(each.request, stun.SharedSecretRequest):
            yield fault(each.first, "a Shared Secret Request")
        else:
            yield ok(each.first)
    for cpe in cpes(trace):
        asked = {each.first.destination for each in transactions(trace, cpe)}
        for connection in connections(trace, cpe):
            if _is_for_a_secret(connection, asked):
                yield fault(connection.syn, f"TCP to the STUN server, {connection.syn.destination}")


def _is_for_a_secret(connection: Connection, asked: Set[Endpoint | None]) -> bool:
    """Whether a connection goes where Binding Requests do, as RFC 3489 9.2 has it for Shared Secret
    Requests, or speaks TLS at another port of a STUN server.  The ACS may be at that address too:
    of its ports a name alone tells nothing."""
    if any(isinstance(each.message, http.Request) for each in connection.said):
        return False
    if connection.syn.destination in asked:
        return True
    is_there = connection.address in {each.address for each in asked if each is not None}
    is_server = is_there and is_one_of(connection.server, "stun_server")
    return is_server and connection.hello() is not None


# The server


@check("TR111-2.2.2.2.1-S1", supposes=("challenges",))
def changes_are_challenged(trace: Trace) -> Iterator[Finding]:
    """A request that says BINDING-CHANGE and proves nothing is answered 401."""
    for each in all_transactions(trace):
        if not (each.request.is_change and each.request.is_marked) or each.request.is_signed:
            continue
        for reply in each.replies:
            if reply.message.error_code == UNAUTHORIZED:
                yield ok(reply)
            else:
                yield fault(reply, f"BINDING-CHANGE is answered {reply.message.summary()!r}")


@check(
    *("TR111-2.2.2.1-S3", "TR111-2.2.2.2.1-S2"),
    needs_in={"stun_server_conformance": ("secrets",)},
)
def provisioned_passwords_prove(trace: Trace) -> Iterator[Finding]:
    """A request that STUNPassword signs is answered by a response that it signs too; any other
    signed request by an error.  Of the ways to sign only RFC 3489's must be known to a server."""
    for each in of_every_client(trace):
        if not each.request.is_signed:
            continue
        key = _key(trace, each)
        if key is None:
            continue
        how = stun.signed_by(each.request, key) if key else None
        for reply in each.replies:
            is_success = isinstance(reply.message, stun.BindingResponse)
            if any(staged(trace, reply.sender, what) for what in ("responses", "secrets")):
                continue
            if is_success and how is None:
                yield fault(reply, f"who proves nothing is answered {reply.message.summary()!r}")
            elif is_success and stun.signed_by(reply.message, key) is None:
                yield fault(reply, "the response is not signed by STUNPassword")
            elif not is_success and how is stun.Computation.RFC3489:
                yield fault(reply, f"a signed request is answered {reply.message.summary()!r}")
            else:
                yield ok(reply)


def _key(trace: Trace, transaction: Transaction) -> bytes | None:
    """The secret under which a request should be signed; b"": its name has none; None: unknown."""
    if transaction.cpe in cpes(trace):
        return _password(trace, transaction) or None
    told = credentials_of(trace, transaction.cpe)
    return told.get(transaction.request.username or "", "").encode() if told else None


@check("TR111-2.2.2.2.1-S3", needs=("", "unknown_user"))
def failures_are_errors(trace: Trace) -> Iterator[Finding]:
    """Where the server knows no such user, or another password, it answers an error, and takes no
    binding."""
    for each in all_transactions(trace):
        if not each.request.is_signed:
            continue
        for reply in each.replies:
            if not staged(trace, reply.sender, "secrets"):
                continue
            stored = [
                record
                for record in _stored(trace, reply.sender)
                if record.message.fields.get("transaction_id") == each.request.transaction_id.hex()
            ]
            if reply.message.error_code not in REFUSALS:
                yield fault(reply, f"who proves nothing is answered {reply.message.summary()!r}")
            elif stored:
                yield fault(stored[0], "a binding was taken from who proves nothing")
            else:
                yield ok(reply)


def _stored(trace: Trace, node: str | None) -> Iterator[Record]:
    """Bindings that a STUN server has taken."""
    if node is not None:
        yield from events_of(trace, node, "BINDING_STORED")


def _proofs(trace: Trace) -> Iterator[tuple[Record, Event, Transaction | None]]:
    """Each binding that a STUN server has taken, and the request that it goes by."""
    by_id = {each.request.transaction_id.hex(): each for each in all_transactions(trace)}
    for node in trace.nodes_with_role("stun_server"):
        for record in _stored(trace, node):
            assert isinstance(record.message, Event)
            identifier = str(record.message.fields["transaction_id"])
            yield record, record.message, by_id.get(identifier)


@check("TR111-2.2.2.2.1-S4", observed="told")
def what_is_stored_is_the_source(trace: Trace) -> Iterator[Finding]:
    """What the server takes as the binding is the signed request's source, as it came in."""
    for record, event, request in _proofs(trace):
        endpoint = str(event.fields["endpoint"])
        if request is None or not request.request.is_signed:
            yield fault(record, f"{endpoint} was taken, and nobody has proved it")
        elif endpoint in _sources(trace, request):
            yield ok(record, endpoint)
        else:
            yield fault(record, f"{endpoint} was taken, the request came from {request.outer}")


def _sources(trace: Trace, request: Transaction) -> set[str]:
    """Where a request's copies came from; the NAT may have got another address between two."""
    return {str(trace.arrow_of(copy).last.source) for copy in request.copies}


@check("TR111-2.2.2.2.1-S5", observed="told")
def copies_are_taken_once(trace: Trace) -> Iterator[Finding]:
    """Copies of a signed request under one transaction ID, and from one source, change the binding
    once."""
    count: dict[tuple[str, str], int] = {}
    for record, event, request in _proofs(trace):
        identifier = (str(event.fields["transaction_id"]), str(event.fields["endpoint"]))
        count[identifier] = count.get(identifier, 0) + 1
        if count[identifier] > 1:
            yield fault(record, f"taken {count[identifier]} times from the same request")
        elif request is not None and len(request.copies) > 1:
            yield ok(record, f"{len(request.copies)} copies")


@check("TR111-2.2.2.2.1-A4")
def plain_requests_can_be_challenged(trace: Trace) -> Iterator[Finding]:
    """A CPE answers a 401 to a request without BINDING-CHANGE as well."""
    for each, refusal, again in _challenged(trace):
        if each.request.is_change or not value_at(trace, each.cpe, USERNAME, refusal):
            continue
        if not _password(trace, each):
            continue  # it cannot
        if again is not None and not again.request.is_change:
            yield ok(again.first)
        else:
            yield fault(refusal, "a challenged keep-alive is not sent again, signed")


@check("TR111-2.2.2.2.1-S6")
def plain_answers_suffice(trace: Trace) -> Iterator[Finding]:
    """Keep-alives and tests of a CPE with a username are answered without a challenge, and the CPE
    is content with that: it does not ask again."""
    for each in all_transactions(trace):
        success = each.success
        plain = each.is_keep_alive or each.is_probe
        if success is None or not plain or success.message.is_signed:
            continue
        if not value_at(trace, each.cpe, USERNAME, each.first):
            continue
        if (repeated := each.repeated(trace)) is not None:
            yield fault(repeated, f"it is sent again, though {success.summary()!r} has come")
        else:
            yield ok(success)


@check("TR111-2.2.3-F5", observed="told")
def figure_5_is_kept(trace: Trace) -> Iterator[Finding]:
    """BINDING-CHANGE, 401, the same signed, the binding taken, and a signed response; nothing is
    taken before the third.  A server that tells nothing of itself is not asked what it has taken.
    """
    tells = any(r.is_event and r.message.name in SERVERS_WORDS for r in trace.records)
    taken = {str(event.fields["transaction_id"]): record for record, event, _ in _proofs(trace)}
    for each in all_transactions(trace):
        if not each.request.is_change or each.request.is_signed or not each.arrived:
            continue
        if each.arrived[0].message.error_code != UNAUTHORIZED:
            yield fault(each.arrived[0], "the second leg is no 401", ("challenges",))
    for each, refusal, again in _challenged(trace):
        if not each.request.is_change:
            continue
        if again is None or again.success is None:
            if again is not None and has_lost(trace, each.cpe, again.first, trace.records[-1]):
                continue  # it, or the answer, and nothing has come of the next copy yet
            said = "no signed request follows that is answered"
            yield fault(refusal, said, ("challenges",))
        elif not again.success.message.is_signed:
            yield fault(again.success, "the fourth leg is not signed")
        elif tells and again.request.transaction_id.hex() not in taken:
            yield fault(again.first, "the server has not taken the binding")
        else:
            yield ok(again.success)


# The ACS


@check(
    "TR111-2.2.2.2.1-A1",
    supposes=(
        "challenges",
        "whole",
    ),
)
def credentials_are_set_before_they_are_needed(trace: Trace) -> Iterator[Finding]:
    """STUNUsername and STUNPassword are set, and not empty, before a server challenges the CPE."""
    for cpe in cpes(trace):
        for each in transactions(trace, cpe):
            if not each.request.is_change:
                continue
            if value_at(trace, cpe, USERNAME, each.first) and _password(trace, each):
                yield ok(each.first)
            else:
                yield fault(each.first, "STUNUsername or STUNPassword is not set")


@check("TR111-2.2.2.2.1-A3b")
def passwords_are_strong(trace: Trace) -> Iterator[Finding]:
    """STUNPassword may hold 128 bits: it is long enough, and of more than a few characters."""
    for each in all_transactions(trace):
        password = _password(trace, each).decode()
        if not password or not each.request.is_change:
            continue
        if len(password) >= STRONG_CHARACTERS and len(set(password)) >= 8:
            yield ok(each.first)
        else:
            yield fault(each.first, f"STUNPassword has {len(password)} characters: too weak")
