"""Many HNBs discover in one simulated world: time and memory, in all and for each HNB.

Time is the process's own, so that whoever else is on the machine hardly counts.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import click

RESULTS = Path("runs", "bench", "simulated_homes.json")


def measure(homes: int) -> dict[str, float]:
    """Play so many discoveries that begin at once, in this process."""
    begun = time.process_time()
    from testbed.registry import find_scenario
    from testbed.scenario import Stage
    from testbed.simulate import simulate
    from testbed.trace.record import Event, Record

    imported_s = time.process_time() - begun
    found = find_scenario("discovery_public")

    async def crowd(at: Stage) -> None:
        """All HNBs get power at the same moment, and each is served."""
        waiting = {hnb.name: None for hnb in at.all("hnb")}
        served = asyncio.Event()

        def listen(record: Record) -> None:
            if isinstance(record.message, Event) and record.message.name == "SERVED":
                waiting.pop(record.sender, None)
                if not waiting:
                    served.set()

        at.trace.listeners.append(listen)
        for hnb in at.all("hnb"):
            hnb.power_on()
        await served.wait()

    found.variants.pop("crowd", None)
    found.variant("crowd", homes=homes)(crowd)
    if homes == 1:
        simulate(found, "crowd")  # what is imported late is imported by now
    begun = time.process_time()
    result = simulate(found, "crowd")
    seconds = time.process_time() - begun
    assert result.is_completed, f"{result.missed}{result.stuck}{result.crashes[:1]}"
    memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "homes": homes,
        "import_s": round(imported_s, 3),
        "seconds": round(seconds, 3),
        "ms_each": round(1000 * seconds / homes, 1),
        "memory_mb": round(memory_kb / 1024, 1),
        "records": len(result.trace.records),
        "virtual_s": round(result.seconds, 3),
    }


@click.command()
@click.option("--homes", default="1,10,100", help="How many, a run for each.")
@click.option("--one", type=int, hidden=True)
def main(homes: str, one: int | None) -> None:
    """Measure, each size in a process of its own."""
    if one is not None:
        print(json.dumps(measure(one)))
        return
    rows = []
    print(f"{'homes':>6} {'import':>8} {'seconds':>8} {'ms each':>8} {'MB':>7} {'records':>8}")
    for size in homes.split(","):
        command = [sys.executable, __file__, "--one", size]
        row = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        rows.append(row)
        print(
            f"{row['homes']:>6} {row['import_s']:>8} {row['seconds']:>8} {row['ms_each']:>8} "
            f"{row['memory_mb']:>7} {row['records']:>8}"
        )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
