"""The generator: running, load, and hours that outlive a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from houses import (
    DARK,
    FAULTY,
    GENERATOR,
    IDLE,
    ONE_LEG,
    OWN,
    PANEL,
    SILENT,
    UTILITY,
    Slots,
    shows,
)
from pzem.config import HouseSettings, MeterSettings
from pzem.house import GeneratorState, House
from pzem.house.generator import PRICE, StoredHours
from pzem.kept import KeptFile
from pzem.meter import Outcome

MAY = date(2026, 5, 1)
JUNE = date(2026, 6, 1)
HOUR_S = 3600.0


class CountedFile(KeptFile):
    """A kept file that counts how often it was written."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, PRICE)
        self.saves = 0

    def save(self, kept: dict[str, object]) -> bool:
        self.saves += 1
        return super().save(kept)


@pytest.fixture
def file(tmp_path: Path) -> CountedFile:
    return CountedFile(tmp_path / "generator.json")


def house(
    file: KeptFile | None = None,
    meters: Sequence[MeterSettings] = PANEL,
    serviced: date | None = None,
    rating_va: float | None = 5500.0,
    interval_s: float = 5.0,
    *,
    is_told: bool = True,
) -> Slots:
    settings = HouseSettings(generator_va=rating_va, generator_serviced=serviced)
    return Slots(House(meters, settings, interval_s, file), meters, interval_s, is_told=is_told)


def stored(hours: float, since: float | None) -> StoredHours:
    """Return a word of the database, of noon of the first of June."""
    noon = datetime(JUNE.year, JUNE.month, JUNE.day, 12, tzinfo=UTC)
    return StoredHours(hours, since, int(noon.timestamp()))


def generator(slots: Slots, shown: Sequence[Outcome], seconds: float = 0.0) -> GeneratorState:
    state = slots.take(shown, seconds).generator
    assert state is not None
    return state


def test_load_is_volts_times_amps_of_the_sensor_around_both_wires() -> None:
    state = generator(house(), (IDLE, IDLE, shows(22.0, 125.0)))
    assert state == GeneratorState(
        running=True, load=0.5, volt_amps=2750.0, hours=0.0, hours_since_service=None
    )


@pytest.mark.parametrize(
    ("meters", "shown", "running", "load"),
    [
        pytest.param(PANEL, UTILITY, False, None, id="on the utility it does not carry"),
        pytest.param(PANEL, DARK, False, None, id="dark"),
        pytest.param(PANEL, (IDLE, IDLE, IDLE), None, None, id="nothing flows, nothing known"),
        pytest.param(PANEL, (IDLE, IDLE, FAULTY), None, None, id="not read"),
        pytest.param(OWN, (shows(5), shows(3), IDLE), True, 0.0, id="own: it idles"),
        pytest.param(OWN, (shows(5), shows(3), SILENT), False, None, id="own: it stands"),
        pytest.param(
            (*PANEL, MeterSettings("gen2", 7, "generator", None, "panel_a")),
            (IDLE, IDLE, shows(11), shows(11)),
            True,
            0.48,
            id="two meters are added up",
        ),
        pytest.param(
            (*PANEL, MeterSettings("gen2", 7, "generator", None, "panel_a")),
            (IDLE, IDLE, shows(11), FAULTY),
            True,
            None,
            id="and neither alone is the load",
        ),
    ],
)
def test_running_and_load(
    meters: Sequence[MeterSettings],
    shown: Sequence[Outcome],
    running: bool | None,
    load: float | None,
) -> None:
    state = generator(house(meters=meters), shown, seconds=10)
    assert (state.running, state.load) == (running, load)


def test_without_a_rating_there_is_no_load() -> None:
    state = generator(house(rating_va=None), GENERATOR)
    assert (state.volt_amps, state.load) == (960.0, None)


def test_a_house_without_a_generator_has_no_hours(file: CountedFile) -> None:
    slots = house(file, ONE_LEG, MAY)
    meaning = slots.take((shows(5),), seconds=600)
    slots.house.close()
    assert meaning.generator is None
    assert meaning.generator_fields() == {}
    assert file.load() is None


def test_hours_are_the_time_between_slots_in_which_it_ran() -> None:
    slots = house()
    generator(slots, UTILITY, seconds=HOUR_S)
    assert generator(slots, GENERATOR, seconds=HOUR_S).hours == 1.0
    assert generator(slots, UTILITY, seconds=HOUR_S).hours == 1.0
    assert generator(slots, GENERATOR, seconds=HOUR_S / 2).hours == 1.5


def test_moments_in_which_it_is_not_known_to_run_are_bridged() -> None:
    slots = house()
    generator(slots, GENERATOR)
    generator(slots, (IDLE, IDLE, FAULTY), seconds=50)
    assert generator(slots, GENERATOR).hours == round(60 / HOUR_S, 4)


def test_more_than_moments_are_not() -> None:
    slots = house()
    generator(slots, GENERATOR)
    generator(slots, (IDLE, IDLE, FAULTY), seconds=60)
    assert generator(slots, GENERATOR).hours == 0.0
    slots.skip(HOUR_S)
    assert generator(slots, GENERATOR).hours == 0.0


