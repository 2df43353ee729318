"""Faults of devices in OMA DM bootstrap (5.4.7 and 5.4.7.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from testbed.faults.fault import fault
from testbed.host import TlsProfile
from testbed.protocols import dhcp, dns
from testbed.protocols.dm.account import Account
from testbed.protocols.http import Request, Response, Url
from testbed.protocols.wire import Endpoint
from testbed.roles.dm_device import DmDevice
from testbed.roles.http_client import HttpConnection

SRV = ("dm_bootstrap_srv/",)
FAILURE = ("dm_bootstrap_failure/",)
DOMAIN = "mobilecarrier.example"


def _urls(device: DmDevice, change: Any) -> None:
    """Have the device change the URLs that it has found."""
    urls = device._urls

    async def changed(lease: dhcp.Lease) -> list[Url]:
        found: list[Url] = change(await urls(lease))
        return found

    device._urls = changed  # type: ignore[method-assign]  # that is the fault


def _asks(device: DmDevice, change: Any) -> None:
    """Have the device ask for another name or kind than it should."""
    ask = device._ask

    async def changed(name: str, kind: str, lease: dhcp.Lease) -> dns.Resolution:
        other_name, other_kind = change(name, kind)
        return await ask(other_name, other_kind, lease)

    device._ask = changed  # type: ignore[method-assign]  # that is the fault


def _each_request(device: DmDevice, change: Any) -> None:
    """Have the device send another request for its package."""

    def mended(message: Any, _: Endpoint) -> list[Any]:
        is_bootstrap = isinstance(message, Request) and message.method == "GET"
        return [change(message)] if is_bootstrap else [message]

    device.mend_of("http").message.append(mended)


@fault(
    "bootstrap.in-clear",
    role="dm_device",
    breaks=("OMA-5.4.7-B0", "OMA-5.4.7-B1", "OMA-5.4.7.1-H1"),
    shown_in=SRV,
)
def in_clear(device: DmDevice) -> None:
    """The device asks for its package by HTTP without TLS, and takes no answer for one."""
    get = device._get

    async def clear(url: Url, lease: dhcp.Lease) -> Response:
        return await get(replace(url, scheme="http"), lease)

    device._get = clear  # type: ignore[method-assign]  # that is the fault


@fault(
    "bootstrap.tries-without-https",
    role="dm_device",
    breaks=("OMA-5.4.7-B0", "OMA-5.4.7-B1", "OMA-5.4.7.1-H1"),
    shown_in=("dm_bootstrap_srv/no_https",),
)
def tries_without_https(device: DmDevice) -> None:
    """A device without HTTPS looks for the server all the same, and asks it in clear."""
    bootstrap = device._bootstrap

    async def anyway(lease: dhcp.Lease) -> None:
        device.set_bootstrap(uses_https=True)  # after it has told that it has none
        await bootstrap(lease)

    device._bootstrap = anyway  # type: ignore[method-assign]  # that is the fault
    in_clear(device)


@fault("bootstrap.posts", role="dm_device", breaks=("OMA-5.4.7-B1",), shown_in=SRV)
def posts(device: DmDevice) -> None:
    """The device asks by POST; the server says 400, which is its right."""
    _each_request(device, lambda request: replace(request, method="POST"))


@fault("bootstrap.guesses-host", role="dm_device", breaks=("OMA-5.4.7.1-D1",), shown_in=SRV)
def guesses_host(device: DmDevice) -> None:
    """Before it asks for the service, the device tries a name that it makes up."""
    urls = device._urls

    async def guess(lease: dhcp.Lease) -> list[Url]:
        await device._ask(f"bootstrap.{DOMAIN}", "A", lease)
        return await urls(lease)

    device._urls = guess  # type: ignore[method-assign]  # that is the fault


@fault(
    "bootstrap.ignores-port",
    role="dm_device",
    breaks=("OMA-5.4.7.1-D2", "OMA-5.4.7.1-H1"),
    shown_in=SRV,
    seen_in="clients that take 443 for every https server",
)
def ignores_port(device: DmDevice) -> None:
    """The device connects to port 443, whatever the record says."""
    _urls(device, lambda urls: [replace(each, port=443) for each in urls])


@fault("bootstrap.ignores-priority", role="dm_device", breaks=("OMA-5.4.7.1-D2",), shown_in=SRV)
def ignores_priority(device: DmDevice) -> None:
    """The device tries the servers from the highest priority number down."""
    _urls(device, lambda urls: urls[::-1])


@fault(
    "bootstrap.name-without-underscores",
    role="dm_device",
    breaks=(
        *("OMA-5.4.7.1-D3", "OMA-5.4.7.1-D4", "OMA-5.4.7.1-D6", "OMA-5.4.7.1-D9"),
        "OMA-5.4.7.1-F1",
    ),
    shown_in=SRV,
)
def name_without_underscores(device: DmDevice) -> None:
    """The device leaves the underscores out, is told NXDOMAIN, and connects all the same."""
    _asks(device, lambda name, kind: (name.replace("_", ""), kind))
    _connects_anyway(device)


def _connects_anyway(device: DmDevice) -> None:
    """Have the device use the server that it was built with where DNS names none."""
    bootstrap = device._bootstrap

    async def anyway(lease: dhcp.Lease) -> None:
        try:
            await bootstrap(lease)
        except Exception:
            stream = await device.host.connect(Endpoint("192.168.1.60", 4443))
            await stream.close()
            raise

    device._bootstrap = anyway  # type: ignore[method-assign]  # that is the fault


@fault("bootstrap.another-service", role="dm_device", breaks=("OMA-5.4.7.1-D4",), shown_in=SRV)
def another_service(device: DmDevice) -> None:
    """The device looks for a service by a name of its own."""
    _asks(device, lambda name, kind: (name.replace("_dm-bootstrap", "_oma-dm"), kind))


@fault("bootstrap.takes-alias-for-name", role="dm_device", breaks=("OMA-5.4.7.1-D4",), shown_in=SRV)
def takes_alias_for_name(device: DmDevice) -> None:
    """The device asks for the service by the name of the document's example, unasked."""
    _asks(device, lambda name, kind: (name.replace("_dm-bootstrap", "_dmbs"), kind))


