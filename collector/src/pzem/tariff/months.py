"""Billing months: from one billing day to the next, by the house's own days."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pzem.tariff.prices import Tariff

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class BillingMonths:
    """The calendar of the bills.

    Months of the calendar where no tariff is known. A tariff with another billing day than
    the one before it begins a billing month on its first day, which is a bill of its own;
    all other tariffs leave the months alone.
    """

    zone: tzinfo
    changes: tuple[tuple[date, int], ...] = ()
    """From when on which billing day (1 to 28) holds, in order; 1 before the first."""

    @classmethod
    def of(cls, tariffs: Iterable[Tariff], zone: tzinfo) -> BillingMonths:
        """Return the calendar of `tariffs`, which are in the order of their days."""
        changes: list[tuple[date, int]] = []
        billing_day = 1
        for tariff in tariffs:
            if tariff.billing_day != billing_day:
                billing_day = tariff.billing_day
                changes.append((tariff.valid_from, billing_day))
        return cls(zone, tuple(changes))

    def bounds(self, unix_s: float) -> tuple[int, int]:
        """Return start and end (unix seconds) of the billing month that holds a moment."""
        first = self.first_day(self.day_of(unix_s))
        return self.midnight(first), self.midnight(self.next_first_day(first))

    def day_of(self, unix_s: float) -> date:
        """Return the house's day at a moment."""
        return datetime.fromtimestamp(unix_s, self.zone).date()

    def midnight(self, day: date) -> int:
        """Return the moment (unix seconds) at which a day begins."""
        return int(datetime.combine(day, time(), self.zone).timestamp())

    def first_day(self, day: date) -> date:
        """Return the first day of the billing month that holds `day`."""
        since, _ = self._rule(day)
        return max(since, self._billing_day_before(day))

    def next_first_day(self, day: date) -> date:
        """Return the first day after the billing month that holds `day`."""
        ahead = self.changes[bisect_right(self.changes, day, key=_since) :]
        return min([_a_month_later(self._billing_day_before(day)), *map(_since, ahead[:1])])

    def place(self, day: date) -> tuple[int, int]:
        """Return how many days lie between `day` and the billing day before it, of how many.

        A month that a new billing day has cut short counts as the whole one of which it is
        a part.
        """
        first = self._billing_day_before(day)
        return (day - first).days, (_a_month_later(first) - first).days

    def billing_day(self, day: date) -> int:
        """Return the billing day that holds on `day`."""
        return self._rule(day)[1]

    def _rule(self, day: date) -> tuple[date, int]:
        number = bisect_right(self.changes, day, key=_since)
        return self.changes[number - 1] if number else (date.min, 1)

    def _billing_day_before(self, day: date) -> date:
        billing_day = self.billing_day(day)
        if day.day < billing_day:
            day = day.replace(day=1) - ONE_DAY
        return day.replace(day=billing_day)


def _since(change: tuple[date, int]) -> date:
    return change[0]


def _a_month_later(day: date) -> date:
    return (day.replace(day=28) + 4 * ONE_DAY).replace(day=day.day)
