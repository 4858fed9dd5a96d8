"""Coarser levels of a series: minutes, hours and local days, counted while it passes by.

Pure: points in time order go in, finished buckets come out. In a bucket the mean keeps
the field's name beside `_min` and `_max`, counters keep their last value, and the power
factor is ΣW/ΣVA. A bucket is stamped with its start in UTC; a day is one of the house's
time zone, so it lasts 23 to 25 hours. All zones in use are whole minutes off UTC, so that
hours and days can be made of minutes.
"""

from __future__ import annotations

import math
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, NamedTuple

NS: Final = 1_000_000_000
MINUTE_S: Final = 60
HOUR_S: Final = 3600
LEVELS: Final = ("m1", "h1", "d1")
"""Retention policies of the coarser levels, finest first."""
LOCAL_TIME: Final = Path("/etc/localtime")
"""The system's own time zone (localtime(5))."""

_RATIO: Final = ("power_factor", "watts", "volt_amps")
"""A field whose value over a period is the sum of the second over that of the third."""


class Coarse(NamedTuple):
    """One bucket of one level: from `start_s` up to but not including `end_s` (unix, UTC)."""

    level: str
    start_s: int
    end_s: int
    fields: dict[str, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a series consists of, and into which levels it goes."""

    means: tuple[str, ...]
    lasts: tuple[str, ...] = ()
    levels: tuple[str, ...] = LEVELS


METER: Final = Shape(
    ("volts", "amps", "watts", "volt_amps", "power_factor"), ("energy_wh", "lifetime_wh")
)
HOST: Final = Shape(("cpu_celsius",), levels=("m1",))


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
    if level != "d1":
        length_s = MINUTE_S if level == "m1" else HOUR_S
        start_s = unix_s // length_s * length_s
        return start_s, start_s + length_s
    day = datetime.fromtimestamp(unix_s, zone).date()
    start_s, end_s = (
        int(datetime.combine(date, time(), zone).timestamp())
        for date in (day, day + timedelta(days=1))
    )
    return start_s, end_s


@dataclass(slots=True)
class _Bucket:
    """Sums of one bucket; as JSON a list."""

    start_s: int
    end_s: int
    count: int
    sums: list[float]
    minima: list[float]
    maxima: list[float]
    lasts: list[float | None]

    def merge(self, later: _Bucket) -> None:
        """Add what came after."""
        self.count += later.count
        self.sums = [a + b for a, b in zip(self.sums, later.sums, strict=True)]
        self.minima = [min(a, b) for a, b in zip(self.minima, later.minima, strict=True)]
        self.maxima = [max(a, b) for a, b in zip(self.maxima, later.maxima, strict=True)]
        self.lasts = _latest(self.lasts, later.lasts)

    def within(self, start_s: int, end_s: int) -> _Bucket:
        """Return a copy with other bounds."""
        return replace(self, start_s=start_s, end_s=end_s)

    def kept(self) -> list[Any]:
        return [getattr(self, name) for name in self.__slots__]


class Rollup:
    """The open buckets of one series. `kept` is what a file can hold of an earlier one."""

    def __init__(self, shape: Shape, zone: tzinfo, kept: dict[str, Any] | None = None) -> None:
        self._shape = shape
        self._zone = zone
        self._bounds: tuple[int, int] = (0, 0)
        self._rows: list[tuple[Sequence[float], Sequence[float | None]]] = []
        """Points of the open minute."""
        self._open: dict[str, _Bucket] = {}
        if kept is not None:
            self._bounds = (kept["bounds"][0], kept["bounds"][1])
            self._rows = [(means, lasts) for means, lasts in kept["rows"]]
            self._open = {level: _Bucket(*bucket) for level, bucket in kept["open"].items()}

    def take(
        self, time_ns: int, means: Sequence[float], lasts: Sequence[float | None] = ()
    ) -> list[Coarse]:
        """Add a point, later than all before; return the buckets that it closes."""
        unix_s = time_ns // NS
        closed: list[Coarse] = []
        if unix_s >= self._bounds[1]:
            closed = self._close_minute()
            self._bounds = bounds("m1", unix_s, self._zone)
        self._rows.append((means, lasts))
        return closed

    def so_far(self) -> list[Coarse]:
        """Return the open buckets as they are now; they stay open."""
        copy = Rollup(self._shape, self._zone, self.kept())
        closed = copy._close_minute()
        return closed + [self._coarse(level, bucket) for level, bucket in copy._open.items()]

    def kept(self) -> dict[str, Any]:
        """Return the state as JSON can hold it."""
        return {
            "bounds": list(self._bounds),
            "rows": [[list(means), list(lasts)] for means, lasts in self._rows],
            "open": {level: bucket.kept() for level, bucket in self._open.items()},
        }

    def _close_minute(self) -> list[Coarse]:
        if not self._rows:
            return []
        columns = list(zip(*(means for means, _ in self._rows), strict=True))
        lasts: list[float | None] = [None] * len(self._shape.lasts)
        for _, later in self._rows:
            lasts = _latest(lasts, later)
        minute = _Bucket(
            *self._bounds,
            len(self._rows),
            [math.fsum(column) for column in columns],
            [min(column) for column in columns],
            [max(column) for column in columns],
            lasts,
        )
        self._rows = []
        closed = [self._coarse("m1", minute)]
        for level in self._shape.levels:
            if level != "m1":
                closed += self._add(level, minute)
        return closed

    def _add(self, level: str, minute: _Bucket) -> list[Coarse]:
        bucket = self._open.get(level)
        if bucket is not None and minute.start_s < bucket.end_s:
            bucket.merge(minute)
            return []
        self._open[level] = minute.within(*bounds(level, minute.start_s, self._zone))
        return [] if bucket is None else [self._coarse(level, bucket)]

    def _coarse(self, level: str, bucket: _Bucket) -> Coarse:
        fields: dict[str, float] = {}
        sums = dict(zip(self._shape.means, bucket.sums, strict=True))
        for number, name in enumerate(self._shape.means):
            fields[name] = sums[name] / bucket.count
            if name == _RATIO[0]:
                volt_amps = sums[_RATIO[2]]  # none at all: a meter shows a factor of 0 then
                fields[name] = sums[_RATIO[1]] / volt_amps if volt_amps else 0.0
            fields[f"{name}_min"] = bucket.minima[number]
            fields[f"{name}_max"] = bucket.maxima[number]
        lasts = zip(self._shape.lasts, bucket.lasts, strict=True)
        fields |= {name: last for name, last in lasts if last is not None}
        return Coarse(level, bucket.start_s, bucket.end_s, fields)


def _latest(earlier: Sequence[float | None], later: Sequence[float | None]) -> list[float | None]:
    return [a if b is None else b for a, b in zip(earlier, later, strict=True)]