@fault("bootstrap.asks-for-udp", role="dm_device", breaks=("OMA-5.4.7.1-D6",), shown_in=SRV)
def asks_for_udp(device: DmDevice) -> None:
    """The device names UDP as the protocol."""
    _asks(device, lambda name, kind: (name.replace("._tcp.", "._udp."), kind))


@fault(
    "bootstrap.dhcp-overrides-provider",
    role="dm_device",
    breaks=("OMA-5.4.7.1-D7",),
    shown_in=("dm_bootstrap_srv/provider_wins",),
)
def dhcp_overrides_provider(device: DmDevice) -> None:
    """The device takes the domain of DHCP option 15, though its provider has told it another."""
    _asks(device, lambda name, kind: (name.replace(DOMAIN, "isp.example"), kind))


@fault(
    "bootstrap.built-in-domain",
    role="dm_device",
    breaks=("OMA-5.4.7.1-D8",),
    shown_in=("dm_bootstrap_dhcp_domain/",),
)
def built_in_domain(device: DmDevice) -> None:
    """Without a provider's name the device takes one that it was built with."""
    _asks(device, lambda name, kind: (name.replace(f"_tcp.{DOMAIN}", "_tcp.maker.example"), kind))


@fault(
    "bootstrap.example-without-domain",
    role="dm_device",
    breaks=("OMA-5.4.7.1-D3", "OMA-5.4.7.1-D7", "OMA-5.4.7.1-D11"),
    shown_in=("dm_bootstrap_srv/alias",),
)
def example_without_domain(device: DmDevice) -> None:
    """The device asks for _dmbs._tcp alone."""
    _asks(device, lambda name, kind: (name.removesuffix(f".{DOMAIN}"), kind))


@fault(
    "bootstrap.looks-despite-url",
    role="dm_device",
    breaks=("OMA-5.4.7-X1",),
    shown_in=("dm_bootstrap_srv/static_url",),
)
def looks_despite_url(device: DmDevice) -> None:
    """The device was told the URL, and asks for the service all the same."""
    urls = device._urls

    async def look(lease: dhcp.Lease) -> list[Url]:
        await device._ask(f"_dm-bootstrap._tcp.{DOMAIN}", "SRV", lease)
        return await urls(lease)

    device._urls = look  # type: ignore[method-assign]  # that is the fault


@fault(
    "bootstrap.goes-on-after-nxdomain",
    role="dm_device",
    breaks=("OMA-5.4.7.1-D9",),
    shown_in=("dm_bootstrap_failure/no_such_service",),
)
def goes_on_after_nxdomain(device: DmDevice) -> None:
    """The device connects to a server of its own after an answer that names none."""
    _connects_anyway(device)


@fault(
    "bootstrap.tls-for-another-name",
    role="dm_device",
    breaks=("OMA-5.4.7.1-H1",),
    shown_in=SRV,
)
def tls_for_another_name(device: DmDevice) -> None:
    """The device asks TLS for the domain instead of the target's name, and checks nothing."""

    async def opened(url: Url, lease: dhcp.Lease) -> HttpConnection:
        found = await device._ask(url.host, "A", lease)
        assert isinstance(found, dns.Resolved)
        profile = TlsProfile(server_name=DOMAIN, verifies=False, verifies_name=False)
        return await HttpConnection.open(
            device.host, Endpoint(found.addresses[0], url.port), profile, 5.0, 5.0
        )

    device._open = opened  # type: ignore[method-assign]  # that is the fault


