"""Ten minutes of collecting: slots filled, lateness, CPU a cycle, memory, and its growth.

The simulator and InfluxDB are processes of their own and are not counted. For the memory
after a day's worth of cycles: `--interval 1 --cycles 17280`, in somewhat less than five hours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

from pzem.config import INTERVALS_S
from pzem.testing.trial import trial

METERS = 3
SETTLED_CYCLES = 12
"""After so many cycles everything was imported, opened and done once."""


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--interval", type=int, choices=INTERVALS_S, default=5, metavar="S")
    parser.add_argument("--cycles", type=int, help="so many cycles, instead of minutes")
    args = parser.parse_args()
    expected = args.cycles or int(60 * args.minutes / args.interval)
    with trial(args.interval) as running:
        cycles = running.cycles()
        first = next(cycles)
        pid = running.collector.pid
        for _ in range(SETTLED_CYCLES):
            first = next(cycles)
        early, cpu_s = memory(pid), cpu_seconds(pid)
        time.sleep(expected * args.interval)
        late, cpu_s = memory(pid), cpu_seconds(pid) - cpu_s
        after = f"WHERE time > {first['time']}s"
        rows = running.database.query(f"SELECT * FROM collector {after}")  # noqa: S608
        readings = running.database.query(f"SELECT watts FROM meter {after}")  # noqa: S608
        lateness = sorted(1000 * row["lateness_s"] for row in rows)
        filled = 100 * len(readings) / (METERS * expected)
        print(f"slots filled:  {filled:.1f} % ({len(readings)} of {METERS * expected} readings)")
        print(f"lateness:      p50 {statistics.median(lateness):.1f} ms")
        print(f"               p99 {lateness[int(0.99 * (len(lateness) - 1))]:.1f} ms")
        print(f"CPU:           {1000 * cpu_s / max(1, len(rows)):.1f} ms a cycle")
        for name, kib in late.items():
            grown = f"{(kib - early[name]) / 1024:+.1f} MiB in {len(rows)} cycles"
            print(f"{name + ':':14} {kib / 1024:.1f} MiB ({grown})")


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
