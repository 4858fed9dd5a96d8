"""The cost of hours, local days and billing months.

An hour of UTC is not always one of the house: at an offset of half an hour it belongs to
two local hours, and one of them may be of the next day, season or bill. Its energy is then
shared out by time, down to the mWh, so that the parts add up to the whole.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, tzinfo
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from pzem.tariff.months import ONE_DAY
from pzem.tariff.prices import PriceTable

HOUR_S: Final = 3600


class Cost(NamedTuple):
    """What a period costs, from `start_s` up to but not including `end_s` (unix, UTC)."""

    start_s: int
    end_s: int
    energy: Decimal | None
    """Of the hours that are known; None where there is none."""
    fixed: Decimal = Decimal(0)
    """Of the fixed charge; hours bear none of it."""


class Costs(NamedTuple):
    """The costs of all periods that have any, in the order of time.

    Local days add up to the billing months, both parts exactly; hours do so where no hour
    lies across the border of a day.
    """

    hours: Sequence[Cost]
    days: Sequence[Cost]
    months: Sequence[Cost]


def costs(table: PriceTable, hours: Iterable[tuple[int, float]], start_s: int, end_s: int) -> Costs:
    """Price the energy from `start_s`, the start of a billing month, to `end_s` (unix).

    `hours` are start (unix, a whole UTC hour) and Wh, in ascending order; one that is
    missing is not known and costs nothing. Those that reach into the range are needed, also
    where they begin before it (at offsets of half an hour); others are left alone. An hour
    belongs to the range in which it begins, and is priced whole even if it ends behind that.

    `end_s` may lie within a day: the last day and month then hold what there is so far, but
    the day's share of the fixed charge is that of a whole day. Nothing has a price before
    the first tariff. Raises `ValueError` for a range that begins elsewhere, hours that do
    not ascend, or energy below zero.
    """
    months = table.months
    if months.bounds(start_s)[0] != start_s:
        raise ValueError(f"{start_s} is not the start of a billing month")
    of_hours: list[Cost] = []
    of_days: dict[date, Decimal] = {}
    used: defaultdict[date, int] = defaultdict(int)
    for hour_s, milli_wh in _checked(hours):
        if not start_s - HOUR_S < hour_s < end_s:
            continue
        of_hour: Decimal | None = None
        for piece_s, part in _pieces(hour_s, milli_wh, months.zone):
            at = datetime.fromtimestamp(piece_s, months.zone)
            day = at.date()
            month = months.first_day(day)
            tariff = table.on(day)
            if tariff is not None:
                cost = tariff.rate(day).cost(part, used[month], at)
                of_hour = cost + (of_hour or 0)
                of_days[day] = cost + of_days.get(day, 0)
            used[month] += part
        if of_hour is not None and hour_s >= start_s:
            of_hours.append(Cost(hour_s, hour_s + HOUR_S, of_hour))
    days = [
        Cost(months.midnight(day), months.midnight(day + ONE_DAY), of_days.get(day), fixed)
        for day in _days(months.day_of(start_s), months.day_of(end_s - 1))
        if (fixed := table.fixed(day)) or day in of_days
    ]
    return Costs(of_hours, days, list(_months(table, days)))


def _months(table: PriceTable, days: Iterable[Cost]) -> Iterator[Cost]:
    """Add up days; a billing month without any has no cost."""
    for bounds, found in groupby(days, lambda day: table.months.bounds(day.start_s)):
        of_month = list(found)
        energies = [day.energy for day in of_month if day.energy is not None]
        energy = sum(energies, Decimal(0)) if energies else None
        yield Cost(*bounds, energy, sum((day.fixed for day in of_month), Decimal(0)))


def _checked(hours: Iterable[tuple[int, float]]) -> Iterator[tuple[int, int]]:
    """Yield the hours with their energy in mWh."""
    last_s = -math.inf
    for hour_s, watt_hours in hours:
        if hour_s % HOUR_S or hour_s <= last_s:
            raise ValueError(f"{hour_s} is no whole hour, or not after the one before it")
        if not (math.isfinite(watt_hours) and watt_hours >= 0):
            raise ValueError(f"{watt_hours} Wh in the hour {hour_s}")
        last_s = hour_s
        yield hour_s, round(watt_hours * 1000)


def _pieces(hour_s: int, milli_wh: int, zone: tzinfo) -> Iterator[tuple[int, int]]:
    """Cut an hour where a local hour begins; yield when each part begins, and its mWh.

    Clocks are changed there or with the hour (since 2012, but for one station in Antarctica).
    """
    offset = datetime.fromtimestamp(hour_s, zone).utcoffset()
    assert offset is not None  # it was made with a zone
    cut_s = -int(offset.total_seconds()) % HOUR_S
    for from_s, to_s in pairwise(sorted({0, cut_s, HOUR_S})):
        yield hour_s + from_s, milli_wh * to_s // HOUR_S - milli_wh * from_s // HOUR_S


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += ONE_DAY
