"""A host's forwarding and translation: the kernel's rules, as its role asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from testbed.engines.emulation.configured import Configured
from testbed.engines.emulation.forwarding import Forwarding
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.host import Interface, Timer
from testbed.topology import Nat, Rebinding

_HOST_PREFIX = 32


class Translates:
    """The part of an emulated host that forwards between its interfaces."""

    namespace: Namespace
    interfaces: Mapping[str, Interface]
    _netlink: Netlink
    _before: Configured | None
    _configured: Callable[[], Configured]
    now: Callable[[], float]
    call_at: Callable[[float, Callable[[], None]], Timer]

    def prepare_translation(self) -> None:
        """The host is made; it forwards nothing yet."""
        self._forwarding = Forwarding(self.namespace)
        self._inside: tuple[str, ...] = ()
        self._rebinds: Timer | None = None
        # What the node has bound since it was made; a port that it gave back does no harm here.
        self._bound: dict[tuple[int, str | None], None] = {}

    def translate(
        self, nat: Nat, inside: Sequence[str], outside: str, pool: Sequence[str] = ()
    ) -> None:
        """Forward between interfaces; what leaves by `outside` is translated as `nat` says.

        Raises:
            BadInput: there is no inside, or outside is part of it, or it lacks an address.
            MissingFeature: no `nft` on this machine, or no nftables NAT in its kernel.
        """
        if pool:
            self._before = self._configured()
        held = [address for address, _ in self._netlink.addresses(outside)]
        for address in pool:
            if address not in held:
                self._netlink.add_address(outside, address, _HOST_PREFIX)
                held.append(address)
        self._forwarding.apply(nat, inside, outside, held)
        self._inside = tuple(inside)
        for port, interface in list(self._bound):
            self.listens(port, interface)
        if self._rebinds is not None:
            self._rebinds.cancel()
            self._rebinds = None
        if nat.rebinding is not Rebinding.NEVER:
            self._rebind_at(self.now() + nat.rebinds_after_s, nat.rebinds_after_s)

    def _rebind_at(self, when: float, period_s: float) -> None:
        def rebind() -> None:
            self.rebind()
            self._rebind_at(when + period_s, period_s)

        self._rebinds = self.call_at(when, rebind)

    def rebind(self) -> None:
        """Forget every binding of `translate`, as a gateway that has restarted."""
        self._forwarding.rebind()

    def listens(self, port: int, interface: str | None) -> None:
        """The node has bound that UDP port; those outside may send to it, unless it is inside."""
        self._bound[port, interface] = None
        if self._forwarding.has_rules and interface not in self._inside:
            self._forwarding.listen(port)

    def end_translation(self) -> None:
        """The host loses power: it forwards nothing and has forgotten everything."""
        self._forwarding.remove()
