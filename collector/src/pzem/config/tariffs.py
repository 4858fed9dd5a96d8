"""The check of what energy costs: `[[tariffs]]` and `[[generator_fuel]]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from pzem.config.toml_lines import Key
from pzem.config.wording import is_int, is_number, show, wrong_type
from pzem.tariff.prices import DECIMALS, Season, Tariff, Tier, Tiered, TimeOfUse, flat

Table = Mapping[str, Any]
Rate = Tiered | TimeOfUse

MAX_PRICE: Final = 100_000
"""Of a kWh, or of a litre; enough for every currency that is in use."""
MAX_FIXED: Final = 100_000_000
MAX_KWH: Final = 1_000_000
BILLING_DAYS: Final = (1, 28)
"""There is one in each month."""

_RATES = ("price_per_kwh", "tiers", "hours")
_TARIFF_KEYS = ("valid_from", "billing_day", "fixed_per_month", *_RATES, "seasons")
_SEASON_KEYS = ("from", *_RATES)
_TIER_KEYS = ("up_to_kwh", "price_per_kwh")
_HOURS_KEYS = ("from", "to", "days", "price_per_kwh")
_DAYS = ("all", "weekday", "weekend")
_FUELS = (("price_per_litre", "litres_per_kwh"), ("price_per_gallon", "gallons_per_kwh"))
_FUEL_KEYS = ("valid_from", "price_per_kwh", *_FUELS[0], *_FUELS[1])
_MONTH_DAY = re.compile(r"([0-9]{2})-([0-9]{2})")


@dataclass(frozen=True)
class TariffChecker:
    """Returns what can be used, and complains about the rest.

    A price that cannot be read counts as zero: after a complaint nothing is used anyway.
    """

    complain: Callable[[Key, str, str], None]
    unknown_keys: Callable[[Table, Key, tuple[str, ...]], None]
    day: Callable[[Table, Key], date | None]

    def tariffs(self, document: Table) -> tuple[Tariff, ...]:
        """Return the prices of the utility, in the order of their days."""
        return self._dated(document, "tariffs", self._tariff)

    def fuel(self, document: Table) -> tuple[Tariff, ...]:
        """Return the prices of the generator's energy, in the order of their days."""
        return self._dated(document, "generator_fuel", self._fuel)

    def _dated(
        self, document: Table, name: str, read: Callable[[Table, Key, date], Tariff]
    ) -> tuple[Tariff, ...]:
        tariffs: dict[date, Tariff] = {}
        for at, table in self._tables(document, (name,)):
            if table.get("valid_from") is None:
                self.complain(at, "valid_from is missing", "add the first day, such as 2026-05-31")
            since = self.day(table, (*at, "valid_from"))
            tariff = read(table, at, since or date.min)
            if since is None:
                continue
            if since in tariffs:
                mend = "keep one of them, or correct its day"
                self.complain((*at, "valid_from"), f"{since} is that of another entry too", mend)
            tariffs[since] = tariff
        return tuple(tariffs[since] for since in sorted(tariffs))

    def _tables(self, table: Table, key: Key) -> Sequence[tuple[Key, Table]]:
        entries = table.get(str(key[-1]), [])
        if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
            return [((*key, number), entry) for number, entry in enumerate(entries)]
        self.complain(
            key, wrong_type(entries, "a list of entries with keys"), "see the example in README.md"
        )
        return []

    def _tariff(self, table: Table, at: Key, since: date) -> Tariff:
        self.unknown_keys(table, at, _TARIFF_KEYS)
        fixed = self._amount(table, (*at, "fixed_per_month"), MAX_FIXED) or Decimal(0)
        billing_day = table.get("billing_day", 1)
        low, high = BILLING_DAYS
        if not (is_int(billing_day) and low <= billing_day <= high):
            problem = wrong_type(billing_day, "a day that every month has")
            self.complain((*at, "billing_day"), problem, f"write {low} to {high}")
        if self._which(table, at, (*_RATES, "seasons"), _TARIFF_KEYS) == "seasons":
            seasons = self._seasons(table, (*at, "seasons"))
        else:
            seasons = (Season(self._rate(table, at)),)
        return Tariff(since, seasons, fixed, billing_day)

    def _fuel(self, table: Table, at: Key, since: date) -> Tariff:
        self.unknown_keys(table, at, _FUEL_KEYS)
        price = Decimal(0)
        which = self._which(table, at, ("price_per_kwh", *(fuel for fuel, _ in _FUELS)), _FUEL_KEYS)
        if which is not None:
            price = self._amount(table, (*at, which)) or price
        for fuel, consumption in _FUELS:
            if which == fuel and consumption not in table:
                mend = f"add what the generator burns, such as {consumption} 0.5"
                self.complain(at, f"{consumption} is missing", mend)
            elif which == fuel:
                price *= self._amount(table, (*at, consumption)) or Decimal(0)
            elif consumption in table and which is not None:
                mend = f"take it out, or write {fuel}"
                self.complain((*at, consumption), f"it does not belong to {which}", mend)
        return Tariff(since, (Season(flat(round(price, DECIMALS))),))

    def _which(
        self, table: Table, at: Key, choices: tuple[str, ...], known: tuple[str, ...]
    ) -> str | None:
        """Return the one key that says the price; a misspelled one has had its complaint."""
        found = [key for key in choices if key in table]
        if len(found) == 1:
            return found[0]
        if found:
            self.complain(at, f"has {' and '.join(found)}", "keep one of them")
        elif table.keys() <= set(known):
            self.complain(at, "has no price", f"add one of {', '.join(choices)}")
        return None

    def _seasons(self, table: Table, key: Key) -> tuple[Season, ...]:
        entries = self._tables(table, key)
        if len(entries) == 1 or table["seasons"] == []:
            mend = "add the others, or write the price without seasons"
            self.complain(key, "one season alone is no change", mend)
        seasons: dict[tuple[int, int], Season] = {}
        for at, entry in entries:
            self.unknown_keys(entry, at, _SEASON_KEYS)
            begins = self._month_day(entry, (*at, "from"))
            self._which(entry, at, _RATES, _SEASON_KEYS)
            rate = self._rate(entry, at)
            if begins in seasons:
                problem = f"{show(entry['from'])} is the first day of another season too"
                self.complain((*at, "from"), problem, "keep one of them, or correct its day")
            if begins is not None:
                seasons[begins] = Season(rate, begins)
        return tuple(seasons[begins] for begins in sorted(seasons))

    def _month_day(self, table: Table, key: Key) -> tuple[int, int] | None:
        value = table.get("from")
        mend = 'write month and day of the first day, such as "06-15"'
        if value is None:
            self.complain(key[:-1], "from is missing", mend)
            return None
        if isinstance(value, str) and (found := _MONTH_DAY.fullmatch(value)):
            month, day = int(found[1]), int(found[2])
            try:
                date(2000, month, day)  # a leap year
            except ValueError:
                pass
            else:
                return month, day
        self.complain(key, wrong_type(value, "a day of the year"), mend)
        return None

    def _rate(self, table: Table, at: Key) -> Rate:
        if "tiers" in table:
            return self._tiers(table, (*at, "tiers"))
        if "hours" in table:
            return self._hours(table, (*at, "hours"))
        return flat(self._amount(table, (*at, "price_per_kwh")) or Decimal(0))

    def _tiers(self, table: Table, key: Key) -> Tiered:
        entries = self._tables(table, key)
        if table["tiers"] == []:
            self.complain(key, "no tier", "write one for each price, the last without up_to_kwh")
        tiers: list[Tier] = []
        below = Decimal(0)
        for at, entry in entries:
            self.unknown_keys(entry, at, _TIER_KEYS)
            price = self._needed(entry, (*at, "price_per_kwh"))
            up_to = self._amount(entry, (*at, "up_to_kwh"), MAX_KWH)
            is_last = (at, entry) == entries[-1]
            if is_last and "up_to_kwh" in entry:
                mend = "take up_to_kwh out of the last tier"
                self.complain(
                    (*at, "up_to_kwh"),
                    f"above {show(entry['up_to_kwh'])} kWh there is no price",
                    mend,
                )
            elif not is_last and "up_to_kwh" not in entry:
                self.complain(at, "up_to_kwh is missing", "only the last tier has no end; add it")
            elif up_to is not None and up_to <= below:
                mend = "write the tiers from the lowest to the highest"
                self.complain((*at, "up_to_kwh"), f"{up_to} is not above {below}", mend)
            below = up_to or below
            tiers.append(Tier(price, up_to))
        return Tiered(tuple(tiers))

    def _hours(self, table: Table, key: Key) -> TimeOfUse:
        prices: dict[str, dict[int, Decimal]] = {"weekday": {}, "weekend": {}}
        entries = self._tables(table, key)
        all_are_clear = bool(entries) or table["hours"] == []
        for at, entry in entries:
            self.unknown_keys(entry, at, _HOURS_KEYS)
            price = self._needed(entry, (*at, "price_per_kwh"))
            hours, days = self._range(entry, at), self._days(entry, at)
            all_are_clear = all_are_clear and bool(hours and days)
            for day in days:
                twice = [hour for hour in hours if hour in prices[day]]
                prices[day].update(dict.fromkeys(hours, price))
                if twice:
                    problem = f"{_spans(twice)} of a {day} has a price already"
                    self.complain(at, problem, "let no two ranges overlap")
                    break
        if all_are_clear:
            self._complete(prices, key)
        weekday, weekend = (
            tuple(known.get(hour, Decimal(0)) for hour in range(24)) for known in prices.values()
        )
        return TimeOfUse(weekday, weekend)

    def _complete(self, prices: Mapping[str, Mapping[int, Decimal]], key: Key) -> None:
        missing = {
            day: _spans([hour for hour in range(24) if hour not in known])
            for day, known in prices.items()
        }
        if len(set(missing.values())) == 1:
            missing = {"day": missing["weekday"]}
        for day, spans in missing.items():
            if spans:
                self.complain(key, f"{spans} of a {day} has no price", "add a range for it")

    def _range(self, table: Table, at: Key) -> Sequence[int]:
        """Return the hours of a range, which may go over midnight; none after a complaint."""
        ends: list[int] = []
        for name, low, high in (("from", 0, 23), ("to", 1, 24)):
            mend = f"write a whole hour, {low} to {high}"
            value = table.get(name)
            if value is None:
                self.complain(at, f"{name} is missing", mend)
            elif not (is_int(value) and 0 <= value <= 24):
                self.complain((*at, name), wrong_type(value, "an hour of the day"), mend)
            else:
                ends.append(value)
        if len(ends) < 2:
            return ()
        begins, ends_at = ends[0] % 24, ends[1] % 24
        if begins == ends_at and ends != [0, 24]:
            self.complain(at, f"no hour lies from {ends[0]} to {ends[1]}", "for all write 0 to 24")
            return ()
        return [hour % 24 for hour in range(begins, begins + ((ends_at - begins) % 24 or 24))]

    def _days(self, table: Table, at: Key) -> Sequence[str]:
        value = table.get("days", _DAYS[0])
        if value not in _DAYS:
            allowed = ", ".join(f'"{choice}"' for choice in _DAYS)
            self.complain((*at, "days"), f"unknown days {show(value)}", f"use one of {allowed}")
            return ()
        return _DAYS[1:] if value == _DAYS[0] else (str(value),)

    def _needed(self, table: Table, key: Key) -> Decimal:
        if key[-1] not in table:
            self.complain(key[:-1], f"{key[-1]} is missing", "add it, such as 0.25")
        return self._amount(table, key) or Decimal(0)

    def _amount(self, table: Table, key: Key, high: int = MAX_PRICE) -> Decimal | None:
        """Return a number as it was written; None if it is not there, or after a complaint."""
        value = table.get(str(key[-1]))
        if str(key[-1]) not in table:
            return None
        if not is_number(value):
            mend = "write it like 0.25, without a currency"
            self.complain(key, wrong_type(value, "a number"), mend)
        elif value < 0:
            self.complain(key, f"{show(value)} is below zero", "write 0 or more")
        elif not value <= high:  # nor is what is no number at all
            self.complain(key, f"{show(value)} cannot be meant", f"write at most {high}")
        elif round(amount := Decimal(repr(value)), DECIMALS) != amount:
            mend = f"write at most {DECIMALS} digits after the point"
            self.complain(key, f"{show(value)} is finer than can be reckoned with", mend)
        else:
            return amount
        return None


def _spans(hours: Sequence[int]) -> str:
    """Spell hours as ranges: `0 to 6, 22 to 24`."""
    ordered = sorted(hours)
    begins = [hour for hour in ordered if hour - 1 not in ordered]
    ends = [hour + 1 for hour in ordered if hour + 1 not in ordered]
    return ", ".join(f"{a} to {b}" for a, b in zip(begins, ends, strict=True))
