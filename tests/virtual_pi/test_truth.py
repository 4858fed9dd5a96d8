"""The comparison of what is stored with what was displayed finds what it is there to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance import EXPECTED, METERS, expected_value
from virtual_pi.truth import displayed, false_points, missing_points

SLOTS = range(1_800_000_000, 1_800_000_030, 5)
Stored = dict[int, dict[str, dict[str, Any]]]


def shown(slot: int) -> dict[str, float]:
    fields = (field for field in EXPECTED["fields"]["meter"] if field != "volt_amps")
    return {field: float(slot % 100 + number) for number, field in enumerate(fields, 1)}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give what three meters have sent, each 50 ms after the beginning of a slot."""
    path = tmp_path / "journal"
    replies = [
        {
            "unix_s": slot + 0.05,
            "meter": meter,
            "request": "04040000000a",
            "displayed": shown(slot),
            "damaged": False,
        }
        for slot in SLOTS
        for meter in METERS
    ]
    path.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    return path


@pytest.fixture
def stored() -> Stored:
    fields = EXPECTED["fields"]["meter"]
    return {
        slot: {
            meter: {field: expected_value(shown(slot), field) for field in fields}
            for meter in METERS
        }
        for slot in SLOTS
    }


def test_what_was_displayed_is_neither_false_nor_missing(journal: Path, stored: Stored) -> None:
    assert false_points(stored, displayed(journal)) == []
    assert missing_points(stored, displayed(journal), SLOTS[0], SLOTS[-1]) == []


def false_value(stored: Stored) -> None:
    stored[SLOTS[2]]["gen"]["watts"] += 0.1


def false_lifetime(stored: Stored) -> None:
    point = stored[SLOTS[2]]["gen"]
    point["lifetime_wh"] = point["energy_wh"] - 1


def false_time(stored: Stored) -> None:
    stored[SLOTS[-1] + 5] = {"mainA": dict(stored[SLOTS[-1]]["mainA"])}


@pytest.mark.parametrize("falsify", [false_value, false_lifetime, false_time])
def test_a_point_that_is_not_true_is_found(
    journal: Path, stored: Stored, falsify: Callable[[Stored], None]
) -> None:
    falsify(stored)
    assert len(false_points(stored, displayed(journal))) == 1


def test_lifetime_energy_may_be_more_than_the_register_or_unknown(
    journal: Path, stored: Stored
) -> None:
    stored[SLOTS[2]]["gen"]["lifetime_wh"] += 35
    del stored[SLOTS[3]]["gen"]["lifetime_wh"]
    assert false_points(stored, displayed(journal)) == []


def test_a_point_that_is_missing_is_found(journal: Path, stored: Stored) -> None:
    del stored[SLOTS[1]]["mainB"]
    del stored[SLOTS[3]]
    found = missing_points(stored, displayed(journal), SLOTS[0], SLOTS[-1])
    assert len(found) == 1 + len(METERS)
    assert f"{SLOTS[1]} mainB" in found


def test_the_slot_in_hand_may_be_missing(journal: Path, stored: Stored) -> None:
    del stored[SLOTS[-1]]
    assert missing_points(stored, displayed(journal), SLOTS[0], SLOTS[-2]) == []


def test_another_machine_s_clock_may_be_a_little_behind(journal: Path, stored: Stored) -> None:
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        line["unix_s"] -= 0.2
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert false_points(stored, displayed(journal)) == []
