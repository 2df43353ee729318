from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols import dns
from testbed.protocols.wire import Endpoint

FIRST, SECOND = Endpoint("203.0.113.53", 53), Endpoint("203.0.113.54", 53)
STRANGER = Endpoint("198.51.100.66", 53)
NAME = "segw.operator.example"
POLICY = dns.ResolverPolicy(timeout_s=2.0, attempts=2, stream_timeout_s=5.0)


class Asked:
    """A resolver with its network played by the test."""

    def __init__(self, name: str = NAME, kind: str = "A", servers: int = 1) -> None:
        self.now = 100.0
        chosen = [FIRST, SECOND][:servers]
        self.machine = dns.Resolver(name, kind, chosen, Random(1), self.now, POLICY)

    def sent(self) -> list[tuple[dns.Query, Endpoint]]:
        return [(each.message, each.destination) for each in self.machine.to_send()]

    def query(self) -> dns.Query:
        [(query, _)] = self.sent()
        return query

    def events(self) -> list[dns.ResolverEvent]:
        return list(self.machine.events())

    def receive(self, data: bytes, source: Endpoint = FIRST) -> list[dns.ResolverEvent]:
        self.machine.receive(data, source, self.now)
        return self.events()

    def wait(self) -> list[tuple[dns.Query, Endpoint]]:
        deadline = self.machine.deadline()
        assert deadline is not None
        self.now = deadline
        self.machine.tick(self.now)
        return self.sent()


def a(name: str, address: str) -> dns.ResourceRecord:
    return dns.record(name, "A", address)


def cname(name: str, target: str) -> dns.ResourceRecord:
    return dns.record(name, "CNAME", target)


def test_first_query_is_ready_at_once() -> None:
    [(query, server)] = Asked().sent()

    assert server == FIRST
    assert (query.name, query.kind, query.recursion_desired) == (NAME, "A", True)


def test_addresses_are_given_in_the_servers_order() -> None:
    asked = Asked()
    answer = dns.answer(asked.query(), [a(NAME, "203.0.113.51"), a(NAME, "203.0.113.50")])
    [event] = asked.receive(answer.encode())

    assert isinstance(event, dns.Resolved)
    assert event.addresses == ("203.0.113.51", "203.0.113.50")
    assert (event.name, event.canonical_name, event.server) == (NAME, NAME, FIRST)
    assert asked.machine.deadline() is None


def test_services_are_given_as_such() -> None:
    asked = Asked("_x._tcp.example", "SRV")
    records = [dns.record("_x._tcp.example", "SRV", "1 2 3 t.example")]
    [event] = asked.receive(dns.answer(asked.query(), records).encode())

    assert isinstance(event, dns.Resolved)
    assert event.services == (dns.Service(1, 2, 3, "t.example"),)
    assert event.addresses == ()


def test_query_is_repeated_with_its_identifier_until_it_is_given_up() -> None:
    asked = Asked()
    first = asked.query()
    [(again, server)] = asked.wait()
    assert (again, server, asked.now) == (first, FIRST, 102.0)

    assert asked.wait() == []
    [event] = asked.events()
    assert isinstance(event, dns.Failed)
    assert (event.cause, asked.now) == ("TIMEOUT", 104.0)
    assert event.detail == (
        f"{NAME}: no answer from 203.0.113.53:53, each asked 2 times, 2.0 s apart"
    )


def test_servers_are_asked_in_turn() -> None:
    asked = Asked(servers=2)
    order = [asked.sent()[0][1], *[asked.wait()[0][1] for _ in range(3)]]

    assert order == [FIRST, SECOND, FIRST, SECOND]


def test_late_answer_of_an_earlier_server_counts() -> None:
    asked = Asked(servers=2)
    query = asked.query()
    asked.wait()
    [event] = asked.receive(dns.answer(query, [a(NAME, "10.0.0.1")]).encode(), FIRST)

    assert isinstance(event, dns.Resolved)
    assert event.server == FIRST


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
def test_a_server_that_refuses_is_left_for_the_next_at_once(code: str) -> None:
    asked = Asked(servers=2)
    query = asked.query()
    assert asked.receive(dns.answer(query, code=code).encode()) == []

    [(_, server)] = asked.sent()
    assert (server, asked.now) == (SECOND, 100.0)

    [event] = asked.receive(dns.answer(query, code="SERVFAIL").encode(), SECOND)
    assert isinstance(event, dns.Failed)
    assert event.cause == code


