"""Two foreign programs find in the kernel's NATs what their kinds say, where they can see it.

Vovida's client compares the mapping for one other address and port only, so that it calls both
dependent mappings "Dependent Mapping", and filtering behind them is beyond it; that ports are given
one after the other it calls random.  coturn's sees all nine apart, and nothing of ports.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from testbed.topology import find_nat
from tests.emulation.street import Street
from tests.emulation.wires import Wires, on_wires
from tests.test_nat import NINE

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

SERVER, OTHER = "203.0.113.50", "203.0.113.51"
PORT, OTHER_PORT = 3478, 3479
VOVIDA = ("stund", "-h", SERVER, "-a", OTHER, "-p", str(PORT), "-o", str(OTHER_PORT))
COTURN = (
    *("turnserver", "-n", "-L", SERVER, "-L", OTHER, "-p", str(PORT)),
    *("--alt-listening-port", str(OTHER_PORT), "--no-tls", "--no-dtls", "--no-auth", "--no-cli"),
    *("-l", "/dev/null", "--pidfile", "/dev/null", "--userdb", ":memory:"),
)
BINDING_REQUEST = b"\x00\x01\x00\x00" + bytes(range(16))
WORDS = {
    "eim": "Endpoint Independent",
    "adm": "Address Dependent",
    "apdm": "Address and Port Dependent",
}
BY_COTURN = {
    kind: (
        f"{WORDS[kind.partition('-')[0]]} Mapping",
        f"{WORDS[kind.partition('-')[2][:-1] + 'm']} Filtering",
    )
    for kind, _, _ in NINE
}
BY_VOVIDA = {
    "eim-eif": "Independent Mapping, Independent Filter, preserves ports, no hairpin",
    "eim-adf": "Independent Mapping, Address Dependent Filter, preserves ports, no hairpin",
    "eim-apdf": "Independent Mapping, Port Dependent Filter, preserves ports, no hairpin",
    "rfc4787": "Independent Mapping, Independent Filter, preserves ports, will hairpin",
    "masquerade": "Independent Mapping, Port Dependent Filter, preserves ports, no hairpin",
    "adm-adf": "Dependent Mapping, random port, no hairpin",
    "symmetric": "Dependent Mapping, random port, no hairpin",
    "firewall": "Firewall",
    "udp-dropped": "Blocked or could not reach STUN server",
}


@contextlib.contextmanager
def born_in(wires: Wires, node: str, words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    with wires.namespaces[node]:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def answers(wires: Wires) -> None:
    """Wait until the server does, at its last address too: the gateway itself asks it."""
    with wires.namespaces["gateway"].socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.2)
        for end in ((SERVER, PORT), (OTHER, OTHER_PORT)):
            while True:
                try:
                    asking.sendto(BINDING_REQUEST, end)
                    asking.recv(2048)
                    break
                except OSError:  # it has not come, or nobody is there yet
                    continue


async def found(
    wires: Wires, kinds: Sequence[str], server: Sequence[str], client: Sequence[str]
) -> dict[str, str]:
    """What the client says of each kind; each has a street of its own, all at the same time."""
    told = {}
    with contextlib.ExitStack() as running:
        clients = {}
        for kind in kinds:
            own = wires.beside()
            street = await Street.build(own, find_nat(kind))
            for port in street.ports.values():
                port.close()
            running.enter_context(born_in(own, "server", server))
            answers(own)
            clients[kind] = running.enter_context(born_in(own, "hnb", client))
        for kind, process in clients.items():
            told[kind], _ = process.communicate()
    return told


@on_wires
async def test_coturns_client_tells_all_nine_kinds_apart(wires: Wires) -> None:
    client = ("turnutils_natdiscovery", "-m", "-f", SERVER)
    said = await found(wires, list(BY_COTURN), COTURN, client)
    behaviours = {
        kind: tuple(re.findall(r"NAT with (.* (?:Mapping|Filtering))!", text))
        for kind, text in said.items()
    }

    assert behaviours == BY_COTURN, said


@on_wires
async def test_vovidas_client_finds_what_it_can_see(wires: Wires) -> None:
    said = await found(wires, list(BY_VOVIDA), VOVIDA, ("stun", SERVER))
    behaviours = {
        kind: "".join(re.findall(r"Primary: (.*\S)", text)) for kind, text in said.items()
    }

    assert behaviours == BY_VOVIDA, said
