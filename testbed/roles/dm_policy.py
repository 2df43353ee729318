"""What devices, bootstrap servers and DM servers are told by their topology."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from testbed.protocols.dm.account import PROVISIONING_WBXML, Account
from testbed.protocols.dm.syncml import DM_WBXML, Command

BOOTSTRAP_PATH = "/OMA/DM/Bootstrap.xml"
"""The only path that the document has (AMB-OMA-02)."""
MAC_PARAMETER = "msid"
"""Of a URL's query: twelve hexadecimal digits (AMB-OMA-03)."""
VERSION_PARAMETER = "dmver"
"""Of a URL's query: the revision of DM that the device speaks."""
SERVICE, EXAMPLE_SERVICE = "dm-bootstrap", "dmbs"
"""The normative name, and that of the document's example (AMB-OMA-01)."""
SCWS_PORT = 4116
LOCAL_UICC = "localuicc"


class Scws(Enum):
    """Where the smart card's web server is (DM bootstrap, 5.4.7, table): its URL's authority."""

    BIP_IPV4 = "127.0.0.1:4116"
    BIP_IPV6 = "[::1]:4116"
    BIP_LOCALHOST = "localhost:4116"
    TCP_IPV4 = "localuicc:443 over IPv4"
    TCP_IPV6 = "localuicc:443 over IPv6"

    @property
    def url(self) -> str:
        """Its absolute URL."""
        authority = self.value.partition(" ")[0]
        return f"https://{authority.removesuffix(':443')}{BOOTSTRAP_PATH}"

    @property
    def address(self) -> str:
        """Where its host name leads, by the device's own hosts table."""
        return "::1" if self in (Scws.BIP_IPV6, Scws.TCP_IPV6) else "127.0.0.1"


@dataclass(frozen=True, slots=True)
class BootstrapPolicy:
    """How a device finds its bootstrap package, and what it makes of it.

    Attributes:
        hardware_address: it is known by this, twelve hexadecimal digits.
        device: its URI in DM sessions.
        domain: that its provider has told it; None: DHCP option 15 does.
        url: it was told by other means; None: it looks for one.
        scws: of its smart card; None: it has no such card.
        service: name of the service that it asks DNS for.
        falls_back: ask for the example's name where the normative one does not exist.
        path: of the URL at a server that was found by DNS.
        version: of DM, told to the bootstrap server; "": not told.
        pin: key of the package's MAC; None: packages are taken without one.
        uses_https: whether it speaks HTTPS at all.
        connect_within_s: TCP and TLS together.
        answer_within_s: of one HTTP exchange.
        media_type: of its DM sessions.
    """

    hardware_address: str
    device: str
    domain: str | None = None
    url: str | None = None
    scws: Scws | None = None
    service: str = SERVICE
    falls_back: bool = False
    path: str = BOOTSTRAP_PATH
    version: str = "1.2"
    pin: bytes | None = b"4711"
    uses_https: bool = True
    connect_within_s: float = 5.0
    answer_within_s: float = 5.0
    media_type: str = DM_WBXML


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One device, as its operator's servers know it.

    Attributes:
        hardware_address: twelve hexadecimal digits, upper case.
        device: its URI in DM sessions.
        account: what its package holds.
        media_type: of the package.
        pin: key of the package's MAC; None: the package has none.
        asks: what the DM server asks for in its session.
    """

    hardware_address: str
    device: str
    account: Account
    media_type: str = PROVISIONING_WBXML
    pin: bytes | None = b"4711"
    asks: Sequence[Command] = ()
