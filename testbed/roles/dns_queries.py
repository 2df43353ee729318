"""What a name server and a proxy do alike with what comes in."""

from __future__ import annotations

from testbed.errors import DecodeError
from testbed.host import Host
from testbed.protocols import dns
from testbed.protocols.wire import Endpoint


def read_query(host: Host, data: bytes, source: Endpoint) -> dns.Query | dns.Answer | None:
    """Read what a client sent; what is no query becomes an event (MALFORMED, UNEXPECTED).

    Returns:
        The query; or the refusal to send for one of which only the header can be read; or None for
        what gets no answer.
    """
    try:
        message = dns.decode(data)
    except DecodeError as error:
        host.tell("MALFORMED", protocol="DNS", source=str(source), error=str(error))
        return dns.refusal_of_octets(data)
    if isinstance(message, dns.Answer):
        host.tell("UNEXPECTED", source=str(source), reason=message.summary())
        return None
    return message
