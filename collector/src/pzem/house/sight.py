"""What one slot shows of the utility: who is without it, since when, and how that is known.

A meter that is alone on its adapter proves only with its third silence that the adapter
works (`pzem.meter.Silent`), so what was quiet before is understood later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pzem.config import OWN_SUPPLY, MeterSettings
from pzem.house.records import (
    GENERATOR_IN_USE,
    PANEL_DARK,
    SILENT_METERS,
    UTILITY_LOST,
    VOLTAGE,
)
from pzem.house.supply import GENERATOR, UTILITY, SupplyState, fed_together, is_dark, is_quiet
from pzem.house.thresholds import CARRIES_AMPS, CARRIES_WATTS, MISSED_SLOTS, follows
from pzem.meter import Outcome
from pzem.moment import Moment
from pzem.registers import Reading


@dataclass(slots=True)
class Loss:
    """What one slot shows of the utility."""

    value: bool | None
    """Whether the house, or a part of it, is without; None: cannot be told."""
    lost: set[str] = field(default_factory=set)
    evidence: set[str] = field(default_factory=set)
    since: Moment | None = None
    """The slot from which on it was so; None: this one."""


class Sight:
    """Looks for the utility slot by slot. `interval_s`: seconds between slots."""

    def __init__(self, meters: Sequence[MeterSettings], interval_s: int) -> None:
        self._meters = tuple(meters)
        self._utilities = [meter for meter in meters if meter.supply == UTILITY]
        self._own = [meter for meter in self._utilities if meter.fed_from == OWN_SUPPLY]
        self._gap_s = MISSED_SLOTS * interval_s
        self._last: Moment | None = None
        self._quiet_since: dict[str, Moment] = {}
        """The first slot of the silence of each meter that is quiet."""
        self._carried: str | None = None
        """What the house was seen to be on last."""

    def take(
        self,
        outcomes: Mapping[str, Outcome],
        supply: SupplyState,
        moment: Moment,
        *,
        is_open: bool,
    ) -> Loss:
        """Tell what the house is without. `is_open`: an outage goes on."""
        self._note_quiet(outcomes, moment)
        carries = supply.in_use if not supply.held else None
        self._carried = carries or self._carried
        dark = [meter for meter in self._utilities if is_dark(meter, self._meters, outcomes)]
        if dark and dark == self._utilities:
            # From the first slot on: whether it lasts is judged by the record's own patience.
            if dark == self._own:
                return Loss(True, {UTILITY_LOST}, {VOLTAGE}, self._all_quiet_since(dark))
            return Loss(True, {PANEL_DARK}, {SILENT_METERS}, self._all_quiet_since(dark))
        parts = self._parts(dark)
        if carries == GENERATOR and (
            supply.utility_on is False or (supply.utility_on is None and not self._own)
        ):
            return Loss(True, parts.lost, parts.evidence | {GENERATOR_IN_USE})
        if not supply.utility_on:
            return Loss(None)
        if carries == GENERATOR:
            return Loss(is_open)  # an exercise, or the utility is back and not in use yet
        if parts.lost:
            return parts
        if is_open:
            # One that has stopped while it was in use has left the interlock where it was.
            was_left = self._carried == GENERATOR and self._is_idle(outcomes)
            may_be_on_generator = carries != UTILITY and (supply.generator_on or was_left)
            return Loss(None if may_be_on_generator else False)
        may_be_dark = (meter not in dark and self._is_quiet(meter) for meter in self._utilities)
        return Loss(None if any(may_be_dark) else False)

    def rewrite(self, changed: Callable[[Moment], Moment]) -> None:
        """Replace each moment by what `changed` makes of it."""
        self._quiet_since = {name: changed(since) for name, since in self._quiet_since.items()}

    def _parts(self, dark: Sequence[MeterSettings]) -> Loss:
        """Return what is without the utility while others may have it.

        A single meter of a panel is not enough: that it is silent may be its own fault.
        """
        parts = Loss(True, since=self._all_quiet_since(dark))
        for meter in dark:
            if meter.fed_from == OWN_SUPPLY:
                leg = f"leg {meter.leg}" if meter.leg else meter.name
                parts.lost.add(f"{UTILITY_LOST} {leg}")
                parts.evidence.add(VOLTAGE)
            elif len(fed_together(meter, self._meters)) > 1:
                parts.lost.add(f"{meter.fed_from} dark")
                parts.evidence.add(SILENT_METERS)
        return parts

    def _is_idle(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Tell whether the utility is seen to deliver nothing."""
        outcome_of = (outcomes[meter.name] for meter in self._utilities)
        readings = [outcome for outcome in outcome_of if isinstance(outcome, Reading)]
        return bool(readings) and not any(
            reading.amps >= CARRIES_AMPS.on and reading.watts >= CARRIES_WATTS.on
            for reading in readings
        )

    def _note_quiet(self, outcomes: Mapping[str, Outcome], moment: Moment) -> None:
        if self._last is None or not follows(moment, self._last, self._gap_s):
            self._quiet_since.clear()
        self._last = moment
        self._quiet_since = {
            name: self._quiet_since.get(name, moment)
            for name, outcome in outcomes.items()
            if is_quiet(outcome)
        }

    def _is_quiet(self, meter: MeterSettings) -> bool:
        return all(other.name in self._quiet_since for other in fed_together(meter, self._meters))

    def _all_quiet_since(self, meters: Sequence[MeterSettings]) -> Moment | None:
        """Return since when all meters that share their feed with one of `meters` are quiet."""
        together = {m.name for meter in meters for m in fed_together(meter, self._meters)}
        moments = [self._quiet_since[name] for name in together]
        return max(moments, key=lambda moment: moment.monotonic_s, default=None)
