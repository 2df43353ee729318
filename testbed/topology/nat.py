"""What a gateway does to packets that it forwards, in the words of RFC 4787; plain data.

A `Nat` describes behaviour; the simulation's tables and the emulation's rules are made from it, and
`--nat KIND` and `--set nat.KNOB=VALUE` say which one.  UDP is what the knobs are about: TCP and
ICMP echo are translated by simple timers, the same for every kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from testbed.errors import BadInput

SHORTEST_LIFETIME_S = 1.0
MOST_ADDRESSES = 16


class Dependence(Enum):
    """Of what remote endpoint a mapping or a filter depends (RFC 4787, 4.1 and 5)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address-and-port-dependent"


class Ports(Enum):
    """Which outside port a new mapping gets (RFC 4787, 4.2.1)."""

    PRESERVING = "preserving"
    """The inside's own; where another mapping has it, the next free one as if contiguous."""
    OVERLOADING = "overloading"
    """The inside's own, shared by several insides as long as they speak to different remotes."""
    CONTIGUOUS = "contiguous"
    """The one after that of the mapping before."""
    RANDOM = "random"


class Pooling(Enum):
    """Which of several outside addresses a new mapping gets (RFC 4787, 4.1)."""

    PAIRED = "paired"
    """All of one inside address get the same; insides get them in turn."""
    ARBITRARY = "arbitrary"
    """Mappings get them in turn."""


class Hairpinning(Enum):
    """What becomes of a packet from inside to a mapping of another inside (RFC 4787, 6)."""

    OFF = "off"
    EXTERNAL = "external"
    """It arrives with its sender's outside address and port, as RFC 4787 REQ-9 wants it."""
    INTERNAL = "internal"
    """It arrives with its sender's inside address and port."""


class Refresh(Enum):
    """Packets of which direction keep a binding alive (RFC 4787, 4.3)."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    BOTH = "both"

    @property
    def by_outbound(self) -> bool:
        """Whether packets that leave do."""
        return self is not Refresh.INBOUND

    @property
    def by_inbound(self) -> bool:
        """Whether packets that come in do."""
        return self is not Refresh.OUTBOUND


class Rebinding(Enum):
    """What a gateway gives anew to flows that are under way, as when it has restarted."""

    NEVER = "never"
    PORT = "port"
    ADDRESS = "address"


class Udp(Enum):
    """Whether UDP passes at all; DNS (port 53) always does."""

    PASSED = "passed"
    DROPPED = "dropped"
    REJECTED = "rejected"
    """With ICMP "administratively prohibited"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nat:
    """What a gateway does to packets that it forwards.

    Attributes:
        name: as `--nat` takes it.
        about: one sentence.
        translates: whether addresses are rewritten.
        mapping: when a mapping is used again for another remote.
        filtering: whose packets come in; None: everybody's (only without translation).
        ports: which outside port a mapping gets.
        pooling: which of several outside addresses.
        addresses: how many outside addresses there are.
        hairpinning: whether insides reach each other by outside addresses.
        lifetime_s: of a binding without packets that refresh it.
        confirmed_lifetime_s: two stages: its lifetime once a packet passed more than 2 s after the
            first, a reply having been seen; None: one stage.
        binding_request_lifetime_s: its lifetime after a STUN Binding Request that carries TR-111's
            CONNECTION-REQUEST-BINDING, which this gateway knows; None: it does not know it.
        refresh: packets of which direction keep it alive.
        rebinding: what all flows get anew every `rebinds_after_s` seconds.
        rebinds_after_s: counted from when the gateway began to translate.
        udp: whether UDP passes.
        carrier: the carrier's NAT behind this one; None: this one is on the Internet.

    Raises:
        BadInput: the behaviours do not go together; says which and why.
    """

    name: str
    about: str = ""
    translates: bool = True
    mapping: Dependence = Dependence.ENDPOINT_INDEPENDENT
    filtering: Dependence | None = Dependence.ADDRESS_AND_PORT
    ports: Ports = Ports.PRESERVING
    pooling: Pooling = Pooling.PAIRED
    addresses: int = 1
    hairpinning: Hairpinning = Hairpinning.OFF
    lifetime_s: float = 120.0
    confirmed_lifetime_s: float | None = None
    binding_request_lifetime_s: float | None = None
    refresh: Refresh = Refresh.BOTH
    rebinding: Rebinding = Rebinding.NEVER
    rebinds_after_s: float = 60.0
    udp: Udp = Udp.PASSED
    carrier: Nat | None = None

    NONE: ClassVar[Nat]
    MASQUERADE: ClassVar[Nat]

    def __post_init__(self) -> None:
        for what in _complaints(self):
            raise BadInput(f"NAT {self.name}: {what}")

    def __str__(self) -> str:
        return self.name

    @property
    def long_lifetime_s(self) -> float | None:
        """The second lifetime, where there is one: of two stages, or of TR-111."""
        return self.confirmed_lifetime_s or self.binding_request_lifetime_s

    def with_knobs(self, values: Mapping[str, object]) -> Nat:
        """The same with other values of the attributes of those names; told in the name."""
        if not values:
            return self
        told = ",".join(f"{name}={_text(value)}" for name, value in values.items())
        changes: dict[str, object] = {**values, "name": f"{self.name}+{told}"}
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def described(self) -> dict[str, object]:
        """Its behaviour as plain data, for run.json and reports."""
        told: dict[str, object] = {"name": self.name}
        for each in KNOBS:
            value = getattr(self, each)
            told[each] = value.value if isinstance(value, Enum) else value
        if self.carrier is not None:
            told["carrier"] = self.carrier.described()
        return told


