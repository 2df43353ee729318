"""The checks of OMA DM's server discovery against DNS that nobody has captured."""

from __future__ import annotations

import pytest
from discovery_story import ADDRESSES, Story

from testbed.conformance.bootstraps import domain_of_lease
from testbed.protocols import dhcp, dns
from testbed.protocols.dhcp.options import Option

DOMAIN = "mobilecarrier.example"
NAME = f"_dm-bootstrap._tcp.{DOMAIN}"
HOST, EVIL = f"bootstrap.{DOMAIN}", "bootstrap.evil.example"
TIME = "time.example"


class Bootstrapping(Story):
    """A device that looks for its bootstrap server."""

    def __init__(self) -> None:
        super().__init__(factory=False, certificate=False)
        self.tell("hnb", "BOOTSTRAP_FACTORY", domain=DOMAIN, service="dm-bootstrap")

    def looks(
        self, target: str = HOST, name: str = NAME, identifier: int = 7, by: str = "outer_dns"
    ) -> Bootstrapping:
        """The SRV query, and an answer that may be to something else, or of somebody else."""
        query = dns.query(NAME, "SRV", 7)
        answered = dns.query(name, "SRV", identifier)
        answer = dns.answer(answered, [dns.record(name, "SRV", f"0 0 443 {target}")])
        if by == "outer_dns":
            self.datagram("outer_dns", 53, query.encode(), answer.encode())
        else:
            self.datagram("outer_dns", 53, query.encode())
            self.count -= 1  # to the same port
            self.datagram(by, 53, b"", answer.encode())
        return self


def test_an_answer_to_the_query_is_right() -> None:
    story = Bootstrapping().looks()
    story.asks(HOST, ADDRESSES["initial_hms"])

    assert [each.ok for each in story.findings("OMA-5.4.7.1-D10")] == [True]


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        ({"identifier": 8}, "its identifier is 8, 7 was asked"),
        ({"name": f"_other._tcp.{DOMAIN}"}, f"it is about _other._tcp.{DOMAIN}, {NAME} was asked"),
    ],
)
def test_a_server_that_answers_something_else_is_found_and_whoever_believes_it(
    forged: dict[str, object], why: str
) -> None:
    story = Bootstrapping().looks(EVIL, **forged)
    story.asks(EVIL, ADDRESSES["initial_hms"])

    by_server, by_device = story.faults("OMA-5.4.7.1-D10")

    assert by_server == f"answers, and {why}"
    assert by_device.startswith(f"asks for {EVIL}: it takes the answer of record")


def test_a_device_that_does_not_believe_a_strangers_answer_is_right() -> None:
    story = Bootstrapping().looks(EVIL, by="time_server").looks()
    story.asks(HOST, ADDRESSES["initial_hms"])

    assert story.faults("OMA-5.4.7.1-D10") == []


def test_a_device_that_believes_a_stranger_is_found() -> None:
    story = Bootstrapping().looks(EVIL, by="time_server")
    story.asks(EVIL, ADDRESSES["initial_hms"])

    (fault,) = story.faults("OMA-5.4.7.1-D10")
    assert f"though it comes from {ADDRESSES['time_server']}:53, not" in fault


def test_a_time_servers_name_is_no_guess() -> None:
    story = Bootstrapping()
    story.asks(TIME, ADDRESSES["time_server"])
    story.looks()

    assert story.faults("OMA-5.4.7.1-D1") == []


def test_a_target_that_nobody_asks_for_is_not_the_servers_fault() -> None:
    assert Bootstrapping().looks().findings("OMA-5.4.7.1-D9") == []


def test_the_domain_is_that_of_the_last_lease() -> None:
    story = Bootstrapping()
    for domain in ("old.example", "new.example"):
        story.leased(Option(dhcp.Code.DOMAIN_NAME, domain.encode()))

    assert domain_of_lease(story.trace, "hnb", len(story.trace.records)) == "new.example"
