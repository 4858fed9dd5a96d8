"""What energy costs: pure functions from tariffs and kilowatt-hours to money.

Money is `Decimal` and energy whole mWh, so that every sum is exact: a price has at most
six decimals, hence no product of the two is ever rounded, and hours add up to days and
days to billing months to the last digit. Whoever stores floats rounds once, at the end.

    months = BillingMonths.of(config.tariffs, zone)
    utility = PriceTable(config.tariffs, months)
    generator = PriceTable(config.generator_fuel, months)
    start_s, end_s = months.bounds(unix_s)
    result = costs(utility, hours, start_s, min(end_s, now_s))
"""

from pzem.tariff.changes import changed_range, from_json, to_json
from pzem.tariff.costs import Cost, Costs, costs
from pzem.tariff.months import BillingMonths
from pzem.tariff.prices import (
    DECIMALS,
    PriceTable,
    Season,
    Tariff,
    Tier,
    Tiered,
    TimeOfUse,
    flat,
)

__all__ = [
    "DECIMALS",
    "BillingMonths",
    "Cost",
    "Costs",
    "PriceTable",
    "Season",
    "Tariff",
    "Tier",
    "Tiered",
    "TimeOfUse",
    "changed_range",
    "costs",
    "flat",
    "from_json",
    "to_json",
]
