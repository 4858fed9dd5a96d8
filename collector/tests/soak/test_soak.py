"""A simulated day at accelerated time under a random plan of faults, with an exact account.

Each run draws another day and prints its seed. `PZEM_SOAK_SEED` plays a day again,
`PZEM_SOAK_HOURS` a shorter or a longer one.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from random import Random
from typing import Final

import pytest

from pzem.testing.influxd import Influxd
from soak.account import PROVISIONAL, STORED, Account, account
from soak.day import Day, stop
from soak.plan import DAY_S, Event, draw
from soak.world import World

BEGIN = 1_760_000_000 + 54_321
"""An afternoon, so that midnight (UTC), where the database begins a new shard, lies within."""
SEEDS: Final = 10**6
ENERGY_WH = {"mainA": 4_000_000.0, "mainB": 9_899_000.0, "gen": 12_000.0}
"""mainB reaches 9,900 kWh in the first hours."""


def play(seed: int, folder: Path, plan: list[Event], day_s: float) -> Account:
    """Live a day and return its account."""
    world = World(float(BEGIN), seed, ENERGY_WH)
    with Influxd() as server:
        server.stop()
        day = Day(world, server, folder, plan)
        try:
            day.play(BEGIN + day_s)
        finally:
            stop(day)
        return account(world, [*day.dropped, day.rows()], BEGIN + day_s)


@pytest.mark.timeout(1800)
def test_each_slot_of_a_day_is_stored_or_known_to_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("PZEM_SOAK_SEED", secrets.randbelow(SEEDS)))
    day_s = 3600 * float(os.environ.get("PZEM_SOAK_HOURS", DAY_S / 3600))
    plan = draw(Random(seed), day_s)
    with capsys.disabled():
        _say(f"\nsoak: PZEM_SOAK_SEED={seed}, {day_s / 3600:g} h, {len(plan)} faults")
    began = time.monotonic()
    result = play(seed, tmp_path, plan, day_s)
    with capsys.disabled():
        _say(f"{result}\nplayed in {time.monotonic() - began:.0f} s")
    told = "\n".join(map(str, plan))
    assert not result.wrong, "\n".join([f"seed {seed}", *result.wrong[:20], "the plan:", told])
    assert sum(result.fates.values()) == result.due
    shown = result.fates[STORED] + result.fates[PROVISIONAL]
    assert shown > result.due / 3, "a day that hardly shows anything proves nothing"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201
