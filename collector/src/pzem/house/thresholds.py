"""From where on something is told, from where on it is over again, and how long each lasts.

All numbers of the house's meaning are here, each with its source. Between the value that
raises a condition and the one that ends it lies a band in which nothing changes, so that a
value that trembles around one of them is one piece of news and not a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Generic, Self, TypeVar

from pzem.moment import Moment
from pzem.registers import AMPS

T = TypeVar("T")

MISSED_SLOTS: Final = 3
"""What lasts has to be seen to last: longer than this many intervals without a slot, and
it begins anew. Two slots may fall out while a port is opened again."""


class Verdict(Enum):
    """What one slot says of a condition."""

    YES = "yes"
    NO = "no"
    BETWEEN = "between"
    """Known, and in the band in which nothing changes."""
    UNKNOWN = "unknown"
    """Nothing is changed by what nobody knows."""
    EXPLAINED = "explained"
    """It may be there, but follows from something else that is told already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """How long a condition has to last, and its end, before either is believed, in s."""

    on_s: float
    off_s: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(Lasting):
    """A value that raises a condition and one that ends it.

    With `on` above `off` too much raises it, with `on` below `off` too little.
    """

    on: float
    off: float

    def judge(self, value: float | None) -> Verdict:
        """Return what `value` says, None being unknown; both ends belong to their side."""
        if value is None:
            return Verdict.UNKNOWN
        sign = 1 if self.on > self.off else -1
        if sign * value >= sign * self.on:
            return Verdict.YES
        return Verdict.NO if sign * value <= sign * self.off else Verdict.BETWEEN

    def scaled(self, factor: float) -> Self:
        """Return the same limit with both values multiplied by `factor`."""
        return replace(self, on=round(self.on * factor, 3), off=round(self.off * factor, 3))


class Streak(Generic[T]):
    """For how long something has been the same, slot after slot. `interval_s` in s."""

    def __init__(self, interval_s: float) -> None:
        self._gap_s = MISSED_SLOTS * interval_s
        self._now: T | None = None
        self._began: Moment | None = None
        self._last: Moment | None = None

    def take(self, now: T, moment: Moment) -> float:
        """Return how long it has been `now`, in s: 0.0 at the first slot."""
        whole = self._last is not None and follows(moment, self._last, self._gap_s)
        if self._began is None or now != self._now or not whole:
            self._began = moment
        self._now, self._last = now, moment
        return moment.monotonic_s - self._began.monotonic_s


def follows(moment: Moment, earlier: Moment, gap_s: float) -> bool:
    """Tell whether `moment` comes after `earlier` in the same boot, by `gap_s` at most."""
    same_boot = moment.boot_id == earlier.boot_id
    return same_boot and 0 <= moment.monotonic_s - earlier.monotonic_s <= gap_s


class Latch:
    """A condition with its waits: on, off, or None while neither has been known yet."""

    def __init__(self, waits: Lasting, interval_s: float) -> None:
        self.active: bool | None = None
        self._waits = waits
        self._streak: Streak[Verdict] = Streak(interval_s)

    def take(self, verdict: Verdict, moment: Moment) -> bool | None:
        """Return whether the condition holds with this slot's `verdict`."""
        lasted_s = self._streak.take(verdict, moment)
        undecided = self.active is None
        if verdict is Verdict.YES and lasted_s >= self._waits.on_s:
            self.active = True
        elif (
            verdict is Verdict.EXPLAINED
            or (verdict is Verdict.NO and (undecided or lasted_s >= self._waits.off_s))
            or (verdict is Verdict.BETWEEN and undecided)
        ):
            self.active = False
        return self.active


# The supply in use

CARRIES_AMPS: Final = Limit(
    on=0.15,
    off=0.10,
    on_s=0,
    off_s=0,
    source="A through one meter. It shows 0.02 A and more (manual), and next to busy wires "
    "an idle sensor some hundredths; the Pi alone draws 0.07 A (original guide)",
)
CARRIES_WATTS: Final = Limit(
    on=10.0,
    off=5.0,
    on_s=0,
    off_s=0,
    source="W through one meter: what a sensor picks up from other wires is current without "
    "much power; a house at rest draws some ten W",
)
STRAY_SHARE: Final = 0.02
"""Of the current of the busier supply, this much on the other one may be picked up from its
wires in the same panel: judgement, some times the accuracy class of the meter."""
STRAY_UNSEEN_AMPS: Final = STRAY_SHARE * AMPS.maximum
"""Stray current in A if the busier supply may be one whose meter is not read."""
BOTH_S: Final = 10.0
"""Two supplies at once: meters of one slot are read up to 3 s apart, so an interlock that
is switched meanwhile shows current on both for one slot, and never for three."""
DARK_S: Final = 10.0
"""A lost reply is no dead wire: at the usual interval three in a row are."""
BLIND_S: Final = 60.0
"""While the meters of the supply last in use are not read, for this long it is taken to be
the same: nobody starts a generator and switches over in less without the panel going dark."""

# Legs and voltage

