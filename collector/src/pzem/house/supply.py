"""What the meters of one slot together say about the house.

A meter is powered either from the panel behind the interlock (`fed_from` a panel) or
from the conductor that it measures (`fed_from = "own"`). That decides what it can know:

* Behind the interlock its voltage is that of whichever supply feeds the panel, so which
  one that is can be told by current and power alone. A supply is known to be off only if
  the other one carries the house. What little an idle one's sensors show is noise.
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
    in_use: str | None = None
    """The supply seen to carry the house: `UTILITY` or `GENERATOR`."""


class House:
    """Derives the house slot by slot, remembering which supply carried it last."""

    def __init__(self, meters: Sequence[MeterSettings]) -> None:
        self._meters = tuple(meters)
        self._last_in_use: str | None = None

    def derive(self, outcomes: Mapping[str, Outcome]) -> HouseState:
        """Derive the house from one outcome for each meter."""
        state = derive(self._meters, outcomes, self._last_in_use)
        if state.in_use is not None:
            self._last_in_use = state.in_use
        elif not any(isinstance(outcome, Reading) for outcome in outcomes.values()):
            self._last_in_use = None  # the interlock may have been switched in the dark
        return state


def derive(
    meters: Sequence[MeterSettings],
    outcomes: Mapping[str, Outcome],
    last_in_use: str | None = None,
) -> HouseState:
    """Derive the house from one outcome for each of `meters`. Sub-meters never count.

    `last_in_use`: the supply that carried the house before. While one of its meters is
    not read, it may still do so, and little current on the other one proves nothing.
    """
    utility = _Supply(UTILITY, meters, outcomes)
    generator = _Supply(GENERATOR, meters, outcomes)
    carrier = _carrier(utility, generator, last_in_use)
    summed = carrier or _idle(utility, generator)
    counting = summed.readings() if summed is not None else None
    return HouseState(
        watts=_sum([r.watts for r in counting]) if counting else None,
        volt_amps=_sum([r.volt_amps for r in counting]) if counting else None,
        utility_on=utility.is_on(carrier, other=generator),
        generator_on=generator.is_on(carrier, other=utility),
        in_use=carrier.name if carrier is not None else None,
    )


class _Supply:
    """The meters of one supply, and what they show of it."""

    def __init__(
        self, name: str, everyone: Sequence[MeterSettings], outcomes: Mapping[str, Outcome]
    ) -> None:
        self.name = name
        self._meters = [meter for meter in everyone if meter.supply == name]
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

    def is_known(self) -> bool:
        """Tell whether each of its meters is read, or dark with its conductor."""
        return all(self._is_read(meter) or self._is_dark(meter) for meter in self._meters)

    def is_on(self, carrier: _Supply | None, other: _Supply) -> bool | None:
        if not self.exists:
            return None
        if carrier is self or any(self._is_live(meter) for meter in self._meters):
            return True
        if all(self._is_dark(meter) for meter in self._meters):
            return False
        if not self.is_known():
            return None
        if carrier is other:
            return False
        # No current anywhere: the voltage can be the other supply's, if there is one.
        return None if other.exists else True

    def _answered(self) -> list[Reading]:
        outcomes = (self._outcomes[meter.name] for meter in self._meters)
        return [outcome for outcome in outcomes if isinstance(outcome, Reading)]

    def _is_live(self, meter: MeterSettings) -> bool:
        return meter.fed_from == OWN_SUPPLY and self._is_read(meter)

    def _is_read(self, meter: MeterSettings) -> bool:
        return isinstance(self._outcomes[meter.name], Reading)

    def _is_dark(self, meter: MeterSettings) -> bool:
        if meter.fed_from == OWN_SUPPLY:
            together: Sequence[MeterSettings] = [meter]
        else:
            together = [m for m in self._everyone if m.fed_from == meter.fed_from]
        return all(self._outcomes[m.name] == Silent(NO_ANSWER) for m in together)


def _carrier(utility: _Supply, generator: _Supply, last_in_use: str | None) -> _Supply | None:
    """Return the supply that is seen to carry the house.

    The interlock lets one at a time through, so of two that show power the lesser shows
    noise, or the moment of switching.
    """
    most, least = sorted((utility, generator), key=_Supply.carried_watts, reverse=True)
    if most.carried_watts() == 0 or (least.name == last_in_use and not least.is_known()):
        return None
    return most


def _idle(utility: _Supply, generator: _Supply) -> _Supply | None:
    """Return the supply to sum up if nothing flows, as far as all meters together show."""
    if utility.carried_watts() or generator.carried_watts():
        return None
    for supply, other in ((utility, generator), (generator, utility)):
        counted = other.readings() is not None or other.is_on(None, supply) is False
        if supply.exists and supply.readings() is not None and counted:
            return supply
    return None


def _sum(values: Sequence[float]) -> float:
    return round(sum(values), 4)
