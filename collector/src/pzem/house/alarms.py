"""Conditions that somebody may want to be told of, each with its cause.

Every slot gives a verdict on each condition; `thresholds` says how long it has to last.
What is unknown changes nothing: an alarm that was active stays so until something that is
known ends it, and one that was never known to be active or not is left out altogether.
What follows from an outage is not told beside it: the same slot's supply in use decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pzem.config import OWN_SUPPLY, HouseSettings, MeterSettings
from pzem.house import thresholds
from pzem.house.generator import GeneratorState
from pzem.house.legs import LegsState
from pzem.house.sample import Sample
from pzem.house.supply import (
    BOTH,
    GENERATOR,
    NONE,
    UTILITY,
    SupplyState,
    fed_together,
    is_dark,
    is_interlocked,
)
from pzem.house.thresholds import Lasting, Latch, Limit, Verdict
from pzem.meter import (
    HAS_POWER,
    LINE_IN_DOUBT,
    NO_ANSWER,
    NO_PORT,
    NOT_ASKED,
    PORT_BUSY,
    PORT_FAILED,
    Faulty,
    Outcome,
    Silent,
)
from pzem.registers import AMPS, Reading
from pzem.settling import SETTLING

UTILITY_LOST: Final = "utility_lost"
GENERATOR_RUNNING: Final = "generator_running"
GENERATOR_OVERLOAD: Final = "generator_overload"
BOTH_SUPPLIES: Final = "both_supplies"
LOOSE_NEUTRAL: Final = "loose_neutral"
LEG_NEAR_LIMIT: Final = "leg_near_limit"
VOLTS_LOW: Final = "volts_low"
VOLTS_HIGH: Final = "volts_high"
OVER_RANGE: Final = "over_range"
METER_SILENT: Final = "meter_silent"
METER_FAULTY: Final = "meter_faulty"
REGISTER_STUCK: Final = "register_stuck"
CLOCK_UNKNOWN: Final = "clock_unknown"
SPOOL_WAITING: Final = "spool_waiting"
CARD_TROUBLE: Final = "card_trouble"

_WHY_SILENT: Final = {
    NO_ANSWER: "does not answer, though its adapter is there",
    HAS_POWER: "does not answer, though it has power, for what feeds it feeds the Pi: look at "
    "its cable and at the meter",
    LINE_IN_DOUBT: "does not answer, nor does any other meter on its adapter, one of which has "
    "power, as the Pi has: look at the cable of the adapter",
    NO_PORT: "cannot be asked: its adapter is not plugged in",
    PORT_BUSY: "cannot be asked: another program holds its port",
    PORT_FAILED: "cannot be asked: its port does not work",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SystemState:
    """What the collector knows of itself."""

    clock_true: bool
    """The time is known."""
    spool_blocks: int
    """Slots that wait for the database."""
    spool_oldest_age_s: float | None
    """Age of the oldest of them in s; None if there is none, or its time is not known."""
    card_trouble: str | None
    """What ails the card, for people."""


@dataclass(frozen=True, slots=True)
class AlarmState:
    """One condition at one slot."""

    kind: str
    meter: str
    """The meter that it is about; empty for one about the whole."""
    active: bool
    cause: str
    """Why it is active, for people; empty while it is not."""

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags of its `alarm_state` point."""
        return {"kind": self.kind, "meter": self.meter} if self.meter else {"kind": self.kind}

    @property
    def fields(self) -> dict[str, float]:
        """Return the fields of its `alarm_state` point."""
        return {"active": float(self.active)}


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one slot tells, for every condition to be judged by the same."""

    sample: Sample
    supply: SupplyState
    legs: LegsState
    generator: GeneratorState | None
    stuck: Collection[str] = ()
    """Names of the meters whose energy register stands still under load."""
    system: SystemState | None = None


SAID_ELSEWHERE: Final = frozenset(
    {METER_SILENT, METER_FAULTY, REGISTER_STUCK, CLOCK_UNKNOWN, SPOOL_WAITING, CARD_TROUBLE}
)
"""Whoever notices these first logs them; one word about each is enough."""

Judgement = tuple[Verdict, str]
"""A verdict, and the cause in case that it is `YES`."""
_NO: Final[Judgement] = (Verdict.NO, "")
_UNKNOWN: Final[Judgement] = (Verdict.UNKNOWN, "")
_EXPLAINED: Final[Judgement] = (Verdict.EXPLAINED, "")


@dataclass(slots=True)
class _Alarm:
    kind: str
    meter: str
    judge: Callable[[Facts], Judgement]
    latch: Latch
    cause: str = field(default="", init=False)

    def take(self, facts: Facts) -> AlarmState | None:
        was_active = self.latch.active
        verdict, cause = self.judge(facts)
        active = self.latch.take(verdict, facts.sample.moment)
        if active and verdict is Verdict.YES:
            self.cause = cause
        if active is not was_active and self.kind not in SAID_ELSEWHERE:
            self._say(verdict, active=bool(active))
        if not active:
            self.cause = ""
        return None if active is None else AlarmState(self.kind, self.meter, active, self.cause)

    def _say(self, verdict: Verdict, *, active: bool) -> None:
        if active:
            log.warning("alarm %s: %s", self._name(), self.cause)
        elif self.cause:
            how = "follows from another condition" if verdict is Verdict.EXPLAINED else "is over"
            log.info("alarm %s %s; it was: %s", self._name(), how, self.cause)

    def _name(self) -> str:
        return f"{self.kind} {self.meter}".rstrip()


class Alarms:
    """All conditions of a house. `interval_s`: seconds between slots."""

    def __init__(
        self, meters: Sequence[MeterSettings], settings: HouseSettings, interval_s: float
    ) -> None:
        self._interval_s = interval_s
        self._alarms: list[_Alarm] = []
        judge = _Judge(meters, settings)
        supplies = {meter.supply for meter in meters}
        if UTILITY in supplies:
            self._add(UTILITY_LOST, judge.utility_lost, thresholds.UTILITY_LOST)
        if GENERATOR in supplies:
            self._add(GENERATOR_RUNNING, judge.generator_running, thresholds.GENERATOR_RUNNING)
            if settings.generator_va is not None:
                self._add(GENERATOR_OVERLOAD, judge.generator_overload, thresholds.OVERLOAD)
        if is_interlocked(meters):
            self._add(BOTH_SUPPLIES, judge.both_supplies, thresholds.BOTH_SUPPLIES)
        if UTILITY in supplies:
            self._add(LOOSE_NEUTRAL, judge.loose_neutral, thresholds.LEGS_SAY)
        for meter in meters:
            self._add_meter(judge, meter, settings.nominal_volts)
        self._add(CLOCK_UNKNOWN, judge.clock_unknown, thresholds.CLOCK_UNKNOWN)
        self._add(SPOOL_WAITING, judge.spool_waiting, thresholds.SPOOL_WAITING)
        self._add(CARD_TROUBLE, judge.card_trouble, thresholds.CARD_TROUBLE)

    def take(self, facts: Facts) -> tuple[AlarmState, ...]:
        """Return each condition of which is known whether it is there, active or not."""
        states = [alarm.take(facts) for alarm in self._alarms]
        return tuple(state for state in states if state is not None)

    def _add(
        self,
        kind: str,
        judge: Callable[[Facts], Judgement],
        waits: Lasting,
        meter: str = "",
    ) -> None:
        self._alarms.append(_Alarm(kind, meter, judge, Latch(waits, self._interval_s)))

    def _add_meter(self, judge: _Judge, meter: MeterSettings, nominal_volts: float) -> None:
        def add(kind: str, by: Callable[[MeterSettings, Facts], Judgement], waits: Lasting) -> None:
            self._add(kind, lambda facts: by(meter, facts), waits, meter.name)

        add(LEG_NEAR_LIMIT, judge.leg_near_limit, thresholds.NEAR_LIMIT)
        if meter.supply in (UTILITY, GENERATOR):  # a sub-meter's volts are those of one of them
            generator = meter.supply == GENERATOR
            low = thresholds.volts_low(nominal_volts, generator=generator)
            high = thresholds.volts_high(nominal_volts, generator=generator)
            add(VOLTS_LOW, lambda m, facts: judge.volts(m, facts, low), low)
            add(VOLTS_HIGH, lambda m, facts: judge.volts(m, facts, high), high)
        add(OVER_RANGE, judge.over_range, thresholds.OVER_RANGE)
        add(METER_SILENT, judge.meter_silent, thresholds.METER_SILENT)
        add(METER_FAULTY, judge.meter_faulty, thresholds.METER_FAULTY)
        add(REGISTER_STUCK, judge.register_stuck, thresholds.REGISTER_STUCK)


class _Judge:
    """Tells what one slot says of each condition."""

    def __init__(self, meters: Sequence[MeterSettings], settings: HouseSettings) -> None:
        self._meters = tuple(meters)
        self._settings = settings

    def utility_lost(self, facts: Facts) -> Judgement:
        supply = facts.supply
        if supply.utility_on is None:
            return _UNKNOWN
        utility = self._of(UTILITY)
        if supply.utility_on:
            dark = _names(meter for meter in utility if meter.name in supply.dark)
            cause = f"no voltage reaches {dark}: its leg is dead, or what feeds the meter is off"
            return (Verdict.YES, cause) if dark else _NO
        if all(meter.fed_from == OWN_SUPPLY for meter in utility):
            cause = f"there is no voltage on its wires: {_names(utility)} silent"
        elif supply.in_use == GENERATOR:
            cause = (
                "the house is on the generator; whether the utility is there shows only "
                "once the interlock is switched back"
            )
        else:
            cause = (
                f"no voltage reaches {_names(utility)}: no supply feeds the panel, or what "
                "feeds the meters is off"
            )
        return Verdict.YES, cause

    def generator_running(self, facts: Facts) -> Judgement:
        running = facts.supply.generator_on
        if running is None:
            return _UNKNOWN
        if not running:
            return _NO
        if facts.supply.in_use == GENERATOR:
            return Verdict.YES, "the generator carries the house"
        return Verdict.YES, "there is voltage on the generator's wires, or power flows in them"

    def generator_overload(self, facts: Facts) -> Judgement:
        generator = facts.generator
        if generator is None or generator.running is None:
            return _UNKNOWN
        if not generator.running:
            return _NO
        verdict = thresholds.OVERLOAD.judge(generator.load)
        if generator.load is None or generator.volt_amps is None:
            return _UNKNOWN
        return verdict, (
            f"the generator gives {generator.volt_amps:.0f} VA, "
            f"{100 * generator.load:.0f} % of its {self._settings.generator_va:g} VA"
        )

    def both_supplies(self, facts: Facts) -> Judgement:
        if facts.supply.in_use is None:
            return _UNKNOWN
        if facts.supply.in_use != BOTH:
            return _NO
        shown = ", ".join(
            f"{meter.name} {reading.amps:.1f} A"
            for meter in (*self._of(UTILITY), *self._of(GENERATOR))
            if isinstance(reading := facts.sample.outcomes[meter.name], Reading)
        )
        return Verdict.YES, (
            f"the utility and the generator carry current at once ({shown}): the interlock "
            "lets both through, or a sensor is on a wrong wire"
        )

    @staticmethod
    def loose_neutral(facts: Facts) -> Judgement:
        loose = facts.legs.loose_neutral
        if loose is None or (loose and not facts.legs.cause):
            return _UNKNOWN
        return (Verdict.YES, facts.legs.cause) if loose else _NO

    def leg_near_limit(self, meter: MeterSettings, facts: Facts) -> Judgement:
        outcome = facts.sample.outcomes[meter.name]
        if not isinstance(outcome, Reading):
            return _EXPLAINED if self._is_explained(meter, facts) else _UNKNOWN
        limit, whose = AMPS.maximum, "that a meter can measure"
        if meter.breaker_amps is not None and meter.breaker_amps < limit:
            limit, whose = meter.breaker_amps, "of its breaker"
        # Rounded: 80 % of most ratings is not exact in binary.
        verdict = thresholds.NEAR_LIMIT.judge(round(outcome.amps / limit, 6))
        return verdict, f"{meter.name} carries {outcome.amps:.1f} A of the {limit:g} A {whose}"

    def volts(self, meter: MeterSettings, facts: Facts, limit: Limit) -> Judgement:
        outcome = facts.sample.outcomes[meter.name]
        supply = facts.supply
        if meter.fed_from != OWN_SUPPLY:
            if supply.in_use not in (UTILITY, GENERATOR, NONE):
                return _UNKNOWN  # whose voltage it is
            if supply.in_use != meter.supply:
                return _EXPLAINED  # it is the other's
        if not isinstance(outcome, Reading):
            return _EXPLAINED if self._is_explained(meter, facts) else _UNKNOWN
        side = "or more" if limit.on > limit.off else "or less"
        return limit.judge(outcome.volts), (
            f"{meter.name} has {outcome.volts:.1f} V, where {limit.on:g} V {side} is reported"
        )

    def over_range(self, meter: MeterSettings, facts: Facts) -> Judgement:
        outcome = facts.sample.outcomes[meter.name]
        if isinstance(outcome, Reading):
            return _NO
        if _is_over_range(outcome):
            _, *what = outcome.reason.split()
            return Verdict.YES, f"{meter.name} shows {' '.join(what)}, which it cannot measure"
        return _EXPLAINED if self._is_explained(meter, facts) else _UNKNOWN

    def meter_silent(self, meter: MeterSettings, facts: Facts) -> Judgement:
        outcome = facts.sample.outcomes[meter.name]
        if not isinstance(outcome, Silent):
            return _NO
        if outcome.reason == NOT_ASKED:
            return _UNKNOWN
        if self._is_explained(meter, facts):
            return _EXPLAINED
        why = _WHY_SILENT.get(outcome.reason, outcome.reason.replace("_", " "))
        cause = f"{meter.name} {why}"
        if is_dark(meter, self._meters, facts.sample.outcomes):
            if meter.fed_from == OWN_SUPPLY:
                cause += "; the wire that it measures may be dead"
            elif len(fed_together(meter, self._meters)) > 1:
                cause += f", nor does any other meter fed from {meter.fed_from}: it may be dead"
        return Verdict.YES, cause

    def meter_faulty(self, meter: MeterSettings, facts: Facts) -> Judgement:
        outcome = facts.sample.outcomes[meter.name]
        if not isinstance(outcome, Faulty):
            return _UNKNOWN if outcome == Silent(NOT_ASKED) else _NO
        if outcome == SETTLING:
            return Verdict.BETWEEN, ""
        if _is_over_range(outcome):
            return _NO  # that is a condition of its own
        why = outcome.reason.replace("_", " ")
        return Verdict.YES, f"{meter.name} is heard, but not to be believed: {why}"

    @staticmethod
    def register_stuck(meter: MeterSettings, facts: Facts) -> Judgement:
        if meter.name in facts.stuck:
            return Verdict.YES, (
                f"the energy register of {meter.name} stands still under load; its energy is "
                "estimated from its power"
            )
        is_read = isinstance(facts.sample.outcomes[meter.name], Reading)
        return _NO if is_read else _UNKNOWN

    @staticmethod
    def clock_unknown(facts: Facts) -> Judgement:
        if facts.system is None:
            return _UNKNOWN
        if facts.system.clock_true:
            return _NO
        return Verdict.YES, (
            "the time is not known since the start; readings are shown at a provisional time "
            "until it is (is the internet reached?)"
        )

    @staticmethod
    def spool_waiting(facts: Facts) -> Judgement:
        system = facts.system
        if system is None:
            return _UNKNOWN
        if system.spool_blocks == 0:
            return _NO
        if not system.clock_true:
            return _EXPLAINED  # they wait for their time
        cause = (
            f"{system.spool_blocks} readings wait for the database, "
            f"the oldest for {(system.spool_oldest_age_s or 0) / 60:.0f} min"
        )
        return thresholds.SPOOL_WAITING.judge(system.spool_oldest_age_s), cause

    @staticmethod
    def card_trouble(facts: Facts) -> Judgement:
        if facts.system is None:
            return _UNKNOWN
        trouble = facts.system.card_trouble
        return _NO if trouble is None else (Verdict.YES, f"the card: {trouble or 'no reason'}")

    def _of(self, supply: str) -> list[MeterSettings]:
        return [meter for meter in self._meters if meter.supply == supply]

    def _is_explained(self, meter: MeterSettings, facts: Facts) -> bool:
        """Tell whether the meter is silent because what feeds it is known to be off.

        A generator that stands still is no fault, nor is its meter's silence.
        """
        supply = facts.supply
        if not is_dark(meter, self._meters, facts.sample.outcomes):
            return False
        if any(other.name in supply.dark for other in fed_together(meter, self._meters)):
            return True
        if meter.fed_from == OWN_SUPPLY and meter.supply == GENERATOR:
            return supply.generator_on is False
        if meter.fed_from == OWN_SUPPLY and meter.supply == UTILITY:
            return supply.utility_on is False
        if supply.in_use == NONE:
            return True
        # The panel, or a circuit behind it: dark with the utility, unless the other feeds it.
        return supply.utility_on is False and supply.in_use != GENERATOR


def _is_over_range(outcome: Outcome) -> bool:
    return isinstance(outcome, Faulty) and outcome.reason.startswith("over_range")


def _names(meters: Iterable[MeterSettings]) -> str:
    return ", ".join(meter.name for meter in meters)
