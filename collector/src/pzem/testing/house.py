"""A plausible house behind the meters: its loads, its two supplies, and who sees which.

Nothing here sleeps or looks at a clock: `advance` is told how much time has passed, so that
a house with the same seed lives the same life. Not safe to use from several threads; the
`Simulator` takes care of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, Literal

from pzem.registers import AMPS, HERTZ, POWER_FACTOR, VOLTS, WATTS, Reading
from pzem.testing.meter import SimulatedMeter

REFRESH_S: Final = 1.0
"""A real meter renews its registers about once a second."""
LEAST_AMPS: Final = 0.02
LEAST_WATTS: Final = 0.4
"""Below these a meter displays zero (manual, "starting" current and power)."""

UTILITY_OHMS: Final = 0.03
"""Of one leg from the transformer to the panel: 20 A take 0.6 V."""
GENERATOR_OHMS: Final = 0.12
GENERATOR_VA: Final = 5500.0
GENERATOR_RISE: Final = 1.02
GENERATOR_SAG: Final = 0.045
"""A portable generator's governor: 2 % fast without load, 4.5 % slower at its full load."""
WILD_S: Final = (2.0, 3.0)
"""How long a meter shows nonsense after its supply has returned (users' reports)."""
CIRCUIT_SHARE: Final = 0.25
"""A sub-meter sees this share of its leg."""

Supply = Literal["utility", "generator", "circuit"]


class State(StrEnum):
    """Which supply is there, and which one the interlock lets feed the panel."""

    UTILITY = "utility"
    OUTAGE = "outage"
    GENERATOR = "generator"
    UTILITY_BACK = "utility-back"
    """The utility is there again, the generator still feeds the panel."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a meter is built in; the keys are those of `[[meters]]` in the configuration.

    `leg` None is all legs together. `fed_from` "own" is the conductor it measures, anything
    else is a breaker of the panel.
    """

    name: str
    address: int
    supply: Supply
    leg: str | None = None
    fed_from: str = "panel"


ORIGINAL_WIRING: Final = (
    Wiring("mainA", 4, "utility", "A", "panel_a"),
    Wiring("mainB", 5, "utility", "B", "panel_b"),
    Wiring("gen", 6, "generator", None, "panel_a"),
)
"""All three hang on the panel, behind the interlock; the generator's CT encloses both legs."""


@dataclass(frozen=True, slots=True)
class Appliance:
    """A load on the leg number `leg`, or between two legs (None): on and off at random.

    `on_s` and `off_s` are mean durations; without `off_s` it is never off.
    """

    watts: float
    power_factor: float
    leg: int | None
    on_s: float = math.inf
    off_s: float = 0.0

    @property
    def load(self) -> complex:
        """Complex power in VA: W + j var, lagging."""
        return complex(self.watts, self.watts * math.tan(math.acos(self.power_factor)))


ORIGINAL_APPLIANCES: Final = (
    Appliance(95.0, 0.62, leg=0),  # standby, router, clocks
    Appliance(60.0, 0.58, leg=1),
    Appliance(140.0, 0.72, leg=0, on_s=900, off_s=1500),  # fridge
    Appliance(110.0, 0.70, leg=1, on_s=700, off_s=1700),  # freezer
    Appliance(180.0, 0.93, leg=0, on_s=5400, off_s=7200),  # lights
    Appliance(120.0, 0.91, leg=1, on_s=3600, off_s=5400),
    Appliance(1250.0, 0.97, leg=0, on_s=150, off_s=5400),  # microwave
    Appliance(1440.0, 1.00, leg=1, on_s=1200, off_s=6000),  # water heater
    Appliance(4800.0, 0.99, leg=None, on_s=2700, off_s=36000),  # dryer, 240 V
)


