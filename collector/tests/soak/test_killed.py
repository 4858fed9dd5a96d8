"""`pzem run` as a process, killed with kill -9 again and again: what is lost, to the slot."""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from secrets import randbelow

import pytest

from pzem.testing import SimulatedHouse, Simulator
from pzem.testing.house import ORIGINAL_WIRING
from pzem.testing.influxd import Influxd
from pzem.testing.journal import SentReply
from support import PZEM, eventually

KILLS = 4
"""While InfluxDB answers; one more follows while it does not."""
AWAY_S = 42.0
"""Longer than anything waits for its commit."""
COMMIT_S = 30
BUDGET_S = 0.6
FIELDS = ("volts", "amps", "watts", "hertz", "power_factor", "energy_wh")

Values = dict[str, tuple[float, ...]]


def configure(folder: Path, influxd: Influxd) -> Path:
    meters = "".join(
        f'[[meters]]\nname = "{w.name}"\naddress = {w.address}\nsupply = "{w.supply}"\n'
        f'fed_from = "{w.fed_from}"\n'
        for w in ORIGINAL_WIRING
    )
    config = folder / "pzem.toml"
    config.write_text(
        f'interval_s = 1\nports = ["{folder}/tty*"]\nstate_dir = "{folder}"\n'
        f'[influxdb]\nurl = "{influxd.url}"\n{meters}'
    )
    return config


def shown(replies: list[SentReply]) -> dict[int, dict[str, list[tuple[float, ...]]]]:
    """Return what all three meters have displayed, by slot; more than once around a restart."""
    slots: dict[int, dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
    for reply in replies:
        slot = math.floor(reply.unix_s)
        if not reply.damaged and reply.unix_s - slot < BUDGET_S:
            values = tuple(getattr(reply.displayed, field) for field in FIELDS)
            slots[slot][reply.meter].append(values)
    return {slot: values for slot, values in slots.items() if len(values) == len(ORIGINAL_WIRING)}


def stored(influxd: Influxd) -> dict[int, Values]:
    slots: dict[int, Values] = defaultdict(dict)
    for row in influxd.query("SELECT * FROM meter"):
        slots[row["time"]][row["meter"]] = tuple(row[field] for field in FIELDS)
    return dict(slots)


def newest(influxd: Influxd) -> int:
    return max(stored(influxd), default=0)


@pytest.mark.timeout(300)
def test_a_kill_costs_the_cycle_in_hand_or_half_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("PZEM_SOAK_SEED", randbelow(10**6)))
    rng = Random(seed)
    house = SimulatedHouse(seed=seed)
    ports = {tmp_path / f"tty{n}": [each] for n, each in enumerate(house.meters.values())}
    lives: list[tuple[float, float]] = []
    log = (tmp_path / "log").open("wb")

    def start() -> tuple[float, subprocess.Popen[bytes]]:
        return time.time(), subprocess.Popen([*PZEM, "run", "--config", config], stderr=log)

    def end(life: tuple[float, subprocess.Popen[bytes]], *, kill: bool) -> None:
        began, process = life
        process.kill() if kill else process.terminate()
        ended = time.time()
        assert process.wait(30) == (-9 if kill else 0)
        lives.append((began, ended))

    with log, Influxd() as influxd, Simulator.with_meters(ports, house) as simulator:
        influxd.query("CREATE DATABASE housePower")
        config = configure(tmp_path, influxd)
        for _ in range(KILLS):
            life = start()
            eventually(lambda life=life: newest(influxd) > life[0], "a cycle is stored")  # type: ignore[misc]
            time.sleep(rng.uniform(0, 3))
            end(life, kill=True)
        life = start()
        eventually(lambda: newest(influxd) > life[0], "a cycle is stored")
        away_from = time.time()
        influxd.kill()
        time.sleep(AWAY_S + rng.uniform(0, 5))
        end(life, kill=True)
        influxd.start()
        life = start()
        eventually(lambda: newest(influxd) > life[0] + 3, "cycles are stored again")
        eventually(lambda: not list(tmp_path.glob("spool*")), "the backlog is delivered")
        end(life, kill=False)
        have = stored(influxd)
        was_shown = shown(simulator.journal.replies)

    for slot, values in have.items():
        for name, value in values.items():
            displayed = was_shown[slot][name]
            assert value in displayed, f"{slot} {name} was never displayed so (seed {seed})"
    lost: list[list[int]] = []
    for began, ended in lives:
        first = min(slot for slot in have if slot > began)
        due = {slot for slot in was_shown if first <= slot < ended}
        lost.append(sorted(due - have.keys()))
    with capsys.disabled():
        print(f"\nkilled {len(lives) - 1} times, seed {seed}: lost {[len(each) for each in lost]}")  # noqa: T201
    for (_, ended), slots in zip(lives[:KILLS], lost, strict=False):
        assert all(slot > ended - 1.5 for slot in slots), f"{slots} lost before {ended}"
    (began, ended), slots = lives[KILLS], lost[KILLS]
    assert all(slot > ended - COMMIT_S - 1 for slot in slots), f"{slots} lost before {ended}"
    assert len([slot for slot in have if away_from < slot < ended]) >= AWAY_S - COMMIT_S - 2
    assert lost[-1] == []
