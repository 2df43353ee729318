"""What gets through a NAT to a CPE, by RFC 4787's own words: every mapping with every filtering."""

from __future__ import annotations

import json

import pytest

# By hand, from RFC 4787, clause 5: who may send to a binding that was made to ask the STUN server
# at its main address and port.  By the filtering alone: whatever the mapping is, the request comes
# to the outside endpoint that the server has seen.
#
#          same endpoint  other port  other address
GETS_THROUGH = {
    "eif": (True, True, True),
    "adf": (True, True, False),
    "apdf": (True, False, False),
}
MAPPINGS = ("eim", "adm", "apdm")
TRUTH = {
    f"{mapping}-{filtering}": through
    for mapping in MAPPINGS
    for filtering, through in GETS_THROUGH.items()
}
NAMES = (
    "udp_connection_request/",
    "udp_connection_request/from_other_port",
    "udp_connection_request/from_other_address",
)


def found_by(said) -> dict[str, tuple[bool, bool, bool]]:
    """What each kind let through."""
    found = {}
    for cell in json.loads(said.out):
        remarks = dict(each.split(": ") for each in cell["remarks"])
        assert cell["verdict"] == "PASS", cell
        assert set(remarks.values()) <= {"gets through", "does not get through"}
        found[cell["nat"]] = (
            not cell["reasons"],  # the main run is complete: the request brought its session
            remarks["from_other_port"] == "gets through",
            remarks["from_other_address"] == "gets through",
        )
    return found


def played(testbed, engine: str):
    words = (
        "--nat",
        ",".join(TRUTH),
        "--engine",
        engine,
        "--seed",
        "1",
        "--jobs",
        "2",
        "--json",
        "--no-probe",
    )
    return testbed("grid", *NAMES, *words)


@pytest.mark.slow
def test_what_gets_through_nat_tables_is_what_rfc_4787_says(testbed) -> None:
    assert found_by(played(testbed, "simulation")) == TRUTH


@pytest.mark.slow
@pytest.mark.emulation
def test_what_gets_through_kernels_is_what_rfc_4787_says(testbed) -> None:
    assert found_by(played(testbed, "emulation")) == TRUTH


def idle_verdicts(testbed, engine: str, kinds: str) -> dict[str, str]:
    """IPsec, and silence for longer than bindings live, but for NAT keep-alives."""
    words = ("--nat", kinds, "--engine", engine, "--seed", "1", "--jobs", "2", "--json")
    said = testbed("grid", "discovery_intranet/idle", *words, "--set", "nat.lifetime_s=2")
    return {each["nat"]: each["reasons"] or "reached" for each in json.loads(said.out)}


@pytest.mark.slow
def test_a_tunnel_outlives_idleness_behind_every_kind_that_passes_udp(testbed) -> None:
    found = idle_verdicts(testbed, "simulation", "all")
    blocking = {"udp-dropped", "udp-rejected"}

    assert {kind for kind, why in found.items() if why != "reached"} == blocking


@pytest.mark.slow
@pytest.mark.emulation
def test_a_tunnel_outlives_idleness_behind_the_nine_kinds_in_the_kernel(testbed) -> None:
    found = idle_verdicts(testbed, "emulation", ",".join(TRUTH))

    assert found == dict.fromkeys(TRUTH, "reached")
