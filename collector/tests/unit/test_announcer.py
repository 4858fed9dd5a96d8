from __future__ import annotations

import logging

import pytest

from pzem.announcer import Announcer
from pzem.meter import NO_PORT, Faulty, Outcome, Silent
from pzem.registers import Reading

OK = Reading(120.0, 1.0, 120.0, 0.0, 60.0, 1.0, alarm=False)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.INFO)

    class Lines(list[str]):
        def __eq__(self, other: object) -> bool:
            return [record.getMessage() for record in caplog.records] == other

        __hash__ = None  # type: ignore[assignment]

    return Lines()


def tell(*outcomes: Outcome) -> None:
    announcer = Announcer()
    for outcome in outcomes:
        announcer.note({"gen": outcome})


def test_a_healthy_meter_is_no_news(said: list[str]) -> None:
    tell(*[OK] * 1000)
    assert said == []


def test_silence_and_return_are_a_line_each(said: list[str]) -> None:
    tell(*[OK] * 5, *[Silent()] * 1000, *[OK] * 1000)
    assert said == ["gen is silent (no answer)", "gen is read again"]


def test_months_of_silence_are_one_line(said: list[str]) -> None:
    tell(*[Silent()] * 1000)
    assert said == ["gen is silent (no answer)"]


def test_a_hiccup_is_no_news(said: list[str]) -> None:
    tell(*[OK, OK, Silent(), OK, Faulty("bad_crc"), Faulty("bad_crc"), OK] * 100)
    assert said == []


def test_other_figures_are_no_news(said: list[str]) -> None:
    tell(*[Faulty(f"over_range amps {100 + n}.0") for n in range(100)])
    assert said == ["gen is faulty (over_range amps 102.0)"]


def test_another_reason_is_news(said: list[str]) -> None:
    tell(*[OK] * 3, *[Silent()] * 3, *[Silent(NO_PORT)] * 3)
    assert said == ["gen is silent (no answer)", "gen is silent (its adapter is not plugged in)"]
