"""What a day of readings writes to the card, in MB and flushes, against the original script.

Three ways: this collector with InfluxDB answering, the same with InfluxDB away (its spool
alone), and the original script's: one request for each meter. Slots follow each other
without waiting. Nothing is saved by that, for InfluxDB flushes each request; what it writes
by the clock alone (its statistics about itself, which are off here) is not in it.

As root, everything lies on an ext4 of its own in a loop device, whose counters tell what
reached the "card", journal and all. Else /proc/PID/io tells what the processes have dirtied,
and not how often it was flushed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from pzem.config import InfluxSettings
from pzem.influx import Influx, Writer
from pzem.moment import Moment
from pzem.points import meter_fields
from pzem.spool import Block, Spool
from pzem.testing.house import SimulatedHouse
from pzem.testing.influxd import Influxd

INTERVAL_S = 5
DAY_SLOTS = 86_400 // INTERVAL_S
BEGIN_S = 1_700_000_000
CARD_MB = 1024
SECTOR_BYTES = 512
ALARMS = 15
"""Kinds of alarms, each with a line in each cycle; some for each meter."""
AS_PROVISIONED = {
    "INFLUXDB_DATA_CACHE_MAX_MEMORY_SIZE": "128m",
    "INFLUXDB_DATA_CACHE_SNAPSHOT_MEMORY_SIZE": "16m",
    "INFLUXDB_DATA_COMPACT_THROUGHPUT": "8m",
    "INFLUXDB_DATA_COMPACT_THROUGHPUT_BURST": "8m",
    "INFLUXDB_DATA_MAX_CONCURRENT_COMPACTIONS": "1",
}
"""As the role influxdb sets it."""


@dataclass(frozen=True)
class Written:
    """What was written."""

    bytes: int
    flushes: int | None

    def since(self, before: Written) -> Written:
        """Return what was written after `before`."""
        flushes = self.flushes
        if flushes is not None and before.flushes is not None:
            flushes -= before.flushes
        return Written(self.bytes - before.bytes, flushes)


@dataclass(frozen=True)
class Card:
    """A folder, and the counters of what is under it."""

    folder: Path
    device: str | None

    def written(self, pids: list[int]) -> Written:
        """Return what was written so far; `pids` beside this process."""
        os.sync()
        if self.device is not None:
            fields = Path(f"/sys/dev/block/{self.device}/stat").read_text().split()
            return Written(int(fields[6]) * SECTOR_BYTES, int(fields[15]))
        total = sum(_dirtied(pid) for pid in [os.getpid(), *pids])
        return Written(total, None)


def main() -> None:
    """Print the three figures for a day."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=1440, help="how many to play (default: 1440)")
    slots = parser.parse_args().slots
    os.environ |= AS_PROVISIONED
    ways = {
        "this collector, InfluxDB answers": steady,
        "this collector, InfluxDB away": away,
        "the original script": original,
    }
    with card() as place:
        how = "block counters of an ext4" if place.device else "write_bytes of /proc/PID/io"
        print(f"{how}; {slots} slots played, counted up to a day of {DAY_SLOTS}")
        for name, way in ways.items():
            with tempfile.TemporaryDirectory(dir=place.folder) as folder:
                written = way(place, Path(folder), slots)
            megabytes = written.bytes / 1e6 * DAY_SLOTS / slots
            flushes = "unknown"
            if written.flushes is not None:
                flushes = f"{written.flushes * DAY_SLOTS / slots:.0f}"
            print(f"{name + ':':34} {megabytes:7.1f} MB a day, {flushes:>6} flushes a day")


def steady(place: Card, folder: Path, slots: int) -> Written:
    """Play slots that InfluxDB takes at once, with the spool on the same card."""
    with server(folder) as running:
        now = 0.0
        spool = Spool(folder, "b00t", 512_000_000, lambda: now, background=False)
        influx = Influx(InfluxSettings(running.url, "housePower"))
        writer = Writer(spool, influx)

        def cycle(block: Block) -> None:
            nonlocal now
            now = block.moment.monotonic_s
            spool.put(block)
            spool.keep()
            writer.step()

        written = _played(place, [_pid(running)], slots, cycle)
        left = spool.depth().blocks
        spool.close()
        influx.close()
    if left:
        raise SystemExit(f"InfluxDB did not take {left} slots")
    return written


