from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pzem import config
from pzem.config import ConfigError
from pzem.tariff import Season, Tariff, Tier, Tiered, TimeOfUse, flat

KINDS = ["tariffs", "generator_fuel"]
METER = {"name": "mainA", "address": 4, "supply": "utility"}
HEAD = """[house]
currency = "EUR"
[[meters]]
name = "mainA"
address = 4
supply = "utility"
"""
TARIFF = "[[tariffs]]\nvalid_from = 2026-01-01\n"
FUEL = "[[generator_fuel]]\nvalid_from = 2026-01-01\n"


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config.parse(HEAD + text, "f")
    return list(error.value.lines)


def tariffs(text: str) -> tuple[Tariff, ...]:
    return config.parse(HEAD + text).tariffs


def prices(*spans: tuple[int, str]) -> tuple[Decimal, ...]:
    return tuple(Decimal(price) for count, price in spans for _ in range(count))


def test_every_kind_of_tariff() -> None:
    text = """
        [[tariffs]]
        valid_from = 2026-07-01
        billing_day = 28
        fixed_per_month = 9.90
        price_per_kwh = 0.301
        [[tariffs]]
        valid_from = "2025-01-01"
        tiers = [{up_to_kwh = 500.5, price_per_kwh = 0.1}, {price_per_kwh = 2}]
        [[tariffs]]
        valid_from = 2024-01-01
        hours = [
            {from = 22, to = 6, price_per_kwh = 0.1},
            {from = 6, to = 22, days = "weekday", price_per_kwh = 0.3},
            {from = 6, to = 22, days = "weekend", price_per_kwh = 0.2},
        ]
        [[tariffs]]
        valid_from = 2023-01-01
        seasons = [
            {from = "10-01", tiers = [{price_per_kwh = 0.1}]},
            {from = "04-01", hours = [{from = 0, to = 24, price_per_kwh = 0}]},
        ]
    """
    hours = TimeOfUse(
        prices((6, "0.1"), (16, "0.3"), (2, "0.1")), prices((6, "0.1"), (16, "0.2"), (2, "0.1"))
    )
    free = TimeOfUse(prices((24, "0")), prices((24, "0")))
    assert tariffs(text) == (
        Tariff(
            date(2023, 1, 1),
            (Season(free, (4, 1)), Season(flat(Decimal("0.1")), (10, 1))),
        ),
        Tariff(date(2024, 1, 1), (Season(hours),)),
        Tariff(
            date(2025, 1, 1),
            (Season(Tiered((Tier(Decimal("0.1"), Decimal("500.5")), Tier(Decimal(2))))),),
        ),
        Tariff(date(2026, 7, 1), (Season(flat(Decimal("0.301"))),), Decimal("9.9"), 28),
    )