_SPLIT_PHASE_VOLTS: Final = 120.0
LOOSE_NEUTRAL: Final = Limit(
    on=8.0,
    off=6.0,
    on_s=10,
    off_s=60,
    source="V between the legs at 120 V nominal, 1 in 15 of it: more than a healthy "
    "neutral and the loads of one house bring about",
)
LOOSE_NEUTRAL_SUM: Final = Limit(
    on=0.03,
    off=0.04,
    on_s=0,
    off_s=0,
    source="of twice nominal: a lost neutral divides what the transformer delivers between "
    "the legs anew and leaves the sum; one that is off has another reason",
)
_UTILITY_LOW: Final = Limit(
    on=110.0, off=112.0, on_s=10, off_s=60, source="V at 120 V: ANSI C84.1, service, range B"
)
_UTILITY_HIGH: Final = Limit(
    on=127.0, off=125.0, on_s=10, off_s=60, source="V at 120 V: ANSI C84.1, service, range B"
)
_EUROPE_LOW: Final = Limit(
    on=207.0, off=210.0, on_s=10, off_s=60, source="V at 230 V: EN 50160, -10 %"
)
_EUROPE_HIGH: Final = Limit(
    on=253.0, off=250.0, on_s=10, off_s=60, source="V at 230 V: EN 50160, +10 %"
)
_GENERATOR_LOW: Final = Limit(
    on=108.0, off=111.0, on_s=10, off_s=60, source="V at 120 V: what motors bear (NEMA MG 1, ±10 %)"
)
_GENERATOR_HIGH: Final = Limit(
    on=132.0, off=129.0, on_s=10, off_s=60, source="V at 120 V: what motors bear (NEMA MG 1, ±10 %)"
)
_EUROPE_FROM_VOLTS: Final = 200.0
"""Nominal voltages from here on are judged by the European norm."""


def loose_neutral(nominal_volts: float) -> Limit:
    """Return the limit of the difference between two legs of `nominal_volts` each, in V.

    A neutral's fault shifts the voltage in proportion to it, so the limit goes with it.
    """
    return LOOSE_NEUTRAL.scaled(nominal_volts / _SPLIT_PHASE_VOLTS)


def volts_low(nominal_volts: float, *, generator: bool) -> Limit:
    """Return below which voltage, in V, a supply of `nominal_volts` is too low."""
    return _volts(nominal_volts, _GENERATOR_LOW if generator else _UTILITY_LOW, _EUROPE_LOW)


def volts_high(nominal_volts: float, *, generator: bool) -> Limit:
    """Return above which voltage, in V, a supply of `nominal_volts` is too high."""
    return _volts(nominal_volts, _GENERATOR_HIGH if generator else _UTILITY_HIGH, _EUROPE_HIGH)


def _volts(nominal_volts: float, american: Limit, european: Limit) -> Limit:
    if nominal_volts >= _EUROPE_FROM_VOLTS:
        return european.scaled(nominal_volts / 230.0)
    return american.scaled(nominal_volts / _SPLIT_PHASE_VOLTS)


# Load

NEAR_LIMIT: Final = Limit(
    on=0.80,
    off=0.75,
    on_s=60,
    off_s=60,
    source="of the smaller of the breaker's rating and the meter's 100 A: a breaker is to "
    "carry 80 % for hours; a motor starts in less than a minute",
)
OVERLOAD: Final = Limit(
    on=1.0,
    off=0.9,
    on_s=10,
    off_s=30,
    source="of the generator's rating in VA, which is what it delivers for long; for a "
    "motor's start it delivers more",
)

# Conditions without a number of their own

UTILITY_LOST: Final = Lasting(
    on_s=0, off_s=30, source="lost as soon as that is known; back once it stays"
)
GENERATOR_RUNNING: Final = Lasting(on_s=0, off_s=10, source="as soon as it is known")
BOTH_SUPPLIES: Final = Lasting(on_s=0, off_s=10, source="known only after `BOTH_S`")
LEGS_SAY: Final = Lasting(on_s=0, off_s=0, source="the legs have waited already")
OVER_RANGE: Final = Lasting(
    on_s=10, off_s=60, source="longer than the burst of nonsense after power returns (2 to 3 s)"
)
METER_SILENT: Final = Lasting(
    on_s=60, off_s=10, source="a port that hangs or was replugged is back in less"
)
METER_FAULTY: Final = Lasting(on_s=60, off_s=10, source="as for silence")
REGISTER_STUCK: Final = Lasting(on_s=0, off_s=0, source="lifetime energy has waited already")
CLOCK_UNKNOWN: Final = Lasting(
    on_s=600, off_s=0, source="usually a minute after boot; then readings are shown as they are"
)
SPOOL_WAITING: Final = Limit(
    on=300.0,
    off=60.0,
    on_s=0,
    off_s=0,
    source="s that the oldest reading waits for the database; it restarts in less",
)
CARD_TROUBLE: Final = Lasting(on_s=0, off_s=60, source="the card is tried again now and then")
