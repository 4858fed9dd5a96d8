from __future__ import annotations

import logging

import pytest

from fakes import FakeClock
from pzem.schedule import Slot, slots


def stamps(clock: FakeClock, count: int, interval_s: int = 5) -> list[int]:
    grid = slots(interval_s, clock)
    return [next(grid).unix_s for _ in range(count)]


def nothing() -> None: ...


def test_slots_lie_on_the_wall_clock_grid() -> None:
    assert stamps(FakeClock(1_000_001.3), 3) == [1_000_005, 1_000_010, 1_000_015]


def test_a_slot_tells_its_moment_and_budget() -> None:
    slot = next(slots(5, FakeClock(1_000_001.5)))
    assert slot == Slot(1_000_005, 1003.5, 3.0)
    assert slot.deadline == pytest.approx(1006.5)


@pytest.mark.parametrize(("interval_s", "budget_s"), [(1, 0.6), (2, 1.2), (5, 3.0), (60, 3.0)])
def test_budget_leaves_room_before_the_next_slot(interval_s: int, budget_s: float) -> None:
    assert next(slots(interval_s, FakeClock(0.0))).budget_s == pytest.approx(budget_s)


def test_slow_reading_does_not_shift_the_grid() -> None:
    clock = FakeClock(1_000_000.5)
    taken = []
    for slot in slots(5, clock):
        taken.append(slot.unix_s)
        clock.now_s += 4.9
        if len(taken) == 3:
            break
    assert taken == [1_000_005, 1_000_010, 1_000_015]


def test_a_slewed_clock_keeps_the_grid_on_the_wall_clock() -> None:
    clock = FakeClock(1_000_000.5)
    clock.during_wait = [clock.step(0.002)] * 50
    assert stamps(clock, 50) == [1_000_005 + 5 * n for n in range(50)]


def test_a_slot_jumped_over_is_not_stamped(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(1_000_001.0)
    clock.during_wait = [nothing, clock.step(3600.0)]
    with caplog.at_level(logging.WARNING):
        assert stamps(clock, 3) == [1_000_005, 1_003_615, 1_003_620]
    assert [record.getMessage() for record in caplog.records] == [
        "the clock was set by +3600.0 s; the grid follows it"
    ]


def test_after_a_step_back_slots_are_read_again() -> None:
    clock = FakeClock(1_000_001.0)
    clock.during_wait = [nothing, nothing, clock.step(-7.0)]
    assert stamps(clock, 4) == [1_000_005, 1_000_010, 1_000_010, 1_000_015]


def test_a_slot_slept_through_is_a_gap(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(1_000_001.0)
    clock.during_wait = [nothing, clock.oversleep(12.0)]
    assert stamps(clock, 2) == [1_000_005, 1_000_025]
    assert [record.getMessage() for record in caplog.records] == [
        "the machine stood still for 12 s; its slots are missing"
    ]


def test_a_little_late_is_in_time() -> None:
    clock = FakeClock(1_000_001.0)
    clock.during_wait = [clock.oversleep(2.9)]
    assert stamps(clock, 1) == [1_000_005]


def test_ends_when_the_wait_is_called_off() -> None:
    clock = FakeClock(1_000_001.0)
    clock.waits_left = 2
    assert [slot.unix_s for slot in slots(5, clock)] == [1_000_005, 1_000_010]


def test_a_clock_slewed_back_at_the_slot_does_not_give_it_twice() -> None:
    clock = FakeClock(1_000_001.0)
    clock.during_wait = [clock.step(-0.002)]
    assert stamps(clock, 3) == [1_000_005, 1_000_010, 1_000_015]
