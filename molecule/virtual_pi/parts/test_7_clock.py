"""A start without the time: what is read before it is known gets its true time afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from appliance import INTERVAL_S, METERS, rows
from virtual_pi.bench import Bench
from virtual_pi.progress import Figure
from virtual_pi.truth import displayed, false_points
from virtual_pi.waiting import wait_until

SAVED = "/var/lib/systemd/timesync/clock"
HOURS_AGO = 5
BLIND_S = 60.0
"""How long the collector reads without knowing the time."""
TIME_WITHIN_S = 420.0
"""timesyncd asks at intervals that grow to some minutes."""
LEFT_OUT = 2
"""Slots that the setting of the clock leaves out: it is waited for with the next one."""
MEASUREMENTS = ("meter", "meter_state", "house", "collector")


@dataclass(frozen=True)
class Start:
    """One start without the time, and how it went on; moments in s since 1970."""

    cut_s: float
    began_at: float
    """What its own clock showed when ssh was there."""
    began_true_s: float
    """When that was, in truth: the collector may have begun some seconds before."""
    served_s: float
    """When the internet, and so the time, came back."""
    first_slot: int
    """The first slot that is stored with the time."""
    stored_s: float
    """When it was seen to be stored; up to 5 s late."""
    read: int
    """Readings of one meter before that."""
    log: str


@pytest.fixture(scope="module")
def history(pi: Bench) -> tuple[Bench, int]:
    """Give a machine that has stored something, and the first slot of it."""
    pi.start()
    pi.wait_for_slots(pi.powered_s)
    (first,) = rows(pi.host, "SELECT first(watts) FROM meter")
    return pi, first["time"]


def start_without_time(bench: Bench, prepare: str) -> Start:
    bench.host.check_output(f"{prepare} && sync")
    cut_s = bench.cut()
    bench.start(internet=False)
    host = bench.host
    began_at = float(host.check_output("date +%s"))
    began_true_s = time.time()
    wait_until(
        lambda: host.run("systemctl is-active pzem.service").stdout.strip() == "active",
        120,
        "the collector has not started",
    )
    begin_s = time.time()
    time.sleep(BLIND_S)
    shown = displayed(bench.journal)
    read = min(sum(slot > begin_s for slot in shown[meter]) for meter in METERS)
    assert host.check_output("timedatectl show --value -p NTPSynchronized") == "no"
    bench.machine.set_internet(there=True)
    served_s = time.time()
    first_slot = bench.wait_for_slots(served_s - INTERVAL_S, TIME_WITHIN_S + 60)
    stored_s = time.time()
    log = host.check_output("journalctl --boot --unit=pzem.service --output=cat --no-pager")
    return Start(cut_s, began_at, began_true_s, served_s, first_slot, stored_s, read, log)


@pytest.fixture(scope="module")
def hours_ago(history: tuple[Bench, int]) -> Start:
    """Start with a saved time of before anything was stored."""
    bench, first = history
    saved_at = first - HOURS_AGO * 3600
    return start_without_time(bench, f"touch -d @{saved_at} {SAVED}")


@pytest.fixture(scope="module")
def no_saved_time(hours_ago: Start, history: tuple[Bench, int]) -> Start:
    """Start with no saved time at all, from 1970 or what systemd makes of it."""
    return start_without_time(history[0], f"rm {SAVED}")


@pytest.fixture(params=["hours_ago", "no_saved_time"])
def start(request: pytest.FixtureRequest) -> Start:
    start: Start = request.getfixturevalue(request.param)
    return start


def test_the_clock_was_wrong_at_first(start: Start, history: tuple[Bench, int]) -> None:
    assert start.began_at < history[1] - 3600


def test_meters_were_read_meanwhile(start: Start) -> None:
    assert start.read >= BLIND_S / INTERVAL_S - 4


def test_what_was_read_before_is_stored_with_its_true_time(
    start: Start, history: tuple[Bench, int]
) -> None:
    """A slot of the wrong clock's grid begins within the slot that it is given in the end."""
    bench, _ = history
    stored = bench.stored(start.began_true_s, start.first_slot)
    shown = displayed(bench.journal)
    for meter in METERS:
        read = [slot for slot in shown[meter] if start.began_true_s < slot < start.first_slot]
        kept = [slot for slot in stored if meter in stored[slot]]
        assert len(kept) >= len(read) - LEFT_OUT, meter
    assert false_points(stored, shown) == []


def test_nothing_has_a_false_time(start: Start, history: tuple[Bench, int]) -> None:
    bench, first = history
    for measurement in MEASUREMENTS:
        within = f"time > {int(start.cut_s)}s AND time < {int(start.began_true_s)}s"
        assert rows(bench.host, f"SELECT * FROM {measurement} WHERE {within}") == []
        assert rows(bench.host, f"SELECT * FROM {measurement} WHERE time < {first}s") == []
    assert rows(bench.host, "SELECT * FROM collector WHERE provisional = 1") == []


def test_what_is_stored_from_then_on_is_true(start: Start, history: tuple[Bench, int]) -> None:
    bench, _ = history
    stored = bench.stored(start.served_s, start.first_slot + 60)
    assert stored
    assert false_points(stored, displayed(bench.journal)) == []


def test_the_log_says_it(start: Start) -> None:
    assert start.log.count("the time is not known yet; readings are kept until it is") == 1
    assert start.log.count("the time is known") == 1


def test_how_long_it_took(start: Start, request: pytest.FixtureRequest, figure: Figure) -> None:
    started = request.node.callspec.id.replace("_", " ")
    name = f"from the time's being there to the first slot in the database, {started}"
    figure(name, f"{start.stored_s - start.served_s:.0f} s")
