"""Many simulated CPEs keep their bindings alive at one STUN server: how many answers are lost, and
what it takes in time and memory.

    .venv/bin/python bench/simulated_keep_alives.py [--homes 10000] [--minutes 10] [--json FILE]

Each CPE is behind a gateway of its own, gets its address by DHCP, and runs the STUN client and the
keep-alive timers of the testbed; the server decodes and records as in any run.  Nobody has an ACS:
the CPEs leave the factory with STUN on.  All get power at the same moment.
Exit status: 1 if a request was not answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.protocols import stun
from testbed.scenario import Player, Scenario, Stage
from testbed.simulate import simulate
from testbed.topology import Nat, Topology
from testbed.trace.record import Record

SERVER = "198.18.0.30"
PERIOD_S = 30
SETTLED_S = 15.0
"""After which what is on its way at the end has come: longer than a transaction lasts."""


def homes_with_stun(homes: int = 1) -> Topology:
    """Homes with a device each, and a STUN server."""
    net = Topology(homes_with_stun.__doc__)
    internet = net.link("internet", "198.18.0.0/15")
    net.node("stun_server", internet.at(30))
    for home in net.repeat("home", homes):
        lan = home.link("home", "192.168.1.0/24")
        home.node("gateway", lan.at(1), internet.next_free(), nat=Nat.MASQUERADE)
        home.node("device", lan.by_dhcp())
    return net


@dataclass
class Count:
    """What a run has shown.

    Attributes:
        homes: CPEs.
        virtual_s: how long they lived.
        requests: Binding Requests that CPEs began, copies not counted.
        unanswered: those to which no response came.
        copies: requests that were sent again.
        gave_up: CPEs' own complaints of silence.
        fewest: requests of the CPE that sent the fewest.
        seconds: that it took.
        memory_mb: of the process, at most.
        records: of the trace.
    """

    homes: int
    virtual_s: float = 0.0
    requests: int = 0
    unanswered: int = 0
    copies: int = 0
    gave_up: int = 0
    fewest: int = 0
    seconds: float = 0.0
    memory_mb: float = 0.0
    records: int = 0


class Watch:
    """Counts requests and their answers as the trace tells them."""

    def __init__(self, homes: int) -> None:
        self.count = Count(homes)
        self.waiting: set[bytes] = set()
        self.seen: dict[str, int] = {}
        self.is_ending = False

    def __call__(self, record: Record) -> None:
        """One more record."""
        message, count = record.message, self.count
        if record.is_event:
            count.gave_up += message.name == "STUN_NO_ANSWER"
        elif not record.link.startswith("home"):
            return
        elif isinstance(message, stun.BindingRequest):
            if message.transaction_id in self.waiting:
                count.copies += 1
            elif not self.is_ending:
                self.waiting.add(message.transaction_id)
                count.requests += 1
                self.seen[record.sender] = self.seen.get(record.sender, 0) + 1
        elif isinstance(message, stun.BindingResponse):
            self.waiting.discard(message.transaction_id)


def keep_alive_always(device: Player) -> None:
    """The CPE leaves the factory with STUN on, and a fixed period."""
    root = f"{device.tree.model.root}ManagementServer."
    told = {"STUNServerAddress": SERVER, "STUNEnable": "1"}
    told |= dict.fromkeys(
        ("STUNMinimumKeepAlivePeriod", "STUNMaximumKeepAlivePeriod"), str(PERIOD_S)
    )
    for name, text in told.items():
        device.tree.assign(f"{root}{name}", text)


def measure(homes: int, virtual_s: float) -> Count:
    """Let so many CPEs live so long."""
    watch = Watch(homes)

    async def crowd(at: Stage) -> None:
        """All CPEs get power at the same moment, and live on."""
        at.stun_server.set_policy(challenge="none")
        at.trace.listeners.append(watch)
        for device in at.all("device"):
            keep_alive_always(device)
            device.power_on()
        await asyncio.sleep(virtual_s)
        watch.is_ending = True
        await asyncio.sleep(SETTLED_S)

    scenario = Scenario("keep_alives", homes_with_stun, 30, None)
    scenario.variant("", homes=homes)(crowd)
    begun = time.perf_counter()
    result = simulate(scenario)
    count = watch.count
    count.seconds = round(time.perf_counter() - begun, 1)
    if not result.is_completed:
        raise AssertionError(result.missed or result.stuck or str(result.crashes[:1]))
    count.virtual_s = round(result.seconds, 3)
    count.unanswered = len(watch.waiting)
    count.fewest = min(watch.seen.values()) if len(watch.seen) == homes else 0
    count.records = len(result.trace.records)
    count.memory_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return count


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--homes", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count = measure(options.homes, options.minutes * 60)
    for name, value in asdict(count).items():
        sys.stdout.write(f"{name:12} {value:>12,}\n")
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(count), indent=2) + "\n")
    return 1 if count.unanswered or count.gave_up else 0


if __name__ == "__main__":
    sys.exit(main())
