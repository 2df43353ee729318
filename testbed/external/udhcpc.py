"""busybox as a LAN device: its udhcpc gets the lease, its nslookup asks the first name."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.external.dhcp_client import NO_CPE, identity_option
from testbed.external.program import About, ExternalProgram
from testbed.protocols import dhcp

INTERFACE = "eth0"
MARK = "udhcpc-script:"
SCRIPT = f"""\
#!/bin/sh
echo "{MARK} $1 address=$ip mask=$mask router=$router dns=$dns lease=$lease"
"""


class Udhcpc(ExternalProgram):
    """busybox udhcpc; its script tells each event of the lease, and the node takes the address."""

    about = About(
        program="udhcpc",
        package="udhcpc",
        command="busybox",
        plays=("device",),
        version_arguments=(),
        version_pattern=r"BusyBox v(\S+)",
        tells=frozenset({"CONNECTED", "RENEWED", "DISCONNECTED", "FAILED", "RESOLVED"}),
        cannot={
            **NO_CPE,
            "set_resolver": "its resolver's timers are its own",
        },
    )
    starts_off = True

    def files(self, folder: Path) -> Mapping[str, str]:
        """The script that it calls at each event."""
        return {"script": SCRIPT}

    def arguments(self, folder: Path) -> Sequence[str]:
        """In the foreground, for ever."""
        words = ["udhcpc", "-f", "-i", INTERFACE, "-s", f"{folder}/script", "-t", "3", "-T", "1"]
        words += ["-A", "1", "-x", f"hostname:{self.node.name}"]
        told = identity_option(self.node)
        if told is None:
            return words
        code = f"{int(dhcp.Code.VENDOR_IDENTITY):#x}"
        return [*words, "-x", f"{code}:{told.hex()}", "-O", code]

    def heard(self, line: str) -> None:
        """A line of the script is an event of the lease."""
        if not line.startswith(MARK):
            return
        event, *words = line.removeprefix(MARK).split(" ")[1:]
        told = read_words(words)
        if event in ("bound", "renew"):
            self._leased(told, renewed=event == "renew")
        elif event == "leasefail":
            self.host.tell("FAILED", step="1", cause="udhcpc got no lease")
        elif event == "deconfig" and self.host.address_of(INTERFACE) is not None:
            self.host.set_default_route(None)
            self.host.clear_address(INTERFACE)
            self.host.tell("DISCONNECTED", cause="udhcpc gave the address up")

    def _leased(self, told: Mapping[str, Sequence[str]], renewed: bool) -> None:
        (address,) = told["address"]
        router = told["router"][0] if told["router"] else None
        if self.host.address_of(INTERFACE) != address:
            self.host.set_address(INTERFACE, address, int(told["mask"][0]))
        self.host.set_default_route(router)
        self.host.tell(
            "RENEWED" if renewed else "CONNECTED",
            address=address,
            router=router,
            dns_servers=list(told["dns"]),
            lease_s=float(told["lease"][0]),
        )
        name = self.node.settings.get("first_name")
        if name is not None and not renewed:
            self.host.spawn(self._resolve(name, told["dns"]), "asks its first name")

    async def _resolve(self, name: str, servers: Sequence[str]) -> None:
        """Ask for the name as busybox asks, and tell what came of it."""
        said: list[str] = []
        command = [self.executable(), "nslookup", "-type=a", name, *servers[:1]]
        environment = self.environment(Path("/"))
        process = await self.host.run_program(command, self.log, environment, said.append)
        status = await process.wait()
        addresses = answered(said)
        if status == 0 and addresses:
            self.host.tell("RESOLVED", name=name, addresses=addresses)
        else:
            self.host.tell("FAILED", step="2", cause=f"{name}: {said[-1] if said else status}")


def read_words(words: Sequence[str]) -> dict[str, list[str]]:
    """The script's `key=value value key=value` as lists by key; an empty value is no value."""
    told: dict[str, list[str]] = {}
    key = ""
    for word in words:
        if "=" in word:
            key, _, word = word.partition("=")
            told[key] = []
        if word:
            told[key].append(word)
    return told


def answered(lines: Sequence[str]) -> list[str]:
    """The IPv4 addresses of busybox nslookup's answer: those that stand behind a `Name:`."""
    addresses = []
    named = False
    for line in lines:
        label, _, value = line.partition(":")
        named = named or label == "Name"
        if named and label == "Address":
            addresses.append(str(ipaddress.IPv4Address(value.strip())))
    return addresses
