"""How a device finds its DM bootstrap server (OMA DM bootstrap 1.3, 5.4.7.1): DNS SRV."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from testbed.conformance.bootstraps import (
    Bootstrap,
    bootstraps,
    domain_of_lease,
    first_labels,
    is_card,
    strays,
)
from testbed.conformance.check import check
from testbed.conformance.reading import Lookup, plain_name
from testbed.conformance.verdict import Finding, fault, ok
from testbed.trace.record import Record
from testbed.trace.trace import Trace

SERVICES = ("dm-bootstrap", "dmbs")
"""The normative name, and the alias of the document's example (AMB-OMA-01)."""
_AT_THE_END = sys.maxsize
"""A record's number that comes after all others."""


def _looks(trace: Trace) -> Iterator[Bootstrap]:
    """The devices that look for a server: they were told no URL."""
    return (each for each in bootstraps(trace) if each.told is not None and not each.told.url)


@check("OMA-5.4.7.1-D1")
def service_is_asked_for_first(trace: Trace) -> Iterator[Finding]:
    """A query of kind SRV and class IN comes before the connection to the server.

    Violation: a host that was guessed is asked for, or connected to, without it.
    """
    for bootstrap in _looks(trace):
        first = bootstrap.services[0].query if bootstrap.services else None
        if first is not None:
            question = first.message.question
            if question.class_number == 1:
                yield ok(first, f"SRV {question.name}")
            else:
                yield fault(first, f"the query is of class {question.class_number}, not IN (1)")
        for asked in bootstrap.addresses:
            early = first is None or asked.query.number < first.number
            if early and _is_guess(bootstrap, asked):
                yield fault(asked.query, f"asks for {asked.name} before any SRV record")
                break
        for fetch in bootstrap.fetches[:1]:
            if first is None or fetch.syn.number < first.number:
                yield fault(fetch.syn, "connects before it has asked for the service")


def _is_guess(bootstrap: Bootstrap, asked: Lookup) -> bool:
    """Whether a host may be meant as the bootstrap server: no other service is asked for, or it is
    of the service's domain, or connected to.  A time server is the device's own business."""
    if not bootstrap.services:
        return True
    domain = plain_name(".".join(first_labels(bootstrap.services[0].query)[2:]))
    reached = {each.connection.address for each in bootstrap.fetches}
    return asked.name.endswith(f".{domain}") or bool(reached.intersection(asked.addresses))


@check("OMA-5.4.7.1-D2")
def record_is_obeyed(trace: Trace) -> Iterator[Finding]:
    """The device goes to the target and port of the SRV record of the lowest priority.

    Violation: another port or address, or one of a higher priority number while the lowest was not
    tried.  AMB-OMA-07.
    """
    for bootstrap in _looks(trace):
        looked = next(bootstrap.served(), None)
        if looked is None or looked.answer is None:
            continue
        services = looked.answer.message.services
        tried: set[int] = set()
        for fetch in bootstrap.fetches:
            connection = fetch.connection
            # Whose address was asked for was tried: a dead neighbour is not even sent a SYN.
            asked = {a.name for a in bootstrap.addresses if a.query.number < fetch.syn.number}
            tried |= {each.priority for each in services if plain_name(each.target) in asked}
            fitting = [
                each
                for each in services
                if each.port == connection.port
                and connection.address in _addresses(bootstrap, each.target, fetch.syn.number)
            ]
            if not fitting:
                told = ", ".join(f"{each.target}:{each.port}" for each in services)
                yield fault(
                    fetch.syn,
                    f"connects to {connection.address}:{connection.port}; the records say {told}",
                )
                continue
            priority = min(each.priority for each in fitting)
            skipped = {each.priority for each in services if each.priority < priority} - tried
            if skipped:
                yield fault(fetch.syn, f"priority {priority} before {min(skipped)} was tried")
            else:
                yield ok(fetch.syn, f"{fitting[0].target}:{connection.port}, priority {priority}")


def _addresses(bootstrap: Bootstrap, target: str, before: int) -> set[str]:
    """The addresses that the device was told of a host by then."""
    found: set[str] = set()
    for looked in [*bootstrap.addresses, *bootstrap.services]:
        answer = looked.answer
        if answer is None or answer.number > before:
            continue
        for each in (*answer.message.answers, *answer.message.additionals):
            if each.kind in ("A", "AAAA") and (
                plain_name(each.name) == plain_name(target) or looked.name == plain_name(target)
            ):
                found.add(each.value)
    return found


