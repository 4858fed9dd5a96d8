"""A simulated PZEM-016: what it displays, its energy counter, and its side of the protocol."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal

from pzem.frames import (
    ERROR_FLAG,
    READ_HOLDING,
    READ_INPUT,
    RESET_ENERGY,
    WRITE_SINGLE,
    has_good_crc,
    with_crc,
)
from pzem.registers import (
    FIRST_REGISTER,
    GENERAL_ADDRESS,
    HOLDING_ADDRESS,
    HOLDING_ALARM_THRESHOLD,
    MAX_ADDRESS,
    MIN_ADDRESS,
    Reading,
    encode,
)
from pzem.testing.faults import Exchange, Fault

CALIBRATE: Final = 0x41
"""Spoils a real meter and must never be sent: here it has no effect and no answer."""
BROADCAST: Final = 0x00
END_OF_COUNTER_WH: Final = 9_999_990
"""The manual's 9999.99 kWh. Whether a real counter wraps or stops there is unknown."""
FACTORY_THRESHOLD_W: Final = 23_000
"""The manual's full scale, so that the alarm of a new meter stays off."""

IDLE: Final = Reading(120.0, 0.0, 0.0, 0.0, 60.0, 0.0, alarm=False)
"""What a meter without load displays at 120 V, 60 Hz."""

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_DATA: Final = 3


class _RefusedError(Exception):
    """The request is answered with a Modbus error of this code."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """What a meter puts on the line, `delay_s` later than its usual turn-around."""

    meter: str
    displayed: Reading
    request: bytes
    good: bytes
    sent: bytes
    delay_s: float
    fault: str | None


class SimulatedMeter:
    """One PZEM-016 with a `name` to give orders by and a slave `address` (1 to 247).

    It displays what `show` (a test) or `refresh` (a simulated house) last gave it; inside,
    the energy is counted in fractions of a watt-hour. Safe to use from several threads.
    """

    def __init__(
        self,
        name: str,
        address: int,
        reading: Reading = IDLE,
        *,
        end_of_counter: Literal["wrap", "stop"] = "wrap",
        seed: int = 0,
    ) -> None:
        if not MIN_ADDRESS <= address <= MAX_ADDRESS:
            raise ValueError(f"address must be {MIN_ADDRESS} to {MAX_ADDRESS}, not {address}")
        self.name = name
        self.address = address
        self.end_of_counter = end_of_counter
        self.alarm_threshold_w = FACTORY_THRESHOLD_W
        self.powered = True
        self._displayed = reading
        self._energy_wh = reading.energy_wh
        self._pinned = False
        self._fault: Fault | None = None
        self._rng = Random(f"{seed} {name}")
        self._lock = threading.RLock()

    @property
    def displayed(self) -> Reading:
        """What its registers hold now."""
        return self._displayed

    @property
    def energy_wh(self) -> float:
        """The counter with its fractions; setting it shows at once, in whole Wh."""
        return self._energy_wh

    @energy_wh.setter
    def energy_wh(self, energy_wh: float) -> None:
        with self._lock:
            self._energy_wh = energy_wh
            self._displayed = replace(self._displayed, energy_wh=float(int(energy_wh)))

    @property
    def fault(self) -> Fault | None:
        """The fault that spoils its replies at present."""
        return self._fault

    def fail(self, name: str, *arguments: str | float, count: int | None = None) -> None:
        """Order a fault, in place of the present one: `fail("late", 0.5, count=1)`.

        See `faults.FAULTS` for names and arguments. Raises `ValueError` for bad ones.
        """
        fault = Fault(name, *arguments, count=count)
        with self._lock:
            self._fault = fault

    def heal(self) -> None:
        """End the fault, and let a simulated house change the display again."""
        with self._lock:
            self._fault = None
            self._pinned = False

    def show(self, reading: Reading) -> None:
        """Display exactly `reading`, even if impossible, and keep to it until `heal`."""
        with self._lock:
            self._displayed = reading
            self._energy_wh = reading.energy_wh
            self._pinned = True

    def refresh(self, reading: Reading, consumed_wh: float) -> None:
        """Display `reading`, but with the meter's own alarm and energy counter."""
        with self._lock:
            if self._pinned:
                return
            energy_wh = self._energy_wh + consumed_wh
            if energy_wh >= END_OF_COUNTER_WH:
                wraps = self.end_of_counter == "wrap"
                energy_wh = energy_wh % END_OF_COUNTER_WH if wraps else float(END_OF_COUNTER_WH)
            self._displayed = replace(reading, alarm=reading.watts > self.alarm_threshold_w)
            self.energy_wh = energy_wh

    def answer(self, request: bytes) -> bytes | None:
        """Obey `request` and return the good reply to it, or None if a meter keeps silent."""
        with self._lock:
            if not self.powered or not has_good_crc(request):
                return None
            address, function = request[0], request[1]
            if address not in (self.address, GENERAL_ADDRESS, BROADCAST):
                return None
            try:
                body = self._execute(function, request[2:-2])
            except _RefusedError as error:
                body = bytes([function | ERROR_FLAG, error.code])
            if body is None or address == BROADCAST:
                return None
            return with_crc(request[:1] + body)

    def respond(self, request: bytes) -> Reply | None:
        """Do as `answer`, with the ordered fault: this is what reaches the line."""
        with self._lock:
            displayed = self._displayed
            good = self.answer(request)
            if good is None:
                return None
            fault = self._fault
            if fault is None:
                return Reply(self.name, displayed, request, good, good, 0.0, None)
            sent = fault.hit(Exchange(request, good, displayed, self._rng))
            if fault.over:
                self._fault = None
            return Reply(self.name, displayed, request, good, sent, fault.delay_s, fault.name)

    def _execute(self, function: int, payload: bytes) -> bytes | None:
        """Return the reply without address and CRC; None where a real meter has none."""
        if function == CALIBRATE:
            return None
        if function == RESET_ENERGY and not payload:
            self.energy_wh = 0.0
            return bytes([function])
        if function not in (READ_HOLDING, READ_INPUT, WRITE_SINGLE):
            raise _RefusedError(ILLEGAL_FUNCTION)
        if len(payload) != 4:
            return None
        if function == WRITE_SINGLE:
            self._write(*struct.unpack(">HH", payload))
            return bytes([function]) + payload
        return self._read(function, *struct.unpack(">HH", payload))

    def _read(self, function: int, first: int, count: int) -> bytes:
        if function == READ_INPUT:
            start, registers = FIRST_REGISTER, encode(self._displayed)
        else:
            start, registers = HOLDING_ALARM_THRESHOLD, [self.alarm_threshold_w, self.address]
        if count == 0:
            raise _RefusedError(ILLEGAL_DATA)
        if first < start or first + count > start + len(registers):
            raise _RefusedError(ILLEGAL_ADDRESS)
        words = registers[first - start : first - start + count]
        return struct.pack(f">BB{count}H", function, 2 * count, *words)

    def _write(self, register: int, value: int) -> None:
        if register == HOLDING_ALARM_THRESHOLD:
            self.alarm_threshold_w = value
            self._displayed = replace(self._displayed, alarm=self._displayed.watts > value)
        elif register == HOLDING_ADDRESS:
            if not MIN_ADDRESS <= value <= MAX_ADDRESS:
                raise _RefusedError(ILLEGAL_DATA)
            self.address = value
        else:
            raise _RefusedError(ILLEGAL_ADDRESS)
