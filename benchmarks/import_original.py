"""What importing the original's history costs: points a second, and memory of both sides.

    python benchmarks/import_original.py [DAYS [RAW]]

The history of DAYS (30) ends a day ago; RAW (104w) is how long the raw level keeps readings.
InfluxDB runs with the memory settings of the role `influxdb`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from pzem.config import InfluxSettings
from pzem.influx import Influx
from pzem.testing.influxd import Influxd
from pzem.testing.original import OriginalHistory

DAY_S = 86_400
CONFIG = """
state_dir = "{folder}/state"
[influxdb]
url = "{url}"
"""
SETTINGS = {
    "INFLUXDB_DATA_CACHE_MAX_MEMORY_SIZE": "128m",
    "INFLUXDB_DATA_CACHE_SNAPSHOT_MEMORY_SIZE": "16m",
    "INFLUXDB_DATA_COMPACT_THROUGHPUT": "8m",
    "INFLUXDB_DATA_COMPACT_THROUGHPUT_BURST": "8m",
    "INFLUXDB_DATA_MAX_CONCURRENT_COMPACTIONS": "1",
}
COLD = "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION"
SETTLE_S = 20.0
"""An old history lies in files, not in the server's caches, as it does soon with `COLD`."""
METER = '[[meters]]\nname = "{name}"\naddress = {address}\nsupply = "utility"\n'


def main() -> None:
    """Print the figures for a history of so many days."""
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    raw = sys.argv[2] if len(sys.argv) > 2 else "104w"
    os.environ |= SETTINGS
    with Influxd() as server, tempfile.TemporaryDirectory() as folder:
        os.environ[COLD] = "2s"
        server.stop()
        server.start()
        prepare(server, days, raw)
        time.sleep(SETTLE_S)
        del os.environ[COLD]
        server.stop()
        server.start()  # without what preparing has left in memory
        config = Path(folder, "pzem.toml")
        meters = [
            METER.format(name=n, address=a) for n, a in (("mainA", 4), ("mainB", 5), ("gen", 6))
        ]
        config.write_text(CONFIG.format(folder=folder, url=server.url) + "".join(meters))
        assert server.pid is not None
        watch = Watch(server.pid)
        print(f"InfluxDB before: {watch.now_mb():.0f} MB of RssAnon")
        start_s = time.monotonic()
        options = ["--config", str(config), "--from-database", "original", "--yes", "--json"]
        line = [sys.executable, "-m", "pzem.cli", "import-original", *options]
        with subprocess.Popen(line, stdout=subprocess.PIPE) as running:
            own = Watch(running.pid, "VmRSS")
            printed, _ = running.communicate()
            own_mb = own.stop()
        seconds = time.monotonic() - start_s
        peak_mb = watch.stop()
    report = json.loads(printed)
    print(f"rows: {report['rows']} of {days} days; written: {report['written']}")
    print(f"import: {report['rows'] / seconds:.0f} rows/s ({seconds:.0f} s)")
    print(f"InfluxDB: {peak_mb:.0f} MB of RssAnon at most")
    print(f"the command: {own_mb:.0f} MB of RSS at most")


def prepare(server: Influxd, days: int, raw: str) -> None:
    """Store the history, and make the levels."""
    for name in ("housePower", "original"):
        server.query(f"CREATE DATABASE {name}")
    for name, duration in (("raw", raw), ("m1", "INF"), ("h1", "INF"), ("d1", "INF")):
        shards = {"raw": "4w", "m1": "52w"}.get(name, "520w")
        server.query(
            f"CREATE RETENTION POLICY {name} ON housePower DURATION {duration} REPLICATION 1 "
            f"SHARD DURATION {shards}{' DEFAULT' if name == 'raw' else ''}"
        )
    start_s = int(time.time()) - (days + 1) * DAY_S
    lines = OriginalHistory(start_s, days * DAY_S).lines()
    writer = Influx(InfluxSettings(server.url, "original"), precision="ns")
    while some := list(itertools.islice(lines, 5000)):
        writer.write(some)
    writer.close()


class Watch:
    """Looks at a process's memory twice a second."""

    def __init__(self, pid: int, what: str = "RssAnon") -> None:
        self._what = what
        self._status = Path("/proc", str(pid), "status")
        self._peak_mb = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def now_mb(self) -> float:
        """Return what it is now, in MB."""
        found = re.search(rf"{self._what}:\s*(\d+) kB", self._text())
        return int(found[1]) / 1000 if found else 0.0

    def stop(self) -> float:
        """Return the most that was seen, in MB."""
        self._stopping.set()
        self._thread.join()
        return self._peak_mb

    def _text(self) -> str:
        try:
            return self._status.read_text()
        except OSError:  # it has ended
            return ""

    def _look(self) -> None:
        while self._status.exists() and not self._stopping.wait(0.5):
            self._peak_mb = max(self._peak_mb, self.now_mb())


if __name__ == "__main__":
    os.nice(5)
    main()
