from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from pzem.tariff import (
    BillingMonths,
    Cost,
    Costs,
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
NEW_YORK = ZoneInfo("America/New_York")
PARIS = ZoneInfo("Europe/Paris")
KOLKATA = ZoneInfo("Asia/Kolkata")


def money(text: str) -> Decimal:
    return Decimal(text)


def unix(zone: ZoneInfo, *when: int) -> int:
    return int(datetime(*when, tzinfo=zone).timestamp())  # type: ignore[arg-type,misc]


def simple(since: date, price: str, fixed: str = "0", billing_day: int = 1) -> Tariff:
    return Tariff(since, (Season(flat(money(price))),), money(fixed), billing_day)


def table(zone: ZoneInfo, *tariffs: Tariff) -> PriceTable:
    return PriceTable(tariffs, BillingMonths.of(tariffs, zone))


def every_hour(start_s: int, end_s: int, wh: float = 1000.0) -> list[tuple[int, float]]:
    return [(hour_s, wh) for hour_s in range(start_s - start_s % HOUR, end_s, HOUR)]


def of_month(prices: PriceTable, *day: int, wh: float = 1000.0) -> Costs:
    """Price a month in which every hour is known."""
    bounds = prices.months.bounds(prices.months.midnight(date(*day)))
    return costs(prices, every_hour(*bounds, wh), *bounds)


def peak(price: str, base: str, *hours: int) -> TimeOfUse:
    weekday = tuple(money(price if hour in hours else base) for hour in range(24))
    return TimeOfUse(weekday, (money(base),) * 24)


EVER = date(2020, 1, 1)


def test_a_flat_price() -> None:
    result = of_month(table(NEW_YORK, simple(EVER, "0.125")), 2026, 1, 1, wh=800.0)
    start_s, end_s = unix(NEW_YORK, 2026, 1, 1), unix(NEW_YORK, 2026, 2, 1)
    assert result.months == [Cost(start_s, end_s, money("74.4"), money("0"))]
    assert [cost.energy for cost in result.days] == [money("2.4")] * 31
    assert [cost.energy for cost in result.hours] == [money("0.1")] * 744
    assert result.hours[0][:2] == (start_s, start_s + HOUR)


def test_nothing_has_a_price_without_tariffs() -> None:
    assert of_month(table(NEW_YORK), 2026, 1, 1) == Costs([], [], [])


def test_nothing_has_a_price_before_the_first_tariff() -> None:
    result = of_month(table(PARIS, simple(date(2026, 1, 31), "1", "31")), 2026, 1, 1)
    assert len(result.hours) == 24
    assert [cost.start_s for cost in result.days] == [unix(PARIS, 2026, 1, 31)]
    (month,) = result.months
    assert month == (unix(PARIS, 2026, 1, 1), unix(PARIS, 2026, 2, 1), money("24"), money("1"))


def test_a_gap_is_not_known_rather_than_free() -> None:
    prices = table(PARIS, simple(EVER, "1", "31"))
    start_s, end_s = unix(PARIS, 2026, 1, 1), unix(PARIS, 2026, 1, 4)
    noon_s = start_s + 12 * HOUR
    result = costs(prices, [(noon_s, 500.0), (noon_s + 48 * HOUR, 0.0)], start_s, end_s)
    assert [cost.start_s for cost in result.hours] == [noon_s, noon_s + 48 * HOUR]
    assert [cost.energy for cost in result.days] == [money("0.5"), None, money("0")]
    assert [cost.fixed for cost in result.days] == [money("1")] * 3
    assert result.months == [(start_s, unix(PARIS, 2026, 2, 1), money("0.5"), money("3"))]


def test_a_month_of_which_nothing_is_known_bears_its_fixed_charge() -> None:
    prices = table(PARIS, simple(EVER, "1", "12.50"))
    start_s, end_s = unix(PARIS, 2026, 1, 1), unix(PARIS, 2026, 3, 1)
    result = costs(prices, every_hour(unix(PARIS, 2026, 2, 1), end_s), start_s, end_s)
    assert [(cost.energy, cost.fixed) for cost in result.months] == [
        (None, money("12.50")),
        (money("672"), money("12.50")),
    ]


TIERS = Tiered(
    (Tier(money("0.10"), money("500")), Tier(money("0.20"), money("1000.5")), Tier(money("0.4")))
)


@pytest.mark.parametrize(
    ("used", "kwh", "cost"),
    [
        ("0", "1", "0.1"),
        ("499", "1", "0.1"),
        ("500", "1", "0.2"),
        ("499.25", "1", "0.125"),
        ("1000", "1", "0.3"),
        ("1000.5", "1", "0.4"),
        ("400", "1000", "269.9"),
        ("2000", "1", "0.4"),
    ],
)
def test_the_borders_of_tiers(used: str, kwh: str, cost: str) -> None:
    milli_wh, before = (int(money(text) * 10**6) for text in (kwh, used))
    assert TIERS.cost(milli_wh, before, datetime.now(UTC)) == money(cost)


def test_tiers_begin_anew_with_each_billing_month() -> None:
    prices = table(PARIS, Tariff(EVER, (Season(TIERS),), billing_day=10))
    start_s, end_s = unix(PARIS, 2026, 1, 10), unix(PARIS, 2026, 3, 10)
    result = costs(prices, every_hour(start_s, end_s), start_s, end_s)
    assert [cost.energy for cost in result.months] == [money("98.8"), money("84.4")]
    assert result.hours[499].energy == money("0.1")
    assert result.hours[500].energy == money("0.2")
    assert result.hours[744].energy == money("0.1")


def test_a_new_price_within_a_month_leaves_what_was_used_in_it() -> None:
    dear = Tiered((Tier(money("1"), money("500")), Tier(money("2"))))
    prices = table(
        PARIS, Tariff(EVER, (Season(TIERS),)), Tariff(date(2026, 1, 16), (Season(dear),))
    )
    result = of_month(prices, 2026, 1, 1)
    assert len(result.months) == 1
    assert result.months[0].energy == 15 * 24 * money("0.1") + 140 * 1 + 244 * 2


def test_time_of_use_goes_by_local_hours_and_days_of_the_week() -> None:
    prices = table(NEW_YORK, Tariff(EVER, (Season(peak("3", "1", 16, 17)),)))
    result = of_month(prices, 2026, 1, 1)
    dear = [cost.start_s for cost in result.hours if cost.energy == 3]
    assert len(dear) == 2 * 22
    assert dear[:2] == [unix(NEW_YORK, 2026, 1, 1, 16), unix(NEW_YORK, 2026, 1, 1, 17)]
    assert {datetime.fromtimestamp(unix_s, NEW_YORK).weekday() for unix_s in dear} == set(range(5))


def test_seasons_begin_on_their_day_and_last_into_the_next_year() -> None:
    summer, winter = Season(flat(money("2")), (6, 15)), Season(flat(money("1")), (10, 1))
    tariff = Tariff(EVER, (summer, winter))
    days = [date(2026, 6, 14), date(2026, 6, 15), date(2026, 9, 30), date(2026, 10, 1)]
    assert [tariff.rate(day) for day in days] == [
        winter.rate, summer.rate, summer.rate, winter.rate,
    ]  # fmt: skip
    assert tariff.rate(date(2027, 1, 1)) is winter.rate


def test_a_season_from_a_leap_day_begins_in_every_year() -> None:
    winter, leap = Season(flat(money("1"))), Season(flat(money("2")), (2, 29))
    tariff = Tariff(EVER, (winter, leap))
    assert tariff.rate(date(2027, 2, 28)) is winter.rate
    assert tariff.rate(date(2027, 3, 1)) is leap.rate
    assert tariff.rate(date(2028, 2, 29)) is leap.rate


@pytest.mark.parametrize(
    ("day", "hours", "cost"),
    [((2026, 3, 8), 23, "23"), ((2026, 11, 1), 25, "27"), ((2026, 11, 2), 24, "24")],
)
def test_days_on_which_clocks_are_changed(day: tuple[int, int, int], hours: int, cost: str) -> None:
    """Between 1 and 2 o'clock it is dear on weekends: twice in autumn."""
    weekend = tuple(money("2" if hour == 1 else "1") for hour in range(24))
    dear = TimeOfUse((money("1"),) * 24, weekend)
    prices = table(NEW_YORK, Tariff(EVER, (Season(dear),)))
    start_s = unix(NEW_YORK, *day)
    result = of_month(prices, *day)
    (found,) = [cost for cost in result.days if cost.start_s == start_s]
    assert (found.end_s - found.start_s) == hours * HOUR
    expected = money(cost) + (1 if hours == 23 else 0)
    assert found.energy == expected


def test_an_hour_at_an_offset_of_half_an_hour_belongs_to_two_local_hours() -> None:
    prices = table(KOLKATA, Tariff(EVER, (Season(peak("3", "1", 9)),)))
    by_start = {cost.start_s: cost.energy for cost in of_month(prices, 2026, 1, 1).hours}
    half_past_8_s = unix(KOLKATA, 2026, 1, 1, 8, 30)
    around = [by_start[half_past_8_s + number * HOUR] for number in (-1, 0, 1, 2)]
    assert around == [money("1"), money("2"), money("2"), money("1")]


def test_an_hour_across_midnight_belongs_to_two_days_and_bills_and_to_one_range() -> None:
    tariffs = simple(EVER, "1"), simple(date(2026, 2, 1), "3")
    prices = table(KOLKATA, *tariffs)
    january, february = of_month(prices, 2026, 1, 1), of_month(prices, 2026, 2, 1)
    assert january.days[-1].energy == 24
    assert january.months[0].energy == 31 * 24
    assert february.days[0].energy == 3 * 24
    across = unix(KOLKATA, 2026, 1, 31, 23, 30)
    assert january.hours[-1] == (across, across + HOUR, money("2"), money("0"))
    assert february.hours[0].start_s == across + HOUR


def test_nepals_offset_shares_an_hour_by_quarters() -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")
    prices = table(kathmandu, Tariff(EVER, (Season(peak("5", "1", 9)),)))
    by_start = {cost.start_s: cost.energy for cost in of_month(prices, 2026, 1, 1).hours}
    start_s = unix(kathmandu, 2026, 1, 1, 8, 45)
    assert [by_start[start_s], by_start[start_s + HOUR]] == [money("4"), money("2")]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Australia/Lord_Howe", (2026, 4, 5), "24.5"),
        ("Australia/Lord_Howe", (2026, 10, 4), "23.5"),
        ("America/Havana", (2026, 3, 8), "23"),
        ("Asia/Beirut", (2026, 3, 29), "23"),
    ],
)
def test_clocks_that_are_changed_in_odd_ways(
    zone: str, day: tuple[int, int, int], hours: str
) -> None:
    """By half an hour, and so that there is no midnight."""
    here = ZoneInfo(zone)
    result = of_month(table(here, simple(date(2000, 1, 1), "1")), *day)
    start_s = BillingMonths(here).midnight(date(*day))
    (found,) = [cost for cost in result.days if cost.start_s == start_s]
    assert found.energy == money(hours)
    assert found.end_s - found.start_s == money(hours) * HOUR


