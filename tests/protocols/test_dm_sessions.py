"""Sessions of OMA DM 1.2: client against server, and each against a peer that does wrong."""

from __future__ import annotations

from random import Random

import pytest

from testbed.errors import DecodeError
from testbed.protocols.dm import proofs, syncml
from testbed.protocols.dm.account import Credentials
from testbed.protocols.dm.client import DmClient, ValueNodes
from testbed.protocols.dm.server import DmServerSession, Enrolled
from testbed.protocols.dm.session import Packed, Proving
from testbed.protocols.dm.syncml import DM_WBXML, DM_XML, Command, Item, Message

DEVICE, SERVER = "IMEI:356938035643809", "https://dm.operator.example/dm"
DEV_INFO = {"DevId": DEVICE, "Man": "T", "Mod": "H", "DmV": "1.2", "Lang": "en"}
ASKS = (
    Command("Get", "", (Item("./DevDetail/SwV"),)),
    Command("Replace", "", (Item("./Operator/Hello", data="welcome"),)),
    Command("Exec", "", (Item("./Operator/Hello"),)),
)


class Pair:
    """A client and a server that know each other."""

    def __init__(self, kind: str = "DIGEST", media_type: str = DM_WBXML) -> None:
        client = Credentials(kind, "device", "s3", "Zmlyc3Q=")
        server = Credentials(kind, "operator", "t0p", "c2Vjb25k")
        self.client_side = [Proving.of(client), Proving.of(server)]
        self.known = Enrolled(Proving.of(client), Proving.of(server), ASKS)
        self.nodes = ValueNodes(
            {"./DevDetail/SwV": "7", "./Operator/Hello": ""}, ("./DevInfo", "./DevDetail")
        )
        self.media_type = media_type
        self.said: list[Message] = []
        self.count = 0

    def session(self) -> tuple[DmClient, DmServerSession]:
        """A new one; nonces are those that the one before has left."""
        self.count += 1
        client = DmClient(
            str(self.count),
            DEVICE,
            SERVER,
            DEV_INFO,
            self.nodes,
            *self.client_side,
            Random(self.count),
            self.media_type,
        )
        return client, DmServerSession(SERVER, {DEVICE: self.known}.get, Random(-self.count))

    def run(self) -> tuple[DmClient, DmServerSession]:
        """A whole session."""
        client, server = self.session()
        self.said.clear()
        packed: Packed | None = client.begin()
        while packed is not None:
            self.said.append(syncml.decode(packed.body, self.media_type))
            answer = server.receive(packed.body, self.media_type, header(packed))
            self.said.append(syncml.decode(answer.body, self.media_type))
            packed = client.receive(answer.body, self.media_type, header(answer))
        return client, server


def header(packed: Packed) -> str:
    return dict(packed.headers).get(proofs.HMAC_HEADER, "")


@pytest.mark.parametrize("media_type", [DM_XML, DM_WBXML])
@pytest.mark.parametrize("kind", ["BASIC", "DIGEST", "HMAC"])
def test_a_session_has_four_packages_and_reads_and_sets_values(kind: str, media_type: str) -> None:
    pair = Pair(kind, media_type)
    client, server = pair.run()

    assert client.outcome == "complete", client.cause
    assert server.is_over
    assert len(pair.said) == 4
    assert pair.known.values == {"./DevDetail/SwV": "7"}
    assert pair.known.dev_info["./DevInfo/DevId"] == DEVICE
    assert pair.nodes.values["./Operator/Hello"] == "welcome"
    assert pair.known.statuses == [
        ("Get", "./DevDetail/SwV", "200"),
        ("Replace", "./Operator/Hello", "200"),
        ("Exec", "./Operator/Hello", "405"),
    ]


@pytest.mark.parametrize("kind", ["DIGEST", "HMAC"])
def test_nonces_are_kept_from_session_to_session(kind: str) -> None:
    pair = Pair(kind)
    pair.run()
    first = [each.nonce for each in pair.client_side]
    client, _ = pair.run()

    assert client.outcome == "complete"
    assert len(pair.said) == 4  # no challenge was needed
    assert [each.nonce for each in pair.client_side] != first


@pytest.mark.parametrize("kind", ["DIGEST", "HMAC"])
def test_a_stale_nonce_is_challenged_once_and_then_it_goes_on(kind: str) -> None:
    pair = Pair(kind)
    pair.client_side[0].nonce = "c3RhbGU="
    client, _ = pair.run()

    assert client.outcome == "complete"
    assert [each.status_of("0").data for each in pair.said[1:4:2]] == [  # type: ignore[union-attr]
        "401",
        "212" if kind == "DIGEST" else "200",
    ]
    assert pair.said[1].of("Status")[0].challenge is not None


