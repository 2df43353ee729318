"""How CPEs test whether their binding is still there, and how long they leave it idle: read out of
a trace for checks, never judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from testbed.conformance.bindings import Transaction, cpes, seconds, transactions
from testbed.conformance.index import index_of, remembered
from testbed.protocols import stun
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Record
from testbed.trace.trace import Trace

USED_A_MOMENT_AGO_S = 0.5
"""A binding that has been idle for less is not tested: the server is."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A test of the primary binding: a request with RESPONSE-ADDRESS.

    Attributes:
        transaction: the request and what came of it.
        idle_s: how long the primary port had neither sent nor received.
        alive: whether the response came to the primary port; None: none was sent there.
    """

    transaction: Transaction
    idle_s: float
    alive: bool | None

    @property
    def record(self) -> Record:
        """Its first copy."""
        return self.transaction.first


@dataclass(frozen=True, slots=True)
class Idle:
    """The primary port was idle, and then sent a request of its own accord.

    Attributes:
        request: what ended it.
        began: the last that the primary port had sent or received.
        idle_s: how long.
        probes: the tests in between: it was left idle on purpose.
    """

    request: Transaction
    began: Record
    idle_s: float
    probes: tuple[Probe, ...]


def primary_of(trace: Trace, cpe: str) -> Endpoint | None:
    """Where a CPE's primary port is; None: it has sent no plain request."""
    return next((each.source for each in transactions(trace, cpe) if each.is_primary), None)


@remembered
def _traffic(trace: Trace, cpe: str) -> list[Record]:
    """What a CPE's primary port sent and received, on the CPE's own link."""
    primary = primary_of(trace, cpe)
    if primary is None:
        return []
    return [
        record
        for record in index_of(trace).of_node.get(cpe, ())
        if record.transport == "udp"
        and (own := record.source if record.sender == cpe else record.destination) is not None
        and own.port == primary.port
    ]


def _before(traffic: list[Record], moment: Record) -> Record | None:
    """The last that the primary port sent or received before a request, at the same address."""
    assert moment.source is not None
    own = moment.source.address
    earlier = [
        each
        for each in traffic
        if each.number < moment.number
        and own in (end.address for end in (each.source, each.destination) if end is not None)
    ]
    return earlier[-1] if earlier else None


@remembered
def probes(trace: Trace, cpe: str) -> list[Probe]:
    """The tests of a CPE's primary binding, in order.

    Those of other bindings, which the CPE has opened to see how long they live, are none.
    """
    traffic, found = _traffic(trace, cpe), []
    others = {
        each.success.message.mapped_address
        for each in transactions(trace, cpe)
        if not each.is_probe and not each.is_primary and each.success is not None
    }
    for each in transactions(trace, cpe):
        last = _before(traffic, each.first) if each.is_probe else None
        wanted = each.request.response_address
        if last is None or wanted in others:
            continue
        alive: bool | None = None
        if any(record in traffic for record in each.arrived):
            alive = True
        elif any(
            reply.destination == wanted and isinstance(reply.message, stun.BindingResponse)
            for reply in each.replies
        ):
            alive = False
        found.append(Probe(each, seconds(last, each.first), alive))
    return found


@remembered
def idles(trace: Trace, cpe: str) -> list[Idle]:
    """The times for which a CPE's primary port was idle before each of its keep-alives."""
    traffic, tested, found = _traffic(trace, cpe), probes(trace, cpe), []
    for each in transactions(trace, cpe):
        last = _before(traffic, each.first) if each.is_keep_alive else None
        if last is None:
            continue
        between = tuple(
            probe for probe in tested if last.number < probe.record.number < each.first.number
        )
        # An answer to a probe is traffic of the primary port: the test ended just before it.
        answered = [probe for probe in tested if last in probe.transaction.arrived]
        found.append(Idle(each, last, seconds(last, each.first), (*between, *answered)))
    return found


def every_probe(trace: Trace) -> Iterator[Probe]:
    """Those of every CPE that test a binding which has been left idle, with those that do not."""
    for cpe in cpes(trace):
        yield from probes(trace, cpe)