def test_the_fixed_charge_is_shared_out_to_the_last_digit() -> None:
    prices = table(PARIS, simple(EVER, "0", "10", billing_day=28))
    result = of_month(prices, 2026, 2, 28)
    assert len(result.days) == 28
    assert result.months[0].fixed == 10 == sum(cost.fixed for cost in result.days)
    assert {cost.fixed for cost in result.days} == {money("0.357142"), money("0.357143")}


def test_another_fixed_charge_within_a_month_counts_by_days() -> None:
    prices = table(PARIS, simple(EVER, "0", "30"), simple(date(2026, 4, 21), "0", "60"))
    (month,) = of_month(prices, 2026, 4, 1).months
    assert month.fixed == 20 + 20


def test_fuel_has_no_days_without_the_generator() -> None:
    prices = table(PARIS, simple(EVER, "0.95"))
    start_s, end_s = unix(PARIS, 2026, 1, 1), unix(PARIS, 2026, 3, 1)
    result = costs(prices, [(start_s + 30 * HOUR, 2000.0)], start_s, end_s)
    assert [cost.energy for cost in result.days] == [money("1.9")]
    assert [cost.energy for cost in result.months] == [money("1.9")]


def test_billing_months() -> None:
    months = BillingMonths.of([simple(EVER, "1", billing_day=28)], NEW_YORK)
    assert months.bounds(unix(NEW_YORK, 2026, 3, 27, 23, 59)) == (
        unix(NEW_YORK, 2026, 2, 28),
        unix(NEW_YORK, 2026, 3, 28),
    )
    assert months.bounds(unix(NEW_YORK, 2026, 12, 28)) == (
        unix(NEW_YORK, 2026, 12, 28),
        unix(NEW_YORK, 2027, 1, 28),
    )


