"""The CWMP client that HNB, device and managed gateway share: when sessions are, and what they do.

It owns the device's tree and the events that its ACS has not been told.  One session at a time;
what failed is tried again by TR-069's back-off.  What the box itself does about a session (an HNB's
discovery, a reboot) is its owner's.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from testbed.datamodel.tree import Tree
from testbed.errors import PeerError
from testbed.host import Host, Mend, Timer
from testbed.protocols.cwmp import delivery, rpc
from testbed.protocols.cwmp.delivery import EventQueue, retry_wait_s
from testbed.protocols.cwmp.session import (
    Accepted,
    Answered,
    Asked,
    CpeSession,
    Failed,
    Refused,
)
from testbed.protocols.wire import Endpoint
from testbed.roles.cpe_http import AcsConversation, Resolve, Trust, acs_client
from testbed.roles.cpe_policy import CpePolicy, Served, SessionFailed, SessionReport
from testbed.roles.cpe_transfers import Transfers
from testbed.roles.managed import inform, serve


class CpeOwner:
    """What a box adds to its CWMP client; each part has a default."""

    def inform_names(self, to_new_acs: bool) -> Iterable[str]:
        """More parameters for an Inform, by their full names.

        Args:
            to_new_acs: whether it tells "0 BOOTSTRAP".
        """
        return ()

    async def answering(self, acs: Endpoint, served: Sequence[Served]) -> None:
        """An answer to a call is about to be sent to the ACS at this address and port."""

    def answer_sent(self, served: Sequence[Served]) -> None:
        """An answer to a call of the ACS is on its way; these were served in this session."""

    def session_ended(self, report: SessionReport) -> str | None:
        """A session is over.  A text: it counts as failed nevertheless, for this cause."""
        return None

    def parameters_set(self) -> None:
        """The ACS has set parameters; they hold from now on."""

    def changes_told(self, values: Mapping[str, str]) -> None:
        """The ACS has accepted an Inform that tells it of changes: path to the value that was told,
        which may be another one by now."""

    def reboot(self) -> None:
        """The ACS wants the box to start anew."""

    def factory_reset(self) -> None:
        """The ACS wants the box as it left the factory."""


class Cpe:
    """One CWMP client.

    Attributes:
        tree: the device's parameters; whoever changes them calls `changed`.
        policy: may be changed between sessions.
        queue: events that the ACS has not been told.
        retries: how often the session that is due has failed.
        way: the host that its connections start from: the node, or the inside of a tunnel.

    Args:
        host: all it may ask of the world.
        tree: the parameters.
        owner: the box that it is part of.
        trust: for an ACS by https.
        mend: gives the faults at work on a protocol ("cwmp", "http").
        date: what the box believes the date is, seconds since 1970; None: it has no time.
    """

    def __init__(
        self,
        host: Host,
        tree: Tree,
        owner: CpeOwner,
        trust: Trust,
        mend: Callable[[str], Mend[Any]],
        date: Callable[[], float] | None = None,
    ) -> None:
        self.host = host
        self.tree = tree
        self.owner = owner
        self.trust = trust
        self.policy = CpePolicy()
        self.queue = EventQueue()
        self.retries = 0
        self._mend = mend
        self.date = date
        self.way = host
        self._held = self._is_in_session = False
        self._resolve: Resolve | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._timers: dict[str, Timer] = {}
        self._periodic_as: tuple[str, ...] = ()
        self._bootstrapped: str | None = None
        self._after: list[rpc.Rpc] = []
        self.transfers = Transfers(self)

    @property
    def root(self) -> str:
        """ "Device." or "InternetGatewayDevice."."""
        return self.tree.model.root

    def setting(self, leaf: str) -> str:
        """A value of the object ManagementServer."""
        return self.tree.value(f"{self.root}ManagementServer.{leaf}")

    # What the box tells it.

    def booted(self) -> None:
        """Power is on, or back."""
        self.queue.rebooted()
        self.retries = 0
        self._happened(delivery.BOOT)

    def connected(self, resolve: Resolve, way: Host | None = None) -> None:
        """There is a way to the ACS from now on; sessions start as they are due.

        Args:
            resolve: gives a name's addresses, as they are known on that way.
            way: what its connections start from; None: the node itself.
        """
        self._resolve, self.way, self._held = resolve, way or self.host, False
        self._wake.set()
        if self._task is None:
            self._task = self.host.spawn(self._run(), f"{self.host.name} CWMP")
        self._plan_periodic()

    def disconnected(self) -> None:
        """There is no way to the ACS any more; a session that is under way fails."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        if self._is_in_session:
            self._is_in_session = False
            self.retries += 1
        self._resolve = None

    def hold(self) -> None:
        """Begin no session until `connected` is called again; one that is under way goes on."""
        self._held = True

    def stop(self) -> None:
        """Power is about to go."""
        self.disconnected()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._after.clear()
        self.transfers.stop()

    def reset(self) -> None:
        """Back to the factory's state."""
        self.tree.reset()
        self.queue = EventQueue()
        self.retries = 0
        self._bootstrapped = None
        self.transfers.stop()

    def happened(self, code: str, command_key: str = "") -> None:
        """An event occurs, and with it a session is due."""
        self._happened(code, command_key)
        self._wake.set()

    def is_known(self) -> None:
        """The ACS of its URL was told "0 BOOTSTRAP" in a former life."""
        self._bootstrapped = self.setting("URL")

    def start_over(self) -> None:
        """The ACS is to be told "0 BOOTSTRAP" again: what it did not provide is still lacking."""
        self._bootstrapped = None

    def changed(self) -> None:
        """The box has changed its tree; active notification makes a session due."""
        if any(each.active for each in self.tree.changes()):
            self._wake.set()

    def _happened(self, code: str, command_key: str = "") -> None:
        self.queue.happened(code, command_key)

    # When sessions are.

    async def _run(self) -> None:
        while True:
            self._prepare_events()
            if self._held or not self._is_due():
                await self._wake.wait()
                self._wake.clear()
                continue
            self._wake.clear()
            self._is_in_session = True
            report = await self._session()
            self._is_in_session = False
            cause = str(report.failure) if report.failure else self.owner.session_ended(report)
            if report.failure is not None:
                self.owner.session_ended(report)
            self._plan_periodic()
            if cause is not None:
                await self._wait(report, cause)
                continue
            self.retries = 0
            if self._act():
                return

    def _prepare_events(self) -> None:
        """TR-069 3.7.1.5: a new ACS is told "0 BOOTSTRAP", changes are told as "4 VALUE CHANGE"."""
        url = self.setting("URL")
        pending = {event.code for event in self.queue.pending()}
        if url and url != self._bootstrapped and delivery.BOOTSTRAP not in pending:
            boot = [event for event in self.queue.pending() if event.code == delivery.BOOT]
            self._happened(delivery.BOOTSTRAP)
            for _ in boot:
                self._happened(delivery.BOOT)
            return
        active = any(change.active for change in self.tree.changes())
        told = delivery.BOOTSTRAP in pending or delivery.VALUE_CHANGE in pending
        if not told and (active or (pending and self.tree.changes())):
            self._happened(delivery.VALUE_CHANGE)

    def _is_due(self) -> bool:
        # TR-069 3.2.1.1: a session that failed is tried again also when its events are delivered,
        # "to allow the ACS to make additional requests in a timely fashion".
        return bool(self.setting("URL")) and (bool(self.queue.pending()) or self.retries > 0)

    async def _wait(self, report: SessionReport, cause: str) -> None:
        """TR-069 3.2.1.1: wait before the next try; a new event ends the wait."""
        self.retries += 1
        asked = report.failure.retry_after_s if report.failure else None
        wait_s = self.back_off_s(self.retries)
        if asked is not None:
            wait_s = max(wait_s, float(asked))
        self.host.tell(
            "SESSION_FAILED",
            cause=cause,
            stage=report.failure.stage.value if report.failure else None,
            retries=self.retries,
            wait_s=round(wait_s, 3),
        )
        self._wake.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    def back_off_s(self, retries: int) -> float:
        """How long to wait before that retry (TR-069 3.2.1.1), drawn anew each time."""
        policy = self.policy
        minimum = policy.retry_minimum_s
        return retry_wait_s(
            retries,
            self.host.random,
            int(self.setting("CWMPRetryMinimumWaitInterval")) if minimum is None else minimum,
            policy.retry_multiplier or int(self.setting("CWMPRetryIntervalMultiplier")),
        )

    def _plan_periodic(self) -> None:
        """Begin, stop or move the periodic Informs, where the settings have changed."""
        names = ("PeriodicInformEnable", "PeriodicInformInterval", "PeriodicInformTime")
        enabled, interval, reference = wanted = tuple(self.setting(name) for name in names)
        if wanted == self._periodic_as and "periodic" in self._timers:
            return
        self._periodic_as = wanted
        if timer := self._timers.pop("periodic", None):
            timer.cancel()
        if enabled == "1":
            date = None if self.date is None else self.date()
            wait_s = delivery.periodic_wait_s(float(interval), reference, date)
            self._plan_periodic_at(self.host.now() + wait_s)

    def _plan_periodic_at(self, due: float) -> None:
        self._timers["periodic"] = self.host.call_at(due, lambda: self._periodic(due))

    def _periodic(self, due: float) -> None:
        # The next one counts from when this one was due: the phase is kept, whatever a timer adds.
        interval_s = float(self.setting("PeriodicInformInterval"))
        missed = max(0.0, (self.host.now() - due) // interval_s)
        self._plan_periodic_at(due + (missed + 1) * interval_s)
        self.happened(delivery.PERIODIC)

    def _at(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        self._timers[name] = self.host.call_at(self.host.now() + delay_s, callback)

    # One session.

    async def _session(self) -> SessionReport:
        events = self.queue.pending()
        url = self.setting("URL")
        assert self._resolve is not None
        served: list[Served] = []
        changes = self.tree.changes()
        more = self.owner.inform_names(any(each.code == delivery.BOOTSTRAP for each in events))
        opening = inform(self.tree, events, self._current_time(), self.retries, more)

        def on_events(session: CpeSession) -> None:
            for event in session.events():
                self._take(event, session, conversation, served)
                if isinstance(event, Accepted):
                    self.queue.delivered(events)
                    self.tree.told(changes)
                    self.owner.changes_told({e.value.path: e.value.text for e in changes})
                    self._bootstrapped = url

        try:
            acs = acs_client(url, self.host, self.setting("Username"), self.setting("Password"))
            conversation = AcsConversation(
                *(self.way, acs, self._resolve, self._policy_on_way(), self.trust),
                *(self._mend("cwmp"), self._mend("http")),
            )
            conversation.before_answer = lambda acs: self.owner.answering(acs, served)
            conversation.on_sent = lambda: self.owner.answer_sent(served)
            session = CpeSession(opening, self.transfers.completed(), self.policy.version)
            await conversation.run(session, on_events)
        except SessionFailed as failure:
            self.queue.failed(events)
            return SessionReport(url, events, tuple(served), failure)
        return SessionReport(url, events, tuple(served))

    def _policy_on_way(self) -> CpePolicy:
        """AMB-3G-07: TLS is a must on the Internet, and a choice inside a tunnel."""
        inside = self.way is not self.host
        return dataclasses.replace(self.policy, requires_tls=False) if inside else self.policy

    def _take(
        self,
        event: Any,
        session: CpeSession,
        conversation: AcsConversation,
        served: list[Served],
    ) -> None:
        match event:
            case Accepted():
                conversation.accepted()
            case Refused(fault):
                raise conversation.refused(fault)
            case Asked(envelope):
                answer = serve(self.tree, envelope)
                session.answer(answer)
                served.append(Served(envelope.message, answer))
                if not isinstance(answer, rpc.Fault):
                    self._after.append(envelope.message)
                    if isinstance(envelope.message, rpc.SetParameterValues):
                        self.owner.parameters_set()
            case Answered(request, response):
                self.transfers.answered(request, response)
            case Failed(error):
                raise PeerError(str(error))

    def _current_time(self) -> str:
        if self.date is None:
            return rpc.UNKNOWN_TIME
        return datetime.fromtimestamp(int(self.date()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # What the ACS has asked for, once the session is over.

    def _act(self) -> bool:
        """Do what calls left to be done; whether the box starts anew."""
        calls, self._after = self._after, []
        starts_anew = False
        for call in calls:
            match call:
                case rpc.ScheduleInform(delay_s, key):
                    self._schedule(delay_s, key)
                case rpc.Download():
                    self.transfers.start(call)
                case rpc.Reboot(key) if not starts_anew:
                    self._happened(delivery.M_REBOOT, key)
                    self.owner.reboot()
                    starts_anew = True
                case rpc.FactoryReset():
                    self.owner.factory_reset()
                    starts_anew = True
        return starts_anew

    def _schedule(self, delay_s: int, key: str) -> None:
        def due() -> None:
            self._timers.pop(name, None)
            self._happened(delivery.SCHEDULED)
            self.happened(delivery.M_SCHEDULE_INFORM, key)

        name = f"scheduled {self.host.now()} {key}"
        self._at(name, float(delay_s), due)

    def requested(self) -> None:
        """An authentic connection request has come."""
        self.happened(delivery.CONNECTION_REQUEST)

    async def resolve(self, name: str) -> Any:
        """A name's addresses, as the box resolves names now."""
        assert self._resolve is not None
        return await self._resolve(name)

    def set_policy(self, **changes: Any) -> None:
        """Change the policy; holds from the next session."""
        self.policy = dataclasses.replace(self.policy, **changes)
