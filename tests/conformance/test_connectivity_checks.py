from __future__ import annotations

import pytest

from testbed.conformance import Verdict, examine, judge
from tests.conformance.made_up import ANOTHER, LEASED, MadeUp

JUDGED = ["32583-5.1.1-1", "32583-5.1.2-1"]


def judged(made: MadeUp):
    judgements = judge("lan_connectivity", {"": examine("lan_connectivity", made.trace)})
    assert [each.requirement.id for each in judgements] == JUDGED
    assert len({(each.verdict, each.reason) for each in judgements}) == 1, "one check, two entries"
    return judgements[0]


def test_a_query_from_the_leased_address_to_the_named_server_passes() -> None:
    made = MadeUp()
    acknowledged = made.ack()
    query = made.query()
    judgement = judged(made)

    assert judgement.verdict is Verdict.PASS
    assert [note.record for note in judgement.notes] == [query]
    assert judgement.notes[0].text == f"leased 192.168.1.100 at record {acknowledged}"


def test_a_broadcast_lease_counts_for_the_box_that_it_names() -> None:
    made = MadeUp()
    made.ack(to=None)
    made.query()

    assert judged(made).verdict is Verdict.PASS


def test_an_address_that_was_set_by_hand_needs_no_lease() -> None:
    made = MadeUp()
    made.trace.addresses.hold("hnb", "eth0", LEASED, made.now_ns)
    made.query()

    assert judged(made).verdict is Verdict.PASS


def test_an_address_that_was_set_by_hand_may_be_told_of_by_an_inform() -> None:
    made = MadeUp()
    made.trace.addresses.hold("hnb", "eth0", LEASED, made.now_ns)
    made.ack(leased="0.0.0.0", routers=())
    made.query()

    assert judged(made).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("lease", "query", "reason"),
    [
        (None, {}, "hnb asks segw.operator.example before any DHCP ACK reached it"),
        (
            {"hardware_address": ANOTHER, "to": None},
            {},
            "hnb asks segw.operator.example before any DHCP ACK reached it",
        ),
        (
            {"routers": ()},
            {},
            "hnb asks segw.operator.example without a default route in its lease",
        ),
        (
            {},
            {"source": "192.168.1.77"},
            "hnb asks from 192.168.1.77, its lease says 192.168.1.100",
        ),
        (
            {},
            {"server": "203.0.113.9"},
            "hnb asks 203.0.113.9, its lease names the DNS servers 203.0.113.53",
        ),
        (
            {"dns_servers": ()},
            {},
            "hnb asks 203.0.113.53, its lease names the DNS servers none",
        ),
    ],
    ids=[
        "no-lease",
        "a-lease-of-another-box",
        "no-route",
        "another-address",
        "another-server",
        "no-server-in-the-lease",
    ],
)
def test_a_query_before_connectivity_fails(lease, query, reason) -> None:
    made = MadeUp()
    if lease is not None:
        made.ack(**lease)
    record = made.query(**query)
    judgement = judged(made)

    assert judgement.verdict is Verdict.FAIL
    assert judgement.reason == f"record {record}: {reason}"


def test_only_the_first_query_of_a_box_is_judged() -> None:
    made = MadeUp()
    made.ack()
    made.query()
    made.query(server="203.0.113.9")

    assert judged(made).verdict is Verdict.PASS


def test_a_box_that_never_asks_was_never_exercised() -> None:
    made = MadeUp()
    made.ack()
    judgement = judged(made)

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reason == "never exercised in this run"
