from __future__ import annotations

from collections.abc import Mapping

import pytest

from pzem.meter import Faulty, Outcome, Silent
from pzem.registers import Reading
from pzem.settling import Settling

READING = Reading(120.0, 1.0, 120.0, 0.0, 60.0, 1.0, alarm=False)
SETTLING = Faulty("settling", well_formed=True)
OVER_RANGE = Faulty("over_range amps 105.0", well_formed=True)
NOISE = Faulty("bad_crc")


def judged(story: Mapping[float, Outcome]) -> list[Outcome]:
    settling = Settling()
    return [settling.judge("gen", outcome, at_s) for at_s, outcome in story.items()]


def test_a_meter_heard_for_the_first_time_is_believed() -> None:
    assert judged({100.0: READING}) == [READING]


@pytest.mark.parametrize("silence_s", [5, 30, 60])
def test_a_short_silence_discards_nothing(silence_s: float) -> None:
    assert judged({0.0: READING, silence_s: READING}) == [READING, READING]


def test_after_a_long_silence_the_first_5_s_are_not_believed() -> None:
    story = {0.0: READING} | {float(s): READING for s in range(61, 68)}
    assert judged(story) == [READING, *[SETTLING] * 5, READING, READING]


def test_one_slot_of_a_5_s_grid_settles_though_the_clock_is_slewed() -> None:
    assert judged({0.0: READING, 70.0: READING, 74.998: READING}) == [READING, SETTLING, READING]


def test_an_impossible_value_starts_the_settling_and_keeps_its_reason() -> None:
    story: dict[float, Outcome] = {0.0: READING, 70.0: OVER_RANGE, 72.0: READING, 75.0: READING}
    assert judged(story) == [READING, OVER_RANGE, SETTLING, READING]


def test_noise_is_not_the_meter() -> None:
    story: dict[float, Outcome] = {0.0: READING, 40.0: NOISE, 65.0: READING}
    assert judged(story) == [READING, NOISE, SETTLING]


def test_silence_stays_silence() -> None:
    assert judged({0.0: READING, 70.0: Silent()}) == [READING, Silent()]


def test_a_gap_while_settling_does_not_prolong_it() -> None:
    story: dict[float, Outcome] = {0.0: READING, 70.0: READING, 71.0: Silent(), 75.0: READING}
    assert judged(story) == [READING, SETTLING, Silent(), READING]
