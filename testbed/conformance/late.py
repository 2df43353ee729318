"""What of a trace belongs to a discovery once its serving set is there: for checks of both."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from testbed.conformance.reading import (
    Contact,
    connection_of,
    contacts,
    events_of,
    is_address,
    lookups,
    plain_name,
)
from testbed.conformance.sessions import Discovery
from testbed.trace.record import Record
from testbed.trace.trace import Trace


def marker_of(trace: Trace, discovery: Discovery) -> Record | None:
    """Where the HNB says that registration begins."""
    told = events_of(trace, discovery.hnb, "REGISTRATION_START")
    return next((each for each in told if discovery.holds(each)), None)


def contacts_after_done(trace: Trace, discovery: Discovery) -> Iterator[Contact]:
    """The contacts of an HNB once it has its serving set."""
    assert discovery.done is not None
    for contact in contacts(trace, discovery.hnb):
        if discovery.done.number < contact.record.number < discovery.last:
            yield contact


def is_served_by(trace: Trace, discovery: Discovery, contact: Contact) -> bool:
    """Whether a contact is with somebody whom the serving set names."""
    values = discovery.values
    hosts = (plain_name(values.segw or ""), values.hms_host, plain_name(values.hnb_gw or ""))
    return any(contact.address in addresses_of(trace, discovery, each) for each in hosts if each)


def addresses_of(trace: Trace, discovery: Discovery, host: str) -> set[str]:
    """The addresses that a host is known by: itself, or what answers have said."""
    if is_address(host):
        return {host}
    return {
        address
        for lookup in lookups(trace, discovery.hnb)
        if lookup.name == host
        for address in lookup.addresses
    }


def is_shared(trace: Trace, discovery: Discovery) -> bool:
    """Whether HMS (initial) serves too: the URL that was set leads to host and port of the session
    in which it was (AMB-3G-03)."""
    session = discovery.session
    if session is None:
        return False
    connection = connection_of(trace, session.cpe, session.turns[0])
    url = discovery.values.hms_url or ""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    except ValueError:
        return False
    if connection is None or connection.port != port:
        return False
    return connection.address in addresses_of(trace, discovery, discovery.values.hms_host)
