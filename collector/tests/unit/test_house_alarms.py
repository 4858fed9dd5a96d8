"""The conditions for alarms: when they come, when they go, and what they say."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from houses import (
    BOTH,
    DARK,
    FAULTY,
    GENERATOR,
    GENERATOR_ONLY,
    IDLE,
    ONE_LEG,
    OVEN,
    OWN,
    PANEL,
    SILENT,
    SYSTEM,
    THREE_PHASES,
    UTILITY,
    Life,
    Slots,
    active,
    known,
    moment,
    settings_of,
    shows,
)
from pzem.config import HouseSettings, MeterSettings
from pzem.house import AlarmState, House, Meaning, Sample
from pzem.house.thresholds import Lasting, Latch, Limit, Streak, Verdict, volts_high, volts_low
from pzem.meter import NO_PORT, NOT_ASKED, PORT_BUSY, PORT_FAILED, Faulty, Outcome, Silent
from pzem.testing import ORIGINAL_WIRING, SimulatedHouse, State, Wiring

OWN_RUNNING = (SILENT, SILENT, shows(8))
OWN_STOPPED = (shows(5), shows(3), SILENT)
QUIET = (IDLE, IDLE, IDLE)
SETTINGS = HouseSettings(generator_va=1000.0)


def house(meters: Sequence[MeterSettings] = PANEL, settings: HouseSettings = SETTINGS) -> Slots:
    return Slots(House(meters, settings), meters)


def cause(meaning: Meaning, kind: str, meter: str = "") -> str:
    (alarm,) = [a for a in meaning.alarms if (a.kind, a.meter) == (kind, meter)]
    assert alarm.active
    return alarm.cause


def until_active(slots: Slots, name: str, shown: Sequence[Outcome], limit_s: float = 900) -> float:
    """Return after how many seconds of `shown` the condition is active."""
    for slot, meaning in enumerate(slots.each(shown, limit_s)):
        if name in active(meaning):
            return slot * slots.interval_s
    raise AssertionError(f"{name} did not become active")


def until_over(slots: Slots, name: str, shown: Sequence[Outcome], limit_s: float = 900) -> float:
    for slot, meaning in enumerate(slots.each(shown, limit_s)):
        if name not in active(meaning):
            return slot * slots.interval_s
    raise AssertionError(f"{name} did not end")


# The waits


LIMIT = Limit(on=10, off=8, on_s=10, off_s=20, source="test")


@pytest.mark.parametrize(
    ("limit", "value", "verdict"),
    [
        (LIMIT, 10.0, Verdict.YES),
        (LIMIT, 9.99, Verdict.BETWEEN),
        (LIMIT, 8.01, Verdict.BETWEEN),
        (LIMIT, 8.0, Verdict.NO),
        (LIMIT, None, Verdict.UNKNOWN),
        (replace(LIMIT, on=8, off=10), 8.0, Verdict.YES),
        (replace(LIMIT, on=8, off=10), 9.0, Verdict.BETWEEN),
        (replace(LIMIT, on=8, off=10), 10.0, Verdict.NO),
        (LIMIT.scaled(2), 19.9, Verdict.BETWEEN),
    ],
)
def test_a_limit_judges(limit: Limit, value: float | None, verdict: Verdict) -> None:
    assert limit.judge(value) is verdict


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("YYY", "??1"),
        ("NYY1", "0001"),
        ("YN", "?0"),
        ("Y.YYY", "?0001"),
        ("YUYYY", "????1"),  # what was not seen did not last
        ("YYYNNNNN", "??111110"),
        ("YYYUUUUUUUU", "??111111111"),
        ("YYY........", "??111111111"),
        ("YYYNNNNUNNNN", "??1111111111"),
        ("YYYE", "??10"),
        ("EYYY", "0001"),
        ("UUU", "???"),
        (".", "0"),
    ],
)
def test_a_latch_waits(verdicts: str, expected: str) -> None:
    names = {"Y": Verdict.YES, "N": Verdict.NO, ".": Verdict.BETWEEN, "U": Verdict.UNKNOWN}
    names |= {"E": Verdict.EXPLAINED, "1": Verdict.YES}
    latch = Latch(LIMIT, 5)
    states = [latch.take(names[v], moment(slot)) for slot, v in enumerate(verdicts)]
    assert "".join("?" if s is None else str(int(s)) for s in states) == expected


def test_a_streak_ends_with_a_boot_and_with_a_gap() -> None:
    streak: Streak[str] = Streak(5)
    assert [streak.take("so", moment(slot)) for slot in (0, 1, 4)] == [0, 5, 20]
    assert streak.take("so", moment(8)) == 0
    assert streak.take("so", moment(9, boot="next")) == 0
    assert streak.take("so", moment(10, boot="next")) == 5
    assert streak.take("else", moment(11, boot="next")) == 0


def test_conditions_that_need_no_time_come_at_once() -> None:
    latch = Latch(Lasting(on_s=0, off_s=0, source="test"), 5)
    assert latch.take(Verdict.YES, moment(0)) is True
    assert latch.take(Verdict.NO, moment(1)) is False


# Which there are


def test_nothing_is_said_of_what_was_never_known() -> None:
    slots = house()
    slots.system = None
    meaning = slots.take([Silent(NOT_ASKED)] * 3, seconds=3600)
    assert meaning.alarms == ()


def test_kinds_of_the_original_house() -> None:
    slots = house()
    meaning = slots.take(UTILITY, seconds=600)
    per_meter = (
        "leg_near_limit",
        "volts_low",
        "volts_high",
        "over_range",
        "meter_silent",
        "meter_faulty",
        "register_stuck",
    )
    assert known(meaning) == {
        "utility_lost",
        "generator_running",
        "generator_overload",
        "both_supplies",
        "loose_neutral",
        "clock_unknown",
        "spool_waiting",
        "card_trouble",
        *(f"{kind} {meter.name}" for kind in per_meter for meter in PANEL),
    }
    assert active(meaning) == set()


@pytest.mark.parametrize(
    ("meters", "shown", "missing"),
    [
        (ONE_LEG, (shows(5),), {"generator_running", "generator_overload", "both_supplies"}),
        (THREE_PHASES, (shows(5),) * 3, {"loose_neutral", "generator_running"}),
        (OWN, OWN_STOPPED, {"both_supplies"}),
        ((OVEN,), (shows(5),), {"utility_lost", "volts_low oven", "volts_high oven"}),
        (GENERATOR_ONLY, (shows(5),), {"utility_lost", "both_supplies"}),
    ],
)
def test_a_house_has_the_conditions_that_its_wiring_can_show(
    meters: Sequence[MeterSettings], shown: Sequence[Outcome], missing: set[str]
) -> None:
    slots = house(meters, HouseSettings(nominal_volts=120.0))
    assert not known(slots.take(shown, seconds=60)) & missing


def test_points_of_a_slot() -> None:
    slots = house(ONE_LEG)
    points = list(slots.take((shows(5),)).points())
    assert points[0] == (
        "house",
        {},
        {"watts": 600.0, "volt_amps": 600.0, "utility_on": 1.0},
    )
    assert ("alarm_state", {"kind": "utility_lost"}, {"active": 0.0}) in points
    assert ("alarm_state", {"kind": "volts_low", "meter": "main"}, {"active": 0.0}) in points
    assert {measurement for measurement, *_ in points} == {"house", "alarm_state"}
    active_one = AlarmState("volts_low", "main", active=True, cause="low")
    assert active_one.fields == {"active": 1.0}


def test_a_house_with_nothing_to_say_has_no_point_without_fields() -> None:
    slots = house((OVEN,))
    assert all(fields for _, _, fields in slots.take((SILENT,)).points())


# Supplies


def test_utility_lost_behind_an_interlock() -> None:
    slots = house()
    slots.take(UTILITY, seconds=60)
    assert until_active(slots, "utility_lost", DARK) == 10
    assert cause(slots.take(DARK), "utility_lost") == (
        "no voltage reaches mainA, mainB: no supply feeds the panel, or what feeds the meters "
        "is off"
    )
    assert "shows only once the interlock is switched back" in cause(
        slots.take(GENERATOR), "utility_lost"
    )
    assert "utility_lost" in active(slots.take(QUIET, seconds=900))  # the house draws nothing
    assert until_over(slots, "utility_lost", UTILITY) == 30


def test_utility_lost_with_meters_of_its_own() -> None:
    slots = house(OWN)
    slots.take(OWN_STOPPED, seconds=60)
    assert until_active(slots, "utility_lost", DARK) == 10
    assert cause(slots.take(OWN_RUNNING), "utility_lost") == (
        "there is no voltage on its wires: mainA, mainB silent"
    )
    # the utility is back, seen before the interlock is switched
    assert until_over(slots, "utility_lost", (IDLE, IDLE, shows(8))) == 30


@pytest.mark.parametrize("meters", [PANEL, OWN])
def test_a_lost_leg_is_told_alone(meters: Sequence[MeterSettings]) -> None:
    slots = house(meters)
    slots.take(UTILITY, seconds=60)
    one_leg = (SILENT, shows(3), SILENT)
    assert until_active(slots, "utility_lost", one_leg) == 10
    meaning = slots.take(one_leg, seconds=900)
    assert active(meaning) == {"utility_lost"}
    assert cause(meaning, "utility_lost") == (
        "no voltage reaches mainA: its leg is dead, or what feeds the meter is off"
    )
    assert until_over(slots, "utility_lost", UTILITY) == 30


def test_generator_running() -> None:
    slots = house()
    slots.take(UTILITY)
    assert until_active(slots, "generator_running", GENERATOR) == 0
    assert cause(slots.take(GENERATOR), "generator_running") == "the generator carries the house"
    assert "generator_running" in active(slots.take((IDLE, IDLE, FAULTY), seconds=300))
    assert until_over(slots, "generator_running", UTILITY) == 10


def test_a_generator_that_idles_is_told_where_its_volts_are_seen() -> None:
    meaning = house(OWN).take((shows(5), shows(3), IDLE))
    assert "there is voltage" in cause(meaning, "generator_running")


def test_generator_overload() -> None:
    slots = house()  # of 1000 VA
    slots.take((IDLE, IDLE, shows(8)))
    over = (IDLE, IDLE, shows(8.4))
    assert until_active(slots, "generator_overload", over) == 10
    assert cause(slots.take(over), "generator_overload") == (
        "the generator gives 1008 VA, 101 % of its 1000 VA"
    )
    # in the band, and while it is not read, nothing changes
    assert "generator_overload" in active(slots.take((IDLE, IDLE, shows(7.6)), seconds=300))
    assert "generator_overload" in active(slots.take((IDLE, IDLE, FAULTY), seconds=300))
    assert until_over(slots, "generator_overload", (IDLE, IDLE, shows(7))) == 30
    slots.take(over, seconds=60)
    assert until_over(slots, "generator_overload", UTILITY) == 30


def test_a_motor_that_starts_is_no_overload() -> None:
    slots = house()
    for _ in range(10):
        slots.take((IDLE, IDLE, shows(20)), seconds=5)
        assert "generator_overload" not in active(slots.take(GENERATOR, seconds=30))


def test_both_supplies() -> None:
    slots = house()
    slots.take(UTILITY)
    assert until_active(slots, "both_supplies", BOTH) == 10
    assert "mainA 5.0 A, mainB 3.0 A, gen 8.0 A" in cause(slots.take(BOTH), "both_supplies")
    assert "both_supplies" in active(slots.take((FAULTY, FAULTY, FAULTY), seconds=60))
    assert until_over(slots, "both_supplies", UTILITY) == 10


def test_switching_over_is_not_both() -> None:
    slots = house()
    for shown in (UTILITY, BOTH, GENERATOR, BOTH, BOTH, UTILITY) * 5:
        assert "both_supplies" not in active(slots.take(shown))


# Meters


@pytest.mark.parametrize(
    ("breaker_amps", "warned", "not_warned", "words"),
    [
        (None, 80.0, 79.9, "80.0 A of the 100 A that a meter can measure"),
        (200.0, 80.0, 79.9, "80.0 A of the 100 A that a meter can measure"),
        (90.0, 72.0, 71.9, "72.0 A of the 90 A of its breaker"),
        (15.0, 12.0, 11.9, "12.0 A of the 15 A of its breaker"),
    ],
)
def test_a_leg_near_its_limit(
    breaker_amps: float | None, warned: float, not_warned: float, words: str
) -> None:
    meters = (replace(ONE_LEG[0], breaker_amps=breaker_amps),)
    slots = house(meters)
    assert active(slots.take((shows(not_warned),), seconds=600)) == set()
    assert until_active(slots, "leg_near_limit main", (shows(warned),)) == 60
    assert words in cause(slots.take((shows(warned),)), "leg_near_limit", "main")
    # from 80 % to 75 % nothing changes
    band = 0.76 * warned / 0.8
    assert "leg_near_limit main" in active(slots.take((shows(band),), seconds=600))
    assert until_over(slots, "leg_near_limit main", (shows(0.74 * warned / 0.8),)) == 60


def test_a_sub_meter_and_a_generator_have_limits_too() -> None:
    slots = house((*PANEL, replace(OVEN, breaker_amps=20)))
    meaning = slots.take((IDLE, IDLE, shows(85), shows(17)), seconds=60)
    assert {"leg_near_limit gen", "leg_near_limit oven"} <= active(meaning)


def test_an_outage_ends_the_warning_of_a_load() -> None:
    slots = house()
    slots.take((shows(90), shows(3), IDLE), seconds=60)
    assert until_over(slots, "leg_near_limit mainA", DARK) == 10


@pytest.mark.parametrize(
    ("meters", "nominal", "shown", "expected"),
    [
        pytest.param(PANEL, 120, (shows(5, 110), shows(3, 111), IDLE), {"low mainA"}, id="low"),
        pytest.param(PANEL, 120, (shows(5, 127), shows(3), shows(0, 127)), {"high mainA"}, id="hi"),
        pytest.param(PANEL, 120, (shows(5, 126.9), shows(3, 110.1), IDLE), set(), id="neither"),
        pytest.param(
            PANEL, 120, (shows(0, 105), shows(0, 105), shows(8, 105)), {"low gen"}, id="gen low"
        ),
        pytest.param(
            PANEL, 120, (shows(0, 133), shows(0, 133), shows(8, 133)), {"high gen"}, id="gen high"
        ),
        pytest.param(
            PANEL, 120, (shows(0, 109), shows(0, 109), shows(8, 109)), set(), id="gen may sag"
        ),
        pytest.param(PANEL, 120, (shows(0, 90),) * 3, set(), id="whose volts they are is unknown"),
        pytest.param(
            OWN,
            120,
            (shows(0, 105), shows(0, 121), shows(8, 100)),
            {"low mainA", "low gen"},
            id="o",
        ),
        pytest.param(ONE_LEG, 230, (shows(5, 207),), {"low main"}, id="230 V low"),
        pytest.param(ONE_LEG, 230, (shows(5, 253),), {"high main"}, id="230 V high"),
        pytest.param(ONE_LEG, 230, (shows(5, 208),), set(), id="230 V fair"),
        pytest.param(
            (*ONE_LEG, OVEN), 120, (shows(5), shows(5, 90)), set(), id="a circuit has others' volts"
        ),
    ],
)
def test_voltage(
    meters: Sequence[MeterSettings], nominal: float, shown: Sequence[Outcome], expected: set[str]
) -> None:
    slots = house(meters, HouseSettings(nominal_volts=nominal))
    assert not [a for a in active(slots.take(shown, seconds=5)) if a.startswith("volts")]
    meaning = slots.take(shown)
    assert {a for a in active(meaning) if a.startswith("volts")} == {f"volts_{e}" for e in expected}


def test_the_words_of_a_voltage() -> None:
    slots = house(ONE_LEG)
    low, high = ((shows(5, volts),) for volts in (108.3, 128.4))
    assert cause(slots.take(low, 10), "volts_low", "main") == (
        "main has 108.3 V, where 110 V or less is reported"
    )
    assert cause(slots.take(high, 10), "volts_high", "main") == (
        "main has 128.4 V, where 127 V or more is reported"
    )


def test_a_low_voltage_is_not_told_beside_the_outage_that_it_ends_in() -> None:
    slots = house()
    low = (shows(5, 100), shows(3, 100), shows(0, 100))
    slots.take(low, seconds=60)
    assert {"volts_low mainA", "volts_low mainB"} <= active(slots.take(low))
    # dark: nothing is known yet, then the outage explains it
    assert {"volts_low mainA", "volts_low mainB"} <= active(slots.take(DARK))
    assert active(slots.take(DARK, seconds=5)) == {"utility_lost"}


def test_a_low_voltage_of_the_generator_ends_with_it() -> None:
    slots = house()
    slots.take((shows(0, 100), shows(0, 100), shows(8, 100)), seconds=60)
    meaning = slots.take(UTILITY)
    assert "volts_low gen" not in active(meaning)


@pytest.mark.parametrize("nominal", [100.0, 110.0, 120.0, 127.0, 220.0, 230.0, 240.0])
@pytest.mark.parametrize("generator", [False, True])
def test_limits_of_voltage_enclose_the_nominal_one(nominal: float, generator: bool) -> None:
    low = volts_low(nominal, generator=generator)
    high = volts_high(nominal, generator=generator)
    assert 0.85 * nominal < low.on < low.off < nominal < high.off < high.on < 1.15 * nominal


def test_over_range() -> None:
    slots = house()
    slots.take(UTILITY)
    wild = (Faulty("over_range amps 105.0", well_formed=True), shows(3), IDLE)
    assert until_active(slots, "over_range mainA", wild) == 10
    meaning = slots.take(wild, seconds=300)
    assert cause(meaning, "over_range", "mainA") == (
        "mainA shows amps 105.0, which it cannot measure"
    )
    assert "meter_faulty mainA" not in active(meaning)
    assert "over_range mainA" in active(slots.take((FAULTY, shows(3), IDLE), seconds=300))
    assert until_over(slots, "over_range mainA", UTILITY) == 60


def test_an_outage_ends_what_was_over_range() -> None:
    slots = house()
    slots.take((Faulty("over_range volts 300.0"), shows(3), IDLE), seconds=60)
    assert until_over(slots, "over_range mainA", DARK) == 10


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no_answer", "mainB does not answer, though its adapter is there"),
        (NO_PORT, "mainB cannot be asked: its adapter is not plugged in"),
        (PORT_BUSY, "mainB cannot be asked: another program holds its port"),
        (PORT_FAILED, "mainB cannot be asked: its port does not work"),
        ("some_reason", "mainB some reason"),
    ],
)
def test_a_silent_meter(reason: str, words: str) -> None:
    slots = house((*PANEL[:2], PANEL[2], replace(OVEN, fed_from="panel_b")))
    shown = (shows(5), Silent(reason), IDLE, shows(1))
    slots.take((*UTILITY, shows(1)))
    assert until_active(slots, "meter_silent mainB", shown) == 60
    assert cause(slots.take(shown), "meter_silent", "mainB") == words
    assert until_over(slots, "meter_silent mainB", (*UTILITY, shows(1))) == 10


def test_a_meter_that_was_not_asked_is_not_known_to_be_silent() -> None:
    slots = house()
    slots.take((shows(5), SILENT, IDLE), seconds=60)
    assert "meter_silent mainB" in active(
        slots.take((shows(5), Silent(NOT_ASKED), IDLE), seconds=60)
    )
    slots.take(UTILITY, seconds=60)
    assert active(slots.take((shows(5), Silent(NOT_ASKED), IDLE), seconds=900)) == set()


def test_a_panel_that_may_be_dead_is_told_as_that() -> None:
    slots = house()
    meaning = slots.take((SILENT, IDLE, SILENT), seconds=60)  # nobody knows what carries it
    assert cause(meaning, "meter_silent", "mainA").endswith(
        "nor does any other meter fed from panel_a: it may be dead"
    )


def test_a_dead_wire_of_its_own_is_told_as_what_it_may_be() -> None:
    slots = house((*OWN, replace(OVEN, fed_from="own")))
    slots.take((*OWN_STOPPED, shows(1)))
    meaning = slots.take((*OWN_STOPPED, SILENT), seconds=60)
    assert active(meaning) == {"meter_silent oven"}
    assert cause(meaning, "meter_silent", "oven").endswith(
        "; the wire that it measures may be dead"
    )


@pytest.mark.parametrize(
    ("meters", "shown"),
    [
        pytest.param(PANEL, DARK, id="all is dark"),
        pytest.param(PANEL, GENERATOR, id="on the generator"),
        pytest.param((*PANEL, OVEN), (*DARK, SILENT), id="with a sub-meter"),
        pytest.param(OWN, DARK, id="own: dark"),
        pytest.param(OWN, OWN_RUNNING, id="own: on the generator"),
        pytest.param((*OWN, OVEN), (*DARK, SILENT), id="own: a sub-meter behind the dead panel"),
        pytest.param((*OWN, OVEN), (*OWN_RUNNING, IDLE), id="own: a sub-meter, on the generator"),
        pytest.param(ONE_LEG, (SILENT,), id="one leg"),
        pytest.param(
            (*OWN, replace(OVEN, fed_from="own")), (*DARK, SILENT), id="a sub-meter of its own"
        ),
    ],
)
def test_an_outage_is_told_alone(meters: Sequence[MeterSettings], shown: Sequence[Outcome]) -> None:
    slots = house(meters)
    normal = [shows(5) if m.supply == "utility" else IDLE for m in meters]
    slots.take(normal, seconds=60)
    for meaning in slots.each(shown, seconds=3600):
        assert active(meaning) <= {"utility_lost", "generator_running"}
    assert "utility_lost" in active(meaning)


def test_a_sub_meter_that_is_silent_on_generator_power_is_not_explained() -> None:
    slots = house((*OWN, OVEN))
    slots.take((*OWN_STOPPED, IDLE))
    meaning = slots.take((*OWN_RUNNING, SILENT), seconds=120)
    assert "meter_silent oven" in active(meaning)


def test_a_generator_that_stands_still_is_no_fault() -> None:
    slots = house(OWN)
    for meaning in slots.each(OWN_STOPPED, seconds=3600):
        assert active(meaning) == set()


def test_nor_is_one_that_alone_feeds_the_panel() -> None:
    slots = house(GENERATOR_ONLY)
    slots.take((shows(8),))
    for meaning in slots.each((SILENT,), seconds=3600):
        assert active(meaning) <= {"generator_running"}
    assert active(meaning) == set()


def test_an_unplugged_adapter_is_not_explained_by_an_outage() -> None:
    slots = house((*OWN, OVEN))
    slots.take((*OWN_STOPPED, IDLE))
    meaning = slots.take((SILENT, SILENT, Silent(NO_PORT), SILENT), seconds=60)
    assert active(meaning) == {"utility_lost", "meter_silent gen"}
    meaning = slots.take((*DARK, Silent(NO_PORT)), seconds=60)
    assert active(meaning) == {"utility_lost", "meter_silent oven"}


def test_a_meter_that_stays_silent_after_an_outage_is_told_after_its_minute() -> None:
    slots = house()
    slots.take(UTILITY)
    slots.take(DARK, seconds=3600)
    assert until_active(slots, "meter_silent mainB", (shows(5), SILENT, IDLE)) == 60


def test_a_faulty_meter() -> None:
    slots = house()
    slots.take(UTILITY)
    bad = (FAULTY, shows(3), IDLE)
    assert until_active(slots, "meter_faulty mainA", bad) == 60
    assert cause(slots.take(bad), "meter_faulty", "mainA") == (
        "mainA is heard, but not to be believed: bad crc"
    )
    settling = (Faulty("settling", well_formed=True), shows(3), IDLE)
    assert "meter_faulty mainA" in active(slots.take(settling, seconds=60))
    not_asked = (Silent(NOT_ASKED), shows(3), IDLE)
    assert "meter_faulty mainA" in active(slots.take(not_asked, seconds=60))
    assert until_over(slots, "meter_faulty mainA", UTILITY) == 10


def test_a_line_that_loses_every_other_reply_has_no_alarm() -> None:
    slots = house()
    for shown in (UTILITY, (FAULTY, SILENT, IDLE)) * 200:
        assert active(slots.take(shown)) == set()


def test_a_register_that_stands_still() -> None:
    slots = house()
    slots.take(UTILITY)
    slots.stuck = frozenset({"mainA"})
    assert "estimated from its power" in cause(slots.take(UTILITY), "register_stuck", "mainA")
    slots.stuck = frozenset()
    assert "register_stuck mainA" in active(slots.take(DARK, seconds=60))
    assert "register_stuck mainA" not in active(slots.take(UTILITY))


# The collector itself


def test_the_time_is_not_known() -> None:
    slots = house()
    slots.system = replace(SYSTEM, clock_true=False, spool_blocks=100)
    assert until_active(slots, "clock_unknown", UTILITY) == 600
    # readings that wait for their time follow from it
    slots.system = replace(slots.system, spool_oldest_age_s=7200.0)
    assert active(slots.take(UTILITY)) == {"clock_unknown"}
    slots.system = SYSTEM
    assert active(slots.take(UTILITY)) == set()


def test_readings_wait_for_the_database() -> None:
    slots = house()
    slots.take(UTILITY)
    for age_s, expected in (
        (None, False),
        (299.0, False),
        (300.0, True),
        (61.0, True),
        (None, True),
        (60.0, False),
        (900.0, True),
    ):
        slots.system = replace(SYSTEM, spool_blocks=60, spool_oldest_age_s=age_s)
        meaning = slots.take(UTILITY)
        assert ("spool_waiting" in active(meaning)) is expected
    assert cause(meaning, "spool_waiting") == (
        "60 readings wait for the database, the oldest for 15 min"
    )
    slots.system = SYSTEM
    assert active(slots.take(UTILITY)) == set()


def test_trouble_with_the_card() -> None:
    slots = house()
    slots.system = replace(SYSTEM, card_trouble="read-only file system")
    assert cause(slots.take(UTILITY), "card_trouble") == "the card: read-only file system"
    slots.system = SYSTEM
    assert until_over(slots, "card_trouble", UTILITY) == 60


def test_without_the_collector_s_state_its_alarms_stay_as_they_are() -> None:
    slots = house()
    slots.system = replace(SYSTEM, card_trouble="full")
    slots.take(UTILITY)
    slots.system = None
    assert active(slots.take(UTILITY, seconds=600)) == {"card_trouble"}


# The log


def test_an_alarm_is_logged_when_it_comes_and_when_it_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    slots = house(ONE_LEG)
    slots.take((shows(5),))
    for volts in (100.0, 101.0, 99.0, 100.5):
        slots.take((shows(5, volts),), seconds=600)
    slots.take((shows(5),), seconds=600)
    assert caplog.messages == [
        "alarm volts_low main: main has 100.0 V, where 110 V or less is reported",
        "alarm volts_low main is over; it was: main has 100.5 V, where 110 V or less is reported",
    ]


def test_what_an_outage_explains_is_logged_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    slots = house(ONE_LEG)
    slots.take((shows(5, 100),), seconds=10)
    slots.take((SILENT,), seconds=10)
    assert caplog.messages[1:] == [
        "alarm utility_lost: no voltage reaches main: no supply feeds the panel, or what feeds "
        "the meters is off",
        "alarm volts_low main follows from another condition; "
        "it was: main has 100.0 V, where 110 V or less is reported",
    ]


# A whole life


OWN_WIRING = tuple(Wiring(w.name, w.address, w.supply, w.leg, "own") for w in ORIGINAL_WIRING)


@pytest.mark.parametrize("wiring", [ORIGINAL_WIRING, OWN_WIRING], ids=["panel", "own"])
@pytest.mark.parametrize("seed", range(4))
def test_a_day_with_an_outage_tells_the_outage_alone(wiring: Sequence[Wiring], seed: int) -> None:
    simulated = SimulatedHouse(wiring, seed=seed)
    life = Life(simulated)
    meters = settings_of(wiring)
    slots = Slots(House(meters, HouseSettings(generator_va=7000.0)), meters)
    seen: list[set[str]] = []
    for state in (
        State.UTILITY,
        State.OUTAGE,
        State.GENERATOR,
        State.UTILITY_BACK,
        State.OUTAGE,
        State.UTILITY,
    ):
        if state is not simulated.state:
            simulated.state = state
        for _ in range(360):
            meaning = slots.show(life.heard())
            seen.append(active(meaning))
    assert set().union(*seen) == {"utility_lost", "generator_running"}
    assert seen[359] == set()
    assert seen[719] == {"utility_lost"}
    assert seen[1079] == {"utility_lost", "generator_running"}
    own = wiring is OWN_WIRING
    assert seen[1439] == ({"generator_running"} if own else seen[1079])
    assert seen[1799] == {"utility_lost"}
    assert seen[2159] == set()


def test_a_sample_is_what_a_slot_brought() -> None:
    sample = Sample(moment(3), {"main": IDLE})
    assert House(ONE_LEG).take(sample).supply.utility_on is True