def test_the_refusal_of_a_server_that_is_no_longer_waited_for_hurries_nothing() -> None:
    asked = Asked(servers=2)
    query = asked.query()
    asked.wait()
    asked.receive(dns.answer(query, code="SERVFAIL").encode(), FIRST)

    assert asked.sent() == []
    assert asked.machine.deadline() == 104.0
    assert [server for _, server in asked.wait()] == [SECOND]


def test_refusal_without_question_is_taken() -> None:
    asked = Asked()
    refusal = dns.refusal_of_octets(asked.query().encode())
    assert refusal is not None
    [event] = asked.receive(refusal.encode())

    assert isinstance(event, dns.Failed)
    assert event.cause == "FORMERR"


@pytest.mark.parametrize(("code", "cause"), [("NXDOMAIN", "NXDOMAIN"), ("NOERROR", "NO_DATA")])
def test_negative_answers_end_it(code: str, cause: str) -> None:
    asked = Asked(servers=2)
    [event] = asked.receive(dns.answer(asked.query(), code=code).encode())

    assert isinstance(event, dns.Failed)
    assert event.cause == cause
    assert asked.sent() == []


def test_aliases_in_one_answer_are_followed() -> None:
    asked = Asked()
    records = [
        cname(NAME, "b.example"),
        cname("b.example", "c.example"),
        a("c.example", "10.0.0.3"),
    ]
    [event] = asked.receive(dns.answer(asked.query(), records).encode())

    assert isinstance(event, dns.Resolved)
    assert (event.name, event.canonical_name) == (NAME, "c.example")
    assert event.addresses == ("10.0.0.3",)


def test_addresses_of_other_names_in_the_answer_are_not_taken() -> None:
    asked = Asked()
    [event] = asked.receive(dns.answer(asked.query(), [a("evil.example", "6.6.6.6")]).encode())

    assert isinstance(event, dns.Failed)
    assert event.cause == "NO_DATA"


def test_an_alias_that_the_answer_leaves_open_is_asked_for() -> None:
    asked = Asked()
    first = asked.query()
    assert asked.receive(dns.answer(first, [cname(NAME, "b.example")]).encode()) == []
    second = asked.query()
    [event] = asked.receive(dns.answer(second, [a("b.example", "10.0.0.2")]).encode())

    assert (second.name, second.kind) == ("b.example", "A")
    assert second.identifier != first.identifier
    assert isinstance(event, dns.Resolved)
    assert (event.name, event.canonical_name) == (NAME, "b.example")


def test_aliases_in_a_circle_end_it() -> None:
    asked = Asked()
    asked.receive(dns.answer(asked.query(), [cname(NAME, "b.example")]).encode())
    [event] = asked.receive(dns.answer(asked.query(), [cname("b.example", NAME)]).encode())

    assert isinstance(event, dns.Failed)
    assert event.cause == "ALIAS_LOOP"


def test_endless_aliases_end_it() -> None:
    asked = Asked("n0.example")
    events: list[dns.ResolverEvent] = []
    for number in range(20):
        pending = asked.sent()
        if not pending:
            break
        alias = cname(f"n{number}.example", f"n{number + 1}.example")
        events = asked.receive(dns.answer(pending[0][0], [alias]).encode())

    assert number == 9
    assert isinstance(events[-1], dns.Failed)
    assert events[-1].cause == "ALIAS_LOOP"


def forged(query: dns.Query, how: str) -> bytes:
    right = dns.answer(query, [a(NAME, "6.6.6.6")])
    match how:
        case "identifier":
            return right.with_identifier(query.identifier ^ 1).encode()
        case "question":
            other = dns.query("other.example", "A", query.identifier)
            return dns.answer(other, [a(NAME, "6.6.6.6")]).encode()
        case "kind":
            other = dns.query(NAME, "AAAA", query.identifier)
            return dns.answer(other, [a(NAME, "6.6.6.6")]).encode()
        case "query":
            return query.encode()
        case _:
            return right.encode()


@pytest.mark.parametrize(
    ("how", "source", "reason"),
    [
        ("source", STRANGER, "from 198.51.100.66:53, which was not asked"),
        ("port", Endpoint(FIRST.address, 5353), "from 203.0.113.53:5353, which was not asked"),
        ("identifier", FIRST, "identifier"),
        ("question", FIRST, "question A other.example, not A segw.operator.example"),
        ("kind", FIRST, "question AAAA segw.operator.example, not A segw.operator.example"),
        ("query", FIRST, "a query, not an answer"),
    ],
)
def test_forged_answers_are_told_and_the_right_one_is_still_taken(
    how: str, source: Endpoint, reason: str
) -> None:
    asked = Asked()
    query = asked.query()
    [told] = asked.receive(forged(query, how), source)
    [event] = asked.receive(dns.answer(query, [a(NAME, "10.0.0.1")]).encode())

    assert isinstance(told, dns.Unexpected)
    assert reason in told.reason
    assert isinstance(event, dns.Resolved)
    assert event.addresses == ("10.0.0.1",)


