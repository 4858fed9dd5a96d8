from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fakes import FakeClock
from pzem.config import Config, MeterSettings
from pzem.meter import Outcome
from pzem.registers import Reading
from pzem.service import Collector, CollectorError
from pzem.spool import Block, SpoolDepth

READING = Reading(120.0, 1.0, 120.0, 0.0, 60.0, 1.0, alarm=False)
METERS = tuple(MeterSettings(f"m{n}", n, "circuit") for n in (1, 2, 3))


class Ports:
    """Meters that always answer, all of them on one port."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def poll(self, deadline: float) -> dict[str, Outcome]:
        self.clock.now_s += 0.25
        return {meter.name: READING for meter in METERS}

    def homes(self) -> dict[str, str | None]:
        return {meter.name: "/dev/ttyUSB0" for meter in METERS}


class Writer:
    alive = True

    def is_alive(self) -> bool:
        return self.alive


class Taken:
    """In the place of a spool: a list of what is put."""

    def __init__(self) -> None:
        self.cycles: list[list[str]] = []

    def put(self, block: Block) -> None:
        self.cycles.append(list(block.stamped()))

    def depth(self) -> SpoolDepth:
        return SpoolDepth(len(self.cycles), 0, 0, None, None, 0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000_001.0)


@pytest.fixture
def spool() -> Taken:
    return Taken()


@pytest.fixture
def writer() -> Writer:
    return Writer()


def collector(
    clock: FakeClock,
    spool: Taken,
    writer: Writer,
    mode: str = "trust",
    interval_s: int = 5,
    thermal_zone: Path = Path("/nowhere"),
) -> Collector:
    config = Config(METERS, clock=mode, interval_s=interval_s, thermal_zone=thermal_zone)
    return Collector(config, Ports(clock), spool, writer, clock)  # type: ignore[arg-type]


def test_each_slot_becomes_a_cycle(clock: FakeClock, spool: Taken, writer: Writer) -> None:
    clock.waits_left = 3
    collector(clock, spool, writer).run()
    cycles = spool.cycles
    assert [cycle[-1].split()[-1] for cycle in cycles] == ["1000005", "1000010", "1000015"]
    assert "cycle_s=0.25,lateness_s=0.0,waiting_cycles=2.0" in cycles[2][-1]


def test_each_cycle_tells_how_warm_the_processor_is(
    clock: FakeClock, spool: Taken, writer: Writer, tmp_path: Path
) -> None:
    zone = tmp_path / "temp"
    zone.write_text("48312\n")
    clock.waits_left = 2
    clock.during_wait = [clock.step(0), zone.unlink]
    collector(clock, spool, writer, thermal_zone=zone).run()
    warm, unknown = spool.cycles
    assert "host cpu_celsius=48.312 1000005" in warm
    assert not [line for line in unknown if line.startswith("host")]


def test_before_the_clock_is_right_nothing_is_stored(
    clock: FakeClock, spool: Taken, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    clock.synchronised = False
    clock.waits_left = 8

    def put_right() -> None:
        clock.offset_s += 86_400.0
        clock.synchronised = True

    clock.during_wait = [clock.step(0)] * 4 + [put_right]
    with caplog.at_level(logging.INFO):
        collector(clock, spool, writer, mode="wait").run()
    cycles = spool.cycles
    stamps = [int(cycle[-1].split()[-1]) for cycle in cycles]
    assert stamps[0] >= 1_000_000 + 86_400
    assert len(stamps) == 2
    said = [record.getMessage() for record in caplog.records]
    assert "the clock is not synchronised yet; nothing is stored until it is" in said
    assert "the clock is right; 5 cycles read before are dropped" in said


def test_a_trusted_clock_is_not_asked(clock: FakeClock, spool: Taken, writer: Writer) -> None:
    clock.synchronised = False
    clock.waits_left = 2
    collector(clock, spool, writer).run()
    assert len(spool.cycles) == 2


def test_a_clock_once_right_stays_trusted(clock: FakeClock, spool: Taken, writer: Writer) -> None:
    clock.waits_left = 3

    def forget() -> None:
        clock.synchronised = False

    clock.during_wait = [clock.step(0), forget]
    collector(clock, spool, writer, mode="wait").run()
    assert len(spool.cycles) == 2


def test_a_port_too_busy_is_said_once(
    clock: FakeClock, spool: Taken, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    clock.waits_left = 5
    collector(clock, spool, writer, interval_s=1).run()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "3 meters on /dev/ttyUSB0 may need 1.5 s, more than the interval of 1 s; "
        "use a longer interval_s or another adapter"
    ]


def test_without_a_writer_it_gives_up(clock: FakeClock, spool: Taken, writer: Writer) -> None:
    writer.alive = False
    with pytest.raises(CollectorError, match="the writer has ended"):
        collector(clock, spool, writer).run()
