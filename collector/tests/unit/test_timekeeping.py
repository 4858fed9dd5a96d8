from __future__ import annotations

import logging

import pytest

from fakes import FakeClock
from pzem.schedule import Slot, slots
from pzem.timekeeping import SHOW_AFTER_S, TimeFound, Timekeeper

BOOT = "b00t"


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock(1_000_001.0)
    clock.synchronised = False
    return clock


def slot(unix_s: int, monotonic_s: float) -> Slot:
    return Slot(unix_s, monotonic_s, 3.0)


def test_a_trusted_clock_is_true_at_once(clock: FakeClock) -> None:
    keeper = Timekeeper("trust", clock, BOOT)
    moment = keeper.stamp(slot(1_000_005, 1004.0))
    assert (moment.unix_s, moment.monotonic_s, moment.boot_id) == (1_000_005, 1004.0, BOOT)
    assert moment.is_true
    assert keeper.found == TimeFound(999_001.0, 1_000_005)
    keeper.stamp(slot(1_000_010, 1009.0))
    assert keeper.found is None
    assert not keeper.is_overdue(slot(1_000_005, 9999.0))


def test_the_slot_after_the_one_that_saw_the_time_is_the_first_true_one(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    keeper = Timekeeper("wait", clock, BOOT)
    clock.waits_left = 4
    clock.during_wait = [clock.step(0), clock.step(0), clock.step(3600)]
    seen = []
    for each in slots(5, clock):
        clock.synchronised = each.unix_s > 1_003_000
        seen.append((keeper.stamp(each), keeper.found))
    # The clock jumped while the third slot was waited for: that one is left out.
    assert [(m.unix_s, m.is_true, found) for m, found in seen] == [
        (1_000_005, False, None),
        (1_000_010, False, None),
        (1_003_620, False, None),
    ]
    clock.waits_left = 2
    seen.extend((keeper.stamp(each), keeper.found) for each in slots(5, clock))
    (first, found), (later, nothing) = seen[3:]
    assert first.is_true
    assert found == TimeFound(first.unix_s - first.monotonic_s, first.unix_s)
    assert later.is_true
    assert nothing is None
    assert [r.levelname for r in caplog.records if "time is" in r.message] == ["WARNING", "INFO"]


def test_a_clock_that_is_right_from_the_start_says_nothing_of_waiting(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.synchronised = True
    keeper = Timekeeper("wait", clock, BOOT)
    assert keeper.is_true
    assert keeper.stamp(slot(1_000_005, 1004.0)).is_true
    assert keeper.found == TimeFound(999_001.0, 1_000_005)
    assert caplog.text == ""


def test_after_ten_minutes_readings_are_overdue(clock: FakeClock) -> None:
    keeper = Timekeeper("wait", clock, BOOT)
    keeper.stamp(slot(5, 1000.0))
    assert not keeper.is_overdue(slot(600, 1000.0 + SHOW_AFTER_S - 1))
    assert keeper.is_overdue(slot(605, 1000.0 + SHOW_AFTER_S))
    clock.synchronised = True
    keeper.stamp(slot(610, 1610.0))
    keeper.stamp(slot(1_000_000, 1615.0))
    assert not keeper.is_overdue(slot(1_000_000, 1615.0))
