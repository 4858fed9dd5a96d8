"""Which supply carries the house, slot by slot.

A meter is powered either from the panel behind the interlock (`fed_from` a panel) or
from the conductor that it measures (`fed_from = "own"`). That decides what it can know:

* Behind the interlock its voltage is that of whichever supply feeds the panel, so which
  one that is can be told by current and power alone. A supply is known to be off only if
  the other one carries the house. What little an idle one's sensors show is noise.
* With a supply of its own, voltage tells directly whether the conductor is live; whether
  it carries the house is told by current still, for the interlock may stand the other way.
* A silent meter means a dead conductor only if its adapter is there, all meters of the
  same `fed_from` are silent too, and the Pi does not live by it (`pzem.house.pi_feed`).

A house in which no generator is measured has one supply, and voltage on any of its meters
is the utility's. What cannot be known is None, and is not stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pzem.config import OWN_SUPPLY, MeterSettings
from pzem.house.sample import Sample
from pzem.house.thresholds import (
    BLIND_S,
    BOTH_S,
    CARRIES_AMPS,
    CARRIES_WATTS,
    DARK_S,
    MISSED_SLOTS,
    STRAY_SHARE,
    STRAY_UNSEEN_AMPS,
    Streak,
    follows,
)
from pzem.meter import Outcome, Silent, heard
from pzem.moment import Moment
from pzem.registers import Reading

UTILITY: Final = "utility"
GENERATOR: Final = "generator"
BOTH: Final = "both"
NONE: Final = "none"

NOT_SURE: Final = Silent("not_sure")
"""In place of a silence that has not lasted: a lost reply, or the first of an outage."""


@dataclass(frozen=True, slots=True)
class SupplyState:
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
    """The supply that carries the house: `UTILITY`, `GENERATOR`, `BOTH`, `NONE` (all
    wires are dead), or None."""
    held: bool = False
    """Nothing flows now; `in_use` is what it was when something did."""
    dark: frozenset[str] = frozenset()
    """Names of the utility's meters on legs that are dead while another one is live."""


class Supplies:
    """Follows the supply in use slot by slot. `interval_s`: seconds between slots.

    It remembers which supply carried the house last, for a house that draws nothing has
    not changed its supply. It forgets that when all is dark, when no slots come, and when
    the meters of that supply have not been read for a while: then the interlock may have
    been switched unseen.
    """

    def __init__(self, meters: Sequence[MeterSettings], interval_s: float) -> None:
        self._meters = tuple(meters)
        self._interval_s = interval_s
        self._last_in_use: str | None = None
        self._silences: dict[str, Streak[bool]] = {
            meter.name: Streak(interval_s) for meter in meters
        }
        self._contested: Streak[bool] = Streak(interval_s)
        self._last: Moment | None = None
        self._last_seen_s = 0.0

    def take(self, sample: Sample) -> SupplyState:
        """Return the house at this slot."""
        moment = sample.moment
        gap_s = MISSED_SLOTS * self._interval_s
        if self._last is None or not follows(moment, self._last, gap_s):
            self._last_in_use = None
        self._last = moment
        outcomes = self._sure(sample)
        state = derive(self._meters, outcomes, self._last_in_use)
        contested = state.in_use == BOTH
        lasted_s = self._contested.take(contested, moment)
        if contested and lasted_s < BOTH_S:
            # The interlock may have been switched between the reading of two meters.
            state = _in_doubt(self._meters, outcomes)
        self._remember(state, sample)
        return state

    def _sure(self, sample: Sample) -> dict[str, Outcome]:
        """Return the outcomes, but for silences that have not lasted yet."""
        sure: dict[str, Outcome] = {}
        for name, outcome in sample.outcomes.items():
            lasted_s = self._silences[name].take(is_quiet(outcome), sample.moment)
            sure[name] = NOT_SURE if proves_darkness(outcome) and lasted_s < DARK_S else outcome
        return sure

    def _remember(self, state: SupplyState, sample: Sample) -> None:
        now_s = sample.moment.monotonic_s
        if state.in_use in (UTILITY, GENERATOR, BOTH):
            self._last_in_use = state.in_use
            self._last_seen_s = now_s
            return
        if not any(map(heard, sample.outcomes.values())):
            self._last_in_use = None  # the interlock may have been switched in the dark
            return
        if _is_known(self._last_in_use, self._meters, sample.outcomes):
            self._last_seen_s = now_s
        elif now_s - self._last_seen_s > BLIND_S:
            self._last_in_use = None


