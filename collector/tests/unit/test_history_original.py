"""What a row of ALL_SENSORS says, and what its register has counted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pzem.history.original import (
    Integral,
    Register,
    Shown,
    base_wh,
    bridged_wh,
    fields_of,
    judge,
    judge_cpu,
    weigh,
)
from pzem.levels import NS
from pzem.testing.original import OriginalHistory

GOOD = (120.0, 5.0, 600.0, 1.0, 1234.0)


def changed(**values: object) -> list[object]:
    names = ("volts", "amps", "watts", "power_factor", "count")
    return [values.get(name, good) for name, good in zip(names, GOOD, strict=True)]


class TestJudge:
    def test_a_reading(self) -> None:
        shown = judge(7, GOOD, 1.0)
        assert shown == Shown(7, 120.0, 5.0, 600.0, 1.0, 1234.0)
        assert isinstance(shown, Shown)
        assert shown.volt_amps == 600.0

    def test_counts_become_watt_hours(self) -> None:
        shown = judge(7, changed(count=12.34), 1000.0)
        assert isinstance(shown, Shown)
        assert shown.energy_wh == 12_340.0

    def test_nothing_was_read(self) -> None:
        assert judge(7, [None] * 5, 1.0) is None

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            (changed(volts=None), "some fields missing"),
            (changed(count=None), "some fields missing"),
            (changed(watts="much"), "not a number"),
            (changed(watts=True), "not a number"),
            ([0, 0, 0, 0, 0], "zero volts, so nothing was measured"),
            (changed(volts=0.0), "zero volts, so nothing was measured"),
            (changed(volts=79.9), "volts out of range"),
            (changed(volts=260.1), "volts out of range"),
            (changed(amps=100.001), "amps out of range"),
            (changed(amps=-0.001), "amps out of range"),
            (changed(watts=23_000.1), "watts out of range"),
            (changed(power_factor=1.01), "power factor out of range"),
            (changed(count=10_000_000.0), "energy out of range"),
            (changed(count=-1.0), "energy out of range"),
            (changed(watts=1161.0), "watts do not fit volts, amps and power factor"),
            (changed(amps=50.0), "watts do not fit volts, amps and power factor"),
        ],
    )
    def test_what_cannot_be_true(self, values: Sequence[object], reason: str) -> None:
        assert judge(7, values, 1.0) == reason

    @pytest.mark.parametrize(
        "values",
        [
            changed(volts=80.0, amps=7.5),
            changed(volts=260, amps=100, watts=23_000, power_factor=0.88),
            changed(amps=0, watts=0, power_factor=0),
            changed(watts=1159.0),
        ],
    )
    def test_what_can(self, values: Sequence[object]) -> None:
        assert isinstance(judge(7, values, 1.0), Shown)

    def test_the_order_of_fields(self) -> None:
        assert fields_of("MAIN-A") == (
            "MAIN-A_VOLT",
            "MAIN-A_AMPS",
            "MAIN-A_WATT",
            "MAIN-A_PZPF",
            "MAIN-A_WHRS",
        )

    @pytest.mark.parametrize(
        ("value", "judged"),
        [
            (48.3, 48.3),
            (48, 48.0),
            (None, None),
            (151.0, "CPU temperature out of range"),
            (-61.0, "CPU temperature out of range"),
            ("warm", "not a number"),
            (True, "not a number"),
        ],
    )
    def test_the_processor(self, value: object, judged: object) -> None:
        assert judge_cpu(value) == judged


def at(second: float, energy_wh: float) -> Shown:
    return Shown(int(second * NS), 120.0, 5.0, 600.0, 1.0, energy_wh)


def followed(steps: Iterable[tuple[float, float]]) -> tuple[Register, list[tuple[float, float]]]:
    """Return the register, and time and growth of each reading that is true."""
    register = Register()
    taken = [pair for second, energy_wh in steps for pair in register.take(at(second, energy_wh))]
    taken += register.end()
    return register, [(shown.time_ns / NS, grown_wh) for shown, grown_wh in taken]


class TestRegister:
    def test_counts_on(self) -> None:
        register, taken = followed([(0, 100), (5, 101), (10, 101), (15, 104)])
        assert taken == [(0, 0), (5, 1), (10, 1), (15, 4)]
        assert (register.first_wh, register.resets, register.dropped) == (100, 0, 0)

    def test_a_reset_goes_on_with_what_is_counted_since(self) -> None:
        register, taken = followed([(0, 100), (5, 101), (10, 2), (15, 4)])
        assert taken == [(0, 0), (5, 1), (10, 3), (15, 5)]
        assert register.resets == 1

    def test_a_reset_in_a_gap(self) -> None:
        register, taken = followed([(0, 5_000_000), (86_400, 40_000), (86_405, 40_001)])
        assert taken[-1] == (86_405, 40_001)
        assert register.resets == 1

    @pytest.mark.parametrize("energy_wh", [0, 9_000_000])
    def test_one_reading_out_of_line_is_dropped(self, energy_wh: float) -> None:
        register, taken = followed([(0, 100_000), (5, energy_wh), (10, 100_001)])
        assert taken == [(0, 0), (10, 1)]
        assert (register.resets, register.uncounted, register.dropped) == (0, 0, 1)

    def test_of_two_that_fit_nothing_the_later_is_asked_further(self) -> None:
        register, taken = followed(
            [(0, 100_000), (5, 9_000_000), (10, 50_000), (15, 50_001), (20, 50_002)]
        )
        assert [second for second, _ in taken] == [0, 10, 15, 20]
        assert taken[-1] == (20, 2)
        assert (register.uncounted, register.dropped) == (1, 1)

    @pytest.mark.parametrize("energy_wh", [300_000, 900_000])
    def test_another_meter_in_its_place_is_not_counted(self, energy_wh: float) -> None:
        register, taken = followed([(0, 500_000), (60, energy_wh), (65, energy_wh + 1)])
        assert taken == [(0, 0), (60, 0), (65, 1)]
        assert (register.resets, register.uncounted) == (0, 1)

    def test_a_step_at_the_very_end_is_true(self) -> None:
        register, taken = followed([(0, 100), (5, 2)])
        assert taken == [(0, 0), (5, 2)]
        assert register.end() == []

    def test_full_load_is_possible_and_more_is_not(self) -> None:
        assert bridged_wh(at(0, 0), 3600 * NS, 23_000) == 23_000
        assert bridged_wh(at(0, 0), 3600 * NS, 23_021) is None
        assert bridged_wh(at(0, 10), 3600 * NS, 9) == 9
        assert bridged_wh(at(0, 90_000), 3600 * NS, 80_000) is None

    @given(
        rises=st.lists(st.integers(0, 19), max_size=40),
        resets=st.sets(st.integers(0, 40)),
        glitches=st.dictionaries(st.integers(2, 38), st.sampled_from([0, 9_000_000]), max_size=3),
        cut=st.integers(0, 40),
    )
    def test_nothing_is_invented(
        self, rises: list[int], resets: set[int], glitches: dict[int, int], cut: int
    ) -> None:
        """Growth is what was consumed, less at most what a reset has swallowed."""
        register_wh, consumed_wh, swallowed_wh = 200_000, 0, 0
        register = Register()
        taken = register.take(at(0, register_wh))
        resets = {
            number for number in resets if not glitches.keys() & {number - 1, number, number + 1}
        }
        resets = {number for number in resets if not resets & {number - 1, number - 2}}
        for number, rise in enumerate(rises):
            if number == cut:
                register = Register(json.loads(json.dumps(register.kept())))
            consumed_wh += rise
            register_wh += rise
            if number in resets:
                register_wh = 0
                swallowed_wh += rise
            shown_wh = glitches.get(number, register_wh)
            taken += register.take(at(5 * (number + 1), shown_wh))
        taken += register.end()
        growths = [grown_wh for _, grown_wh in taken]
        assert growths == sorted(growths)
        assert growths[-1] <= consumed_wh
        if not glitches:
            assert growths[-1] >= consumed_wh - swallowed_wh - 20 * len(resets)
            assert len(taken) == len(rises) + 1
        times = [shown.time_ns for shown, _ in taken]
        assert times == sorted(set(times))


def integrals(history: OriginalHistory, meters: Sequence[str]) -> dict[str, Integral]:
    found = {meter: Integral() for meter in meters}
    for time_ns, post in history.rows():
        for meter, integral in found.items():
            if f"{meter}_VOLT" in post:
                watts, count = post[f"{meter}_WATT"], post[f"{meter}_WHRS"]
                assert isinstance(watts, float)
                assert isinstance(count, float)
                integral.take(time_ns, watts, count)
    return found


class TestUnit:
    @pytest.mark.parametrize(
        ("unit", "count_wh", "decimals"),
        [
            ("Wh", 1.0, 0),
            ("kWh", 1000.0, 3),
            ("kWh", 1000.0, 2),
            ("10 Wh", 10.0, 0),
            ("100 Wh", 100.0, 2),
            ("0.1 Wh", 0.1, 0),
        ],
    )
    def test_is_told_by_the_watts(self, unit: str, count_wh: float, decimals: int) -> None:
        history = OriginalHistory(
            0,
            86_400,
            count_wh=count_wh,
            decimals=decimals,
            resets=(("MAIN-A", 30_000), ("MAIN-B", 50_000)),
            off=((40_000, 60_000),),
            on_generator=((70_000, 75_000),),
        )
        evidence = weigh(integrals(history, ("MAIN-A", "MAIN-B", "GEN")))
        assert evidence.unit == unit
        assert evidence.share > 0.95
        assert evidence.stretches > 100
        assert f"{evidence.stretches} stretches" in evidence.words

    def test_too_little_tells_nothing(self) -> None:
        evidence = weigh(integrals(OriginalHistory(0, 900), ("MAIN-A", "MAIN-B")))
        assert evidence.unit is None
        assert "too few to tell" in evidence.words

    def test_a_register_that_stands_still_tells_nothing(self) -> None:
        integral = Integral()
        for second in range(0, 20_000, 5):
            integral.take(second * NS, 1000.0, 77.0)
        assert weigh({"MAIN-A": integral}).unit is None

    def test_meters_that_contradict_each_other_tell_nothing(self) -> None:
        one = integrals(OriginalHistory(0, 40_000), ("MAIN-A",))
        other = integrals(OriginalHistory(0, 40_000, count_wh=1000.0, decimals=3), ("MAIN-B",))
        evidence = weigh({**one, **other})
        assert evidence.unit is None
        assert "MAIN-A 1" in evidence.words
        assert evidence.share < 0.8

    def test_a_ratio_that_is_no_unit_tells_nothing(self) -> None:
        history = OriginalHistory(0, 40_000, count_wh=4.0, decimals=2)
        assert weigh(integrals(history, ("MAIN-A",))).unit is None

    def test_nothing_is_integrated_over_a_gap_or_across_an_interruption(self) -> None:
        integral = Integral()
        for second in (0, 61, 122, 3600):
            integral.take(second * NS, 20_000.0, 0.0)
        integral.interrupt()
        integral.take(3605 * NS, 20_000.0, 0.0)
        assert integral.stretches == []
        integral.take(3665 * NS, 20_000.0, 333.0)
        assert len(integral.stretches) == 1


class TestLifetime:
    REGISTER = followed([(0, 5000), (3600, 5900), (7200, 300), (7205, 301)])[0]
    """Has counted 900 + 301 Wh and shows 301 Wh."""

    def test_is_counted_back_from_the_live_one(self) -> None:
        assert base_wh(self.REGISTER, (10_000 * NS, 401, 50_000), any_live=True) == (
            50_000 - 100 - 1201
        )

    def test_over_a_reset_before_the_live_one(self) -> None:
        assert base_wh(self.REGISTER, (10_000 * NS, 50, 50_000), any_live=True) == (
            50_000 - 50 - 1201
        )

    def test_a_gap_that_cannot_be_bridged_counts_nothing(self) -> None:
        live = (7210 * NS, 900_000.0, 900_000.0)
        assert base_wh(self.REGISTER, live, any_live=True) == 900_000 - 1201

    def test_may_come_out_below_zero(self) -> None:
        assert base_wh(self.REGISTER, (10_000 * NS, 401, 401), any_live=True) == -900

    def test_before_any_live_reading_it_begins_with_the_register(self) -> None:
        assert base_wh(self.REGISTER, None, any_live=False) == 5000

    def test_of_a_meter_that_is_not_live_yet_it_ends_with_the_register(self) -> None:
        assert base_wh(self.REGISTER, None, any_live=True) == 301 - 1201

    def test_without_a_reading_there_is_nothing_to_count(self) -> None:
        assert base_wh(Register(), (0, 1.0, 2.0), any_live=True) == 0


class TestGenerator:
    def test_the_same_seed_makes_the_same_history(self) -> None:
        one = list(OriginalHistory(0, 3600, seed=3).lines())
        assert one == list(OriginalHistory(0, 3600, seed=3).lines())
        assert one != list(OriginalHistory(0, 3600, seed=4).lines())

    def test_three_per_cent_of_the_slots_are_missed(self) -> None:
        times = [time_ns for time_ns, _ in OriginalHistory(0, 86_400).rows()]
        assert 0.96 < len(times) / 17_280 < 0.98
        assert all(b - a > 5 * NS for a, b in itertools.pairwise(times))
        assert any(time_ns % NS for time_ns in times)

    def test_legs_or_generator(self) -> None:
        history = OriginalHistory(0, 3600, on_generator=((1000, 2000),))
        for time_ns, post in history.rows():
            on_generator = 1000 <= time_ns / NS < 2000
            assert ("GEN_VOLT" in post) is on_generator
            assert ("MAIN-A_WHRS" in post) is not on_generator
            assert "T_cpu" in post
