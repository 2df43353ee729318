"""Homes whose device gets its DM account from the operator's bootstrap server (OMA DM 1.3, 5.4.7).

device, bootstrap_server, second_bootstrap_server, dm_server ---[ home ]--- gateway
gateway ---[ internet ]--- outer_dns, far_dm_server

The servers are local, as the document recommends; by a setting they are on the Internet.
"""

from __future__ import annotations

from collections.abc import Sequence

from testbed.errors import BadInput
from testbed.protocols.dm.account import MEDIA_TYPES, PROVISIONING_WBXML, Account, Credentials
from testbed.protocols.dm.syncml import DM_WBXML, DM_XML, Command, Item
from testbed.roles.dm_policy import BOOTSTRAP_PATH, SERVICE, BootstrapPolicy, Enrolment, Scws
from testbed.topology import Certificate, Link, Nat, Topology

DOMAIN = "mobilecarrier.example"
"""Of the operator; the document's own example uses a name that somebody owns."""
BOOTSTRAP_HOST = f"bootstrap.{DOMAIN}"
SECOND_HOST = f"bootstrap2.{DOMAIN}"
DM_HOST = f"dm.{DOMAIN}"
BOOTSTRAP_PORT, SECOND_PORT, DM_PORT = 4443, 4444, 8443
DM_URL = f"https://{DM_HOST}:{DM_PORT}/dm"
OLD_DOMAIN = f"old.{DOMAIN}"
"""Where the service has the name of the document's example only."""
PIN = b"4711"
MAC = "02000000C0DE"
DEVICE = "IMEI:356938035643809"
CARD_NAMES = ("localuicc", "localhost", "127.0.0.1", "::1")

ZONE = f"""\
_dm-bootstrap._tcp.{DOMAIN}. 300 IN SRV 10 0 {BOOTSTRAP_PORT} {BOOTSTRAP_HOST}.
_dm-bootstrap._tcp.{DOMAIN}. 300 IN SRV 20 0 {SECOND_PORT} {SECOND_HOST}.
_dmbs._tcp.{DOMAIN}.         300 IN SRV 10 0 {BOOTSTRAP_PORT} {BOOTSTRAP_HOST}.
_dmbs._tcp.{DOMAIN}.         300 IN SRV 20 0 {SECOND_PORT} {SECOND_HOST}.
_dmbs._tcp.{OLD_DOMAIN}.     300 IN SRV 10 0 {BOOTSTRAP_PORT} {BOOTSTRAP_HOST}.
_dm-bootstrap._tcp.gone.{DOMAIN}. 300 IN SRV 0 0 0 .
"""
FAR_DM_HOST = f"far-dm.{DOMAIN}"
FAR_DM_URL = f"https://{FAR_DM_HOST}:{DM_PORT}/dm"

ASKS = (
    Command("Get", "", (Item("./DevDetail/SwV"),)),
    Command("Replace", "", (Item("./Operator/Hello", data="welcome"),)),
    Command("Add", "", (Item("./Operator/Guest", data="new here"),)),
    Command("Exec", "", (Item("./Operator/Hello"),)),
)


def account(kind: str) -> Account:
    """The account that the operator gives, with proofs of that kind both ways."""
    return Account(
        server_id="operator",
        name="The Operator",
        url=DM_URL,
        client=Credentials(kind, "device-1", "between-us", "Zmlyc3Q="),
        server=Credentials(kind, "operator", "and-back", "c2Vjb25k"),
    )


