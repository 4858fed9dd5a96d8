"""Silence that cannot be darkness, for the Pi lives by the same feed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from houses import FAULTY, PANEL, SILENT, Life, active, moment, outcomes, shows
from pzem.house import AlarmState, House, Ledger, Meaning, PiFeed, Sample
from pzem.kept import KeptFile
from pzem.meter import (
    HAS_POWER,
    LINE_IN_DOUBT,
    NO_ANSWER_YET,
    NO_PORT,
    NOT_ASKED,
    Faulty,
    Outcome,
    Silent,
)
from pzem.testing import ORIGINAL_WIRING, SimulatedHouse, State

ONE_TTY = dict.fromkeys(("mainA", "mainB", "gen"), "tty")
OWN_TTYS = {"mainA": "tty0", "mainB": "tty1", "gen": "tty2"}
POWERED, DOUBTED, READ = Silent(HAS_POWER), Silent(LINE_IN_DOUBT), shows(3)
SETTLING = Faulty("settling", well_formed=True)


@pytest.mark.parametrize(
    ("homes", "shown", "judged"),
    [
        pytest.param(
            ONE_TTY,
            (SILENT, SILENT, SILENT),
            (DOUBTED, POWERED, DOUBTED),
            id="the cable of the only adapter",
        ),
        pytest.param(
            OWN_TTYS,
            (SILENT, SILENT, SILENT),
            (SILENT, POWERED, SILENT),
            id="other adapters are not in doubt",
        ),
        pytest.param(
            ONE_TTY, (SILENT, READ, SILENT), (SILENT, READ, SILENT), id="the line works: panel_a"
        ),
        pytest.param(
            ONE_TTY, (READ, SILENT, SILENT), (READ, POWERED, SILENT), id="the line works for mainA"
        ),
        pytest.param(
            ONE_TTY,
            (SILENT, SILENT, SETTLING),
            (SILENT, POWERED, SETTLING),
            id="one that settles is heard",
        ),
        pytest.param(
            ONE_TTY, (SILENT, FAULTY, SILENT), (DOUBTED, FAULTY, DOUBTED), id="noise is not heard"
        ),
        pytest.param(
            ONE_TTY,
            (SILENT, Silent(NOT_ASKED), SILENT),
            (DOUBTED, Silent(NOT_ASKED), DOUBTED),
            id="nothing was heard on the line",
        ),
        pytest.param(
            {**ONE_TTY, "mainB": None},
            (SILENT, Silent(NO_PORT), SILENT),
            (SILENT, Silent(NO_PORT), SILENT),
            id="never heard, so on no line",
        ),
    ],
)
def test_one_slot(
    homes: dict[str, str | None], shown: tuple[Outcome, ...], judged: tuple[Outcome, ...]
) -> None:
    feed = PiFeed(PANEL, "panel_b")
    assert feed.judge(outcomes(PANEL, shown), homes) == outcomes(PANEL, judged)


def test_without_a_word_of_the_feed_nothing_is_changed() -> None:
    answers: tuple[Outcome, ...] = (SILENT, READ, FAULTY, Silent(NO_ANSWER_YET))
    for shown in product(answers, repeat=3):
        heard = outcomes(PANEL, shown)
        assert PiFeed(PANEL, "").judge(heard, ONE_TTY) == heard


@dataclass
class Watched:
    """A simulated house in the original wiring, with its meaning and its ledger."""

    life: Life
    house: House
    ledger: Ledger
    slot: int = 0

    def run(self, seconds: int) -> Meaning:
        for _ in range(seconds // 5):
            sample = Sample(moment(self.slot), self.life.heard())
            meaning = self.house.take(sample)
            self.ledger.take(sample, meaning.supply)
            self.slot += 1
        return meaning

    def outages(self) -> list[str]:
        return [line for line in self.ledger.events() if "kind=outage" in line]


def watched(tmp_path: Path, pi_fed_from: str, *, one_adapter: bool) -> Watched:
    house = SimulatedHouse(ORIGINAL_WIRING, seed=1)
    return Watched(
        Life(house, pi_feed=PiFeed(PANEL, pi_fed_from), one_adapter=one_adapter),
        House(PANEL),
        Ledger(PANEL, KeptFile(tmp_path / "outages.json", ""), 5),
    )


def causes(alarms: tuple[AlarmState, ...], kind: str) -> dict[str, str]:
    return {alarm.meter: alarm.cause for alarm in alarms if alarm.active and alarm.kind == kind}


@pytest.mark.parametrize("state", [State.UTILITY, State.GENERATOR])
def test_a_loose_bus_cable_is_no_outage(tmp_path: Path, state: State) -> None:
    house = watched(tmp_path, "panel_b", one_adapter=True)
    house.life.house.state = state
    house.run(60)
    house.outages()
    house.life.loose = {"tty"}
    meaning = house.run(120)
    assert (meaning.supply.in_use, meaning.supply.utility_on) == (None, None)
    assert meaning.supply.generator_on is None
    silent = causes(meaning.alarms, "meter_silent")
    assert silent.keys() == {"mainA", "mainB", "gen"}
    assert "look at its cable and at the meter" in silent["mainB"]
    assert (
        "look at the cable of the adapter"
        in silent["mainA"]
        == silent["gen"].replace("gen", "mainA")
    )
    house.life.loose = set()
    meaning = house.run(60)
    assert not causes(meaning.alarms, "meter_silent")
    assert meaning.supply.in_use == state.value
    assert house.outages() == []  # nothing began, and the one on the generator goes on


def test_one_loose_cable_of_three_says_nothing_of_the_panel(tmp_path: Path) -> None:
    house = watched(tmp_path, "panel_b", one_adapter=False)
    house.run(60)
    house.life.loose = {"tty-mainB"}
    meaning = house.run(120)
    assert active(meaning) == {"meter_silent mainB"}
    assert meaning.supply.utility_on is True
    assert house.outages() == []


def test_a_dark_panel_is_told_while_the_other_feeds_the_pi(tmp_path: Path) -> None:
    house = watched(tmp_path, "panel_b", one_adapter=True)
    house.run(60)
    heard = house.life.heard()
    feed = PiFeed(PANEL, "panel_b")
    for _ in range(10):
        dark = feed.judge({**heard, "mainA": SILENT, "gen": SILENT}, ONE_TTY)
        sample = Sample(moment(house.slot), dark)
        house.ledger.take(sample, house.house.take(sample).supply)
        house.slot += 1
    (outage,) = house.outages()
    assert 'lost="panel_a dark"' in outage


def test_a_pi_with_a_battery_takes_the_dark_for_what_it_is(tmp_path: Path) -> None:
    house = watched(tmp_path, "", one_adapter=True)
    house.run(60)
    house.life.house.state = State.OUTAGE
    meaning = house.run(120)
    assert meaning.supply.in_use == "none"
    assert active(meaning) == {"utility_lost"}
    (outage,) = house.outages()
    assert 'lost="panel dark"' in outage
