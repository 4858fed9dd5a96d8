"""The history of the original build guide: what its measurement ALL_SENSORS says.

Its script reads a meter's registers at once and posts them without a time, so that the
server stamps all fields of a cycle alike. It keeps to no grid, and reads either the two
legs or the generator. Pure functions and state machines, no I/O.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pzem.host import COLDEST_C, HOTTEST_C
from pzem.levels import NS
from pzem.registers import AMPS, ENERGY_WH, POWER_FACTOR, VOLTS, WATTS, Quantity

MEASUREMENT: Final = "ALL_SENSORS"
CPU_FIELD: Final = "T_cpu"
"""Temperature of the processor, in °C."""
SUFFIXES: Final = ("VOLT", "AMPS", "WATT", "PZPF", "WHRS")
METERS: Final = {"MAIN-A": "mainA", "MAIN-B": "mainB", "GEN": "gen"}
"""The original's names of its meters, and what they are called here."""

UNITS_WH: Final = {"Wh": 1.0, "10 Wh": 10.0, "100 Wh": 100.0, "kWh": 1000.0, "0.1 Wh": 0.1}
"""What one count of WHRS may stand for, in Wh. The published script writes Wh; households
have altered it."""

POWER_TOLERANCE: Final = 0.10
POWER_SLACK_W: Final = 500.0
"""How far W may lie from V x A x PF, as a share of VA and in W. All come from one reply;
they differ by the resolution of the factor and by what the meter averages."""

ENERGY_SLACK_WH: Final = 20.0
"""What a register may rise beyond full load: a step of 10 Wh on either side."""

NOTHING: Final = "not a number"
INCOMPLETE: Final = "some fields missing"
ZERO_VOLTS: Final = "zero volts, so nothing was measured"
UNFIT_WATTS: Final = "watts do not fit volts, amps and power factor"
UNFIT_ENERGY: Final = "energy leapt for one reading"
AFTER_LIVE: Final = "not before the first live reading"
CPU_RANGE: Final = "CPU temperature out of range"

_RANGES: Final[tuple[tuple[Quantity, str], ...]] = (
    (VOLTS, "volts"),
    (AMPS, "amps"),
    (WATTS, "watts"),
    (POWER_FACTOR, "power factor"),
)


class Shown(NamedTuple):
    """What a meter showed: V, A, W, power factor, Wh since its last reset."""

    time_ns: int
    volts: float
    amps: float
    watts: float
    power_factor: float
    energy_wh: float

    @property
    def volt_amps(self) -> float:
        """Apparent power in VA, to the resolution that the factors carry."""
        return round(self.volts * self.amps, 4)


def fields_of(prefix: str) -> tuple[str, ...]:
    """Return the fields of the original's meter `prefix`, in the order that `judge` takes."""
    return tuple(f"{prefix}_{suffix}" for suffix in SUFFIXES)


def judge(time_ns: int, values: Sequence[object], unit_wh: float) -> Shown | str | None:
    """Return what was shown, why it cannot be true, or None where nothing was read.

    `values` are volts, amps, watts, power factor and the count of WHRS, each of which
    stands for `unit_wh`. A value outside of the manual's range makes the whole untrue.
    """
    numbers: list[float] = []
    missing = 0
    for value in values:
        if value is None:
            missing += 1
        elif isinstance(value, bool) or not isinstance(value, int | float):
            return NOTHING
        else:
            numbers.append(float(value))
    if missing:
        return None if missing == len(values) else INCOMPLETE
    volts, amps, watts, power_factor, count = numbers
    if volts == 0:
        return ZERO_VOLTS
    for (quantity, name), number in zip(_RANGES, numbers, strict=False):
        if not quantity.minimum <= number <= quantity.maximum:
            return f"{name} out of range"
    energy_wh = round(count * unit_wh, 3)
    if not ENERGY_WH.minimum <= energy_wh <= ENERGY_WH.maximum:
        return "energy out of range"
    volt_amps = volts * amps
    if abs(watts - volt_amps * power_factor) > POWER_SLACK_W + POWER_TOLERANCE * volt_amps:
        return UNFIT_WATTS
    return Shown(time_ns, volts, amps, watts, power_factor, energy_wh)


