"""The dashboard Live, asked of a real InfluxDB with points as the collector writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
from tests.dashboards.conftest import TEMPLATES, Dashboard, Database, Panel, meters, render, targets

from pzem.house import LegsState, Meaning, Sample, SupplyState
from pzem.meter import Outcome, Silent
from pzem.moment import Moment
from pzem.points import Cycle, lines
from pzem.registers import Reading
from pzem.spool import Block

LIVE: Final = next(path for path in TEMPLATES if path.name == "live.json.j2")
DAY_S: Final = 86400
MIDNIGHT_S: Final = 1_800_000_000
"""Some midnight in Grafana's words; which one it is for a house, Grafana knows."""

READING: Final = Reading(230.4, 5.12, 1100.5, 12345.0, 50.1, 0.93, alarm=False)


def cycle(unix_s: int, outcomes: Mapping[str, Outcome], house: SupplyState | None = None) -> Cycle:
    supply = house or SupplyState(2201.0, 2400.0, utility_on=True, generator_on=False)
    return Cycle(
        sample=Sample(Moment(unix_s, 0.0, "b00t"), outcomes),
        meaning=Meaning(supply, LegsState(), None, ()),
        energies={},
        lateness_s=0.0,
        cycle_s=0.1,
        waiting_cycles=0,
        cpu_celsius=51.5,
    )


def stamped(cycle: Cycle) -> list[str]:
    return list(Block(cycle.sample.moment, lines(cycle)).stamped())


def source_of(dashboard: Dashboard, panel: Panel) -> Panel:
    """Return the panel that asks for what `panel` shows: itself, or another one."""
    if targets(panel):
        return panel
    shared = panel["targets"][0]["panelId"]
    return next(other for other in dashboard["panels"] if other["id"] == shared)


def shown(dashboard: Dashboard, title: str, database: Database, now_s: int) -> dict[str, Any]:
    """Return what the panel of that title shows: numbers by their names on the screen."""
    panel = next(panel for panel in dashboard["panels"] if panel["title"] == title)
    names = {
        override["matcher"]["options"]: rule["value"]
        for override in panel["fieldConfig"]["overrides"]
        for rule in override["properties"]
        if rule["id"] == "displayName"
    }
    wanted = panel["options"]["reduceOptions"]["fields"].strip("/^()$").split("|")
    found: dict[str, Any] = {}
    for target in targets(source_of(dashboard, panel)):
        for row in database.ask(target["query"], start_s=MIDNIGHT_S, end_s=now_s):
            found |= {names.get(field, field): value for field, value in row.items()}
    return {name: found[name] for name in wanted if found.get(name) is not None}


def test_it_shows_what_the_meters_displayed(database: Database) -> None:
    now_s = int(time.time())
    named = meters(5)
    database.write(*stamped(cycle(now_s - 4, {meter["name"]: READING for meter in named})))
    live = render(LIVE, grafana_meters=named)
    for label in (meter["label"] for meter in named):
        assert shown(live, label, database, now_s) == {"watts": 1100.5}
        assert shown(live, f"{label}: details", database, now_s) == {
            "Voltage": 230.4,
            "Current": 5.12,
            "PF": 0.93,
            "Frequency": 50.1,
        }
        assert shown(live, f"{label}: meter", database, now_s) == {"state": 0}
    assert shown(live, "House now", database, now_s) == {"watts": 2201}
    assert shown(live, "CPU temperature", database, now_s) == {"cpu": 51.5}


@pytest.mark.parametrize(
    ("interval_s", "age_s", "is_shown"), [(5, 20, True), (5, 40, False), (60, 100, True)]
)
def test_what_is_old_is_not_shown(
    database: Database, interval_s: int, age_s: int, is_shown: bool
) -> None:
    now_s = int(time.time())
    live = render(LIVE, grafana_datasource_interval_s=interval_s)
    database.write(*stamped(cycle(now_s - age_s, {"zz1": READING})))
    panels = ("Side 1", "Side 1: details", "Side 1: meter", "House now", "Supply in use")
    for title in (*panels, "CPU temperature"):
        assert bool(shown(live, title, database, now_s)) is is_shown, title


def test_a_silent_meter_has_a_state_and_no_numbers(database: Database) -> None:
    now_s = int(time.time())
    database.write(*stamped(cycle(now_s - 4, {"zz1": READING, "zz2": Silent("no_answer")})))
    live = render(LIVE)
    assert shown(live, 'Side "2": meter', database, now_s) == {"state": 1}
    assert shown(live, 'Side "2"', database, now_s) == {}
    assert shown(live, 'Side "2": details', database, now_s) == {}