def away(place: Card, folder: Path, slots: int) -> Written:
    """Play slots that only the spool takes."""
    now = 0.0
    spool = Spool(folder, "b00t", 512_000_000, lambda: now, background=False)

    def cycle(block: Block) -> None:
        nonlocal now
        now = block.moment.monotonic_s
        spool.put(block)
        spool.keep()

    written = _played(place, [], slots, cycle)
    spool.close()
    return written


def original(place: Card, folder: Path, slots: int) -> Written:
    """Play slots as the build guide's script writes them: a request for each meter."""
    with server(folder) as running, requests.Session() as session:
        session.trust_env = False

        def cycle(block: Block) -> None:
            for line in block.lines:
                if line.startswith("meter,"):
                    answer = session.post(
                        f"{running.url}/write",
                        params={"db": "housePower", "precision": "s"},
                        data=f"{line} {block.moment.unix_s}".encode(),
                        timeout=30,
                    )
                    answer.raise_for_status()

        return _played(place, [_pid(running)], slots, cycle)


def blocks(slots: int, begin_s: int = BEGIN_S) -> Iterator[Block]:
    """Yield what a simulated house of three meters brings in each slot."""
    house = SimulatedHouse(seed=1)
    alarms = [f"alarm_state,kind=kind_{number} active=0.0" for number in range(ALARMS)]
    for number in range(slots):
        house.advance(INTERVAL_S)
        lines = []
        for name, meter in house.meters.items():
            fields = meter_fields(meter.displayed)
            fields["lifetime_wh"] = fields["energy_wh"] + 1e6
            text = ",".join(f"{key}={value}" for key, value in fields.items())
            lines += [f"meter,meter={name} {text}", f"meter_state,meter={name} state=0.0"]
        watts = sum(meter.displayed.watts for meter in house.meters.values())
        lines += [
            f"house watts={watts},volt_amps={watts},utility_on=1.0,generator_on=0.0",
            "host cpu_celsius=51.2",
            "collector cycle_s=0.2,lateness_s=0.001,waiting_cycles=0.0",
            *alarms,
        ]
        at_s = number * INTERVAL_S
        yield Block(Moment(begin_s + at_s, float(at_s), "b00t"), tuple(lines))


@contextlib.contextmanager
def card() -> Iterator[Card]:
    """Give a place to write to: an ext4 in a loop device if that is allowed."""
    with tempfile.TemporaryDirectory(prefix="pzem-card-") as folder:
        image, mount = Path(folder, "image"), Path(folder, "mount")
        mount.mkdir()
        with image.open("wb") as file:
            file.truncate(CARD_MB * 2**20)
        try:
            _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
            _run("mount", "-o", "loop,noatime", str(image), str(mount))
        except (OSError, subprocess.CalledProcessError):
            yield Card(Path(folder), None)
            return
        number = mount.stat().st_dev
        try:
            yield Card(mount, f"{os.major(number)}:{os.minor(number)}")
        finally:
            _run("umount", str(mount))


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Influxd]:
    """Run InfluxDB with its data in `folder`."""
    usual, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        running = Influxd()
    finally:
        tempfile.tempdir = usual
    with running:
        running.query("CREATE DATABASE housePower")
        yield running


def _played(place: Card, pids: list[int], slots: int, cycle: Callable[[Block], None]) -> Written:
    warm = slots // 10
    before = place.written(pids)
    for number, block in enumerate(blocks(slots + warm)):
        if number == warm:  # files are made, the journal has begun
            before = place.written(pids)
        cycle(block)
    return place.written(pids).since(before)


def _pid(running: Influxd) -> int:
    assert running.pid is not None
    return running.pid


def _dirtied(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
