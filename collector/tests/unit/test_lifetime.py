from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest

from pzem.config import MeterSettings
from pzem.house import account
from pzem.house.lifetime import Lifetime, MeterEnergy, Recalled
from pzem.house.sample import Sample
from pzem.kept import KeptFile
from pzem.meter import Silent
from pzem.moment import Moment
from pzem.registers import Reading

MAIN = MeterSettings("mainA", 4, "utility")
DAY = date(2027, 3, 10)
NOON_S = int(datetime(2027, 3, 10, 12, tzinfo=UTC).timestamp())
DAY_S = 86_400


class Card(KeptFile):
    """Keeps what is saved as text, and counts; it takes nothing, for now, if `is_read_only`."""

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        super().__init__(None, "")
        self.text = None if kept is None else json.dumps(kept)
        self.saves = 0
        self.is_read_only = False
        self.waiting: str | None = None
        self.waited_s = 0.0

    def load(self) -> dict[str, Any] | None:
        return None if self.text is None else dict(json.loads(self.text))

    def save(self, kept: dict[str, Any]) -> bool:
        self.waiting = json.dumps(kept)
        self.saves += 1
        self.is_saved()
        return True

    def is_saved(self, timeout_s: float = 0.0) -> bool:
        self.waited_s += timeout_s
        if self.waiting is not None and not self.is_read_only:
            self.text, self.waiting = self.waiting, None
        return self.waiting is None

    @property
    def known(self) -> dict[str, Any]:
        return dict(json.loads(self.text or "{}")["meters"]["mainA"]["known"])


