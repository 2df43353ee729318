"""How a device gets its package, and what follows (OMA DM bootstrap 1.3, 5.4.7 and 5.4.7.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from urllib.parse import urlsplit

from testbed.conformance.bootstraps import (
    PATH,
    Bootstrap,
    Fetch,
    bootstraps,
    is_card,
    is_clear,
    packages_of,
    path_of,
    server_of,
    understood,
)
from testbed.conformance.check import check
from testbed.conformance.reading import host_of, plain_name, staged
from testbed.conformance.verdict import Finding, fault, ok
from testbed.trace.record import Record
from testbed.trace.trace import Trace

STATUSES = (200, 400, 404)
ANSWERS_WITHIN_S = 1.0
"""A device that hangs up sooner has not waited for its answer."""


@check("OMA-5.4.7-B0")
def package_comes_by_https(trace: Trace) -> Iterator[Finding]:
    """A device fetches its package by HTTPS; one without HTTPS opens no connection for it.

    Violation: a request in clear.
    """
    for bootstrap in bootstraps(trace):
        told = bootstrap.told
        for fetch in bootstrap.fetches:
            if told is not None and not told.uses_https:
                yield fault(fetch.syn, "connects, and speaks no HTTPS")
            for request, _ in fetch.requests:
                if is_clear(fetch.connection, request):
                    yield fault(request, "asks for the package in clear")
                else:
                    yield ok(request, "over TLS")
        failed = bootstrap.event("FAILED")
        if told is not None and not told.uses_https and not bootstrap.fetches and failed:
            yield ok(failed, "no HTTPS, no connection")


@check("OMA-5.4.7-B1", supposes=("telling",))
def one_get_to_the_url(trace: Trace) -> Iterator[Finding]:
    """One GET of the bootstrap URL's path, with its Host, after TLS and after the URL is known.

    Another server may be tried where one does not answer, and nobody once one has (AMB-OMA-05).
    Violation: another method, path or Host, a further request, clear text.
    """
    for bootstrap in bootstraps(trace):
        known = next((each.answer for each in bootstrap.served()), None)
        told_url = bootstrap.told.url if bootstrap.told else ""
        answered: Record | None = None
        for fetch in bootstrap.fetches:
            for number, (request, response) in enumerate(fetch.requests, 1):
                problem = _problem(request, told_url)
                if problem:
                    pass
                elif is_clear(fetch.connection, request):
                    problem = "the request goes in clear"
                elif number > 1:
                    problem = f"request {number} on this connection, one is due"
                elif answered is not None:
                    status = answered.message.status
                    problem = f"a further request, after the {status} of record {answered.number}"
                elif not told_url and (known is None or known.number > request.number):
                    problem = "the request comes before the URL is known"
                yield fault(request, problem) if problem else ok(request, f"GET {path_of(request)}")
                answered = answered or response


def _problem(request: Record, told_url: str) -> str:
    """What is wrong with a request itself; "": nothing.  Without a URL path and host are told by
    no SRV record: the path is the document's (AMB-OMA-02), the host is looked at by others."""
    message, wanted = request.message, urlsplit(told_url)
    path = wanted.path or PATH
    if message.method != "GET":
        return f"the method is {message.method}, GET is due"
    if path_of(request) != path:
        return f"the path is {path_of(request)!r}, {path!r} is due"
    if not (message.header("Host") or "").strip():
        return "the request has no Host"
    if wanted.hostname and not is_card(told_url) and _host(request) != host_of(told_url):
        return f"Host is {message.header('Host')!r}, {wanted.netloc!r} is due"
    return ""


@check("OMA-5.4.7-B2")
def server_returns_message_or_says_no(trace: Trace) -> Iterator[Finding]:
    """A request is answered: by 200 with a package, or by an error without one.

    Violation: 200 with nothing in it, or a connection that is closed without a status.
    """
    for bootstrap in bootstraps(trace):
        yield from _unanswered(trace, bootstrap)
        for fetch in bootstrap.fetches:
            for _, response in fetch.requests:
                if response is None:
                    continue
                status, body = response.message.status, response.message.body
                if status == 200 and not body:
                    yield fault(response, "200 with an empty body")
                elif status in (400, 404) and _is_package(response):
                    yield fault(response, f"{status} with a package in it")
                else:
                    yield ok(response, f"{status}, {len(body)} octets")


