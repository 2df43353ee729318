"""`testbed probe-nat` for a router that is not ours: its server beyond, and the probe behind it."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

import click

from testbed.errors import EXIT_INTERRUPTED, EXIT_OK, BadInput

_MOST_ADDRESSES = 2


def serve_field(word: str, port: int) -> int:
    """Be the server, until Ctrl-C."""
    from testbed.probing.field import ProbeServer

    addresses = [_address(each) for each in word.split(",")]
    if len(addresses) > _MOST_ADDRESSES:
        raise BadInput(f"--serve takes one or two addresses, not {len(addresses)}")
    server = ProbeServer(addresses, port)
    click.echo(f"serving at {', '.join(addresses)}, UDP {port} and {port + 1}, TCP {port}")
    try:
        server.serve()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
    return EXIT_INTERRUPTED


def probe_field(interface: str, server: str, port: int, longest_s: float, out: Path | None) -> int:
    """Find out what the router behind that interface does."""
    from testbed.nat.portrait import portray
    from testbed.probing.field import FieldGround
    from testbed.settings.nat_file import nat_text, write_nat

    ground = FieldGround(interface, _addresses_of(interface), _address(server), port)
    name = "found" if out is None else out.stem
    try:
        portrait = portray(ground, name, longest_s, click.echo)
    finally:
        ground.close()
    text = nat_text(portrait.nat, portrait.notes)
    if out is None:
        click.echo(text, nl=False)
    else:
        for note in portrait.notes:
            click.echo(f"note: {note}")
        write_nat(out, text)
        click.echo(f"written    {out}")
    return EXIT_OK


def _address(word: str) -> str:
    try:
        return str(IPv4Address(word.strip()))
    except AddressValueError as error:
        raise BadInput(f"{word!r} is no IPv4 address: {error}") from None


def _addresses_of(interface: str) -> list[str]:
    """
    Raises:
        BadInput: there is no such interface, or it has no IPv4 address.
    """
    from testbed.engines.emulation.namespace import Namespace
    from testbed.engines.emulation.netlink import Netlink

    here = Namespace.current("this machine")
    netlink = Netlink(here)
    try:
        addresses = [address for address, _ in netlink.addresses(interface)]
    except OSError as error:
        raise BadInput(f"--interface {interface}: {error.strerror}") from error
    finally:
        netlink.close()
        here.close()
    if not addresses:
        raise BadInput(f"--interface {interface} has no IPv4 address")
    return addresses
