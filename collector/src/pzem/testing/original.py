"""A history as the script of the original build guide has written it.

The same seed makes the same history. It keeps to no grid: the script sleeps for 5 s after
each reading, so that about 3 % of the 5-s slots are missed, and the server stamps what
arrives to the nanosecond. It reads either the two legs or the generator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

SLEEP_S: Final = 5.0
READING_S: Final = (0.1, 0.2)
"""How long the script takes to read and to post."""
LEAST_WATTS: Final = 40.0
NS: Final = 1_000_000_000

Span = tuple[float, float]
"""From, until: seconds since the start of the history."""


@dataclass(frozen=True)
class OriginalHistory:
    """What is to have happened, in `seconds` from `start_s` (unix) on.

    The registers begin at `energy_wh`. `count_wh` is what one count of WHRS stands for, and
    `decimals` how many the script writes of it: 1.0 and 0 for Wh, 1000.0 and 3 for kWh.
    """

    start_s: int
    seconds: float
    seed: int = 0
    count_wh: float = 1.0
    decimals: int = 0
    energy_wh: Mapping[str, float] = field(
        default_factory=lambda: {"MAIN-A": 0.0, "MAIN-B": 0.0, "GEN": 0.0}
    )
    on_generator: tuple[Span, ...] = ()
    off: tuple[Span, ...] = ()
    """The Pi is off, while the house goes on consuming."""
    zeros: tuple[tuple[str, float, float], ...] = ()
    """Meter, from, until: zeros are published for a meter that does not answer."""
    resets: tuple[tuple[str, float], ...] = ()
    """Meter, when: its register is set to zero."""
    alter: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    """By number of the reading: fields that are written otherwise."""

    def rows(self) -> Iterator[tuple[int, dict[str, object]]]:
        """Yield time (ns) and fields of each post."""
        rng = Random(self.seed)
        registers = dict(self.energy_wh)
        resets = sorted(self.resets, key=lambda reset: reset[1])
        phase = {meter: rng.uniform(0, math.tau) for meter in registers}
        at_s, number = rng.uniform(0, SLEEP_S), 0
        while at_s < self.seconds:
            generator = _within(at_s, self.on_generator)
            while resets and resets[0][1] <= at_s:
                registers[resets.pop(0)[0]] = 0.0
            fields: dict[str, object] = {}
            step_s = SLEEP_S + rng.uniform(*READING_S)
            for meter, register_wh in registers.items():
                carries = (meter == "GEN") is generator
                watts = self._watts(meter, at_s, phase[meter], rng) if carries else 0.0
                if carries:
                    zero = any(
                        name == meter and start <= at_s < end for name, start, end in self.zeros
                    )
                    fields |= self._shown(meter, watts, register_wh, rng, zero=zero)
                registers[meter] = register_wh + watts * step_s / 3600
            fields["T_cpu"] = round(48 + 4 * math.sin(at_s / 7000) + rng.uniform(-1, 1), 1)
            if not _within(at_s, self.off):
                time_ns = self.start_s * NS + int(at_s * NS)
                yield time_ns, {**fields, **self.alter.get(number, {})}
                number += 1
            at_s += step_s

    def lines(self) -> Iterator[str]:
        """Yield each post as line protocol, times in ns."""
        for time_ns, fields in self.rows():
            yield f"ALL_SENSORS {','.join(f'{k}={v}' for k, v in fields.items())} {time_ns}"

    def _watts(self, meter: str, at_s: float, phase: float, rng: Random) -> float:
        daily = 1 + 0.6 * math.sin(at_s / 86_400 * math.tau + phase)
        heater = 1500.0 if math.sin(at_s / 2400 + phase) > 0.8 else 0.0
        kettle = 900.0 if meter != "MAIN-B" and rng.random() < 0.02 else 0.0
        return LEAST_WATTS + 350 * daily + heater + kettle

    def _shown(
        self, meter: str, watts: float, energy_wh: float, rng: Random, *, zero: bool
    ) -> dict[str, object]:
        names = [f"{meter}_{suffix}" for suffix in ("VOLT", "AMPS", "WATT", "WHRS", "PZPF")]
        if zero:
            return dict.fromkeys(names, 0.0)
        volts = round(rng.gauss(121, 0.4), 1)
        power_factor = round(rng.uniform(0.9, 1.0), 2)
        amps = round(watts / volts / power_factor, 3)
        count = round(math.floor(energy_wh) / self.count_wh, self.decimals)
        shown = (volts, amps, round(volts * amps * power_factor, 1), count, power_factor)
        return dict(zip(names, shown, strict=True))


def _within(at_s: float, spans: Iterable[Span]) -> bool:
    return any(start <= at_s < end for start, end in spans)
