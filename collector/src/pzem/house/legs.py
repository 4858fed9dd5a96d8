"""The utility's legs against each other: voltage, balance, and the neutral between them.

Legs are the utility's meters by their `leg`; a meter without one counts for none. On
generator power meters behind the interlock show the generator's voltage on all legs, so
what they show then says nothing about the utility.

A neutral that has come loose is suspected only where two legs are in use, in a split-phase
house: the transformer keeps the sum of the legs, and without the neutral the loads divide
it. Three legs have no such sum. Two of three phases keep their sum at 1.73 times nominal
when the neutral is lost, so that they are never suspected for that; only an uneven supply
that happens to keep the sum could be mistaken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pzem.config import OWN_SUPPLY, MeterSettings
from pzem.house.sample import Sample
from pzem.house.supply import GENERATOR, NONE, UTILITY, SupplyState
from pzem.house.thresholds import (
    CARRIES_AMPS,
    LOOSE_NEUTRAL_SUM,
    Latch,
    Verdict,
    loose_neutral,
)
from pzem.registers import Reading


@dataclass(frozen=True, slots=True)
class LegsState:
    """The legs at one slot; None is what is not known or does not apply."""

    volts_difference: float | None = None
    """Between the highest and the lowest leg of the utility, in V."""
    imbalance: float | None = None
    """The same of current, as a share of the larger, 0 to 1."""
    loose_neutral: bool | None = None
    """The neutral is suspected to be loose; None while that was never known."""
    cause: str = ""
    """What the suspicion rests on at this slot, for people; empty without one."""


@dataclass(frozen=True, slots=True)
class _Leg:
    name: str
    volts: float
    amps: float


class Legs:
    """Follows the legs slot by slot. `nominal_volts`: of one leg to neutral, in V."""

    def __init__(
        self, meters: Sequence[MeterSettings], nominal_volts: float, interval_s: float
    ) -> None:
        self._meters: dict[str, list[MeterSettings]] = {}
        for meter in meters:
            if meter.supply == UTILITY and meter.leg is not None:
                self._meters.setdefault(meter.leg, []).append(meter)
        self._own = all(m.fed_from == OWN_SUPPLY for leg in self._meters.values() for m in leg)
        self._nominal_volts = nominal_volts
        self._limit = loose_neutral(nominal_volts)
        self._neutral = Latch(self._limit, interval_s)

    @property
    def have_a_neutral_between(self) -> bool:
        """Tell whether the neutral can be judged by them."""
        return len(self._meters) == 2

    def take(self, sample: Sample, supply: SupplyState) -> LegsState:
        """Return the legs at this slot, of which `supply` tells whether they are in use."""
        legs = self._seen(sample)
        in_use = supply.in_use == UTILITY
        several = legs is not None and len(legs) > 1
        difference = imbalance = None
        if legs is not None and several and (in_use or self._own):
            volts = [leg.volts for leg in legs]
            difference = round(max(volts) - min(volts), 1)
        if legs is not None and several and in_use:
            imbalance = _imbalance([leg.amps for leg in legs])
        if not self.have_a_neutral_between:
            return LegsState(difference, imbalance)
        verdict, cause = self._judge_neutral(legs, supply)
        loose = self._neutral.take(verdict, sample.moment)
        return LegsState(difference, imbalance, loose, cause)

    def _seen(self, sample: Sample) -> list[_Leg] | None:
        """Return all legs, or None unless every meter of theirs answered."""
        legs = []
        for name, meters in self._meters.items():
            readings = [sample.outcomes[meter.name] for meter in meters]
            read = [reading for reading in readings if isinstance(reading, Reading)]
            if len(read) < len(readings):
                return None
            volts = sum(reading.volts for reading in read) / len(read)
            legs.append(_Leg(name, volts, sum(reading.amps for reading in read)))
        return legs

    def _judge_neutral(
        self, legs: Sequence[_Leg] | None, supply: SupplyState
    ) -> tuple[Verdict, str]:
        if supply.in_use in (GENERATOR, NONE):
            return Verdict.EXPLAINED, ""
        if supply.in_use != UTILITY or legs is None:
            return Verdict.UNKNOWN, ""
        low, high = sorted(legs, key=lambda leg: leg.volts)
        difference = round(high.volts - low.volts, 1)
        twice = 2 * self._nominal_volts
        # Rounded: neither 3 % nor a sum of tenths of a volt is exact in binary.
        off_by = round(abs(high.volts + low.volts - twice) / twice, 6)
        if difference <= self._limit.off or off_by >= LOOSE_NEUTRAL_SUM.off:
            return Verdict.NO, ""
        if difference <= self._limit.on or off_by > LOOSE_NEUTRAL_SUM.on:
            return Verdict.BETWEEN, ""
        return (
            Verdict.YES,
            f"leg {high.name} has {high.volts:.1f} V and leg {low.name} {low.volts:.1f} V, "
            f"yet together they have what they should: the neutral may be loose. "
            "Switch off what is dear to you and call an electrician",
        )


def _imbalance(amps: Sequence[float]) -> float | None:
    most = max(amps)
    if most < CARRIES_AMPS.on:
        return None  # what flows is too little to be shared out
    return round((most - min(amps)) / most, 4)
