"""The InfluxQL that fills a level: pure, from a shape to a statement.

Numbers are multiplied by 1.0 where they would become integers: all fields are floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pzem.influx import quoted
from pzem.levels import DAYS, HOURS, MINUTES, RATIO, Shape


def minutes(shape: Shape, database: str, raw: str, start_s: int, end_s: int) -> str:
    """Return what makes minutes of the readings in the policy `raw`."""
    target, source = _table(shape, database, MINUTES), _table(shape, database, raw)
    buckets = f"{_within(start_s, end_s)}{_group('time(1m)', shape)} fill(none)"
    return f"SELECT {_columns(_from_readings(shape))} INTO {target} FROM {source}{buckets}"  # noqa: S608 - quoted


def hours(shape: Shape, database: str, start_s: int, end_s: int) -> Iterator[str]:
    """Return what makes hours of minutes."""
    buckets = f"{_within(start_s, end_s)}{_group('time(1h)', shape)} fill(none)"
    return _coarser(shape, database, MINUTES, HOURS, buckets)


def day(shape: Shape, database: str, source: str, start_s: int, end_s: int) -> Iterator[str]:
    """Return what makes the one day from `start_s` to `end_s` of the level `source`."""
    buckets = f"{_within(start_s, end_s)}{_group('', shape)}"  # one, stamped with its start
    return _coarser(shape, database, source, DAYS, buckets)


def _coarser(shape: Shape, database: str, finer: str, level: str, buckets: str) -> Iterator[str]:
    """Yield what goes through the finer level as it is, and what weighs it.

    In one statement, each term would have the server go through the whole subquery anew.
    """
    parts = [_count(name) for name in shape.weighted]
    parts += [f"{quoted(name)} * {_count(name)} AS {_sum(name)}" for name in shape.weighted]
    target, source = _table(shape, database, level), _table(shape, database, finer)
    edges = _columns(_edges(shape))
    yield f"SELECT {edges} INTO {target} FROM {source}{buckets}"  # noqa: S608 - quoted
    if shape.weighted:
        weighed = f"(SELECT {', '.join(parts)} FROM {source})"  # noqa: S608 - quoted
        means = _columns(_weighed(shape))
        yield f"SELECT {means} INTO {target} FROM {weighed}{buckets}"  # noqa: S608 - quoted


def _from_readings(shape: Shape) -> Iterator[tuple[str, str]]:
    for name in shape.means:
        field = quoted(name)
        if name == RATIO[0]:
            yield name, f"sum({quoted(RATIO[1])}) / sum({quoted(RATIO[2])})"
        yield f"{name}_min", f"min({field})"
        yield f"{name}_max", f"max({field})"
    for name in shape.weighted:
        yield name, f"mean({quoted(name)})"
        yield f"{name}_count", f"count({quoted(name)}) * 1.0"
    yield from _kept(shape)


def _edges(shape: Shape) -> Iterator[tuple[str, str]]:
    for name in shape.means:
        for edge in ("min", "max"):
            yield f"{name}_{edge}", f"{edge}({quoted(f'{name}_{edge}')})"
    for name in shape.weighted:
        yield f"{name}_count", f"sum({_count(name)})"
    yield from _kept(shape)


def _weighed(shape: Shape) -> Iterator[tuple[str, str]]:
    for name in shape.weighted:
        yield name, f"sum({_sum(name)}) / sum({_count(name)})"
    if RATIO[0] in shape.means:
        yield RATIO[0], f"sum({_sum(RATIO[1])}) / sum({_sum(RATIO[2])})"


def _kept(shape: Shape) -> Iterator[tuple[str, str]]:
    for name in shape.lasts:
        yield name, f"last({quoted(name)})"
    for name in shape.largest:
        yield name, f"max({quoted(name)})"


def _columns(terms: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{term} AS {quoted(name)}" for name, term in terms)


def _within(start_s: int, end_s: int) -> str:
    return f" WHERE time >= {start_s}s AND time < {end_s}s"


def _group(time: str, shape: Shape) -> str:
    dimensions = [time] * bool(time) + [quoted(tag) for tag in shape.tags]
    return f" GROUP BY {', '.join(dimensions)}" if dimensions else ""


def _table(shape: Shape, database: str, policy: str) -> str:
    return f"{quoted(database)}.{quoted(policy)}.{quoted(shape.measurement)}"


def _count(name: str) -> str:
    return quoted(f"{name}_count")


def _sum(name: str) -> str:
    return quoted(f"{name}_sum")