def test_months_of_the_calendar_without_and_before_tariffs() -> None:
    tariff = simple(date(2026, 5, 20), "1", billing_day=10)
    for months in (BillingMonths(PARIS), BillingMonths.of([tariff], PARIS)):
        assert months.bounds(unix(PARIS, 2026, 4, 15)) == (
            unix(PARIS, 2026, 4, 1),
            unix(PARIS, 2026, 5, 1),
        )


def test_another_billing_day_begins_a_bill_of_its_own() -> None:
    prices = table(
        PARIS, simple(EVER, "1", "31"), simple(date(2026, 3, 10), "1", "28", billing_day=15)
    )
    start_s, end_s = unix(PARIS, 2026, 3, 1), unix(PARIS, 2026, 4, 15)
    result = costs(prices, every_hour(start_s, end_s), start_s, end_s)
    assert [(cost.start_s, cost.fixed) for cost in result.months] == [
        (unix(PARIS, 2026, 3, 1), money("9")),
        (unix(PARIS, 2026, 3, 10), money("5")),
        (unix(PARIS, 2026, 3, 15), money("28")),
    ]
    assert [cost.end_s for cost in result.months] == [
        *(cost.start_s for cost in result.months[1:]), end_s,
    ]  # fmt: skip


def test_hours_outside_of_the_range_are_left_alone() -> None:
    prices = table(PARIS, simple(EVER, "1"))
    start_s, end_s = prices.months.bounds(unix(PARIS, 2026, 1, 1))
    around = every_hour(start_s - 5 * HOUR, end_s + 5 * HOUR)
    assert costs(prices, around, start_s, end_s) == of_month(prices, 2026, 1, 1)


