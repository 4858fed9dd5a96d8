"""Whatever the tariffs and the zone: no hour is priced twice or never, and periods add up."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from pzem.tariff import (
    BillingMonths,
    PriceTable,
    Season,
    Tariff,
    Tier,
    Tiered,
    TimeOfUse,
    changed_range,
    costs,
    flat,
    from_json,
    to_json,
)

HOUR = 3600
ONE = flat(Decimal(1))

amounts = st.decimals(0, 100_000, allow_nan=False, places=6)
zones = st.sampled_from(
    [
        "UTC", "America/New_York", "Europe/Paris", "Asia/Kolkata", "Asia/Kathmandu",
        "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham", "America/Havana",
        "Africa/Casablanca", "Asia/Beirut",
    ]
).map(ZoneInfo)  # fmt: skip
days = st.dates(date(2023, 1, 1), date(2026, 12, 31))
wh_of_an_hour = st.none() | st.integers(0, 20_000_000).map(lambda milli_wh: milli_wh / 1000)
rates = st.one_of(
    amounts.map(flat),
    st.builds(
        lambda borders, prices: Tiered(
            tuple(
                Tier(price, border)
                for border, price in zip([*sorted(borders), None], prices, strict=False)
            )
        ),
        st.sets(st.decimals("0.000001", 2000, places=6), max_size=3),
        st.lists(amounts, min_size=4, max_size=4),
    ),
    st.builds(TimeOfUse, *[st.lists(amounts, min_size=24, max_size=24).map(tuple)] * 2),
)
seasons = st.dictionaries(
    st.tuples(st.integers(1, 12), st.integers(1, 28)), rates, min_size=1, max_size=3
).map(lambda found: tuple(Season(found[begins], begins) for begins in sorted(found)))


def in_order(found: list[Tariff]) -> tuple[Tariff, ...]:
    by_day = {tariff.valid_from: tariff for tariff in found}
    return tuple(by_day[day] for day in sorted(by_day))


tables = st.lists(
    st.builds(Tariff, days, seasons, amounts, st.integers(1, 28)), max_size=4
).map(in_order)  # fmt: skip


def table(tariffs: tuple[Tariff, ...], zone: ZoneInfo) -> PriceTable:
    return PriceTable(tariffs, BillingMonths.of(tariffs, zone))


def whole_months(months: BillingMonths, day: date, count: int) -> tuple[int, int]:
    start_s, end_s = months.bounds(months.midnight(day))
    for _ in range(count - 1):
        _, end_s = months.bounds(end_s)
    return start_s, end_s


def with_gaps(start_s: int, end_s: int, pattern: list[float | None]) -> list[tuple[int, float]]:
    """Return the hours that reach into a range; None in the pattern is a gap."""
    hours = range(start_s - start_s % HOUR, end_s, HOUR)
    known = ((hour_s, pattern[n % len(pattern)]) for n, hour_s in enumerate(hours))
    return [(hour_s, wh) for hour_s, wh in known if wh is not None]


patterns = st.lists(wh_of_an_hour, min_size=1, max_size=30)


@settings(max_examples=50)
@given(tables, zones, days, st.integers(1, 3), patterns)
def test_days_add_up_to_months_to_the_last_digit(
    tariffs: tuple[Tariff, ...],
    zone: ZoneInfo,
    day: date,
    count: int,
    pattern: list[float | None],
) -> None:
    prices = table(tariffs, zone)
    start_s, end_s = whole_months(prices.months, day, count)
    found = costs(prices, with_gaps(start_s, end_s, pattern), start_s, end_s)
    for month in found.months:
        within = [cost for cost in found.days if month.start_s <= cost.start_s < month.end_s]
        assert month.fixed == sum(cost.fixed for cost in within)
        known = [cost.energy for cost in within if cost.energy is not None]
        assert month.energy == (sum(known) if known else None)
    assert sum(cost.fixed for cost in found.days) == sum(cost.fixed for cost in found.months)
    if start_s % HOUR == 0 == end_s % HOUR:
        priced = sum(cost.energy or 0 for cost in found.hours)
        assert priced == sum(cost.energy or 0 for cost in found.days)


@given(amounts, st.integers(1, 28), zones, days)
def test_a_whole_month_bears_its_whole_fixed_charge(
    fixed: Decimal, billing_day: int, zone: ZoneInfo, day: date
) -> None:
    prices = table((Tariff(date(2000, 1, 1), (Season(ONE),), fixed, billing_day),), zone)
    start_s, end_s = whole_months(prices.months, day, 1)
    found = costs(prices, [], start_s, end_s)
    assert sum(cost.fixed for cost in found.months) == fixed
    shares = [cost.fixed for cost in found.days]
    assert not shares or max(shares) - min(shares) <= Decimal("0.000001")


@settings(max_examples=50)
@given(zones, days, st.integers(1, 28), patterns)
def test_no_hour_is_priced_twice_or_never(
    zone: ZoneInfo, day: date, billing_day: int, pattern: list[float | None]
) -> None:
    """At one a kWh, costs are kilowatt-hours: what goes in comes out, month by month."""
    prices = table((Tariff(date(2000, 1, 1), (Season(ONE),), billing_day=billing_day),), zone)
    start_s, middle_s = whole_months(prices.months, day, 1)
    _, end_s = prices.months.bounds(middle_s)
    hours = with_gaps(start_s, end_s, pattern)
    parts = [costs(prices, hours, *part) for part in ((start_s, middle_s), (middle_s, end_s))]
    whole = costs(prices, hours, start_s, end_s)
    for of_parts, all_of_them in zip(zip(*parts, strict=True), whole, strict=True):
        assert [cost for part in of_parts for cost in part] == list(all_of_them)
    expected = {hour_s: Decimal(round(wh * 1000)).scaleb(-6) for hour_s, wh in hours}
    assert {cost.start_s: cost.energy for cost in whole.hours} == {
        hour_s: kwh for hour_s, kwh in expected.items() if hour_s >= start_s
    }
    in_days = sum(cost.energy or 0 for cost in whole.days)
    edges = sum(
        kwh for hour_s, kwh in expected.items() if hour_s < start_s or hour_s + HOUR > end_s
    )
    assert sum(expected.values()) - edges <= in_days <= sum(expected.values())


@settings(max_examples=25)
@given(zones, days, st.lists(amounts, min_size=48, max_size=48))
def test_time_of_use_is_what_a_clock_on_the_wall_says(
    zone: ZoneInfo, day: date, prices: list[Decimal]
) -> None:
    """A kW all the time, so that each minute costs its share of what the clock says."""
    rate = TimeOfUse(tuple(prices[:24]), tuple(prices[24:]))
    priced = table((Tariff(date(2000, 1, 1), (Season(rate),)),), zone)
    start_s, end_s = whole_months(priced.months, day, 1)
    found = costs(priced, with_gaps(start_s, end_s, [1000.0]), start_s, end_s)
    minutes: Counter[tuple[int, bool]] = Counter()
    for unix_s in range(start_s, end_s, 60):
        at = datetime.fromtimestamp(unix_s, UTC).astimezone(zone)
        minutes[at.hour, at.weekday() >= 5] += 1
    expected = sum(
        count * (rate.weekend if weekend else rate.weekday)[hour] / 60
        for (hour, weekend), count in minutes.items()
    )
    (month,) = found.months
    assert math.isclose(month.energy or 0, expected, rel_tol=1e-6)


@given(st.lists(st.integers(0, 10**9), max_size=20), rates.filter(lambda r: isinstance(r, Tiered)))
def test_tiers_do_not_care_how_energy_was_cut(parts: list[int], rate: Tiered | TimeOfUse) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    used = [sum(parts[:count]) for count in range(len(parts) + 1)]
    cut = sum(rate.cost(part, before, at) for part, before in zip(parts, used, strict=False))
    assert cut == rate.cost(used[-1], 0, at)


@given(tables, zones, st.lists(days, min_size=2, max_size=10))
def test_billing_months_lie_side_by_side(
    tariffs: tuple[Tariff, ...], zone: ZoneInfo, moments: list[date]
) -> None:
    months = BillingMonths.of(tariffs, zone)
    for day in moments:
        start_s, end_s = months.bounds(months.midnight(day))
        assert start_s <= months.midnight(day) < end_s
        assert months.bounds(start_s) == months.bounds(end_s - 60) == (start_s, end_s)
        assert months.bounds(end_s)[0] == end_s
        assert end_s - start_s <= 31 * 24 * HOUR + HOUR


@settings(max_examples=30)
@given(tables, tables, zones, st.integers(0, 23))
def test_outside_of_the_changed_range_all_costs_are_as_before(
    before: tuple[Tariff, ...], after: tuple[Tariff, ...], zone: ZoneInfo, first_hour: int
) -> None:
    """Four years, of which only some hours are known, but in time all of the day."""
    old = table(before, zone)
    new = table(in_order([*after[:2], *before]), zone)
    changed = changed_range(old, new)
    from_s, to_s = (math.inf, math.inf) if changed is None else changed
    start_s, until_s = (old.months.midnight(day) for day in (date(2022, 12, 1), date(2027, 2, 1)))
    hour_s = start_s - start_s % HOUR + first_hour * HOUR
    hours = [(unix_s, 20_000.0) for unix_s in range(hour_s, until_s, 19 * HOUR)]
    found = [
        costs(prices, hours, start_s, prices.months.bounds(until_s)[1]) for prices in (old, new)
    ]
    for was, is_now in zip(*found, strict=True):
        kept_was, kept_now = (
            [
                cost
                for cost in periods
                if cost.start_s < until_s
                and not from_s <= cost.start_s < (math.inf if to_s is None else to_s)
            ]
            for periods in (was, is_now)
        )
        assert kept_was == kept_now


@given(tables)
def test_json_keeps_everything(tariffs: tuple[Tariff, ...]) -> None:
    assert from_json(json.loads(json.dumps(to_json(tariffs)))) == tariffs
    prices = table(tariffs, ZoneInfo("UTC"))
    assert changed_range(prices, table(from_json(to_json(tariffs)), ZoneInfo("UTC"))) is None


@given(zones, days)
def test_local_days_lie_side_by_side(zone: ZoneInfo, day: date) -> None:
    months = BillingMonths(zone)
    bounds = [months.midnight(day + timedelta(days=n)) for n in range(3)]
    assert all(22 * HOUR < b - a < 26 * HOUR for a, b in pairwise(bounds))