@check("OMA-5.4.7.1-D3")
def name_has_its_shape(trace: Trace) -> Iterator[Finding]:
    """The name is _service._protocol.domain: two labels with an underscore, then the domain."""
    for bootstrap in _looks(trace):
        for looked in bootstrap.services:
            labels = first_labels(looked.query)
            if len(labels) > 2 and all(each.startswith("_") for each in labels[:2]):
                yield ok(looked.query, ".".join(labels))
            else:
                yield fault(looked.query, f"{'.'.join(labels)!r} is not _service._protocol.domain")


@check("OMA-5.4.7.1-D4")
def service_is_named_dm_bootstrap(trace: Trace) -> Iterator[Finding]:
    """The first label is _dm-bootstrap, in letters of any case; the alias _dmbs where the device is
    set to it, or where nobody is found under the other name (AMB-OMA-01)."""
    for bootstrap in _looks(trace):
        normative, alias = (f"_{each}" for each in SERVICES)
        known = {normative}
        if bootstrap.told is not None and bootstrap.told.service.lower() == SERVICES[1]:
            known.add(alias)
        for looked in bootstrap.services:
            label = next(iter(first_labels(looked.query)), "")
            if label.lower() in known:
                yield ok(looked.query, label)
            else:
                yield fault(looked.query, f"the first label is {label!r}, not '_dm-bootstrap'")
            if looked.answer is not None and not looked.answer.message.services:
                known.add(alias)


@check("OMA-5.4.7.1-D5", needs=("letter_case",))
def letter_case_does_not_matter(trace: Trace) -> Iterator[Finding]:
    """A DNS server gives the same servers for the name in letters of any case.

    Violation: none for a name whose letters are of another case.
    """
    for bootstrap in _looks(trace):
        for looked in bootstrap.services:
            label = next(iter(first_labels(looked.query)), "")
            if label == label.lower() or looked.answer is None:
                continue
            if looked.answer.message.services:
                yield ok(looked.answer, f"{label} is found")
            else:
                yield fault(looked.answer, f"{label} is answered {looked.answer.message.code}")


@check("OMA-5.4.7.1-D6")
def protocol_is_tcp(trace: Trace) -> Iterator[Finding]:
    """The second label is _tcp, in letters of any case."""
    for bootstrap in _looks(trace):
        for looked in bootstrap.services:
            label = next(iter(first_labels(looked.query)[1:]), "")
            if label.lower() == "_tcp":
                yield ok(looked.query, label)
            else:
                yield fault(looked.query, f"the second label is {label!r}, not '_tcp'")


@check("OMA-5.4.7.1-D7")
def provider_names_the_domain(trace: Trace) -> Iterator[Finding]:
    """The domain is the one that the provider has told, whatever DHCP option 15 says."""
    for bootstrap in _looks(trace):
        if bootstrap.told is None or not bootstrap.told.domain:
            continue
        wanted = plain_name(bootstrap.told.domain)
        for looked in bootstrap.services:
            yield _of_domain(looked, wanted, "the provider's domain")


def _of_domain(looked: Lookup, wanted: str, whose: str) -> Finding:
    domain = plain_name(".".join(first_labels(looked.query)[2:]))
    if domain == wanted:
        return ok(looked.query, f"{whose}, {wanted}")
    return fault(looked.query, f"the domain is {domain!r}, {whose} is {wanted!r}")


@check("OMA-5.4.7.1-D8", needs=("", "no_domain"))
def dhcp_names_the_domain(trace: Trace) -> Iterator[Finding]:
    """Without a provider's name the domain is that of DHCP option 15; without either there is no
    query, and the failure is reported (AMB-OMA-06)."""
    for bootstrap in _looks(trace):
        if bootstrap.told is None or bootstrap.told.domain or not bootstrap.told.uses_https:
            continue
        for looked in bootstrap.services:
            wanted = plain_name(domain_of_lease(trace, bootstrap.device, looked.query.number))
            if wanted:
                yield _of_domain(looked, wanted, "the domain of DHCP option 15")
            else:
                yield fault(looked.query, f"asks for {looked.name!r} and was told no domain")
        failed = bootstrap.event("FAILED")
        if not bootstrap.services and failed is not None:
            told = domain_of_lease(trace, bootstrap.device, failed.number)
            if told:
                yield fault(failed, f"gives up, and DHCP option 15 says {told!r}")
            else:
                yield ok(failed, "neither source names a domain: no query, failure reported")


