"""Which slots have a true time, and what becomes of the others.

A Pi has no clock of its own. Until its time is known, what is read has a place on the
monotonic clock alone; where the wall clock stood is no more than provisional.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from pzem.clock import Clock
from pzem.moment import Moment
from pzem.schedule import Slot

SHOW_AFTER_S: Final = 600.0
"""For so long readings wait unseen for their time: usually it comes within a minute, and
a house without internet is not to look at empty screens."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimeFound:
    """The time has become known."""

    offset_s: float
    """Unix seconds minus monotonic seconds, for this boot."""
    first_unix_s: int
    """The first slot that was stamped with it; no earlier reading belongs there."""


class Timekeeper:
    """Stamps slots. `mode` is the configuration's `clock`: "trust" or "wait".

    It has to be there before the grid begins: a clock that is right by then makes every
    slot of the grid true.
    """

    def __init__(self, mode: str, clock: Clock, boot_id: str) -> None:
        self._clock = clock
        self._boot_id = boot_id
        self.is_true = mode == "trust" or clock.is_synchronised()
        """Whether the last slot's stamp was true; before the first, whether it will be."""
        self.found: TimeFound | None = None
        """Set at the one slot at which the time has become known, the first one if it was."""
        self.waiting_since_s: float | None = None
        """Monotonic seconds of the first slot without a true time; None if there was none."""
        self._is_right = False
        self._is_first_true = True

    def stamp(self, slot: Slot) -> Moment:
        """Return when `slot` is.

        The slot at which the clock is first seen to be right may have been stamped just
        before it was set, so the one after it is the first to be true.
        """
        self.found = None
        if not self.is_true:
            self._look(slot)
        if self.is_true and self._is_first_true:
            self._is_first_true = False
            self.found = TimeFound(slot.unix_s - slot.monotonic_s, slot.unix_s)
        return self._moment(slot)

    def is_overdue(self, slot: Slot) -> bool:
        """Tell whether readings have waited so long that they are to be shown as they are."""
        return (
            not self.is_true
            and self.waiting_since_s is not None
            and slot.monotonic_s - self.waiting_since_s >= SHOW_AFTER_S
        )

    def _look(self, slot: Slot) -> None:
        if self.waiting_since_s is None:
            self.waiting_since_s = slot.monotonic_s
            log.warning("the time is not known yet; readings are kept until it is")
        if self._is_right:
            self.is_true = True
            waited_s = slot.monotonic_s - self.waiting_since_s
            log.info("the time is known, %.0f s after the first reading", waited_s)
        self._is_right = self._clock.is_synchronised()

    def _moment(self, slot: Slot) -> Moment:
        return Moment(slot.unix_s, slot.monotonic_s, self._boot_id, self.is_true)
