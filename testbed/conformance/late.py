"""What of a trace belongs to a discovery once its serving set is there: for checks of both."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from testbed.conformance.reading import Contact, connection_of, contacts, events_of
from testbed.conformance.sessions import Discovery, addresses_of
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


def is_shared(trace: Trace, discovery: Discovery) -> bool:
    """Whether HMS (initial) serves too: the URL that was set leads to host and port of the session
    in which it was (AMB-3G-03)."""
    session = discovery.session
    if session is None:
        return False
    connection = connection_of(trace, session.cpe, session.turns[-1])  # redirected, maybe
    url = discovery.values.hms_url or ""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    except ValueError:
        return False
    if connection is None or connection.port != port:
        return False
    return connection.address in addresses_of(trace, discovery, discovery.values.hms_host)
