"""What a kilowatt-hour costs, and from when on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Final

from pzem.tariff.months import BillingMonths

DECIMALS: Final = 6
"""Of a price at most, and of the kilowatt-hours of a tier: down to the mWh."""
MILLI_WH_PER_KWH: Final = 1_000_000
SATURDAY: Final = 5


@dataclass(frozen=True)
class Tier:
    """One price, up to so many kWh in the billing month; None: for all above."""

    price_per_kwh: Decimal
    up_to_kwh: Decimal | None = None


@dataclass(frozen=True)
class Tiered:
    """Prices by what has been used in the billing month: borders ascend, the last has none."""

    tiers: tuple[Tier, ...]

    def cost(self, milli_wh: int, used_milli_wh: int, at: datetime) -> Decimal:  # noqa: ARG002
        """Return the price of `milli_wh`, after `used_milli_wh` in the same billing month."""
        cost = Decimal(0)
        for tier in self.tiers:
            part = milli_wh
            if tier.up_to_kwh is not None:
                border = int(tier.up_to_kwh * MILLI_WH_PER_KWH)
                part = min(milli_wh, max(0, border - used_milli_wh))
            cost += _price(part, tier.price_per_kwh)
            used_milli_wh += part
            milli_wh -= part
        return cost


@dataclass(frozen=True)
class TimeOfUse:
    """Prices per kWh by the local hour, 24 each. Holidays count as the day they fall on."""

    weekday: tuple[Decimal, ...]
    weekend: tuple[Decimal, ...]
    """Of Saturday and Sunday."""

    def cost(self, milli_wh: int, used_milli_wh: int, at: datetime) -> Decimal:  # noqa: ARG002
        """Return the price of `milli_wh`, all of it used in the local hour of `at`."""
        hours = self.weekend if at.weekday() >= SATURDAY else self.weekday
        return _price(milli_wh, hours[at.hour])


@dataclass(frozen=True)
class Season:
    """What holds from a day of the year on, until the next season begins."""

    rate: Tiered | TimeOfUse
    begins: tuple[int, int] = (1, 1)
    """Month and day."""


@dataclass(frozen=True)
class Tariff:
    """What holds from a local day on, until the next tariff begins.

    Fuel is one too, without a fixed charge; its billing day is that of the utility's.
    """

    valid_from: date
    seasons: tuple[Season, ...]
    """In the order of the year; the last goes on into January. One alone is all year."""
    fixed_per_month: Decimal = Decimal(0)
    billing_day: int = 1

    def rate(self, day: date) -> Tiered | TimeOfUse:
        """Return the prices of a day."""
        number = bisect_right(self.seasons, (day.month, day.day), key=attrgetter("begins"))
        return self.seasons[number - 1].rate


@dataclass(frozen=True)
class PriceTable:
    """The prices of one kind of energy, in the order of their days, and the bills' calendar."""

    tariffs: tuple[Tariff, ...]
    months: BillingMonths

    def on(self, day: date) -> Tariff | None:
        """Return what holds on a day, or None before the first tariff."""
        return in_force(self.tariffs, day)

    def fixed(self, day: date) -> Decimal:
        """Return a day's share of the fixed charge; the shares of a whole month are all of it.

        Each day bears what its own tariff asks for a month, over the days of that month.
        """
        tariff = self.on(day)
        if tariff is None:
            return Decimal(0)
        before, days = self.months.place(day)
        unit = Decimal(1).scaleb(-DECIMALS)
        until_here, with_it = (
            (tariff.fixed_per_month * count / days).quantize(unit) for count in (before, before + 1)
        )
        return with_it - until_here


def flat(price_per_kwh: Decimal) -> Tiered:
    """Return the rate that is the same at all times."""
    return Tiered((Tier(price_per_kwh),))


def in_force(tariffs: Sequence[Tariff], day: date) -> Tariff | None:
    """Return the tariff of a day, or None before the first."""
    number = bisect_right(tariffs, day, key=attrgetter("valid_from"))
    return tariffs[number - 1] if number else None


def _price(milli_wh: int, price_per_kwh: Decimal) -> Decimal:
    return (milli_wh * price_per_kwh).scaleb(-DECIMALS)
