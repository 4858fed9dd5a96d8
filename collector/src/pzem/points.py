"""One cycle as InfluxDB line protocol: the schema of the database `housePower`.

Numeric fields are floats, flags too (their mean is a share of time). What was not
measured is a missing point or field, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from influxdb.line_protocol import make_lines

from pzem.house import Meaning, MeterEnergy, Sample
from pzem.meter import Outcome, Silent
from pzem.registers import Reading

STATE_OK: Final = 0.0
STATE_SILENT: Final = 1.0
STATE_FAULTY: Final = 2.0


@dataclass(frozen=True, slots=True)
class Cycle:
    """Everything that one slot brought."""

    sample: Sample
    meaning: Meaning
    energies: Mapping[str, MeterEnergy]
    """Of the meters that were read."""
    lateness_s: float
    """From the slot to the start of reading, in s."""
    cycle_s: float
    """From the start of reading to the last answer or its absence, in s."""
    waiting_cycles: int
    """Cycles read earlier and not yet written."""
    cpu_celsius: float | None = None
    """Temperature of the processor, in °C; None where it is not known."""


def lines(cycle: Cycle) -> tuple[str, ...]:
    """Return the points of `cycle`, one line each, without a time at their ends."""
    points: list[dict[str, Any]] = []
    for name, outcome in cycle.sample.outcomes.items():
        if isinstance(outcome, Reading):
            fields = meter_fields(outcome) | energy_fields(cycle.energies.get(name))
            points.append(_point("meter", fields, {"meter": name}))
        points.append(_point("meter_state", _state_fields(outcome), {"meter": name}))
    points += [_point(name, fields, tags) for name, tags, fields in cycle.meaning.points()]
    points.append(_point("host", _known({"cpu_celsius": cycle.cpu_celsius})))
    points.append(
        _point(
            "collector",
            {
                "cycle_s": round(cycle.cycle_s, 4),
                "lateness_s": round(cycle.lateness_s, 4),
                "waiting_cycles": float(cycle.waiting_cycles),
            },
        )
    )
    written = [point for point in points if point["fields"]]
    return tuple(str(make_lines({"points": written}, precision="s")).splitlines())


def meter_fields(reading: Reading) -> dict[str, float]:
    """Return the fields of a `meter` point; units as in their names, V, A, W, VA, Hz, Wh."""
    return {
        "volts": reading.volts,
        "amps": reading.amps,
        "watts": reading.watts,
        "volt_amps": reading.volt_amps,
        "power_factor": reading.power_factor,
        "hertz": reading.hertz,
        "energy_wh": reading.energy_wh,
        "alarm": float(reading.alarm),
    }


def energy_fields(energy: MeterEnergy | None) -> dict[str, float]:
    """Return the lifetime energy in Wh, if it is known, and whether its last step is estimated."""
    if energy is None or energy.lifetime_wh is None:
        return {}
    return {
        "lifetime_wh": float(energy.lifetime_wh),
        "lifetime_estimated": float(energy.estimated),
    }


def _point(
    measurement: str, fields: Mapping[str, Any], tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {"measurement": measurement, "tags": dict(tags or {}), "fields": dict(fields)}


def _state_fields(outcome: Outcome) -> dict[str, float | str]:
    """Return state and reason; a healthy meter has none, so the last one stays the last."""
    if isinstance(outcome, Reading):
        return {"state": STATE_OK}
    state = STATE_SILENT if isinstance(outcome, Silent) else STATE_FAULTY
    return {"state": state, "reason": outcome.reason}


def _known(fields: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in fields.items() if value is not None}
