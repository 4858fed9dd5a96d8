"""What is used while a meter's energy register stands still: its power, integrated."""

from __future__ import annotations

from typing import Final

STUCK_WH: Final = 10.0
"""A register that misses ten of its steps is stuck."""
STUCK_S: Final = 60.0
"""How long a load must have flowed meanwhile: at 23 kW ten steps pass in two seconds."""
STUCK_READINGS: Final = 3
"""And how often it must have been read: a cycle may last a minute."""
LOAD_WATTS: Final = 10.0
"""Less than this is no load: near its starting power a meter may show what it does not
count."""
MAX_GAP_CYCLES: Final = 3.5
"""Across a longer gap between two readings nothing is known of the power."""


class Bridge:
    """One meter's standstill. `interval_s`: seconds between slots.

    The estimate is made from the first reading on at which the register stood still, but
    counts only once it is plain that it is stuck.
    """

    def __init__(self, interval_s: float) -> None:
        self._longest_s = MAX_GAP_CYCLES * interval_s
        self._watts: float | None = None
        self._sure_wh = 0.0
        self._loaded_s = 0.0
        self._readings = 0
        self.used_wh = 0.0
        """Estimated since the register moved last, in Wh."""
        self.is_stuck = False

    @property
    def bridged_wh(self) -> float:
        """What counts of the estimate, in Wh."""
        return self.used_wh if self.is_stuck else 0.0

    def resume(self, bridged_wh: float) -> None:
        """Go on with a standstill in which `bridged_wh` was counted already."""
        self.used_wh += bridged_wh
        self.is_stuck = True

    def stands(self, watts: float, gap_s: float | None) -> float:
        """Take a reading with the register where it was; return the Wh to count now."""
        counted_wh = self.bridged_wh
        self._integrate(watts, gap_s)
        self.is_stuck = self.is_stuck or (
            self._sure_wh >= STUCK_WH
            and self._loaded_s >= STUCK_S
            and self._readings >= STUCK_READINGS
        )
        return self.bridged_wh - counted_wh

    def moves(self, watts: float, gap_s: float | None, grown_wh: float) -> float:
        """Take a reading with the register moved by `grown_wh`; return the Wh to count.

        What it grew by may hold some or all of what was bridged, so the larger of the two
        is what was used.
        """
        counted_wh = self.bridged_wh
        self._integrate(watts, gap_s)
        most_wh = max(self.bridged_wh, grown_wh)
        self.restart(watts)
        return most_wh - counted_wh

    def restart(self, watts: float | None) -> None:
        """Begin anew: the register shows another value, at `watts`."""
        self._watts = watts
        self._sure_wh = 0.0
        self._loaded_s = 0.0
        self._readings = 0
        self.used_wh = 0.0
        self.is_stuck = False

    def _integrate(self, watts: float, gap_s: float | None) -> None:
        """Add the trapezoid between the last reading and this one."""
        before, self._watts = self._watts, watts
        if before is None or gap_s is None or gap_s > self._longest_s:
            return
        if min(before, watts) >= LOAD_WATTS:
            self.used_wh += (before + watts) / 2 * gap_s / 3600
            # A load that ended right after the last reading has moved no register since.
            self._sure_wh += min(before, watts) * gap_s / 3600
            self._loaded_s += gap_s
            self._readings += 1
