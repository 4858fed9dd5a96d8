"""Whether all that was read is stored, and nothing but what the meters have displayed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance import EXPECTED, METERS, expected_value, readings
from virtual_pi.bench import Slots

Shown = dict[str, dict[int, list[Mapping[str, Any]]]]


def displayed(journal: Path) -> Shown:
    """Return what the meters have displayed when they were read, by meter and slot."""
    with journal.open(encoding="utf-8") as lines:
        return readings(map(json.loads, lines))


def false_points(stored: Slots, shown: Shown) -> list[str]:
    """Return what is stored and was never displayed at that time, one line for each point."""
    return [
        f"{slot} {meter}: {dict(point)}"
        for slot, meters in stored.items()
        for meter, point in meters.items()
        if not any(_agrees(point, reading) for reading in shown[meter].get(slot, []))
    ]


def missing_points(stored: Slots, shown: Shown, first: int, last: float) -> list[str]:
    """Return what was read from the slot `first` to `last` s since 1970 and is not stored."""
    return [
        f"{slot} {meter}"
        for meter in METERS
        for slot in sorted(shown[meter])
        if first <= slot <= last and meter not in stored.get(slot, {})
    ]


def _agrees(point: Mapping[str, Any], reading: Mapping[str, Any]) -> bool:
    """Tell whether a point is what was displayed.

    Lifetime energy goes on from one run of the simulated meters to the next, whose
    registers begin anew; and it may not be known at first.
    """
    lifetime_wh = point.get("lifetime_wh")
    if lifetime_wh is not None and lifetime_wh < reading["energy_wh"]:
        return False
    return all(
        math.isclose(point[field], expected_value(reading, field), abs_tol=1e-9)
        for field in EXPECTED["fields"]["meter"]
        if not field.startswith("lifetime")
    )
