"""Anonymous memory of InfluxDB while a spool of 30 days is delivered to it, in MB.

The limit is 400 MB: a Pi has 1 GB for everything. RssAnon is what counts: the database's
files are mapped, and what of them is in memory can be dropped at any time. InfluxDB is set
up as the role does; the spool lies in a file, as after 30 days without a database.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

from card_writes import AS_PROVISIONED, DAY_SLOTS, blocks, server
from steady_run import memory

from pzem.config import InfluxSettings
from pzem.influx import Influx, Writer
from pzem.spool import Spool
from pzem.testing.influxd import Influxd

LIMIT_MB = 400
LOOK_S = 0.1
PUT_AT_ONCE = 5000
"""Blocks put before they are brought to disk: the spool's memory is bounded."""


def main() -> None:
    """Fill a spool, deliver it, print the peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=30.0)
    days = parser.parse_args().days
    slots = int(days * DAY_SLOTS)
    os.environ |= AS_PROVISIONED
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, slots)
        size_mb = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        print(f"{slots} slots ({days:g} days) in a spool of {size_mb:.0f} MB")
        with server(folder) as running, Peak(running) as peak:
            began = time.monotonic()
            deliver(folder, running)
            took_s = time.monotonic() - began
            stored = running.query("SELECT count(watts) FROM house")[0]["count"]
        print(f"delivered in {took_s:.0f} s, {slots / took_s:.0f} slots/s; {stored} are stored")
        print(f"InfluxDB's RssAnon: {peak.mb:.0f} MB at most (limit: {LIMIT_MB} MB)")
        own = memory(os.getpid())
        print(f"this process:       {own['RssAnon'] / 1000:.0f} MB RssAnon at the end")


def fill(folder: Path, slots: int) -> None:
    """Put `slots` blocks into a spool that nobody takes them from."""
    spool = Spool(folder, "b00t", 4_000_000_000, lambda: 0.0, background=False)
    for number, block in enumerate(blocks(slots), start=1):
        spool.put(block)
        if number % PUT_AT_ONCE == 0:
            spool.keep(final=True)
    spool.close()


def deliver(folder: Path, running: Influxd) -> None:
    """Deliver all of it, as fast as InfluxDB takes it."""
    spool = Spool(folder, "an0ther", 4_000_000_000)
    writer = Writer(spool, Influx(InfluxSettings(running.url, "housePower")))
    writer.start()
    while spool.depth().blocks:
        time.sleep(LOOK_S)
    writer.stop(10)
    spool.close()


class Peak:
    """Looks at a server's memory from time to time."""

    def __init__(self, running: Influxd) -> None:
        self._running = running
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.mb = 0.0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            if self._running.pid is not None:
                self.mb = max(self.mb, memory(self._running.pid)["RssAnon"] * 1024 / 1e6)


if __name__ == "__main__":
    main()