def test_malformed_answers_are_told_and_the_right_one_is_still_taken() -> None:
    asked = Asked()
    query = asked.query()
    answer = dns.answer(query, [a(NAME, "10.0.0.1")]).encode()
    [told] = asked.receive(answer[:-2])
    [event] = asked.receive(answer)

    assert isinstance(told, dns.Malformed)
    assert "needs 4 octets, 2 remain" in str(told.error)
    assert isinstance(event, dns.Resolved)


def truncated(asked: Asked) -> dns.Query:
    query = asked.query()
    [event] = asked.receive(dns.answer(query, truncated=True).encode())
    assert event == dns.Truncated(query, FIRST)
    return query


def test_truncated_answer_is_fetched_over_a_stream() -> None:
    asked = Asked()
    query = truncated(asked)
    answer = dns.answer(query, [a(NAME, "10.0.0.1")]).encode()
    asked.machine.receive_by_stream(answer, FIRST, asked.now)
    [event] = asked.events()

    assert isinstance(event, dns.Resolved)
    assert event.addresses == ("10.0.0.1",)


def test_truncated_answer_twice_is_fetched_once() -> None:
    asked = Asked()
    query = truncated(asked)

    assert asked.receive(dns.answer(query, truncated=True).encode()) == []


@pytest.mark.parametrize("failure", ["refused", "silent", "malformed", "forged"])
def test_stream_without_answer_leads_to_the_next_server(failure: str) -> None:
    asked = Asked(servers=2)
    query = truncated(asked)
    if failure == "refused":
        asked.machine.stream_failed(FIRST, "refused", asked.now)
    elif failure == "malformed":
        asked.machine.receive_by_stream(b"\0" * 5, FIRST, asked.now)
    elif failure == "forged":
        asked.machine.receive_by_stream(forged(query, "identifier"), FIRST, asked.now)
    pending = asked.wait() if failure == "silent" else asked.sent()

    assert [server for _, server in pending] == [SECOND]
    assert asked.now == (105.0 if failure == "silent" else 100.0)


def test_stream_without_answer_from_the_last_server_ends_it() -> None:
    asked = Asked()
    truncated(asked)
    asked.machine.stream_failed(FIRST, "refused", asked.now)
    [event] = asked.events()

    assert isinstance(event, dns.Failed)
    assert event.cause == "STREAM"


@pytest.mark.parametrize(
    ("name", "servers", "cause"),
    [("a..b", 1, "BAD_NAME"), ("x" * 64, 1, "BAD_NAME"), (NAME, 0, "NO_SERVER")],
)
def test_what_cannot_be_asked_fails_at_once(name: str, servers: int, cause: str) -> None:
    asked = Asked(name, servers=servers)
    [event] = asked.events()

    assert isinstance(event, dns.Failed)
    assert event.cause == cause
    assert asked.sent() == []


def test_identifiers_come_from_the_given_randomness() -> None:
    one, same, other = (
        dns.Resolver(NAME, "A", [FIRST], Random(seed), 0.0).to_send()[0].message.identifier
        for seed in (1, 1, 2)
    )

    assert one == same != other


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.sampled_from(["good", "truncated", "SERVFAIL", "tick", "stream"]),
        ),
        max_size=30,
    )
)
def test_whatever_comes_it_ends_exactly_once_and_asks_no_more_than_allowed(
    steps: list[bytes | str],
) -> None:
    asked = Asked(servers=2)
    query, _ = first = asked.sent()[0]
    sent, events = [first], asked.events()
    for step in steps:
        if step == "tick":
            asked.now += 2.0
            asked.machine.tick(asked.now)
        elif step == "stream":
            asked.machine.stream_failed(FIRST, "refused", asked.now)
        elif isinstance(step, bytes):
            asked.machine.receive(step, FIRST, asked.now)
        elif step == "SERVFAIL":
            asked.machine.receive(dns.answer(query, code=step).encode(), SECOND, asked.now)
        else:
            answer = dns.answer(query, [a(NAME, "10.0.0.1")], truncated=step == "truncated")
            asked.machine.receive(answer.encode(), FIRST, asked.now)
        sent += asked.sent()
        events += asked.events()
    while asked.machine.deadline() is not None:
        sent += asked.wait()
        events += asked.events()

    assert len([each for each in events if isinstance(each, dns.Resolved | dns.Failed)]) == 1
    assert len(sent) <= 4