def _unanswered(trace: Trace, bootstrap: Bootstrap) -> Iterator[Finding]:
    """The requests that a server leaves without a status: it closes the connection, or says nothing
    until the device gives up.  An HTTPS server owes nothing to a request in clear."""
    for fetch in bootstrap.fetches:
        server = server_of(trace, fetch)
        for request, response in fetch.requests:
            if response is not None or is_clear(fetch.connection, request):
                continue
            ends = (
                each
                for each in fetch.connection.said
                if {"FIN", "RST"} & each.marks and each.number > request.number
            )
            end = next(ends, None)
            if end is None or staged(trace, server, "status"):
                continue
            waited_s = (end.time_ns - request.time_ns) / 1e9
            if end.sender != bootstrap.device:
                yield fault(end, f"{server} closes the connection without a status")
            elif waited_s - trace.late_s(request, end) > ANSWERS_WITHIN_S:
                yield fault(end, f"{server} has said nothing for {waited_s:.1f} s")


def _is_package(response: Record) -> bool:
    content_type = (response.message.header("Content-Type") or "").lower()
    kinds = ("vnd.wap.connectivity", "vnd.syncml.dmtnds")
    return bool(response.message.body) and any(kind in content_type for kind in kinds)


@check("OMA-5.4.7-B3", observed="told", supposes=("telling",))
def package_is_handed_over(trace: Trace) -> Iterator[Finding]:
    """What the DM client gets is octet for octet what a 200 has brought, and nothing else.

    Violation: a hand-over after another status, or of other octets; none after a 200.
    """
    for bootstrap in bootstraps(trace):
        bodies = [
            (response, hashlib.sha256(response.message.body).hexdigest())
            for _, _, response in bootstrap.responses()
            if response.message.status == 200
        ]
        received = [e for e in bootstrap.events if e.message.name == "PACKAGE_RECEIVED"]
        failed = bootstrap.event("FAILED")
        brought = [response for response, _ in bodies if response.message.body]
        if brought and not received and failed is not None:
            yield fault(failed, f"the package of record {brought[0].number} is not handed over")
        for event in received:
            digest = event.message.fields.get("sha256")
            earlier = [known for response, known in bodies if response.time_ns <= event.time_ns]
            if digest in earlier:
                yield ok(event, f"{event.message.fields.get('octets')} octets")
            else:
                handed = f"hands over {event.message.fields.get('octets')} octets"
                if bodies:
                    answer = bodies[-1][0]
                    sent = f"record {answer.number} has brought {len(answer.message.body)} others"
                else:
                    sent = "no answer 200 has brought any"
                yield fault(event, f"{handed}; {sent}")


@check("OMA-5.4.7-B4", observed="told", supposes=("telling",))
def only_a_verified_message_is_processed(trace: Trace) -> Iterator[Finding]:
    """Verified, then installed, then a session; what cannot be verified leaves no account and
    opens no session.

    Where the scenario has made the server's packages such as cannot be verified, it does not matter
    what the device says of that.
    """
    for bootstrap in bootstraps(trace):
        received = bootstrap.event("PACKAGE_RECEIVED")
        verified, installed = bootstrap.event("PACKAGE_VERIFIED"), bootstrap.event("INSTALLED")
        failed = bootstrap.event("FAILED")
        servers = {server_of(trace, fetch) for fetch, _, _ in bootstrap.responses()}
        is_bad = any(staged(trace, each, "package") for each in servers)
        begun = [*([installed] if installed else []), *(each.syn for each in bootstrap.sessions)]
        if is_bad and begun:
            yield fault(begun[0], "goes on with a package that cannot be verified")
        elif installed is not None and (verified is None or verified.number > installed.number):
            yield fault(installed, "installed, and not verified before")
        elif bootstrap.sessions and (
            installed is None or bootstrap.sessions[0].syn.number < installed.number
        ):
            yield fault(bootstrap.sessions[0].syn, "a session, and no account is installed")
        elif installed is not None:
            yield ok(installed, "verified before")
        elif received is not None and failed is not None:
            yield ok(failed, "not verified: nothing installed, no session")


@check("OMA-5.4.7.1-F1")
def flow_has_its_order(trace: Trace) -> Iterator[Finding]:
    """SRV query, its answer, HTTPS, the package, installation, session: in this order."""
    for bootstrap in bootstraps(trace):
        if bootstrap.told is None or bootstrap.told.url or not bootstrap.fetches:
            continue
        looked = next(bootstrap.served(), None)
        installed = bootstrap.event("INSTALLED")
        first = bootstrap.fetches[0].syn
        package = next((r for _, _, r in bootstrap.responses() if r.message.status == 200), None)
        if looked is None or looked.answer is None or first.number < looked.answer.number:
            yield fault(first, "connects before the SRV record has come")
            continue
        if bootstrap.sessions:
            session = bootstrap.sessions[0].syn
            if package is None or installed is None or session.number < installed.number:
                yield fault(session, "the session begins before the package is installed")
            else:
                yield ok(session, "after query, answer, HTTPS, package and installation")


