"""Whatever happens to the clock: every stamp is a moment at which something was read."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pzem.config import INTERVALS_S
from pzem.schedule import BUDGET_SHARE, STEP_S, slots

SLEW = 0.0005
"""At most, in s a second (adjtime(3))."""


@dataclass(frozen=True)
class Event:
    """What happens while a slot is waited for."""

    step_s: float = 0.0
    slewed: float = 0.0
    oversleep_s: float = 0.0


class PlayedClock:
    """A clock to which something happens in each wait; counts the waits that took no time."""

    def __init__(self, unix_s: float, events: list[Event]) -> None:
        self.monotonic_s = 1000.0
        self.offset_s = unix_s - self.monotonic_s
        self.events = events
        self.waits = 0

    def unix(self) -> float:
        return self.monotonic_s + self.offset_s

    def monotonic(self) -> float:
        return self.monotonic_s

    def wait_until(self, monotonic_s: float) -> bool:
        if not self.events:
            return False
        event = self.events.pop(0)
        self.waits += 1
        waited_s = max(0.0, monotonic_s - self.monotonic_s)
        self.monotonic_s += waited_s + event.oversleep_s
        self.offset_s += event.step_s + event.slewed * SLEW * waited_s
        return True

    def is_synchronised(self) -> bool:
        return True


steps = st.one_of(st.just(0.0), st.floats(-7200, 7200), st.sampled_from([3600.0, -3600.0, 86400.0]))
events = st.builds(
    Event,
    step_s=st.one_of(st.just(0.0), st.just(0.0), steps),
    slewed=st.floats(-1, 1),
    oversleep_s=st.one_of(st.just(0.0), st.just(0.0), st.floats(0, 600)),
)


@given(
    interval_s=st.sampled_from(INTERVALS_S),
    unix_s=st.floats(0, 4e9),
    events=st.lists(events, max_size=60),
)
def test_a_stamp_is_the_time_at_which_its_slot_begins(
    interval_s: int, unix_s: float, events: list[Event]
) -> None:
    clock = PlayedClock(unix_s, list(events))
    last_monotonic_s = float("-inf")
    for slot in slots(interval_s, clock):
        assert slot.unix_s % interval_s == 0
        late_s = clock.unix() - slot.unix_s
        assert -STEP_S <= late_s <= BUDGET_SHARE * interval_s + STEP_S
        assert slot.monotonic_s > last_monotonic_s
        last_monotonic_s = slot.monotonic_s


@given(
    interval_s=st.sampled_from(INTERVALS_S),
    unix_s=st.floats(0, 4e9),
    events=st.lists(
        st.builds(
            Event,
            step_s=st.one_of(st.just(0.0), st.floats(0, 7200)),
            slewed=st.floats(-1, 1),
            oversleep_s=st.one_of(st.just(0.0), st.floats(0, 600)),
        ),
        max_size=60,
    ),
)
def test_no_slot_comes_twice_unless_the_clock_is_set_back(
    interval_s: int, unix_s: float, events: list[Event]
) -> None:
    clock = PlayedClock(unix_s, list(events))
    stamps = [slot.unix_s for slot in slots(interval_s, clock)]
    assert stamps == sorted(set(stamps))


@given(
    interval_s=st.sampled_from(INTERVALS_S),
    unix_s=st.floats(0, 4e9),
    slewed=st.lists(st.floats(-1, 1), min_size=2, max_size=60),
)
def test_no_slot_is_left_out_while_the_clock_is_slewed(
    interval_s: int, unix_s: float, slewed: list[float]
) -> None:
    clock = PlayedClock(unix_s, [Event(slewed=share) for share in slewed])
    stamps = [slot.unix_s for slot in slots(interval_s, clock)]
    assert stamps == list(range(stamps[0], stamps[0] + len(slewed) * interval_s, interval_s))


@given(events=st.lists(events, min_size=1, max_size=60))
def test_every_wait_takes_time_or_follows_a_jump(events: list[Event]) -> None:
    """No busy loop: a wait that ends at once is the doing of the clock that has jumped."""
    clock = PlayedClock(1_000_000.0, list(events))
    began_s = clock.monotonic_s
    for _ in slots(5, clock):
        pass
    jumps = sum(event.step_s != 0 or event.oversleep_s != 0 for event in events)
    assert clock.monotonic_s - began_s >= 5 * (clock.waits - 2 * jumps - 1) - 1
