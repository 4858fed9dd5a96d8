"""The plausible house of tests and benchmarks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from pzem.house import LegsState, Meaning, MeterEnergy, Sample, SupplyState
from pzem.house.generator import GeneratorState
from pzem.levels import DAYS, HOURS, MINUTES, SHAPES, bounds
from pzem.moment import Moment
from pzem.points import Cycle, lines
from pzem.registers import Reading
from pzem.testing.years import DAY_S, INTERVAL_S, Years

END_S = 1_790_000_000 // 3600 * 3600
HOUSE = Years(END_S - 800 * DAY_S, END_S, ZoneInfo("America/New_York"), seed=3)
FIELDS = {shape.measurement: shape for shape in SHAPES}


def moments(step_s: int) -> Iterator[int]:
    return iter(range(HOUSE.start_s, HOUSE.end_s, step_s))


def test_it_is_the_same_for_the_same_seed() -> None:
    again = Years(HOUSE.start_s, HOUSE.end_s, HOUSE.zone, seed=3)
    other = Years(HOUSE.start_s, HOUSE.end_s, HOUSE.zone, seed=4)
    at_s = END_S - 1234 * INTERVAL_S
    assert HOUSE.points(at_s) == again.points(at_s)
    assert HOUSE.points(at_s) != other.points(at_s)
    assert HOUSE.absences == again.absences


def test_its_points_are_those_of_the_collector() -> None:
    """Measurements, tags and fields are the same, whatever the values."""
    at_s = next(
        s
        for s in moments(600)
        if HOUSE.absence(s) and any(p.fields.get("load") for p in HOUSE.points(s))
    )
    reading = Reading(120.0, 1.0, 110.0, 5.0, 60.0, 0.92, alarm=False)
    cycle = Cycle(
        sample=Sample(Moment(at_s, 0.0, "b00t"), dict.fromkeys(HOUSE.names, reading)),
        meaning=Meaning(
            SupplyState(1.0, 1.0, utility_on=True, generator_on=False),
            LegsState(volts_difference=1.0, imbalance=0.5),
            GeneratorState(
                running=True, load=0.5, volt_amps=2500.0, hours=1.0, hours_since_service=1.0
            ),
            (),
        ),
        energies=dict.fromkeys(HOUSE.names, MeterEnergy(5.0, estimated=False)),
        lateness_s=0.0,
        cycle_s=0.1,
        waiting_cycles=0,
        cpu_celsius=50.0,
    )
    written = {}
    for line in lines(cycle):
        series, fields = line.split(" ")
        written[series] = {field.split("=")[0] for field in fields.split(",")}
    made = {
        ",".join([p.measurement, *(f"{key}={value}" for key, value in p.tags)]): set(p.fields)
        for p in HOUSE.points(at_s)
        if p.measurement != "alarm_state"
    }
    assert made == written


def test_counters_count_and_never_step_back() -> None:
    counted: dict[str, float] = {}
    for at_s in moments(3600):
        for point in HOUSE.points(at_s):
            if point.measurement == "meter":
                name, value = point.tags[0][1], float(point.fields["lifetime_wh"])
                assert value >= counted.get(name, 0.0)
                counted[name] = value
    assert counted[HOUSE.names[0]] > 1_000_000
    assert counted[HOUSE.names[2]] > 10_000


def test_energy_of_periods_adds_up() -> None:
    sums = {}
    for period in ("hour", "day", "month"):
        wh = [
            float(line.split("wh=")[1].split(",")[0])
            for line in HOUSE.energies(HOUSE.start_s, HOUSE.end_s, [period])
        ]
        sums[period] = sum(wh)
    assert sums["hour"] == pytest.approx(sums["day"], abs=100)
    assert sums["day"] == pytest.approx(sums["month"], abs=100)


def test_while_nothing_feeds_the_panel_there_is_nothing() -> None:
    outage = next(one for one in HOUSE.absences if not one.is_exercise)
    assert HOUSE.points(outage.start_s - INTERVAL_S)
    assert HOUSE.points(outage.start_s) == []
    assert HOUSE.points(outage.generator_s)
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(HOUSE.absences))


@pytest.mark.parametrize("level", [MINUTES, HOURS, DAYS])
def test_buckets_have_what_their_shape_declares(level: str) -> None:
    start_s = END_S - 3 * DAY_S
    end_s = start_s + {MINUTES: 600, HOURS: 7200, DAYS: 2 * DAY_S}[level]
    stamps = set()
    for line in HOUSE.buckets(level, start_s, end_s):
        series, fields, stamp = line.rsplit(" ", 2)
        stamps.add(int(stamp))
        shape = FIELDS[series.split(",")[0]]
        names = {field.split("=")[0] for field in fields.split(",")}
        for name in shape.means:
            if name in names or (name in shape.weighted and f"{name}_count" in names):
                assert {f"{name}_min", f"{name}_max"} <= names
        assert names <= {
            *shape.means,
            *shape.flags,
            *shape.lasts,
            *shape.largest,
            *(f"{name}_{end}" for name in shape.means for end in ("min", "max")),
            *(f"{name}_count" for name in shape.weighted),
        }
    assert all(bounds(level, stamp, HOUSE.zone)[0] == stamp for stamp in stamps)
