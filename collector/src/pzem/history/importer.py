"""Moves the original's history into the own database.

Two passes over the source, each in time order: the first counts, follows the registers and
writes nothing; the second writes. Where it stands is kept in a small file, so that it goes
on after whatever has ended it. A point that is written again replaces itself, so that what
was written after the last note does no harm.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from functools import partial
from typing import Any, Final, TypeVar

from pzem.history import ImportFailedError, original
from pzem.history.levels import Coarse, Rollup
from pzem.history.notes import Notes
from pzem.history.original import UNITS_WH, Evidence, Integral, Register, Shown
from pzem.history.source import Part, Row, Source
from pzem.history.target import Live, Target
from pzem.influx import InfluxError, InfluxRefusalError
from pzem.levels import HOST, NS, ORIGINAL_METER, Shape

POINTS_A_REQUEST: Final = 5000
"""What InfluxDB's own guide recommends."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0
PATIENCE_S: Final = 600.0
"""A server that is away for longer ends the import; its next run goes on."""
PAUSE_SHARE: Final = 0.5
"""After each part the import rests for this share of the time that the part took, so that
the collector and the screens are served, and the server gets to tidying up."""
LONGEST_PAUSE_S: Final = 5.0
MOST_MB: Final = 300.0
"""With more in its memory, the database is left alone until it has put some of it into
files: a Pi has 1 GB in all. What is written to a shard stays in memory for ten minutes."""
LEAVE_ALONE_S: Final = 5.0
LONGEST_LEAVE_S: Final = 720.0
"""After that it is not the import that fills the memory, and the bound is moved."""
MORE_MB: Final = 50.0
NOTE_EVERY_S: Final = 30.0
"""How often the file that tells where the import stands is written to the card."""

_T = TypeVar("_T")


class Patience:
    """Calls again what failed because a server is away, at growing intervals."""

    def __init__(
        self, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._say = say
        self._sleep = sleep

    def __call__(self, call: Callable[[], _T]) -> _T:
        """Return what `call` returns; raises `InfluxError` after `PATIENCE_S`, or for good."""
        waited_s, wait_s = 0.0, FIRST_RETRY_S
        while True:
            try:
                return call()
            except InfluxRefusalError:
                raise
            except InfluxError as error:
                if waited_s >= PATIENCE_S:
                    raise
                if not waited_s:
                    self._say(f"{error}; trying again for {PATIENCE_S / 60:.0f} min")
            self._sleep(wait_s)
            waited_s += wait_s
            wait_s = min(2 * wait_s, LAST_RETRY_S)


@dataclass(slots=True)
class Passage:
    """One pass over the history: what it has seen so far, and where it stands."""

    position_ns: int
    """Everything before is done."""
    rows: int = 0
    read: Counter[str] = field(default_factory=Counter)
    """True readings by the original's name of the meter."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Readings left out, by reason."""
    written: Counter[str] = field(default_factory=Counter)
    """Points by level."""
    refused: int = 0
    """Points that the database took never."""
    no_lifetime: Counter[str] = field(default_factory=Counter)
    registers: dict[str, Register] = field(default_factory=dict)
    rollups: dict[str, Rollup] = field(default_factory=dict)

    def kept(self) -> dict[str, Any]:
        """Return the state as JSON can hold it."""
        return {
            "position_ns": self.position_ns,
            "rows": self.rows,
            "refused": self.refused,
            **{name: dict(getattr(self, name)) for name in _COUNTERS},
            "registers": {name: one.kept() for name, one in self.registers.items()},
            "rollups": {name: one.kept() for name, one in self.rollups.items()},
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any], zone: tzinfo) -> Passage:
        """Return a pass that goes on where another stood."""
        return cls(
            kept["position_ns"],
            kept["rows"],
            refused=kept["refused"],
            registers={name: Register(one) for name, one in kept["registers"].items()},
            rollups={
                name: Rollup(_shape(name), zone, one) for name, one in kept["rollups"].items()
            },
            **{name: Counter(kept[name]) for name in _COUNTERS},
        )


_COUNTERS: Final = ("read", "skipped", "written", "no_lifetime")
_CPU: Final = "T_cpu"


def _shape(name: str) -> Shape:
    return HOST if name == _CPU else ORIGINAL_METER


