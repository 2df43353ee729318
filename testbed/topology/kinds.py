"""The kinds of NAT that have a name: `--nat KIND`, `testbed list nats`."""

from __future__ import annotations

import dataclasses

from testbed.errors import unknown
from testbed.topology.nat import (
    Dependence,
    Hairpinning,
    Nat,
    Pooling,
    Ports,
    Rebinding,
    Refresh,
    Udp,
)

_INDEPENDENT = Dependence.ENDPOINT_INDEPENDENT
_ADDRESS = Dependence.ADDRESS
_ALL = Dependence.ADDRESS_AND_PORT


def _nine() -> list[Nat]:
    """Every mapping with every filtering."""
    short = {
        Dependence.ENDPOINT_INDEPENDENT: "ei",
        Dependence.ADDRESS: "ad",
        Dependence.ADDRESS_AND_PORT: "apd",
    }
    return [
        Nat(
            name=f"{short[mapping]}m-{short[filtering]}f",
            about=f"{mapping.value} mapping, {filtering.value} filtering",
            mapping=mapping,
            filtering=filtering,
            ports=Ports.CONTIGUOUS if mapping in (_ADDRESS, _ALL) else Ports.PRESERVING,
        )
        for mapping in Dependence
        for filtering in Dependence
    ]


def _well_known() -> list[Nat]:
    """What RFC 3489 and the field call them by."""
    symmetric = Nat(name="symmetric", mapping=_ALL, ports=Ports.RANDOM)
    return [
        Nat(
            name="firewall",
            about="no translation; lets in only answers",
            translates=False,
            filtering=_ALL,
        ),
        Nat(
            name="full-cone",
            about="RFC 3489's: anybody may send to a mapping",
            filtering=_INDEPENDENT,
        ),
        Nat(
            name="address-restricted",
            about="RFC 3489's restricted cone: every port of a known address may",
            filtering=_ADDRESS,
        ),
        Nat(name="port-restricted", about="RFC 3489's: only a known address and port may"),
        dataclasses.replace(
            symmetric, about="RFC 3489's: a mapping for each remote, with a random port"
        ),
        Nat(
            name="symmetric-contiguous",
            about="a mapping for each remote, its port the next one",
            mapping=_ALL,
            ports=Ports.CONTIGUOUS,
        ),
        Nat(
            name="symmetric-preserving",
            about="a mapping for each remote; the first keeps the inside's port",
            mapping=_ALL,
        ),
        Nat(
            name="rfc4787",
            about="as RFC 4787 wants it: independent, hairpinning, five minutes",
            filtering=_INDEPENDENT,
            hairpinning=Hairpinning.EXTERNAL,
            lifetime_s=300.0,
            refresh=Refresh.OUTBOUND,
        ),
    ]


def _peculiar() -> list[Nat]:
    """One peculiarity each."""
    carrier = Nat(name="carrier's", ports=Ports.CONTIGUOUS, lifetime_s=60.0)
    symmetric = Nat(name="carrier's", mapping=_ALL, ports=Ports.RANDOM)
    return [
        Nat(
            name="short-lived",
            about="a binding dies after 30 s, whatever comes in",
            lifetime_s=30.0,
            refresh=Refresh.OUTBOUND,
        ),
        Nat(
            name="pool-paired",
            about="two outside addresses, one for each inside",
            addresses=2,
        ),
        Nat(
            name="pool-arbitrary",
            about="two outside addresses, mappings have them in turn",
            mapping=_ALL,
            addresses=2,
            pooling=Pooling.ARBITRARY,
        ),
        Nat(
            name="rebinding-port",
            about="every 60 s all flows get another port",
            rebinding=Rebinding.PORT,
        ),
        Nat(
            name="rebinding-address",
            about="every 60 s all flows get another address",
            addresses=2,
            rebinding=Rebinding.ADDRESS,
        ),
        Nat(name="udp-dropped", about="UDP is lost, but for DNS", udp=Udp.DROPPED),
        Nat(name="udp-rejected", about="UDP is refused by ICMP, but for DNS", udp=Udp.REJECTED),
        Nat(
            name="carrier",
            about="a port-restricted NAT behind a carrier's, which forgets after 60 s",
            carrier=carrier,
        ),
        Nat(
            name="carrier-symmetric",
            about="a full cone behind a carrier's symmetric NAT",
            filtering=_INDEPENDENT,
            carrier=symmetric,
        ),
        Nat(
            name="tr111-aware",
            about="30 s, but ten minutes for whom a binding request with TR-111's attribute asks",
            lifetime_s=30.0,
            binding_request_lifetime_s=600.0,
        ),
    ]


KINDS: dict[str, Nat] = {
    each.name: each for each in (Nat.NONE, Nat.MASQUERADE, *_nine(), *_well_known(), *_peculiar())
}
"""Every kind that has a name."""


def find_nat(name: str, what: str = "NAT kind") -> Nat:
    """The kind of that name.

    Raises:
        BadInput: there is none; names the nearest.
    """
    if name not in KINDS:
        raise unknown(what, name, KINDS, "testbed list nats")
    return KINDS[name]