class Bench:
    """One meter, slot by slot."""

    def __init__(
        self, card: Card | None = None, interval_s: int = 5, *, reset_enabled: bool = True
    ) -> None:
        self.card = card or Card()
        self.interval_s = interval_s
        self.monotonic_s = 1000.0
        self.unix_s = NOON_S
        self.boot = "first"
        self.is_true = True
        self.energy = MeterEnergy(None, estimated=False)
        self.start(reset_enabled=reset_enabled)

    def start(self, meter: MeterSettings = MAIN, *, reset_enabled: bool = True) -> None:
        self.lifetime = Lifetime([meter], self.interval_s, self.card, reset_enabled=reset_enabled)

    def restart(
        self, *, killed: bool = False, off_s: float = 10, meter: MeterSettings = MAIN
    ) -> None:
        if not killed:
            self.lifetime.close()
        self.pass_by(off_s)
        self.start(meter)

    def reboot(self, off_s: float, *, is_true: bool = True) -> None:
        self.unix_s += round(off_s)
        self.monotonic_s = 20.0
        self.boot += "+"
        self.is_true = is_true
        self.start()

    def pass_by(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.unix_s += round(seconds)

    @property
    def moment(self) -> Moment:
        return Moment(self.unix_s, self.monotonic_s, self.boot, is_true=self.is_true)

    def shows(self, *registers: float, watts: float = 0.0) -> float | None:
        """Take a slot for each of `registers`; return the last lifetime energy."""
        for register in registers:
            self.pass_by(self.interval_s)
            reading = Reading(120.0, watts / 120, watts, register, 60.0, 1.0, alarm=False)
            self.energy = self.lifetime.take(Sample(self.moment, {"mainA": reading}))["mainA"]
        return self.energy.lifetime_wh

    def recalls(
        self, energy_wh: float = 0, lifetime_wh: float | None = None, unix_s: int = 0
    ) -> None:
        """Hear the database; without arguments it knows nothing."""
        word = Recalled(energy_wh, lifetime_wh, unix_s)
        self.lifetime.recalled({"mainA": word} if unix_s else {})


@pytest.fixture
def bench() -> Bench:
    """A meter at 1000 Wh, known since its installation."""
    new = Bench()
    new.recalls()
    assert new.shows(1000, 1000, 1000) == 1000
    return new


def test_a_new_installation_begins_with_the_register() -> None:
    bench = Bench()
    assert bench.shows(500, 500, 500, 501) is None  # the database may know more
    bench.recalls()
    assert bench.shows(502) == 502


def test_only_meters_that_were_read_have_an_energy(bench: Bench) -> None:
    assert bench.lifetime.take(Sample(bench.moment, {"mainA": Silent()})) == {}


@pytest.mark.parametrize("interval_s", [1, 5, 60])
def test_a_register_set_to_zero_goes_on(interval_s: int, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(interval_s=interval_s)
    bench.recalls()
    bench.shows(*[5000] * 12)
    with caplog.at_level(logging.INFO):
        shown = [bench.shows(register) for register in [0, *[2] * 11]]
    assert shown[0] is None
    assert shown[-1] == 5002
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "was set to zero (5.000 kWh before, 0.000 kWh now)" in caplog.text


def test_one_false_reading_changes_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    assert bench.shows(8_000_000) is None
    assert bench.shows(1001) == 1001
    assert bench.shows(990) is None
    assert bench.shows(1001, 1002) == 1002
    assert caplog.text.count("is not believed") == 1  # in an hour
    bench.pass_by(4000)
    bench.shows(1002, 1002, 1002, 4, 1002)
    assert caplog.text.count("is not believed") == 2


def test_a_register_that_falls_a_little_for_good_is_no_reset(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    assert bench.shows(997, 997, 998, 999) == 1002
    assert caplog.text.count("fell from 1.000 kWh to 0.997 kWh") == 1


def test_an_impossible_step_is_said_once_and_then_the_new_base(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    assert bench.shows(50_000, 50_001) is None
    assert bench.shows(50_002, 50_003, 50_004) == 1004
    assert caplog.text.count("more than a meter can measure") == 1


@pytest.mark.parametrize("interval_s", [1, 5, 10, 60])
def test_full_power_is_possible(interval_s: int, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(interval_s=interval_s)
    bench.recalls()
    bench.shows(*[0] * 12)
    for slot in range(1, 40):
        register = int(slot * 23_000 * interval_s / 3600)
        assert bench.shows(register, watts=23_000) == register
    assert caplog.text == ""


def test_what_was_counted_in_a_month_unread_is_true(bench: Bench) -> None:
    bench.pass_by(30 * DAY_S)
    assert bench.shows(900_000) is None  # it may be a false reading yet
    assert bench.shows(900_001, 900_002) == 900_002


def test_what_was_counted_in_another_boot_is_true_whatever_the_clock_says(bench: Bench) -> None:
    bench.lifetime.close()
    bench.reboot(-5 * DAY_S, is_true=False)
    assert bench.shows(700_000, 700_000, 700_000) == 700_000


def test_a_clock_that_was_right_both_times_tells_what_is_possible(bench: Bench) -> None:
    bench.lifetime.close()
    bench.reboot(3600)
    assert bench.shows(1000 + 24_000, *[25_001] * 3) == 1001


def test_a_clock_that_ran_backwards_tells_nothing(bench: Bench) -> None:
    bench.lifetime.close()
    bench.reboot(-3600)
    assert bench.shows(*[25_000] * 3) == 25_000


def test_a_step_of_the_wall_clock_changes_nothing(bench: Bench) -> None:
    bench.unix_s += 30 * DAY_S
    assert bench.shows(900_000, 900_000, 900_000) == 1000


def test_a_register_that_comes_to_its_end_wraps() -> None:
    bench = Bench(reset_enabled=False)
    bench.recalls()
    bench.shows(*[9_999_990] * 3)
    assert bench.shows(3, 4, 5, watts=10_000) == 10_000_005


def test_values_that_never_agree_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.recalls()
    for _ in range(200):
        assert bench.shows(900_000, 100) is None
    assert caplog.text.count("no two values") == 1


class TestStandingStill:
    def test_it_is_bridged_by_the_power(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.shows(1001, watts=3600)
        with caplog.at_level(logging.INFO):
            for _ in range(11):
                assert bench.shows(1001, watts=3600) == 1001
                assert bench.energy == MeterEnergy(1001, estimated=False)
            assert bench.shows(1001, watts=3600) == 1061
            assert bench.energy == MeterEnergy(1061, estimated=True, is_stuck=True)
            assert bench.shows(1001, watts=3600) == 1066
            # 5 Wh of the last cycle are estimated too, and the register's one is in them.
            assert bench.shows(1002, watts=3600) == 1071
            assert bench.energy == MeterEnergy(1071, estimated=True)
            assert bench.shows(1007, watts=3600) == 1076
            assert bench.energy == MeterEnergy(1076, estimated=False)
        assert caplog.text.count("stands still") == caplog.text.count("moves again") == 1

    def test_what_it_catches_up_is_not_counted_twice(self, bench: Bench) -> None:
        bench.shows(*[1001] * 62, watts=3600)
        assert bench.energy == MeterEnergy(1001 + 61 * 5, estimated=True, is_stuck=True)
        assert bench.shows(1001 + 62 * 5, watts=3600) is None
        assert bench.shows(*[1001 + 63 * 5] * 3, watts=3600) == 1001 + 63 * 5
        assert bench.energy == MeterEnergy(1001 + 63 * 5, estimated=False)

    def test_an_estimate_that_is_shown_later_is_marked_then(self, bench: Bench) -> None:
        bench.shows(*[1001] * 62, watts=3600)  # 1306 with what is estimated
        assert bench.shows(1251, 1251, watts=3600) is None  # as after a false reading
        assert not bench.energy.estimated
        assert bench.shows(1251, watts=0) == 1311  # by power up to the first of them
        assert bench.energy == MeterEnergy(1311, estimated=True)
        assert bench.shows(1251, watts=0) == 1311
        assert bench.energy == MeterEnergy(1311, estimated=False)

    def test_a_short_one_is_caught_up_too(self, bench: Bench) -> None:
        """With a meter that shows its count each minute, say."""
        bench.shows(*[1001] * 8, watts=20_000)
        assert bench.shows(1217, watts=20_000) is None
        assert bench.shows(1245, 1273, watts=20_000) == 1273

    def test_a_gap_after_it_is_judged_as_any_other(self, bench: Bench) -> None:
        bench.shows(*[1001] * 21, watts=3600)
        bench.pass_by(3600)
        assert bench.shows(9001, 9001, 9001) == 9001
        bench.lifetime.replaced("mainA")
        assert bench.shows(9001) == 9001  # the new meter's 7900 Wh are made up for
        bench.pass_by(7200)
        assert bench.shows(16_911, 16_911, 16_911) == 9011

    def test_gaps_are_not_bridged(self, bench: Bench) -> None:
        bench.shows(*[1001] * 21, watts=3600)
        bench.pass_by(600)
        assert bench.shows(1001, watts=3600) == 1101
        bench.pass_by(10)  # two slots are missing
        assert bench.shows(1001, watts=3600) == 1116

    @pytest.mark.parametrize(
        ("interval_s", "before_w", "after_w", "slots"),
        [(5, 23_000, 30, 23), (30, 3000, 25, 4), (60, 3000, 15, 3)],
    )
    def test_a_load_that_ends_right_after_a_reading_is_no_standstill(
        self, interval_s: int, before_w: float, after_w: float, slots: int
    ) -> None:
        bench = Bench(interval_s=interval_s)
        bench.recalls()
        bench.shows(1000, 1000, 1000)
        bench.shows(1000, watts=before_w)
        bench.shows(*[1000] * slots, watts=after_w)  # its next Wh is not due yet
        assert bench.energy == MeterEnergy(1000, estimated=False)

    def test_without_load_it_is_no_fault(self, bench: Bench) -> None:
        bench.shows(*[1000] * 10_000, watts=9.9)
        assert bench.energy == MeterEnergy(1000, estimated=False)

    def test_a_reset_after_it_loses_nothing(self, bench: Bench) -> None:
        bench.shows(*[1001] * 21, watts=3600)
        assert bench.shows(0, 0, 0) == 1101

    def test_it_goes_on_over_a_restart(self, bench: Bench) -> None:
        bench.shows(*[1001] * 21, watts=3600)
        bench.restart()
        assert bench.shows(1001, watts=3600) == 1101
        assert bench.energy.estimated
        assert bench.shows(1001, watts=3600) == 1106
        assert bench.shows(1112, 1113, 1114) == 1114  # and had counted all the time

    def test_what_was_bridged_before_a_kill_is_in_the_database(self, bench: Bench) -> None:
        bench.shows(*[1001] * 14, watts=3600)  # kept when it was noticed, at 1061
        stored = bench.shows(*[1001] * 60, watts=3600)
        unix_s = bench.unix_s
        bench.restart(killed=True)
        assert bench.shows(1001, watts=3600) is None
        bench.recalls(energy_wh=1001, lifetime_wh=stored, unix_s=unix_s)
        assert stored == 1001 + 73 * 5
        assert bench.shows(1001, watts=3600) == stored + 5
        assert bench.shows(1001 + 78 * 5, *[1001 + 79 * 5] * 3) == 1001 + 79 * 5


class TestRestart:
    def test_after_a_good_end_nobody_is_asked(self, bench: Bench) -> None:
        bench.restart()
        assert bench.shows(1001) == 1001
        bench.restart()
        assert bench.shows(0, 0, 0) == 1001

    def test_a_good_end_is_not_claimed_for_what_follows(self, bench: Bench) -> None:
        bench.restart()
        bench.shows(1001)
        bench.restart(killed=True)
        assert bench.shows(0, 0, 0, 0) is None

    def test_a_reset_while_it_was_down_counts_from_the_databases_word(self, bench: Bench) -> None:
        stored_s = bench.unix_s + 300
        bench.pass_by(600)
        bench.start()  # killed, and the file is older than the database
        bench.shows(5, 5, 5)
        bench.recalls(energy_wh=1200, lifetime_wh=1200, unix_s=stored_s)
        assert bench.shows(6) == 1206

    def test_without_a_database_the_file_is_enough_after_a_while(self, bench: Bench) -> None:
        bench.restart(killed=True)
        assert bench.shows(1001) is None
        assert bench.shows(*[1001] * 24) == 1001

    def test_a_late_word_that_knows_more_is_taken(self, bench: Bench) -> None:
        unix_s = bench.unix_s
        bench.restart(killed=True)
        bench.shows(*[1001] * 30)
        bench.recalls(energy_wh=1000, lifetime_wh=1500, unix_s=unix_s)
        assert bench.shows(1001) == 1501

    def test_words_of_this_run_change_nothing(self, bench: Bench) -> None:
        bench.restart(killed=True)
        shown = bench.shows(*range(1001, 1040))
        bench.recalls(energy_wh=1030, lifetime_wh=1030, unix_s=bench.unix_s - 45)
        assert bench.shows(1040) == (shown or 0) + 1

    def test_an_older_database_changes_nothing(self, bench: Bench) -> None:
        bench.restart(killed=True)
        bench.recalls(energy_wh=10, lifetime_wh=10, unix_s=bench.unix_s - 30 * DAY_S)
        assert bench.shows(1001) == 1001

    def test_a_lost_file_is_made_good_by_the_database(self, bench: Bench) -> None:
        unix_s = bench.unix_s
        bench.card.text = None
        bench.restart(killed=True)
        bench.shows(*range(1001, 1005))
        bench.recalls(energy_wh=1000, lifetime_wh=77_000, unix_s=unix_s)
        assert bench.shows(1005) == 77_005

    def test_two_words_in_turn_are_both_heard(self, bench: Bench) -> None:
        """Killed while the register stood still; the spool knows some, the database all."""
        bench.shows(*[1001] * 14, watts=3600)
        bench.restart(killed=True)
        for complete, lifetime_wh in ((False, 1100.0), (True, 1200.0)):
            word = Recalled(1001, lifetime_wh, bench.unix_s - 10)
            bench.lifetime.recalled({"mainA": word}, is_complete=complete)
        assert bench.shows(1001, watts=3600) == 1200
        assert bench.shows(1001, watts=3600) == 1205

    def test_what_waits_in_the_spool_is_heard_but_not_the_last_word(self, bench: Bench) -> None:
        unix_s = bench.unix_s
        bench.card.text = None
        bench.restart(killed=True)
        word = Recalled(1000, 5000, unix_s)
        bench.lifetime.recalled({"mainA": word}, is_complete=False)
        assert bench.shows(1001) is None
        bench.recalls(energy_wh=900, lifetime_wh=4900, unix_s=unix_s - 100)
        assert bench.shows(1001) == 5001

    def test_a_reset_in_a_backlog_is_not_concluded_from_what_was_before_it(
        self, bench: Bench
    ) -> None:
        """The register was reset after the database's last word, and the file is lost."""
        unix_s = bench.unix_s
        bench.card.text = None
        bench.restart(killed=True)
        before = Recalled(900, 4900, unix_s - 600)
        bench.lifetime.recalled({"mainA": before}, is_complete=False)
        assert bench.shows(*[50] * 40) is None
        bench.recalls(energy_wh=20, lifetime_wh=5020, unix_s=unix_s)
        assert bench.shows(51) == 5051

    def test_a_meter_stored_without_lifetime_energy_begins_with_its_register(self) -> None:
        bench = Bench()
        bench.recalls(energy_wh=400, lifetime_wh=None, unix_s=NOON_S)
        assert bench.shows(410, 410, 410) == 410

    @pytest.mark.parametrize(
        "damage",
        [
            {"register_wh": "much"},
            {"lifetime_wh": float("nan")},
            {"moment": None},
            {"bridged_wh": None},
        ],
    )
    def test_an_entry_that_cannot_be_used_is_as_good_as_lost(
        self, bench: Bench, damage: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.lifetime.close()
        kept = bench.card.load()
        assert kept is not None
        kept["meters"]["mainA"]["known"] |= damage
        bench.card.text = json.dumps(kept)
        bench.start()
        assert bench.shows(1001, 1001, 1001) is None
        assert "cannot be used" in caplog.text
        bench.recalls(energy_wh=1000, lifetime_wh=2000, unix_s=NOON_S)
        assert bench.shows(1001) == 2001

    @pytest.mark.parametrize("kept", [{}, {"meters": 4, "requests": 5}, {"meters": {"mainA": []}},
                                      {"meters": {"mainA": {"known": 7}}}])  # fmt: skip
    def test_a_file_of_another_shape_is_as_good_as_lost(self, kept: dict[str, Any]) -> None:
        bench = Bench(Card(kept))
        bench.recalls()
        assert bench.shows(3, 3, 3) == 3

    def test_a_meter_that_is_taken_out_is_remembered(self, bench: Bench) -> None:
        bench.shows(1000)
        bench.shows(0, 0, 0)
        bench.lifetime.close()
        other = dataclasses.replace(MAIN, name="other")
        Lifetime([other], 5, bench.card).replaced("other")
        bench.start()
        bench.recalls()
        assert bench.shows(1) == 1001


class TestCard:
    def test_it_is_written_each_hour_and_not_each_cycle(self, bench: Bench) -> None:
        before = bench.card.saves
        bench.shows(*[1000 + slot // 10 for slot in range(6 * 720)])
        assert bench.card.saves - before == 6

    def test_a_change_is_kept_at_once(self, bench: Bench) -> None:
        before = bench.card.saves
        bench.shows(0, 0, 0)
        assert bench.card.saves == before + 1
        assert (bench.card.known["register_wh"], bench.card.known["lifetime_wh"]) == (0, 1000)

    def test_a_card_that_takes_nothing_holds_nothing_up(self, bench: Bench) -> None:
        bench.card.is_read_only = True
        assert bench.shows(0, 0, 0, 1) == 1001
        assert bench.card.waited_s == 0

    def test_an_end_before_the_first_slot_keeps_what_was(self, bench: Bench) -> None:
        bench.restart()
        text = bench.card.text
        bench.restart()
        assert bench.card.text == text


class TestResetByTheCollector:
    @pytest.fixture
    def full(self) -> Bench:
        bench = Bench()
        bench.recalls()
        bench.shows(*[9_899_999] * 3)
        return bench

    def test_it_is_due_at_9900_kwh(self, full: Bench, caplog: pytest.LogCaptureFixture) -> None:
        assert full.lifetime.resets_due() == []
        full.shows(9_900_000)
        with caplog.at_level(logging.INFO):
            assert full.lifetime.resets_due() == ["mainA"]
        assert "has come to 9900.000 kWh and is set to zero" in caplog.text
        assert full.card.known["reset_sent"]
        assert full.shows(1) == 9_900_001  # expected, and so believed at once
        assert full.lifetime.resets_due() == []
        assert not full.card.known["reset_sent"]

    def test_not_before_anything_was_read(self) -> None:
        assert Bench().lifetime.resets_due() == []

    def test_not_when_this_slot_brought_no_reading(self, full: Bench) -> None:
        full.shows(9_900_000)
        full.pass_by(5)
        full.lifetime.take(Sample(full.moment, {"mainA": Silent()}))
        assert full.lifetime.resets_due() == []

    def test_not_while_the_lifetime_energy_is_unknown(self) -> None:
        bench = Bench()
        bench.shows(*[9_900_000] * 4)
        assert bench.lifetime.resets_due() == []

    def test_one_that_fails_is_tried_again_and_said_once(
        self, full: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        asked = 0
        with caplog.at_level(logging.INFO):
            for slot in range(300):
                full.shows(9_900_000 + slot // 8)
                asked += full.lifetime.resets_due() == ["mainA"]
        assert asked == 3
        assert caplog.text.count("was not set to zero") == 1
        assert caplog.text.count("and is set to zero") == 1

    def test_a_power_cut_right_after_it_loses_nothing(self, full: Bench) -> None:
        full.shows(9_900_000)
        full.lifetime.resets_due()
        full.reboot(300 * DAY_S)
        assert full.shows(*[6_000_000] * 3) == 15_900_000

    def test_another_meter_in_between_is_not_taken_for_it(self, full: Bench) -> None:
        full.shows(9_900_000)
        full.lifetime.resets_due()
        assert full.shows(*[4_000_000] * 3) == 9_900_000

    def test_it_waits_for_a_card_that_can_keep_it(self, full: Bench) -> None:
        full.card.is_read_only = True
        full.shows(9_900_000)
        assert full.lifetime.resets_due(wait_s=0.7) == []
        assert full.card.waited_s == 0.7
        full.shows(9_900_002)
        full.card.is_read_only = False
        assert full.lifetime.resets_due() == []
        assert full.card.is_saved()
        assert not full.card.known["reset_sent"], "what was given up is not kept as done"
        full.pass_by(account.RESET_RETRY_S)
        full.shows(9_900_010)
        assert full.lifetime.resets_due() == ["mainA"]

    def test_it_does_not_wait_until_the_register_ends(self) -> None:
        bench = Bench()
        bench.recalls()
        bench.card.is_read_only = True
        bench.shows(*[9_990_000] * 3)
        assert bench.lifetime.resets_due() == ["mainA"]

    def test_switched_off_it_is_only_said(self, caplog: pytest.LogCaptureFixture) -> None:
        bench = Bench(reset_enabled=False)
        bench.recalls()
        for _ in range(5):
            bench.shows(9_900_000)
            assert bench.lifetime.resets_due() == []
        assert caplog.text.count("nears its end") == 1

    def test_a_register_that_stopped_at_its_end_is_bridged_and_reset(self) -> None:
        bench = Bench()
        bench.recalls()
        assert bench.shows(*[9_999_999] * 23, watts=3600) == 9_999_999 + 22 * 5
        assert bench.lifetime.resets_due() == ["mainA"]
        assert bench.shows(5, watts=3600) == 9_999_999 + 22 * 5 + 5


class TestReplaced:
    def test_said_before(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            bench.lifetime.replaced("mainA")
            assert bench.shows(1001) == 1001
            bench.pass_by(900)
            assert bench.shows(3000, 3001, 3002) == 1003  # a step that could be true
        assert caplog.text.count("is to be replaced") == caplog.text.count("a new meter") == 1

    def test_said_after(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        bench.pass_by(900)
        assert bench.shows(3000, 3000, 3000) == 3000
        with caplog.at_level(logging.INFO):
            bench.lifetime.replaced("mainA")
        assert bench.shows(3001) == 3000
        assert "2.000 kWh were counted that the new meter had" in caplog.text

    def test_what_was_counted_by_mistake_is_made_up_for(self, bench: Bench) -> None:
        bench.pass_by(900)
        bench.shows(3000, 3000, 3000)
        bench.lifetime.replaced("mainA")
        assert bench.shows(3010) == 3000
        bench.restart()
        bench.pass_by(3600)
        assert bench.shows(4990, 4990, 4990) == 3000
        assert bench.shows(5010) == 3010

    @pytest.mark.parametrize("restarts", [False, True])
    def test_said_before_while_the_old_one_is_not_read_now_and_then(
        self, bench: Bench, restarts: bool
    ) -> None:
        """Its cable is loose, say: what it counts unread is no new meter's."""
        bench.shows(1000, watts=1000)
        bench.pass_by(3 * 3600)
        assert bench.shows(4000, 4000, 4000, watts=1000) == 4000
        bench.lifetime.replaced("mainA")
        assert bench.shows(4000, watts=1000) == 4000
        if restarts:
            bench.restart()
        bench.pass_by(3 * 3600)
        assert bench.shows(7000, 7001, 7002, watts=1000) == 7002
        bench.pass_by(900)
        assert bench.shows(700, 701, 702) == 7004

    def test_what_was_seen_is_said(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        bench.shows(500_000, 500_000, 500_000)
        with caplog.at_level(logging.INFO):
            bench.lifetime.replaced("mainA")
        assert "was seen, and is reckoned with" in caplog.text
        assert bench.shows(500_001) == 1001

    def test_a_new_meter_is_not_waited_for_for_ever(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.lifetime.replaced("mainA")
        bench.pass_by(3 * DAY_S)
        with caplog.at_level(logging.INFO):
            bench.shows(1001)
        assert "waited for no longer" in caplog.text
        bench.pass_by(900)
        assert bench.shows(3001, 3001, 3001) == 3001

    def test_a_break_of_long_ago_is_another_matter(self, bench: Bench) -> None:
        bench.pass_by(900)
        bench.shows(3000, 3000, 3000)
        bench.pass_by(3 * DAY_S)
        bench.shows(3001)
        bench.lifetime.replaced("mainA")
        assert bench.shows(3010) == 3010

    def test_said_while_the_collector_was_stopped(self, bench: Bench) -> None:
        bench.restart(off_s=3600)
        bench.lifetime.replaced("mainA")
        assert bench.shows(9000, 9001, 9002) == 1002

    def test_after_a_kill_the_databases_word_is_waited_for(self, bench: Bench) -> None:
        """The file is old, and what the old meter counted since then is on no register."""
        bench.lifetime.replaced("mainA")
        unix_s = bench.unix_s
        assert bench.shows(1020) == 1020
        bench.restart(killed=True, off_s=3600)
        assert bench.shows(*[3000] * 30) is None
        bench.recalls(energy_wh=1020, lifetime_wh=1020, unix_s=unix_s + 5)
        assert bench.shows(3001) == 1021

    def test_said_while_it_was_stopped_and_replaced_later(self, bench: Bench) -> None:
        bench.restart()
        bench.lifetime.replaced("mainA")
        assert bench.shows(1001) == 1001
        bench.restart()
        assert bench.shows(1001) == 1001
        bench.pass_by(900)
        assert bench.shows(3000, 3000, 3001) == 1002

    def test_a_little_fall_is_not_the_new_meter(self, bench: Bench) -> None:
        bench.lifetime.replaced("mainA")
        assert bench.shows(999, 999, 999) == 1000
        bench.pass_by(900)
        assert bench.shows(3000, 3000, 3000) == 1000

    def test_a_request_is_met_once(self, bench: Bench) -> None:
        bench.lifetime.replaced("mainA", "request 1")
        bench.shows(200, 200, 200)
        bench.restart()
        bench.lifetime.replaced("mainA", "request 1")
        bench.shows(200)
        bench.pass_by(900)
        assert bench.shows(2200, 2200, 2200) == 3000

    def test_an_unknown_meter_is_said(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        bench.lifetime.replaced("mainZ", "request 2")
        assert "there is no such meter" in caplog.text

    def test_the_date_of_a_time_in_which_it_was_off(self, bench: Bench) -> None:
        """The Pi was off for two months; the electrician came in the first."""
        bench.lifetime.close()
        bench.pass_by(60 * DAY_S)
        meter = dataclasses.replace(MAIN, replaced=date(2027, 3, 20))
        bench.start(meter)
        assert bench.shows(400_000, 400_000, 400_001) == 1001
        bench.restart(meter=meter)
        bench.pass_by(60 * DAY_S)
        assert bench.shows(800_001, 800_001, 800_001) == 401_001  # the date is met once

    def test_the_date_of_a_day_on_which_it_was_seen(self, bench: Bench) -> None:
        bench.pass_by(900)
        assert bench.shows(3000, 3000, 3000) == 3000
        bench.restart(meter=dataclasses.replace(MAIN, replaced=DAY))
        assert bench.shows(3001) == 3000
        bench.pass_by(900)
        assert bench.shows(5010, 5010, 5010) == 3010

    def test_a_date_of_long_ago_changes_nothing(self, bench: Bench) -> None:
        bench.restart(meter=dataclasses.replace(MAIN, replaced=date(2026, 1, 1)))
        bench.shows(1001)
        bench.pass_by(900)
        assert bench.shows(3001, 3001, 3001) == 3001

    def test_a_date_after_which_it_was_read_does_not_explain_a_gap(self, bench: Bench) -> None:
        bench.lifetime.close()
        bench.pass_by(60 * DAY_S)
        bench.start(dataclasses.replace(MAIN, replaced=date(2027, 1, 1)))
        assert bench.shows(400_000, 400_000, 400_000) == 400_000

    def test_a_date_and_a_lost_file(self, bench: Bench) -> None:
        """The date is read anew then, and must not be met again."""
        unix_s = bench.unix_s
        bench.card.text = None
        bench.pass_by(40 * DAY_S)
        bench.start(dataclasses.replace(MAIN, replaced=date(2027, 1, 1)))
        bench.recalls(energy_wh=1000, lifetime_wh=7000, unix_s=unix_s)
        assert bench.shows(500_000, 500_000, 500_000) == 506_000

    def test_a_date_to_come_is_waited_for(self, bench: Bench) -> None:
        bench.restart(meter=dataclasses.replace(MAIN, replaced=date(2027, 3, 14)))
        bench.shows(1001)
        bench.pass_by(4 * DAY_S)
        assert bench.shows(90_000, 90_000, 90_000) == 1001
