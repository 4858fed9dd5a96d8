"""When something was measured: on a machine whose wall clock may not be known yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
"""A number that the kernel draws at each boot (random(4))."""

EARLY_S: Final = 0.5
"""By so much a slot may begin too early and still be the one it is meant to be."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One slot: on the monotonic clock of one boot, and by the wall clock as it was then."""

    unix_s: int
    """Whole seconds since 1970 (UTC), a multiple of the interval. While `is_true` is
    False it is what the unsynchronised clock showed, and no more than provisional."""
    monotonic_s: float
    """The same moment in seconds of the monotonic clock, which starts anew with each boot."""
    boot_id: str
    is_true: bool = True


def slot_at(unix_s: float, interval_s: int) -> int:
    """Return the slot of the grid, in Unix time, in which `unix_s` lies.

    Slots of a wrong clock begin anywhere between those of the right one; what they
    brought belongs to the slot in which they began, or to the next one if that was just
    about to begin.
    """
    return math.floor((unix_s + EARLY_S) / interval_s) * interval_s


def boot_id(file: Path = BOOT_ID_FILE) -> str:
    """Return the identity of the present boot; raises `OSError` where it is not to be had."""
    return file.read_text(encoding="ascii").strip()
