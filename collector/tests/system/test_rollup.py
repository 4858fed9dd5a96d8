"""Minutes, hours, days and energy, made by a real InfluxDB of what it holds."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pzem.cli import main, rolling
from pzem.config import InfluxSettings
from pzem.history.levels import Rollup as Counted
from pzem.influx import Influx, InfluxError, Verdict, Writer
from pzem.levels import LEVELS, NS, ORIGINAL_METER, bounds
from pzem.moment import Moment
from pzem.rollup import Rollup, RollupError
from pzem.rollup.events import Events
from pzem.rollup.service import RETRY_S, SETTLE_EVERY, Service
from pzem.spool import Block, Spool
from pzem.testing.influxd import Influxd
from support import eventually

NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")
NOON = 1_700_000_000 // 86_400 * 86_400 + 12 * 3600
"""Of a day in the past; the raw level of `house` keeps it for ever."""
DAY_S = 86_400


class CrashError(Exception):
    """A power cut, as it were."""


class Fragile(Influx):
    """Does so many requests, and then no more."""

    left = 1_000_000

    def query(self, text: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self._count()
        return super().query(text, params)

    def write(self, lines: Sequence[str], policy: str = "") -> Verdict:
        self._count()
        return super().write(lines, policy)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise CrashError


class House:
    """A database with all levels, and a rollup of it."""

    def __init__(self, server: Influxd, database: str, zone: tzinfo = UTC) -> None:
        self.server = server
        self.database = database
        server.query(f"CREATE DATABASE {database}")
        for level in ("raw", *LEVELS):
            default = " DEFAULT" if level == "raw" else ""
            server.query(
                f"CREATE RETENTION POLICY {level} ON {database} DURATION INF "
                f"REPLICATION 1 SHARD DURATION 520w{default}"
            )
        self.influx = Fragile(InfluxSettings(server.url, database))
        self.rollup = Rollup(self.influx, database, zone)
        self.rollup.open()

    def store(self, lines: Iterable[str], policy: str = "") -> None:
        lines = list(lines)
        for number in range(0, len(lines), 5000):
            assert self.influx.write(lines[number : number + 5000], policy) is Verdict.STORED

    def settle(self, span_s: int | None = None) -> int:
        """Return how many days were looked at."""
        return len(list(self.rollup.settle(span_s)))

    def rows(self, policy: str, measurement: str = "meter") -> list[dict[str, Any]]:
        return self.influx.query(f"SELECT * FROM {policy}.{measurement}")

    def energy(self, period: str, meter: str = "a") -> dict[int, float | None]:
        rows = self.influx.query(
            f"SELECT wh, lifetime_wh FROM d1.energy WHERE period='{period}' AND meter='{meter}'"
        )
        return {row["time"]: row["wh"] for row in rows}

    def everything(self) -> dict[str, Any]:
        return {
            f"{level}.{name}": self.rows(level, name)
            for level in LEVELS
            for name in ("meter", "meter_state", "house", "collector", "energy")
        }


@pytest.fixture
def house(influxd: Influxd, database: str) -> Iterator[House]:
    one = House(influxd, database)
    yield one
    one.influx.close()
    influxd.query(f"DROP DATABASE {database}")


def slot(
    time_s: int, lifetime_wh: float | None = None, rng: random.Random | None = None
) -> list[str]:
    """Return one cycle of a house of one meter, `a`; `collector` is the last of it."""
    rng = rng or random.Random(time_s)
    volts, amps = round(rng.uniform(110, 125), 1), round(rng.uniform(0, 40), 3)
    factor = round(rng.uniform(0.2, 1), 2)
    watts, volt_amps = round(volts * amps * factor, 1), round(volts * amps, 1)
    lifetime = "" if lifetime_wh is None else f",lifetime_wh={lifetime_wh!r}"
    return [
        f"meter,meter=a volts={volts},amps={amps},watts={watts},volt_amps={volt_amps},"
        f"power_factor={factor},hertz=60.0,alarm={float(rng.random() < 0.1)},"
        f"energy_wh={float(time_s % 1000)}{lifetime} {time_s}",
        f"meter_state,meter=a state=0.0 {time_s}",
        f"house watts={watts},utility_on=1.0 {time_s}",
        f"collector cycle_s={round(rng.uniform(0.1, 0.4), 4)},lateness_s=0.0,"
        f"waiting_cycles=0.0 {time_s}",
    ]


def slots(times: Iterable[int], base_wh: float = 1000.0) -> list[str]:
    times = list(times)
    return [line for t in times for line in slot(t, base_wh + (t - NOON) // 60)]


def counted(rows: list[dict[str, Any]], zone: tzinfo) -> dict[str, dict[int, dict[str, float]]]:
    """Return what an import makes of the same readings."""
    one = Counted(ORIGINAL_METER, zone)
    buckets = []
    for row in rows:
        means = [float(row[name]) for name in ORIGINAL_METER.means]
        lasts = [None if row[name] is None else float(row[name]) for name in ORIGINAL_METER.lasts]
        buckets += one.take(row["time"] * NS, means, lasts)
    levels: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
    for bucket in buckets + one.so_far():
        levels[bucket.level][bucket.start_s] = bucket.fields
    return levels


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        (UTC, NOON),
        (NEW_YORK, int(datetime(2023, 3, 12, 3, tzinfo=UTC).timestamp())),  # 23 hours
        (NEW_YORK, int(datetime(2023, 11, 5, 3, tzinfo=UTC).timestamp())),  # 25 hours
        (KOLKATA, NOON),  # its days begin within an hour of UTC
    ],
)
def test_every_level_is_what_an_import_makes_of_the_same_readings(
    influxd: Influxd, database: str, zone: tzinfo, start: int
) -> None:
    house = House(influxd, database, zone)
    rng = random.Random(7)
    times = [t for t in range(start, start + 52 * 3600, 30) if rng.random() < 0.7]
    times = [t for t in times if not start + 7000 < t < start + 12_345]
    house.store(line for t in times for line in slot(t, 5.0 + t - start))
    house.settle()
    expected = counted(house.rows("raw"), zone)
    for level in LEVELS:
        made = {row["time"]: row for row in house.rows(level)}
        assert made.keys() == expected[level].keys()
        for time_s, fields in expected[level].items():
            found = {name: made[time_s][name] for name in fields}
            assert found == pytest.approx(fields, rel=1e-9), (level, time_s)
    house.influx.close()


def test_flags_states_and_words(house: House) -> None:
    answers = [
        ("0.0", ""),
        ("2.0", ',reason="bad frame"'),
        ("1.0", ',reason="silent"'),
        ("0.0", ""),
    ]
    for number, (answer, reason) in enumerate(answers):
        house.store(
            [
                f"meter_state,meter=a state={answer}{reason} {NOON + number}",
                f"alarm_state,kind=generator_overload active={float(number == 1)} {NOON + number}",
                f"alarm_state,kind=meter_silent,meter=a active=1.0 {NOON + number}",
                f"generator load=0.{number},hours=1{number}.0 {NOON + number}",
                f"house utility_on={float(number > 0)} {NOON + number}",
                f"host cpu_celsius=5{number}.0 {NOON + number}",
                f"collector cycle_s=0.1,lateness_s=0.0,waiting_cycles={number}.0 {NOON + number}",
            ]
        )
    house.settle()
    for level in LEVELS:
        (state,) = house.rows(level, "meter_state")
        assert (state["state"], state["reason"]) == (2, "silent")
        alarms = {row["kind"]: row for row in house.rows(level, "alarm_state")}
        assert alarms["generator_overload"]["active"] == 0.25
        assert alarms["meter_silent"]["meter"] == "a"
        (generator,) = house.rows(level, "generator")
        assert generator["load"] == pytest.approx(0.15)
        assert generator["hours"] == 13
        (flags,) = house.rows(level, "house")
        assert (flags["utility_on"], flags["utility_on_count"]) == (0.75, 4)
        assert "utility_on_min" not in flags
        assert house.rows(level, "host")[0]["cpu_celsius_max"] == 53
        assert house.rows(level, "collector")[0]["waiting_cycles_max"] == 3


def test_a_field_that_is_missing_now_and_then_is_weighed_by_its_own_count(house: House) -> None:
    for minute, values in enumerate([[10.0], [20.0, 40.0, 60.0]]):
        for second, watts in enumerate(values):
            house.store([f"house watts={watts},utility_on=1.0 {NOON + 60 * minute + second}"])
        house.store([f"house utility_on=0.0 {NOON + 60 * minute + 50}"])
        house.store(slot(NOON + 60 * minute + 55)[3:])
    house.settle()
    for level in ("h1", "d1"):
        (row,) = house.rows(level, "house")
        assert row["watts"] == pytest.approx(130 / 4)
        assert row["utility_on"] == pytest.approx(4 / 6)


def test_what_comes_late_is_rolled_up_however_old_it_is(house: House) -> None:
    times = range(NOON, NOON + 6 * DAY_S, 300)
    late = [t for t in times if NOON + 3600 <= t < NOON + 40 * 3600]
    house.store(slots(t for t in times if t not in late))
    house.settle()
    before = house.everything()
    house.store(slots(late))
    assert house.settle(3600) == 1, "one day looked at, nothing found there"
    assert house.everything() == before
    house.settle()
    after = house.everything()
    other = House(house.server, f"{house.database}b")
    other.store(slots(times))
    other.settle()
    assert after == other.everything()
    other.influx.close()


def test_looks_further_back_while_it_finds_something(house: House) -> None:
    """So a backlog of days is there soon, not only when all is looked at."""
    house.store(slots(range(NOON, NOON + 6 * DAY_S, 300)))
    assert house.settle(3600) == 7
    assert len(house.rows("d1")) == 7
    assert house.settle(3600) == 1


def test_nothing_is_written_where_nothing_has_changed(house: House) -> None:
    house.store(slots(range(NOON, NOON + 7200, 60)))
    house.settle()
    house.server.query("DROP MEASUREMENT house", house.database)
    house.settle()
    assert not house.rows("m1", "house")


def test_other_slots_in_the_place_of_as_many_are_noticed(house: House) -> None:
    house.store(slots(range(NOON, NOON + 600, 5)))
    house.settle()
    house.store(
        line for t in range(NOON, NOON + 600, 5) for line in slot(t, rng=random.Random(1 - t))
    )
    house.settle()
    expected = counted(house.rows("raw"), UTC)["h1"][NOON]["volts"]
    assert house.rows("h1")[0]["volts"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (3620, 3 * 3600),  # its first minute and hour hold nothing else
        (3620, 3620 + 1200),  # true slots follow within the hour
        (3620, 13 * 3600),  # beyond midnight
    ],
)
def test_what_was_shown_provisionally_leaves_every_level(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, last: int
) -> None:
    monkeypatch.setattr("pzem.spool.memory.COMMIT_S", 0.05)
    before, after = (range(start_s, start_s + 3600, 60) for start_s in (NOON, NOON + last + 60))
    house.store(slots(before))
    spool = Spool(tmp_path, "boot", 10_000_000)
    writer = Writer(spool, Influx(InfluxSettings(house.server.url, house.database)))
    writer.start()
    shown = list(range(NOON + first, NOON + last, 300))
    for number, time_s in enumerate(shown):
        lines = tuple(line.rsplit(" ", 1)[0] for line in slot(time_s, 2.0))
        spool.put(Block(Moment(time_s, 300.0 * number, "boot", is_true=False), lines))
    spool.show_undated(NOON + first, 20)
    marked = "SELECT provisional FROM collector WHERE provisional = 1"
    eventually(lambda: len(house.influx.query(marked)) == len(shown), "they are shown")
    house.store(slots(after))
    house.settle()
    true = [*before, *after]
    assert len(house.rows("m1")) > len(true)
    spool.time_is_known("boot", NOON + DAY_S * 30, 20, NOON + DAY_S * 60)
    eventually(lambda: spool.depth().blocks == 0, "they have moved")
    writer.stop(timeout_s=10)
    spool.close()
    house.settle()
    moved = [NOON + DAY_S * 30 + 300 * number for number in range(len(shown))]
    by_level = {level: {bounds(level, t, UTC)[0] for t in true + moved} for level in LEVELS}
    for level, expected in by_level.items():
        assert {row["time"] for row in house.rows(level)} == expected
    assert set(house.energy("hour")) == by_level["h1"]
    assert sum(row["volts_count"] for row in house.rows("d1")) == len(true + moved)


@pytest.mark.parametrize("after", range(1, 40, 3))
def test_a_crash_at_any_moment_leaves_nothing_undone(house: House, after: int) -> None:
    house.store(slots(range(NOON, NOON + 7200, 300)))
    house.settle()
    house.store(slots(range(NOON + 60, NOON + 7200, 300)))
    house.influx.left = after
    with pytest.raises(CrashError):
        house.settle()
    house.influx.left = 1_000_000
    house.settle(3600)
    found = house.everything()
    house.rollup.fill(NOON)
    assert found == house.everything()
    assert house.rows("h1")[0]["volts_count"] == 24
    assert sum(value or 0 for value in house.energy("hour").values()) == 116


# --- energy


def test_energy_adds_up_and_is_not_spread_over_a_gap(house: House) -> None:
    """Three hours without readings: what was used then comes with the first hour after them."""
    step = [NOON + 60 * n for n in range(8 * 60)]
    there = [t for t in step if not NOON + 2 * 3600 <= t < NOON + 5 * 3600]
    house.store(slots(there))
    house.settle()
    hours = house.energy("hour")
    assert hours == {
        NOON: 59,  # from the end of its first minute on
        NOON + 3600: 60,
        NOON + 5 * 3600: 240,
        NOON + 6 * 3600: 60,
        NOON + 7 * 3600: 60,
    }
    assert list(house.energy("day").values()) == [479]
    assert list(house.energy("month").values()) == [479]


def test_a_lifetime_that_steps_down_gives_no_energy(house: House) -> None:
    house.store(slots([NOON, NOON + 600], 1000.0) + slots([NOON + 3600], 5.0))
    house.store(slots([NOON + 7200], 5.0))
    house.settle()
    assert house.energy("hour") == {NOON: 10, NOON + 3600: None, NOON + 7200: 60}


def test_energy_of_an_import_is_found_by_itself(house: House) -> None:
    """It fills the levels itself, and has no point of `collector`."""
    house.store(slots(range(NOON, NOON + 7200, 60)))
    house.settle()
    early = NOON - 40 * DAY_S
    for policy, time_s, lifetime_wh in (
        ("h1", early, 100.0),
        ("h1", early + 3600, 101.0),
        ("d1", early - 12 * 3600, 101.0),
    ):
        house.store([f"meter,meter=a lifetime_wh={lifetime_wh} {time_s}"], policy)
    house.store([f"meter,meter=a lifetime_wh=40.0 {early}"], "m1")
    house.settle(3600)
    assert house.energy("hour")[early + 3600] == 1
    assert house.energy("day")[early - 12 * 3600] == 61
    assert house.energy("hour")[NOON] == 1059 - 101
    house.settle(3600)


@settings(max_examples=15)
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 9 * 3600), st.integers(0, 5000)), min_size=2, max_size=40
    ),
    late=st.sets(st.integers(0, 39)),
    zone=st.sampled_from([UTC, NEW_YORK, KOLKATA]),
)
def test_energies_of_all_periods_add_up(
    influxd: Influxd, steps: list[tuple[int, int]], late: set[int], zone: tzinfo
) -> None:
    """Whatever comes late, and in whatever order."""
    database = "energies"
    house = House(influxd, database, zone)
    try:
        at_s, wh = int(datetime(2023, 3, 10, tzinfo=UTC).timestamp()), 100.0
        readings: dict[int, float] = {}
        for step_s, more_wh in steps:
            at_s, wh = at_s + step_s, wh + more_wh
            readings[at_s] = wh
        numbered = list(enumerate(readings.items()))
        for is_late in (False, True):
            lines = [
                line
                for number, (time_s, lifetime_wh) in numbered
                if (number in late) is is_late
                for line in slot(time_s, lifetime_wh)
            ]
            if lines:
                house.store(lines)
            house.settle()
        minutes = {bounds("m1", time_s, zone)[0]: value for time_s, value in readings.items()}
        used_wh = max(minutes.values()) - min(minutes.values())
        ends = {period: house.energy(period) for period in ("hour", "day", "month")}
        for energies in ends.values():
            assert math.fsum(value or 0.0 for value in energies.values()) == pytest.approx(used_wh)
        assert set(ends["hour"]) == {bounds("h1", time_s, zone)[0] for time_s in readings}
        assert set(ends["day"]) == {bounds("d1", time_s, zone)[0] for time_s in readings}
    finally:
        house.influx.close()
        influxd.query(f"DROP DATABASE {database}")


# --- the service


def test_minutes_are_made_often_and_the_rest_now_and_then(house: House) -> None:
    service = Service(house.rollup, lambda _: False)
    house.store(slots(range(NOON, NOON + 600, 5)))
    assert service.step()
    assert len(house.rows("m1")) == 10
    assert house.rows("h1")[0]["volts_count"] == 120
    for number in range(1, SETTLE_EVERY):
        house.store(slots(range(NOON + 600 * number, NOON + 600 * (number + 1), 5)))
        assert service.step()
        assert len(house.rows("m1")) == 10 * (number + 1)
        assert house.rows("h1")[0]["volts_count"] == 120
    assert service.step()
    assert house.rows("h1")[0]["volts_count"] == 120 * SETTLE_EVERY


def test_the_service_outlasts_a_database_that_is_away_or_unprovisioned(
    influxd: Influxd, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    influx = Influx(InfluxSettings(influxd.url, database))
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 2:
            for level in LEVELS:
                influxd.query(
                    f"CREATE RETENTION POLICY {level} ON {database} DURATION INF REPLICATION 1"
                )
        return len(waits) == 3

    Service(Rollup(influx, database, UTC), wait).run()
    assert waits[:2] == [RETRY_S, RETRY_S]
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert f"{database} has no retention policy m1, h1, d1" in said[0]
    assert said[1] == "the history goes on"
    influx.close()
    with pytest.raises((InfluxError, RollupError)):
        Rollup(Influx(InfluxSettings("http://127.0.0.1:9", database)), database, UTC).open()


# --- the command


def test_backfill_goes_on_where_it_was_interrupted(
    house: House,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(rolling, "PAUSE_SHARE", 0.0)
    config = tmp_path / "pzem.toml"
    config.write_text(
        f'state_dir = "{tmp_path}"\n[influxdb]\nurl = "{house.server.url}"\n'
        f'database = "{house.database}"\n[house]\ntimezone = "Europe/Paris"\n'
        '[[meters]]\nname = "a"\naddress = 4\nsupply = "utility"\n'
    )
    house.store(slots(range(NOON, NOON + 5 * DAY_S, 600)))
    day = datetime.fromtimestamp(NOON, UTC).date().isoformat()
    command = ["rollup", "--config", str(config), "--from", day]
    days: list[int] = []
    true_fill = Rollup.fill

    def fill(rollup: Rollup, unix_s: int) -> int:
        if len(days) == 2:
            days.append(unix_s)
            raise KeyboardInterrupt
        days.append(unix_s)
        return true_fill(rollup, unix_s)

    monkeypatch.setattr(Rollup, "fill", fill)
    assert main(command) == 130
    assert len(house.rows("d1")) == 2
    assert main(command) == 0
    assert "it goes on from" in capsys.readouterr().err
    assert days[3] == days[2]
    assert len(days) == len(set(days)) + 1 == 7
    assert len(house.rows("d1")) == 6
    assert main(command) == 0, "and begins anew once it was complete"
    error = capsys.readouterr().err
    assert "goes on" not in error
    assert "rollup: 100 %" in error
    assert json.loads((tmp_path / rolling.FILE).read_text()).keys() == {"done_s"}
    assert house.settle() == 6


def test_backfill_of_an_empty_database(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "pzem.toml"
    config.write_text(
        f'state_dir = "{tmp_path}"\n[influxdb]\nurl = "{house.server.url}"\n'
        f'database = "{house.database}"\n[[meters]]\nname = "a"\naddress = 4\nsupply = "utility"\n'
    )
    assert main(["rollup", "--config", str(config), "--to", "2026-01-01"]) == 0
    assert "nothing to roll up" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["rollup", "--config", str(config), "--to", "tomorrow"])
    assert "tomorrow is not a day" in capsys.readouterr().err


# --- what happened


def test_an_event_is_kept_in_days_and_follows_what_becomes_of_it(house: House) -> None:
    reading = f"collector cycle_s=0.1 {NOON + 600}"
    began = f'event,kind=outage began_at={NOON}.0,open=1.0,evidence="voltage" {NOON}'
    run = f"event,kind=generator_run,meter=gen began_at={NOON}.0,open=1.0 {NOON}"
    house.store([began, run, reading])
    house.rollup.recent()
    kept = {row["kind"]: row for row in house.rows("d1", "event")}
    assert (kept["outage"]["open"], kept["outage"]["evidence"]) == (1, "voltage")
    assert kept["generator_run"]["meter"] == "gen"
    house.store([f"event,kind=outage open=0.0,back_at={NOON + 300}.0 {NOON}"])
    house.rollup.recent()
    (outage,) = (row for row in house.rows("d1", "event") if row["kind"] == "outage")
    assert (outage["open"], outage["back_at"], outage["began_at"]) == (0, NOON + 300, NOON)
    assert outage["evidence"] == "voltage"


def test_events_that_are_kept_are_not_written_again(house: House) -> None:
    house.store([f"collector cycle_s=0.1 {NOON}"])
    house.store(f'event,kind=supply before="none",began_at={n}.0 {NOON - n}' for n in range(2500))
    house.settle()
    assert len(house.rows("d1", "event")) == 2500
    house.influx.left = 2  # two questions, and no answer that has to be written
    Events(house.influx, house.database).settle("raw")


def test_an_old_event_is_found_by_the_daily_look_at_everything(house: House) -> None:
    long_ago = NOON - 100 * DAY_S
    house.store([f"collector cycle_s=0.1 {NOON}", f"event,kind=pi_off began_at=1.0 {long_ago}"])
    house.rollup.recent()
    house.settle(2 * DAY_S)
    assert house.rows("d1", "event") == []
    house.settle()
    assert [row["time"] for row in house.rows("d1", "event")] == [long_ago]


def test_an_erased_event_is_gone_for_ever(house: House) -> None:
    house.store([f"collector cycle_s=0.1 {NOON}", f"event,kind=pi_off began_at=1.0 {NOON}"])
    house.settle()
    house.influx.query(f"DELETE FROM event WHERE time = {NOON}s")
    house.settle()
    assert house.rows("d1", "event") == []