@pytest.mark.parametrize(
    ("hours", "complaint"),
    [
        ([(1, 1.0)], "1 is no whole hour"),
        ([(HOUR, 1.0), (HOUR, 1.0)], "3600 is no whole hour, or not after the one before it"),
        ([(0, -0.5)], r"-0\.5 Wh in the hour 0"),
        ([(0, float("nan"))], "nan Wh"),
    ],
)
def test_hours_that_cannot_be_true(hours: list[tuple[int, float]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        costs(table(ZoneInfo("UTC"), simple(date(1970, 1, 1), "1")), hours, 0, 7 * HOUR)


def test_a_range_begins_with_a_billing_month() -> None:
    with pytest.raises(ValueError, match="86400 is not the start of a billing month"):
        costs(table(ZoneInfo("UTC")), [], 86400, 2 * 86400)


A = simple(date(2024, 1, 1), "1")
B = simple(date(2025, 3, 10), "2")
C = simple(date(2026, 1, 1), "3")
FIXED = simple(B.valid_from, "2", "9")
B_15 = simple(B.valid_from, "2", billing_day=15)
C_5 = simple(C.valid_from, "3", billing_day=5)
C_15 = simple(C.valid_from, "3", billing_day=15)


def days_of(zone: ZoneInfo, changed: tuple[int, int | None] | None) -> tuple[str, ...] | None:
    if changed is None:
        return None
    return tuple(
        "" if unix_s is None else f"{datetime.fromtimestamp(unix_s, zone):%Y-%m-%d %H:%M}"
        for unix_s in changed
    )


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ([], [], None),
        ([A, B], [A, B], None),
        ([], [A], ("2024-01-01 00:00", "")),
        ([A], [], ("2024-01-01 00:00", "")),
        ([A], [A, C], ("2026-01-01 00:00", "")),
        ([A], [A, B], ("2025-03-01 00:00", "")),
        ([A, B, C], [A, C], ("2025-03-01 00:00", "2026-01-01 00:00")),
        ([A, B, C], [A, FIXED, C], ("2025-03-01 00:00", "2026-01-01 00:00")),
        ([A, B], [simple(A.valid_from, "9"), B], ("2024-01-01 00:00", "2025-04-01 00:00")),
        ([A], [A, simple(date(2025, 1, 1), "1")], None),
        (
            [A, B, C],
            [A, B_15, C],
            ("2025-03-01 00:00", "2026-01-01 00:00"),
        ),
        (
            [A, B_15, C_5],
            [A, B, C_5],
            ("2025-03-01 00:00", "2026-01-01 00:00"),
        ),
        (
            [A, B_15, C_15],
            [A, B, C_15],
            ("2025-03-01 00:00", "2026-01-15 00:00"),
        ),
    ],
)
def test_only_what_a_change_touches_is_reckoned_anew(
    old: list[Tariff], new: list[Tariff], changed: tuple[str, str] | None
) -> None:
    assert days_of(PARIS, changed_range(table(PARIS, *old), table(PARIS, *new))) == changed


def test_at_half_hours_a_change_touches_the_hour_before_midnight() -> None:
    changed = changed_range(table(KOLKATA, A), table(KOLKATA, A, C))
    assert days_of(KOLKATA, changed) == ("2025-12-31 23:30", "")


def test_another_billing_day_changes_the_cost_of_fuel_too() -> None:
    fuel = (simple(date(2020, 1, 1), "0.9"),)
    old, new = (
        PriceTable(fuel, BillingMonths.of(tariffs, PARIS))
        for tariffs in ([A], [A, simple(B.valid_from, "1", billing_day=15)])
    )
    assert days_of(PARIS, changed_range(old, new)) == ("2025-03-01 00:00", "")


def test_tariffs_survive_as_json() -> None:
    tariffs = (
        Tariff(EVER, (Season(TIERS), Season(peak("0.5", "0.25", 7, 8), (6, 1))), money("9.90"), 15),
        simple(EVER + timedelta(days=1), "1"),
    )
    assert from_json(json.loads(json.dumps(to_json(tariffs)))) == tariffs
