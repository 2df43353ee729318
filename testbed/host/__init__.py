"""All that a role may ask of the world: datagrams, streams, tunnels, addresses, time.

Roles see `Host` and nothing below it; each engine has a class that fits it.
"""

from testbed.host.drive import Drive, SidedDrive
from testbed.host.mend import Finish, Mend, Pause, Piece
from testbed.host.node import DeviceHost, Host, Program, ProgramHost, Tunnel
from testbed.host.ports import (
    DatagramHandler,
    Interface,
    Listener,
    Port,
    Stream,
    StreamHandler,
    Timer,
)
from testbed.host.tls import TlsCause, TlsProfile, TlsRefused, TlsVersion
from testbed.host.tunnel import (
    TunnelCause,
    TunnelChange,
    TunnelHandler,
    TunnelKind,
    TunnelLife,
    TunnelListener,
    TunnelPolicy,
    TunnelProfile,
    TunnelRefused,
)
from testbed.host.world import World

__all__ = [
    "DatagramHandler",
    "DeviceHost",
    "Drive",
    "Finish",
    "Host",
    "Interface",
    "Listener",
    "Mend",
    "Pause",
    "Piece",
    "Port",
    "Program",
    "ProgramHost",
    "SidedDrive",
    "Stream",
    "StreamHandler",
    "Timer",
    "TlsCause",
    "TlsProfile",
    "TlsRefused",
    "TlsVersion",
    "Tunnel",
    "TunnelCause",
    "TunnelChange",
    "TunnelHandler",
    "TunnelKind",
    "TunnelLife",
    "TunnelListener",
    "TunnelPolicy",
    "TunnelProfile",
    "TunnelRefused",
    "World",
]
