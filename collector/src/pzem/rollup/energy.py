"""The energy of hours, local days and billing months: the measurement `energy`.

A period's energy, `wh`, is the lifetime energy at its end minus that at its start, each the
last one known before. So periods add up exactly. A period without readings has no point,
and what was used meanwhile belongs to the next one that has some: nothing is spread over a
gap. Beside it lies `lifetime_wh`, that at the end. Where the lifetime energy steps down, as
after its loss, there is no `wh`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import Any, Final, NamedTuple

from influxdb.line_protocol import make_lines

from pzem.influx import Influx, Verdict, quoted
from pzem.levels import DAYS, HOURS, METER, MINUTES, bounds, month_bounds

ENERGY: Final = "energy"
PERIODS: Final = ("hour", "day", "month")
PIECE_S: Final = 32 * 86_400
"""So much of what an import has brought is done at once."""

_NEWEST: Final = "ORDER BY time DESC LIMIT 1"
_OF_DAYS: Final = " WHERE period = 'day'"

Bounds = Callable[[int], tuple[int, int]]


class _Point(NamedTuple):
    lifetime_wh: float
    wh: float | None


class Energies:
    """The points of `energy`, made of the levels h1 and d1.

    `months` tells start and end of the billing month of a time; None: calendar months.
    """

    def __init__(
        self,
        influx: Influx,
        database: str,
        zone: tzinfo,
        months: Bounds | None = None,
    ) -> None:
        self._influx = influx
        self._database = database
        self._periods: dict[str, tuple[str, Bounds]] = {
            "hour": (HOURS, lambda unix_s: bounds(HOURS, unix_s, zone)),
            "day": (DAYS, lambda unix_s: bounds(DAYS, unix_s, zone)),
            "month": (DAYS, months or (lambda unix_s: month_bounds(unix_s, zone))),
        }

    def settle(self, start_s: int, end_s: int) -> None:
        """Make the points right of all periods that the range touches, and of the next ones.

        The next period with readings begins with what this range ends with.
        """
        lines: list[str] = []
        for period in PERIODS:
            lines += self._settle(period, start_s, end_s)
        if lines and self._influx.write(lines, DAYS) is not Verdict.STORED:
            raise self._influx.error

    def stale(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges, in pieces, whose days have another end than their points say.

        Days come without readings of this machine where an import has brought them.
        """
        if self._sums(METER.measurement, "") == self._sums(ENERGY, _OF_DAYS):
            return
        days, told = self._days(METER.measurement), self._days(ENERGY, _OF_DAYS)
        differing = sorted({time_s for _, time_s, _ in days ^ told})
        while differing:
            first_s = differing[0]
            piece = [time_s for time_s in differing if time_s < first_s + PIECE_S]
            yield first_s, self._periods["day"][1](piece[-1])[1]
            differing = differing[len(piece) :]

    def _settle(self, period: str, start_s: int, end_s: int) -> list[str]:
        level, span = self._periods[period]
        start_s, end_s = span(start_s)[0], span(end_s - 1)[1]
        ends = self._ends(level, span, start_s, end_s)
        until_s = max([end_s, *(time_s + 1 for of_meter in ends.values() for time_s in of_meter)])
        points = self._points(level, ends, start_s)
        stored = self._stored(period, start_s, until_s)
        for meter, time_s in stored.keys() - points.keys():
            if time_s < end_s:
                self._influx.query(
                    f"DELETE FROM {quoted(ENERGY)} "  # noqa: S608 - quoted
                    f"WHERE meter = $meter AND period = '{period}' AND time = {time_s}s",
                    {"meter": meter},
                )
        return [
            _line(meter, period, time_s, point)
            for (meter, time_s), point in points.items()
            if stored.get((meter, time_s)) != point
        ]

    def _ends(
        self, level: str, span: Bounds, start_s: int, end_s: int
    ) -> dict[str, dict[int, float]]:
        """Return what each period ends with, by meter and start; also the next one."""
        ends: dict[str, dict[int, float]] = defaultdict(dict)
        for row in self._rows(level, f"time >= {start_s}s AND time < {end_s}s"):
            ends[row["meter"]][span(row["time"])[0]] = row["lifetime_wh"]
        for row in self._rows(level, f"time >= {end_s}s", "LIMIT 1"):
            next_s, last_s = span(row["time"])
            for last in self._rows(level, f"time >= {next_s}s AND time < {last_s}s", _NEWEST):
                if last["meter"] == row["meter"]:
                    ends[row["meter"]][next_s] = last["lifetime_wh"]
        return ends

    def _points(
        self, level: str, ends: dict[str, dict[int, float]], start_s: int
    ) -> dict[tuple[str, int], _Point]:
        before = {
            row["meter"]: row["lifetime_wh"]
            for row in self._rows(level, f"time < {start_s}s", _NEWEST)
        }
        if ends.keys() - before.keys():  # a history begins with the first minute that has one
            first = {r["meter"]: r["lifetime_wh"] for r in self._rows(MINUTES, "", "LIMIT 1")}
            before = first | before
        points: dict[tuple[str, int], _Point] = {}
        for meter, of_meter in ends.items():
            at_wh = before.get(meter)
            for time_s, lifetime_wh in sorted(of_meter.items()):
                known = at_wh is not None and lifetime_wh >= at_wh
                wh = round(lifetime_wh - at_wh, 3) if known and at_wh is not None else None
                points[meter, time_s] = _Point(lifetime_wh, wh)
                at_wh = lifetime_wh
        return points

    def _rows(self, level: str, where: str, limit: str = "") -> list[dict[str, Any]]:
        condition = f" WHERE {where}" if where else ""
        return self._influx.query(
            f"SELECT lifetime_wh FROM {self._table(level, METER.measurement)}"  # noqa: S608 - quoted
            f"{condition} GROUP BY meter {limit}"
        )

    def _stored(self, period: str, start_s: int, until_s: int) -> dict[tuple[str, int], _Point]:
        rows = self._influx.query(
            f"SELECT wh, lifetime_wh FROM {self._table(DAYS, ENERGY)} "  # noqa: S608 - quoted
            f"WHERE period = '{period}' AND time >= {start_s}s AND time < {until_s}s GROUP BY meter"
        )
        return {(row["meter"], row["time"]): _Point(row["lifetime_wh"], row["wh"]) for row in rows}

    def _sums(self, measurement: str, where: str) -> list[tuple[str, float, float]]:
        rows = self._influx.query(
            "SELECT count(lifetime_wh), sum(lifetime_wh) "  # noqa: S608 - quoted
            f"FROM {self._table(DAYS, measurement)}{where} GROUP BY meter"
        )
        return sorted((row["meter"], row["count"], row["sum"]) for row in rows)

    def _days(self, measurement: str, where: str = "") -> set[tuple[str, int, float]]:
        rows = self._influx.query(
            f"SELECT lifetime_wh FROM {self._table(DAYS, measurement)}{where} GROUP BY meter"  # noqa: S608 - quoted
        )
        return {(row["meter"], row["time"], row["lifetime_wh"]) for row in rows}

    def _table(self, level: str, measurement: str) -> str:
        return f"{quoted(self._database)}.{quoted(level)}.{quoted(measurement)}"


def _line(meter: str, period: str, time_s: int, point: _Point) -> str:
    fields = {"lifetime_wh": float(point.lifetime_wh)}
    if point.wh is not None:
        fields["wh"] = float(point.wh)
    tags = {"meter": meter, "period": period}
    return str(
        make_lines(
            {"points": [{"measurement": ENERGY, "tags": tags, "time": time_s, "fields": fields}]},
            precision="s",
        )
    ).rstrip()
