"""What the meters of one slot together say about the house.

A meter is powered either from the panel behind the interlock (`fed_from` a panel) or
from the conductor that it measures (`fed_from = "own"`). That decides what it can know:

* Behind the interlock its voltage is that of whichever supply feeds the panel, so which
  one that is can be told by current and power alone. An idle supply is known to be off
  only if the other one carries the house or does not exist.
* With a supply of its own, voltage tells directly: it answers, so its conductor is live.
* A silent meter means a dead conductor only if its adapter is there and all meters of
  the same `fed_from` are silent too.

What cannot be known is None, and is not stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pzem.config import OWN_SUPPLY, MeterSettings
from pzem.meter import NO_ANSWER, Outcome, Silent
from pzem.registers import Reading

UTILITY: Final = "utility"
GENERATOR: Final = "generator"


@dataclass(frozen=True, slots=True)
class HouseState:
    """The house at one slot; None is what the wiring or a missing answer hides."""

    watts: float | None
    """Active power in W of the supply in use."""
    volt_amps: float | None
    """Apparent power in VA, the sum over that supply's meters."""
    utility_on: bool | None
    """The utility carries the house, or is seen to be live by its own voltage."""
    generator_on: bool | None
    """The same of the generator."""


def derive(meters: Sequence[MeterSettings], outcomes: Mapping[str, Outcome]) -> HouseState:
    """Derive the house from one outcome for each of `meters`. Sub-meters never count."""
    utility = _Supply([m for m in meters if m.supply == UTILITY], meters, outcomes)
    generator = _Supply([m for m in meters if m.supply == GENERATOR], meters, outcomes)
    in_use = _in_use(utility, generator)
    counting = in_use.readings() if in_use is not None else None
    return HouseState(
        watts=_sum([r.watts for r in counting]) if counting else None,
        volt_amps=_sum([r.volt_amps for r in counting]) if counting else None,
        utility_on=utility.is_on(other=generator),
        generator_on=generator.is_on(other=utility),
    )


class _Supply:
    """The meters of one supply, and what they show of it."""

    def __init__(
        self,
        own: Sequence[MeterSettings],
        everyone: Sequence[MeterSettings],
        outcomes: Mapping[str, Outcome],
    ) -> None:
        self._meters = own
        self._everyone = everyone
        self._outcomes = outcomes

    @property
    def exists(self) -> bool:
        return bool(self._meters)

    def readings(self) -> list[Reading] | None:
        """Return what all its meters show, or None unless every one of them answered."""
        readings = self._answered()
        return readings if len(readings) == len(self._meters) else None

    def carried_watts(self) -> float:
        """Return what it is seen to deliver, in W; 0.0 if nothing is seen."""
        return sum(r.watts for r in self._answered() if r.amps > 0)

    def is_on(self, other: _Supply) -> bool | None:
        if not self.exists:
            return None
        if self.carried_watts() > 0 or any(self._is_live(meter) for meter in self._meters):
            return True
        if all(self._is_dark(meter) for meter in self._meters):
            return False
        if not all(self._is_idle(meter) or self._is_dark(meter) for meter in self._meters):
            return None
        if other.carried_watts() > 0:
            return False
        # No current anywhere: the voltage can be the other supply's, if there is one.
        return None if other.exists else True

    def _answered(self) -> list[Reading]:
        outcomes = (self._outcomes[meter.name] for meter in self._meters)
        return [outcome for outcome in outcomes if isinstance(outcome, Reading)]

    def _is_live(self, meter: MeterSettings) -> bool:
        return meter.fed_from == OWN_SUPPLY and isinstance(self._outcomes[meter.name], Reading)

    def _is_idle(self, meter: MeterSettings) -> bool:
        return isinstance(self._outcomes[meter.name], Reading)

    def _is_dark(self, meter: MeterSettings) -> bool:
        if meter.fed_from == OWN_SUPPLY:
            together: Sequence[MeterSettings] = [meter]
        else:
            together = [m for m in self._everyone if m.fed_from == meter.fed_from]
        return all(self._outcomes[m.name] == Silent(NO_ANSWER) for m in together)


def _in_use(utility: _Supply, generator: _Supply) -> _Supply | None:
    """Return the supply whose meters add up to the house, or None if it is not known.

    The interlock lets one supply at a time through, so what little the other one's
    sensors show beside it is noise, or the moment of switching.
    """
    if not (utility.exists and generator.exists):
        return utility if utility.exists else generator if generator.exists else None
    if utility.carried_watts() == generator.carried_watts() == 0:
        # Nothing flows, as far as is seen. All must have answered to say so, but for
        # those that a dark conductor keeps from it.
        for supply, other in ((utility, generator), (generator, utility)):
            other_known = other.readings() is not None or other.is_on(other=supply) is False
            if supply.readings() is not None and other_known:
                return supply
        return None
    return max(utility, generator, key=_Supply.carried_watts)


def _sum(values: Sequence[float]) -> float:
    return round(sum(values), 4)
