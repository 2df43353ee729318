"""charon, strongSwan's IKE daemon: one process for all tunnels of a node, started when first asked.

All that it has is its own: configuration, socket and log lie in a folder of the lab, and it is born
in the node's network namespace.  Knows no role's policy; what it is told comes from `tunnels`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from testbed.engines.emulation.kernel_esp import KernelEsp
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.programs import RunningProgram
from testbed.engines.emulation.tunnel_log import TOLD_LEVEL, LogLine, read_line
from testbed.engines.emulation.tunnel_settings import INTERFACE_ID
from testbed.engines.emulation.tunnel_vici import Fields, Vici
from testbed.errors import LocalError, MissingFeature
from testbed.host import TunnelLife
from testbed.topology import Esp

INTERFACE = "ipsec0"
"""The inside of a node's tunnels; libipsec's own name for its first device."""

_PROGRAM = "charon-systemd"
_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin"
_PLUGINS = (
    "random nonce aes sha1 sha2 hmac kdf gmp x509 revocation constraints pubkey pkcs1 pkcs8 pem "
    "openssl gcm drbg {esp} kernel-netlink resolve socket-default vici updown"
)
_FAKE_TIME = "*/faketime/libfaketime.so.1"
_EVENTS = ("ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey")


@dataclass(frozen=True, slots=True)
class Timers:
    """Those of charon's timers that all tunnels of a node have in common."""

    keepalive_s: float
    retransmit_first_s: float
    retransmit_factor: float
    retransmit_tries: int

    @classmethod
    def of(cls, life: TunnelLife) -> Timers:
        """Those of a tunnel's life."""
        return cls(
            life.keepalive_s,
            life.retransmit_first_s,
            life.retransmit_factor,
            life.retransmit_tries,
        )


def configuration(folder: Path, timers: Timers, esp: Esp) -> str:
    """charon's strongswan.conf.

    Routes are not charon's: two tunnels of one node may lead to the same prefix, which may hold the
    responder's outer address as well.  (With kernel-libipsec it makes some whatever it is told; so
    its table comes after all others.)  No cookies, which a busy machine would bring by chance.
    """
    plugins = _PLUGINS.format(esp="kernel-libipsec" if esp is Esp.USER else "").replace("  ", " ")
    on_kernel = f"install_virtual_ip_on = {INTERFACE}" if esp is Esp.KERNEL else ""
    return f"""\
charon-systemd {{
  load = {plugins}
  install_routes = no
  routing_table_prio = 40000
  {on_kernel}
  reuse_ikesa = no
  dos_protection = no
  close_ike_on_child_failure = yes
  keep_alive = {round(timers.keepalive_s)}s
  retransmit_timeout = {timers.retransmit_first_s}
  retransmit_base = {timers.retransmit_factor}
  retransmit_tries = {timers.retransmit_tries}
  start-scripts {{ }}
  journal {{
    default = -1
  }}
  filelog {{
    all {{
      path = /dev/stdout
      default = 1
      ike = 4
      chd = 4
      mgr = 2
      flush_line = yes
      ike_name = yes
      log_level = yes
      time_format = %H:%M:%S
      time_add_ms = yes
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{folder}/vici
    }}
    resolve {{
      file = {folder}/resolv.conf
    }}
    kernel-libipsec {{
      allow_peer_ts = yes
    }}
  }}
}}
"""


