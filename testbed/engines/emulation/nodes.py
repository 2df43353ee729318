"""Mininet's nodes and switches on held namespaces: no process until somebody asks for one.

A `LabNode` is a Mininet `Host` and a `LabSwitch` a Mininet `Switch`; whatever works with Mininet's
own works with these.  Mininet starts a bash on a pty for each node; here it starts when `cmd`,
`sendCmd`, `pid` or something else that needs it is first used.
"""
# ruff: noqa: N802, N803 -- the names of methods and arguments are Mininet's

from __future__ import annotations

import contextlib
import ctypes
import os
import pty
import select
import signal
import subprocess
import termios
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from mininet.node import Host, Node, Switch

from testbed.engines.emulation.links import LabIntf, kernel_name
from testbed.engines.emulation.namespace import CLONE_NEWNET, Namespace
from testbed.engines.emulation.netlink import Netlink, NetlinkError
from testbed.errors import BadInput, MissingFeature

_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)

_NEEDS_SHELL = frozenset({"shell", "pid", "stdin", "stdout", "pollOut"})

_OF_NODES = {
    "ipv6/conf/default/disable_ipv6": "1",  # its discovery and reports would be in every capture
    "ipv4/ip_forward": "0",  # inherited from the machine; a role that routes turns it on
    "ipv4/conf/all/rp_filter": "0",  # a strict filter drops what a tunnel or a NAT delivers
    "ipv4/conf/default/rp_filter": "0",
}
_OF_SWITCHES = {
    "ipv6/conf/default/disable_ipv6": "1",
    # Frames that a bridge forwards are not for a packet filter: it would break hairpin NAT.
    "bridge/bridge-nf-call-iptables": "0",
    "bridge/bridge-nf-call-ip6tables": "0",
    "bridge/bridge-nf-call-arptables": "0",
}

T = TypeVar("T")