@check("OMA-5.4.7.1-H1")
def https_goes_to_the_target(trace: Trace) -> Iterator[Finding]:
    """Server name of TLS, Host and port are those of the SRV record; the GET follows.

    Violation: a connection to another endpoint, or a request without TLS.
    """
    for bootstrap in bootstraps(trace):
        looked = next(bootstrap.served(), None)
        if looked is None or looked.answer is None:
            continue
        targets = {(plain_name(each.target), each.port) for each in looked.answer.message.services}
        for fetch in bootstrap.fetches:
            yield from _at_target(fetch, targets)


def _at_target(fetch: Fetch, targets: set[tuple[str, int]]) -> Iterator[Finding]:
    """Whether a connection is an HTTPS session with one of the targets (name and port)."""
    told = ", ".join(f"{host}:{port}" for host, port in sorted(targets))
    port, hello = fetch.connection.port, fetch.connection.hello()
    clear = [each for each, _ in fetch.requests if is_clear(fetch.connection, each)]
    if hello is None:
        if port not in [each for _, each in targets]:
            yield fault(fetch.syn, f"connects to port {port}; SRV says {told}")
        elif clear:
            yield fault(clear[0], f"asks port {port} without TLS; SRV says {told}, for HTTPS")
        return
    name = plain_name(hello.message.server_name or "")
    hosts = [_host(request) for request, _ in fetch.requests]
    if (name, port) not in targets:
        yield fault(hello, f"TLS for {name}:{port}; SRV says {told}")
    elif any(host != name for host in hosts):
        yield fault(fetch.requests[0][0], f"Host {hosts[0]!r}, TLS was for {name!r}")
    elif hosts:
        yield ok(hello, f"{name}:{port}")


def _host(request: Record) -> str:
    return host_of(f"https://{request.message.header('Host') or ''}")


@check("OMA-5.4.7.1-H2")
def server_answers_by_three_statuses(trace: Trace) -> Iterator[Finding]:
    """Each GET for a package is answered by 200, 400 or 404 (AMB-OMA-05).

    Violation: another status, or none.
    """
    for bootstrap in bootstraps(trace):
        yield from _unanswered(trace, bootstrap)
        told_url = bootstrap.told.url if bootstrap.told else ""
        for fetch, request, response in bootstrap.responses():
            is_for_package = path_of(request) == (urlsplit(told_url).path or PATH)
            if not is_for_package or staged(trace, server_of(trace, fetch), "status"):
                continue
            status = response.message.status
            if status in STATUSES:
                yield ok(response, str(status))
            else:
                yield fault(response, f"{status} is none of 200, 400 and 404")


def _served(trace: Trace) -> Iterator[tuple[Record, Record, str | None, dict[str, str], Fetch]]:
    """Request, response, the address that the request names, the server's packages, the fetch: of
    servers that tell what they hold, and that the scenario has not made to break their duty."""
    for bootstrap in bootstraps(trace):
        for fetch, request, response in bootstrap.responses():
            server = server_of(trace, fetch)
            packages = packages_of(trace, server)
            if packages is None or staged(trace, server, "status"):
                continue
            yield request, response, understood(request), packages, fetch


@check("OMA-5.4.7.1-H200")
def known_device_gets_its_package(trace: Trace) -> Iterator[Finding]:
    """Who is known gets 200 and its own package (AMB-OMA-03: known by the MAC in the query)."""
    for request, response, address, packages, fetch in _served(trace):
        if address is None or address not in packages or path_of(request) != PATH:
            continue
        digest = hashlib.sha256(response.message.body).hexdigest()
        if response.message.status != 200:
            yield fault(response, f"{response.message.status} for {address}, which is known")
        elif digest != packages[address] and not staged(trace, server_of(trace, fetch), "package"):
            octets = len(response.message.body)
            yield fault(response, f"{octets} octets, which are not the package of {address}")
        else:
            yield ok(response, f"the package of {address}")


