"""The levels of the history: what each measurement becomes in minutes, hours and local days.

The one declaration of them, for the rollup and for imports alike. In a bucket of a coarser
level a mean keeps the field's name, beside `_min`, `_max` and `_count`; a flag has its mean,
a share of time, and `_count`; counters and words keep their last value, states their
largest; and the power factor is ΣW/ΣVA. The counts weigh the means of minutes, so that those
of hours and days are exact.

A bucket is stamped with its start in UTC. A day is one of the house's time zone, so it lasts
23 to 25 hours. All zones in use are whole minutes off UTC, so that hours and days can be made
of minutes.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Final

NS: Final = 1_000_000_000
MINUTE_S: Final = 60
HOUR_S: Final = 3600

RAW: Final = "raw"
"""Retention policy of what was read, as it was read."""
MINUTES: Final = "m1"
HOURS: Final = "h1"
DAYS: Final = "d1"
LEVELS: Final = (MINUTES, HOURS, DAYS)
"""Retention policies of the coarser levels, finest first."""
LONGEST_BUCKET_S: Final = 25 * HOUR_S
LOCAL_TIME: Final = Path("/etc/localtime")
"""The system's own time zone (localtime(5))."""

RATIO: Final = ("power_factor", "watts", "volt_amps")
"""A field whose value over a period is the sum of the second over that of the third."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a measurement consists of. It goes into all levels."""

    measurement: str
    tags: tuple[str, ...] = ()
    means: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    lasts: tuple[str, ...] = ()
    largest: tuple[str, ...] = ()

    @property
    def weighted(self) -> tuple[str, ...]:
        """The fields whose value is a mean, and so has a count."""
        return tuple(name for name in self.means if name != RATIO[0]) + self.flags


METER: Final = Shape(
    "meter",
    ("meter",),
    means=("volts", "amps", "watts", "volt_amps", "power_factor", "hertz"),
    flags=("alarm", "lifetime_estimated"),
    lasts=("energy_wh", "lifetime_wh"),
)
ORIGINAL_METER: Final = replace(
    METER, means=("volts", "amps", "watts", "volt_amps", "power_factor"), flags=()
)
"""As much of it as the original build guide has recorded."""
HOST: Final = Shape("host", means=("cpu_celsius",))
SHAPES: Final = (
    METER,
    Shape("meter_state", ("meter",), largest=("state",), lasts=("reason",)),
    Shape(
        "house",
        means=("watts", "volt_amps", "volts_difference", "imbalance"),
        flags=("utility_on", "generator_on"),
    ),
    Shape("generator", means=("load",), lasts=("hours", "hours_since_service")),
    Shape("alarm_state", ("kind", "meter"), flags=("active",)),
    Shape("collector", means=("cycle_s", "lateness_s", "waiting_cycles")),
    HOST,
)
"""Every measurement that has coarser levels."""


def house_zone(name: str, local_time: Path = LOCAL_TIME) -> tzinfo:
    """Return the time zone `name` (IANA), or the system's own where it is empty.

    Raises `ValueError` for a name that this machine does not know. A system without a
    time zone lives by UTC.
    """
    if name:
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no time zone is called {name}") from error
    try:
        with local_time.open("rb") as stream:
            return zoneinfo.ZoneInfo.from_file(stream)
    except (OSError, ValueError):
        return UTC


def bounds(level: str, unix_s: int, zone: tzinfo) -> tuple[int, int]:
    """Return start and end (unix seconds) of the bucket of `level` that holds `unix_s`."""
    if level != DAYS:
        length_s = MINUTE_S if level == MINUTES else HOUR_S
        start_s = unix_s // length_s * length_s
        return start_s, start_s + length_s
    day = datetime.fromtimestamp(unix_s, zone).date()
    return midnight(day, zone), midnight(day + timedelta(days=1), zone)


def month_bounds(unix_s: int, zone: tzinfo) -> tuple[int, int]:
    """Return start and end (unix seconds) of the calendar month that holds `unix_s`."""
    first = datetime.fromtimestamp(unix_s, zone).date().replace(day=1)
    return midnight(first, zone), midnight((first + timedelta(days=31)).replace(day=1), zone)


def midnight(day: date, zone: tzinfo) -> int:
    """Return the start of a local day (unix seconds)."""
    return int(datetime.combine(day, time(), zone).timestamp())
