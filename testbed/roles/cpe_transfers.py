"""Downloads that an ACS asked for: fetched after the session, reported by TransferComplete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from testbed.errors import BadInput, PeerError
from testbed.host import Host, TlsRefused
from testbed.protocols import dns
from testbed.protocols.cwmp import delivery, rpc
from testbed.protocols.cwmp.delivery import EventQueue
from testbed.protocols.http import Request, Response, Url
from testbed.protocols.http_auth import answer, parse_challenges
from testbed.protocols.wire import Endpoint
from testbed.roles.cpe_http import Trust
from testbed.roles.cpe_policy import CpePolicy
from testbed.roles.http_client import HttpConnection

FAILED, WRONG_USER, NO_SERVER, NO_FILE, CUT_SHORT = 9010, 9012, 9015, 9016, 9017


class TransferFailed(Exception):
    """A download did not come about.

    Attributes:
        code: fault code of TR-069 A.5.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Downloader(Protocol):
    """The CWMP client that downloads, as far as its downloads ask it; `Cpe` says what each is."""

    host: Host
    way: Host
    queue: EventQueue
    trust: Trust
    policy: CpePolicy
    date: Callable[[], float] | None

    def happened(self, code: str, command_key: str = "") -> None:
        """An event occurs, and with it a session is due."""

    async def resolve(self, name: str) -> Any:
        """A name's addresses, as the box resolves names now."""


class Transfers:
    """The downloads of one CPE.

    Attributes:
        files: what was downloaded, by file type; a box may look at it.
    """

    def __init__(self, cpe: Downloader) -> None:
        self.files: dict[str, bytes] = {}
        self._cpe = cpe
        self._completed: list[rpc.TransferComplete] = []
        self._tasks: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """Power is about to go: what is under way is lost."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def completed(self) -> tuple[rpc.TransferComplete, ...]:
        """What the next session is to tell the ACS."""
        return tuple(self._completed)

    def answered(self, request: rpc.Rpc, response: rpc.Rpc) -> None:
        """The ACS has taken a TransferComplete."""
        if not isinstance(request, rpc.TransferComplete) or isinstance(response, rpc.Fault):
            return
        if request in self._completed:
            self._completed.remove(request)
        told = [
            event
            for event in self._cpe.queue.pending()
            if event.code == delivery.TRANSFER_COMPLETE
            or (event.code == delivery.M_DOWNLOAD and event.command_key == request.command_key)
        ]
        self._cpe.queue.delivered(told, by=response.method)

    def start(self, call: rpc.Download) -> None:
        """Begin a download."""
        work = self._download(call)
        self._tasks.append(self._cpe.host.spawn(work, f"{self._cpe.host.name} download"))

    async def _download(self, call: rpc.Download) -> None:
        await asyncio.sleep(call.delay_s)
        host, began = self._cpe.host, self._now()
        fault = rpc.TransferFault()
        try:
            self.files[call.file_type] = await self._fetch(call)
        except TransferFailed as failed:
            fault = rpc.TransferFault(failed.code, str(failed))
        host.tell("DOWNLOADED", url=call.url, fault=fault.code)
        ended = self._now()
        self._completed.append(rpc.TransferComplete(call.command_key, fault, began, ended))
        self._cpe.queue.happened(delivery.TRANSFER_COMPLETE)
        self._cpe.happened(delivery.M_DOWNLOAD, call.command_key)

    def _now(self) -> str:
        date = self._cpe.date
        if date is None:
            return rpc.UNKNOWN_TIME
        return datetime.fromtimestamp(int(date()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _fetch(self, call: rpc.Download) -> bytes:
        cpe = self._cpe
        try:
            url = Url.parse(call.url)
        except BadInput as error:
            raise TransferFailed(FAILED, str(error)) from error
        found = await cpe.resolve(url.host)
        if not isinstance(found, dns.Resolved):
            raise TransferFailed(NO_SERVER, f"{url.host} is not resolved")
        tls = cpe.trust.towards(url.host, cpe.policy) if url.scheme == "https" else None
        remote = Endpoint(found.addresses[0], url.port)
        within = (cpe.policy.connect_within_s, cpe.policy.answer_within_s)
        try:
            connection = await HttpConnection.open(cpe.way, remote, tls, *within)
        except TlsRefused as error:
            raise TransferFailed(FAILED, str(error)) from error
        except OSError as error:
            raise TransferFailed(NO_SERVER, str(error)) from error
        try:
            response = await self._get(connection, url, call)
        except (PeerError, ConnectionError) as error:
            raise TransferFailed(CUT_SHORT, str(error)) from error
        finally:
            await connection.close()
        if response.status in (401, 403):
            raise TransferFailed(WRONG_USER, f"the file server answers {response.status}")
        if response.status != 200:
            raise TransferFailed(NO_FILE, f"the file server answers {response.status}")
        return response.body

    async def _get(self, connection: HttpConnection, url: Url, call: rpc.Download) -> Response:
        """GET the file; a challenge is answered once."""
        headers = (("Host", url.authority),)
        request = Request(headers, method="GET", target=url.target)
        response = await connection.exchange(request)
        if response.status != 401 or not call.username or not response.keep_alive:
            return response
        cnonce = f"{self._cpe.host.random.getrandbits(64):016x}"
        value = answer(
            parse_challenges(response.all_headers("WWW-Authenticate")),
            *(call.username, call.password, "GET", url.target),
            cnonce=cnonce,
        )
        if value is None:
            return response
        again = (*headers, ("Authorization", value))
        return await connection.exchange(Request(again, method="GET", target=url.target))
