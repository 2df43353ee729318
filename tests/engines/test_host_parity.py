"""The emulated host offers exactly what `testbed.host` promises to roles; mypy checks the types."""

from __future__ import annotations

import inspect

import pytest

from testbed import host
from testbed.engines.calls import Call
from testbed.engines.emulation.host import EmulatedHost
from testbed.engines.emulation.ports import UdpPort
from testbed.engines.emulation.programs import RunningProgram
from testbed.engines.emulation.streams import TcpListener, TcpStream
from testbed.engines.tls import TlsStream

PAIRS = [
    (host.Host, EmulatedHost),
    (host.Port, UdpPort),
    (host.Stream, TcpStream),
    (host.Stream, TlsStream),
    (host.Listener, TcpListener),
    (host.Timer, Call),
    (host.ProgramHost, EmulatedHost),
    (host.Program, RunningProgram),
]


@pytest.mark.parametrize(("promise", "ours"), PAIRS, ids=lambda each: each.__name__)
def test_every_promised_method_has_the_promised_signature(promise: type, ours: type) -> None:
    promised = {
        name: inspect.signature(method)
        for name, method in vars(promise).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }

    assert {name: inspect.signature(getattr(ours, name)) for name in promised} == promised
