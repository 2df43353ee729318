"""What flows come to behind a gateway that translates nothing, or lets no UDP but DNS through."""

from __future__ import annotations

import json

import pytest

# By hand.  None: the flow is complete.  Else the sentence begins so that tells what did not happen.
#
# Behind a firewall nothing is translated: the first response shows the CPE its own address, so it
# looks for no lifetime of a binding (no request asks for another port), tells no address for UDP
# Connection Requests, and its ACS stores none.  It is asked by TCP instead, and a firewall lets
# nobody in who was not asked.  IPsec begins inside, and what is asked from inside is answered.
#
# Where UDP is blocked, STUN and IKE have no answers.  DNS passes, and HTTPS by TCP.
NO_ANSWER = "expected device -> stun_server stun.BindingRequest is_marked=True"
NO_ADDRESS = "expected stun_server BINDING_STORED"
FIREWALL = {
    "lan_connectivity/": None,
    "discovery_public/": None,
    "discovery_intranet/": None,
    "nat_binding_discovery/": "expected device -> stun_server stun.BindingRequest is_change=True",
    "nat_keepalive/": None,
    "nat_no_translation/": "the CPE takes no connection request by TCP",
    "udp_connection_request/": NO_ADDRESS,
    "udp_connection_request/from_other_port": NO_ADDRESS,
    "udp_connection_request/from_other_address": NO_ADDRESS,
}
BLOCKED = {
    "lan_connectivity/": None,
    "discovery_public/": None,
    "discovery_intranet/": "expected hnb -> segw ike.SaInit port=500",
    "nat_binding_discovery/": NO_ANSWER,
    "nat_keepalive/": NO_ANSWER,
    "nat_no_translation/": NO_ANSWER,
    "udp_connection_request/": NO_ADDRESS,
    "udp_connection_request/from_other_port": NO_ADDRESS,
    "udp_connection_request/from_other_address": NO_ADDRESS,
}
TRUTH = {"firewall": FIREWALL, "udp-dropped": BLOCKED, "udp-rejected": BLOCKED}
IN_THE_KERNEL = [
    *("lan_connectivity/", "discovery_public/", "discovery_intranet/"),
    *("nat_binding_discovery/", "udp_connection_request/"),
]


def differences(testbed, engine: str, names: list[str]) -> list[str]:
    """Where cells are not what is written here: another verdict, another reason, a reason more."""
    words = ("--nat", ",".join(TRUTH), "--engine", engine, "--seed", "1", "--jobs", "2")
    settings = ("--set", "nat.lifetime_s=2")
    said = testbed("grid", *names, *words, *settings, "--no-probe", "--json")
    cells = {(each["nat"], each["scenario"]): each for each in json.loads(said.out)}
    told = []
    for nat, truth in TRUTH.items():
        for scenario in {each.partition("/")[0] for each in names}:
            wanted = [truth[each] for each in names if each.partition("/")[0] == scenario]
            cell = cells[nat, scenario]
            missed = [each for each in wanted if each is not None]
            verdict = "FAIL" if missed else "PASS"
            is_told = len(cell["reasons"]) == len(missed) and all(
                want in reason for want, reason in zip(missed, cell["reasons"], strict=True)
            )
            if cell["verdict"] != verdict or not is_told:
                told.append(f"{nat}, {scenario}: {cell['verdict']} {cell['reasons']}")
    return told


@pytest.mark.slow
def test_flows_in_tables_without_nat_come_to_what_they_must(testbed) -> None:
    assert differences(testbed, "simulation", list(FIREWALL)) == []


@pytest.mark.slow
@pytest.mark.emulation
def test_flows_in_kernels_without_nat_come_to_what_they_must(testbed) -> None:
    assert differences(testbed, "emulation", IN_THE_KERNEL) == []