@check("OMA-5.4.7.1-H400")
def what_is_not_understood_gets_400(trace: Trace) -> Iterator[Finding]:
    """A request that cannot be understood gets 400; the device reports failure, installs nothing,
    and opens no session."""
    for request, response, address, _, fetch in _served(trace):
        if address is not None or path_of(request) != PATH:
            continue
        if response.message.status == 400:
            yield from _ended(trace, fetch, response)
        else:
            yield fault(
                response, f"{response.message.status} for {request.message.target}; 400 is due"
            )


@check("OMA-5.4.7.1-H404")
def who_is_not_known_gets_404(trace: Trace) -> Iterator[Finding]:
    """A request that is understood, for a device that nobody knows, gets 404; the device takes
    that as failure."""
    for request, response, address, packages, fetch in _served(trace):
        if address is None or address in packages or path_of(request) != PATH:
            continue
        if response.message.status == 404:
            yield from _ended(trace, fetch, response)
        else:
            yield fault(
                response, f"{response.message.status} for {address}, which is not known; 404 is due"
            )


def _ended(trace: Trace, fetch: Fetch, response: Record) -> Iterator[Finding]:
    """After a refusal: a failure, no account, no session, no further try (AMB-OMA-05)."""
    for bootstrap in bootstraps(trace):
        if not any(each is fetch for each in bootstrap.fetches):
            continue
        begun = bootstrap.event("INSTALLED") or next(
            (each.syn for each in bootstrap.sessions if each.syn.number > response.number), None
        )
        failed = bootstrap.event("FAILED")
        again = _asked_again(bootstrap, response)
        if begun is not None:
            yield fault(begun, f"goes on after {response.message.status}")
        elif again is not None:
            yield fault(again, f"asks again after {response.message.status}")
        elif failed is not None:
            yield ok(failed, f"{response.message.status}: failure reported")


def _asked_again(bootstrap: Bootstrap, response: Record) -> Record | None:
    """A request for a package after there was an answer."""
    asked = (request for each in bootstrap.fetches for request, _ in each.requests)
    return next((each for each in asked if each.number > response.number), None)


@check("OMA-5.4.7.1-H5")
def session_follows_installation(trace: Trace) -> Iterator[Finding]:
    """After 200 the package is installed, and then the device turns to the DM server that it names;
    after anything else it does not, and asks nobody else (AMB-OMA-05: no redirect is followed)."""
    for bootstrap in bootstraps(trace):
        installed = bootstrap.event("INSTALLED")
        if installed is not None:
            session = _session_after(bootstrap, installed)
            if session is not None:
                yield ok(session, f"to {installed.message.fields.get('url')}")
            elif (asked := _asked_after(bootstrap, installed)) is not None:
                yield ok(asked, "asks for the DM server's address")
            elif (failed := bootstrap.event("FAILED")) is not None:
                yield fault(failed, "installed, and no session with the DM server is opened")
            continue
        refused = [r for _, _, r in bootstrap.responses() if r.message.status != 200]
        again = _asked_again(bootstrap, refused[0]) if refused else None
        if refused and bootstrap.sessions:
            status = refused[0].message.status
            yield fault(bootstrap.sessions[0].syn, f"a session, after {status}")
        elif again is not None:
            yield fault(again, f"a further request, after {refused[0].message.status}")
        elif refused and bootstrap.event("FAILED") is not None:
            yield ok(refused[0], f"{refused[0].message.status}: no session")


def _session_after(bootstrap: Bootstrap, installed: Record) -> Record | None:
    for session in bootstrap.sessions:
        if session.syn.number > installed.number:
            return session.syn
    return None


def _asked_after(bootstrap: Bootstrap, installed: Record) -> Record | None:
    """The query for the DM server's address: a dead neighbour is not even sent a SYN."""
    host = host_of(installed.message.fields.get("url") or "")
    for looked in bootstrap.addresses:
        if looked.name == host and looked.query.number > installed.number:
            return looked.query
    return None


@check("OMA-5.4.7.1-H6")
def dm_server_is_on_the_same_network(trace: Trace) -> Iterator[Finding]:
    """Device and DM server lie on one network: what one sends reaches the other without a router
    between them (AMB-OMA-08)."""
    for bootstrap in bootstraps(trace):
        for session in bootstrap.sessions:
            arrow = trace.arrow_of(session.syn)
            links = list(dict.fromkeys(hop.link for hop in arrow.hops))
            if len(links) == 1:
                yield ok(session.syn, f"both on {links[0]}")
            else:
                yield fault(session.syn, f"the DM server is reached by way of {', '.join(links)}")
