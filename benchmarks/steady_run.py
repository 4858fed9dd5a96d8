"""Ten minutes of collecting every 5 s: slots filled, lateness, CPU and memory.

The simulator and InfluxDB are processes of their own and are not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

from pzem.testing.trial import trial

INTERVAL_S = 5
METERS = 3


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with trial(INTERVAL_S) as running:
        first = next(running.cycles())
        pid = running.collector.pid
        cpu_s = cpu_seconds(pid)
        time.sleep(60 * minutes)
        cpu_s = cpu_seconds(pid) - cpu_s
        after = f"WHERE time > {first['time']}s"
        rows = running.database.query(f"SELECT * FROM collector {after}")  # noqa: S608
        readings = running.database.query(f"SELECT watts FROM meter {after}")  # noqa: S608
        expected = int(60 * minutes / INTERVAL_S)
        lateness = sorted(1000 * row["lateness_s"] for row in rows)
        filled = 100 * len(readings) / (METERS * expected)
        print(f"slots filled:  {filled:.1f} % ({len(readings)} of {METERS * expected} readings)")
        print(f"lateness:      p50 {statistics.median(lateness):.1f} ms")
        print(f"               p99 {lateness[int(0.99 * (len(lateness) - 1))]:.1f} ms")
        print(f"CPU:           {1000 * cpu_s / max(1, len(rows)):.1f} ms a cycle")
        for name, kib in memory(pid).items():
            print(f"{name + ':':14} {kib / 1024:.1f} MiB")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, user and system, in s (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> dict[str, int]:
    """Return the resident memory of a process and its anonymous part, in KiB."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {name: int(status[name].split()[0]) for name in ("VmRSS", "RssAnon")}


if __name__ == "__main__":
    main()
