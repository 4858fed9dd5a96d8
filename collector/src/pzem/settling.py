"""A meter that comes back after a while shows anything for its first seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pzem.meter import NOT_FOUND, Faulty, Outcome, Silent, heard
from pzem.registers import Reading

DARK_S: Final = 10
"""A meter that did not answer for so long may have been without supply: two slots at the
usual interval, one where slots lie farther apart. A reply that is lost costs no more than
its own slot so, at the usual interval. A generator that takes over needs longer, and so do
most utilities that try again; of a darkness that is shorter, one slot is all that is seen.
A meter that was there all the time loses the slots of `SETTLING_S`: better none than a
false one."""
SETTLING: Final = Faulty("settling", well_formed=True)
SETTLING_S: Final = 5
"""How long its first values are not believed: they can be wildly high (field reports)."""


@dataclass(slots=True)
class _Meter:
    silent_s: int = 0
    """How long it was asked in vain since it was last heard. Noise is neither silence nor
    the meter, and a port that could not be used says nothing of the meter's supply."""
    believed_from_s: float = float("-inf")


class Settling:
    """Turns the readings of a meter that has just come back into `SETTLING`.

    Only silence that was seen counts: a meter heard at the very start is believed at
    once, for it may have had its supply for hours. `interval_s`: seconds between slots.
    """

    def __init__(self, interval_s: int) -> None:
        self._interval_s = interval_s
        self._meters: dict[str, _Meter] = {}

    def judge(self, name: str, outcome: Outcome, at_s: float) -> Outcome:
        """Return `outcome`, or why it is not believed; `at_s` is the slot, monotonic."""
        meter = self._meters.setdefault(name, _Meter())
        if isinstance(outcome, Silent) and (outcome.is_quiet or outcome.reason == NOT_FOUND):
            meter.silent_s += self._interval_s
        if not heard(outcome):
            return outcome
        if meter.silent_s >= DARK_S:
            meter.believed_from_s = at_s + SETTLING_S
        meter.silent_s = 0
        # Slots lie whole seconds apart, but for what the clock is slewed meanwhile.
        settling = round(meter.believed_from_s - at_s, 1) > 0
        if settling and isinstance(outcome, Reading):
            return SETTLING
        return outcome
