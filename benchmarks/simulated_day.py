"""A day of the collector at accelerated time: memory at its beginning and end, CPU a cycle.

House, ledger, alarms, lifetime, spool, writer and InfluxDB are the real ones, in the threads
that they have in `pzem run`; the clock runs as fast as the database takes the slots, and the
ports are a stand-in that hands out what the simulated meters show. What the ports cost is in
`steady_run`, which cannot be accelerated.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from steady_run import memory

from pzem.collector import Collector
from pzem.config import Config, InfluxSettings, MeterSettings
from pzem.influx import Influx, Writer
from pzem.meter import Outcome
from pzem.moment import boot_id
from pzem.recall import Recall
from pzem.saver import Saver
from pzem.spool import Spool
from pzem.testing import ORIGINAL_WIRING, SimulatedHouse
from pzem.testing.influxd import Influxd

INTERVAL_S = 5
BEGIN_S = 1_760_000_000.0
SETTLED_SLOTS = 720
"""After an hour everything was imported, opened and done once."""
DRAINED_S = 0.001


class Day:
    """Clock and ports of a simulated house, for so many slots."""

    def __init__(self, spool: Spool, slots: int) -> None:
        self._house = SimulatedHouse(seed=1)
        self._spool = spool
        self._slots = slots
        self._now_s = 1000.0
        self.played = 0
        self.early = {"VmRSS": 0, "RssAnon": 0}
        self.own_cpu_s = 0.0
        """What the simulation itself has used."""

    def unix(self) -> float:
        """Return the wall time of the simulated day."""
        return BEGIN_S + self._now_s

    def monotonic(self) -> float:
        """Return its monotonic time."""
        return self._now_s

    def is_synchronised(self) -> bool:
        """Tell that the time is known."""
        return True

    def wait_until(self, monotonic_s: float) -> bool:
        """Go there as soon as the last slot is stored; tell whether the day goes on."""
        while self._spool.depth().blocks:
            time.sleep(DRAINED_S)
        began_s = time.thread_time()
        self._house.advance(max(0.0, monotonic_s - self._now_s))
        self._now_s = max(self._now_s, monotonic_s)
        self.own_cpu_s += time.thread_time() - began_s
        return self.played < self._slots

    def poll(self, _deadline: float) -> dict[str, Outcome]:
        """Return what the meters show."""
        self.played += 1
        if self.played == SETTLED_SLOTS:
            self.early = memory(os.getpid())
        return {name: meter.displayed for name, meter in self._house.meters.items()}

    def homes(self) -> dict[str, str | None]:
        """Return on which port each meter is."""
        return {name: f"/dev/ttyUSB{n}" for n, name in enumerate(self._house.meters)}

    def troubles(self) -> dict[str, str | None]:
        """Return the ports, with which nothing is wrong."""
        return {f"/dev/ttyUSB{n}": None for n in range(len(self._house.meters))}


def main() -> None:
    """Print the figures of one day."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    slots = int(parser.parse_args().hours * 3600 / INTERVAL_S)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(Influxd())
        database.query("CREATE DATABASE housePower")
        config = Config(
            tuple(
                MeterSettings(w.name, w.address, w.supply, w.leg, w.fed_from)
                for w in ORIGINAL_WIRING
            ),
            INTERVAL_S,
            state_dir=folder,
            runtime_dir=folder,
            influxdb=InfluxSettings(database.url),
        )
        saver = stack.enter_context(closing(Saver()))
        spool = stack.enter_context(closing(Spool(folder, boot_id(), 512_000_000)))
        writer = Writer(spool, Influx(config.influxdb))
        stack.callback(writer.stop, 10.0)
        recall = Recall(config.influxdb)
        day = Day(spool, slots)
        collector = Collector(
            config,
            day,  # type: ignore[arg-type]
            spool,
            writer,
            recall,
            day,
            boot_id(),
            saver,
        )
        writer.start()
        recall.start()
        began_s, cpu_s = time.monotonic(), time.process_time()
        collector.run()
        cpu_s = time.process_time() - cpu_s - day.own_cpu_s
        took_s = time.monotonic() - began_s
        late = memory(os.getpid())
        collector.close()
        recall.stop(0.0)
        stored = database.query("SELECT count(cycle_s) FROM collector")[0]["count"]
    print(f"{day.played} slots in {took_s:.0f} s; {stored} are stored")
    print(f"CPU:           {1000 * cpu_s / day.played:.1f} ms a cycle, without the ports")
    for name, kib in late.items():
        early = day.early[name] / 1024
        print(f"{name + ':':14} {early:.1f} MiB after an hour, {kib / 1024:.1f} MiB at the end")


if __name__ == "__main__":
    main()
