"""Crafted peers of IKE against charon: what it makes of each deviation."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from testbed.host import TunnelCause, TunnelLife, TunnelRefused
from testbed.protocols import ike
from testbed.protocols.ike.crafted import Conduct
from testbed.protocols.ike.crafted_initiator import Asking, CraftedInitiator
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.roles.crafted_hnb import ask
from testbed.roles.crafted_segw import CraftedSegw, craft
from testbed.roles.segw import Segw
from testbed.topology import Node
from testbed.trace.trace import Trace
from tests.emulation.tunnel_wires import (
    HNB_NAME,
    INNER_DNS,
    OTHER_ROOT,
    ROOT,
    SEGW,
    SEGW_NAME,
    Operator,
    operator,
)
from tests.emulation.wires import Wires, on_wires

pytestmark = pytest.mark.emulation

NAT = (4500).to_bytes(2, "big")
PATIENT = TunnelLife(retransmit_first_s=0.2, retransmit_factor=1.0, retransmit_tries=50)
"""Of an HNB that is answered in the end, however slow the machine is."""
SILENT = ("silent on 4500", "lost fragment")


async def crafted(at: Operator, conduct: Conduct) -> CraftedSegw:
    """The SeGW answers as told, from now on."""
    settings = {
        "identity": ROOT.issue(SEGW_NAME),
        "roots": (ROOT.certificate,),
        "pool": "10.20.0.0/16",
        "dns_servers": (INNER_DNS,),
    }
    segw = Segw(at.segw, Node("segw", "segw", (), settings=settings))
    made = craft(segw, conduct)
    await segw.start()
    return made


REFUSED: dict[str, tuple[Conduct, TunnelCause, str]] = {
    "no proposal chosen": (
        Conduct(init_error="NO_PROPOSAL_CHOSEN"),
        "proposal",
        "NO_PROPOSAL_CHOSEN",
    ),
    "another group": (
        Conduct(init_error="INVALID_KE_PAYLOAD", init_error_data=bytes([0, 2])),
        "proposal",
        "it requested MODP_1024",
    ),
    "other cookies": (Conduct(asks_other_cookies=True), "other", "giving up after 5 retries"),
    "silent on 4500": (Conduct(is_silent_on_nat_port=True), "no answer", "giving up after 2"),
    "authentication failed": (
        Conduct(auth_error="AUTHENTICATION_FAILED"),
        "peer",
        "AUTHENTICATION_FAILED",
    ),
    "traffic selectors": (Conduct(child_error="TS_UNACCEPTABLE"), "peer", "TS_UNACCEPTABLE"),
    "address failure": (
        Conduct(child_error="INTERNAL_ADDRESS_FAILURE"),
        "peer",
        "INTERNAL_ADDRESS_FAILURE",
    ),
    "no additional": (Conduct(child_error="NO_ADDITIONAL_SAS"), "peer", "NO_ADDITIONAL_SAS"),
    "no address": (Conduct(gives_no_address=True), "peer", "there is no inner address"),
    "wrong IDr": (Conduct(idr="segw.elsewhere.example"), "name", "segw.elsewhere.example"),
    "wrong signature": (Conduct(wrong_signature=True), "other", "signature validation failed"),
    "lost fragment": (Conduct(lost_fragment=2), "no answer", "giving up after 2"),
}


@pytest.mark.parametrize("name", REFUSED)
@on_wires
async def test_charon_refuses_with_the_right_cause(wires: Wires, name: str) -> None:
    conduct, cause, words = REFUSED[name]
    at = operator(wires)
    await crafted(at, conduct)
    with pytest.raises(TunnelRefused) as refused:
        await (at.open() if name in SILENT else at.open(life=PATIENT))

    assert refused.value.cause == cause
    assert words in str(refused.value)
    assert wires.crashes == []


@pytest.mark.parametrize(
    ("conduct", "answered"),
    [
        (Conduct(), 1),
        (Conduct(asks_cookie=True), 2),
        (Conduct(ignores=1), 1),
        (Conduct(copies=2), 1),
    ],
    ids=["right", "cookie", "late", "twice"],
)
@on_wires
async def test_charon_opens_a_tunnel_all_the_same(
    wires: Wires, conduct: Conduct, answered: int
) -> None:
    at = operator(wires)
    segw = await crafted(at, conduct)
    tunnel = await at.open(life=PATIENT)

    assert (tunnel.address, tunnel.dns_servers) == ("10.20.0.1", (INNER_DNS,))
    assert segw.responder is not None
    assert segw.responder.answered["IKE_SA_INIT"] >= answered

    await tunnel.close()

    assert segw.responder.answered["INFORMATIONAL"] >= 1
    assert wires.crashes == []


@on_wires
async def test_a_retransmitted_request_is_the_same_octets(wires: Wires) -> None:
    at = operator(wires)
    capture, frames = wires.capture()
    await crafted(at, Conduct(ignores=2))
    await (await at.open(life=PATIENT)).close()
    await capture.flush()
    sent = [each.data[42:] for each in frames if each.node == "hnb" and each.data[36:38] == NAT]
    requests = [each for each in sent if each[:4] == bytes(4)]

    assert requests
    assert all(requests.count(each) >= 3 for each in requests)


ASKED: dict[str, tuple[Asking, tuple[str, ...]]] = {
    "right": (Asking(), ()),
    "old cipher": (Asking(ciphers=(3,)), ("NO_PROPOSAL_CHOSEN",)),
    "unknown critical payload": (
        Asking(unknown_critical=True),
        ("UNSUPPORTED_CRITICAL_PAYLOAD",),
    ),
    "no certificate": (Asking(without_certificate=True), ("AUTHENTICATION_FAILED",)),
    "wrong signature": (Asking(wrong_signature=True), ("AUTHENTICATION_FAILED",)),
    "wrong IDi": (Asking(idi="hnb2.operator.example"), ("AUTHENTICATION_FAILED",)),
}


@pytest.mark.parametrize("name", ASKED)
@on_wires
async def test_charon_answers_a_crafted_hnb(wires: Wires, name: str) -> None:
    asking, errors = ASKED[name]
    at = operator(wires)
    await at.accept()
    initiator = CraftedInitiator(ROOT.issue(HNB_NAME), SEGW_NAME, asking, Random("hnb"))
    await ask(at.hnb, SEGW, initiator)

    assert initiator.errors == errors
    assert initiator.address == ("" if errors else "10.20.0.1")
    assert wires.crashes == []


class Told(list[IkeKeys | EspKeys]):
    """Keys as they are told, and the event that the first ones are."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    def append(self, keys: IkeKeys | EspKeys) -> None:
        super().append(keys)
        self.begun.set()


