"""Time of a cycle over three ports against the read of one meter, in ms.

Ports are asked at once, so the two should be the same but for the threads' start.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from pzem.line import Line
from pzem.meter import Meter
from pzem.places import Places
from pzem.ports import Ports
from pzem.testing import SimulatedHouse, Simulator

READS = 50


def main() -> None:
    """Print both medians."""
    house = SimulatedHouse()
    with tempfile.TemporaryDirectory() as folder:
        ports = {f"{folder}/tty{n}": [meter] for n, meter in enumerate(house.meters.values())}
        with Simulator.with_meters(ports):
            print(f"read of one meter:    {1000 * one_read(next(iter(ports))):.1f} ms (median)")
            print(f"cycle of three ports: {1000 * cycle(folder, house):.1f} ms (median)")


def one_read(port: str) -> float:
    """Return the median time of one meter's read, in s."""
    line = Line(port)
    meter = Meter(line, 4)
    times = []
    for _ in range(READS):
        time.sleep(0.05)
        start = time.monotonic()
        meter.read()
        times.append(time.monotonic() - start)
    line.close()
    return statistics.median(times)


def cycle(folder: str, house: SimulatedHouse) -> float:
    """Return the median time of a cycle, in s."""
    addresses = {meter.name: meter.address for meter in house.meters.values()}
    times = []
    with Ports([str(Path(folder) / "tty*")], (), addresses, Places(None)) as ports:
        ports.discover()
        for _ in range(READS):
            time.sleep(0.05)
            start = time.monotonic()
            ports.poll(start + 3.0)
            times.append(time.monotonic() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
