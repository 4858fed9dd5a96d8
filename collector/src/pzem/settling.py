"""A meter that comes back after a while shows anything for its first seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pzem.meter import Faulty, Outcome, heard
from pzem.registers import Reading

DARK_S: Final = 60
"""A meter that was silent for longer has been without supply."""
SETTLING_S: Final = 5
"""How long its first values are not believed: they can be wildly high (field reports)."""


@dataclass(slots=True)
class _Heard:
    last_s: float
    believed_from_s: float = float("-inf")


class Settling:
    """Turns the readings of a meter that has just come back into `Faulty("settling")`.

    A meter that was never heard before is believed at once: it may have had its supply
    for hours, and the collector alone is new.
    """

    def __init__(self) -> None:
        self._meters: dict[str, _Heard] = {}

    def judge(self, name: str, outcome: Outcome, at_s: float) -> Outcome:
        """Return `outcome`, or why it is not believed; `at_s` is the slot, monotonic."""
        if not heard(outcome):
            return outcome
        meter = self._meters.setdefault(name, _Heard(at_s))
        # Slots lie whole seconds apart, but for what the clock is slewed meanwhile.
        if round(at_s - meter.last_s) > DARK_S:
            meter.believed_from_s = at_s + SETTLING_S
        meter.last_s = at_s
        settling = round(meter.believed_from_s - at_s, 1) > 0
        if settling and isinstance(outcome, Reading):
            return Faulty("settling", well_formed=True)
        return outcome