def displayed(volts: float, load: complex, hertz: float) -> Reading:
    """Return what a meter shows of `load` (VA), in its resolution; W = V x A x PF."""
    volts = round(volts, VOLTS.decimals)
    hertz = round(hertz, HERTZ.decimals)
    amps = round(abs(load) / volts, AMPS.decimals)
    if amps < LEAST_AMPS:
        return Reading(volts, 0.0, 0.0, 0.0, hertz, 0.0, alarm=False)
    power_factor = round(load.real / abs(load), POWER_FACTOR.decimals)
    watts = round(volts * amps * power_factor, WATTS.decimals)
    watts = watts if watts >= LEAST_WATTS else 0.0
    return Reading(volts, amps, watts, 0.0, hertz, power_factor, alarm=False)


class _Switch:
    """An appliance and whether it is on, until the rest of its time is over."""

    def __init__(self, appliance: Appliance, rng: Random) -> None:
        self.appliance = appliance
        always = math.isinf(appliance.on_s)
        share = 1.0 if always else appliance.on_s / (appliance.on_s + appliance.off_s)
        self.on = rng.random() < share
        self._left_s = math.inf if always else self._duration_s(rng)

    def advance(self, seconds: float, rng: Random) -> None:
        self._left_s -= seconds
        while self._left_s <= 0:
            self.on = not self.on
            self._left_s += self._duration_s(rng)

    def _duration_s(self, rng: Random) -> float:
        return rng.expovariate(1 / (self.appliance.on_s if self.on else self.appliance.off_s))