@check("OMA-5.4.7.1-D9")
def dns_gives_the_server(trace: Trace) -> Iterator[Finding]:
    """The answer has code 0 and a server, whose address is in it or is found by another query.

    Where there is none (NXDOMAIN, no record, target "."), no connection may follow.
    """
    for bootstrap in _looks(trace):
        answered = [each for each in bootstrap.services if each.answer is not None]
        for looked in answered:
            assert looked.answer is not None
            answer = looked.answer.message
            # A DNS server puts the records of an answer in any order; the device goes by priority.
            services = sorted(answer.services, key=lambda each: each.priority)
            targets = [each.target for each in services if each.target.rstrip(".")]
            if answer.code == "NOERROR" and targets:
                found = {each: _addresses(bootstrap, each, _AT_THE_END) for each in targets}
                target = next((each for each in targets if found[each]), None)
                if target is not None:
                    yield ok(looked.answer, f"{target} at {', '.join(sorted(found[target]))}")
                elif any(each.name in map(plain_name, targets) for each in bootstrap.addresses):
                    yield fault(looked.answer, f"no address is found for {', '.join(targets)}")
        if answered and next(bootstrap.served(), None) is None:
            last = answered[-1].answer
            assert last is not None
            if bootstrap.fetches:
                yield fault(bootstrap.fetches[0].syn, "connects, and no server was named")
            else:
                yield ok(last, f"{last.message.code}: nothing follows")


@check("OMA-5.4.7.1-D10")
def answer_fits_the_query(trace: Trace) -> Iterator[Finding]:
    """Identifier, question and source of the answer are those of the query, the record's owner is
    the name in question.

    Violation: the server that was asked answers something else, or names a record of another owner;
    the device goes where only an answer that fits no query has sent it.
    """
    for bootstrap in _looks(trace):
        for looked in bootstrap.services:
            if looked.answer is None:
                continue
            answer = looked.answer.message
            owners = {plain_name(each.name) for each in answer.answers if each.kind == "SRV"}
            if owners - {looked.name}:
                yield fault(looked.answer, f"holds SRV records of {', '.join(sorted(owners))}")
            elif looked.answer.source == looked.query.destination:
                yield ok(looked.answer, f"identifier {answer.identifier}")
        for stray, why in strays(trace, bootstrap):
            yield from _stray(trace, bootstrap, stray, why)


def _stray(trace: Trace, bootstrap: Bootstrap, stray: Record, why: str) -> Iterator[Finding]:
    """An answer that fits no query: whose it is, and whether the device takes it."""
    asked = [each for each in bootstrap.services if each.query.destination == stray.source]
    if trace.arrow_of(stray).origin in [each.server for each in asked]:
        yield fault(stray, f"answers, and {why}")
    named = {
        plain_name(each.target)
        for looked in bootstrap.served()
        if looked.answer is not None and looked.answer.source == looked.query.destination
        for each in looked.answer.message.services
    }
    wrong = {plain_name(each.target) for each in stray.message.services} - named
    for looked in bootstrap.addresses:
        if looked.query.number > stray.number and looked.name in wrong:
            text = f"takes the answer of record {stray.number}, though {why}"
            yield fault(looked.query, f"asks for {looked.name}: it {text}")
            return


@check("OMA-5.4.7.1-D11", needs=("alias",))
def example_is_asked_for(trace: Trace) -> Iterator[Finding]:
    """A device whose service is called dmbs asks for _dmbs._tcp and its domain (AMB-OMA-01)."""
    for bootstrap in _looks(trace):
        if bootstrap.told is None or bootstrap.told.service.lower() != SERVICES[1]:
            continue
        wanted = f"_dmbs._tcp.{plain_name(bootstrap.told.domain)}"
        asked = [*bootstrap.services, *bootstrap.addresses]
        if not asked:
            continue
        if asked[0].name == wanted and asked[0] in bootstrap.services:
            yield ok(asked[0].query, wanted)
        else:
            kind = asked[0].query.message.kind
            yield fault(asked[0].query, f"asks for {kind} {asked[0].name}, not for SRV {wanted}")


@check("OMA-5.4.7-X1", needs=("static_url",))
def url_of_other_means_is_used(trace: Trace) -> Iterator[Finding]:
    """A device that was told the URL asks for no SRV record and completes all the same."""
    for bootstrap in bootstraps(trace):
        told = bootstrap.told
        if told is None or not told.url or is_card(told.url):
            continue
        installed = bootstrap.event("INSTALLED")
        if bootstrap.services:
            yield fault(bootstrap.services[0].query, f"asks for SRV, and was told {told.url}")
        elif installed is not None:
            yield ok(installed, f"by {told.url}")
        elif (failed := bootstrap.event("FAILED")) is not None and not bootstrap.fetches:
            yield fault(failed, f"gives up, and was told {told.url}")
