"""That the account of a day sees what it is there to see: a quiet quarter of an hour, spoilt."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pzem.testing.influxd import Influxd
from soak.account import NOT_RUNNING, OFF, STORED, account
from soak.day import Day, Rows
from soak.test_soak import BEGIN, ENERGY_WH
from soak.world import World

LENGTH_S = 900
AT = BEGIN // 5 * 5 + 600
"""A slot well within."""


@dataclass
class Played:
    world: World
    rows: Rows


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    world = World(float(BEGIN), 1, ENERGY_WH)
    with Influxd() as server:
        server.stop()
        day = Day(world, server, tmp_path_factory.mktemp("quiet"), [])
        day.play(BEGIN + LENGTH_S)
        return Played(world, day.rows())


def test_a_quiet_time_is_stored_but_for_its_boot(played: Played) -> None:
    result = account(played.world, [played.rows], BEGIN + LENGTH_S)
    assert result.wrong == []
    assert sum(result.fates.values()) == result.due == LENGTH_S // 5
    assert set(result.fates) <= {STORED, OFF, NOT_RUNNING}
    assert result.fates[STORED] >= result.due - 5
    assert "slots due" in str(result)


def lose_a_slot(rows: Rows) -> None:
    for name in rows:
        rows[name] = [row for row in rows[name] if row["time"] != AT]


def lose_a_meter(rows: Rows) -> None:
    rows["meter"] = [r for r in rows["meter"] if (r["time"], r["meter"]) != (AT, "mainA")]


def lose_a_cycle(rows: Rows) -> None:
    rows["collector"] = [row for row in rows["collector"] if row["time"] != AT]


def store_it_late(rows: Rows) -> None:
    for name in rows:
        rows[name] = [row for row in rows[name] if row["time"] != AT + 5]
        for row in rows[name]:
            row["time"] += 5 * (row["time"] == AT)


def store_it_twice(rows: Rows) -> None:
    for name in rows:
        again = [row for row in rows[name] if row["time"] == AT]
        rows[name] += [{**row, "time": AT + LENGTH_S} for row in again]


def invent_a_value(rows: Rows) -> None:
    next(row for row in rows["meter"] if row["time"] == AT)["amps"] += 0.001


def invent_silence(rows: Rows) -> None:
    row = next(row for row in rows["meter_state"] if row["time"] == AT)
    row["state"], row["reason"] = 1, "no_answer"


def invent_settling(rows: Rows) -> None:
    lose_a_meter(rows)
    for row in rows["meter_state"]:
        if (row["time"], row["meter"]) == (AT, "mainA"):
            row["state"], row["reason"] = 2, "settling"


def leave_it_provisional(rows: Rows) -> None:
    next(row for row in rows["collector"] if row["time"] == AT)["provisional"] = 1


def count_too_much(rows: Rows) -> None:
    rows["meter"][-1]["lifetime_wh"] += 2


def count_too_little(rows: Rows) -> None:
    rows["meter"][-1]["lifetime_wh"] -= 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lose_a_slot, f"{AT} is missing without a reason"),
        (lose_a_meter, f"{AT} mainA was never read so"),
        (lose_a_cycle, f"{AT} is not whole"),
        (store_it_late, f"{AT} is missing without a reason"),
        (store_it_late, f"{AT + 5} mainA was never read so"),
        (store_it_twice, f"{AT + LENGTH_S} was stored but never due"),
        (invent_a_value, f"{AT} "),
        (invent_silence, f"{AT} "),
        (invent_settling, f"{AT} mainA does not settle"),
        (leave_it_provisional, f"{AT} is provisional and of no boot without the time"),
        (count_too_much, "Wh counted"),
        (count_too_little, "Wh counted"),
    ],
)
def test_what_is_wrong_is_seen(played: Played, spoil: Callable[[Rows], None], said: str) -> None:
    rows = copy.deepcopy(played.rows)
    spoil(rows)
    result = account(played.world, [rows], BEGIN + LENGTH_S)
    assert any(said in line for line in result.wrong), result.wrong
