"""Minutes, hours and local days out of single points."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pzem.history.levels import Coarse, Rollup
from pzem.levels import HOST, NS, ORIGINAL_METER, Shape, bounds, house_zone

NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")
EVERYTHING = Shape("any", means=("watts", "volt_amps", "power_factor"), lasts=("energy_wh",))


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("zone", "moment", "start", "end"),
    [
        (UTC, "2023-06-01T12:00+00:00", "2023-06-01T00:00+00:00", "2023-06-02T00:00+00:00"),
        (NEW_YORK, "2023-06-01T03:59+00:00", "2023-05-31T04:00+00:00", "2023-06-01T04:00+00:00"),
        # 23 and 25 hours
        (NEW_YORK, "2023-03-12T12:00+00:00", "2023-03-12T05:00+00:00", "2023-03-13T04:00+00:00"),
        (NEW_YORK, "2023-11-05T12:00+00:00", "2023-11-05T04:00+00:00", "2023-11-06T05:00+00:00"),
        # off UTC by half an hour
        (KOLKATA, "2023-06-01T18:29+00:00", "2023-05-31T18:30+00:00", "2023-06-01T18:30+00:00"),
        # its day begins at 01:00
        (
            ZoneInfo("America/Asuncion"),
            "2023-10-01T12:00+00:00",
            "2023-10-01T04:00+00:00",
            "2023-10-02T03:00+00:00",
        ),
    ],
)
def test_a_day_is_one_of_the_house(zone: tzinfo, moment: str, start: str, end: str) -> None:
    assert bounds("d1", unix(moment), zone) == (unix(start), unix(end))


def test_minutes_and_hours_are_of_utc() -> None:
    assert bounds("m1", 3601, KOLKATA) == (3600, 3660)
    assert bounds("h1", 7199, KOLKATA) == (3600, 7200)


def test_a_bucket_tells_means_extremes_and_last_values() -> None:
    rollup = Rollup(ORIGINAL_METER, UTC)
    points = [
        (0, (120.0, 2.0, 240.0, 240.0, 1.0), (5.0, 105.0)),
        (30, (122.0, 4.0, 244.0, 488.0, 0.5), (6.0, 106.0)),
    ]
    for second, means, lasts in points:
        assert rollup.take(second * NS + 7, means, lasts) == []
    (minute,) = rollup.take(60 * NS, (0.0,) * 5, (7.0, 107.0))
    assert minute == Coarse(
        "m1",
        0,
        60,
        {
            "volts": 121.0,
            "volts_min": 120.0,
            "volts_max": 122.0,
            "volts_count": 2.0,
            "amps": 3.0,
            "amps_min": 2.0,
            "amps_max": 4.0,
            "amps_count": 2.0,
            "watts": 242.0,
            "watts_min": 240.0,
            "watts_max": 244.0,
            "watts_count": 2.0,
            "volt_amps": 364.0,
            "volt_amps_min": 240.0,
            "volt_amps_max": 488.0,
            "volt_amps_count": 2.0,
            "power_factor": 484 / 728,
            "power_factor_min": 0.5,
            "power_factor_max": 1.0,
            "energy_wh": 6.0,
            "lifetime_wh": 106.0,
        },
    )


def test_without_any_power_the_factor_is_zero_as_a_meter_shows_it() -> None:
    rollup = Rollup(ORIGINAL_METER, UTC)
    rollup.take(0, (120.0, 0.0, 0.0, 0.0, 0.0), (5.0, None))
    (minute, *_) = rollup.so_far()
    assert minute.fields["power_factor"] == 0
    assert "lifetime_wh" not in minute.fields


def test_each_level_is_closed_by_the_first_point_after_it() -> None:
    rollup = Rollup(HOST, UTC)
    closed = [rollup.take(hour * 3600 * NS, (40.0 + hour,)) for hour in range(3)]
    closed.append(rollup.so_far())
    levels = [[c.level for c in some] for some in closed]
    assert levels == [[], ["m1"], ["m1", "h1"], ["m1", "h1", "h1", "d1"]]


points = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=200_000),
        st.floats(0, 23_000),
        st.floats(0, 23_000),
        st.one_of(st.none(), st.floats(0, 1e7)),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda point: point[0],
)


@given(points=points, cut=st.integers(0, 60), zone=st.sampled_from([UTC, NEW_YORK, KOLKATA]))
def test_every_level_agrees_with_its_points(
    points: list[tuple[int, float, float, float | None]], cut: int, zone: tzinfo
) -> None:
    """However often it is put into a file and taken out again."""
    points = sorted(points, key=lambda point: point[0])
    start_s = unix("2023-03-11T20:00+00:00")
    rollup = Rollup(EVERYTHING, zone)
    buckets: list[Coarse] = []
    for number, (second, watts, volt_amps, energy_wh) in enumerate(points):
        if number == cut:
            rollup = Rollup(EVERYTHING, zone, json.loads(json.dumps(rollup.kept())))
        means = (watts, volt_amps, 0.5)
        buckets += rollup.take((start_s + second) * NS, means, (energy_wh,))
    assert rollup.so_far() == rollup.so_far()
    buckets += rollup.so_far()

    for level in ("m1", "h1", "d1"):
        expected = defaultdict(list)
        for point in points:
            expected[bounds(level, start_s + point[0], zone)].append(point)
        found = {(b.start_s, b.end_s): b.fields for b in buckets if b.level == level}
        assert list(found) == list(expected)
        for where, fields in found.items():
            all_watts = [point[1] for point in expected[where]]
            sum_va = sum(point[2] for point in expected[where])
            counters = [point[3] for point in expected[where] if point[3] is not None]
            assert fields["watts"] == pytest.approx(sum(all_watts) / len(all_watts))
            assert (fields["watts_min"], fields["watts_max"]) == (min(all_watts), max(all_watts))
            factor = sum(all_watts) / sum_va if sum_va else 0.0
            assert fields["power_factor"] == pytest.approx(factor)
            assert fields.get("energy_wh") == (counters[-1] if counters else None)
    assert len(buckets) == len({(b.level, b.start_s) for b in buckets})


def test_the_zone_of_the_house(tmp_path: Path) -> None:
    assert str(house_zone("America/New_York")) == "America/New_York"
    local_time = tmp_path / "localtime"
    assert house_zone("", local_time) is UTC
    source = next(
        path
        for folder in ("/usr/share/zoneinfo", "/usr/lib/zoneinfo")
        if (path := Path(folder, "Asia/Kolkata")).exists()
    )
    local_time.symlink_to(source)
    assert bounds("d1", 0, house_zone("", local_time))[0] == -19_800
    local_time.unlink()
    local_time.write_text("nonsense")
    assert house_zone("", local_time) is UTC
    for name in ("Mars/Olympus", "../etc/passwd"):
        with pytest.raises(ValueError, match="no time zone is called"):
            house_zone(name)


def test_points_of_one_minute_are_not_kept_longer() -> None:
    rollup = Rollup(HOST, UTC)
    for second in itertools.islice(itertools.count(0, 5), 1000):
        rollup.take(second * NS, (40.0,))
    assert len(json.dumps(rollup.kept())) < 500