def judge_cpu(value: object) -> float | str | None:
    """Return the temperature in °C, why it cannot be true, or None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    return float(value) if COLDEST_C <= value <= HOTTEST_C else CPU_RANGE


# --- energy over the register's resets


def most_wh(elapsed_ns: int) -> float:
    """Return what a register can rise by within `elapsed_ns`, in Wh."""
    return WATTS.maximum * elapsed_ns / NS / 3600 + ENERGY_SLACK_WH


class Register:
    """Follows one meter's register and counts what was consumed since its first reading.

    A fall that lasts is a reset: the count goes on with what the register shows since. A
    step that cannot be true, up or down, is not counted: another meter took the place. One
    reading that is out of line with those around it is dropped, so a reading that looks
    like a step is held back until the next one tells.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        kept = kept or {}
        self.first_wh: float | None = kept.get("first_wh")
        """The first value of the register, in Wh."""
        self.grown_wh: float = kept.get("grown_wh", 0.0)
        """Consumption since the first reading, in Wh, as far as it is known."""
        self.resets: int = kept.get("resets", 0)
        self.uncounted: int = kept.get("uncounted", 0)
        """Steps that cannot be true and are not in `grown_wh`."""
        self.dropped: int = kept.get("dropped", 0)
        self._last = _shown(kept.get("last"))
        self._held = _shown(kept.get("held"))

    @property
    def last(self) -> Shown | None:
        """The last reading that was found true."""
        return self._last

    def take(self, shown: Shown) -> list[tuple[Shown, float]]:
        """Add a reading; return those that are true now, each with `grown_wh` at it."""
        if self._last is None:
            self.first_wh = shown.energy_wh
            return [self._go_on(shown)]
        if _follows(self._last, shown):
            self._drop_held()
            return [self._go_on(shown)]
        held = self._held
        if held is not None and _follows(held, shown):
            return [self._step(held), self._go_on(shown)]
        self._drop_held()
        self._held = shown
        return []

    def end(self) -> list[tuple[Shown, float]]:
        """Take a step at the very end for true: nothing contradicts it."""
        return [] if self._held is None else [self._step(self._held)]

    def kept(self) -> dict[str, Any]:
        """Return the state as JSON can hold it."""
        return {
            "first_wh": self.first_wh,
            "grown_wh": self.grown_wh,
            "resets": self.resets,
            "uncounted": self.uncounted,
            "dropped": self.dropped,
            "last": self._last and list(self._last),
            "held": self._held and list(self._held),
        }

    def _go_on(self, shown: Shown) -> tuple[Shown, float]:
        if self._last is not None:
            self.grown_wh = round(self.grown_wh + shown.energy_wh - self._last.energy_wh, 3)
        self._last = shown
        return shown, self.grown_wh

    def _step(self, shown: Shown) -> tuple[Shown, float]:
        """Go on from the other side of a step."""
        assert self._last is not None
        step_wh = bridged_wh(self._last, shown.time_ns, shown.energy_wh)
        if step_wh is None:
            self.uncounted += 1
        else:
            self.resets += 1
            self.grown_wh = round(self.grown_wh + step_wh, 3)
        self._last, self._held = shown, None
        return shown, self.grown_wh

    def _drop_held(self) -> None:
        self.dropped += self._held is not None
        self._held = None


def bridged_wh(last: Shown, time_ns: int, energy_wh: float) -> float | None:
    """Return what was consumed from `last` until the register shows `energy_wh`, in Wh.

    Over a reset that is what it has counted since. None where neither can be true.
    """
    room_wh = most_wh(time_ns - last.time_ns)
    if 0 <= energy_wh - last.energy_wh <= room_wh:
        return energy_wh - last.energy_wh
    if energy_wh < last.energy_wh and energy_wh <= room_wh:
        return energy_wh
    return None


def _follows(earlier: Shown, later: Shown) -> bool:
    rise_wh = later.energy_wh - earlier.energy_wh
    return 0 <= rise_wh <= most_wh(later.time_ns - earlier.time_ns)


def _shown(kept: Sequence[Any] | None) -> Shown | None:
    return None if kept is None else Shown(*kept)


# --- the unit of WHRS

LONGEST_STEP_S: Final = 60.0
"""Watts are not integrated over a gap that is longer: that would invent energy."""
LEAST_STRETCH_WH: Final = 100.0
"""A stretch of so much energy is weighed as one witness."""
FEWEST_STRETCHES: Final = 3
FIT: Final = 0.15
"""How far a stretch may lie from the unit, beside the register's own resolution."""
CLEAR_SHARE: Final = 0.8
"""So many of all stretches have to fit a unit."""


class Stretch(NamedTuple):
    """Uninterrupted readings of one meter: integral of its watts, and what WHRS rose by."""

    integral_wh: float
    counts: float


