"""What importing the original's history costs: points a second, and memory of both sides.

The history ends a day ago. InfluxDB runs with the memory settings of the role `influxdb`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bulk_memory import LIMIT_MB, Peak
from card_writes import AS_PROVISIONED

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
COLD = "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION"
SETTLE_S = 20.0
"""An old history lies in files, not in the server's caches, as it does soon with `COLD`."""
METER = '[[meters]]\nname = "{name}"\naddress = {address}\nsupply = "utility"\n'


def main() -> None:
    """Print the figures for a history of so many days."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--raw", default="104w", help="how long the raw level keeps readings")
    args = parser.parse_args()
    days = args.days
    os.environ |= AS_PROVISIONED
    with Influxd() as server, tempfile.TemporaryDirectory() as folder:
        os.environ[COLD] = "2s"
        server.stop()
        server.start()
        prepare(server, days, args.raw)
        time.sleep(SETTLE_S)
        del os.environ[COLD]
        server.stop()
        server.start()  # without what preparing has left in memory
        config = Path(folder, "pzem.toml")
        meters = [
            METER.format(name=n, address=a) for n, a in (("mainA", 4), ("mainB", 5), ("gen", 6))
        ]
        config.write_text(CONFIG.format(folder=folder, url=server.url) + "".join(meters))
        start_s = time.monotonic()
        options = ["--config", str(config), "--from-database", "original", "--yes", "--json"]
        line = [sys.executable, "-m", "pzem.cli", "import-original", *options]
        with Peak(server) as peak, subprocess.Popen(line, stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            printed = running.stdout.read()
            _, status, used = os.wait4(running.pid, 0)
            running.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start_s
    if running.returncode:
        raise SystemExit("the import has failed")
    report = json.loads(printed)
    print(f"rows: {report['rows']} of {days} days; written: {report['written']}")
    print(f"import: {report['rows'] / seconds:.0f} rows/s ({seconds:.0f} s)")
    print(f"InfluxDB: {peak.mb:.0f} MB of RssAnon at most (limit: {LIMIT_MB} MB)")
    print(f"the command: {used.ru_maxrss * 1024 / 1e6:.0f} MB of RSS at most")


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


if __name__ == "__main__":
    os.nice(5)
    main()
