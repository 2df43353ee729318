"""STUN servers of others: coturn, and Vovida's stund, which is the only free one that honours
RESPONSE-ADDRESS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from testbed.errors import Unsupported
from testbed.external.program import About, ExternalProgram
from testbed.topology import Node

PORT, OTHER_PORT = 3478, 3479
_NO_ACS = {
    "provision": "it knows no STUNUsername and challenges nobody",
    "bindings": "it keeps no binding, and tells none to an ACS",
    "verify_next": "it challenges nobody",
    "send_connection_request": "it has no ACS: TR-111 Part 2 wants requests from its own socket",
    "mend_of": "it does not misbehave",
    "policy": "its policy is fixed when it starts",
    "challenge": "it knows no STUNUsername and challenges nobody",
    **dict.fromkeys(
        ("TR111-2.2.2.2.1-S1", "TR111-2.2.2.2.1-S2", "TR111-2.2.2.2.1-S3"),
        "it knows no STUNUsername and challenges nobody",
    ),
}
"""What no STUN server of others can do: TR-111's authentication and connection requests."""


class ForeignStunServer(ExternalProgram):
    """What both have in common: nobody is challenged, and no policy can be set."""

    reflections: ClassVar[tuple[str, ...]] = ()
    """Policies of RESPONSE-ADDRESS under which a scenario sees what this server does anyway."""

    def set_policy(self, **changes: object) -> None:
        """A scenario says what it needs; nothing is changed.

        Raises:
            Unsupported: the server does something else.
        """
        has = {"challenge": ("none",), "reflection": self.reflections}
        for name, value in changes.items():
            if value not in has.get(name, ()):
                raise self.unable(name)

    def _ports(self, node: Node) -> tuple[int, int | None]:
        port = int(node.settings.get("port", PORT))
        other_port = node.settings.get("other_port", OTHER_PORT if self._others else None)
        return port, None if other_port is None else int(other_port)

    @property
    def _addresses(self) -> list[str]:
        return [each.address for each in self.node.attachments if each.address is not None]

    @property
    def _others(self) -> list[str]:
        return self._addresses[1:]


class Coturn(ForeignStunServer):
    """turnserver as a STUN server alone, with RFC 5780's CHANGE-REQUEST where it has two addresses.

    It ignores RESPONSE-ADDRESS, so that no CPE can search its binding's lifetime with it.
    """

    about = About(
        program="coturn",
        package="coturn",
        command="turnserver",
        plays=("stun_server",),
        version_arguments=("--version",),
        version_pattern=r"(\d+\.\d+\.\d+)",
        ready_pattern=r"IO method \(admin thread\)",
        cannot={**_NO_ACS, "reflection": "it ignores RESPONSE-ADDRESS"},
    )

    def require(self, node: Node) -> None:
        """Its second port goes with a second address only."""
        port, other_port = self._ports(node)
        if other_port is not None and not self._others:
            raise Unsupported(
                f"{node.name} is played by {self.about.program}, which has a second port only with "
                f"a second address; this run wants port {other_port} beside {port}"
            )

    def arguments(self, folder: Path) -> Sequence[str]:
        """UDP only, no TURN, one thread, its files in its folder."""
        port, other_port = self._ports(self.node)
        words = ["-S", "-n", "-m", "1", "-p", str(port), "-l", "stdout", "--simple-log"]
        words += ["--no-cli", "--no-tcp", "--no-tls", "--no-dtls"]
        words += [word for each in self._addresses for word in ("-L", each)]
        if other_port is not None:
            words += ["--alt-listening-port", str(other_port)]
        else:
            words += ["--no-rfc5780"]
        return [*words, "--pidfile", f"{folder}/pid", "--userdb", f"{folder}/database"]


class Vovida(ForeignStunServer):
    """Vovida's stund; one Shared Secret Request ends it, so it is started again whenever it ends.

    It honours RESPONSE-ADDRESS, for anybody and without asking: a reflector.
    """

    about = About(
        program="vovida",
        package="stun-server",
        command="stund",
        plays=("stun_server",),
        version_arguments=("-?",),
        version_pattern=r"STUN server version (\S+)",
        ready_pattern=r"Opened port \d+ with fd 6",
        cannot=_NO_ACS,
    )
    restarts = True
    reflections: ClassVar[tuple[str, ...]] = ("same-address", "always")

    def require(self, node: Node) -> None:
        """It needs two addresses and two ports."""
        _, other_port = self._ports(node)
        if not self._others or other_port is None:
            raise Unsupported(
                f"{node.name} is played by {self.about.program}, which needs two addresses and two "
                f"ports; this run gives it {len(self._addresses)} and "
                f"{1 if other_port is None else 2}"
            )

    def arguments(self, folder: Path) -> Sequence[str]:
        """In the foreground; `-v` has it tell its ports."""
        port, other_port = self._ports(self.node)
        own, other = self._addresses[0], self._others[0]
        return ["-v", "-h", own, "-a", other, "-p", str(port), "-o", str(other_port)]
