"""A NAT's behaviour as nftables rules: the text of one table that replaces what was there.

The kernel's own NAT is one kind (masquerade).  For all others the bindings live in nftables maps
with timeouts, and connection tracking, whose entries are made to last a second, only rewrites
packets.  `NatTable` behaves the same; tests hold the two side by side.

Maps and sets, each a second time as `..._long` where there is a second lifetime:
    out        inside endpoint (and what the mapping depends on) to outside endpoint
    in         outside endpoint to inside endpoint
    taken_N    ports of the N-th outside address that are in use
    drawn_N    the same as marks, where ports are random
    ports      every port that can be drawn, by its mark
    permitted  outside endpoint with the remotes that its filter lets in
    paired_N   insides that have the N-th outside address
    answered, known, young   (outside, remote) pairs, for two stages
    refused    packets that found no way, for the trace
"""

from __future__ import annotations

from collections.abc import Sequence

from testbed.engines.emulation.rule_texts import (
    AS_GIVEN,
    DESTINATION_MARK,
    SOURCE_MARK,
    Ends,
    allotment,
    chain,
    drawing,
    dynamic,
    ports_by_mark,
)
from testbed.errors import BadInput
from testbed.nat.supply import PORTS, REBINDING_STEP
from testbed.topology import (
    Dependence,
    Hairpinning,
    Nat,
    Pooling,
    Ports,
    Rebinding,
    Udp,
)

TABLE = "ip testbed_nat"
# To name a table makes it, so that the deletion after it cannot fail.
EMPTY = f"table {TABLE}\ndelete table {TABLE}\n"
_ENDPOINT = "ipv4_addr . inet_service"
_LONG_MARK = "0x2"
_CONFLICT_PORTS = 1000
"""How many ports are there for conflicts where ports are kept: a long list loads slowly."""


def rules(
    nat: Nat,
    inside: Sequence[str],
    outside: str,
    addresses: Sequence[str] = (),
    generation: int = 0,
) -> str:
    """The node's whole table, as `nft -f` takes it; it replaces what was there.

    Args:
        nat: the kind.
        inside: interfaces whose packets are translated.
        outside: the interface by which they leave.
        addresses: its outside addresses; masquerade and what does not translate need none.
        generation: how many times the gateway has rebound its flows.

    Raises:
        BadInput: there is no inside, outside is part of it, or an outside address is missing.
    """
    if not inside or outside in inside:
        raise BadInput(
            f"translation needs inside interfaces other than the outside one: "
            f"inside is {', '.join(inside) or 'none'}, outside is {outside}"
        )
    if nat.filtering is None:
        return EMPTY
    if nat.translates and nat.ports is not Ports.OVERLOADING and len(addresses) < nat.addresses:
        raise BadInput(
            f"NAT {nat.name} needs {nat.addresses} addresses on {outside}, and there are "
            f"{len(addresses)}"
        )
    body = _Table(nat, inside, outside, addresses[: nat.addresses], generation).text()
    return f"{EMPTY}table {TABLE} {{\n{body}}}\n"


