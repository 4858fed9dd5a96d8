"""What holds of the house's meaning whatever its meters say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from houses import OWN, PANEL, SYSTEM, WIRINGS, active, moment, outcomes
from pzem.config import HouseSettings, MeterSettings
from pzem.house import House, Meaning, Sample, SupplyState, SystemState, alarms, derive, thresholds
from pzem.house.supply import is_interlocked
from pzem.house.thresholds import Latch, Limit
from pzem.meter import NO_PORT, NOT_ASKED, Faulty, Outcome, Silent
from pzem.registers import Reading

KINDS = {
    "utility_lost",
    "generator_running",
    "generator_overload",
    "both_supplies",
    "loose_neutral",
    "leg_near_limit",
    "volts_low",
    "volts_high",
    "over_range",
    "meter_silent",
    "meter_faulty",
    "register_stuck",
    "clock_unknown",
    "spool_waiting",
    "card_trouble",
}
BLIND = Silent(NOT_ASKED)
SETTINGS = HouseSettings(generator_va=5500.0)

readings = st.builds(
    lambda volts, amps, power_factor: Reading(
        volts, amps, round(volts * amps * power_factor, 1), 1e3, 60.0, power_factor, alarm=False
    ),
    st.sampled_from([90.0, 109.0, 113.0, 120.0, 126.5, 131.0, 230.0]),
    st.sampled_from([0.0, 0.02, 0.03, 0.12, 0.2, 1.0, 1.99, 2.0, 8.0, 60.0, 85.0, 99.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
answers: st.SearchStrategy[Outcome] = st.one_of(
    readings,
    readings,
    st.sampled_from(
        [
            Silent(),
            Silent(),
            Silent(NO_PORT),
            BLIND,
            Faulty("bad_crc"),
            Faulty("settling", well_formed=True),
            Faulty("over_range amps 105.0", well_formed=True),
        ]
    ),
)
wirings = st.sampled_from(list(WIRINGS.values()))
systems = st.one_of(
    st.just(SYSTEM),
    st.builds(
        SystemState,
        clock_true=st.booleans(),
        spool_blocks=st.integers(0, 1000),
        spool_oldest_age_s=st.none() | st.floats(0, 1e6),
        card_trouble=st.none() | st.sampled_from(["full", ""]),
    ),
)
last_in_use = st.sampled_from([None, "utility", "generator", "both"])


@st.composite
def slots(draw: st.DrawFn) -> tuple[tuple[MeterSettings, ...], list[tuple[Outcome, ...]]]:
    """Draw a wiring and what its meters answer: a few situations that each last a while."""
    meters = draw(wirings)
    situation = st.tuples(*[answers] * len(meters))
    lasting = st.lists(st.tuples(situation, st.integers(1, 16)), min_size=1, max_size=6)
    return meters, [shown for shown, count in draw(lasting) for _ in range(count)]


def live(
    meters: Sequence[MeterSettings],
    life: Sequence[Sequence[Outcome]],
    system: SystemState | None = SYSTEM,
    stuck: frozenset[str] = frozenset(),
) -> tuple[House, list[Meaning]]:
    house = House(meters, SETTINGS)
    house.generator_recalled(None)
    samples = [Sample(moment(n), outcomes(meters, shown)) for n, shown in enumerate(life)]
    return house, [house.take(sample, stuck, system) for sample in samples]


@given(wirings.flatmap(lambda m: st.tuples(st.just(m), st.tuples(*[answers] * len(m)))))
def test_a_sum_is_that_of_all_the_meters_that_count(
    drawn: tuple[tuple[MeterSettings, ...], tuple[Outcome, ...]],
) -> None:
    meters, shown = drawn
    _check_sum(meters, shown, derive(meters, outcomes(meters, shown)))


@given(slots())
def test_so_it_is_over_time(
    drawn: tuple[tuple[MeterSettings, ...], list[tuple[Outcome, ...]]],
) -> None:
    meters, life = drawn
    _, meanings = live(meters, life)
    for shown, meaning in zip(life, meanings, strict=True):
        _check_sum(meters, shown, meaning.supply)


def _check_sum(
    meters: Sequence[MeterSettings], shown: Sequence[Outcome], state: SupplyState
) -> None:
    assert (state.watts is None) == (state.volt_amps is None)
    if state.watts is None:
        return
    assert state.in_use != "none"
    if state.in_use is None:
        assert (state.watts, state.volt_amps) == (0.0, 0.0)
        return
    counted = {"utility", "generator"} if state.in_use == "both" else {state.in_use}
    assert state.in_use != "both" or not is_interlocked(meters)
    counting = [o for m, o in zip(meters, shown, strict=True) if m.supply in counted]
    read = [outcome for outcome in counting if isinstance(outcome, Reading)]
    assert len(read) == len(counting) > 0
    assert state.watts == pytest.approx(sum(r.watts for r in read), abs=1e-3)
    assert state.volt_amps == pytest.approx(sum(r.volt_amps for r in read), abs=1e-3)


@given(
    wirings.flatmap(
        lambda m: st.tuples(
            st.just(m), st.tuples(*[answers] * len(m)), st.sets(st.integers(0, len(m) - 1))
        )
    ),
    last_in_use,
)
def test_what_is_not_known_never_becomes_a_claim(
    drawn: tuple[tuple[MeterSettings, ...], tuple[Outcome, ...], set[int]], last: str | None
) -> None:
    meters, shown, hidden = drawn
    less = [BLIND if n in hidden else outcome for n, outcome in enumerate(shown)]
    full = derive(meters, outcomes(meters, shown), last)
    seen = derive(meters, outcomes(meters, less), last)
    # what carried the house a moment ago is doubted only for a reason; and of two that seem
    # to carry it at once, an interlock lets one through
    assert seen.in_use in (None, full.in_use, last) or full.in_use == "both"
    if seen.in_use in (None, full.in_use):
        assert seen.utility_on in (None, full.utility_on)
        assert seen.generator_on in (None, full.generator_on)
        assert seen.watts in (None, full.watts)


@given(slots())
def test_what_a_whole_slot_hides_changes_no_alarm(
    drawn: tuple[tuple[MeterSettings, ...], list[tuple[Outcome, ...]]],
) -> None:
    meters, life = drawn
    house, meanings = live(meters, life)
    before = active(meanings[-1])
    for n in range(30):
        at = moment(len(life) + n)
        after = house.take(Sample(at, dict.fromkeys([m.name for m in meters], BLIND)))
        assert active(after) == before


@given(slots(), systems, st.sets(st.sampled_from(["mainA", "gen", "oven"])))
def test_no_alarm_without_its_cause(
    drawn: tuple[tuple[MeterSettings, ...], list[tuple[Outcome, ...]]],
    system: SystemState,
    stuck: set[str],
) -> None:
    meters, life = drawn
    names = {meter.name for meter in meters}
    known: set[tuple[str, str]] = set()
    for meaning in live(meters, life, system, frozenset(stuck))[1]:
        listed = [(alarm.kind, alarm.meter) for alarm in meaning.alarms]
        assert len(set(listed)) == len(listed)
        assert known <= set(listed)  # what was judged once is told in every slot
        known = set(listed)
        for alarm in meaning.alarms:
            assert alarm.kind in KINDS
            assert alarm.meter in names | {""}
            assert bool(alarm.cause) is alarm.active


@given(slots())
def test_an_outage_is_told_alone(
    drawn: tuple[tuple[MeterSettings, ...], list[tuple[Outcome, ...]]],
) -> None:
    meters, life = drawn
    for shown, meaning in zip(life, live(meters, life)[1], strict=True):
        if meaning.supply.in_use != "none":
            continue
        now = active(meaning)
        if any(meter.supply == "utility" for meter in meters):
            assert "utility_lost" in now
        for meter, outcome in zip(meters, shown, strict=True):
            if outcome == Silent() and meter.supply != "circuit":
                assert not now & {f"{kind} {meter.name}" for kind in ("meter_silent", "volts_low")}


@given(slots())
def test_a_loose_neutral_is_first_suspected_on_two_utility_legs(
    drawn: tuple[tuple[MeterSettings, ...], list[tuple[Outcome, ...]]],
) -> None:
    meters, life = drawn
    before = False
    legs = {meter.leg for meter in meters if meter.supply == "utility" and meter.leg}
    for meaning in live(meters, life)[1]:
        now = "loose_neutral" in active(meaning)
        if now and not before:
            assert len(legs) == 2
            assert meaning.supply.in_use == "utility"
            assert (meaning.legs.volts_difference or 0) > 8
        before = now


@given(slots())
def test_hours_grow_no_faster_than_time(
    drawn: tuple[tuple[MeterSettings, ...], list[tuple[Outcome, ...]]],
) -> None:
    meters, life = drawn
    hours = 0.0
    since_s = 0
    for meaning in live(meters, life)[1]:
        if meaning.generator is None:
            continue
        assert meaning.generator.hours is not None
        assert hours <= meaning.generator.hours <= since_s / 3600 + 1e-4
        hours, since_s = meaning.generator.hours, since_s + 5
        assert (meaning.generator.load is None) or meaning.generator.running


@given(slots(), systems)
def test_points_have_fields_and_these_are_finite_floats(
    drawn: tuple[tuple[MeterSettings, ...], list[tuple[Outcome, ...]]], system: SystemState
) -> None:
    meters, life = drawn
    for meaning in live(meters, life, system)[1]:
        for measurement, tags, fields in meaning.points():
            assert measurement in {"house", "generator", "alarm_state"}
            assert fields
            assert all(type(value) is float and math.isfinite(value) for value in fields.values())
            assert all(tags.values())
        assert 0 <= meaning.house_fields().get("imbalance", 0) <= 1


LIMITS = dict(
    [
        ("loose neutral", thresholds.loose_neutral(120)),
        ("near limit", thresholds.NEAR_LIMIT),
        ("overload", thresholds.OVERLOAD),
        ("spool", thresholds.SPOOL_WAITING),
        *(
            (f"{side.__name__} {nominal} {generator}", side(nominal, generator=generator))
            for side in (thresholds.volts_low, thresholds.volts_high)
            for nominal in (120, 230)
            for generator in (False, True)
        ),
    ]
)


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
@given(data=st.data())
def test_a_value_that_trembles_around_a_threshold_is_one_piece_of_news(
    limit: Limit, data: st.DataObject
) -> None:
    for around in (limit.on, limit.off):
        # less than the band to either side
        reach = 0.99 * abs(limit.on - limit.off)
        noisy = st.floats(around - reach, around + reach)
        latch = Latch(limit, 5)
        states = [
            latch.take(limit.judge(value), moment(n))
            for n, value in enumerate(data.draw(st.lists(noisy, min_size=1, max_size=60)))
        ]
        known = [state for state in states if state is not None]
        changes = [pair for pair in pairwise(known) if pair[0] != pair[1]]
        assert len(changes) <= 1


@given(
    st.lists(st.sampled_from([0.11, 0.14, 0.15, 0.3]), min_size=1, max_size=50),
    st.sampled_from(["utility", "generator"]),
)
def test_little_current_around_the_threshold_never_changes_the_supply(
    amps: list[float], carrying: str
) -> None:
    def shown(value: float) -> tuple[Outcome, ...]:
        idle = Reading(120.0, 0.0, 0.0, 1e3, 60.0, 0.0, alarm=False)
        some = Reading(120.0, value, round(120 * value, 1), 1e3, 60.0, 1.0, alarm=False)
        return (some, idle, idle) if carrying == "utility" else (idle, idle, some)

    for meters in (PANEL, OWN):
        _, meanings = live(meters, [shown(5.0), *map(shown, amps)])
        assert {meaning.supply.in_use for meaning in meanings} == {carrying}


def test_the_kinds_are_those_that_others_know() -> None:
    names = [name for name in vars(alarms) if name.isupper() and not name.startswith("_")]
    values = {getattr(alarms, name) for name in names}
    assert values >= KINDS
