"""The text of a gateway's rules, and what is refused before it is loaded."""

from __future__ import annotations

import pytest

from testbed.engines.emulation import forwarding, nat_rules, nft
from testbed.engines.emulation.namespace import Namespace
from testbed.errors import BadInput, MissingFeature
from testbed.topology import Nat


@pytest.mark.parametrize("inside", [[], ["eth1"], ["eth0", "eth1"]])
def test_translation_needs_an_inside_that_is_not_the_outside(inside: list[str]) -> None:
    with pytest.raises(BadInput, match="outside is eth1"):
        nat_rules.rules(Nat.MASQUERADE, inside, "eth1")


def test_the_rules_replace_the_whole_table_in_one_transaction() -> None:
    text = nat_rules.rules(Nat.MASQUERADE, ["eth0", "eth2"], "eth1")

    assert text.startswith("table ip testbed_nat\ndelete table ip testbed_nat\ntable ip")
    assert 'iifname { "eth0", "eth2" } oifname "eth1" masquerade' in text


def test_no_translation_is_no_rules() -> None:
    text = nat_rules.rules(Nat.NONE, ["eth0"], "eth1")

    assert text == "table ip testbed_nat\ndelete table ip testbed_nat\n"


def test_a_machine_without_nft_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "_SYSTEM_FOLDERS", "")
    monkeypatch.setenv("PATH", "/nowhere")
    here = Namespace.current("gateway")
    with pytest.raises(MissingFeature, match="apt install nftables"):
        forwarding.Forwarding(here).apply(Nat.MASQUERADE, ["eth0"], "eth1", [], 0.0)
    here.close()