class _Settings:
    """Gives namespaces their settings; writes only what a fresh one has otherwise.

    Args:
        settings: values by name under /proc/sys/net; a name that the kernel lacks is left out.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings
        self._to_write: list[tuple[str, str]] | None = None

    def apply(self) -> None:
        """Set them in the namespace that this thread is in, made a moment ago.

        All fresh namespaces of a machine are alike, so the first one tells what the others need; a
        write costs 50 microseconds.
        """
        if self._to_write is None:
            self._to_write = []
            for name, value in self._settings.items():
                with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/net/{name}") as file:
                    if file.read().strip() != value:
                        self._to_write.append((f"/proc/sys/net/{name}", value))
        for path, value in self._to_write:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, value.encode())
            finally:
                os.close(descriptor)


_of_nodes, _of_switches = _Settings(_OF_NODES), _Settings(_OF_SWITCHES)


def fresh_namespace(name: str, for_switches: bool = False) -> Namespace:
    """A new namespace with the settings of a node, or of switches.

    Raises:
        MissingFeature: the kernel gives no more namespaces, or none to this user.
    """
    try:
        namespace = Namespace.create(name)
    except OSError as error:
        raise MissingFeature(
            f"{name}: no network namespace: {error.strerror}; see user.max_net_namespaces"
        ) from None
    with namespace:
        (_of_switches if for_switches else _of_nodes).apply()
    return namespace


class LabNode(Host):  # type: ignore[misc]  # Mininet has no types
    """A node that is a namespace.

    Args:
        name: in the topology.
        inNamespace: a namespace of its own; else it lives where this thread is.
        namespace: an open one to live in, which its owner closes.
        netlink: that of `namespace`.

    Attributes:
        namespace: its network namespace.
        netlink: configures it.
    """

    shell: Any
    pid: Any

    def __init__(
        self,
        name: str,
        inNamespace: bool = True,
        namespace: Namespace | None = None,
        netlink: Netlink | None = None,
        **params: Any,
    ) -> None:
        self._owns = namespace is None
        self.namespace = namespace or (
            fresh_namespace(name) if inNamespace else Namespace.current(name)
        )
        self.netlink = netlink or Netlink(self.namespace)
        self._mounts = -1
        self._processes: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()
        # Not super(): under a LabSwitch that would be Switch, which makes a stock interface.
        Node.__init__(self, name, inNamespace=inNamespace, **params)

    @classmethod
    def setup(cls) -> None:
        """Nothing: Mininet looks for mnexec and ifconfig, which are not needed here."""

    # The shell, and other processes

    def startShell(self, mnopts: str | None = None) -> None:
        """Not yet: it starts when something of it is asked for."""
        for name in _NEEDS_SHELL:
            self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        if name in _NEEDS_SHELL:
            self._open_shell()
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _open_shell(self) -> None:
        self.master, self.slave = pty.openpty()
        # An interrupt would otherwise discard output that waits in the pty, and with it, now and
        # then, the prompt that tells the command's end: Mininet's own nodes hang at that.
        modes = termios.tcgetattr(self.slave)
        modes[3] |= termios.NOFLSH
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)
        command = ["bash", "--norc", "--noediting", "-is", f"mininet:{self.name}"]
        ends = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        try:
            # The prompt is the sentinel that Mininet's `monitor` looks for.
            shell = self._popen(command, env={**os.environ, "PS1": chr(127)}, **ends)
        except OSError as error:
            os.close(self.master)
            os.close(self.slave)
            raise MissingFeature(f"node {self.name}: cannot start bash: {error.strerror}") from None
        self.shell, self.pid = shell, shell.pid
        self.stdin = self.stdout = os.fdopen(self.master, "r")
        self.pollOut = select.poll()
        # Mininet also polls for writing, which is always possible: its timeouts never come.
        self.pollOut.register(self.stdout, select.POLLIN)
        self.outToNode[self.stdout.fileno()] = self
        self.inToNode[self.stdin.fileno()] = self
        while not self.read(1024).endswith(chr(127)):
            self.pollOut.poll()
        self.cmd("unset HISTFILE; stty -echo; set +m")

    @property
    def has_shell(self) -> bool:
        """Whether its bash runs."""
        return bool(self.__dict__.get("shell"))

    def popen(self, *args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        """A process in the node, as with Mininet's own: words, one list, or one string."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        through_shell = options.pop("shell", False)
        # mnexec tells of a program that is not there as it does for Mininet's own nodes.
        launcher = options.pop("mncmd", ["mnexec"])
        if len(args) == 1 and isinstance(args[0], str):
            words = [args[0]] if through_shell else args[0].split()
        elif len(args) == 1 and isinstance(args[0], list):
            words = args[0]
        elif len(args) > 1:
            words = list(args)
        else:
            raise BadInput(f"{self.name}: popen wants words, a list or a string, not {args!r}")
        if through_shell:
            words = [os.environ.get("SHELL", "/bin/sh"), "-c", " ".join(words)]
        return self._popen([*launcher, *words], **options)

    def _popen(self, cmd: list[str], **params: Any) -> subprocess.Popen[bytes]:
        params.setdefault("start_new_session", True)
        process = self._inside(lambda: subprocess.Popen(cmd, **params))
        self._processes.add(process)
        return process

    def _inside(self, work: Callable[[], T]) -> T:
        """Do `work` on a thread that is in the node's network and mount namespaces.

        Processes are born where the thread is that starts them.  The calling thread itself never
        leaves its place: whatever else runs in it, or starts a thread, is not concerned.
        """
        if self._owns and not self.inNamespace:
            return work()  # it lives where everybody is
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                self._enter()
                results.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, name=f"inside {self.name}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def _enter(self) -> None:
        """Move this thread, which ends soon, into the node; make its mount namespace if need be."""
        _call("setns", self.namespace.descriptor, CLONE_NEWNET)
        if self._mounts >= 0:
            folder = os.getcwd()
            _call("unshare", _CLONE_FS)
            _call("setns", self._mounts, _CLONE_NEWNS)
            os.chdir(folder)
            return
        _call("unshare", _CLONE_FS | _CLONE_NEWNS)
        _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        # So that /sys/class/net tells this namespace's interfaces.  Where it may not be mounted
        # (inside some containers) programs that look there see the root namespace's.
        with contextlib.suppress(OSError):
            _call("mount", b"sysfs", b"/sys", b"sysfs", 0, None)
        self._mounts = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    # Addresses and routes

    def setDefaultRoute(self, intf: Any = None) -> None:
        """Replace the default route: by "via ROUTER", "dev NAME", both, or an interface."""
        words = str(intf).split() if isinstance(intf, str) and " " in intf else ["dev", str(intf)]
        known = dict(zip(words[::2], words[1::2], strict=False))
        if len(words) % 2 or not known.keys() <= {"via", "dev"}:
            self.cmd("ip route del default; ip route add default", *words)
            return
        self.netlink.flush_default_routes()
        self.netlink.add_route("0.0.0.0/0", router=known.get("via"), device=known.get("dev"))

    def setHostRoute(self, ip: str, intf: Any) -> str:
        """Send what is for that address over that interface."""
        self.netlink.add_route(f"{ip}/32", device=str(intf))
        return ""

    def config(
        self,
        mac: str | None = None,
        ip: str | None = None,
        defaultRoute: str | None = None,
        lo: str = "up",
        **_params: Any,
    ) -> dict[str, Any]:
        """Configure the first interface, the default route and the loopback interface."""
        results: dict[str, Any] = {}
        self.setParam(results, "setMAC", mac=mac)
        self.setParam(results, "setIP", ip=ip)
        self.setParam(results, "setDefaultRoute", defaultRoute=defaultRoute)
        self.netlink.set_up("lo", lo == "up")
        return results

    # The end

    def deleteIntfs(self, checkName: bool = True) -> None:
        """Remove its interfaces, and with them the other ends of their links."""
        for intf in list(self.intfs.values()):
            if intf.name != "lo":
                intf.delete()

    def terminate(self) -> None:
        """End its shell and every process that it started, and let go of its namespace."""
        shell = self.__dict__.get("shell")
        if shell and shell.poll() is None:
            self.unmountPrivateDirs()
            os.killpg(shell.pid, signal.SIGHUP)
            with contextlib.suppress(subprocess.TimeoutExpired):
                shell.wait(1)  # what it started in the background gets the signal from it
        for process in list(self._processes):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.wait()
        self.cleanup()
        if self._mounts >= 0:
            os.close(self._mounts)
            self._mounts = -1
        if self._owns:
            self.netlink.close()
            self.namespace.close()

    def cleanup(self) -> None:
        """Close the shell's pty; there is no shell from now on."""
        if self.has_shell:
            for of_descriptor in (self.inToNode, self.outToNode):
                of_descriptor.pop(self.stdin.fileno(), None)
            self.stdin.close()
            os.close(self.slave)
        self.shell = self.pid = None

    def __repr__(self) -> str:
        intfs = ",".join(f"{intf.name}:{intf.IP()}" for intf in self.intfList())
        shell = f" pid={self.pid}" if self.has_shell else ""
        return f"<{type(self).__name__} {self.name}: {intfs} netns={self.namespace.path}{shell}> "