def derive(
    meters: Sequence[MeterSettings],
    outcomes: Mapping[str, Outcome],
    last_in_use: str | None = None,
) -> SupplyState:
    """Derive the house from one outcome for each of `meters`, as if all were to last.

    Sub-meters never count. `last_in_use`: the supply that carried the house before.
    """
    utility = _Supply(UTILITY, meters, outcomes)
    generator = _Supply(GENERATOR, meters, outcomes)
    interlocked = is_interlocked(meters)
    in_use, held = _in_use(utility, generator, last_in_use, interlocked=interlocked)
    counting = _counting(utility, generator, in_use, interlocked=interlocked)
    return SupplyState(
        watts=_sum(r.watts for r in counting) if counting else None,
        volt_amps=_sum(r.volt_amps for r in counting) if counting else None,
        utility_on=utility.is_on(in_use),
        generator_on=generator.is_on(in_use),
        in_use=in_use,
        held=held,
        dark=frozenset(
            m.name for m in meters if m.supply == UTILITY and is_dead_leg(m, meters, outcomes)
        )
        if utility.is_on(in_use)
        else frozenset(),
    )


def is_interlocked(meters: Iterable[MeterSettings]) -> bool:
    """Tell whether the wiring lets one supply at a time feed the panel.

    It does where both are measured and a meter of them is fed from the panel: it would
    burn if the two met there.
    """
    counting = [meter for meter in meters if meter.supply in (UTILITY, GENERATOR)]
    return len({meter.supply for meter in counting}) > 1 and any(
        meter.fed_from != OWN_SUPPLY for meter in counting
    )


def is_dark(
    meter: MeterSettings, everyone: Iterable[MeterSettings], outcomes: Mapping[str, Outcome]
) -> bool:
    """Tell whether `meter` shows that there is no voltage where it gets its supply."""
    return all(proves_darkness(outcomes[m.name]) for m in fed_together(meter, everyone))


def is_dead_leg(
    meter: MeterSettings, everyone: Sequence[MeterSettings], outcomes: Mapping[str, Outcome]
) -> bool:
    """Tell whether `meter` shows that its leg is dead, even while others are not.

    A single meter of a panel is not enough: that it is silent may be its own fault.
    """
    is_enough = meter.fed_from == OWN_SUPPLY or len(fed_together(meter, everyone)) > 1
    return is_enough and is_dark(meter, everyone, outcomes)


def proves_darkness(outcome: Outcome) -> bool:
    """Tell whether the outcome is a silence as of a meter without supply."""
    return isinstance(outcome, Silent) and outcome.proves_darkness


def is_quiet(outcome: Outcome) -> bool:
    """Tell whether the outcome is a silence that may turn out to be one without supply."""
    return isinstance(outcome, Silent) and outcome.is_quiet


