"""What happened, kept for ever: the measurement `event` in the level d1.

The collector writes it where it writes everything, and writes a point again when what it
tells goes on or ends. So what has to be brought over is found by comparing.
"""

from __future__ import annotations

from typing import Any, Final

from influxdb.line_protocol import make_lines

from pzem.house.records import MEASUREMENT
from pzem.influx import Influx, Verdict, quoted
from pzem.levels import DAYS

TAGS: Final = ("kind", "meter")
BATCH: Final = 1000

_Key = tuple[Any, ...]


class Events:
    """Brings the events of one database from the level of the readings into d1."""

    def __init__(self, influx: Influx, database: str) -> None:
        self._influx = influx
        self._database = database

    def settle(self, raw: str, since_s: int = 0) -> None:
        """Make those from `since_s` on (unix) right; `raw` is the readings' retention policy.

        Raises `InfluxError`.
        """
        kept = self._events(DAYS, since_s)
        changed = [
            row for key, row in self._events(raw, since_s).items() if not _has(kept.get(key), row)
        ]
        for first in range(0, len(changed), BATCH):
            points = [_point(row) for row in changed[first : first + BATCH]]
            lines = str(make_lines({"points": points}, precision="s")).splitlines()
            if self._influx.write(lines, DAYS) is not Verdict.STORED:
                raise self._influx.error

    def _events(self, policy: str, since_s: int) -> dict[_Key, dict[str, Any]]:
        table = f"{quoted(self._database)}.{quoted(policy)}.{quoted(MEASUREMENT)}"
        rows = self._influx.query(
            f"SELECT * FROM {table} WHERE time >= {since_s}s GROUP BY {', '.join(TAGS)}"  # noqa: S608 - quoted
        )
        return {(row["time"], *(row.get(tag) or "" for tag in TAGS)): row for row in rows}


def _has(kept: dict[str, Any] | None, row: dict[str, Any]) -> bool:
    """Tell whether all that `row` says is kept."""
    return kept is not None and all(
        value is None or kept.get(name) == value for name, value in row.items()
    )


def _point(row: dict[str, Any]) -> dict[str, Any]:
    fields = {
        name: value if isinstance(value, str) else float(value)
        for name, value in row.items()
        if value is not None and name not in (*TAGS, "time")
    }
    tags = {tag: row[tag] for tag in TAGS if row.get(tag)}
    return {"measurement": MEASUREMENT, "tags": tags, "time": row["time"], "fields": fields}
