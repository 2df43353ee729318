"""A device that gets its DM account by HTTPS GET and opens its first session (OMA DM bootstrap 1.3,
5.4.7 and 5.4.7.1): DNS SRV, or a URL that it was told, or its smart card's web server."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from testbed.errors import BadInput, DecodeError, PeerError
from testbed.host import Host, TlsProfile, TlsRefused
from testbed.protocols import dhcp, dns
from testbed.protocols.dm import proofs
from testbed.protocols.dm.account import Account, decode_package
from testbed.protocols.dm.client import DmClient, ValueNodes
from testbed.protocols.dm.session import KINDS, Packed, Proving
from testbed.protocols.http import Request, Response, Url
from testbed.protocols.wire import Endpoint
from testbed.roles.bootstrap_server import NOT_UNDERSTOOD, Packages
from testbed.roles.device import Device
from testbed.roles.dm_policy import (
    EXAMPLE_SERVICE,
    LOCAL_UICC,
    MAC_PARAMETER,
    SCWS_PORT,
    VERSION_PARAMETER,
    BootstrapPolicy,
    Enrolment,
)
from testbed.roles.http_client import HttpConnection
from testbed.roles.http_server import HttpServer
from testbed.roles.mending import mended_message
from testbed.roles.resolve import resolve
from testbed.topology import Node

NAME_STEP, QUERY_STEP, HTTPS_STEP, PACKAGE_STEP, INSTALL_STEP, SESSION_STEP = (
    *("2", "3", "5", "7", "8", "9"),
)
"""Of the figure "client initiated bootstrap using automatic Bootstrap Server discovery"."""


class _Failed(Exception):
    """The bootstrap ends here: step and cause."""

    def __init__(self, step: str, cause: str) -> None:
        super().__init__(cause)
        self.step = step
        self.cause = cause


class DmDevice(Device):
    """Settings of the node: `bootstrap` (a `BootstrapPolicy`), `card` (an `Enrolment` that its
    smart card serves), `identity` (the card's), `roots`.

    Attributes:
        policy: may be changed before power is given.
        account: what it has installed; None: nothing.
        nodes: its management tree.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.policy: BootstrapPolicy = node.settings["bootstrap"]
        self.account: Account | None = None
        self.nodes = ValueNodes(
            {
                "./DevInfo/DevId": self.policy.device,
                "./DevInfo/Man": "Testbed",
                "./DevInfo/Mod": "DM device",
                "./DevInfo/DmV": self.policy.version or "1.2",
                "./DevInfo/Lang": "en",
                "./DevDetail/SwV": "1",
                "./Operator/Hello": "",
            },
            ("./DevInfo", "./DevDetail"),
        )
        self._client: Proving | None = None
        self._server: Proving | None = None
        self._sessions = 0

    def set_bootstrap(self, **changes: Any) -> None:
        """Change the policy; holds from the next start."""
        self.policy = replace(self.policy, **changes)

    async def start(self) -> None:
        """Power is on: the card serves, if there is one; then get connected."""
        policy, card = self.policy, self.node.settings.get("card")
        if policy.scws is not None:
            self.host.names[LOCAL_UICC] = self.host.names["localhost"] = policy.scws.address
        if card is not None:
            await self._start_card(card)
        self.host.tell(
            "BOOTSTRAP_FACTORY",
            domain=policy.domain,
            url=policy.scws.url if policy.scws else policy.url,
            service=policy.service,
            hardware_address=policy.hardware_address,
            uses_https=policy.uses_https,
        )
        await super().start()

    async def _start_card(self, card: Enrolment) -> None:
        """The smart card's web server: at the loopback addresses, for both transports."""
        packages = Packages(self.host, (card,), only=card)
        mend = self.mend_of("card")
        server = self.keep(
            HttpServer(self.host, packages.answer, mend=mend, refuses_by=NOT_UNDERSTOOD)
        )
        profile = TlsProfile(identity=self.node.settings.get("identity"))
        for address in ("127.0.0.1", "::1"):
            for port in (SCWS_PORT, 443):
                local = Endpoint(address, port)
                self.keep(await self.host.listen(local, server.serve, profile))

    def stop(self) -> None:
        """Power is about to go; what is installed stays."""
        super().stop()
        while self._kept:
            self._kept.pop().close()

    async def first_contact(self, lease: dhcp.Lease) -> None:
        """Bootstrap, once; then a session with the DM server."""
        try:
            if self.account is None:
                await self._bootstrap(lease)
            assert self.account is not None
            await self._session(self.account, lease)
        except _Failed as failed:
            self.host.tell("FAILED", step=failed.step, cause=failed.cause)

    # Where the package is.

    async def _bootstrap(self, lease: dhcp.Lease) -> None:
        if not self.policy.uses_https:
            raise _Failed(NAME_STEP, "the device speaks no HTTPS")
        urls = await self._urls(lease)
        causes = []
        for url in urls:
            try:
                response = await self._get(url, lease)
            except OSError as error:
                if isinstance(error, TlsRefused):
                    raise _Failed(HTTPS_STEP, f"{error.cause}: {error}") from error
                causes.append(f"{url.authority}: {error}")  # RFC 2782: the next one
                continue
            except PeerError as error:
                raise _Failed(PACKAGE_STEP, str(error)) from error
            self._received(response)
            return
        raise _Failed(HTTPS_STEP, "; ".join(causes))

    async def _urls(self, lease: dhcp.Lease) -> list[Url]:
        """The URLs to try, in order."""
        policy = self.policy
        told = policy.scws.url if policy.scws else policy.url
        if told is not None:
            return [self._identified(Url.parse(told))]
        domain = policy.domain or (lease.domain_name or "").rstrip("\0").strip().rstrip(".")
        if not domain:
            raise _Failed(NAME_STEP, "neither the provider nor DHCP option 15 gives a domain")
        if not domain.isprintable():
            raise _Failed(NAME_STEP, f"DHCP option 15 gives {domain!r}, which is no domain")
        found = await self._ask(f"_{policy.service}._tcp.{domain}", "SRV", lease)
        if isinstance(found, dns.Failed) and policy.falls_back and found.cause == "NXDOMAIN":
            found = await self._ask(f"_{EXAMPLE_SERVICE}._tcp.{domain}", "SRV", lease)
        if isinstance(found, dns.Failed):
            raise _Failed(QUERY_STEP, f"{found.cause}: {found.detail}")
        services = dns.in_order(found.services, self.host.random)
        if not services:
            raise _Failed(QUERY_STEP, f"{found.name}: the service is decidedly not there")
        urls = []
        for each in services:
            host, path = each.target.rstrip("."), policy.path
            try:
                urls.append(self._identified(Url.parse(f"https://{host}:{each.port}{path}")))
            except BadInput as error:
                raise _Failed(QUERY_STEP, str(error)) from error
        self.host.tell("BOOTSTRAP_SERVERS", urls=[str(url) for url in urls])
        return urls

    def _identified(self, url: Url) -> Url:
        """The URL with who asks in its query; a smart card knows whose it is."""
        if self.policy.scws is not None:
            return url
        query = f"{MAC_PARAMETER}={self.policy.hardware_address}"
        if self.policy.version:
            query += f"&{VERSION_PARAMETER}={self.policy.version}"
        return replace(url, target=f"{url.target}{'&' if '?' in url.target else '?'}{query}")

    async def _ask(self, name: str, kind: str, lease: dhcp.Lease) -> dns.Resolution:
        mend = self.mend_of("dns")
        return await resolve(self.host, lease.dns_servers, name, kind, self.resolver_policy, mend)

    # The package.

    async def _open(self, url: Url, lease: dhcp.Lease) -> HttpConnection:
        """Connect to a URL's host.

        Raises:
            TlsRefused: its certificate is not accepted.
            OSError: it has no address that answers.
        """
        scws = self.policy.scws
        of_card = scws is not None and url.host == Url.parse(scws.url).host
        kind = "AAAA" if of_card and scws is not None and ":" in scws.address else "A"
        found = await self._ask(url.host, kind, lease)
        if isinstance(found, dns.Failed):
            raise OSError(f"{found.cause}: {found.detail}")
        policy, profile = self.policy, None
        if url.scheme == "https":
            roots = self.node.settings.get("roots", ())
            profile = TlsProfile(roots=roots, server_name=url.host)
        failure: OSError = OSError(f"{url.host} has no address")
        for address in found.addresses:
            try:
                return await HttpConnection.open(
                    *(self.host, Endpoint(address, url.port), profile),
                    *(policy.connect_within_s, policy.answer_within_s, self.mend_of("http")),
                )
            except TlsRefused:
                raise
            except OSError as error:
                failure = error
        raise failure

    async def _get(self, url: Url, lease: dhcp.Lease) -> Response:
        connection = await self._open(url, lease)
        request = Request((("Host", url.authority),), method="GET", target=url.target)
        try:
            response = await connection.exchange(request)
        except BaseException as error:
            connection.abort()
            # It is there, and was asked: nobody else is (AMB-OMA-05).
            if isinstance(error, OSError) and not isinstance(error, TlsRefused):
                raise PeerError(f"{url.authority}: {error}") from error
            raise
        await _close(connection)
        return response

    def _received(self, response: Response) -> None:
        """Hand the package to the DM client: verified first, then installed."""
        if response.status != 200:
            raise _Failed(PACKAGE_STEP, f"the bootstrap server answers {response.status}")
        body = response.body
        digest = hashlib.sha256(body).hexdigest()
        self.host.tell("PACKAGE_RECEIVED", octets=len(body), sha256=digest)
        try:
            media_type, security = proofs.read_content_type(response.header("Content-Type") or "")
            if self.policy.pin is not None:
                if security is None:
                    raise _Failed(INSTALL_STEP, "the package has no MAC")
                if not proofs.is_authentic(security, self.policy.pin, body):
                    raise _Failed(INSTALL_STEP, "the package's MAC is not that of its octets")
            account = decode_package(body, media_type)
            _require_usable(account)
        except (BadInput, DecodeError) as error:
            raise _Failed(INSTALL_STEP, str(error)) from error
        self.host.tell("PACKAGE_VERIFIED", sha256=digest)
        self.account = account
        self._client = Proving.of(account.client) if account.client else None
        self._server = Proving.of(account.server) if account.server else None
        self.host.tell("INSTALLED", server_id=account.server_id, url=account.url, sha256=digest)

    # The session.

    async def _session(self, account: Account, lease: dhcp.Lease) -> None:
        """One client-initiated session with the DM server."""
        self._sessions += 1
        policy = self.policy
        client = DmClient(
            str(self._sessions),
            policy.device,
            account.url,
            {uri.rpartition("/")[2]: v for uri, v in self.nodes.values.items() if "DevInfo" in uri},
            self.nodes,
            self._client,
            self._server,
            self.host.random,
            policy.media_type,
        )
        try:
            url = Url.parse(account.url)
            connection = await self._open(url, lease)
        except (BadInput, OSError) as error:
            raise _Failed(SESSION_STEP, str(error)) from error
        try:
            packed: Packed | None = client.begin()
            while packed is not None:
                packed = await self._exchange(connection, url, packed, client)
        except BaseException as error:
            connection.abort()
            if isinstance(error, PeerError | OSError):
                raise _Failed(SESSION_STEP, str(error)) from error
            raise
        await _close(connection)
        if client.outcome != "complete":
            raise _Failed(SESSION_STEP, client.cause)
        self.host.tell("DM_SESSION_COMPLETE", server_id=account.server_id, url=account.url)

    async def _exchange(
        self, connection: HttpConnection, url: Url, packed: Packed, client: DmClient
    ) -> Packed | None:
        message = packed.message
        octets = mended_message(self.mend_of("dm"), message, packed.body, connection.stream.remote)
        headers = (
            *(("Host", url.authority), ("Content-Type", message.media_type)),
            *(("Accept", message.media_type), *packed.headers),
        )
        response = await connection.exchange(Request(headers, octets, target=url.target))
        if response.status != 200:
            raise PeerError(f"the DM server answers {response.status}")
        media_type = (response.header("Content-Type") or "").partition(";")[0].strip()
        return client.receive(response.body, media_type, response.header(proofs.HMAC_HEADER) or "")


async def _close(connection: HttpConnection) -> None:
    """Close a connection that has done its work: how it ends changes nothing any more."""
    try:
        await connection.close()
    except OSError:
        connection.abort()


def _require_usable(account: Account) -> None:
    """Look whether sessions can be opened with that account, before it is installed.

    Raises:
        BadInput: its address is no URL of a server.
        DecodeError: a proof of a kind, or with a nonce, that the device cannot make.
    """
    Url.parse(account.url)
    for credentials in (account.client, account.server):
        if credentials is None:
            continue
        if credentials.kind not in KINDS:
            raise DecodeError(
                f"bootstrap package: proofs of kind {credentials.kind!r} are not spoken, "
                f"{', '.join(KINDS)} are"
            )
        proofs.nonce_octets(credentials.nonce)
