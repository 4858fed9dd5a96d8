"""Where the original's history is read from: in time order, a bounded part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from pzem.history import ImportFailedError
from pzem.history.original import CPU_FIELD, MEASUREMENT, fields_of
from pzem.influx import Influx, quoted
from pzem.levels import NS

ROWS_A_QUERY: Final = 5000
WINDOW_NS: Final = 6 * 3600 * NS
"""A query spans so much: 4300 rows of the original's pace."""
LONGEST_WINDOW_NS: Final = 28 * 24 * 3600 * NS
"""Where there is nothing, longer spans are asked for."""
SAMPLES: Final = 100
SAMPLE_NS: Final = 3 * 3600 * NS

Ask = Callable[[Callable[[], Any]], Any]
"""Calls what it is given again for as long as the server is away."""


class Row(NamedTuple):
    """What was posted at one time, in the order of `Source.fields`."""

    time_ns: int
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows in time order, and the time (ns) up to which they are complete."""

    rows: Sequence[Row]
    end_ns: int


class Source:
    """ALL_SENSORS in one database, in whichever of its retention policies it lies."""

    def __init__(
        self, influx: Influx, database: str, prefixes: Mapping[str, str], ask: Ask
    ) -> None:
        """`prefixes`: the original's meters that are wanted, and their own names.

        Raises `ImportFailedError` if there is no such database or no such measurement.
        """
        self._influx = influx
        self._ask = ask
        self.database = database
        first: list[int] = []
        last: list[int] = []
        self.policies: list[str] = []
        columns: set[str] = set()
        for policy in self._policy_names():
            start = self._one(policy, "ASC")
            if start:
                self.policies.append(policy)
                columns |= set(start)
                first.append(start["time"])
                last.append(self._one(policy, "DESC")["time"])
        if not self.policies:
            raise ImportFailedError(
                f"database {database} at {influx.url} has no measurement {MEASUREMENT}"
            )
        self.first_ns = min(first)
        self.last_ns = max(last)
        self.prefixes = self._found(prefixes, columns)
        self.fields = [field for prefix in self.prefixes for field in fields_of(prefix)]
        self.has_cpu = CPU_FIELD in columns
        if self.has_cpu:
            self.fields.append(CPU_FIELD)
        if not self.prefixes:
            raise ImportFailedError(
                f"{MEASUREMENT} in {database} has none of {', '.join(map(_volts, prefixes))}"
            )

    @property
    def words(self) -> str:
        """Where this is, for people."""
        policies = ", ".join(self.policies)
        return f"{MEASUREMENT} in {self.database} (policy {policies}) at {self._influx.url}"

    def parts(self, start_ns: int, end_ns: int) -> Iterator[Part]:
        """Yield what there is from `start_ns` up to but not including `end_ns`."""
        window_ns = WINDOW_NS
        while start_ns < end_ns:
            part = self._part(start_ns, min(start_ns + window_ns, end_ns))
            yield part
            start_ns = part.end_ns
            window_ns = WINDOW_NS if part.rows else min(4 * window_ns, LONGEST_WINDOW_NS)

    def samples(self) -> Iterator[list[Row]]:
        """Yield some hours out of each hundredth of the history; all of a short one."""
        length_ns = max(SAMPLE_NS, (self.last_ns - self.first_ns) // SAMPLES + 1)
        for start_ns in range(self.first_ns, self.last_ns + 1, length_ns):
            end_ns = min(start_ns + SAMPLE_NS, self.last_ns + 1)
            yield [row for part in self.parts(start_ns, end_ns) for row in part.rows]

    def _part(self, start_ns: int, end_ns: int) -> Part:
        rows: list[Row] = []
        fields = ", ".join(map(quoted, self.fields))
        for policy in self.policies:
            query = (
                f"SELECT {fields} FROM {self._at(policy)} "  # noqa: S608 - names are quoted
                f"WHERE time >= {start_ns} AND time < {end_ns} LIMIT {ROWS_A_QUERY}"
            )
            found = [
                Row(row["time"], [row[field] for field in self.fields])
                for row in self._ask(partial(self._influx.query, query))
            ]
            if len(found) == ROWS_A_QUERY:
                end_ns = min(end_ns, found[-1].time_ns + 1)
            rows += found
        if len(self.policies) > 1:
            rows = sorted((row for row in rows if row.time_ns < end_ns), key=lambda row: row[0])
        return Part(rows, end_ns)

    def _policy_names(self) -> list[str]:
        query = f"SHOW RETENTION POLICIES ON {quoted(self.database)}"
        return [row["name"] for row in self._ask(lambda: self._influx.query(query))]

    def _one(self, policy: str, order: str) -> dict[str, Any]:
        query = f"SELECT * FROM {self._at(policy)} ORDER BY time {order} LIMIT 1"  # noqa: S608
        rows = self._ask(lambda: self._influx.query(query))
        return rows[0] if rows else {}

    def _at(self, policy: str) -> str:
        return f"{quoted(self.database)}.{quoted(policy)}.{quoted(MEASUREMENT)}"

    def _found(self, prefixes: Mapping[str, str], columns: set[str]) -> dict[str, str]:
        """Return the meters that are there; raises `ImportFailedError` for half a meter."""
        found: dict[str, str] = {}
        for prefix, meter in prefixes.items():
            missing = [field for field in fields_of(prefix) if field not in columns]
            if not missing:
                found[prefix] = meter
            elif len(missing) < len(fields_of(prefix)):
                raise ImportFailedError(
                    f"{MEASUREMENT} in {self.database} has no field {', '.join(missing)}; "
                    f"leave this meter out with --map {prefix}="
                )
        return found


def _volts(prefix: str) -> str:
    return fields_of(prefix)[0]
