"""Which minutes have to be rolled up, and how.

The readings themselves tell what has come, gone or changed, whatever the reason: a cycle
writes one point of `collector`, last of all its points. Their count and sum, minute by
minute, are noted beside them in the measurement `rolled` when all that is made of a minute
has been made. A minute whose note does not say what is there is due. So nothing has to tell
the rollup, nothing can be forgotten in a crash, and nothing is kept outside the database.
What is noted was read before the minute was made: what comes meanwhile makes it due again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, NamedTuple

from pzem.errors import PzemError
from pzem.influx import Influx, Verdict, quoted
from pzem.levels import (
    DAYS,
    HOUR_S,
    HOURS,
    LEVELS,
    MINUTE_S,
    MINUTES,
    RAW,
    SHAPES,
    bounds,
)
from pzem.rollup import statements
from pzem.rollup.energy import Bounds, Energies
from pzem.rollup.events import Events

ROLLED: Final = "rolled"
READINGS: Final = "collector"
PIECE_S: Final = 6 * HOUR_S
"""So much is made by one statement: the server holds all of its values in memory."""
EVENTS_S: Final = 62 * 86_400
"""Events that began longer ago are no longer expected to end."""

log = logging.getLogger(__name__)


class RollupError(PzemError):
    """The database has no levels to fill."""


class _Mark(NamedTuple):
    """What is there of a minute."""

    slots: float = 0.0
    seconds: float = 0.0
    """Sum of how long the cycles took: other slots in the place of these have another."""


class Rollup:
    """Fills the levels of one database. Run by one thread.

    `zone` is the house's, for its days; `months` as in `Energies`. `beat` is called with
    each statement: they are what takes time.
    """

    def __init__(
        self,
        influx: Influx,
        database: str,
        zone: tzinfo,
        months: Bounds | None = None,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        self._influx = influx
        self._database = database
        self._zone = zone
        self._beat = beat
        self._energies = Energies(influx, database, zone, months)
        self._events = Events(influx, database)
        self._raw = ""

    def open(self) -> None:
        """Look for the levels; raises `RollupError` if one is missing, `InfluxError`."""
        policies = self._query(f"SHOW RETENTION POLICIES ON {quoted(self._database)}")
        names = [row["name"] for row in policies]
        lacking = [level for level in LEVELS if level not in names]
        if lacking:
            raise RollupError(
                f"{self._database} has no retention policy {', '.join(lacking)}; "
                "./appliance provision makes them"
            )
        default = next((row["name"] for row in policies if row["default"]), RAW)
        self._raw = RAW if RAW in names else default

    # --- what is live, and what came late

    def recent(self) -> None:
        """Make the minutes of the last hour that are due, and nothing else of them yet."""
        newest_s = self._newest_s()
        if newest_s is None:
            return
        self._events.settle(self._raw, newest_s - EVENTS_S)
        end_s = bounds(MINUTES, newest_s, self._zone)[1]
        due = self._due(end_s - HOUR_S, end_s)
        if due:
            self._minutes(min(due), max(due) + MINUTE_S)

    def settle(self, span_s: int | None = None) -> Iterator[int]:
        """Make all that is due of the last `span_s`, and further back while there is some.

        None: of all readings that are left. Goes back day by day and yields the start of
        each day that was looked at; in the end, what imports have brought gets its energy.
        """
        newest_s, oldest_s = self._newest_s(), self._oldest_s()
        if newest_s is not None and oldest_s is not None:
            self._events.settle(self._raw, newest_s - EVENTS_S if span_s else 0)
            until_s = oldest_s if span_s is None else max(oldest_s, newest_s - span_s)
            start_s, end_s = bounds(DAYS, newest_s, self._zone)
            late: list[int] = []
            while end_s > oldest_s:
                due = self._due(start_s, end_s)
                if due:
                    self._roll(min(due), max(due) + MINUTE_S)
                    self._note(due)
                    late += [minute_s for minute_s in due if minute_s < newest_s - HOUR_S]
                yield start_s
                if not due and start_s <= until_s:
                    break
                start_s, end_s = bounds(DAYS, start_s - 1, self._zone)
            if late:
                log.info(
                    "%d minutes from %s on were due and are rolled up", len(late), _when(min(late))
                )
        for start_s, end_s in self._energies.stale():
            self._beat()
            self._energies.settle(start_s, end_s)
            yield start_s

    # --- what is old

    def span(self) -> tuple[int, int] | None:
        """Return from when to when there is anything to be rolled up (unix); None: nothing."""
        found = [
            self._query(f"SELECT * FROM {self._at(policy, shape.measurement)} {order} LIMIT 1")  # noqa: S608 - quoted
            for policy in (self._raw, MINUTES)
            for shape in SHAPES
            for order in ("", "ORDER BY time DESC")
        ]
        times = [int(rows[0]["time"]) for rows in found if rows]
        return (min(times), max(times) + 1) if times else None

    def fill(self, unix_s: int) -> int:
        """Make all of the day that holds `unix_s` anew, due or not; return its end (unix)."""
        start_s, end_s = bounds(DAYS, unix_s, self._zone)
        due = self._due(start_s, end_s)
        self._roll(start_s, end_s)
        self._note(due)
        return end_s

    def memory_mb(self) -> float | None:
        """Return the server's own memory in 10^6 bytes; None if it does not tell."""
        return self._influx.memory_mb()

    # --- parts

    def _roll(self, start_s: int, end_s: int) -> None:
        """Make all levels of a range of whole minutes within one day."""
        self._minutes(start_s, end_s)
        first_s = bounds(HOURS, start_s, self._zone)[0]
        last_s = bounds(HOURS, end_s - 1, self._zone)[1]
        day = bounds(DAYS, start_s, self._zone)
        is_of_hours = not any(edge_s % HOUR_S for edge_s in day)
        for shape in SHAPES:
            for piece in _pieces(first_s, last_s):
                self._run(statements.hours(shape, self._database, *piece))
            finer = HOURS if is_of_hours else MINUTES
            self._run(statements.day(shape, self._database, finer, *day))
        self._energies.settle(start_s, end_s)

    def _run(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._query(text)

    def _minutes(self, start_s: int, end_s: int) -> None:
        for shape in SHAPES:
            for piece in _pieces(start_s, end_s):
                self._query(statements.minutes(shape, self._database, self._raw, *piece))

    def _due(self, start_s: int, end_s: int) -> dict[int, _Mark]:
        """Return the minutes whose note is not true, with what is there of them."""
        span = f"WHERE time >= {start_s}s AND time < {end_s}s"
        there = self._marks(
            "SELECT count(cycle_s) AS slots, sum(cycle_s) AS seconds "  # noqa: S608 - quoted
            f"FROM {self._at(self._raw, READINGS)} {span} GROUP BY time(1m) fill(none)"
        )
        noted = self._marks(f"SELECT slots, seconds FROM {self._at(self._raw, ROLLED)} {span}")  # noqa: S608 - quoted
        nothing = _Mark()
        return {
            minute_s: there.get(minute_s, nothing)
            for minute_s in sorted(there.keys() | noted.keys())
            if there.get(minute_s, nothing) != noted.get(minute_s, nothing)
        }

    def _marks(self, query: str) -> dict[int, _Mark]:
        return {row["time"]: _Mark(row["slots"], row["seconds"]) for row in self._query(query)}

    def _note(self, marks: dict[int, _Mark]) -> None:
        lines = [
            f"{ROLLED} slots={float(mark.slots)!r},seconds={float(mark.seconds)!r} {minute_s}"
            for minute_s, mark in marks.items()
        ]
        # What has left the raw level meanwhile needs no note.
        if lines and self._influx.write(lines, self._raw) not in (Verdict.STORED, Verdict.PARTLY):
            raise self._influx.error

    def _newest_s(self) -> int | None:
        rows = self._query(
            f"SELECT cycle_s FROM {self._at(self._raw, READINGS)} ORDER BY time DESC LIMIT 1"  # noqa: S608 - quoted
        )
        return int(rows[0]["time"]) if rows else None

    def _oldest_s(self) -> int | None:
        """Return the first minute that has readings, or had some when it was rolled up."""
        questions = (
            f"SELECT cycle_s FROM {self._at(self._raw, READINGS)} LIMIT 1",  # noqa: S608 - quoted
            f"SELECT slots FROM {self._at(self._raw, ROLLED)} LIMIT 1",  # noqa: S608 - quoted
        )
        return min((int(row["time"]) for q in questions for row in self._query(q)), default=None)

    def _at(self, policy: str, measurement: str) -> str:
        return f"{quoted(self._database)}.{quoted(policy)}.{quoted(measurement)}"

    def _query(self, text: str) -> list[dict[str, Any]]:
        self._beat()
        return self._influx.query(text)


def _pieces(start_s: int, end_s: int) -> Iterator[tuple[int, int]]:
    for at_s in range(start_s, end_s, PIECE_S):
        yield at_s, min(at_s + PIECE_S, end_s)


def _when(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%MZ")
