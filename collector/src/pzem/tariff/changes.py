"""What a changed table of prices changes, and how a table is remembered until then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from pzem.tariff.costs import HOUR_S
from pzem.tariff.months import BillingMonths
from pzem.tariff.prices import PriceTable, Season, Tariff, Tier, Tiered, TimeOfUse


def changed_range(old: PriceTable, new: PriceTable) -> tuple[int, int | None] | None:
    """Return from when to when (unix, None: for ever) other prices hold in `new`.

    All costs and billing months that begin in it are to be removed and reckoned anew, and no
    others: it is widened to whole billing months of both tables, and begins with the hour
    that holds its first moment. None if nothing changed. Both are of the same zone.
    """
    cuts = sorted(
        {tariff.valid_from for table in (old, new) for tariff in table.tariffs}
        | {day for table in (old, new) for day, _ in table.months.changes}
    )
    other = [n for n, day in enumerate(cuts) if _said(old, day) != _said(new, day)]
    if not other:
        return None
    first, after = cuts[other[0]], cuts[other[-1] + 1 :]
    calendars = (old.months, new.months)
    start_s = min(months.midnight(months.first_day(first)) for months in calendars)
    end_s = max(_end_s(months, after[0]) for months in calendars) if after else None
    return start_s - start_s % HOUR_S, end_s


def to_json(tariffs: Iterable[Tariff]) -> list[Any]:
    """Return tariffs as JSON can hold them."""
    return [
        {
            "valid_from": tariff.valid_from.isoformat(),
            "seasons": [_season_to_json(season) for season in tariff.seasons],
            "fixed_per_month": str(tariff.fixed_per_month),
            "billing_day": tariff.billing_day,
        }
        for tariff in tariffs
    ]


def from_json(kept: Iterable[Any]) -> tuple[Tariff, ...]:
    """Return the tariffs that `to_json` has kept.

    Raises `ArithmeticError`, `LookupError`, `TypeError` or `ValueError` for anything else.
    """
    return tuple(
        Tariff(
            date.fromisoformat(tariff["valid_from"]),
            tuple(_season_from_json(season) for season in tariff["seasons"]),
            Decimal(tariff["fixed_per_month"]),
            int(tariff["billing_day"]),
        )
        for tariff in kept
    )


def _said(table: PriceTable, day: date) -> tuple[object, ...]:
    """Return all that decides on the costs of a day, whatever tariff it stands in."""
    tariff = table.on(day)
    prices = None if tariff is None else (tariff.seasons, tariff.fixed_per_month)
    return prices, table.months.billing_day(day)


def _end_s(months: BillingMonths, day: date) -> int:
    """Return the end of the billing month that `day` cuts, or where it begins."""
    first = months.first_day(day)
    return months.midnight(first if first == day else months.next_first_day(day))


def _season_to_json(season: Season) -> dict[str, Any]:
    rate = season.rate
    if isinstance(rate, Tiered):
        tiers = [(tier.price_per_kwh, tier.up_to_kwh) for tier in rate.tiers]
        said: dict[str, Any] = {
            "tiers": [[str(price), None if kwh is None else str(kwh)] for price, kwh in tiers]
        }
    else:
        said = {"weekday": list(map(str, rate.weekday)), "weekend": list(map(str, rate.weekend))}
    return {"begins": list(season.begins), **said}


def _season_from_json(kept: Mapping[str, Any]) -> Season:
    rate: Tiered | TimeOfUse
    if "tiers" in kept:
        tiers = [(Decimal(price), kwh) for price, kwh in kept["tiers"]]
        rate = Tiered(
            tuple(Tier(price, None if kwh is None else Decimal(kwh)) for price, kwh in tiers)
        )
    else:
        rate = TimeOfUse(tuple(map(Decimal, kept["weekday"])), tuple(map(Decimal, kept["weekend"])))
    month, day = kept["begins"]
    return Season(rate, (month, day))
