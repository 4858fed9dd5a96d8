"""A meter that comes back after a while shows anything for its first seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pzem.meter import Faulty, Outcome, Silent, heard
from pzem.registers import Reading

DARK_S: Final = 60
"""A meter that was silent for longer has been without supply."""
SETTLING_S: Final = 5
"""How long its first values are not believed: they can be wildly high (field reports)."""


@dataclass(slots=True)
class _Meter:
    silent_s: int = 0
    """Time of silence since it was last heard; noise is neither silence nor the meter."""
    believed_from_s: float = float("-inf")


class Settling:
    """Turns the readings of a meter that has just come back into `Faulty("settling")`.

    Only silence that was seen counts: a meter heard at the very start is believed at
    once, for it may have had its supply for hours. `interval_s`: seconds between slots.
    """

    def __init__(self, interval_s: int) -> None:
        self._interval_s = interval_s
        self._meters: dict[str, _Meter] = {}

    def judge(self, name: str, outcome: Outcome, at_s: float) -> Outcome:
        """Return `outcome`, or why it is not believed; `at_s` is the slot, monotonic."""
        meter = self._meters.setdefault(name, _Meter())
        if isinstance(outcome, Silent):
            meter.silent_s += self._interval_s
        if not heard(outcome):
            return outcome
        if meter.silent_s > DARK_S:
            meter.believed_from_s = at_s + SETTLING_S
        meter.silent_s = 0
        # Slots lie whole seconds apart, but for what the clock is slewed meanwhile.
        settling = round(meter.believed_from_s - at_s, 1) > 0
        if settling and isinstance(outcome, Reading):
            return Faulty("settling", well_formed=True)
        return outcome
