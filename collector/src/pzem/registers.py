"""What the registers of a PZEM-014/016 mean: 16-bit words to a `Reading` and back.

Pure functions, no I/O. Register addresses, scales and ranges are those of the
vendor's manual (PZEM-014/016, "Function code", table of measurement results).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FIRST_REGISTER: Final = 0x0000
REGISTER_COUNT: Final = 10
"""The measurement table: input registers 0x0000 to 0x0009, read in one request."""

ALARM_ON: Final = 0xFFFF
ALARM_OFF: Final = 0x0000

HOLDING_ALARM_THRESHOLD: Final = 0x0001
"""Holding register: alarm threshold, 1 W per LSB."""
HOLDING_ADDRESS: Final = 0x0002
"""Holding register: the meter's own slave address, 1 to 247."""

MIN_ADDRESS: Final = 0x01
MAX_ADDRESS: Final = 0xF7
FACTORY_ADDRESS: Final = 0x01
GENERAL_ADDRESS: Final = 0xF8
"""Every meter answers to it, so it is only of use with a single meter on the line."""

ENERGY_LIMIT_WH: Final = 9_999_999
"""Largest energy a meter is believed to show. The manual gives 9999.99 kWh, a display
figure; the register counts single watt-hours, so the last ten belong to it."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row of the measurement table: where it lies, its LSB and its range."""

    name: str
    register: int
    words: int
    decimals: int
    minimum: float
    maximum: float
    unit: str

    def value(self, registers: Sequence[int]) -> float:
        """Return the quantity in its `unit`, exact to its LSB."""
        raw = registers[self.register]
        if self.words == 2:  # low word first, against Modbus custom
            raw |= registers[self.register + 1] << 16
        return round(raw / 10.0**self.decimals, self.decimals)


VOLTS: Final = Quantity("volts", 0x0000, 1, 1, 80.0, 260.0, "V")
AMPS: Final = Quantity("amps", 0x0001, 2, 3, 0.0, 100.0, "A")
WATTS: Final = Quantity("watts", 0x0003, 2, 1, 0.0, 23_000.0, "W")
ENERGY_WH: Final = Quantity("energy_wh", 0x0005, 2, 0, 0.0, float(ENERGY_LIMIT_WH), "Wh")
HERTZ: Final = Quantity("hertz", 0x0007, 1, 1, 45.0, 65.0, "Hz")
POWER_FACTOR: Final = Quantity("power_factor", 0x0008, 1, 2, 0.0, 1.0, "")
QUANTITIES: Final = (VOLTS, AMPS, WATTS, ENERGY_WH, HERTZ, POWER_FACTOR)
ALARM_REGISTER: Final = 0x0009


START_AMPS: Final = 0.02
"""Less current than this is shown as 0 A, though its power is shown from 0.4 W on (manual)."""
ACCURACY: Final = 0.02
"""Share by which watts may be shown above volts times amps. The manual promises 0.5 % for
each of the three, which adds up to 1.5 %; the rest is for a current clamp of lesser luck."""
ROUNDING_W: Final = 0.2
"""Half an LSB of watts, and of amps at the highest voltage (0.05 W and 0.13 W)."""


class OverRangeError(ValueError):
    """A well-formed reply shows what the meter cannot measure (manual's ranges)."""

    def __init__(self, quantity: str, value: float) -> None:
        super().__init__(f"over_range {quantity} {value}")
        self.quantity = quantity
        self.value = value


@dataclass(frozen=True, slots=True)
class Reading:
    """What one meter displayed at one moment.

    Ranges are those of `QUANTITIES`; power has no sign, so export reads as import.
    `energy_wh` is the meter's own counter, whole watt-hours since its last reset.
    """

    volts: float
    amps: float
    watts: float
    energy_wh: float
    hertz: float
    power_factor: float
    alarm: bool

    @property
    def volt_amps(self) -> float:
        """Apparent power in VA, V times A to the resolution that the factors carry."""
        return round(self.volts * self.amps, 4)

    @property
    def is_plausible(self) -> bool:
        """Whether active power exceeds apparent power by no more than a meter's errors.

        More is against physics: the frame was damaged in a way that its CRC does not
        show, the meter is not itself yet, or it was asked in the moment in which it
        refreshed its registers, so that they belong to two different seconds. The power
        factor is not consulted: how a meter rounds and derives it is not documented.
        """
        apparent = self.volts * self.amps * (1 + ACCURACY)
        return self.watts <= apparent + self.volts * START_AMPS + ROUNDING_W


def decode(registers: Sequence[int]) -> Reading:
    """Turn the ten input registers, each 0 to 0xFFFF, into a `Reading`.

    Raises `OverRangeError` for a value outside the manual's range, above or below,
    and `ValueError` if there are not exactly ten registers.
    """
    if len(registers) != REGISTER_COUNT:
        raise ValueError(f"expected {REGISTER_COUNT} registers, got {len(registers)}")
    values: dict[str, float] = {}
    for quantity in QUANTITIES:
        value = quantity.value(registers)
        if not quantity.minimum <= value <= quantity.maximum:
            raise OverRangeError(quantity.name, value)
        values[quantity.name] = value
    alarm = registers[ALARM_REGISTER]
    if alarm not in (ALARM_ON, ALARM_OFF):
        raise OverRangeError("alarm", float(alarm))
    return Reading(**values, alarm=alarm == ALARM_ON)


def encode(reading: Reading) -> list[int]:
    """Return the ten input registers of a meter that displays `reading`.

    No range is checked: a simulated meter may show what a real one cannot.
    """
    registers = [0] * REGISTER_COUNT
    for quantity in QUANTITIES:
        raw = round(getattr(reading, quantity.name) * 10**quantity.decimals)
        registers[quantity.register] = raw & 0xFFFF
        if quantity.words == 2:
            registers[quantity.register + 1] = raw >> 16 & 0xFFFF
    registers[ALARM_REGISTER] = ALARM_ON if reading.alarm else ALARM_OFF
    return registers