@fault(
    "bootstrap.session-before-package",
    role="dm_device",
    breaks=("OMA-5.4.7-B4", "OMA-5.4.7.1-F1", "OMA-5.4.7.1-D1", "OMA-5.4.7.1-H5"),
    shown_in=SRV,
)
def session_before_package(device: DmDevice) -> None:
    """The device turns to a DM server that it was built with before it has any account."""
    bootstrap = device._bootstrap

    async def early(lease: dhcp.Lease) -> None:
        account = Account("built-in", "Built in", f"https://dm.{DOMAIN}:8443/dm")
        try:
            await device._session(account, lease)
        finally:
            await bootstrap(lease)

    device._bootstrap = early  # type: ignore[method-assign]  # that is the fault


@fault("bootstrap.truncates-package", role="dm_device", breaks=("OMA-5.4.7-B3",), shown_in=SRV)
def truncates_package(device: DmDevice) -> None:
    """The device hands over all octets of the package but the last."""
    received = device._received

    def shorter(response: Response) -> None:
        received(replace(response, body=response.body[:-1]))

    device._received = shorter  # type: ignore[method-assign]  # that is the fault


@fault(
    "bootstrap.installs-unverified",
    role="dm_device",
    breaks=("OMA-5.4.7-B4",),
    shown_in=("dm_bootstrap_failure/bad_mac",),
    seen_in="devices that take any package that can be parsed",
)
def installs_unverified(device: DmDevice) -> None:
    """The device installs a package whose MAC does not fit."""
    tell = device.host.tell

    def quiet(event: str, **fields: Any) -> None:
        if event != "PACKAGE_VERIFIED":
            tell(event, **fields)

    device.set_bootstrap(pin=None)
    device.host.tell = quiet  # type: ignore[method-assign]  # that is the fault


@fault(
    "bootstrap.believes-any-mac",
    role="dm_device",
    breaks=("OMA-5.4.7-B4",),
    shown_in=("dm_bootstrap_failure/bad_mac", "dm_bootstrap_failure/no_mac"),
)
def believes_any_mac(device: DmDevice) -> None:
    """The device says that it has verified the package, and has compared nothing."""
    device.set_bootstrap(pin=None)


@fault(
    "bootstrap.hands-nothing-over",
    role="dm_device",
    breaks=("OMA-5.4.7-B3",),
    shown_in=SRV,
)
def hands_nothing_over(device: DmDevice) -> None:
    """The device gets its package and drops it."""
    from testbed.roles.dm_device import _Failed

    def dropped(response: Response) -> None:
        raise _Failed("8", "the package is dropped")

    device._received = dropped  # type: ignore[method-assign]  # that is the fault


def _gets_twice(device: DmDevice) -> None:
    get = device._get

    async def twice(url: Url, lease: dhcp.Lease) -> Response:
        await get(url, lease)
        return await get(url, lease)

    device._get = twice  # type: ignore[method-assign]  # that is the fault


@fault("bootstrap.fetches-twice", role="dm_device", breaks=("OMA-5.4.7-B1",), shown_in=SRV)
def fetches_twice(device: DmDevice) -> None:
    """The device fetches its package a second time before it looks at it."""
    _gets_twice(device)


@fault(
    "bootstrap.asks-again",
    role="dm_device",
    breaks=("OMA-5.4.7.1-H404", "OMA-5.4.7.1-H5"),
    shown_in=FAILURE,
)
def asks_again(device: DmDevice) -> None:
    """The device does not take no for an answer, and asks once more."""
    _gets_twice(device)


@fault(
    "bootstrap.follows-redirect",
    role="dm_device",
    breaks=("OMA-5.4.7.1-D2", "OMA-5.4.7.1-H5"),
    shown_in=("dm_bootstrap_failure/redirect",),
)
def follows_redirect(device: DmDevice) -> None:
    """The device asks where a 302 sends it."""
    get = device._get

    async def follow(url: Url, lease: dhcp.Lease) -> Response:
        response = await get(url, lease)
        there = response.header("Location")
        return response if there is None else await get(Url.parse(there), lease)

    device._get = follow  # type: ignore[method-assign]  # that is the fault


@fault(
    "bootstrap.names-another-host",
    role="dm_device",
    breaks=("OMA-5.4.7-B1",),
    shown_in=("dm_bootstrap_srv/static_url",),
)
def names_another_host(device: DmDevice) -> None:
    """The device asks with its domain as Host, and not with the host of its URL."""
    _each_request(device, lambda request: replace(request, headers=(("Host", DOMAIN),)))


@fault("bootstrap.no-session", role="dm_device", breaks=("OMA-5.4.7.1-H5",), shown_in=SRV)
def no_session(device: DmDevice) -> None:
    """The device installs its account and leaves it at that."""
    from testbed.roles.dm_device import _Failed

    async def none(account: Account, lease: dhcp.Lease) -> None:
        raise _Failed("9", "no session is opened")

    device._session = none  # type: ignore[method-assign]  # that is the fault
