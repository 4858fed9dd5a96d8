"""What two showings of an energy register, one after the other, say was used between.

Pure functions. A register counts whole watt-hours up to 9,999,999 and can be set back to
zero; another meter in the same place shows anything. Where the register cannot tell, less
is counted, never more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from pzem.moment import Moment
from pzem.registers import ENERGY_LIMIT_WH, WATTS

MAX_WATTS: Final = WATTS.maximum
"""The most that a meter measures, in W (manual)."""
SLACK_WH: Final = 50.0
"""What a step may be larger than the slots' distance allows: a reading lies up to 3 s
behind its slot, the meter refreshes once a second, and 23 kW make 6.4 Wh of each."""
SURE_S: Final = 120.0
"""A step that 23 kW can make in this time is believed at once. A larger one, after a
longer gap, may as well be a false reading that passed its CRC, and waits for the next."""
SET_BACK_WH: Final = 100.0
"""A fall by this much or less may always be an older value of the same register, as a
meter may show that lost its supply before it had saved the last one."""
WRAP_S: Final = 3600.0
"""A fall from near the end of the register is its wrapping round if it could get there
within this time. After a longer gap somebody may have set it back before."""


class Kind(Enum):
    """How a register came from one value to the next."""

    GREW = "grew"
    RESET = "reset"
    """Set to zero in between, and counting since."""
    WRAPPED = "wrapped"
    SET_BACK = "set back"
    """It fell to what it cannot have counted since zero: another meter, or an older value
    of the same one."""
    JUMPED = "jumped"
    """It rose by more than a meter can measure in that time."""

    CAUGHT_UP = "caught up"
    """It rose by what the power says was used while it had stood still."""


@dataclass(frozen=True, slots=True)
class Step:
    """From one showing to the next."""

    kind: Kind
    counted_wh: float
    """What was used between, as far as the register tells, in Wh; 0 or more."""
    sure: bool
    """Whether one reading is enough to believe it."""


def elapsed_s(earlier: Moment, later: Moment) -> float | None:
    """Return the seconds between two moments; None where they cannot be known.

    Within one boot the monotonic clock tells. Else wall time does, if it was true both
    times and did not run backwards.
    """
    if earlier.boot_id == later.boot_id:
        passed = later.monotonic_s - earlier.monotonic_s
    elif earlier.is_true and later.is_true:
        passed = float(later.unix_s - earlier.unix_s)
    else:
        return None
    return passed if passed >= 0 else None


def most_wh(seconds: float | None) -> float:
    """Return the most Wh that a meter may count in `seconds`; None: any number."""
    if seconds is None:
        return float("inf")
    return MAX_WATTS * seconds / 3600 + SLACK_WH


def judge(
    before_wh: float, after_wh: float, seconds: float | None, *, reset_sent: bool = False
) -> Step:
    """Judge the step from `before_wh` to `after_wh`, `seconds` (None: unknown) later.

    `reset_sent`: the meter was told to set its register to zero after `before_wh`.
    """
    most = most_wh(seconds)
    sure = most_wh(SURE_S if seconds is None else min(seconds, SURE_S))
    grown_wh = after_wh - before_wh
    if grown_wh > most:
        return Step(Kind.JUMPED, 0.0, sure=False)
    if grown_wh >= 0:
        return Step(Kind.GREW, grown_wh, sure=grown_wh <= sure)
    if reset_sent:
        if after_wh <= most:
            return Step(Kind.RESET, after_wh, sure=after_wh <= sure)
        return Step(Kind.SET_BACK, 0.0, sure=False)
    wrapped_wh = grown_wh + ENERGY_LIMIT_WH + 1
    if seconds is not None and seconds <= WRAP_S and wrapped_wh <= most:
        return Step(Kind.WRAPPED, wrapped_wh, sure=False)
    # A fall by less than half is hardly a reset: the register would have had to count up
    # again to near the same value unseen.
    if after_wh <= min(most, before_wh / 2, before_wh - SET_BACK_WH):
        return Step(Kind.RESET, after_wh, sure=False)
    return Step(Kind.SET_BACK, 0.0, sure=False)