@pytest.mark.parametrize(
    ("said", "price"),
    [
        ("price_per_kwh = 1.25", "1.25"),
        ("price_per_litre = 1.80\nlitres_per_kwh = 0.55", "0.99"),
        ("price_per_gallon = 3.333333\ngallons_per_kwh = 0.133333", "0.444443"),
    ],
)
def test_fuel(said: str, price: str) -> None:
    read = config.parse(f"{HEAD}{FUEL}{said}")
    assert read.generator_fuel == (Tariff(date(2026, 1, 1), (Season(flat(Decimal(price))),)),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            f"{TARIFF}price_per_kw = 0.3\nprice_per_kwh = 0.3",
            "f:9: tariffs[1].price_per_kw: unknown key; did you mean price_per_kwh?",
        ),
        (
            "[[tariffs]]\nprice_per_kwh = 0.3",
            "f:7: tariffs[1]: valid_from is missing; add the first day, such as 2026-05-31",
        ),
        (
            "[[tariffs]]\nvalid_from = '1.1.2026'\nprice_per_kwh = 0.3",
            'f:8: tariffs[1].valid_from: "1.1.2026" is not a day; '
            "write it like 2026-05-31, year first",
        ),
        (
            f"{TARIFF}price_per_kwh = 1\n{TARIFF}price_per_kwh = 2",
            "f:11: tariffs[2].valid_from: 2026-01-01 is that of another entry too; "
            "keep one of them, or correct its day",
        ),
        (
            "[tariffs]\nprice_per_kwh = 1",
            "f:7: tariffs: {'price_per_kwh': 1} is not a list of entries with keys; "
            "see the example in README.md",
        ),
        (
            f"{TARIFF}",
            "f:7: tariffs[1]: has no price; add one of price_per_kwh, tiers, hours, seasons",
        ),
        (
            f"{TARIFF}price_per_kwh = 1\ntiers = [{{price_per_kwh = 1}}]",
            "f:7: tariffs[1]: has price_per_kwh and tiers; keep one of them",
        ),
        (
            f"{TARIFF}price_per_kwh = -0.1",
            "f:9: tariffs[1].price_per_kwh: -0.1 is below zero; write 0 or more",
        ),
        (
            f"{TARIFF}price_per_kwh = '0.3 EUR'",
            'f:9: tariffs[1].price_per_kwh: "0.3 EUR" is not a number; '
            "write it like 0.25, without a currency",
        ),
        (
            f"{TARIFF}price_per_kwh = nan",
            "f:9: tariffs[1].price_per_kwh: nan cannot be meant; write at most 100000",
        ),
        (
            f"{TARIFF}price_per_kwh = 1{'0' * 400}",
            "f:9: tariffs[1].price_per_kwh: a huge number cannot be meant; write at most 100000",
        ),
        (
            f"{TARIFF}price_per_kwh = 0.1234567",
            "f:9: tariffs[1].price_per_kwh: 0.1234567 is finer than can be reckoned with; "
            "write at most 6 digits after the point",
        ),
        (
            f"{TARIFF}price_per_kwh = 1\nbilling_day = 29",
            "f:10: tariffs[1].billing_day: 29 is not a day that every month has; write 1 to 28",
        ),
        (
            f"{TARIFF}price_per_kwh = 1\nbilling_day = '1'",
            'f:10: tariffs[1].billing_day: "1" is not a day that every month has; write 1 to 28',
        ),
        (
            f"{TARIFF}price_per_kwh = 1\nfixed_per_month = -5",
            "f:10: tariffs[1].fixed_per_month: -5 is below zero; write 0 or more",
        ),
        (
            f"{TARIFF}tiers = []",
            "f:9: tariffs[1].tiers: no tier; write one for each price, the last without up_to_kwh",
        ),
        (
            f"{TARIFF}tiers = [{{up_to_kwh = 5}}, {{price_per_kwh = 1}}]",
            "f:9: tariffs[1].tiers[1]: price_per_kwh is missing; add it, such as 0.25",
        ),
        (
            f"{TARIFF}tiers = [{{price_per_kwh = 1, up_to_kwh = 5}}]",
            "f:9: tariffs[1].tiers[1].up_to_kwh: above 5 kWh there is no price; "
            "take up_to_kwh out of the last tier",
        ),
        (
            f"{TARIFF}tiers = [{{price_per_kwh = 1}}, {{price_per_kwh = 2}}]",
            "f:9: tariffs[1].tiers[1]: up_to_kwh is missing; only the last tier has no end; add it",
        ),
        (
            f"{TARIFF}tiers = [{{price_per_kwh = 1, up_to_kwh = 5}}, "
            "{price_per_kwh = 2, up_to_kwh = 5}, {price_per_kwh = 3}]",
            "f:9: tariffs[1].tiers[2].up_to_kwh: 5 is not above 5; "
            "write the tiers from the lowest to the highest",
        ),
        (
            f"{TARIFF}hours = []",
            "f:9: tariffs[1].hours: 0 to 24 of a day has no price; add a range for it",
        ),
        (
            f"{TARIFF}hours = 7",
            "f:9: tariffs[1].hours: 7 is not a list of entries with keys; "
            "see the example in README.md",
        ),
        (
            f"{TARIFF}hours = [{{from = 7, to = 22, price_per_kwh = 1}}, "
            "{from = 22, to = 6, price_per_kwh = 1}]",
            "f:9: tariffs[1].hours: 6 to 7 of a day has no price; add a range for it",
        ),
        (
            f"{TARIFF}hours = [{{from = 0, to = 24, days = 'weekday', price_per_kwh = 1}}, "
            "{from = 5, to = 7, days = 'weekend', price_per_kwh = 1}]",
            "f:9: tariffs[1].hours: 0 to 5, 7 to 24 of a weekend has no price; add a range for it",
        ),
        (
            f"{TARIFF}hours = [{{from = 0, to = 24, price_per_kwh = 1}}, "
            "{from = 22, to = 6, days = 'weekend', price_per_kwh = 1}]",
            "f:9: tariffs[1].hours[2]: 0 to 6, 22 to 24 of a weekend has a price already; "
            "let no two ranges overlap",
        ),
        (
            f"{TARIFF}hours = [{{from = 0, to = 24, price_per_kwh = 1}}, "
            "{from = 3, to = 4, price_per_kwh = 1}]",
            "f:9: tariffs[1].hours[2]: 3 to 4 of a weekday has a price already; "
            "let no two ranges overlap",
        ),
        (
            f"{TARIFF}hours = [{{from = 7, to = 7, price_per_kwh = 1}}]",
            "f:9: tariffs[1].hours[1]: no hour lies from 7 to 7; for all write 0 to 24",
        ),
        (
            f"{TARIFF}hours = [{{from = 1320, to = 6, price_per_kwh = 1}}]",
            "f:9: tariffs[1].hours[1].from: 1320 is not an hour of the day; "
            "write a whole hour, 0 to 23",
        ),
        (
            f"{TARIFF}hours = [{{from = 0, price_per_kwh = 1}}]",
            "f:9: tariffs[1].hours[1]: to is missing; write a whole hour, 1 to 24",
        ),
        (
            f"{TARIFF}hours = [{{from = 0, to = 24, days = 'sunday', price_per_kwh = 1}}]",
            'f:9: tariffs[1].hours[1].days: unknown days "sunday"; '
            'use one of "all", "weekday", "weekend"',
        ),
        (
            f"{TARIFF}hours = [{{from = 0, to = 24, day = 'all', price_per_kwh = 1}}]",
            "f:9: tariffs[1].hours[1].day: unknown key; did you mean days?",
        ),
        (
            f"{TARIFF}seasons = []",
            "f:9: tariffs[1].seasons: one season alone is no change; "
            "add the others, or write the price without seasons",
        ),
        (
            f"{TARIFF}seasons = [{{from = '06-01', price_per_kwh = 1}}]",
            "f:9: tariffs[1].seasons: one season alone is no change; "
            "add the others, or write the price without seasons",
        ),
        (
            f"{TARIFF}seasons = [{{price_per_kwh = 1}}, {{from = '06-01', price_per_kwh = 1}}]",
            "f:9: tariffs[1].seasons[1]: from is missing; "
            'write month and day of the first day, such as "06-15"',
        ),
        (
            f"{TARIFF}seasons = [{{from = '06-31', price_per_kwh = 1}}, "
            "{from = '02-29', price_per_kwh = 1}]",
            'f:9: tariffs[1].seasons[1].from: "06-31" is not a day of the year; '
            'write month and day of the first day, such as "06-15"',
        ),
        (
            f"{TARIFF}seasons = [{{from = 'May', price_per_kwh = 1}}, "
            "{from = '09-01', price_per_kwh = 1}]",
            'f:9: tariffs[1].seasons[1].from: "May" is not a day of the year; '
            'write month and day of the first day, such as "06-15"',
        ),
        (
            f"{TARIFF}seasons = [{{from = '06-01', price_per_kwh = 1}}, "
            "{from = '06-01', price_per_kwh = 1}]",
            'f:9: tariffs[1].seasons[2].from: "06-01" is the first day of another season too; '
            "keep one of them, or correct its day",
        ),
        (
            f"{TARIFF}seasons = [{{from = '06-01', price_per_kwh = 1}}, {{from = '09-01'}}]",
            "f:9: tariffs[1].seasons[2]: has no price; add one of price_per_kwh, tiers, hours",
        ),
        (
            f"{FUEL}price_per_litre = 1.8",
            "f:7: generator_fuel[1]: litres_per_kwh is missing; "
            "add what the generator burns, such as litres_per_kwh 0.5",
        ),
        (
            f"{FUEL}price_per_litre = 1.8\nlitres_per_kwh = 0.5\ngallons_per_kwh = 0.1",
            "f:11: generator_fuel[1].gallons_per_kwh: it does not belong to price_per_litre; "
            "take it out, or write price_per_gallon",
        ),
        (
            f"{FUEL}litres_per_kwh = 0.5",
            "f:7: generator_fuel[1]: has no price; "
            "add one of price_per_kwh, price_per_litre, price_per_gallon",
        ),
        (
            f"{FUEL}price_per_gallon = 'much'\ngallons_per_kwh = 0.5",
            'f:9: generator_fuel[1].price_per_gallon: "much" is not a number; '
            "write it like 0.25, without a currency",
        ),
        (
            f"{FUEL}price_per_kwh = 1\nfixed_per_month = 5",
            "f:10: generator_fuel[1].fixed_per_month: unknown key; "
            "known are valid_from, price_per_kwh, price_per_litre, litres_per_kwh, "
            "price_per_gallon, gallons_per_kwh",
        ),
    ],
)
def test_one_line_for_each_mistake(text: str, complaint: str) -> None:
    assert complaints(text) == [complaint]