class LabSwitch(LabNode, Switch):  # type: ignore[misc]  # Mininet has no types
    """A kernel bridge, for a link of the topology.

    Args:
        name: of the link.  The bridge has the same, shortened where the kernel wants it shorter.
        namespace: that of all switches of a network, which goes with the network; None: the
            namespace that this thread is in.

    Attributes:
        bridge: the kernel's name of the bridge.
    """

    def __init__(
        self,
        name: str,
        dpid: str | None = None,
        opts: str = "",
        listenPort: int | None = None,
        **params: Any,
    ) -> None:
        if params.pop("inNamespace", False):
            raise BadInput(f"switch {name}: its bridge has no namespace of its own")
        super().__init__(name, inNamespace=False, **params)
        self.bridge = kernel_name(name)
        self.dpid, self.opts, self.listenPort = dpid, opts, listenPort
        self.controlIntf = LabIntf("lo", self, port=0)

    def start(self, _controllers: Any = None) -> None:
        """Make the bridge, with its interfaces as ports: frames pass at once."""
        with self.netlink.batch():
            self.netlink.add_bridge(self.bridge)
            for intf in self.intfList():
                if intf.name != "lo":
                    self.netlink.enslave(intf.name, self.bridge)

    def stop(self, deleteIntfs: bool = True) -> None:
        """Remove the bridge; its ports stay where `deleteIntfs` is False."""
        with contextlib.suppress(NetlinkError):  # it has not been started, or has been stopped
            self.netlink.delete(self.bridge)
        if deleteIntfs:
            self.deleteIntfs()

    @classmethod
    def batchShutdown(cls, switches: list[LabSwitch]) -> list[LabSwitch]:
        """The switches that need no stop: their bridges go with their common namespace.

        To delete one bridge costs the kernel a grace period, 16 ms, in which the caller waits.
        """
        return [switch for switch in switches if not switch._owns]

    def attach(self, intf: Any) -> None:
        """Make one more interface a port of the running bridge."""
        self.netlink.enslave(str(intf), self.bridge)

    def detach(self, intf: Any) -> None:
        """The interface is a port no more."""
        self.netlink.enslave(str(intf), None)

    def dpctl(self, *args: Any) -> str:
        """What iproute2's `bridge` says to these words."""
        return str(self.cmd("bridge", *args))


class RelayedSwitch(LabSwitch):
    """A link without a bridge: the relay carries its frames from port to port."""

    def start(self, _controllers: Any = None) -> None:
        """Nothing: the relay starts when the ports of all links are there."""

    def attach(self, intf: Any) -> None:
        """Refuse: the relay knows the ports that it began with.

        Raises:
            BadInput: always.
        """
        raise BadInput(f"switch {self.name}: a relay carries this link, and takes no more ports")

    def detach(self, intf: Any) -> None:
        """Refuse likewise.

        Raises:
            BadInput: always.
        """
        raise BadInput(f"switch {self.name}: a relay carries this link, and keeps its ports")


def _call(function: str, *arguments: Any) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
