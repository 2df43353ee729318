"""Both engines offer exactly what `testbed.host` promises to roles; mypy checks the types."""

from __future__ import annotations

import inspect

import pytest

from testbed import host
from testbed.engines.calls import Call
from testbed.engines.emulation.host import EmulatedHost
from testbed.engines.emulation.ports import UdpPort
from testbed.engines.emulation.programs import RunningProgram
from testbed.engines.emulation.streams import TcpListener, TcpStream
from testbed.engines.simulation import streams as simulated_streams
from testbed.engines.simulation import udp as simulated_udp
from testbed.engines.simulation.host import SimulatedHost
from testbed.engines.simulation.modelled_tls import ModelledTlsStream
from testbed.engines.simulation.tunnel_initiator import OpenTunnel
from testbed.engines.simulation.tunnel_responder import Responder
from testbed.engines.simulation.world import SimulationWorld
from testbed.engines.tls import TlsStream
from testbed.engines.tunnel_inside import InsideHost

PAIRS = [
    (host.Host, EmulatedHost),
    (host.Port, UdpPort),
    (host.Stream, TcpStream),
    (host.Stream, TlsStream),
    (host.Listener, TcpListener),
    (host.Timer, Call),
    (host.ProgramHost, EmulatedHost),
    (host.Program, RunningProgram),
    (host.Host, SimulatedHost),
    (host.Port, simulated_udp.UdpPort),
    (host.Stream, simulated_streams.TcpStream),
    (host.Stream, ModelledTlsStream),
    (host.Listener, simulated_streams.TcpListener),
    (host.Tunnel, OpenTunnel),
    (host.TunnelListener, Responder),
    (host.Host, InsideHost),
    (host.World, SimulationWorld),
]


@pytest.mark.parametrize(("promise", "ours"), PAIRS, ids=lambda each: each.__name__)
def test_every_promised_method_has_the_promised_signature(promise: type, ours: type) -> None:
    promised = {
        name: inspect.signature(method)
        for name, method in vars(promise).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }

    assert {name: inspect.signature(getattr(ours, name)) for name in promised} == promised