def other_date(node: str, skew_s: int) -> dict[str, str]:
    """The environment in which a program of that node has another date.

    charon asks the C library for the date when it looks at a certificate, and has no setting for
    it.  Its timers go by the monotonic clock, which stays as it is.

    Raises:
        MissingFeature: libfaketime is not on this machine.
    """
    libraries = sorted(Path("/usr/lib").glob(_FAKE_TIME))
    if not libraries:
        raise MissingFeature(
            f"{node}: its date is {abs(skew_s)} s off, which charon can only be made to believe by "
            "libfaketime, and that is not on this machine (apt install libfaketime)"
        )
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME": f"{skew_s:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


class Charon:
    """One charon; it is there once `start` has returned.

    Args:
        node: whose.
        esp: who does ESP.
        log: what it tells for readers is added there; None: nowhere.
        on_line: called with each line that it logs.
        on_event: called with each event that it tells over vici.

    Attributes:
        commands: the connection for what is done at once.
        is_running: whether it takes commands.
        skew_s: by how much its date is ahead of the true one.
        version: strongSwan's.
    """

    commands: Vici
    version: str

    def __init__(
        self,
        node: str,
        esp: Esp,
        log: Path | None,
        on_line: Callable[[LogLine], None],
        on_event: Callable[[str, Fields], None],
    ) -> None:
        self.node = node
        self.is_running = False
        self.skew_s = 0
        self._esp = esp
        self._kernel: KernelEsp | None = None
        self._on_line = on_line
        self._on_event = on_event
        self._folder = tempfile.TemporaryDirectory(prefix="charon-")
        self._path = Path(self._folder.name)
        self._log: BinaryIO | None = None
        self._program: RunningProgram | None = None
        self._connections: list[Vici] = []
        self._timers: Timers | None = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = log.open("ab", buffering=0)

    async def start(
        self, namespace: Namespace, netlink: Netlink, timers: Timers, skew_s: int = 0
    ) -> None:
        """Start the process; returns when it takes commands.

        Args:
            namespace: the node's.
            netlink: configures it.
            timers: for the tunnels that begin until others are set.
            skew_s: by how much the node's date is ahead of the true one.

        Raises:
            MissingFeature: there is no charon on this machine, or it cannot have its interface, or
                what gives it another date is missing.
        """
        self.skew_s = skew_s
        program = shutil.which(_PROGRAM, path=f"{os.environ.get('PATH', '')}:{_FOLDERS}")
        if program is None:
            raise MissingFeature(
                f"{self.node}: the program {_PROGRAM} is not on this machine, and IPsec needs it "
                "(apt install charon-systemd libcharon-extra-plugins "
                "libstrongswan-standard-plugins)"
            )
        if self._esp is Esp.KERNEL:
            self._kernel = KernelEsp(namespace, netlink, INTERFACE, INTERFACE_ID)
            self._kernel.begin()
        # An AppArmor profile goes by the path: Debian's lets charon read nothing of a lab.
        own = self._path / _PROGRAM
        shutil.copy(program, own)
        self._write(timers)
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            notices.bind(f"{self._path}/notify")
            loop.add_reader(notices, self._noticed, notices, ready)
            environment = {
                "STRONGSWAN_CONF": f"{self._path}/strongswan.conf",
                "NOTIFY_SOCKET": f"{self._path}/notify",
                "TZ": "UTC",
                **(other_date(self.node, skew_s) if skew_s else {}),
            }
            self._program = RunningProgram(
                namespace, [str(own)], Path(os.devnull), environment, self._line
            )
            ended = loop.create_task(self._end_before(ready, self._program))
            try:
                await ready
            finally:
                ended.cancel()
        finally:
            loop.remove_reader(notices)
            notices.close()
        if INTERFACE not in netlink.links():
            raise MissingFeature(self._no_device())
        self.is_running = True
        for _ in range(2):
            self._connections.append(await self.connection())
        self.commands = self._connections[0]
        await self._connections[1].register(*_EVENTS)
        self.version = (await self.commands.ask("version"))["version"].decode()

    async def live(self) -> int:
        """Hear its events until it ends; gives its exit status."""
        await self._connections[1].listen(self._event)
        assert self._program is not None
        return await self._program.wait()

    def hear(self) -> None:
        """Take in what it has logged by now."""
        if self._program is not None:
            self._program.hear()

    async def set_timers(self, timers: Timers) -> None:
        """For tunnels that begin from now on."""
        if timers != self._timers:
            self._write(timers)
            await self.commands.ask("reload-settings")

    async def connection(self) -> Vici:
        """One more connection, for what takes long."""
        return await Vici.open(self._path / "vici")

    def end(self) -> None:
        """Kill it, without a word to its peers; its interface goes with it."""
        self.is_running = False
        if self._program is not None:
            self._program.kill()
        if self._kernel is not None:
            self._kernel.end()
            self._kernel = None
        for connection in self._connections:
            connection.close()
        if self._log is not None:
            self._log.close()
            self._log = None
        with suppress(OSError):
            self._folder.cleanup()

    def _write(self, timers: Timers) -> None:
        self._timers = timers
        text = configuration(self._path, timers, self._esp)
        (self._path / "strongswan.conf").write_text(text)

    @staticmethod
    def _noticed(notices: socket.socket, ready: asyncio.Future[None]) -> None:
        """systemd's protocol: lines NAME=VALUE, of which READY=1 says that it serves."""
        with suppress(BlockingIOError):
            while True:
                if b"READY=1" in notices.recv(4096).split(b"\n") and not ready.done():
                    ready.set_result(None)

    async def _end_before(self, ready: asyncio.Future[None], program: RunningProgram) -> None:
        await program.wait()
        if not ready.done():
            ready.set_exception(MissingFeature(self._why_not(program.last_lines)))

    def _why_not(self, last_lines: Sequence[str]) -> str:
        said = "; ".join(last_lines)
        if "TUN device" in said:
            return self._no_device()
        return f"{self.node}: charon ended while it started: {said or 'without a word'}"

    def _no_device(self) -> str:
        return (
            f"{self.node}: charon cannot make its TUN device, and tunnels need it: /dev/net/tun is "
            "missing or not ours to open (sudo modprobe tun; sudo chmod 666 /dev/net/tun)"
        )

    def _line(self, text: str) -> None:
        line = read_line(text)
        if self._log is not None and (line is None or line.level <= TOLD_LEVEL):
            self._log.write(text.encode() + b"\n")
        if line is not None:
            self._on_line(line)

    def _event(self, name: str, fields: Fields) -> None:
        # charon has logged what led to the event before it told the event.
        self.hear()
        self._on_event(name, fields)


class CharonDied(LocalError):
    """charon has ended, and nobody had asked it to."""
