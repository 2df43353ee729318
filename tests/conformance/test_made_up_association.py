"""The checks of association against DHCP that nobody has captured, and words of a data model."""

from __future__ import annotations

import pytest
from made_up import HNB, LEASED, ROUTER, MadeUp

from testbed.conformance import Finding, load_checks
from testbed.conformance.checks.datamodel_association import version_in
from testbed.protocols import dhcp
from testbed.protocols.association import DSL_FORUM
from testbed.protocols.dhcp.options import vendor_identity
from testbed.protocols.wire import BROADCAST

DEVICE = ((1, b"00005E"), (2, b"DEVICE"), (3, b"Phone"))
GATEWAY = ((4, b"00005E"), (5, b"GW1"), (6, b"Gateway"))


def asked_and_offered(*values: tuple[int, bytes]) -> MadeUp:
    """A device that no ACS manages tells who it is, and is offered an address with this."""
    story = MadeUp()
    told = [vendor_identity((DSL_FORUM, DEVICE))]
    asked = dhcp.Discover.build(hardware_address=HNB, xid=7, options=told)
    story.put("hnb", "home", None, (("0.0.0.0", 68), (BROADCAST, 67)), asked.encode())
    told = [vendor_identity((DSL_FORUM, values))]
    offer = dhcp.Offer.build(hardware_address=HNB, xid=7, options=told, yiaddr=LEASED)
    story.put("gateway", "home", None, ((ROUTER, 67), (BROADCAST, 68)), offer.encode())
    return story


def findings(story: MadeUp, requirement: str) -> list[Finding]:
    return list(load_checks()[requirement].function(story.trace))


def test_a_gateway_that_no_acs_manages_owes_its_serial_number_all_the_same() -> None:
    (finding,) = findings(asked_and_offered(GATEWAY[0]), "TR111-1.2.5-O6")

    assert finding.text == "gateway tells its identity without sub-option 5"


def test_whether_it_has_a_product_class_is_not_known() -> None:
    assert findings(asked_and_offered(*GATEWAY[:2]), "TR111-1.2.5-O6") == []


def test_a_whole_identity_is_seen_without_an_acs() -> None:
    story = asked_and_offered(*GATEWAY)

    assert [each.ok for each in findings(story, "TR111-1.2.5-O5")] == [True]
    assert [each.ok for each in findings(story, "TR111-1.2.5-O6")] == [True]


def test_a_device_that_is_offered_an_address_at_the_end_of_a_trace_refuses_nothing() -> None:
    assert findings(asked_and_offered(*GATEWAY), "TR111-1.2.2-D2d") == []


@pytest.mark.parametrize(
    ("summary", "version"),
    [
        ("InternetGatewayDevice:1.2[](Baseline:1)", (1, 2)),
        ("InternetGatewayDevice:2.0[](Baseline:1)", (2, 0)),
        ("MyInternetGatewayDevice:1.1[](), InternetGatewayDevice:1.14[]()", (1, 14)),
        ("Device:1.1[](Baseline:1)", None),
    ],
)
def test_the_version_of_a_root_is_read(summary: str, version: tuple[int, int] | None) -> None:
    assert version_in(summary, "InternetGatewayDevice") == version
