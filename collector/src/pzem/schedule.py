"""The grid of slots: aligned to the wall clock, kept by the monotonic one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pzem.clock import Clock

BUDGET_SHARE: Final = 0.6
MAX_BUDGET_S: Final = 3.0
STEP_S: Final = 0.5
"""A wall clock that moved this much against the monotonic one within a cycle was set;
one that is slewed moves by 0.0005 s a second at most (adjtime)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Slot:
    """One moment of the grid, at which all meters are to be read."""

    unix_s: int
    """Whole seconds since 1970 (UTC), a multiple of the interval."""
    monotonic_s: float
    """The same moment on the monotonic clock."""
    budget_s: float
    """How long reading may take; what comes later is a gap."""

    @property
    def deadline(self) -> float:
        """The end of the budget in monotonic seconds."""
        return self.monotonic_s + self.budget_s


def slots(interval_s: int, clock: Clock) -> Iterator[Slot]:
    """Yield each slot as its moment comes, until the clock's wait is called off.

    A slot whose moment was slept through, as by a machine that stood still, is left
    out, and so is one that the wall clock has jumped over while it was waited for: a
    stamp is never a moment at which nothing was read. After a step back, slots are
    read again, and the new ones replace what the wrong clock had stamped so.
    """
    budget_s = min(BUDGET_SHARE * interval_s, MAX_BUDGET_S)
    offset_s = clock.unix() - clock.monotonic()
    last_s = None
    while True:
        step_s = clock.unix() - clock.monotonic() - offset_s
        offset_s += step_s
        if abs(step_s) >= STEP_S:
            log.warning("the clock was set by %+.1f s; the grid follows it", step_s)
            last_s = None
        unix_s = (int(clock.unix()) // interval_s + 1) * interval_s
        if unix_s == last_s:  # the clock is slewed back, by less than a cycle
            unix_s += interval_s
        slot = Slot(unix_s, unix_s - offset_s, budget_s)
        if not clock.wait_until(slot.monotonic_s):
            return
        late_s = clock.monotonic() - slot.monotonic_s
        if late_s >= budget_s:
            log.warning("the machine stood still for %.0f s; its slots are missing", late_s)
        elif abs(clock.unix() - clock.monotonic() - offset_s) < STEP_S:
            last_s = slot.unix_s
            yield slot
