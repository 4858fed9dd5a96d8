from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pzem.health import FAULTY, OK, SILENT, Health, MeterHealth, state_of
from pzem.meter import NO_PORT, Faulty, Outcome, Silent
from pzem.moment import Moment
from pzem.registers import Reading

READING = Reading(120.0, 1.0, 120.0, 0.0, 60.0, 1.0, alarm=False)
OVER_RANGE = Faulty("over_range amps 105.0", well_formed=True)


def slot(number: int, boot_id: str = "boot", *, is_true: bool = True) -> Moment:
    return Moment(1000 + 5 * number, 5.0 * number, boot_id, is_true)


def told(*story: Outcome) -> MeterHealth:
    health = Health()
    for number, outcome in enumerate(story):
        latest = health.take(slot(number), {"gen": outcome})
    return latest["gen"]


def test_a_state_begins_with_the_first_slot_that_shows_it() -> None:
    assert told(READING, READING) == MeterHealth(OK, "", slot(0))
    assert told(READING, Silent(), Silent()) == MeterHealth(SILENT, "no_answer", slot(1))
    assert told(Silent(), OVER_RANGE) == MeterHealth(FAULTY, OVER_RANGE.reason, slot(1))
    assert told(Silent(), READING) == MeterHealth(OK, "", slot(1))


def test_another_reason_is_no_other_state() -> None:
    assert told(Silent(), Silent(NO_PORT)) == MeterHealth(SILENT, NO_PORT, slot(0))


def test_one_slot_is_enough() -> None:
    assert told(READING, Silent(), READING) == MeterHealth(OK, "", slot(2))


def test_each_meter_has_its_own() -> None:
    health = Health()
    health.take(slot(0), {"a": READING, "b": READING})
    latest = health.take(slot(1), {"a": Silent(), "b": READING})
    assert (latest["a"].since, latest["b"].since) == (slot(1), slot(0))


@given(st.lists(st.sampled_from([READING, Silent(), Silent(NO_PORT), OVER_RANGE]), min_size=1))
def test_since_then_it_was_always_so(story: list[Outcome]) -> None:
    health = told(*story)
    first = round((health.since.monotonic_s) / 5)
    states = [state_of(outcome) for outcome in story]
    assert set(states[first:]) == {health.state}
    assert first == 0 or states[first - 1] != health.state