def bootstrap_by_dns(
    nat: Nat = Nat.MASQUERADE,
    domain: str = DOMAIN,
    dhcp_domain: str = "",
    url: str = "",
    service: str = SERVICE,
    falls_back: bool = False,
    package: str = PROVISIONING_WBXML,
    proof: str = "DIGEST",
    messages: str = "wbxml",
    scws: str = "",
    https: bool = True,
    known: bool = True,
    hardware_address: str = MAC,
    version: str = "1.2",
    certificate: Certificate = Certificate.GOOD,
    servers: str = "home",
) -> Topology:
    """A home with a device, the Internet with DNS, two bootstrap servers and a DM server.

    Args:
        nat: what the gateway does to packets that leave its home.
        domain: that the provider has told the device; "": none.
        dhcp_domain: DHCP option 15 in the home; "": not sent.
        url: of the bootstrap server, told to the device by other means; "": it looks for one.
        service: name of the service that the device asks DNS for: dm-bootstrap or dmbs.
        falls_back: the device asks for the example's name where the normative one does not exist.
        package: media type of bootstrap packages.
        proof: of client and server in DM sessions: BASIC, DIGEST or HMAC.
        messages: of DM sessions: xml or wbxml.
        scws: the device has a smart card, reached so: BIP_IPV4, BIP_IPV6, BIP_LOCALHOST, TCP_IPV4
            or TCP_IPV6; "": it has none.
        https: whether the device speaks HTTPS.
        known: whether the bootstrap servers know the device.
        hardware_address: by which the device is known, as it tells it.
        version: of DM that the device tells the bootstrap server.
        certificate: what the first bootstrap server shows.
        servers: where bootstrap and DM servers are: home, or internet.
    """
    _require("package", package, MEDIA_TYPES)
    _require("proof", proof, ("BASIC", "DIGEST", "HMAC"))
    _require("messages", messages, ("xml", "wbxml"))
    _require("scws", scws, ("", *Scws.__members__))
    _require("servers", servers, ("home", "internet"))
    net = Topology(bootstrap_by_dns.__doc__)
    internet = net.link("internet", "203.0.113.0/24")
    home = net.link("home", "192.168.1.0/24")
    place = home if servers == "home" else internet
    enrolment = Enrolment(MAC, DEVICE, account(proof), package, PIN, ASKS)
    _servers(net, internet, place, enrolment, known, certificate)
    net.node(
        *("gateway", home.at(1), internet.next_free()),
        nat=nat,
        dns_servers=("203.0.113.53",),
        domain_name=dhcp_domain or None,
    )
    net.node(
        *("device", home.by_dhcp()),
        role="dm_device",
        names=CARD_NAMES if scws else (),
        card=enrolment if scws else None,
        card_url=Scws[scws].url if scws else None,
        loopback=bool(scws),
        bootstrap=BootstrapPolicy(
            hardware_address,
            DEVICE,
            domain=domain or None,
            url=url or None,
            scws=Scws[scws] if scws else None,
            service=service,
            falls_back=falls_back,
            version=version,
            pin=PIN,
            uses_https=https,
            media_type=DM_XML if messages == "xml" else DM_WBXML,
        ),
    )
    return net


def _servers(
    net: Topology,
    internet: Link,
    place: Link,
    enrolment: Enrolment,
    known: bool,
    certificate: Certificate,
) -> None:
    """The operator's servers: DNS and a far DM server on the Internet, the others at `place`."""
    hosts = {BOOTSTRAP_HOST: place.at(60), SECOND_HOST: place.at(61), DM_HOST: place.at(62)}
    hosts[FAR_DM_HOST] = internet.at(70)
    records = "".join(f"{host}. 300 IN A {at.address}\n" for host, at in hosts.items())
    net.node("outer_dns", internet.at(53), role="dns_server", zone=ZONE + records, origin=DOMAIN)
    for name, host, port in (
        ("bootstrap_server", BOOTSTRAP_HOST, BOOTSTRAP_PORT),
        ("second_bootstrap_server", SECOND_HOST, SECOND_PORT),
    ):
        net.node(
            *(name, hosts[host]),
            role="bootstrap_server",
            names=(host,),
            url=f"https://{host}:{port}{BOOTSTRAP_PATH}",
            enrolments=(enrolment,) if known else (),
            certificate=certificate if host == BOOTSTRAP_HOST else Certificate.GOOD,
        )
    for name, host, url in (
        ("dm_server", DM_HOST, DM_URL),
        ("far_dm_server", FAR_DM_HOST, FAR_DM_URL),
    ):
        net.node(
            *(name, hosts[host]),
            role="dm_server",
            names=(host,),
            url=url,
            enrolments=(enrolment,),
        )


def _require(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a setting's value that means nothing.

    Raises:
        BadInput: it is not one of those.
    """
    if value not in allowed:
        wanted = ", ".join(repr(each) for each in allowed)
        raise BadInput(f"setting {name} is {value!r}; it can be {wanted}")
