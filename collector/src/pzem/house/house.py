"""What the meters of one slot mean together, put together from its parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pzem.config import HouseSettings, MeterSettings
from pzem.house.alarms import Alarms, AlarmState, Facts, SystemState
from pzem.house.generator import PRICE, Generator, GeneratorState
from pzem.house.legs import Legs, LegsState
from pzem.house.sample import Sample
from pzem.house.supply import Supplies, SupplyState
from pzem.kept import KeptFile


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one slot means. What is not known has no field."""

    supply: SupplyState
    legs: LegsState
    generator: GeneratorState | None
    """None in a house that measures none."""
    alarms: tuple[AlarmState, ...]

    def house_fields(self) -> dict[str, float]:
        """Return the fields of the `house` point: W, VA, V, a share, and flags 0/1."""
        return _known(
            {
                "watts": self.supply.watts,
                "volt_amps": self.supply.volt_amps,
                "volts_difference": self.legs.volts_difference,
                "imbalance": self.legs.imbalance,
                "utility_on": self.supply.utility_on,
                "generator_on": self.supply.generator_on,
            }
        )

    def generator_fields(self) -> dict[str, float]:
        """Return the fields of the `generator` point: a share of its rating, and h."""
        if self.generator is None:
            return {}
        return _known(
            {
                "load": self.generator.load,
                "hours": self.generator.hours,
                "hours_since_service": self.generator.hours_since_service,
            }
        )

    def points(self) -> Iterator[tuple[str, dict[str, str], dict[str, float]]]:
        """Yield measurement, tags and fields of each point; none is without fields."""
        for measurement, fields in (
            ("house", self.house_fields()),
            ("generator", self.generator_fields()),
        ):
            if fields:
                yield measurement, {}, fields
        for alarm in self.alarms:
            yield "alarm_state", alarm.tags, alarm.fields


class House:
    """Follows the house slot by slot. `interval_s`: seconds between slots.

    `kept` is where the generator's hours outlive a restart. Time is taken from the samples
    alone: durations on the monotonic clock, within a boot.
    """

    def __init__(
        self,
        meters: Sequence[MeterSettings],
        settings: HouseSettings | None = None,
        interval_s: float = 5.0,
        kept: KeptFile | None = None,
    ) -> None:
        settings = settings if settings is not None else HouseSettings()
        self._supplies = Supplies(meters, interval_s)
        self._legs = Legs(meters, settings.nominal_volts, interval_s)
        self._generator = Generator(
            meters, settings, interval_s, kept if kept is not None else KeptFile(None, PRICE)
        )
        self._alarms = Alarms(meters, settings, interval_s)

    def take(
        self,
        sample: Sample,
        stuck: Collection[str] = (),
        system: SystemState | None = None,
    ) -> Meaning:
        """Return what this slot means.

        `stuck`: names of the meters whose energy register stands still under load.
        `system`: what the collector knows of itself; None leaves its alarms unknown.
        """
        supply = self._supplies.take(sample)
        legs = self._legs.take(sample, supply)
        generator = self._generator.take(sample, supply)
        alarms = self._alarms.take(Facts(sample, supply, legs, generator, stuck, system))
        return Meaning(supply, legs, generator, alarms)

    def generator_recalled(self, hours: float, hours_since_service: float | None) -> None:
        """Take up the generator's hours, in h, as the database knew them last."""
        self._generator.recalled(hours, hours_since_service)

    def close(self) -> None:
        """Write what is to outlive a restart."""
        self._generator.close()


def _known(fields: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in fields.items() if value is not None}
