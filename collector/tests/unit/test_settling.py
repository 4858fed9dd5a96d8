from __future__ import annotations

import pytest

from pzem.meter import Faulty, Outcome, Silent
from pzem.registers import Reading
from pzem.settling import Settling

READING = Reading(120.0, 1.0, 120.0, 0.0, 60.0, 1.0, alarm=False)
SETTLING = Faulty("settling", well_formed=True)
OVER_RANGE = Faulty("over_range amps 105.0", well_formed=True)
NOISE = Faulty("bad_crc")
SILENT = Silent()


def judged(*story: Outcome, interval_s: int = 5) -> list[Outcome]:
    settling = Settling(interval_s)
    # A clock that is slewed makes the slots lie a little less than an interval apart.
    return [
        settling.judge("gen", outcome, 0.9999 * interval_s * number)
        for number, outcome in enumerate(story)
    ]


def test_a_meter_heard_from_the_start_is_believed() -> None:
    assert judged(READING, READING) == [READING, READING]


@pytest.mark.parametrize("slots", [1, 6, 12])
def test_a_short_silence_discards_nothing(slots: int) -> None:
    assert judged(READING, *[SILENT] * slots, READING)[-1] == READING


def test_after_a_long_silence_the_first_5_s_are_not_believed() -> None:
    story = judged(READING, *[SILENT] * 13, READING, READING, READING)
    assert story[-3:] == [SETTLING, READING, READING]


def test_at_1_s_five_slots_settle() -> None:
    story = judged(READING, *[SILENT] * 61, *[READING] * 7, interval_s=1)
    assert story[-7:] == [*[SETTLING] * 5, READING, READING]


def test_a_meter_dark_from_the_start_settles_too() -> None:
    assert judged(*[SILENT] * 13, READING, READING)[-2:] == [SETTLING, READING]


def test_an_impossible_value_starts_the_settling_and_keeps_its_reason() -> None:
    story = judged(*[SILENT] * 61, OVER_RANGE, READING, *[READING] * 4, interval_s=1)
    assert story[-6:] == [OVER_RANGE, *[SETTLING] * 4, READING]


def test_noise_is_neither_silence_nor_the_meter() -> None:
    assert judged(READING, *[NOISE] * 20, READING)[-1] == READING
    assert judged(READING, *[SILENT] * 7, NOISE, *[SILENT] * 7, READING)[-1] == SETTLING


def test_slots_that_nobody_saw_are_no_silence() -> None:
    settling = Settling(5)
    settling.judge("gen", READING, 0.0)
    assert settling.judge("gen", READING, 600.0) == READING


def test_a_gap_while_settling_does_not_prolong_it() -> None:
    story = judged(*[SILENT] * 61, READING, SILENT, *[READING] * 4, interval_s=1)
    assert story[-6:] == [SETTLING, SILENT, SETTLING, SETTLING, SETTLING, READING]
