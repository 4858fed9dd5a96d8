"""A house whose supplies, clock and Pi a test moves, with a ledger that watches it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pzem.config import MeterSettings
from pzem.house.outages import Ledger
from pzem.house.sample import Sample
from pzem.house.supply import Supplies
from pzem.kept import KeptFile
from pzem.meter import NO_ANSWER_YET, NO_PORT, Outcome, Silent
from pzem.moment import Moment
from pzem.registers import Reading
from pzem.settling import Settling

PANEL = (
    MeterSettings("mainA", 4, "utility", "A", "panel_a"),
    MeterSettings("mainB", 5, "utility", "B", "panel_b"),
    MeterSettings("gen", 6, "generator", None, "panel_a"),
)
OWN = tuple(MeterSettings(m.name, m.address, m.supply, m.leg, "own") for m in PANEL)
T0 = 1_800_000_000
"""True time at which each story begins, a multiple of 60."""
STARTS_S = 30
"""From the boot to the start of the collector."""

Row = dict[str, Any]


class CountedFile(KeptFile):
    """Counts the writes to the card."""

    def __init__(self, file: Path | None) -> None:
        super().__init__(file, "it is a test")
        self.saves = 0

    def save(self, kept: dict[str, Any]) -> bool:
        self.saves += 1
        return super().save(kept)


class World:
    """True time goes on with `run`; the Pi, if it is on, reads a slot each interval.

    `watts` of each supply are what it delivers to the house, None: it is dead. The house
    is on the generator if `interlock` is; `own` meters see their supply's voltage.
    """

    def __init__(
        self, state_dir: Path, meters: Sequence[MeterSettings], interval_s: int = 5
    ) -> None:
        self.meters = tuple(meters)
        self.interval_s = interval_s
        self.file = state_dir / "outages.json"
        self.now_s = T0
        self.legs: dict[str, float | None] = {"mainA": 600.0, "mainB": 360.0}
        self.generator: float | None = None
        self.on_generator = False
        self.unplugged: set[str] = set()
        self.dark_panels: set[str] = set()
        self.proof_slots = 0
        """So long a silent meter's adapter may be stuck itself: it is alone on it."""
        self._silent_slots: dict[str, int] = {}
        self._settling = Settling(interval_s)
        self.register_wh = 5000.0
        self.ledger: Ledger | None = None
        self.lines: list[str] = []
        """All that was handed over, as it was."""
        self.rows: dict[tuple[str, str | None, int], Row] = {}
        self.boots = 0
        self.boot_s = T0 - 86_400
        self.clock_off_s = 0
        """Wall clock minus true time."""
        self.clock_is_true = True
        self.kept = CountedFile(self.file)
        self.last_slot_s: int | None = None

    # The Pi

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boots}"

    def boot(self, *, clock_is_true: bool = True, clock_off_s: int = 0) -> None:
        """Give the Pi power now; the collector starts `STARTS_S` later."""
        self.ledger = None
        self.boots += 1
        self.boot_s = self.now_s
        self.clock_is_true = clock_is_true
        self.clock_off_s = clock_off_s
        self.now_s += STARTS_S
        self.start()

    def start(self, recalled: int | None = None) -> None:
        """Start the collector."""
        self.kept = CountedFile(self.file)
        self.ledger = Ledger(self.meters, self.kept, self.interval_s)
        self.supplies = Supplies(self.meters, self.interval_s)
        self._settling = Settling(self.interval_s)
        self._silent_slots = {}
        self.ledger.started(self.moment(), recalled)

    def kill(self) -> None:
        """End the collector without a word, by kill -9 or by cutting the power."""
        self.ledger = None

    def stop(self) -> None:
        assert self.ledger is not None
        self.ledger.close()
        self.ledger = None

    def synchronise(self) -> None:
        """Put an unknown clock right."""
        assert self.ledger is not None
        self.clock_is_true, self.clock_off_s = True, 0
        self.ledger.dated(self.boot_id, float(self.boot_s))
        self.take_events()

    def moment(self) -> Moment:
        monotonic_s = float(self.now_s - self.boot_s)
        return Moment(self.now_s + self.clock_off_s, monotonic_s, self.boot_id, self.clock_is_true)

    # Time

    def run(self, seconds: int) -> None:
        """Let time pass, `interval_s` by `interval_s`."""
        for _ in range(seconds // self.interval_s):
            self.now_s += self.interval_s
            if self.generator is not None and self.on_generator:
                self.register_wh += self.generator * self.interval_s / 3600
            if self.ledger is not None:
                sample = Sample(self.moment(), self.outcomes())
                self.ledger.take(sample, self.supplies.take(sample))
                self.last_slot_s = self.now_s
                self.take_events()

    def take_events(self) -> None:
        """Store the points as the database does: fields of one point are joined."""
        assert self.ledger is not None
        for line in self.ledger.events():
            self.lines.append(line)
            key, fields = parsed(line)
            self.rows.setdefault(key, {}).update(fields)

    def outcomes(self) -> dict[str, Outcome]:
        return {meter.name: self._settled(meter.name, self.outcome(meter)) for meter in self.meters}

    def _settled(self, name: str, outcome: Outcome) -> Outcome:
        silent_slots = self._silent_slots.get(name, 0) + 1 if outcome == Silent() else 0
        self._silent_slots[name] = silent_slots
        if 0 < silent_slots <= self.proof_slots:
            outcome = Silent(NO_ANSWER_YET)
        return self._settling.judge(name, outcome, float(self.now_s - self.boot_s))

    def outcome(self, meter: MeterSettings) -> Outcome:
        if meter.name in self.unplugged:
            return Silent(NO_PORT)
        is_generator = meter.supply == "generator"
        supplied = self.generator if is_generator else self.legs[meter.name]
        carries = is_generator == self.on_generator
        if meter.fed_from == "own":
            live = supplied is not None
        elif meter.fed_from in self.dark_panels:
            live = False
        elif self.on_generator:
            live = self.generator is not None
        else:
            live = any(watts is not None for watts in self.legs.values())
        if not live:
            return Silent()
        watts = supplied if carries and supplied is not None else 0.0
        wh = float(int(self.register_wh)) if is_generator else 1000.0
        return Reading(120.0, round(watts / 120, 3), watts, wh, 60.0, 1.0, alarm=False)

    # What is stored

    def of(self, kind: str) -> list[Row]:
        """Return the rows of `kind` in order, each with its `time`."""
        found = [{**row, "time": key[2]} for key, row in self.rows.items() if key[0] == kind]
        return sorted(found, key=lambda row: row["time"])


_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,]+)')


def parsed(line: str) -> tuple[tuple[str, str | None, int], Row]:
    """Take one line of line protocol apart."""
    match = re.fullmatch(r"event,kind=(\w+)(?:,meter=(\w+))? (.*) (\d+)", line)
    assert match is not None, line
    kind, meter, text, time = match.groups()
    fields: Row = {}
    for name, value in _FIELD.findall(text):
        fields[name] = value[1:-1] if value.startswith('"') else float(value)
    return (kind, meter, int(time)), fields