def test_a_long_interval_is_not_a_break() -> None:
    slots = house(interval_s=60)
    assert generator(slots, GENERATOR, seconds=HOUR_S).hours == 1.0


def test_a_slot_that_is_missing_in_a_long_interval_is_bridged() -> None:
    slots = house(interval_s=60)
    generator(slots, GENERATOR)
    slots.skip(120)
    assert generator(slots, GENERATOR).hours == 0.05


def test_hours_outlive_a_restart(file: CountedFile) -> None:
    slots = house(file, serviced=MAY)
    generator(slots, GENERATOR, seconds=HOUR_S)
    slots.house.close()
    state = generator(house(file, serviced=MAY), GENERATOR, seconds=HOUR_S)
    assert (state.hours, state.hours_since_service) == (2.0, 2.0)


def test_a_kill_costs_five_minutes_at_most(file: CountedFile) -> None:
    slots = house(file)
    for _ in range(500):
        ran = generator(slots, GENERATOR).hours
        kept = generator(house(file), UTILITY).hours
        assert ran is not None
        assert kept is not None
        assert 0 <= ran - kept <= 300 / HOUR_S


def test_what_the_generator_ran_is_written_when_it_stops(file: CountedFile) -> None:
    slots = house(file)
    generator(slots, GENERATOR, seconds=100)
    generator(slots, UTILITY)
    assert generator(house(file), UTILITY).hours == round(100 / HOUR_S, 4)


def test_the_card_is_written_only_while_it_runs(file: CountedFile) -> None:
    house(file)  # a new installation notes that nothing was before it
    file.saves = 0
    slots = house(file)
    generator(slots, UTILITY, seconds=24 * HOUR_S)
    slots.house.close()
    assert file.saves == 0
    generator(slots, GENERATOR, seconds=HOUR_S)
    assert file.saves == 13  # at the start, and each five minutes
    slots.house.close()
    assert file.saves == 13  # nothing has come since
    generator(slots, GENERATOR)
    slots.house.close()
    assert file.saves == 14
    generator(slots, UTILITY, seconds=24 * HOUR_S)
    slots.house.close()
    assert file.saves == 15


def test_a_changed_service_date_begins_the_second_count_anew(file: CountedFile) -> None:
    first = house(file, serviced=MAY)
    assert generator(first, GENERATOR, seconds=HOUR_S).hours_since_service == 1.0
    first.house.close()
    second = house(file, serviced=JUNE)
    state = generator(second, GENERATOR, seconds=HOUR_S)
    assert (state.hours, state.hours_since_service) == (2.0, 1.0)
    second.house.close()
    state = generator(house(file, serviced=JUNE), UTILITY)
    assert (state.hours, state.hours_since_service) == (2.0, 1.0)


def test_a_changed_service_date_is_kept_at_once(file: CountedFile) -> None:
    first = house(file, serviced=MAY)
    generator(first, GENERATOR, seconds=HOUR_S)
    first.house.close()
    house(file, serviced=JUNE)  # and killed before its first slot
    assert generator(house(file, serviced=JUNE), UTILITY).hours_since_service == 0.0


