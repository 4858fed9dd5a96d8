"""The README's tables of alarms and events say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from pzem.cli.outages import COLUMNS
from pzem.config import HouseSettings, MeterSettings
from pzem.house import thresholds
from pzem.house.alarms import Alarms

README = Path(__file__).parents[2] / "README.md"
SECONDS = {"s": 1.0, "min": 60.0}
HOUSE = (
    MeterSettings("main", 1, "utility", "A"),
    MeterSettings("gen", 2, "generator"),
)


def seconds(words: str) -> float:
    if words == "at once":
        return 0.0
    number, unit = words.split()
    return float(number) * SECONDS[unit]


def test_every_alarm_is_listed_with_its_waits() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (?:house|meter) \| .* \| (.+) \| (.+) \|$",
        README.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    listed = {kind: (seconds(on), seconds(off)) for kind, on, off in rows}
    alarms = Alarms(HOUSE, HouseSettings(generator_va=3500.0), 5)._alarms
    waits = {alarm.kind: alarm.latch._waits for alarm in alarms}
    told = {kind: (wait.on_s, wait.off_s) for kind, wait in waits.items()}
    # These two wait where they are noticed.
    legs, both = thresholds.LOOSE_NEUTRAL, thresholds.BOTH_SUPPLIES
    told["loose_neutral"] = (legs.on_s, legs.off_s)
    told["both_supplies"] = (thresholds.BOTH_S + both.on_s, both.off_s)
    assert listed == told


def test_every_column_of_an_outage_is_explained() -> None:
    _, kinds_and_fields = README.read_text(encoding="utf-8").split("`event` has four kinds")
    explained = set(re.findall(r"`(\w+)`", kinds_and_fields.partition("\n## ")[0]))
    assert set(COLUMNS) - {"until"} <= explained
