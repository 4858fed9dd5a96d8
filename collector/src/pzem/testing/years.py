"""Years of a plausible house, at every level of the history; the same for the same seed.

A house of two legs and a generator behind an interlock, as the project's inventory has it by
default: seasons and hours of the day, appliances that switch, voltages that sag under load,
outages some of which the generator carries, and its runs for exercise. While nothing feeds
the panel the Pi is off too, so that nothing is there. What is written of a level are the
buckets that `pzem.levels` declares, made of a few moments each; so a test needs no years of
readings to have ten years of days.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import Final, NamedTuple
from urllib.request import Request, urlopen

from pzem.house import alarms, records
from pzem.levels import DAYS, HOUR_S, HOURS, MINUTES, RATIO, RAW, SHAPES, Shape, bounds
from pzem.points import STATE_OK, STATE_SILENT, meter_fields
from pzem.registers import Reading
from pzem.rollup.energy import ENERGY, PERIODS

DAY_S: Final = 86_400
YEAR_S: Final = 365.2425 * DAY_S
INTERVAL_S: Final = 5
MOMENTS: Final = {MINUTES: 2, HOURS: 6, DAYS: 24}
"""Of so many moments a bucket is made."""
BATCH: Final = 5_000

OUTAGES_A_YEAR: Final = 5
STARTED_AFTER_S: Final = 360
"""From the loss of the utility until somebody has started the generator."""
RATED_VOLT_AMPS: Final = 5_000.0

Fields = dict[str, float | str]


class Point(NamedTuple):
    """One point without a time."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: Fields


@dataclass(frozen=True, slots=True)
class Absence:
    """A time without the utility. Seconds since 1970."""

    start_s: int
    end_s: int
    is_exercise: bool

    @property
    def generator_s(self) -> int:
        """When the generator takes over."""
        return self.start_s + (60 if self.is_exercise else STARTED_AFTER_S)


