"""What an ACS puts into UDP Connection Requests, by what it has set in the CPE before (TR-111
Part 2, 2.2.2.3): the table of the query, computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from testbed.conformance.asked import REQUEST_KEY, REQUEST_NAME
from testbed.conformance.bindings import PASSWORD, USERNAME, cpes, value_at
from testbed.conformance.check import check
from testbed.conformance.reading import staged
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.udp_connection_request import NAMES, UdpConnectionRequest, signature_of
from testbed.trace.record import Record
from testbed.trace.trace import Trace

HEXADECIMAL_DIGITS = 40
SEPARATORS = ("", "&", ":", ",", " ")


def _requests(trace: Trace) -> Iterator[tuple[Record, UdpConnectionRequest, str]]:
    """Each request where it was sent first, and whom it reached; senders that the scenario has
    forge or replay are left out."""
    known = set(cpes(trace))
    for record in trace.all(UdpConnectionRequest):
        arrow = trace.arrow_of(record)
        forged = staged(trace, record.sender, "forges") or staged(trace, record.sender, "replays")
        if arrow.first is record and not forged and arrow.end in known:
            yield record, record.message, str(arrow.end)


@check("TR111-2.2.2.3-T-un", supposes=("whole",))
def un_is_what_was_set(trace: Trace) -> Iterator[Finding]:
    """un is the ConnectionRequestUsername that the ACS has set last in the CPE that it asks."""
    for record, request, cpe in _requests(trace):
        told, wanted = request.value("un"), value_at(trace, cpe, REQUEST_NAME, record)
        if wanted is None or told is None:
            continue
        if told == wanted:
            yield ok(record, told)
        elif told == value_at(trace, cpe, USERNAME, record):
            yield fault(record, f"un is STUNUsername, {told!r}")
        else:
            yield fault(record, f"un is {told!r}, ConnectionRequestUsername is {wanted!r}")


@check("TR111-2.2.2.3-T-cn", needs=("twice",))
def cn_is_random(trace: Trace) -> Iterator[Finding]:
    """cn is another one in each request that is no copy."""
    before: dict[str, UdpConnectionRequest] = {}
    for record, request, cpe in _requests(trace):
        cn, last = request.value("cn"), before.get(cpe)
        if not cn:
            continue
        before[cpe] = request
        if last is None or any(last.value(each) == request.value(each) for each in ("id", "ts")):
            continue
        if last.value("cn") == cn:
            yield fault(record, f"cn is {cn!r}, as in the request before")
        else:
            yield ok(record, cn)


def _signed(trace: Trace) -> Iterator[tuple[Record, UdpConnectionRequest, str, str]]:
    """Requests whose signature can be computed anew: with the key and the CPE."""
    for record, request, cpe in _requests(trace):
        key = value_at(trace, cpe, REQUEST_KEY, record)
        sig = request.value("sig") or ""
        is_whole = len(sig) == HEXADECIMAL_DIGITS and all(request.value(n) for n in NAMES)
        if key and is_whole:
            yield record, request, cpe, key


def _values(request: UdpConnectionRequest) -> tuple[str, ...]:
    return tuple(request.value(name) or "" for name in NAMES[:4])


def _is(request: UdpConnectionRequest, key: str, text: str) -> bool:
    return signature_of(key, text) == (request.value("sig") or "").upper()


def _other_text(request: UdpConnectionRequest, key: str) -> str | None:
    """The text that was signed, where it is another one of the same values; None: it is not."""
    values = _values(request)
    named = [f"{name}={value}" for name, value in zip(NAMES, values, strict=False)]
    for separator in SEPARATORS:
        for parts in (*permutations(values), named):
            text = separator.join(parts)
            if text != "".join(values) and _is(request, key, text):
                return text
    return None


@check("TR111-2.2.2.3-T-sigkey", supposes=("whole",))
def key_is_the_password(trace: Trace) -> Iterator[Finding]:
    """The key is the ConnectionRequestPassword that the ACS has set last."""
    for record, request, cpe, key in _signed(trace):
        text = "".join(_values(request))
        if _is(request, key, text) or _other_text(request, key) is not None:
            yield ok(record)
            continue
        others = {
            "STUNPassword": value_at(trace, cpe, PASSWORD, record) or "",
            "ConnectionRequestUsername": value_at(trace, cpe, REQUEST_NAME, record) or "",
            "empty, as the password is read back": "",
        }
        which = [name for name, other in others.items() if _is(request, other, text)]
        told = f"the key is {which[0]}" if which else "sig is of another key than"
        yield fault(record, f"{told}: ConnectionRequestPassword is the key")


@check("TR111-2.2.2.3-T-sigtext")
def text_is_the_four_values(trace: Trace) -> Iterator[Finding]:
    """The text is ts, id, un and cn, decoded, in this order, with nothing between them."""
    for record, request, _, key in _signed(trace):
        if _is(request, key, "".join(_values(request))):
            yield ok(record)
            continue
        other = _other_text(request, key)
        if other is not None:
            yield fault(record, f"the text that is signed is {other!r}")


@check("TR111-2.2.2.3-EX")
def requests_read_as_the_example(trace: Trace) -> Iterator[Finding]:
    """A Request-URI has the parts of the document's example: scheme and authority, no path, and a
    query of the five pairs; cut at these places and put together it is the same again."""
    for record, request, _ in _requests(trace):
        scheme, _, _ = request.uri.partition(":")
        query = request.uri.partition("?")[2]
        names = [part.partition("=")[0] for part in query.split("&")]
        again = f"{scheme}://{request.authority}?{query}"
        if request.uri != again or scheme.lower() != "http":
            yield fault(record, f"{request.uri[:60]!r} is not http://AUTHORITY?QUERY")
        elif sorted(names) != sorted(NAMES):
            yield fault(record, f"the query has {', '.join(names)}")
        else:
            yield ok(record)
