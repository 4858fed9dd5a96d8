"""Power cuts at random moments: the card comes back without a hand, and nothing false is on it."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import subprocess
import time
from dataclasses import dataclass, field

import pytest

from appliance import EXPECTED, INTERVAL_S
from virtual_pi.bench import Bench
from virtual_pi.machine import BOOT_AT_MIB
from virtual_pi.progress import Figure, Tell
from virtual_pi.truth import displayed, false_points, missing_points
from virtual_pi.waiting import wait_until

SERVICES = EXPECTED["services"]
DATABASE_DOWN_S = 90.0
UNCOMMITTED_S = 30.0
"""What InfluxDB does not take reaches the card at least so often."""
RESTARTS = f"systemctl show --value -p NRestarts {' '.join(SERVICES)}"
CUTS = int(os.environ.get("VIRTUAL_PI_CUTS", "20"))
AFTER_S = (1.0, 30.0)
"""A cut comes so long after a stored slot was seen."""
BUSY_S = 1.5
"""Every other cut falls into this part of a slot, in which it is read and written."""


@dataclass
class Life:
    """What has happened to the machine so far."""

    random: random.Random
    seed: int
    begin_s: float = 0.0
    first_slot: int = 0
    """Stored since the last start."""
    back_after_s: list[float] = field(default_factory=list)


@pytest.fixture(scope="module")
def life(tell: Tell) -> Life:
    seed = int(os.environ.get("VIRTUAL_PI_SEED") or random.randrange(2**32))
    tell(f"  VIRTUAL_PI_SEED={seed} has the cuts come at the same moments")
    return Life(random.Random(seed), seed, begin_s=time.time())


@pytest.fixture
def running(pi: Bench, life: Life) -> Bench:
    """Give a machine that stores readings; it may have been left without power."""
    if not pi.machine.is_on:
        pi.start()
        life.first_slot = pi.wait_for_slots(pi.powered_s)
    return pi


@pytest.mark.parametrize("number", range(1, CUTS + 1))
def test_cut(running: Bench, life: Life, number: int, tell: Tell) -> None:
    wait_s = life.random.uniform(*AFTER_S)
    if number % 2:
        due_s = time.time() + wait_s
        wait_s += INTERVAL_S - due_s % INTERVAL_S + life.random.uniform(0, BUSY_S)
    time.sleep(wait_s)
    first_slot = life.first_slot
    cut_s = running.cut()
    life.first_slot = 0
    running.start()
    life.first_slot = running.wait_for_slots(cut_s)
    life.back_after_s.append(life.first_slot - cut_s)
    into_s = cut_s % INTERVAL_S
    tell(f"  cut {into_s:.1f} s into a slot; stored again after {life.back_after_s[-1]:.0f} s")

    stored, shown = running.stored(life.begin_s), displayed(running.journal)
    in_hand = cut_s - into_s
    missing = missing_points(stored, shown, first_slot, in_hand - INTERVAL_S)
    if missing:
        said = running.host.run("journalctl --boot=-1 --no-pager --output=short-precise").stdout
        (running.folder / f"journal before cut {number}.log").write_text(said, encoding="utf-8")
    assert missing == []
    assert false_points(stored, shown) == []
    assert running.wait_until_running() == "running"
    assert running.host.check_output(RESTARTS).split() == ["0"] * len(SERVICES)


def test_a_cut_while_the_database_is_down(running: Bench, life: Life, tell: Tell) -> None:
    running.host.check_output("systemctl stop influxdb.service")
    stopped_s = time.time()
    time.sleep(DATABASE_DOWN_S)
    cut_s = running.cut()
    life.first_slot = 0
    running.start()
    life.first_slot = running.wait_for_slots(cut_s)
    kept_to_s = cut_s - UNCOMMITTED_S - INTERVAL_S

    def missing() -> list[str]:
        stored, shown = running.stored(stopped_s - 60), displayed(running.journal)
        return missing_points(stored, shown, int(stopped_s - 60), kept_to_s)

    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not missing(), 120, "")
    assert missing() == [], "what was kept on the card is to reach the database"
    stored = running.stored(stopped_s - 60)
    assert [slot for slot in stored if stopped_s < slot <= kept_to_s], "kept on the card"
    assert false_points(stored, displayed(running.journal)) == []
    last = max(slot for slot in stored if slot < cut_s)
    tell(f"  without InfluxDB, the last slot kept was {cut_s - last:.0f} s before the cut")
    left = running.host.run("find /var/lib/pzem -name 'spool*'").stdout
    assert left == ""


def test_the_file_systems_are_sound_after_all_that(running: Bench) -> None:
    running.shut_down()
    card, boot = running.machine.card, running.folder / "boot.img"
    at = f"{card}?offset={(BOOT_AT_MIB + 512) * 2**20}"
    checked = subprocess.run(
        ["e2fsck", "-f", "-n", at], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout
    extract = ["dd", f"if={card}", f"of={boot}", "bs=1M", f"skip={BOOT_AT_MIB}", "count=512"]
    subprocess.run([*extract, "conv=sparse", "status=none"], check=True)
    checked = subprocess.run(["fsck.vfat", "-n", boot], check=False, capture_output=True, text=True)
    boot.unlink()
    assert checked.returncode == 0, checked.stdout


def test_how_long_it_took(life: Life, figure: Figure) -> None:
    assert life.back_after_s
    middle, worst = statistics.median(life.back_after_s), max(life.back_after_s)
    figure(
        "power cut to first stored slot",
        f"{middle:.0f} s (median of {len(life.back_after_s)}; longest {worst:.0f} s)",
    )
