"""The generator: whether it runs, how loaded it is, and for how many hours it has run.

It runs while it carries the house or, where its meter is fed from its own wires, while
these have voltage. Behind an interlock a generator that idles is not seen, so its hours are
those in which it carried the house.

Its load is apparent power against its rating, for that is what heats it. A generator that
feeds both legs with one phase has one meter whose sensor encloses both hot wires; its volts
times its amps are then all the generator gives. Several meters are added up.

The hours are kept in a file, written when the generator is seen to start or stop, every
`SAVE_S` while it runs, and at the end: a power cut costs that much at most. Behind an
interlock each return to the utility is such a cut, for the panel goes dark for a moment. What the
database knows more than the file is given back with `recalled`. Before that they are not known,
for they are not to fall; counting goes on meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pzem.config import HouseSettings, MeterSettings
from pzem.house.account import GRACE_S, ZONE_S
from pzem.house.sample import Sample
from pzem.house.supply import GENERATOR, SupplyState
from pzem.house.thresholds import MISSED_SLOTS, follows
from pzem.kept import KeptFile
from pzem.moment import Moment
from pzem.registers import Reading

SAVE_S: Final = 300.0
"""While it runs, the hours are written this often: twelve small writes an hour, in the few
hours a year in which a generator runs."""
BRIDGE_S: Final = 60.0
"""Between two slots in which it ran, this much counts as running, too, or some intervals if
these are longer: meters that were not read for moments have not stopped an engine."""
PRICE: Final = "after a power cut the generator's hours are taken from the database"
"""What the loss of the file costs, for its log lines."""

_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class GeneratorState:
    """The generator at one slot; None is what is not known."""

    running: bool | None
    load: float | None
    """Apparent power as a share of its rating, while it runs and all its meters answer."""
    volt_amps: float | None
    """Apparent power in VA, likewise."""
    hours: float | None
    """Running time in h since the hours are counted; None: not known yet."""
    hours_since_service: float | None
    """The same since the service date that the configuration names, or, if that is older,
    since it was named; None without one."""


@dataclass(frozen=True, slots=True)
class StoredHours:
    """What was stored last of a generator's hours before the present run."""

    hours: float
    hours_since_service: float | None
    """None: no service date was named then."""
    unix_s: int


