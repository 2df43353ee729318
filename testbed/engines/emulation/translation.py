"""A host's forwarding and translation: the kernel's rules, as its role asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from testbed.engines.emulation.binding_watch import BindingWatch
from testbed.engines.emulation.configured import Configured
from testbed.engines.emulation.forwarding import Forwarding
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netfilter import FlowNews, NetfilterSocket
from testbed.engines.emulation.netlink import Netlink
from testbed.host import Interface, Timer
from testbed.nat import BindingEvent
from testbed.topology import Nat

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
    tell: Callable[..., None]
    loop: asyncio.AbstractEventLoop
    watches_bindings: bool
    """Whether what becomes of bindings is told; set before `translate`."""

    def prepare_translation(self) -> None:
        """The host is made; it forwards nothing yet."""
        self._forwarding = Forwarding(self.namespace)
        self._inside: tuple[str, ...] = ()
        self._rebinds: Timer | None = None
        self._watch: BindingWatch | None = None
        self._news: FlowNews | None = None
        self._looks: Timer | None = None
        self.watches_bindings = False
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
        self.end_watch()
        self._forwarding.apply(nat, inside, outside, held, self.now())
        if self.watches_bindings and self._forwarding.has_rules:
            self._begin_watch(nat, tuple(held))
        self._inside = tuple(inside)
        for port, interface in list(self._bound):
            self.listens(port, interface)
        if self._rebinds is not None:
            self._rebinds.cancel()
            self._rebinds = None
        self._await_rebinding()

    def _await_rebinding(self) -> None:
        when = self._forwarding.rebinds_at
        if when is None:
            return

        def rebind() -> None:
            # A timer may come a little before its time.
            self._rebind(lambda: self._forwarding.tick(max(when, self.now())))
            self._await_rebinding()

        self._rebinds = self.call_at(when, rebind)

    def rebind(self) -> None:
        """Forget every binding of `translate`, as a gateway that has restarted."""
        self._rebind(self._forwarding.rebind)

    def _rebind(self, forget: Callable[[], None]) -> None:
        if self._watch is not None:
            self._watch.look(self.now())
        forget()
        if self._watch is not None:
            self._watch.forgotten(self.now())

    def _begin_watch(self, nat: Nat, held: tuple[str, ...]) -> None:
        socket = NetfilterSocket(self.namespace)
        self._watch = BindingWatch(nat, socket, held, self._tell_binding)
        self._news = FlowNews(self.namespace)
        self.loop.add_reader(self._news, self._hear_news)
        self._look()

    def _look(self) -> None:
        if self._watch is not None:
            self._looks = self.call_at(self._watch.look(self.now()), self._look)

    def _hear_news(self) -> None:
        if self._news is not None and self._watch is not None:
            self._news.drain()
            self._watch.look(self.now())

    def end_watch(self) -> None:
        """Tell no more of bindings."""
        if self._looks is not None:
            self._looks.cancel()
            self._looks = None
        if self._news is not None:
            self.loop.remove_reader(self._news)
            self._news.close()
            self._news = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _tell_binding(self, event: BindingEvent) -> None:
        self.tell(event.happening.value, **event.fields())

    def listens(self, port: int, interface: str | None) -> None:
        """The node has bound that UDP port; those outside may send to it, unless it is inside."""
        self._bound[port, interface] = None
        if self._forwarding.has_rules and interface not in self._inside:
            self._forwarding.listen(port)

    def end_translation(self) -> None:
        """The host loses power: it forwards nothing and has forgotten everything."""
        self.end_watch()
        self._forwarding.remove()
