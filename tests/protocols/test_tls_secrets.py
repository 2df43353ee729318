"""TLS is opened by the secrets that OpenSSL itself has written down."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols.pki import Authority
from testbed.protocols.tls_secrets import OpenedConnection, Secrets, merged, read_key_log

MOMENT = 1_700_000_000.0
ROOT = Authority("operator", "seed", MOMENT)
WAYS = [
    ("TLSv1.3", None),
    ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"),
    ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"),
    ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"),
]
IDS = ["1.3", "1.2-aes-128", "1.2-aes-256", "1.2-chacha"]


@dataclass
class Talk:
    """Who sent which octets, in order; what was meant by them; the key log."""

    sent: list[tuple[bool, bytes]]
    secrets: Secrets


def talk(folder: Path, version: str, ciphers: str | None) -> Talk:
    """A handshake, "Inform" from the client, a long answer, and both ends."""
    identity = ROOT.issue("hms.example")
    (folder / "identity.pem").write_bytes(identity.key + identity.certificate)
    (folder / "root.pem").write_bytes(ROOT.certificate)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "identity.pem")
    for context in (client, server):
        context.minimum_version = context.maximum_version = ssl.TLSVersion[
            version.replace(".", "_")
        ]
        if ciphers:
            context.set_ciphers(ciphers)
    client.keylog_filename = str(folder / "keys.log")
    inward = {side: ssl.MemoryBIO() for side in (True, False)}
    outward = {side: ssl.MemoryBIO() for side in (True, False)}
    ends = {
        True: client.wrap_bio(inward[True], outward[True], server_hostname="hms.example"),
        False: server.wrap_bio(inward[False], outward[False], server_side=True),
    }
    sent: list[tuple[bool, bytes]] = []

    def carried(from_client: bool) -> None:
        octets = outward[from_client].read()
        sent.append((from_client, octets))
        inward[not from_client].write(octets)

    for step in range(6):
        with suppress(ssl.SSLWantReadError):
            ends[step % 2 == 0].do_handshake()
        carried(step % 2 == 0)
    for from_client, words in ((True, b"Inform"), (False, b"x" * 40_000), (True, b"thanks")):
        ends[from_client].write(words)
        carried(from_client)
        assert ends[not from_client].read(65536)
    return Talk(sent, read_key_log((folder / "keys.log").read_bytes()))


def inside(connection: OpenedConnection, sent: list[tuple[bool, bytes]]) -> dict[bool, bytes]:
    clear = {True: b"", False: b""}
    for from_client, octets in sent:
        clear[from_client] += connection.feed(from_client, octets)
    return clear


@pytest.mark.parametrize(("version", "ciphers"), WAYS, ids=IDS)
def test_both_sides_are_read(tmp_path: Path, version: str, ciphers: str | None) -> None:
    told = talk(tmp_path, version, ciphers)
    connection = OpenedConnection(told.secrets)

    assert inside(connection, told.sent) == {True: b"Informthanks", False: b"x" * 40_000}
    assert not connection.is_closed


@pytest.mark.parametrize(("version", "ciphers"), WAYS, ids=IDS)
def test_however_the_octets_come(tmp_path: Path, version: str, ciphers: str | None) -> None:
    told = talk(tmp_path, version, ciphers)
    cut = [
        (side, octets[place : place + 997])
        for side, octets in told.sent
        for place in range(0, len(octets), 997)
    ]

    assert inside(OpenedConnection(told.secrets), cut)[True] == b"Informthanks"


@pytest.mark.parametrize(("version", "ciphers"), WAYS, ids=IDS)
def test_without_its_secrets_nothing_is_read(
    tmp_path: Path, version: str, ciphers: str | None
) -> None:
    told = talk(tmp_path, version, ciphers)
    wrong = {
        random: {label: bytes(len(secret)) for label, secret in known.items()}
        for random, known in told.secrets.items()
    }

    for secrets in ({}, wrong):
        connection = OpenedConnection(secrets)
        assert inside(connection, told.sent) == {True: b"", False: b""}
        assert connection.is_closed


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=8))
def test_any_octets_are_borne(sent: list[tuple[bool, bytes]]) -> None:
    assert inside(OpenedConnection({}), sent) == {True: b"", False: b""}


def test_a_key_log_is_read_line_by_line_and_what_is_none_is_passed_over() -> None:
    random = "ab" * 32
    text = f"# comment\nCLIENT_RANDOM {random} 0102\nSERVER_TRAFFIC_SECRET_0 {random.upper()} 03\n"
    text += f"CLIENT_RANDOM {random}\nCLIENT_RANDOM zz 01\nCLIENT_RANDOM abcd 01\n\xff\n"

    read = read_key_log(text.encode("latin-1"))

    assert read == {
        bytes.fromhex(random): {"CLIENT_RANDOM": b"\1\2", "SERVER_TRAFFIC_SECRET_0": b"\3"}
    }
    assert merged([{}, read]) == read
