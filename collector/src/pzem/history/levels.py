"""Coarser levels of a series, counted while it passes by.

Pure: points in time order go in, finished buckets come out, as `pzem.levels` declares them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, NamedTuple

from pzem.levels import DAYS, HOURS, MINUTES, NS, RATIO, Shape, bounds


class Coarse(NamedTuple):
    """One bucket of one level: from `start_s` up to but not including `end_s` (unix, UTC)."""

    level: str
    start_s: int
    end_s: int
    fields: dict[str, float]


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
            self._bounds = bounds(MINUTES, unix_s, self._zone)
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
        closed = [self._coarse(MINUTES, minute)]
        for level in (HOURS, DAYS):
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
            if name == RATIO[0]:
                volt_amps = sums[RATIO[2]]  # none at all: a meter shows a factor of 0 then
                fields[name] = sums[RATIO[1]] / volt_amps if volt_amps else 0.0
            else:
                fields[name] = sums[name] / bucket.count
                fields[f"{name}_count"] = float(bucket.count)
            fields[f"{name}_min"] = bucket.minima[number]
            fields[f"{name}_max"] = bucket.maxima[number]
        lasts = zip(self._shape.lasts, bucket.lasts, strict=True)
        fields |= {name: last for name, last in lasts if last is not None}
        return Coarse(level, bucket.start_s, bucket.end_s, fields)


def _latest(earlier: Sequence[float | None], later: Sequence[float | None]) -> list[float | None]:
    return [a if b is None else b for a, b in zip(earlier, later, strict=True)]