class SimulatedHouse:
    """Meters, wired as `wiring` says, in a house of `volts` a leg and `hertz`.

    A generator is single-phase and feeds all legs alike, so that nothing can run between
    them. Begins on the utility, with meters whose counters are at `energy_wh`.
    """

    def __init__(
        self,
        wiring: Sequence[Wiring] = ORIGINAL_WIRING,
        *,
        volts: float = 120.0,
        hertz: float = 60.0,
        seed: int = 0,
        appliances: Sequence[Appliance] = ORIGINAL_APPLIANCES,
        energy_wh: float = 0.0,
        end_of_counter: Literal["wrap", "stop"] = "wrap",
        wild_start: bool = True,
    ) -> None:
        self.volts = volts
        self.hertz = hertz
        self.wild_start = wild_start
        self.legs = sorted({meter.leg for meter in wiring if meter.leg}) or ["A"]
        self.meters = {
            wired.name: SimulatedMeter(
                wired.name, wired.address, end_of_counter=end_of_counter, seed=seed
            )
            for wired in wiring
        }
        for meter in self.meters.values():
            meter.energy_wh = energy_wh
        self._wiring = tuple(wiring)
        self._rng = Random(seed)
        self._switches = [_Switch(appliance, self._rng) for appliance in appliances]
        self._extra_watts = dict.fromkeys(self.legs, 0.0)
        self._state = State.UTILITY
        self._time_s = 0.0
        self._wild_until_s: dict[str, float] = {}
        self._pending_s = 0.0
        for wired in self._wiring:
            self.meters[wired.name].powered = self._powers(wired)
        self._refresh(0.0)

    @property
    def state(self) -> State:
        """What feeds the house; meters go dark or come back as soon as it is set."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        for wired in self._wiring:
            meter = self.meters[wired.name]
            if self.wild_start and self._powers(wired) and not meter.powered:
                self._wild_until_s[wired.name] = self._time_s + self._rng.uniform(*WILD_S)
            meter.powered = self._powers(wired)
        self._refresh(0.0)

    def add_load(self, watts: float, leg: str | None = None) -> None:
        """Put a heater of `watts` on `leg` in place of the one there; None: on all, shared.

        Raises `ValueError` for a leg that no meter of the house names.
        """
        if leg is not None and leg not in self.legs:
            raise ValueError(f"there is no leg {leg!r}; there are: {', '.join(self.legs)}")
        legs = self.legs if leg is None else [leg]
        self._extra_watts |= dict.fromkeys(legs, watts / len(legs))

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Meters renew their display, and count, once a second of it."""
        self._pending_s += seconds
        while self._pending_s >= REFRESH_S:
            self._pending_s -= REFRESH_S
            self._time_s += REFRESH_S
            for switch in self._switches:
                switch.advance(REFRESH_S, self._rng)
            self._refresh(REFRESH_S)

    @property
    def _on_generator(self) -> bool:
        return self._state in (State.GENERATOR, State.UTILITY_BACK)

    def _powers(self, wired: Wiring) -> bool:
        """Whether there is voltage where the meter gets its own supply."""
        if wired.fed_from != "own" or wired.supply == "circuit":
            return self._state is not State.OUTAGE
        if wired.supply == "generator":
            return self._on_generator
        return self._state in (State.UTILITY, State.UTILITY_BACK)

    def _refresh(self, seconds: float) -> None:
        loads = self._loads()
        for wired in self._wiring:
            meter = self.meters[wired.name]
            if not meter.powered:
                continue
            shown = self._shown_by(wired, loads)
            consumed_wh = shown.watts * seconds / 3600
            if self._time_s < self._wild_until_s.get(wired.name, 0.0):
                shown = self._wild()
            meter.refresh(shown, consumed_wh)

    def _loads(self) -> dict[str, complex]:
        """Return what each leg carries now, in VA, with half a per cent of noise."""
        loads = {leg: complex(watts) for leg, watts in self._extra_watts.items()}
        for switch in self._switches:
            if not switch.on:
                continue
            load, leg = switch.appliance.load, switch.appliance.leg
            if leg is not None:
                loads[self.legs[leg % len(self.legs)]] += load
            elif len(self.legs) == 1:
                loads[self.legs[0]] += load
            elif not self._on_generator:
                loads[self.legs[0]] += load / 2
                loads[self.legs[1]] += load / 2
        return {leg: load * self._rng.gauss(1, 0.005) for leg, load in loads.items()}

    def _shown_by(self, wired: Wiring, loads: dict[str, complex]) -> Reading:
        """Return what the meter shows: its supply's voltage, its conductor's current."""
        everything = sum(loads.values(), 0j)
        through = loads[wired.leg] if wired.leg else everything
        if wired.supply == "circuit":
            through *= CIRCUIT_SHARE
        elif (wired.supply == "generator") is not self._on_generator:
            through = 0j
        volts, hertz = self._voltage(wired, loads[wired.leg or self.legs[0]], everything)
        return displayed(volts, through, hertz)

    def _voltage(self, wired: Wiring, on_leg: complex, everything: complex) -> tuple[float, float]:
        """Return volts and hertz where the meter gets its own supply."""
        if not self._on_generator:
            return self._utility(on_leg)
        if wired.fed_from == "own" and wired.supply == "utility":
            return self._utility(0j)
        return self._generator(everything)

    def _utility(self, load: complex) -> tuple[float, float]:
        volts = self.volts - abs(load) / self.volts * UTILITY_OHMS
        return volts + self._rng.gauss(0, 0.15), self.hertz + self._rng.gauss(0, 0.02)

    def _generator(self, load: complex) -> tuple[float, float]:
        volts = self.volts * GENERATOR_RISE - abs(load) / self.volts * GENERATOR_OHMS
        sag = GENERATOR_SAG * min(1.0, abs(load) / GENERATOR_VA)
        hertz = self.hertz * (GENERATOR_RISE - sag)
        return volts + self._rng.gauss(0, 0.4), hertz + self._rng.gauss(0, 0.05)

    def _wild(self) -> Reading:
        """Return values as they follow a return of the supply: high, every other in range."""
        reach = self._rng.choice((1.0, 20.0))
        return Reading(
            volts=self._rng.uniform(200, 250) * reach,
            amps=self._rng.uniform(50, 99) * reach,
            watts=self._rng.uniform(10_000, 22_000) * reach,
            energy_wh=0.0,
            hertz=self._rng.uniform(45, 65) * reach,
            power_factor=self._rng.uniform(0.5, 1),
            alarm=False,
        )