@pytest.mark.parametrize(
    ("utility_on", "generator_on", "word", "word_without_generator"),
    [
        (True, False, "Utility", None),
        (False, True, "Generator", None),
        (True, True, "Both are live", None),
        (False, False, "None", None),
        (True, None, "Utility", "Utility"),
        (None, True, "Generator", None),
        (False, None, "Not the utility", "Off"),
        (None, False, "Not the generator", None),
        (None, None, "unknown", "unknown"),
    ],
)
def test_the_supply_is_named_as_far_as_it_is_known(
    database: Database,
    utility_on: bool | None,
    generator_on: bool | None,
    word: str,
    word_without_generator: str | None,
) -> None:
    now_s = int(time.time())
    state = SupplyState(1.0, 1.0, utility_on=utility_on, generator_on=generator_on)
    database.write(*stamped(cycle(now_s - 4, {"zz1": READING}, state)))
    for count, expected in ((3, word), (1, word_without_generator)):
        if expected is None:
            continue
        live = render(LIVE, grafana_meters=meters(count))
        found = shown(live, "Supply in use", database, now_s)
        panel = next(one for one in live["panels"] if one["title"] == "Supply in use")
        defaults = panel["fieldConfig"]["defaults"]
        mapped = defaults["mappings"][0]["options"]
        told = mapped[str(int(found["supply"]))]["text"] if found else defaults["noValue"]
        assert told == expected


@pytest.mark.parametrize(
    ("before", "today", "kwh"),
    [
        pytest.param([(-10, 1000)], [(5, 1001), (10, 1003), (3600, 3500)], 2.5, id="a-day"),
        pytest.param([(-90 * DAY_S, 1000)], [(5, 1000), (10, 1100)], 0.1, id="long-silent"),
        pytest.param([(-10, 1000)], [(0, 1004), (5, 1005)], 0.005, id="reading-at-midnight"),
        pytest.param([(-10, 1000)], [(5, 1000), (10, 1000)], 0.0, id="nothing-used"),
        pytest.param([(-10, 1000)], [(5, 1001), (10, 0), (15, 500)], None, id="reset-today"),
        pytest.param([(-10, 1000)], [(5, 1001), (10, 0), (15, 5000)], None, id="reset-and-above"),
        pytest.param([(-10, 1000)], [(5, 3), (10, 500)], None, id="reset-at-midnight"),
        pytest.param([(-10, 100)], [(5, 3), (10, 500)], None, id="reset-at-midnight-and-above"),
        pytest.param([(-20, 900), (-10, 0)], [(5, 1), (10, 50)], 0.05, id="reset-yesterday"),
        pytest.param([], [(5, 3), (10, 500)], None, id="first-day"),
        pytest.param([(-10, 1000)], [], None, id="silent-today"),
    ],
)
def test_energy_of_today(
    database: Database,
    before: Sequence[tuple[int, int]],
    today: Sequence[tuple[int, int]],
    kwh: float | None,
) -> None:
    database.write(
        *(
            f"meter,meter=zz1 energy_wh={wh}.0 {MIDNIGHT_S + offset_s}"
            for offset_s, wh in (*before, *today)
        ),
        # Another meter's register must not be mixed in.
        *(f"meter,meter=zz2 energy_wh={7 + n}.0 {MIDNIGHT_S - 10 + 5 * n}" for n in range(8)),
    )
    found = shown(render(LIVE), "Side 1: today", database, MIDNIGHT_S + DAY_S)
    assert found == ({} if kwh is None else {"kwh": pytest.approx(kwh)})


def test_the_energy_of_today_begins_at_midnight() -> None:
    live = render(LIVE)
    for meter in meters(3):
        title = f"{meter['label']}: today"
        panel = next(panel for panel in live["panels"] if panel["title"] == title)
        assert source_of(live, panel)["timeFrom"] == "now/d"


def test_the_trend_has_one_curve_a_meter_and_leaves_gaps(database: Database) -> None:
    now_s = MIDNIGHT_S
    for age_s in (60, 50, 20, 10):
        database.write(*stamped(cycle(now_s - age_s, {"zz1": READING, "zz2": READING})))
    live = render(LIVE)
    trend = next(panel for panel in live["panels"] if panel["type"] == "timeseries")
    curves = {}
    for target in targets(trend):
        rows = database.ask(target["query"], start_s=now_s - 60, end_s=now_s)
        curves[target["alias"]] = [row["mean"] for row in rows]
    assert curves["zz1"] == [1100.5, 1100.5, None, None, 1100.5, 1100.5, None]
    assert curves["zz1"] == curves["zz2"]
    assert curves["zz3"] == []
    assert trend["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False
