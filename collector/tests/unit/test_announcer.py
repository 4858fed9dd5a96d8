from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from pzem.announcer import Announcer
from pzem.meter import (
    HAS_POWER,
    LINE_IN_DOUBT,
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
from pzem.settling import SETTLING

OK = Reading(120.0, 1.0, 120.0, 0.0, 60.0, 1.0, alarm=False)


Said = Callable[[], list[str]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def tell(*outcomes: Outcome) -> None:
    announcer = Announcer()
    for outcome in outcomes:
        announcer.note({"gen": outcome})


def test_a_healthy_meter_is_no_news(said: Said) -> None:
    tell(*[OK] * 1000)
    assert said() == []


def test_silence_and_return_are_a_line_each(said: Said) -> None:
    tell(*[OK] * 5, *[Silent()] * 1000, *[OK] * 1000)
    assert said() == ["gen is silent (no answer)", "gen is read again"]


def test_months_of_silence_are_one_line(said: Said) -> None:
    tell(*[Silent()] * 1000)
    assert said() == ["gen is silent (no answer)"]


def test_a_hiccup_is_no_news(said: Said) -> None:
    noise = Faulty("bad_crc")
    hiccups: list[Outcome] = [OK, OK, Silent(), OK, noise, noise, OK]
    tell(*hiccups * 100)
    assert said() == []


def test_other_figures_are_no_news(said: Said) -> None:
    tell(*[Faulty(f"over_range amps {100 + n}.0") for n in range(100)])
    assert said() == ["gen is faulty (over_range amps 102.0)"]


def test_another_reason_is_news(said: Said) -> None:
    tell(*[OK] * 3, *[Silent()] * 3, *[Silent(NO_PORT)] * 3)
    assert said() == ["gen is silent (no answer)", "gen is silent (its adapter is not plugged in)"]


def test_a_meter_that_is_never_well_is_said_whatever_ails_it(said: Said) -> None:
    ailments: list[Outcome] = [Faulty("bad_crc"), Faulty("short_reply"), Silent()]
    tell(*ailments * 100)
    assert len(said()) == 1


def test_what_ails_a_faulty_meter_may_change_without_news(said: Said) -> None:
    tell(*([Faulty("bad_crc")] * 3 + [Faulty("short_reply")] * 3) * 50)
    assert len(said()) == 1


def test_a_silence_that_is_not_certain_yet_is_the_same_silence(said: Said) -> None:
    tell(OK, *([Silent(NO_ANSWER_YET)] * 4 + [Silent()] * 4) * 10)
    assert said() == ["gen is silent (no answer)"]


def test_a_meter_that_settles_is_no_news(said: Said) -> None:
    tell(OK, *[Silent()] * 2, SETTLING, OK, *[Silent()] * 3, SETTLING, *[OK] * 3)
    assert said() == ["gen is silent (no answer)", "gen is read again"]


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (
            Silent(HAS_POWER),
            "gen is silent (no answer, though it has power; its cable, or the meter itself)",
        ),
        (
            Silent(LINE_IN_DOUBT),
            "gen is silent (no answer; perhaps the cable of its adapter)",
        ),
        (Silent(NOT_FOUND), "gen is silent (not heard on any port so far; it is looked for)"),
        (Silent(PORT_BUSY), "gen is silent (another program holds its port)"),
        (Silent(PORT_FAILED), "gen is silent (its port does not work)"),
        (Silent(NOT_ASKED), "gen is silent (not asked)"),
        (
            Faulty("bad_crc"),
            "gen is faulty (bad_crc; if that stays, look whether two meters have its address)",
        ),
    ],
)
def test_people_are_told_in_their_words(said: Said, outcome: Outcome, line: str) -> None:
    tell(OK, *[outcome] * 10)
    assert said() == [line]
