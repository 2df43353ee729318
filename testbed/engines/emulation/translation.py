"""A host's forwarding and translation: the kernel's rules, as its role asks for them."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.nat_rules import Forwarding
from testbed.topology import Nat


class Translates:
    """The part of an emulated host that forwards between its interfaces."""

    namespace: Namespace

    def prepare_translation(self) -> None:
        """The host is made; it forwards nothing yet."""
        self._forwarding = Forwarding(self.namespace)

    def translate(
        self, nat: Nat, inside: Sequence[str], outside: str, pool: Sequence[str] = ()
    ) -> None:
        """Forward between interfaces; what leaves by `outside` is translated as `nat` says.

        Raises:
            BadInput: there is no inside, or outside is part of it.
            MissingFeature: no `nft` on this machine, or no nftables NAT in its kernel.
        """
        self._forwarding.apply(nat, inside, outside)

    def rebind(self) -> None:
        """Forget every binding of `translate`, as a gateway that has restarted."""
        self._forwarding.rebind()

    def end_translation(self) -> None:
        """The host loses power: it forwards nothing and has forgotten everything."""
        self._forwarding.remove()
