"""The own database as an import sees it: its levels, and where the live readings begin."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pzem.history import ImportFailedError
from pzem.influx import Influx, Verdict, quoted
from pzem.levels import LEVELS, NS, RAW

MARGIN_NS: Final = 24 * 3600 * NS
"""What would leave the raw level within a day goes to the coarser ones only."""

_LONGEST_BUCKET_NS: Final = 26 * 3600 * NS
_DROPPED = re.compile(r"dropped=(\d+)")
_UNITS_S: Final = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Levels:
    """Retention policies of the database."""

    raw: str
    """Where readings as they are go: `raw`, or the default policy."""
    raw_s: int
    """How long that keeps them, in s; 0: for ever."""
    coarser: tuple[str, ...]
    """Those of m1, h1 and d1 that exist."""

    def raw_from_ns(self, now_s: float) -> int | None:
        """Return the time (ns) from which on readings fit into the raw level; None: always."""
        return None if self.raw_s == 0 else int(now_s - self.raw_s) * NS + MARGIN_NS

    @property
    def lacking(self) -> tuple[str, ...]:
        """Those of m1, h1 and d1 that do not exist."""
        return tuple(level for level in LEVELS if level not in self.coarser)


@dataclass(frozen=True, slots=True)
class Live:
    """The first readings of the collector itself, all times in ns."""

    start_ns: int | None
    """Of any meter; None: it has stored none yet."""
    lifetimes: dict[str, tuple[int, float, float]]
    """By meter: time, register and lifetime (Wh) of the first reading that has both."""
    without: tuple[str, ...]
    """Meters with live readings, none of which has a lifetime."""


class Target:
    """The database that the collector writes to."""

    def __init__(
        self, influx: Influx, database: str, ask: Callable[[Callable[[], Any]], Any]
    ) -> None:
        self._influx = influx
        self.database = database
        self._ask = ask
        query = f"SHOW RETENTION POLICIES ON {quoted(database)}"
        policies = ask(lambda: influx.query(query))
        names = [row["name"] for row in policies]
        raw = next((row for row in policies if row["name"] == RAW), None)
        raw = raw or next((row for row in policies if row["default"]), None)
        if raw is None:
            raise ImportFailedError(f"database {database} at {influx.url} has no default policy")
        self.levels = Levels(
            raw["name"],
            duration_s(raw["duration"]),
            tuple(level for level in LEVELS if level in names),
        )

    def write(self, policy: str, lines: Sequence[str]) -> tuple[int, str]:
        """Store `lines` (times in ns) in one level; return how many were refused, and why.

        Raises `InfluxError` where nothing of them is known to be stored.
        """
        verdict = self._influx.write(lines, policy)
        if verdict is Verdict.STORED:
            return 0, ""
        why = self._influx.why
        dropped = _DROPPED.search(why)
        if verdict is Verdict.PARTLY and dropped is not None:
            return int(dropped[1]), why
        if verdict is Verdict.TOO_LARGE and len(lines) > 1:
            half = len(lines) // 2
            first = self.write(policy, lines[:half])
            second = self.write(policy, lines[half:])
            return first[0] + second[0], first[1] or second[1]
        raise self._influx.error

    def memory_mb(self) -> float | None:
        """Return the server's own memory in 10^6 bytes; None if it does not tell."""
        return self._influx.memory_mb()

    def live(self, meters: Iterable[str]) -> Live:
        """Look for the first live readings; only they have a frequency."""
        starts: list[int] = []
        lifetimes: dict[str, tuple[int, float, float]] = {}
        without: list[str] = []
        for meter in meters:
            start_ns = _earliest(self._first(meter, "hertz", policy)[0] for policy in self._all)
            if start_ns is None:
                continue
            starts.append(start_ns)
            joints = {
                joint[0]: joint
                for policy in reversed(self._all)
                if (joint := self._joint(meter, start_ns, policy)) is not None
            }
            finest_first = reversed(joints)
            if (joint_ns := _earliest(finest_first)) is None:
                without.append(meter)
            else:
                lifetimes[meter] = joints[joint_ns]
        return Live(min(starts, default=None), lifetimes, tuple(without))

    @property
    def _all(self) -> tuple[str, ...]:
        return (self.levels.raw, *self.levels.coarser)

    def _first(self, meter: str, field: str, policy: str, since_ns: int = 0) -> tuple[int, float]:
        query = (
            f"SELECT first({quoted(field)}) FROM {self._at(policy)} "  # noqa: S608 - quoted
            "WHERE meter = $meter AND time >= $since_ns"
        )
        bound = {"meter": meter, "since_ns": since_ns}
        rows = self._ask(lambda: self._influx.query(query, bound))
        return (rows[0]["time"], rows[0]["first"]) if rows else (0, 0.0)

    def _joint(self, meter: str, start_ns: int, policy: str) -> tuple[int, float, float] | None:
        time_ns, lifetime_wh = self._first(meter, "lifetime_wh", policy, start_ns)
        if not time_ns:
            return None
        query = (
            f'SELECT "energy_wh" FROM {self._at(policy)} '  # noqa: S608 - quoted
            "WHERE meter = $meter AND time = $time_ns"
        )
        bound = {"meter": meter, "time_ns": time_ns}
        rows = self._ask(lambda: self._influx.query(query, bound))
        return (time_ns, float(rows[0]["energy_wh"]), float(lifetime_wh)) if rows else None

    def _at(self, policy: str) -> str:
        return f'{quoted(self.database)}.{quoted(policy)}."meter"'


def _earliest(times_ns: Iterable[int]) -> int | None:
    """Return the first of `times_ns`, those of the levels from the finest on; 0 is none.

    A coarser level tells only what the finer ones have lost: its stamps are the starts of
    buckets, and so lie before what is in them.
    """
    earliest: int | None = None
    for time_ns in times_ns:
        if time_ns and (earliest is None or time_ns < earliest - _LONGEST_BUCKET_NS):
            earliest = time_ns
    return earliest


def duration_s(spelled: str) -> int:
    """Return the seconds of a duration as InfluxDB shows it, such as 17472h0m0s; 0s: for ever."""
    return sum(int(n) * _UNITS_S[unit] for n, unit in re.findall(r"(\d+)([wdhms])", spelled))