def test_a_service_date_that_is_taken_out_for_a_while_changes_nothing(file: CountedFile) -> None:
    for serviced in (MAY, None):
        slots = house(file, serviced=serviced)
        state = generator(slots, GENERATOR, seconds=HOUR_S)
        slots.house.close()
    assert state.hours_since_service is None
    assert generator(house(file, serviced=MAY), UTILITY).hours_since_service == 2.0


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"seconds": -1, "since_service_s": "12", "serviced": 7},
        {"seconds": None, "since_service_s": float("nan")},
        {"seconds": float("inf")},
    ],
)
def test_a_file_that_makes_no_sense_is_no_count(kept: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "generator.json"
    path.write_text(json.dumps(kept))
    state = generator(house(KeptFile(path, PRICE), serviced=MAY), GENERATOR, seconds=HOUR_S)
    assert (state.hours, state.hours_since_service) == (1.0, 1.0)


class TestRecalled:
    """What the database knows of before this start."""

    @pytest.fixture
    def lost(self, file: CountedFile) -> Slots:
        """Return a house whose file was lost, and whose database has not answered yet."""
        return house(file, serviced=MAY, is_told=False)

    def test_hours_of_a_lost_file_are_unknown_until_it_answers(self, lost: Slots) -> None:
        state = generator(lost, GENERATOR, seconds=HOUR_S)
        assert (state.hours, state.hours_since_service) == (None, None)
        lost.house.generator_recalled(stored(120.0, 20.0))
        state = generator(lost, UTILITY)
        assert (state.hours, state.hours_since_service) == (121.0, 21.0)

    def test_a_new_installation_begins_at_zero(self, lost: Slots) -> None:
        lost.house.generator_recalled(None)
        state = generator(lost, GENERATOR)
        assert (state.hours, state.hours_since_service) == (0.0, 0.0)

    def test_only_the_first_answer_counts(self, lost: Slots) -> None:
        for hours in (120.0, 130.0):
            lost.house.generator_recalled(stored(hours, 20.0))
        assert generator(lost, UTILITY).hours == 120.0

    def test_what_ran_before_it_answered_outlives_further_restarts(
        self, lost: Slots, file: CountedFile
    ) -> None:
        generator(lost, GENERATOR, seconds=HOUR_S)
        lost.house.close()
        again = house(file, serviced=MAY, is_told=False)
        assert generator(again, GENERATOR, seconds=HOUR_S).hours is None
        again.house.generator_recalled(stored(120.0, 20.0))
        assert generator(again, UTILITY).hours == 122.0
        state = generator(house(file, serviced=MAY), UTILITY)
        assert (state.hours, state.hours_since_service) == (122.0, 22.0)

    def test_it_may_not_know_of_a_service(self, lost: Slots) -> None:
        lost.house.generator_recalled(stored(120.0, None))
        state = generator(lost, UTILITY)
        assert (state.hours, state.hours_since_service) == (120.0, 0.0)

    @pytest.mark.parametrize(("days", "since"), [(-1, 20.0), (0, 20.0), (2, 0.0)])
    def test_a_service_after_its_last_word_begins_the_second_count_anew(
        self, file: CountedFile, days: int, since: float
    ) -> None:
        slots = house(file, serviced=JUNE + timedelta(days), is_told=False)
        slots.house.generator_recalled(stored(120.0, 20.0))
        assert generator(slots, UTILITY).hours_since_service == since

    def test_what_a_power_cut_took_from_the_file(self, file: CountedFile) -> None:
        before = generator(house(file, serviced=MAY), GENERATOR, seconds=1000)
        again = house(file, serviced=MAY, is_told=False)
        assert generator(again, GENERATOR, seconds=100).hours is None, "it is not to fall"
        again.house.generator_recalled(stored(before.hours or 0, before.hours_since_service))
        state = generator(again, UTILITY)
        assert state.hours == pytest.approx(1100 / HOUR_S, abs=1e-4)
        assert state.hours_since_service == pytest.approx(1100 / HOUR_S, abs=1e-4)

    def test_a_late_word_that_knows_more_is_taken(self, file: CountedFile) -> None:
        before = generator(house(file, serviced=MAY), GENERATOR, seconds=1100)
        again = house(file, serviced=MAY, is_told=False)
        assert generator(again, GENERATOR, seconds=125).hours == round(1025 / HOUR_S, 4)
        again.house.generator_recalled(stored(before.hours or 0, before.hours_since_service))
        assert generator(again, UTILITY).hours == pytest.approx(1225 / HOUR_S, abs=1e-4)

    def test_words_of_this_run_change_nothing(self, file: CountedFile) -> None:
        generator(house(file, serviced=MAY), GENERATOR, seconds=1000)
        again = house(file, serviced=MAY, is_told=False)
        shown = generator(again, GENERATOR, seconds=HOUR_S)
        again.house.generator_recalled(stored(shown.hours or 0, shown.hours_since_service))
        assert generator(again, UTILITY).hours == shown.hours

    def test_a_database_that_knows_less_changes_nothing(self, file: CountedFile) -> None:
        slots = house(file, serviced=MAY)
        generator(slots, GENERATOR, seconds=HOUR_S)
        slots.house.close()
        again = house(file, serviced=MAY, is_told=False)
        again.house.generator_recalled(stored(0.5, 0.25))
        state = generator(again, UTILITY)
        assert (state.hours, state.hours_since_service) == (1.0, 1.0)

    def test_it_does_not_bring_back_hours_before_a_new_service(self, file: CountedFile) -> None:
        generator(house(file, serviced=MAY), GENERATOR, seconds=1000)
        again = house(file, serviced=JUNE, is_told=False)
        again.house.generator_recalled(stored(10.0, 10.0))
        state = generator(again, UTILITY)
        assert (state.hours, state.hours_since_service) == (10.0, 0.0)

    def test_nor_those_of_a_service_that_was_new_before_it_answered(
        self, lost: Slots, file: CountedFile
    ) -> None:
        generator(lost, UTILITY)
        again = house(file, serviced=JUNE, is_told=False)
        again.house.generator_recalled(stored(120.0, 20.0))
        assert generator(again, UTILITY).hours_since_service == 0.0

    def test_a_house_without_a_generator_takes_no_note(self, file: CountedFile) -> None:
        slots = house(file, ONE_LEG, is_told=False)
        slots.house.generator_recalled(stored(1.0, None))
        assert slots.take((shows(5),)).generator is None
        assert file.saves == 0


def test_a_card_that_cannot_be_written_does_not_stop_the_count(tmp_path: Path) -> None:
    slots = house(KeptFile(tmp_path / "missing" / "generator.json", PRICE))
    assert generator(slots, GENERATOR, seconds=HOUR_S).hours == 1.0


def test_fields_of_the_point() -> None:
    slots = house(serviced=MAY)
    assert slots.take(GENERATOR, HOUR_S).generator_fields() == {
        "load": round(960 / 5500, 4),
        "hours": 1.0,
        "hours_since_service": 1.0,
    }
    assert slots.take(UTILITY).generator_fields() == {"hours": 1.0, "hours_since_service": 1.0}