@dataclass(frozen=True, slots=True)
class Plan:
    """What the first pass has found, and what the second is to do with it."""

    unit: str
    evidence: str
    source: str
    first_ns: int
    end_ns: int
    """Rows from here on are not part of it."""
    prefixes: Mapping[str, str]
    base_wh: Mapping[str, float]
    """Lifetime energy of each of the original's meters at its first reading, in Wh."""
    live_start_ns: int | None
    counted: Mapping[str, Any]
    """The first pass, as JSON can hold it."""

    def kept(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Report:
    """How an import stands."""

    plan: Plan
    passage: Passage
    written: Mapping[str, int]
    complete: bool
    resumed: bool = False


class Importer:
    """One import, from one source into one database.

    `say` tells people something in one line, `show` how far a pass is (0 to 1).
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        zone: tzinfo,
        *,
        notes: Notes,
        identity: Mapping[str, Any],
        ask: Patience,
        say: Callable[[str], None],
        show: Callable[[str, float], None],
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._target = target
        self._zone = zone
        self._notes = notes
        self._identity = dict(identity)
        self._ask = ask
        self._say = say
        self._show = show
        self._sleep = sleep
        self._now = now
        kept = notes.load()
        self._kept = kept if kept.get("identity") == self._identity else {}
        self._noted_s = 0.0
        self._said_full = False
        self._most_mb = MOST_MB
        self._snapshot: dict[str, Any] | None = None

    # --- the first pass

    def unit(self) -> Evidence:
        """Tell the unit of WHRS from hours all over the history."""
        integrals = {prefix: Integral() for prefix in self._source.prefixes}
        done_ns = self._source.first_ns
        length_ns = max(1, self._source.last_ns - done_ns)
        for rows in self._source.samples():
            for integral in integrals.values():
                integral.interrupt()
            for row in rows:
                self._weigh(row, integrals)
            if rows:
                share = (rows[-1].time_ns - done_ns) / length_ns
                self._show("unit of WHRS", min(1.0, share))
        self._show("unit of WHRS", 1.0)
        return original.weigh(integrals)

    def _weigh(self, row: Row, integrals: Mapping[str, Integral]) -> None:
        for number, integral in enumerate(integrals.values()):
            *values, count = row.values[5 * number : 5 * number + 5]
            if isinstance(count, bool) or not isinstance(count, int | float):
                continue
            shown = original.judge(row.time_ns, [*values, 0.0], 1.0)
            if isinstance(shown, Shown):
                integral.take(row.time_ns, shown.watts, float(count))

    def begun(self) -> Plan | None:
        """Return the plan of an earlier run that has begun to write, or has finished."""
        return Plan(**self._kept["plan"]) if self._kept.get("plan") else None

    def plan(self, unit: str, evidence: str) -> Plan:
        """Count everything and find out what lifetime begins with; writes nothing."""
        kept = self._kept.get("survey")
        if kept is not None and kept["unit"] == unit:
            passage, end_ns = Passage.of(kept["passage"], self._zone), kept["end_ns"]
        else:
            passage, end_ns = Passage(self._source.first_ns), self._source.last_ns + 1
        live = self._target.live(self._source.prefixes.values())
        if live.without:
            raise ImportFailedError(
                f"{', '.join(live.without)} has live readings without lifetime_wh, to which "
                "the history could be joined; let the collector run for a minute and try again"
            )

        def note() -> dict[str, Any]:
            survey = {"unit": unit, "end_ns": end_ns, "passage": passage.kept()}
            return {"identity": self._identity, "survey": survey}

        def count(part: Part) -> None:
            self._take(passage, part, UNITS_WH[unit], live.start_ns)

        self._pass("counting", passage, end_ns, count, note)
        self._end(passage)
        return Plan(
            unit=unit,
            evidence=evidence,
            source=self._source.words,
            first_ns=self._source.first_ns,
            end_ns=end_ns,
            prefixes=self._source.prefixes,
            base_wh=self._bases(passage, live),
            live_start_ns=live.start_ns,
            counted=passage.kept(),
        )

    def _bases(self, passage: Passage, live: Live) -> dict[str, float]:
        any_live = live.start_ns is not None
        return {
            prefix: original.base_wh(
                passage.registers.get(prefix, Register()),
                live.lifetimes.get(meter),
                any_live=any_live,
            )
            for prefix, meter in self._source.prefixes.items()
        }

    # --- the second pass

    def carry_out(self, plan: Plan) -> Report:
        """Write what `plan` says, or what is left of it, and what has come since."""
        kept = self._kept.get("writing")
        if plan.live_start_ns is None:
            live = self._target.live(plan.prefixes.values())
            plan = replace(plan, live_start_ns=live.start_ns)
        end_ns = max(plan.end_ns, self._source.last_ns + 1)
        passage = Passage.of(kept, self._zone) if kept else Passage(plan.first_ns)
        raw_from_ns = self._target.levels.raw_from_ns(self._now())

        def note() -> dict[str, Any]:
            return {"identity": self._identity, "plan": plan.kept(), "writing": passage.kept()}

        self._notes.save(note())  # from here on a next run goes on without asking

        def write(part: Part) -> None:
            readings, cpu = self._take(passage, part, UNITS_WH[plan.unit], plan.live_start_ns)
            lines = self._lines(passage, plan, readings, cpu, raw_from_ns)
            self._send(passage, lines)
            self._leave_room()

        self._pass("writing", passage, end_ns, write, note)
        self._send(passage, self._lines(passage, plan, self._end(passage), [], raw_from_ns))
        last = self._open_buckets(passage, plan)
        self._send(passage, last, counted=False)
        self._notes.save(note())
        written = Counter({level: passage.written[level] for level in self._all_levels()})
        for level, lines in last.items():
            written[level] += len(lines)
        return Report(plan, passage, dict(written), complete=True, resumed=kept is not None)

    def _all_levels(self) -> tuple[str, ...]:
        return (self._target.levels.raw, *self._target.levels.coarser)

    def _lines(
        self,
        passage: Passage,
        plan: Plan,
        readings: Sequence[tuple[str, Shown, float]],
        cpu: Sequence[tuple[int, float]],
        raw_from_ns: int | None,
    ) -> dict[str, list[str]]:
        lines: dict[str, list[str]] = {level: [] for level in self._all_levels()}
        raw = lines[self._target.levels.raw]
        for prefix, shown, grown_wh in readings:
            lifetime_wh = self._lifetime_wh(passage, plan, prefix, grown_wh)
            head = f"meter,meter={plan.prefixes[prefix]} "
            means = (*shown[1:4], shown.volt_amps, shown.power_factor)
            if raw_from_ns is None or shown.time_ns >= raw_from_ns:
                raw.append(f"{head}{_meter_fields(shown, lifetime_wh)} {shown.time_ns}")
            rollup = self._rollup(passage, prefix)
            for coarse in rollup.take(shown.time_ns, means, (shown.energy_wh, lifetime_wh)):
                _add(lines, head, coarse, plan.live_start_ns)
        for time_ns, celsius in cpu:
            if raw_from_ns is None or time_ns >= raw_from_ns:
                raw.append(f"host cpu_celsius={celsius!r} {time_ns}")
            for coarse in self._rollup(passage, _CPU).take(time_ns, (celsius,)):
                _add(lines, "host ", coarse, plan.live_start_ns)
        return lines

    def _open_buckets(self, passage: Passage, plan: Plan) -> dict[str, list[str]]:
        lines: dict[str, list[str]] = {level: [] for level in self._all_levels()}
        for name, rollup in passage.rollups.items():
            head = "host " if name == _CPU else f"meter,meter={plan.prefixes[name]} "
            for coarse in rollup.so_far():
                _add(lines, head, coarse, plan.live_start_ns)
        return lines

    def _rollup(self, passage: Passage, name: str) -> Rollup:
        if name not in passage.rollups:
            passage.rollups[name] = Rollup(_shape(name), self._zone)
        return passage.rollups[name]

    def _lifetime_wh(
        self, passage: Passage, plan: Plan, prefix: str, grown_wh: float
    ) -> float | None:
        lifetime_wh = round(plan.base_wh[prefix] + grown_wh, 3)
        if lifetime_wh < 0:
            passage.no_lifetime[prefix] += 1
            return None
        return lifetime_wh

    def _send(
        self, passage: Passage, lines: Mapping[str, Sequence[str]], *, counted: bool = True
    ) -> None:
        for policy, of_policy in lines.items():
            for start in range(0, len(of_policy), POINTS_A_REQUEST):
                some = of_policy[start : start + POINTS_A_REQUEST]
                refused, why = self._ask(partial(self._target.write, policy, some))
                if refused and not passage.refused:
                    self._say(f"the database refuses points for good: {why}")
                passage.refused += refused
                if counted:
                    passage.written[policy] += len(some) - refused

    def _leave_room(self) -> None:
        """Wait while the database has too much in its memory."""
        waited_s = 0.0
        while (held_mb := self._target.memory_mb()) and held_mb > self._most_mb:
            if waited_s >= LONGEST_LEAVE_S:
                self._say(f"the database keeps its {held_mb:.0f} MB; going on all the same")
                self._most_mb = held_mb + MORE_MB
                return
            if not waited_s and not self._said_full:
                self._said_full = True
                self._say(f"the database holds {held_mb:.0f} MB in memory; waiting for room")
            self._sleep(LEAVE_ALONE_S)
            waited_s += LEAVE_ALONE_S

    # --- both passes

    def _pass(
        self,
        what: str,
        passage: Passage,
        end_ns: int,
        work: Callable[[Part], object],
        note: Callable[[], dict[str, Any]],
    ) -> None:
        """Go through the source from where `passage` stands; keeps notes."""
        start_ns, length_ns = self._source.first_ns, max(1, end_ns - self._source.first_ns)
        self._snapshot = None
        parts = self._source.parts(passage.position_ns, end_ns)
        try:
            while True:
                began_s = time.monotonic()
                part = next(parts, None)
                if part is None:
                    break
                work(part)
                passage.position_ns = part.end_ns
                self._snapshot = note()
                self._note()
                self._show(what, (part.end_ns - start_ns) / length_ns)
                pause_s = PAUSE_SHARE * (time.monotonic() - began_s)
                self._sleep(min(pause_s, LONGEST_PAUSE_S))
        finally:
            self._note(at_once=True)

    def _note(self, *, at_once: bool = False) -> None:
        if self._snapshot is None:
            return
        if at_once or time.monotonic() - self._noted_s >= NOTE_EVERY_S:
            self._noted_s = time.monotonic()
            self._notes.save(self._snapshot)
            self._snapshot = None

    def _take(
        self, passage: Passage, part: Part, unit_wh: float, live_start_ns: int | None
    ) -> tuple[list[tuple[str, Shown, float]], list[tuple[int, float]]]:
        """Judge the rows of `part`; return what is true of them."""
        readings: list[tuple[str, Shown, float]] = []
        cpu: list[tuple[int, float]] = []
        prefixes = list(self._source.prefixes)
        for row in part.rows:
            late = live_start_ns is not None and row.time_ns >= live_start_ns
            for number, prefix in enumerate(prefixes):
                shown = original.judge(
                    row.time_ns, row.values[5 * number : 5 * number + 5], unit_wh
                )
                if shown is None:
                    continue
                if late or isinstance(shown, str):
                    passage.skipped[shown if isinstance(shown, str) else original.AFTER_LIVE] += 1
                    continue
                self._follow(passage, prefix, shown, readings)
            if self._source.has_cpu and not late:
                celsius = original.judge_cpu(row.values[-1])
                if isinstance(celsius, float):
                    cpu.append((row.time_ns, celsius))
                elif celsius is not None:
                    passage.skipped[celsius] += 1
        passage.rows += len(part.rows)
        return readings, cpu

    @staticmethod
    def _follow(
        passage: Passage, prefix: str, shown: Shown, readings: list[tuple[str, Shown, float]]
    ) -> None:
        register = passage.registers.setdefault(prefix, Register())
        dropped = register.dropped
        for true, grown_wh in register.take(shown):
            passage.read[prefix] += 1
            readings.append((prefix, true, grown_wh))
        if register.dropped > dropped:
            passage.skipped[original.UNFIT_ENERGY] += register.dropped - dropped

    def _end(self, passage: Passage) -> list[tuple[str, Shown, float]]:
        readings = [
            (prefix, shown, grown_wh)
            for prefix, register in passage.registers.items()
            for shown, grown_wh in register.end()
        ]
        passage.read.update(prefix for prefix, _, _ in readings)
        return readings


def _meter_fields(shown: Shown, lifetime_wh: float | None) -> str:
    fields = (
        f"volts={shown.volts!r},amps={shown.amps!r},watts={shown.watts!r},"
        f"volt_amps={shown.volt_amps!r},power_factor={shown.power_factor!r},"
        f"energy_wh={shown.energy_wh!r}"
    )
    return fields if lifetime_wh is None else f"{fields},lifetime_wh={lifetime_wh!r}"


def _add(lines: dict[str, list[str]], head: str, coarse: Coarse, live_start_ns: int | None) -> None:
    """Add a bucket, unless its level is missing or it has room for live readings."""
    if coarse.level not in lines:
        return
    if live_start_ns is not None and coarse.end_s * NS > live_start_ns:
        return
    fields = ",".join(f"{name}={value!r}" for name, value in coarse.fields.items())
    lines[coarse.level].append(f"{head}{fields} {coarse.start_s * NS}")