@dataclass(frozen=True)
class Years:
    """The house from `start_s` up to but not including `end_s` (unix seconds, whole hours)."""

    start_s: int
    end_s: int
    zone: tzinfo = UTC
    seed: int = 1
    names: tuple[str, str, str] = ("mainA", "mainB", "gen")
    nominal_volts: float = 120.0

    # --- what happens

    @cached_property
    def absences(self) -> tuple[Absence, ...]:
        """Outages, one of a day in each ten, and the monthly runs for exercise, in order."""
        found = []
        day = self.start_s // DAY_S + 1
        while (day + 3) * DAY_S < self.end_s:
            dice = self._noise(day, 11)
            at_s = day * DAY_S + int(self._noise(day, 12) * 20 * HOUR_S)
            if day % 30 == self.seed % 30:
                found.append(Absence(at_s, at_s + 16 * 60, is_exercise=True))
            elif dice < OUTAGES_A_YEAR / 365:
                hours = 26.0 if dice < OUTAGES_A_YEAR / 365 / 10 else 0.3 + 5 * dice * 365 / 5
                found.append(Absence(at_s, at_s + int(hours * HOUR_S), is_exercise=False))
            day += 1 if not found or found[-1].end_s < (day + 1) * DAY_S else 2
        return tuple(found)

    def absence(self, unix_s: float) -> Absence | None:
        """Return the time without the utility that `unix_s` lies in."""
        number = bisect_right(self._starts, unix_s) - 1
        if number < 0 or unix_s >= self.absences[number].end_s:
            return None
        return self.absences[number]

    def points(self, unix_s: int) -> list[Point]:
        """Return what the collector stores of one slot; nothing while the Pi is off."""
        away = self.absence(unix_s)
        if away is not None and unix_s < away.generator_s:
            return []
        watts = self._watts(unix_s)
        lines_a, lines_b = watts if away is None else (0.0, 0.0)
        from_generator = sum(watts) if away is not None else 0.0
        hertz = 60.0 + 0.24 * (self._noise(unix_s // 20, 3) - 0.5)
        if away is not None:
            hertz += 1.4 - from_generator / 4000 + 0.5 * (self._noise(unix_s // 5, 4) - 0.5)
        sag = from_generator / 900 if away is not None else 0.0
        volts = [
            self.nominal_volts * (1.015 + 0.012 * math.sin(unix_s / 7000 + leg))
            - load / 1100
            - sag
            + 0.6 * self._noise(unix_s // 10, 5 + leg)
            for leg, load in enumerate(watts)
        ]
        readings = (
            self._reading(0, volts[0], lines_a, hertz, unix_s),
            self._reading(1, volts[1], lines_b, hertz, unix_s),
            self._reading(2, volts[0], from_generator, hertz, unix_s),
        )
        found = []
        for name, reading in zip(self.names, readings, strict=True):
            tag = (("meter", name),)
            if self._is_silent(name, unix_s):
                fields: Fields = {"state": STATE_SILENT, "reason": "no_answer"}
                found.append(Point("meter_state", tag, fields))
                continue
            of_meter: Fields = {
                **meter_fields(reading),
                "lifetime_wh": reading.energy_wh,
                "lifetime_estimated": 0.0,
            }
            found += [
                Point("meter", tag, of_meter),
                Point("meter_state", tag, {"state": STATE_OK}),
            ]
        total = sum(reading.watts for reading in readings)
        difference = abs(volts[0] - volts[1])
        carries = float(away is not None)
        house: Fields = {
            "watts": total,
            "volt_amps": sum(reading.volt_amps for reading in readings),
            "volts_difference": difference,
            "imbalance": abs(watts[0] - watts[1]) / max(sum(watts), 1.0),
            "utility_on": 1.0 - carries,
            "generator_on": carries,
        }
        found.append(Point("house", (), house))
        hours = self._generator_hours(unix_s)
        generator: Fields = {"hours": hours, "hours_since_service": hours % 100}
        if away is not None:
            generator["load"] = readings[2].volt_amps / RATED_VOLT_AMPS
        found.append(Point("generator", (), generator))
        conditions = [
            (alarms.UTILITY_LOST, "", carries),
            (alarms.GENERATOR_RUNNING, "", carries),
            (alarms.GENERATOR_OVERLOAD, "", float(readings[2].volt_amps > RATED_VOLT_AMPS)),
            *(
                (kind, name, float(side * volts[leg] > side * self.nominal_volts * limit))
                for leg, name in enumerate(self.names[:2])
                for kind, side, limit in (
                    (alarms.VOLTS_LOW, -1, 0.95),
                    (alarms.VOLTS_HIGH, 1, 1.05),
                )
            ),
            *(
                (alarms.METER_SILENT, name, float(self._is_silent(name, unix_s)))
                for name in self.names
            ),
        ]
        found += [
            Point(
                "alarm_state",
                (("kind", kind), *((("meter", meter),) if meter else ())),
                {"active": active},
            )
            for kind, meter, active in conditions
        ]
        celsius = 47 + 9 * self._warmth(unix_s) + 4 * self._noise(unix_s // 60, 8)
        found.append(Point("host", (), {"cpu_celsius": round(celsius, 1)}))
        cycle: Fields = {
            "cycle_s": round(0.28 + 0.05 * self._noise(unix_s, 9), 4),
            "lateness_s": round(0.002 + 0.004 * self._noise(unix_s, 10), 4),
            "waiting_cycles": 0.0,
        }
        found.append(Point("collector", (), cycle))
        return found

    # --- as lines

    def readings(self, start_s: int, end_s: int, interval_s: int = INTERVAL_S) -> Iterator[str]:
        """Yield the level raw of a time, each line with its time in s."""
        for unix_s in range(start_s, end_s, interval_s):
            for point in self.points(unix_s):
                yield _line(point, unix_s)

    def buckets(self, level: str, start_s: int, end_s: int) -> Iterator[str]:
        """Yield a coarser level of a time, each line with its time in s."""
        at_s, until_s = bounds(level, start_s, self.zone)
        while at_s < end_s:
            step_s = (until_s - at_s) / MOMENTS[level]
            moments = [at_s + int((n + 0.5) * step_s) for n in range(MOMENTS[level] - 1)]
            seen: dict[tuple[str, tuple[tuple[str, str], ...]], list[Fields]] = {}
            for unix_s in (*moments, until_s - INTERVAL_S):
                for point in self.points(unix_s):
                    seen.setdefault((point.measurement, point.tags), []).append(point.fields)
            slots = (until_s - at_s) / INTERVAL_S / MOMENTS[level]
            for shape in SHAPES:
                for (measurement, tags), rows in seen.items():
                    if measurement == shape.measurement:
                        yield _line(Point(measurement, tags, _bucket(shape, rows, slots)), at_s)
            at_s, until_s = bounds(level, until_s, self.zone)

    def events(self) -> Iterator[str]:
        """Yield what the outage ledger has of it all."""
        for away in self.absences:
            wh = self._lifetime_wh(2, away.end_s) - self._lifetime_wh(2, away.start_s)
            ran_s = float(away.end_s - away.generator_s)
            common: Fields = {
                "began_at": float(away.start_s),
                "open": 0.0,
                "seconds": float(away.end_s - away.start_s),
                "generator_wh": round(wh, 1),
                "peak_watts": round(wh / max(ran_s, 1) * 3600 * 1.6, 1),
                "running_s": ran_s,
                "provisional": 0.0,
            }
            seen: Fields = {"evidence": records.GENERATOR_IN_USE}
            if not away.is_exercise:
                seen = {"lost": records.PANEL_DARK, "evidence": records.SILENT_METERS}
            outage: Fields = {
                **common,
                **seen,
                "back_at": float(away.end_s),
                "generator_at": float(away.generator_s),
                "pi_off_s": float(away.generator_s - away.start_s),
            }
            run: Fields = {
                **common,
                "began_at": float(away.generator_s),
                "ended_at": float(away.end_s),
                "seconds": ran_s,
            }
            off: Fields = {
                "began_at": float(away.start_s),
                "ended_at": float(away.generator_s),
                "seconds": float(away.generator_s - away.start_s),
                "cause": "outage",
            }
            yield _event(records.OUTAGE, outage, away.start_s)
            yield _event(records.GENERATOR_RUN, run, away.generator_s)
            yield _event(records.PI_OFF, off, away.start_s)
            for unix_s, before, after in (
                (away.generator_s, "utility", "generator"),
                (away.end_s, "generator", "utility"),
            ):
                fields: Fields = {"began_at": float(unix_s), "before": before, "after": after}
                yield _event(records.SUPPLY, fields, unix_s)

    def energies(self, start_s: int, end_s: int, periods: Iterable[str] = PERIODS) -> Iterator[str]:
        """Yield the energy of hours, days and calendar months of a time."""
        for period in periods:
            at_s = start_s
            while at_s < end_s:
                first_s, next_s = self._period(period, at_s)
                for number, name in enumerate(self.names):
                    whole_wh = self._lifetime_wh(number, next_s)
                    wh = whole_wh - self._lifetime_wh(number, first_s)
                    fields: Fields = {"wh": round(wh, 3), "lifetime_wh": round(whole_wh, 3)}
                    tags = (("meter", name), ("period", period))
                    yield _line(Point(ENERGY, tags, fields), first_s)
                at_s = next_s

    # --- how it is made

    def _period(self, period: str, unix_s: int) -> tuple[int, int]:
        if period != "month":
            return bounds(HOURS if period == "hour" else DAYS, unix_s, self.zone)
        first = datetime.fromtimestamp(unix_s, self.zone).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return int(first.timestamp()), int(after.timestamp())

    @cached_property
    def _starts(self) -> list[int]:
        return [away.start_s for away in self.absences]

    @cached_property
    def _hourly_wh(self) -> tuple[list[float], ...]:
        """What each meter has counted at the start of each hour."""
        counted: tuple[list[float], ...] = ([0.0], [0.0], [0.0])
        for hour_s in range(self.start_s, self.end_s + HOUR_S, HOUR_S):
            hour = [0.0, 0.0, 0.0]
            for n in range(6):
                unix_s = hour_s + 300 + 600 * n
                away = self.absence(unix_s)
                watts = self._watts(unix_s)
                if away is None:
                    hour[0] += watts[0] / 6
                    hour[1] += watts[1] / 6
                elif unix_s >= away.generator_s:
                    hour[2] += sum(watts) / 6
            for of_meter, wh in zip(counted, hour, strict=True):
                of_meter.append(of_meter[-1] + wh)
        return counted

    def _lifetime_wh(self, number: int, unix_s: int) -> float:
        within = min(max(unix_s, self.start_s), self.end_s)
        hour, within_s = divmod(within - self.start_s, HOUR_S)
        of_meter = self._hourly_wh[number]
        return of_meter[hour] + (of_meter[hour + 1] - of_meter[hour]) * within_s / HOUR_S

    @cached_property
    def _ran_s(self) -> list[float]:
        """How long the generator had run before each absence."""
        total, found = 0.0, []
        for away in self.absences:
            found.append(total)
            total += away.end_s - away.generator_s
        return found

    def _generator_hours(self, unix_s: int) -> float:
        number = bisect_right(self._starts, unix_s) - 1
        if number < 0:
            return 0.0
        away = self.absences[number]
        ran_s = max(0, min(unix_s, away.end_s) - away.generator_s)
        return round((self._ran_s[number] + ran_s) / HOUR_S, 3)

    def _reading(
        self, number: int, volts: float, watts: float, hertz: float, unix_s: int
    ) -> Reading:
        factor = 0.9 + 0.08 * min(watts / 2000, 1) if watts else 0.0
        amps = watts / factor / volts if watts else 0.0
        wh = math.floor(self._lifetime_wh(number, unix_s))
        return Reading(
            round(volts, 1),
            round(amps, 3),
            round(watts, 1),
            float(wh),
            round(hertz, 1),
            round(factor, 2),
            alarm=False,
        )

    def _is_silent(self, name: str, unix_s: int) -> bool:
        """Tell whether it does not answer: for two hours, about twice a year."""
        slot = unix_s // (2 * HOUR_S)
        return self._noise(slot, 20 + self.names.index(name)) < 2 / 4380

    def _warmth(self, unix_s: float) -> float:
        """Return the season and hour from -1, a winter's night, to 1, a summer's afternoon."""
        season = math.cos(2 * math.pi * (unix_s / YEAR_S - 0.55))
        return 0.75 * season + 0.25 * math.cos(2 * math.pi * (unix_s / DAY_S - 0.875))

    def _watts(self, unix_s: int) -> tuple[float, float]:
        """Return what the two legs draw, whatever feeds them."""
        hour = datetime.fromtimestamp(unix_s, self.zone).hour
        awake = 0.25 if hour < 6 else 0.7 if hour < 17 else 1.0
        warmth = self._warmth(unix_s)
        climate = 1500 * max(0.0, abs(warmth - 0.1) - 0.35)
        minute = unix_s // 60
        fridge = 130.0 if (minute + 7 * self.seed) % 50 < 18 else 0.0
        lights = 220 * awake * (0.6 + 0.4 * self._noise(minute // 15, 1))
        oven = 2100.0 if hour in (7, 12, 18) and self._noise(minute // 20, 2) < 0.35 else 0.0
        washing = 1900.0 if hour in (9, 10) and self._noise(minute // 30, 6) < 0.25 else 0.0
        heat_pump = 2.2 * climate if self._noise(minute // 12, 7) < 0.55 else 0.1 * climate
        jitter = 12 * self._noise(unix_s // 5, 13)
        leg_a = 95 + fridge + lights + oven / 2 + heat_pump / 2 + jitter
        leg_b = 60 + washing + oven / 2 + heat_pump / 2 + 0.6 * lights
        return leg_a, leg_b

    def _noise(self, number: int, kind: int) -> float:
        """Return something from 0 up to 1 that is always the same for the same numbers."""
        mixed = (number * 0x9E3779B1 + kind * 0x85EBCA77 + self.seed * 0xC2B2AE3D) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 12)) * 0x297A2D39) & 0xFFFFFFFF
        return (mixed ^ (mixed >> 15)) / 0x100000000


def write(url: str, database: str, policy: str, lines: Iterable[str]) -> int:
    """Store `lines` (times in s) at an InfluxDB without accounts; return how many they were.

    Raises `OSError` if the server does not take them.
    """
    count = 0
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        count += 1
        if len(batch) == BATCH:
            _post(url, database, policy, batch)
            batch = []
    if batch:
        _post(url, database, policy, batch)
    return count


def _post(url: str, database: str, policy: str, batch: list[str]) -> None:
    address = f"{url}/write?db={database}&rp={policy}&precision=s"
    with urlopen(Request(address, data="\n".join(batch).encode()), timeout=60):  # noqa: S310 - http, given by the caller
        pass


def _bucket(shape: Shape, rows: list[Fields], slots: float) -> Fields:
    """Return what `pzem.rollup` makes of these readings, each standing for `slots` of them."""
    fields: Fields = {}
    for name in (*shape.means, *shape.flags):
        values = [float(row[name]) for row in rows if name in row]
        if not values:
            continue
        if name in shape.means:
            fields |= {f"{name}_min": min(values), f"{name}_max": max(values)}
        if name != RATIO[0]:
            fields |= {name: sum(values) / len(values), f"{name}_count": len(values) * slots}
    if RATIO[0] in shape.means and fields.get(RATIO[2]):
        fields[RATIO[0]] = float(fields[RATIO[1]]) / float(fields[RATIO[2]])
    for name in shape.lasts:
        if values_kept := [row[name] for row in rows if name in row]:
            fields[name] = values_kept[-1]
    for name in shape.largest:
        fields[name] = max(float(row[name]) for row in rows)
    return fields


def _event(kind: str, fields: Fields, unix_s: int) -> str:
    return _line(Point(records.MEASUREMENT, (("kind", kind),), fields), unix_s)


def _line(point: Point, unix_s: int) -> str:
    tags = "".join(f",{key}={value}" for key, value in point.tags)
    fields = ",".join(
        f'{key}="{value}"' if isinstance(value, str) else f"{key}={value:.12g}"
        for key, value in point.fields.items()
    )
    return f"{point.measurement}{tags} {fields} {unix_s}"


__all__ = ["RAW", "Absence", "Point", "Years", "write"]
