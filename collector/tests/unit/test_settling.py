from __future__ import annotations

import pytest

from pzem.meter import (
    NO_ANSWER,
    NO_ANSWER_YET,
    NO_PORT,
    NOT_ASKED,
    NOT_FOUND,
    PORT_BUSY,
    PORT_FAILED,
    Faulty,
    Outcome,
    Silent,
)
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


@pytest.mark.parametrize(("interval_s", "slots"), [(5, 1), (1, 9)])
def test_a_reply_that_is_lost_discards_nothing(interval_s: int, slots: int) -> None:
    story = judged(READING, *[SILENT] * slots, READING, interval_s=interval_s)
    assert story[-1] == READING


@pytest.mark.parametrize("reason", [NO_PORT, PORT_BUSY, PORT_FAILED, NOT_ASKED])
def test_what_was_not_asked_has_not_been_dark(reason: str) -> None:
    assert judged(READING, *[Silent(reason)] * 20, READING)[-1] == READING


@pytest.mark.parametrize("reason", [NO_ANSWER, NO_ANSWER_YET, NOT_FOUND])
def test_after_10_s_without_an_answer_the_first_5_s_are_not_believed(reason: str) -> None:
    story = judged(READING, *[Silent(reason)] * 2, READING, READING, READING)
    assert story[-3:] == [SETTLING, READING, READING]


def test_at_1_s_five_slots_settle() -> None:
    story = judged(READING, *[SILENT] * 61, *[READING] * 7, interval_s=1)
    assert story[-7:] == [*[SETTLING] * 5, READING, READING]


def test_one_slot_is_enough_where_slots_lie_farther_apart() -> None:
    assert judged(READING, SILENT, READING, READING, interval_s=10)[-2:] == [SETTLING, READING]


def test_a_meter_dark_from_the_start_settles_too() -> None:
    assert judged(*[SILENT] * 13, READING, READING)[-2:] == [SETTLING, READING]


def test_an_impossible_value_starts_the_settling_and_keeps_its_reason() -> None:
    story = judged(*[SILENT] * 61, OVER_RANGE, READING, *[READING] * 4, interval_s=1)
    assert story[-6:] == [OVER_RANGE, *[SETTLING] * 4, READING]


def test_noise_is_neither_silence_nor_the_meter() -> None:
    assert judged(READING, *[NOISE] * 20, READING)[-1] == READING
    assert judged(READING, SILENT, NOISE, SILENT, READING)[-1] == SETTLING


def test_slots_that_nobody_saw_are_no_silence() -> None:
    settling = Settling(5)
    settling.judge("gen", READING, 0.0)
    assert settling.judge("gen", READING, 600.0) == READING


def test_a_gap_while_settling_does_not_prolong_it() -> None:
    story = judged(*[SILENT] * 61, READING, SILENT, *[READING] * 4, interval_s=1)
    assert story[-6:] == [SETTLING, SILENT, SETTLING, SETTLING, SETTLING, READING]
