"""Every question of every page, asked of a real InfluxDB that holds ten years of a house.

The levels are filled as far as panels may ask them: what they read is what they would read
of a complete history.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from tests.dashboards.conftest import TEMPLATES, Database, Panel, filled, render, targets

from pzem.levels import DAYS, HOURS, LEVELS, MINUTES, RAW
from pzem.testing.influxd import Influxd
from pzem.testing.years import DAY_S, Years, write

YEAR_S: Final = 365 * DAY_S
RANGES: Final = {
    "5m": 300,
    "1h": 3600,
    "6h": 6 * 3600,
    "18h": 18 * 3600,
    "1d": DAY_S,
    "2d": 2 * DAY_S,
    "7d": 7 * DAY_S,
    "14d": 14 * DAY_S,
    "60d": 60 * DAY_S,
    "1y": YEAR_S,
    "2y": 2 * YEAR_S,
    "10y": 10 * YEAR_S,
}
"""Of what people look at, and the edges between the levels."""
MOST_VALUES: Final = 200_000
"""More than so many are never read for one question."""
MOST_POINTS: Final = 4_000
"""More of a curve are of no use on any screen: ten years have that many days."""
POINTS: Final = 800
INTERVALS_S: Final = (5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800)

ALWAYS: Final = re.compile(
    "Power|The whole house|Highest power|Energy counter|Current|Voltage.*|Frequency|Power factor"
    "|Imbalance.*|Difference.*|Hours.*|Supply|Meters|Completeness|CPU temperature over time"
    "|Time of a reading|Energy"
)
"""Panels that have something to show whenever the Pi was on."""


@dataclass(frozen=True)
class Filled:
    """Where to ask, and the moments at which ranges end."""

    database: Database
    now_s: int
    old_s: int
    """Eight years ago: of that time there are no readings, only the coarser levels."""
    outage: tuple[int, int]
    """A time without the utility in the last year."""


@pytest.fixture(scope="session")
def years(influxd: Influxd) -> Filled:
    """Fill a database."""
    name = "years"
    influxd.query(f"CREATE DATABASE {name}")
    for level in (RAW, *LEVELS):
        default = " DEFAULT" if level == RAW else ""
        influxd.query(
            f"CREATE RETENTION POLICY {level} ON {name} DURATION INF REPLICATION 1 "
            f"SHARD DURATION 520w{default}"
        )
    now_s = int(time.time()) // 3600 * 3600
    old_s = now_s - 8 * YEAR_S
    house = Years(now_s - 10 * YEAR_S, now_s, names=("zz1", "zz2", "zz3"))
    away = next(one for one in reversed(house.absences) if not one.is_exercise)
    for level, lines in (
        (RAW, house.readings(away.start_s - 3600, away.end_s + 3600)),
        (RAW, house.readings(now_s - 2 * DAY_S, now_s)),
        (MINUTES, house.buckets(MINUTES, now_s - 14 * DAY_S, now_s)),
        (MINUTES, house.buckets(MINUTES, old_s - 14 * DAY_S, old_s)),
        (HOURS, house.buckets(HOURS, now_s - 2 * YEAR_S, now_s)),
        (HOURS, house.buckets(HOURS, old_s - 60 * DAY_S, old_s)),
        (DAYS, house.buckets(DAYS, house.start_s, now_s)),
        (DAYS, house.events()),
        (DAYS, house.energies(house.start_s, now_s)),
    ):
        assert write(influxd.url, name, level, lines)
    return Filled(Database(influxd, name), now_s, old_s, (away.start_s, away.end_s))


def interval(range_s: int) -> str:
    """Return what Grafana makes of $__interval, about."""
    wanted_s = range_s / POINTS
    return f"{next((s for s in INTERVALS_S if s >= wanted_s * 0.75), 6 * 3600)}s"


def answers(years: Filled, panel: Panel, start_s: int, end_s: int) -> Iterator[list[Any]]:
    for target in targets(panel):
        yield years.database.ask(
            target["query"], start_s=start_s, end_s=end_s, interval=interval(end_s - start_s)
        )


def values_read(years: Filled, query: str) -> int:
    """Return how many values of its fields lie in what a plain question asks for."""
    plain = re.compile(r"SELECT (.+?) FROM (\S+ WHERE .+?)(?: GROUP BY .*| ORDER BY .*)?")
    found = plain.fullmatch(" ".join(query.split()))
    assert found, query
    fields = set(re.findall(r'"(\w+)"', re.sub(r' AS "\w+"', "", found[1])))
    counts = ", ".join(f'count("{field}")' for field in sorted(fields))
    rows = years.database.server.query(f"SELECT {counts} FROM {found[2]}", years.database.name)
    return sum(value or 0 for row in rows for name, value in row.items() if name != "time")


PAGES: Final = [pytest.param(path, id=path.name.split(".")[0]) for path in TEMPLATES]


@pytest.mark.parametrize("when", ["now", "eight years ago"])
@pytest.mark.parametrize("range_name", RANGES)
@pytest.mark.parametrize("path", PAGES)
def test_panels_have_what_they_need_and_read_no_more(
    path: Any, range_name: str, when: str, years: Filled
) -> None:
    if when != "now" and RANGES[range_name] > 60 * DAY_S:
        pytest.skip("the fill has no more of that time")
    page = render(path)
    if page["timepicker"]["hidden"] and range_name != "1h":
        pytest.skip("it has one range")
    end_s = years.now_s if when == "now" else years.old_s
    start_s = end_s - RANGES[range_name]
    for panel in page["panels"]:
        found = list(answers(years, panel, start_s, end_s))
        if ALWAYS.fullmatch(panel["title"]) and not (
            panel["title"] == "Energy" and RANGES[range_name] < 7200
        ):
            assert any(found), panel["title"]
        points = [len(rows) for rows in found]
        of_meters = 12 if panel["type"] == "state-timeline" else 3
        assert max(points, default=0) <= MOST_POINTS * of_meters, panel["title"]
        for target in targets(panel):
            query = filled(target["query"], start_s, end_s, interval(end_s - start_s))
            if "(SELECT" not in query:
                assert values_read(years, query) <= MOST_VALUES, (panel["title"], target["refId"])


@pytest.mark.parametrize("when", ["now", "eight years ago"])
@pytest.mark.parametrize("range_name", RANGES)
def test_one_level_answers_and_no_two(range_name: str, when: str, years: Filled) -> None:
    end_s = years.now_s if when == "now" else years.old_s
    start_s = end_s - RANGES[range_name]
    (history,) = (path for path in TEMPLATES if path.name.startswith("history"))
    for panel in render(history)["panels"]:
        answering = [bool(rows) for rows in answers(years, panel, start_s, end_s)]
        assert answering.count(True) <= 1, panel["title"]


def test_an_outage_is_shown_on_every_page_that_is_about_it(years: Filled) -> None:
    start_s, end_s = years.outage[0] - 3600, years.outage[1] + 3600
    for path in TEMPLATES:
        page = render(path)
        for mark in page["annotations"]["list"]:
            rows = years.database.ask(mark["target"]["query"], start_s=start_s, end_s=end_s)
            assert rows, (page["uid"], mark["name"])
            assert mark["target"]["textColumn"] in rows[0]
    (generator,) = (path for path in TEMPLATES if path.name.startswith("generator"))
    for panel in render(generator)["panels"]:
        assert any(answers(years, panel, start_s, end_s)), panel["title"]
    (outage,) = (
        row
        for panel in render(generator)["panels"]
        if panel["title"] == "Outages in this range"
        for rows in answers(years, panel, start_s, end_s)
        for row in rows
    )
    assert outage["seconds"] == years.outage[1] - years.outage[0]
    assert outage["back"] == years.outage[1] * 1000


def test_energy_of_a_period_is_what_the_counters_say(years: Filled) -> None:
    (energy,) = (path for path in TEMPLATES if path.name.startswith("energy"))
    today = next(panel for panel in render(energy)["panels"] if panel["title"] == "Today")
    start_s = years.now_s // DAY_S * DAY_S - 3 * DAY_S
    ((row,),) = answers(years, today, start_s, years.now_s)
    before = years.database.ask(
        'SELECT last("lifetime_wh") FROM "d1"."meter" '
        f'WHERE "meter" =~ /zz[12]/ AND time < {start_s}s GROUP BY "meter"',
        start_s=0,
        end_s=0,
    )
    after = years.database.ask(
        'SELECT max("lifetime_wh") AS "last" FROM "raw"."meter" '
        'WHERE "meter" =~ /zz[12]/ GROUP BY "meter"',
        start_s=0,
        end_s=0,
    )
    expected = sum(r["last"] for r in after) - sum(r["last"] for r in before)
    assert row["kwh"] == pytest.approx(expected / 1000)