def test_a_wrong_secret_is_refused_twice_and_ends_the_session() -> None:
    pair = Pair()
    pair.client_side[0].credentials = Credentials("DIGEST", "device", "wrong")
    client, _ = pair.run()

    assert (client.outcome, client.cause) == (
        "failed",
        "the server refuses the device's proof (401)",
    )
    assert pair.known.values == {}


def test_a_server_that_cannot_prove_itself_gets_nothing() -> None:
    pair = Pair()
    pair.client_side[1].credentials = Credentials("DIGEST", "operator", "another")
    client, _ = pair.run()

    assert client.outcome == "failed"
    assert client.cause == "the server does not prove who it is (401, twice)"
    assert pair.nodes.values["./Operator/Hello"] == ""
    assert pair.known.values == {}


def test_an_unknown_device_is_forbidden() -> None:
    pair = Pair()
    client, _ = pair.session()
    server = DmServerSession(SERVER, {}.get, Random(2))
    answer = server.receive(client.begin().body, DM_WBXML)

    assert client.receive(answer.body, DM_WBXML) is None
    assert (client.outcome, client.cause) == ("failed", "the server answers the header by 403")


def test_an_answer_of_another_session_ends_this_one() -> None:
    pair = Pair()
    client, _ = pair.session()
    client.begin()
    other = Message("99", "1", DEVICE, SERVER)

    assert client.receive(other.encode(), DM_WBXML) is None
    assert client.cause == "the answer is of session '99', not '1'"


def test_a_server_that_never_ends_is_left() -> None:
    pair = Pair()
    pair.client_side = [None, None]  # type: ignore[list-item]
    client, _ = pair.session()
    client.begin()
    status = Command("Status", "1", data="200", message_reference="1", command_reference="0")
    again = Command("Get", "2", (Item("./DevDetail/SwV"),))
    for number in range(1, 40):
        message = Message("1", str(number), DEVICE, SERVER, (status, again))
        if client.receive(message.encode(), DM_WBXML) is None:
            break

    assert client.cause == "the server goes on after 32 messages"


def test_commands_the_device_cannot_obey_have_their_status() -> None:
    pair = Pair()
    asks = (
        Command("Get", "", (Item("./Nowhere"),)),
        Command("Replace", "", (Item("./DevInfo/Man", data="x"),)),
        Command("Add", "", (Item("./Operator/Hello", data="x"),)),
        Command("Add", "", (Item("./Operator/New", data="y"),)),
        Command("Delete", "", (Item("./Operator/New"),)),
        Command("Copy", "", (Item("./a", "./b"),)),
        Command(
            "Atomic", "", inner=(Command("Replace", "", (Item("./Operator/Hello", data="z"),)),)
        ),
    )
    pair.known.asks = asks
    pair.run()

    assert [(name, code) for name, _, code in pair.known.statuses] == [
        ("Get", "404"),
        ("Replace", "404"),
        ("Add", "418"),
        ("Add", "200"),
        ("Delete", "200"),
        ("Copy", "406"),
        ("Atomic", "200"),
    ]
    assert pair.nodes.values["./Operator/Hello"] == "z"


def test_the_digest_is_that_of_the_specification() -> None:
    # OMA-TS-DM-Security 1.2: user Bruce2, password OhBehave, nonce "Nonce".
    bruce = Credentials("DIGEST", "Bruce2", "OhBehave")

    assert proofs.digest(bruce, "Tm9uY2U=") == "Zz6EivR3yeaaENcRN6lpAQ=="


def test_a_package_is_authentic_by_its_own_octets_only() -> None:
    body = b"package"
    media_type, security = proofs.read_content_type(proofs.secured("a/b", b"4711", body))

    assert media_type == "a/b"
    assert security is not None
    assert proofs.is_authentic(security, b"4711", body)
    assert not proofs.is_authentic(security, b"4711", b"Package")
    assert not proofs.is_authentic(security, b"4712", body)
    assert proofs.read_content_type("Text/X")[1] is None
    with pytest.raises(DecodeError, match="SEC is 'x', not a number"):
        proofs.read_content_type("a/b; sec=x; mac=00")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<a/>", "SyncML message: the root is a, not SyncML"),
        ("<SyncML><SyncHdr/></SyncML>", "SyncML message: no SyncBody"),
        (
            "<SyncML><SyncHdr><SessionID>1</SessionID></SyncHdr><SyncBody/></SyncML>",
            "SyncML message: SyncHdr has no MsgID",
        ),
        (
            "<SyncML><SyncHdr><SessionID>1</SessionID><MsgID>x</MsgID></SyncHdr><SyncBody/></SyncML>",
            "SyncML message: MsgID is 'x', not a number",
        ),
    ],
)
def test_what_is_no_message_is_refused_by_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(DecodeError) as refused:
        syncml.decode(text.encode(), DM_XML)

    assert str(refused.value) == sentence
