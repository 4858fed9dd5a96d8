"""What one slot brought, as it is handed on to the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pzem.moment import Moment


@dataclass(frozen=True, slots=True)
class Block:
    """The points of one slot, in line protocol (InfluxDB 1.x, precision s).

    `lines` have no time at their end: that of `moment` belongs there, once it is true.
    `dated` have their own: records of something that began earlier.
    """

    moment: Moment
    lines: tuple[str, ...]
    dated: tuple[str, ...] = ()

    def stamped(self, unix_s: int | None = None) -> Sequence[str]:
        """Return all lines with their times; `unix_s` instead of the moment's own."""
        time = self.moment.unix_s if unix_s is None else unix_s
        return [*(f"{line} {time}" for line in self.lines), *self.dated]