class _Table:
    """Writes one table."""

    def __init__(
        self,
        nat: Nat,
        inside: Sequence[str],
        outside: str,
        addresses: Sequence[str],
        generation: int,
    ) -> None:
        self.nat = nat
        self.maps = nat.ports is not Ports.OVERLOADING
        self.addresses = list(addresses)
        self.moved = 0
        if nat.rebinding is Rebinding.ADDRESS:
            self.addresses = [addresses[generation % len(addresses)]]
        if nat.rebinding is Rebinding.PORT:
            self.moved = generation
        self.inner = "iifname { " + ", ".join(f'"{name}"' for name in inside) + " }"
        self.outer_in, self.outer_out = f'iifname "{outside}"', f'oifname "{outside}"'
        self.leaving = f"{self.inner} {self.outer_out}"
        self.turning = f"{self.inner} {self.inner.replace('iifname', 'oifname')}"
        self.lifetimes = {"": nat.lifetime_s}
        if nat.long_lifetime_s is not None and self.maps:
            self.lifetimes["_long"] = nat.long_lifetime_s
        self.permits = nat.filtering is not Dependence.ENDPOINT_INDEPENDENT or not nat.translates

    def text(self) -> str:
        """Sets, maps and chains."""
        parts = [self._sets(), self._ways_in(), self._forward()]
        if self.maps:
            parts.append(self._learning())
            if self.nat.translates:
                parts += [self._guard(), self._destination()]
            else:
                parts.append(self._admission())
        parts.append(self._source())
        return "".join(parts)

    # Sets and maps

    def _sets(self) -> str:
        told = dynamic("set refused", f"{_ENDPOINT} . {_ENDPOINT}", 10.0)
        told += "  set listens {\n    type inet_service\n  }\n"
        if not self.maps:
            return told
        told += (
            "  ct timeout brief {\n    protocol udp\n    l3proto ip\n"
            "    policy = { unreplied : 1, replied : 1 }\n  }\n"
        )
        for suffix, lifetime_s in self.lifetimes.items():
            if self.permits:
                kind = _ENDPOINT + _kind_of(self.nat.filtering)
                told += dynamic(f"set permitted{suffix}", kind, lifetime_s)
            if self.nat.translates:
                kind = f"{_ENDPOINT}{_kind_of(self.nat.mapping)} : {_ENDPOINT}"
                told += dynamic(f"map out{suffix}", kind, lifetime_s)
                told += dynamic(f"map in{suffix}", f"{_ENDPOINT} : {_ENDPOINT}", lifetime_s)
                for number in range(len(self.addresses)):
                    told += dynamic(f"set taken_{number}{suffix}", "inet_service", lifetime_s)
                    if self._draws:
                        told += dynamic(f"set drawn_{number}{suffix}", "mark", lifetime_s)
        if self._draws:
            told += ports_by_mark()
        if self.nat.confirmed_lifetime_s is not None:
            pair = f"{_ENDPOINT} . {_ENDPOINT}"
            longest_s = self.nat.confirmed_lifetime_s
            told += dynamic("set answered", pair, longest_s)
            told += dynamic("set known", pair, longest_s)
            told += dynamic("set young", pair, 2.0)
        if self._is_paired:
            for number in range(len(self.addresses)):
                told += dynamic(f"set paired_{number}", "ipv4_addr", 86_400.0)
        return told

    @property
    def _draws(self) -> bool:
        return self.nat.translates and self.nat.ports is Ports.RANDOM

    @property
    def _is_paired(self) -> bool:
        return self.maps and self.nat.pooling is Pooling.PAIRED and len(self.addresses) > 1

    # From outside

    def _ways_in(self) -> str:
        """What reaches the gateway itself, and where a packet ends that finds no way."""
        refused = chain(
            "refused", ["update @refused { ip saddr . udp sport . ip daddr . udp dport }", "drop"]
        )
        # A packet that nobody waits for would leave an entry behind that takes the port away from
        # the next flow of an inside; so it is dropped before connection tracking keeps it.
        return refused + chain(
            "input",
            [
                f"{self.outer_in} meta l4proto udp ct state new udp dport != @listens goto refused",
                # Without hairpinning an inside's packet to an outside endpoint ends here.
                *(
                    f"{self.inner} ip daddr {address} udp dport != @listens ct state new drop"
                    for address in self.addresses
                ),
            ],
            "filter hook input priority filter",
        )

    def _guard(self) -> str:
        """Before translation: filters look at outside endpoints."""
        at_gate = [
            f"{self.outer_in} ip daddr {address} udp dport @taken_{number}{suffix} goto mapped"
            for number, address in enumerate(self.addresses)
            for suffix in self.lifetimes
        ]
        # Connection tracking would bring in what comes within a second of a flow's last packet,
        # whether or not that packet kept the binding alive.
        at_gate += [
            f"{self.outer_in} meta l4proto udp ct status {way} goto refused"
            for way in ("snat", "dnat")
        ]
        key = "ip daddr . udp dport" + _value_of(self.nat.filtering, Ends.SOURCE)
        lets_in = [f"{key} @permitted{suffix} goto admitted" for suffix in self.lifetimes]
        mapped = [*lets_in, "goto refused"] if self.permits else ["goto admitted"]
        admitted = self._marks_of_inbound()
        if self.nat.refresh.by_inbound:
            for suffix, when in self._by_mark():
                if self.permits:
                    admitted.append(f"{when}update @permitted{suffix} {{ {key} }}")
                for number, address in enumerate(self.addresses):
                    begin = f"{when}ip daddr {address}"
                    admitted.append(f"{begin} update @taken_{number}{suffix} {{ udp dport }}")
                    if self._draws:
                        admitted.append(f"{begin} {DESTINATION_MARK}")
                        admitted.append(f"{begin} update @drawn_{number}{suffix} {{ ct mark }}")
        return (
            chain("admitted", admitted)
            + chain("mapped", mapped)
            + chain("guard", at_gate, "filter hook prerouting priority dstnat - 10")
        )

    def _marks_of_inbound(self) -> list[str]:
        """Two stages: a packet later than two seconds after the first, once there was an answer."""
        if self.nat.confirmed_lifetime_s is None:
            return []
        pair = "ip daddr . udp dport . ip saddr . udp sport"
        return [
            f"{pair} @answered {pair} != @young meta mark set {_LONG_MARK}",
            f"update @known {{ {pair} }}",
            f"update @answered {{ {pair} }}",
        ]

    def _destination(self) -> str:
        found = [
            f"{self.outer_in} meta l4proto udp dnat ip to ip daddr . udp dport map @in{suffix} "
            f"{AS_GIVEN}"
            for suffix in self.lifetimes
        ]
        if self.nat.hairpinning is not Hairpinning.OFF:
            own = "{ " + ", ".join(self.addresses) + " }"
            found += [
                f"{self.inner} ip daddr {own} meta l4proto udp "
                f"dnat ip to ip daddr . udp dport map @in{suffix} {AS_GIVEN}"
                for suffix in self.lifetimes
            ]
        return chain("destination", found, "nat hook prerouting priority dstnat")

    # Through

    def _forward(self) -> str:
        lines = []
        if self.nat.udp is not Udp.PASSED:
            lines.append(f"{self.leaving} udp dport != 53 goto blocked")
        # Packets that conntrack cannot place (a segment of a connection that it has forgotten) are
        # not translated and would leave with an inside address.
        lines.append(f"{self.outer_out} ct state invalid drop")
        if self.maps:
            lines.append('meta l4proto udp ct timeout set "brief"')
            lines += self._marks_of_binding_requests()
            lines += self._inbound() if self.nat.translates else self._firewall()
        # From outside there is no way in but by a translation: no one may address the inside
        # directly.
        lines.append(f"{self.outer_in} meta l4proto udp ct state new goto refused")
        lines.append(f"{self.outer_in} ct state != {{ established, related }} drop")
        blocked = ["update @refused { ip saddr . udp sport . ip daddr . udp dport }"]
        rejects = self.nat.udp is Udp.REJECTED
        blocked.append("reject with icmp admin-prohibited" if rejects else "drop")
        return chain("blocked", blocked) + chain(
            "forward", lines, "filter hook forward priority filter"
        )

    def _marks_of_binding_requests(self) -> list[str]:
        """A STUN Binding Request with TR-111's CONNECTION-REQUEST-BINDING, wherever it stands."""
        if self.nat.binding_request_lifetime_s is None:
            return []
        # @th counts bits from the UDP header on: 8 octets of it, then STUN's header of 20.
        return [
            f"{self.leaving} meta l4proto udp udp length >= {offset + 8} @th,64,16 0x0001 "
            f"@th,{offset * 8},64 0xc001001464736c66 meta mark set {_LONG_MARK}"
            for offset in range(28, 257, 4)
        ]

    def _inbound(self) -> list[str]:
        """Accept what was translated; refresh by it."""
        lines = []
        if self.nat.refresh.by_inbound:
            part = _value_of(self.nat.mapping, Ends.SOURCE)
            here = "ip daddr . udp dport"
            for suffix, when in self._by_mark():
                for direction in ("reply", "original"):
                    there = f"ct {direction} ip daddr . ct {direction} proto-dst"
                    begin = f"{self.outer_in} meta l4proto udp ct direction {direction} {when}"
                    lines += [
                        f"{begin}update @out{suffix} {{ {here}{part} : {there} }}",
                        f"{begin}update @in{suffix} {{ {there} : {here} }}",
                    ]
        lines.append(f"{self.outer_in} meta l4proto udp ct status dnat accept")
        return lines

    def _firewall(self) -> list[str]:
        key = "ip daddr . udp dport" + _value_of(self.nat.filtering, Ends.SOURCE)
        begin = f"{self.outer_in} meta l4proto udp"
        lines = [f"{begin} {key} @permitted{suffix} goto admitted" for suffix in self.lifetimes]
        lines.append(f"{begin} goto refused")
        return lines

    def _admission(self) -> str:
        """What becomes of a packet that a firewall lets in."""
        key = "ip daddr . udp dport" + _value_of(self.nat.filtering, Ends.SOURCE)
        lines = self._marks_of_inbound()
        if self.nat.refresh.by_inbound:
            lines += [f"{when}update @permitted{suf} {{ {key} }}" for suf, when in self._by_mark()]
        return chain("admitted", [*lines, "accept"])

    # To outside

    def _source(self) -> str:
        if not self.nat.translates:
            return ""
        if not self.maps:
            return chain(
                "postrouting",
                [f"{self.leaving} masquerade"],
                "nat hook postrouting priority srcnat",
            )
        key = "ip saddr . udp sport" + _value_of(self.nat.mapping, Ends.ORIGINAL)
        choose = [f"snat ip to {key} map @out{suffix} {AS_GIVEN}" for suffix in self.lifetimes]
        count = len(self.addresses)
        if self._is_paired:
            choose += [f"ip saddr @paired_{number} goto to_{number}" for number in range(count)]
        turns = ", ".join(f"{number} : goto to_{number}" for number in range(count))
        choose.append(f"numgen inc mod {count} vmap {{ {turns} }}" if count > 1 else "goto to_0")
        lines = [f"{self.leaving} meta l4proto udp goto choose"]
        if self.nat.hairpinning is Hairpinning.EXTERNAL:
            lines.append(f"{self.turning} meta l4proto udp ct status dnat goto choose")
        lines.append(f"{self.leaving} snat ip to {self.addresses[0]}")
        return (
            "".join(self._allotment(number) for number in range(count))
            + chain("choose", [f"meta l4proto udp {line}" for line in choose])
            + chain("postrouting", lines, "nat hook postrouting priority srcnat")
        )

    def _allotment(self, number: int) -> str:
        """A new mapping of the N-th outside address."""
        nat, address = self.nat, self.addresses[number]
        if self._draws:
            is_free = " ".join(f"ct mark != @drawn_{number}{suffix}" for suffix in self.lifetimes)
            text, way = drawing(number, address, is_free)
            return text + chain(f"to_{number}", [way, "drop"])
        lines = []
        is_free = " ".join(f"udp sport != @taken_{number}{suffix}" for suffix in self.lifetimes)
        keeps = nat.ports is Ports.PRESERVING and self.moved == 0
        if keeps:
            lines.append(f"{is_free} snat ip to {address} : udp sport {AS_GIVEN}")
        few = keeps and nat.mapping is Dependence.ENDPOINT_INDEPENDENT
        count = _CONFLICT_PORTS if few else PORTS
        lines.append(allotment(address, self.moved * REBINDING_STEP, count))
        return chain(f"to_{number}", lines)

    # What is learnt of packets that leave

    def _learning(self) -> str:
        operation = "update" if self.nat.refresh.by_outbound else "add"
        inside = "ct original ip saddr . ct original proto-src"
        answers = "ct reply ip saddr . ct reply proto-src"
        text = ""
        for name, ends, who in (
            ("asks", Ends.ORIGINAL, inside),
            ("answers", Ends.DESTINATION, answers),
        ):
            for suffix in self.lifetimes:
                verb = "update" if suffix and self.nat.confirmed_lifetime_s is None else operation
                text += chain(f"{name}{suffix}", self._learn(verb, suffix, ends, who))
        lines = (
            []
            if self.nat.confirmed_lifetime_s is None
            else [f"{self.outer_out} meta l4proto udp jump stage"]
        )
        ways = [self.leaving]
        if self.nat.hairpinning is Hairpinning.EXTERNAL:
            ways.append(f"{self.turning} ct status snat")
        for way in ways:
            for direction, name in (("original", "asks"), ("reply", "answers")):
                begin = f"{way} meta l4proto udp ct direction {direction}"
                for suffix, when in reversed(self._by_mark()):
                    lines.append(f"{begin} {when}goto {name}{suffix}")
        if self.nat.confirmed_lifetime_s is not None:
            pair = "ip saddr . udp sport . ip daddr . udp dport"
            text += chain(
                "stage",
                [
                    f"{pair} != @known add @young {{ {pair} }}",
                    f"update @known {{ {pair} }}",
                    f"{pair} @answered {pair} != @young meta mark set {_LONG_MARK}",
                ],
            )
        return text + chain("learn", lines, "filter hook postrouting priority srcnat + 50")

    def _learn(self, verb: str, suffix: str, ends: Ends, inside: str) -> list[str]:
        here = "ip saddr . udp sport"
        lines = []
        if self.nat.translates:
            part = _value_of(self.nat.mapping, ends)
            lines += [
                f"meta l4proto udp {verb} @out{suffix} {{ {inside}{part} : {here} }}",
                f"meta l4proto udp {verb} @in{suffix} {{ {here} : {inside} }}",
            ]
            for number, address in enumerate(self.addresses):
                begin = f"ip saddr {address}"
                lines.append(f"{begin} {verb} @taken_{number}{suffix} {{ udp sport }}")
                if self._draws:
                    lines.append(f"{begin} {SOURCE_MARK}")
                    lines.append(f"{begin} {verb} @drawn_{number}{suffix} {{ ct mark }}")
                if self._is_paired:
                    host = inside.partition(" . ")[0]
                    lines.append(f"ip saddr {address} update @paired_{number} {{ {host} }}")
        if self.permits:
            part = _value_of(self.nat.filtering, ends)
            lines.append(f"{verb} @permitted{suffix} {{ {here}{part} }}")
        return lines

    def _by_mark(self) -> list[tuple[str, str]]:
        """Which sets a packet's passing goes into, and how its mark says so."""
        if len(self.lifetimes) == 1:
            return [("", "")]
        return [("", f"meta mark != {_LONG_MARK} "), ("_long", f"meta mark {_LONG_MARK} ")]


def _kind_of(dependence: Dependence | None) -> str:
    """The key's further types."""
    if dependence is Dependence.ADDRESS:
        return " . ipv4_addr"
    return f" . {_ENDPOINT}" if dependence is Dependence.ADDRESS_AND_PORT else ""


def _value_of(dependence: Dependence | None, ends: Ends) -> str:
    """The key's further values, of a packet's remote."""
    address, port = ends.value
    if dependence is Dependence.ADDRESS:
        return f" . {address}"
    return f" . {address} . {port}" if dependence is Dependence.ADDRESS_AND_PORT else ""