class Integral:
    """Cuts one meter's readings into stretches. WHRS is taken as it is, in counts."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.least_step = float("inf")
        """The smallest rise of WHRS seen: its resolution, in counts."""
        self._last: tuple[int, float, float] | None = None
        self._wh = 0.0
        self._counts = 0.0

    def take(self, time_ns: int, watts: float, count: float) -> None:
        """Add a reading that was found true in everything but its energy."""
        if self._last is not None:
            last_ns, last_watts, last_count = self._last
            elapsed_s = (time_ns - last_ns) / NS
            rise = count - last_count
            if elapsed_s > LONGEST_STEP_S or rise < 0:
                self._wh = self._counts = 0.0
            else:
                self._wh += (watts + last_watts) / 2 * elapsed_s / 3600
                self._counts += rise
                if rise > 0:
                    self.least_step = min(self.least_step, rise)
                if self._wh >= LEAST_STRETCH_WH:
                    self.stretches.append(Stretch(self._wh, self._counts))
                    self._wh = self._counts = 0.0
        self._last = (time_ns, watts, count)

    def interrupt(self) -> None:
        """Begin a new stretch with the next reading."""
        self._last = None
        self._wh = self._counts = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the watts say of the unit of WHRS."""

    unit: str | None
    """A key of `UNITS_WH`; None where they are too few or contradict each other."""
    stretches: int
    integral_wh: float
    wh_a_count: float | None
    """Median over all stretches."""
    share: float
    """Of the stretches, how many fit `unit`, or that which is nearest."""
    by_meter: Mapping[str, float | None]
    """Wh a count, from the sums of each meter."""

    @property
    def words(self) -> str:
        """The evidence in one line for people."""
        if self.wh_a_count is None:
            return (
                f"{self.stretches} stretches of {LEAST_STRETCH_WH:.0f} Wh are too few to tell, "
                "or WHRS stands still"
            )
        meters = ", ".join(
            f"{name} {value:.4g}" for name, value in self.by_meter.items() if value is not None
        )
        return (
            f"{self.integral_wh / 1000:.1f} kWh by watts and time in {self.stretches} stretches "
            f"make {self.wh_a_count:.4g} Wh a count ({meters}); {self.share:.0%} of them fit"
        )


def weigh(integrals: Mapping[str, Integral]) -> Evidence:
    """Tell the unit of WHRS from the stretches of all meters: one script wrote them all."""
    stretches = [one for integral in integrals.values() for one in integral.stretches]
    ratios = [one.integral_wh / one.counts for one in stretches if one.counts > 0]
    by_meter = {name: _wh_a_count(integral) for name, integral in integrals.items()}
    total_wh = sum(one.integral_wh for one in stretches)
    if len(ratios) < FEWEST_STRETCHES or total_wh <= 0:
        return Evidence(None, len(stretches), total_wh, None, 0.0, by_meter)
    overall = total_wh / max(sum(one.counts for one in stretches), 1e-9)
    median = statistics.median(ratios)
    unit = min(UNITS_WH, key=lambda name: abs(_log_ratio(overall, UNITS_WH[name])))
    unit_wh = UNITS_WH[unit]
    fitting = sum(
        abs(one.integral_wh - one.counts * unit_wh)
        <= FIT * one.integral_wh + integral.least_step * unit_wh
        for integral in integrals.values()
        for one in integral.stretches
    )
    share = fitting / len(stretches)
    agreed = share >= CLEAR_SHARE and all(
        value is None or abs(value - unit_wh) <= FIT * unit_wh for value in by_meter.values()
    )
    return Evidence(unit if agreed else None, len(stretches), total_wh, median, share, by_meter)


def _wh_a_count(integral: Integral) -> float | None:
    """Return the meter's own ratio, where its energy is well above the resolution."""
    total_wh = sum(one.integral_wh for one in integral.stretches)
    counts = sum(one.counts for one in integral.stretches)
    enough = len(integral.stretches) >= FEWEST_STRETCHES
    return total_wh / counts if enough and counts > 20 * integral.least_step else None


def _log_ratio(one: float, other: float) -> float:
    return max(one, other) / min(one, other)


# --- lifetime energy


def base_wh(register: Register, live: tuple[int, float, float] | None, *, any_live: bool) -> float:
    """Return the lifetime energy at the first reading of the history, in Wh.

    `live`: time (ns), register and lifetime (Wh) of the meter's first live reading that has
    both. From it lifetime is counted back, over the history's resets. Without one, but with
    other meters live (`any_live`), the meter's lifetime is to begin as what its register
    shows. Before any live reading it is counted on from the first register value, and the
    collector goes on from there. The result is below zero where the history holds more
    than the live value leaves room for.
    """
    if register.last is None or register.first_wh is None:
        return 0.0
    if live is not None:
        time_ns, energy_wh, lifetime_wh = live
        gap_wh = bridged_wh(register.last, time_ns, energy_wh) or 0.0
        return round(lifetime_wh - gap_wh - register.grown_wh, 3)
    if any_live:
        return round(register.last.energy_wh - register.grown_wh, 3)
    return register.first_wh