KNOBS = tuple(
    each.name
    for each in dataclasses.fields(Nat)
    if each.name not in ("name", "about", "translates", "carrier")
)
"""What `--set nat.KNOB=VALUE` may change."""


def _text(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else f"{value}"


def _complaints(nat: Nat) -> list[str]:
    """What does not go together, in sentences."""
    told = []
    for name in ("lifetime_s", "confirmed_lifetime_s", "binding_request_lifetime_s"):
        value = getattr(nat, name)
        if value is not None and not SHORTEST_LIFETIME_S <= value < 1e6:
            told.append(f"{name} is {value:g}; it may be 1 to 999999 seconds")
    if not 1 <= nat.addresses <= MOST_ADDRESSES:
        told.append(f"addresses is {nat.addresses}; it may be 1 to {MOST_ADDRESSES}")
    if nat.confirmed_lifetime_s is not None and nat.binding_request_lifetime_s is not None:
        told.append("confirmed_lifetime_s and binding_request_lifetime_s exclude each other")
    if nat.confirmed_lifetime_s is not None and nat.refresh is not Refresh.BOTH:
        told.append("two stages (confirmed_lifetime_s) go with refresh=both only")
    long_lifetime_s = nat.long_lifetime_s
    if long_lifetime_s is not None and long_lifetime_s < nat.lifetime_s:
        told.append(
            f"the second lifetime of {long_lifetime_s:g} s is shorter than lifetime_s, "
            f"{nat.lifetime_s:g}"
        )
    if nat.rebinds_after_s < SHORTEST_LIFETIME_S:
        told.append(f"rebinds_after_s is {nat.rebinds_after_s:g}; it is at least 1")
    if nat.rebinding is Rebinding.ADDRESS and nat.addresses < 2:
        told.append("rebinding=address needs a second outside address: set addresses to 2 or more")
    if not nat.translates:
        told += _complaints_of_routing(nat)
    elif nat.filtering is None:
        told.append("it translates, so some filtering is needed: endpoint-independent lets most in")
    if nat.ports is Ports.OVERLOADING:
        told += _complaints_of_overloading(nat)
    return told


def _complaints_of_routing(nat: Nat) -> list[str]:
    plain = Nat.__dataclass_fields__
    idle = ("mapping", "ports", "pooling", "addresses", "hairpinning", "rebinding")
    return [
        f"{name}={_text(getattr(nat, name))} says nothing where addresses are not translated"
        for name in idle
        if getattr(nat, name) != plain[name].default
    ]


def _complaints_of_overloading(nat: Nat) -> list[str]:
    """A port that several insides share tells them apart by the remote endpoint alone."""
    wanted = {
        "mapping": Dependence.ENDPOINT_INDEPENDENT,
        "filtering": Dependence.ADDRESS_AND_PORT,
        "refresh": Refresh.BOTH,
        "hairpinning": Hairpinning.OFF,
        "addresses": 1,
        "rebinding": Rebinding.NEVER,
        "binding_request_lifetime_s": None,
    }
    return [
        f"ports=overloading goes with {name}={_text(value)} only, not {_text(getattr(nat, name))}"
        for name, value in wanted.items()
        if getattr(nat, name) != value
    ]


Nat.NONE = Nat(name="none", about="routes without translation", translates=False, filtering=None)
Nat.MASQUERADE = Nat(
    name="masquerade",
    about="the kernel's own: keeps ports where they are free, filters by address and port, "
    "two-stage lifetime of 30 and 120 s",
    ports=Ports.OVERLOADING,
    lifetime_s=30.0,
    confirmed_lifetime_s=120.0,
)