def fed_together(
    meter: MeterSettings, everyone: Iterable[MeterSettings]
) -> Sequence[MeterSettings]:
    """Return the meters that go dark together with `meter`, itself among them."""
    if meter.fed_from == OWN_SUPPLY:
        return [meter]
    return [other for other in everyone if other.fed_from == meter.fed_from]


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

    def amps(self) -> float:
        """Return the current in A of its busiest meter, as far as they answered."""
        return max((r.amps for r in self._answered()), default=0.0)

    def is_known(self) -> bool:
        """Tell whether each of its meters is read, or dark with its conductor."""
        return all(
            isinstance(self._outcomes[meter.name], Reading) or self._is_dark(meter)
            for meter in self._meters
        )

    def is_dead(self) -> bool:
        """Tell whether all its meters are dark."""
        return self.exists and all(self._is_dark(meter) for meter in self._meters)

    def is_heard(self) -> bool:
        """Tell whether any of its meters has voltage."""
        return any(heard(self._outcomes[meter.name]) for meter in self._meters)

    def is_live(self) -> bool:
        """Tell whether a conductor of its own gives one of its meters voltage."""
        return any(
            meter.fed_from == OWN_SUPPLY and heard(self._outcomes[meter.name])
            for meter in self._meters
        )

    def flows(self, other: _Supply, last_in_use: str | None) -> bool | None:
        """Tell whether it delivers power; None if a meter that is not read may hide it."""
        kept = last_in_use in (self.name, BOTH)
        stray = STRAY_SHARE * other.amps()
        if not other.is_known() and last_in_use != self.name:
            stray = max(stray, STRAY_UNSEEN_AMPS)
        amps = max(CARRIES_AMPS.off if kept else CARRIES_AMPS.on, stray)
        watts = CARRIES_WATTS.off if kept else CARRIES_WATTS.on
        if any(r.amps >= amps and r.watts >= watts for r in self._answered()):
            return True
        return False if self.is_known() else None

    def is_on(self, in_use: str | None) -> bool | None:
        if not self.exists:
            return None
        if in_use in (self.name, BOTH) or self.is_live():
            return True
        if self.is_dead():
            return False
        other_carries = in_use in (UTILITY, GENERATOR)
        return False if other_carries and self.is_known() else None

    def _answered(self) -> list[Reading]:
        outcomes = (self._outcomes[meter.name] for meter in self._meters)
        return [outcome for outcome in outcomes if isinstance(outcome, Reading)]

    def _is_dark(self, meter: MeterSettings) -> bool:
        return is_dark(meter, self._everyone, self._outcomes)


def _in_use(
    utility: _Supply, generator: _Supply, last_in_use: str | None, *, interlocked: bool
) -> tuple[str | None, bool]:
    """Return what carries the house, and whether that is held from before."""
    flows = (
        utility.flows(generator, last_in_use),
        generator.flows(utility, last_in_use),
    )
    if all(flows):
        return BOTH, False
    for supply, flow, other_flow in (
        (utility, flows[0], flows[1]),
        (generator, flows[1], flows[0]),
    ):
        if flow:
            # Without an interlock, the other one may carry a part of the house unseen.
            hidden = other_flow is None and not interlocked
            return (None, False) if hidden else (supply.name, False)
    return _in_use_without_current(utility, generator, last_in_use)


def _in_use_without_current(
    utility: _Supply, generator: _Supply, last_in_use: str | None
) -> tuple[str | None, bool]:
    supplies = [supply for supply in (utility, generator) if supply.exists]
    if supplies and all(supply.is_dead() for supply in supplies):
        return NONE, False
    if supplies == [utility] and utility.is_heard():
        return UTILITY, False
    if not all(supply.is_known() for supply in supplies):
        return None, False
    for supply in supplies:
        if supply.name == last_in_use and not supply.is_dead():
            return supply.name, True
    # A generator that stopped while it was in use has left the interlock where it was.
    if utility.is_live() and generator.is_dead() and last_in_use != GENERATOR:
        return UTILITY, False
    return None, False


def _counting(
    utility: _Supply, generator: _Supply, in_use: str | None, *, interlocked: bool
) -> list[Reading] | None:
    """Return the readings that make up the house, or None if one is missing."""
    if in_use == UTILITY:
        return utility.readings()
    if in_use == GENERATOR:
        return generator.readings()
    if in_use == BOTH:
        # Power has no sign: behind an interlock nobody knows what of it is the house's.
        first, second = utility.readings(), generator.readings()
        return None if interlocked or first is None or second is None else first + second
    alive = [s for s in (utility, generator) if s.exists and not s.is_dead()]
    readings = [supply.readings() for supply in alive]
    if readings and all(r is not None and not any(x.amps for x in r) for r in readings):
        return readings[0]  # nothing flows, whichever it is
    return None


def _in_doubt(meters: Sequence[MeterSettings], outcomes: Mapping[str, Outcome]) -> SupplyState:
    """Return what is known of two supplies that seem to carry the house: their voltage."""
    utility = _Supply(UTILITY, meters, outcomes)
    generator = _Supply(GENERATOR, meters, outcomes)
    return SupplyState(None, None, utility.is_on(None), generator.is_on(None))


def _is_known(
    name: str | None, meters: Sequence[MeterSettings], outcomes: Mapping[str, Outcome]
) -> bool:
    return name in (UTILITY, GENERATOR) and _Supply(name, meters, outcomes).is_known()


def _sum(values: Iterable[float]) -> float:
    return round(sum(values), 4)