def test_all_mistakes_come_at_once() -> None:
    text = f"{TARIFF}billing_day = 31\nhours = [{{from = 0, to = 25}}]\n[[tariffs]]\n"
    assert len(complaints(text)) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_prices_have_a_currency(kind: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.check(
            {"meters": [METER], kind: [{"valid_from": date(2026, 1, 1), "price_per_kwh": 1}]},
            {},
            "f",
        )
    assert error.value.lines == (
        'f:1: house.currency: prices have none; write its three letters, such as "USD" or "EUR"',
    )


@pytest.mark.parametrize("currency", ["€", "euro", "usd", 5])
def test_a_currency_is_three_letters(currency: object) -> None:
    entry = {"valid_from": date(2026, 1, 1), "price_per_kwh": 1}
    document = {"meters": [METER], "house": {"currency": currency}, "tariffs": [entry]}
    with pytest.raises(ConfigError) as error:
        config.check(document, {}, "f")
    (line,) = error.value.lines
    assert 'is not a currency; write its three letters, such as "USD" or "EUR"' in line


def test_nothing_needs_a_price() -> None:
    read = config.check({"meters": [METER], "house": {"currency": ""}}, {}, "f")
    assert (read.house.currency, read.tariffs, read.generator_fuel) == ("", (), ())


def test_an_announced_price_may_lie_far_ahead() -> None:
    entry = {"valid_from": date(2027, 1, 1), "price_per_kwh": 1}
    document = {"meters": [METER], "house": {"currency": "USD"}, "tariffs": [entry]}
    read = config.check(document, {}, "f", today=date(2026, 5, 31))
    assert [tariff.valid_from for tariff in read.tariffs] == [date(2027, 1, 1)]
    entry["valid_from"] = date(2207, 1, 1)
    with pytest.raises(ConfigError, match="the year 2207 cannot be meant"):
        config.check(document, {}, "f", today=date(2026, 5, 31))


KEYS = st.sampled_from(
    [
        "valid_from", "billing_day", "fixed_per_month", "price_per_kwh", "tiers", "hours",
        "seasons", "from", "to", "days", "up_to_kwh", "price_per_litre", "litres_per_kwh", "x",
    ]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.dates(),
    st.datetimes(),
    st.sampled_from(["06-01", "02-30", "weekday", 0, 6, 24, 0.25, 10**400]),
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


@given(st.lists(st.dictionaries(KEYS, ANYTHING)) | ANYTHING, st.sampled_from(KINDS))
@example("\x7f", "tariffs")
@example({"\x7f": 1}, "tariffs")
def test_nothing_is_too_odd_for_a_complaint(written: object, name: str) -> None:
    document = {"meters": [METER], "house": {"currency": "EUR"}, name: written}
    lines: tuple[str, ...] = ()
    try:
        config.check(document, {}, "f")
    except ConfigError as error:
        lines = error.lines
    assert all(line.isprintable() and len(line) < 300 for line in lines)