class Generator:
    """Follows the generator slot by slot. Without a meter of its own nothing is known."""

    def __init__(
        self,
        meters: Sequence[MeterSettings],
        settings: HouseSettings,
        interval_s: float,
        kept: KeptFile,
    ) -> None:
        self._meters = [meter.name for meter in meters if meter.supply == GENERATOR]
        self._rating_va = settings.generator_va
        self._bridge_s = max(BRIDGE_S, MISSED_SLOTS * interval_s)
        self._kept = kept
        self._counted_s = 0.0
        self._saved_at: Moment | None = None
        self._ran_at: Moment | None = None
        self._running: bool | None = None
        self._first_s: float | None = None
        """Monotonic second of the first slot."""
        self._is_told = False
        """Whether the database has answered."""
        self._shown_h = -1.0
        before = (kept.load() if self._meters else None) or {}
        self._was_kept = bool(before)
        self._is_known = self._was_kept and before.get("known") is not False
        """Whether what was counted before lies in the file; not if that was lost since."""
        self._before_s = _seconds(before, "seconds")
        self._serviced = settings.generator_serviced
        self._service_kept = before.get("serviced")
        named = self._serviced.isoformat() if self._serviced is not None else None
        self._service_is_new = named is not None and named != self._service_kept
        self._before_service_s = (
            0.0 if self._service_is_new else _seconds(before, "since_service_s")
        )
        if self._meters and self._service_is_new:
            self._service_kept = named
            self._save()

    def take(self, sample: Sample, supply: SupplyState) -> GeneratorState | None:
        """Return the generator at this slot, or None if the house measures none."""
        if not self._meters:
            return None
        running = supply.generator_on
        self._count(running, sample.moment)
        readings = [sample.outcomes[name] for name in self._meters]
        read = [reading for reading in readings if isinstance(reading, Reading)]
        volt_amps = None
        if running and len(read) == len(readings):
            volt_amps = round(sum(reading.volt_amps for reading in read), 4)
        load = None
        if volt_amps is not None and self._rating_va is not None:
            load = round(volt_amps / self._rating_va, 4)
        if not self._may_show(sample.moment):
            return GeneratorState(running, load, volt_amps, None, None)
        since_s = self._before_service_s + self._counted_s
        self._shown_h = round((self._before_s + self._counted_s) / _HOUR_S, 4)
        return GeneratorState(
            running=running,
            load=load,
            volt_amps=volt_amps,
            hours=self._shown_h,
            hours_since_service=None if self._serviced is None else round(since_s / _HOUR_S, 4),
        )

    def recalled(self, word: StoredHours | None) -> None:
        """Take up what the database knew last before this start; None: it knows nothing.

        It may know more than the file: what ran after that was written last, or all if the
        file was lost. A file that knows more is right. Only the first answer counts.
        """
        if self._is_told or not self._meters:
            return
        self._is_told = True
        was_known, self._is_known = self._is_known, True
        if word is not None and was_known:
            self._take_newer(word)
        elif word is not None:
            self._before_s += word.hours * _HOUR_S
            if word.hours_since_service is not None and not self._is_serviced_since(word):
                self._before_service_s += word.hours_since_service * _HOUR_S
        if word is not None or not was_known:
            self._save()

    def _may_show(self, moment: Moment) -> bool:
        if self._first_s is None:
            self._first_s = moment.monotonic_s
        waited_s = moment.monotonic_s - self._first_s
        return self._is_told or (self._is_known and waited_s >= GRACE_S)

    def _take_newer(self, word: StoredHours) -> None:
        """Take up what ran after the file was written last.

        What is not more than this run has shown may be of this run itself.
        """
        if word.hours <= self._shown_h:
            return
        lost_s = max(0.0, word.hours * _HOUR_S - self._before_s)
        self._before_s += lost_s
        if not self._service_is_new:
            self._before_service_s += lost_s

    def _is_serviced_since(self, word: StoredHours) -> bool:
        """Tell whether the service is certainly later than the word, whatever the time zone."""
        if self._service_is_new and self._was_kept:
            return True
        latest = datetime.fromtimestamp(word.unix_s + ZONE_S, UTC).date()
        return self._serviced is not None and self._serviced > latest

    def close(self) -> None:
        """Write the hours, if the generator has run since they were written last."""
        if self._saved_at != self._ran_at:
            self._save()

    def _count(self, running: bool | None, moment: Moment) -> None:
        if running is None:
            return
        if running:
            if self._ran_at is not None and follows(moment, self._ran_at, self._bridge_s):
                self._counted_s += moment.monotonic_s - self._ran_at.monotonic_s
            self._ran_at = moment
        started_or_stopped = running != self._running and not (
            self._running is None and not running
        )
        self._running = running
        if started_or_stopped or (running and self._is_due(moment)):
            self._save()
            self._saved_at = self._ran_at if running else None
        if not running:
            self._ran_at = self._saved_at = None

    def _is_due(self, moment: Moment) -> bool:
        return self._saved_at is None or not follows(moment, self._saved_at, SAVE_S - 0.5)

    def _save(self) -> None:
        self._kept.save(
            {
                "seconds": round(self._before_s + self._counted_s, 1),
                "since_service_s": round(self._before_service_s + self._counted_s, 1),
                "serviced": self._service_kept,
                "known": self._is_known,
            }
        )


def _seconds(kept: Mapping[str, Any], key: str) -> float:
    """Return a duration that was kept, or 0.0 where a file that was mended by hand has none."""
    value = kept.get(key)
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    return 0.0