@pytest.mark.parametrize("name", ["right", "wrong IDi"])
@on_wires
async def test_a_responder_alone_tells_the_keys_of_what_it_answers(wires: Wires, name: str) -> None:
    """As where the HNB is a device on the bench: nobody else tells them."""
    told = wires.tunnel_keys = Told()
    at = operator(wires)
    capture, frames = wires.capture()
    await at.accept()
    initiator = CraftedInitiator(ROOT.issue(HNB_NAME), SEGW_NAME, ASKED[name][0], Random("hnb"))
    await ask(at.hnb, SEGW, initiator)
    await told.begun.wait()
    await capture.flush()
    trace = Trace.from_frames(frames, keys=told)
    request, *_ = [each.message for each in trace.all(ike.Auth)]

    assert request.idi == (ASKED[name][0].idi or HNB_NAME)


@on_wires
async def test_charon_refuses_an_hnb_of_another_root(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    initiator = CraftedInitiator(OTHER_ROOT.issue(HNB_NAME), SEGW_NAME, Asking(), Random("hnb"))
    await ask(at.hnb, SEGW, initiator)

    assert initiator.errors == ("AUTHENTICATION_FAILED",)


@on_wires
async def test_a_crafted_hnb_is_told_that_nobody_answers(wires: Wires) -> None:
    at = operator(wires)
    initiator = CraftedInitiator(ROOT.issue(HNB_NAME), SEGW_NAME, Asking(), Random("hnb"))
    with pytest.raises(TunnelRefused, match="answers none of 4 requests to port 500"):
        await ask(at.hnb, SEGW, initiator)
